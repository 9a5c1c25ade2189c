"""Truths drawn from the prior, over which posterior intervals and ranks must be calibrated."""

from estimators import CausalMixture, GaussianMixture
from validation.scenarios.scenario import Scenario, do_each
from validation.scenarios.sources import Partly, PriorTruth


def calibrated_model() -> CausalMixture:
    """Return the tutorial's mixture with a prior under which both components have rows."""
    return GaussianMixture(K=2, concentration=5.0, scale=1.0, loc_scale=10.0)


def close_model() -> CausalMixture:
    """Return a mixture whose means are close together, so that the prior matters."""
    return GaussianMixture(K=2, concentration=5.0, scale=1.0, loc_scale=1.0)


CALIBRATION = (
    Scenario(
        name="prior_truths",
        sentence=(
            "Truths drawn from the model's prior (concentration 5, known scale 1, means of scale 10), 100 rows each. "
            "Over such truths, and only there, posterior intervals must cover at their nominal rate."
        ),
        make_model=calibrated_model,
        source=PriorTruth(),
        num_rows=100,
        interventions=do_each(2),
    ),
    Scenario(
        name="prior_truths_set",
        sentence=(
            "Truths drawn from a prior under which components overlap (means of scale 1), 60 rows each, in half of "
            "which Z was set and in a tenth of which it was seen: labels are pinned, so nothing is sorted."
        ),
        make_model=close_model,
        source=PriorTruth(Partly(seen=0.1, set=0.5)),
        num_rows=60,
        interventions=do_each(2),
        sort_by=None,
    ),
)
