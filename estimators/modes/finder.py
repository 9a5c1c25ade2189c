"""Where an estimator gets its modes from: a search of its own, or one that was made before."""

from typing import Protocol

import numpy as np

from estimators.contract import Combination, Density, Model
from estimators.modes.found import Found


class Finder(Protocol):
    """What is handed to an estimator as ``search``: settings of a search, or what one has found."""

    def found(self, model: Model, density: Density, combination: Combination, rng: np.random.Generator) -> Found:
        """The modes of a sum of a density's parts."""
