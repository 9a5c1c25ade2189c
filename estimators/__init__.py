"""Exact estimators for causal models with a hidden discrete cause: EM, MAP, NUTS and SMC behind one interface."""

import warnings
from typing import Any

# Pyro imports tqdm's bar for notebooks, which warns where ipywidgets are missing; what it falls back on does as well.
with warnings.catch_warnings(action="ignore"):
    import tqdm.auto  # noqa: F401

from estimators.algorithms import EM, MAP, NUTS, SMC, Exact
from estimators.data.data import Data
from estimators.fits.fit import Fit
from estimators.fits.storage import RESTORERS
from estimators.fits.without_data import identifiability
from estimators.isolation import isolated, own_modes
from estimators.mixture.description import CLASS as MIXTURE
from estimators.mixture.model import CausalMixture, GaussianMixture
from estimators.plots.compare import plot_compare
from estimators.plots.graph import plot_graph
from estimators.programs.description import CLASS as PROGRAM
from estimators.programs.model import PyroModel
from estimators.queries.estimate import Estimate
from estimators.queries.query import Query
from estimators.queries.scales import Difference, OddsRatio, Ratio
from estimators.status import EstimationError, EstimationWarning, Status

# Models and fits know nothing of each other's classes; a saved fit is read back into one of these.
RESTORERS[MIXTURE] = CausalMixture.restore
RESTORERS[PROGRAM] = PyroModel.restore

__all__ = [
    "EM",
    "MAP",
    "NUTS",
    "SMC",
    "CausalMixture",
    "Data",
    "Difference",
    "Estimate",
    "EstimationError",
    "EstimationWarning",
    "Exact",
    "Fit",
    "GaussianMixture",
    "OddsRatio",
    "PyroModel",
    "Query",
    "Ratio",
    "Status",
    "identifiability",
    "isolated",
    "own_modes",
    "plot_compare",
    "plot_graph",
]


def __getattr__(name: str) -> Any:
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version("exact-estimators")


def __dir__() -> list[str]:
    return [*__all__, "__version__", "mechanisms"]
