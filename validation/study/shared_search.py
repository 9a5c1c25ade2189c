"""One search for modes for all estimators of a replicate that take one."""

from typing import cast

import numpy as np

from estimators import Data, Fit
from estimators.contract import Model, log_likelihood
from estimators.modes import Finder, Search, untold
from validation.study.attempt import Attempt, attempt
from validation.study.contenders import Contender, Searchable

# As estimators search by themselves: not where every M-step is a climb of its own, as in a program.
BY_DEFAULT = Search(costly=False)


def searched(model: Model, data: Data, *, seed: int) -> Attempt[Finder | None]:
    """Return the modes of the likelihood as `EM` looks for them; no value, and no error, where it does not."""
    return attempt(lambda: _found(model, data, seed))


def fitted(
    contender: Contender, model: Model, data: Data, *, seed: int, search: Attempt[Finder | None] | None
) -> Attempt[Fit]:
    """Return a contender's fit; one that was handed a search has its seconds too, as a fit that searches by itself.

    Where a search failed the estimator is handed none, and does or says what it does by itself.
    """
    if search is None or search.error or not contender.searches:
        return attempt(lambda: contender.estimator.fit(model, data, seed=seed))
    estimator = cast(Searchable, contender.estimator)
    return attempt(lambda: estimator.fit(model, data, seed=seed, search=search.value)).after(search)


def _found(model: Model, data: Data, seed: int) -> Finder | None:
    counted = data if bool(data.counts().all()) else data.rows(data.counts().nonzero()[:, 0])
    density = model.density(model.check(counted)).beyond_priors()
    density.need_maximum()
    return BY_DEFAULT.found(model, density, log_likelihood, np.random.default_rng(seed), untold)
