"""Some of many rows, which stand for all of them."""

import numpy as np
import torch

from estimators.data.data import LATENT, Data


def working_rows(data: Data, most: int, rng: np.random.Generator) -> tuple[Data, float]:
    """At most ``most`` random rows, those with Z known first, and how many rows each of them stands for.

    Rows with Z known and rows with Z hidden are weighted so that either kind counts as often as among all.
    """
    if data.num_rows <= most:
        return data, 1.0
    order, scale = torch.from_numpy(rng.permutation(data.num_rows)), data.num_rows / most
    if LATENT not in data.columns:
        return data.rows(order[:most].sort().values), scale
    known = data.latent()[order] >= 0
    half = order[known][: most // 2]
    chosen = torch.cat([half, order[~known][: most - len(half)]]).sort().values
    part = data.rows(chosen)
    latent = part.latent() >= 0
    weights = torch.ones(len(chosen), dtype=torch.float64) if part.weights is None else part.weights.clone()
    for group, everywhere in ((latent, int(known.sum())), (~latent, int((~known).sum()))):
        if bool(group.any()):
            weights[group] *= everywhere / int(group.sum()) / scale
    return part.replace(weights=weights), scale
