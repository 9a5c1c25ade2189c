"""The law of rows together with further measures of the hidden cause, which nobody has made yet.

A measure W with ``P(W = 1 | Z = k) = q_k`` that depends on nothing but Z has, beside a row, the law

    log p(row, W = 1) = log p(row) + log Σ_k R_k(row) q_k,

with R the row's responsibilities, so that no model needs to be written anew to ask what W would tell.
"""

from functools import partial
from itertools import combinations

import numpy as np
from scipy.special import expit

from estimators.contract import Density
from estimators.modes.row_law import Reference, RowLaw, few_rows
from estimators.optimise.arrays import Array

# The log-odds of W = 1 in the first class and in the last, of each measure in turn.
ENDS = ((-1.2, 1.2), (-0.8, 1.6))


def measured_law(density: Density, at: Array, num_measures: int, rng: np.random.Generator) -> RowLaw | None:
    """The law of a density's rows with yes-or-no measures beside, about a point [D]; None where there are no classes.

    Its coordinates [D + K W] are those of the density, then the log-odds of each measure in every class.
    """
    few = few_rows(density, rng)
    shares = few.responsibilities(density.draws(at[None]), few.latent[0] if few.latent else None)
    # Rows with more than one hidden value each have no measure of their class.
    if shares.ndim != 3:
        return None
    odds = np.concatenate([np.linspace(*ENDS[number], shares.shape[-1]) for number in range(num_measures)])
    whole = np.concatenate([at, odds])
    bounded = np.concatenate([density.bounded, np.ones(len(odds), dtype=bool)])
    own, every = (Reference(partial(_logs, density, rows, num_measures), whole) for rows in (few, density))
    return RowLaw(whole, bounded, own, every)


def _logs(density: Density, rows: Density, num_measures: int, points: Array) -> Array:
    """``log p(row)``, and ``log p(W = 1 | row)`` of the measures, and of several of them together [S, M N]."""
    greeks = density.draws(points[:, : density.size])
    shares = rows.responsibilities(greeks, rows.latent[0]).numpy()
    chances = expit(points[:, density.size :]).reshape(len(points), num_measures, -1)
    logs = [rows.pointwise(greeks).numpy()]
    for size in range(1, num_measures + 1):
        for chosen in combinations(range(num_measures), size):
            together = chances[:, chosen].prod(1)
            logs.append(np.log((shares * together[:, None, :]).sum(-1)))
    return np.concatenate(logs, 1)
