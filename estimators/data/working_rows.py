"""Some of many rows, or whole units, which stand for all of them."""

import numpy as np
import torch

from estimators.data.data import LATENT, Data

# Units of which classes are told, however many rows each has; and how many times as many rows there are at most where
# few of them have the weight, or a column.
LEAST_UNITS, MOST_TIMES = 100, 25.0


def working_rows(data: Data, most: int, rng: np.random.Generator) -> tuple[Data, float]:
    """Random units of ``most`` rows or so, those with Z known first, and how many units each of them stands for.

    Those with Z known and those with Z hidden are weighted so that either kind counts as often as among all. Where
    units have many rows, fewer units make as many rows, but LEAST_UNITS at least. There are more where few of the rows
    have most of the weight, or an entry in some column: so many count there.
    """
    times = min(1.0 / max(_share_that_counts(data), 1e-9), MOST_TIMES)
    most = int(max(most * data.num_units / data.num_rows, min(most, LEAST_UNITS)) * times)
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


def _share_that_counts(data: Data) -> float:
    """How many units have the weight, and rows an entry in each column, as a share of all: the least of these."""
    own, shares = data.unit_weights, [1.0]
    if own is not None and bool((own > 0).any()):
        shares.append(float(own.sum()) ** 2 / float((own**2).sum()) / data.num_units)
    for name in data.columns if data.missing is not None else ():
        shares.append(float((~data.is_missing(name)).reshape(data.num_rows, -1).double().mean(0).min()))
    return min(shares)
