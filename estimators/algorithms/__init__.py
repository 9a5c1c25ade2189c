"""The estimators: frozen settings with one method, ``fit(model, data, *, seed=None, strict=False) -> Fit``."""

from estimators.algorithms.em import EM
from estimators.algorithms.exact import Exact
from estimators.algorithms.map import MAP
from estimators.algorithms.nuts.nuts import NUTS
from estimators.algorithms.smc.smc import SMC

__all__ = ["EM", "MAP", "NUTS", "SMC", "Exact"]
