"""Scenarios: what is simulated, with which truth, and what is asked of the estimators."""

from validation.scenarios.base import (
    Distribution,
    FixedData,
    FixedTruth,
    NormalOutcome,
    PriorTruth,
    Role,
    Scenario,
    Seeds,
    Truth,
)
from validation.scenarios.mixtures import MIXTURES
from validation.scenarios.prior import PRIOR
from validation.scenarios.tutorial import TUTORIAL

STANDARD_SCENARIOS: tuple[Scenario, ...] = (*TUTORIAL, *MIXTURES, *PRIOR)

__all__ = [
    "STANDARD_SCENARIOS",
    "Distribution",
    "FixedData",
    "FixedTruth",
    "NormalOutcome",
    "PriorTruth",
    "Role",
    "Scenario",
    "Seeds",
    "Truth",
]
