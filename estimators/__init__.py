"""Exact estimators for causal models with a hidden discrete cause: EM, MAP and NUTS behind one interface."""

from estimators.algorithms import EM, MAP, NUTS, Exact
from estimators.data import Data
from estimators.estimate import Estimate
from estimators.fit import Fit
from estimators.interventions import Query
from estimators.isolation import isolated, own_modes
from estimators.model import CausalMixture, GaussianMixture
from estimators.pyro_model import PyroModel
from estimators.status import EstimationError, EstimationWarning, Status

__all__ = [
    "EM",
    "MAP",
    "NUTS",
    "CausalMixture",
    "Data",
    "Estimate",
    "EstimationError",
    "EstimationWarning",
    "Exact",
    "Fit",
    "GaussianMixture",
    "PyroModel",
    "Query",
    "Status",
    "isolated",
    "own_modes",
]
