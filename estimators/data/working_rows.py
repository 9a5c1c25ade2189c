"""Some of many rows, or whole units, which stand for all of them."""

import numpy as np
import torch

from estimators.data.data import LATENT, Data


def working_rows(data: Data, most: int, rng: np.random.Generator) -> tuple[Data, float]:
    """At most ``most`` random units, those with Z known first, and how many units each of them stands for.

    Those with Z known and those with Z hidden are weighted so that either kind counts as often as among all. Where
    units have many rows, fewer units make as many rows.
    """
    most = max(most * data.num_units // data.num_rows, 1)
    if data.num_units <= most:
        return data, 1.0
    scale = data.num_units / most
    if LATENT not in data.columns:
        return data.units_at(torch.from_numpy(np.sort(rng.choice(data.num_units, most, replace=False)))), scale
    order = torch.from_numpy(rng.permutation(data.num_units))
    known = data.of_units(data.latent())[order] >= 0
    half = order[known][: most // 2]
    chosen = torch.cat([half, order[~known][: most - len(half)]]).sort().values
    part = data.units_at(chosen)
    latent = part.of_units(part.latent()) >= 0
    own = part.unit_weights
    weights = torch.ones(len(chosen), dtype=torch.float64) if own is None else own.clone()
    for group, everywhere in ((latent, int(known.sum())), (~latent, int((~known).sum()))):
        if bool(group.any()):
            weights[group] *= everywhere / int(group.sum()) / scale
    return part.replace(weights=part.spread(weights)), scale
