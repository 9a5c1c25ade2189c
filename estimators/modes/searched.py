"""A search that several estimators share."""

from typing import Any

import numpy as np

from estimators.checks import check_seed
from estimators.contract import Model, log_likelihood
from estimators.data.data import as_data
from estimators.isolation import own_modes
from estimators.modes.found import Found
from estimators.modes.mode_search import Search


@own_modes()
def search(model: Model, data: Any, *, settings: Search | None = None, seed: int | None = None) -> Found:
    """The modes of the likelihood, to be handed to several estimators: ``EM().fit(model, data, search=found)``.

    Each goes on from them under its own objective. Raises ValueError for data that the model cannot be fitted to, and
    where the likelihood has no maximum.

    >>> found = search(GaussianMixture(2), {"X": [0.0, 1.0, 10.0, 11.0, 12.0]}, seed=0)
    >>> len(found.modes), found.is_settled
    (1, True)
    """
    density = model.density(model.check(as_data(data))).beyond_priors()
    density.need_maximum()
    rng = np.random.default_rng(check_seed(seed))
    return (settings or Search()).sought(model, density, log_likelihood, rng)
