"""Truths drawn from the prior, where the coverage of a posterior interval must be nominal."""

from estimators import CausalMixture, GaussianMixture
from validation.scenarios.base import NormalOutcome, PriorTruth, Scenario


def calibrated_model() -> CausalMixture:
    """Return the tutorial's mixture with a prior under which both components have rows."""
    return GaussianMixture(K=2, concentration=5.0, scale=1.0, loc_scale=10.0)


PRIOR = (
    Scenario(
        name="prior_truths",
        sentence=(
            "Truths drawn from the model's prior (concentration 5, known scale 1, means of scale 10), 100 rows each. "
            "Over such truths, and only there, posterior intervals must cover at their nominal rate."
        ),
        make_model=calibrated_model,
        source=PriorTruth(),
        num_rows=100,
        replicates=48,
        outcome=NormalOutcome(1.0),
    ),
)
