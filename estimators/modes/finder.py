"""Where an estimator gets its modes from: a search of its own, or one that was made before."""

from typing import Protocol

import numpy as np

from estimators.checks import what_came
from estimators.contract import Combination, Density, Model
from estimators.modes.found import Found, Tick


class Finder(Protocol):
    """What is handed to an estimator as ``search``: settings of a search, or what one has found."""

    def found(
        self, model: Model, density: Density, combination: Combination, rng: np.random.Generator, tick: Tick
    ) -> Found | None:
        """The modes of a sum of a density's parts; None where none are sought. ``tick`` counts starts."""


def check_search(search: object) -> None:
    """Raise TypeError for what is no search."""
    if search is not None and (isinstance(search, type) or not callable(getattr(search, "found", None))):
        raise TypeError(
            "search: expected modes.Search(), the result of modes.search(model, data), or None, got "
            f"{what_came(search)}"
        )
