"""Where MAP and NUTS begin to climb the log joint."""

import numpy as np

from estimators.contract import Density
from estimators.parameters.parameter import Array


def joint_starts(density: Density, count: int, seed: int) -> Array:
    """Distinct starts [B, D] in order of the log density: candidates as they are and after a few EM steps."""
    return density.starts(count, np.random.default_rng(seed), refinements=3, unrefined=True)
