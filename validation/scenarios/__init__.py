"""Scenarios: what is simulated, with which truth, and what is asked of the estimators."""

from validation.scenarios.base import Allowed, Draw, Moments, Role, Seeds, Source, Truth
from validation.scenarios.calibration import CALIBRATION
from validation.scenarios.design import Design
from validation.scenarios.graphs import GRAPHS
from validation.scenarios.intervention import Contrast, Intervention, contrasts
from validation.scenarios.misspecified import MISSPECIFIED
from validation.scenarios.mixtures import MIXTURES
from validation.scenarios.posterior_truth import PosteriorTruth
from validation.scenarios.references import REFERENCES
from validation.scenarios.scenario import Scenario, do_each
from validation.scenarios.several_answers import SEVERAL_ANSWERS
from validation.scenarios.sources import FixedData, FixedTruth, OtherNoise, Partly, PriorTruth, SampledPosterior
from validation.scenarios.tutorial import TUTORIAL

STANDARD_SCENARIOS: tuple[Scenario, ...] = (
    *CALIBRATION,
    *TUTORIAL,
    *MIXTURES,
    *GRAPHS,
    *SEVERAL_ANSWERS,
    *MISSPECIFIED,
    *REFERENCES,
)

__all__ = [
    "STANDARD_SCENARIOS",
    "Allowed",
    "Contrast",
    "Design",
    "Draw",
    "FixedData",
    "FixedTruth",
    "Intervention",
    "Moments",
    "OtherNoise",
    "Partly",
    "PosteriorTruth",
    "PriorTruth",
    "Role",
    "SampledPosterior",
    "Scenario",
    "Seeds",
    "Source",
    "Truth",
    "contrasts",
    "do_each",
]
