"""Mixtures with fixed, known truth: well separated, overlapping, unbalanced."""

from pyro.distributions import HalfNormal, Normal

from estimators import CausalMixture
from estimators.mechanisms import Gaussian
from validation.scenarios.base import FixedTruth, NormalOutcome, Scenario
from validation.scenarios.tutorial import tutorial_model

REPLICATES = 20


def unknown_scales() -> CausalMixture:
    """Return a mixture of two normals whose scales are estimated, one for each component."""
    mechanism = Gaussian(loc=Normal(0, 10), scale=HalfNormal(5), shared_scale=False)
    return CausalMixture(2, {"X": mechanism}, concentration=1.0)


MIXTURES = (
    Scenario(
        name="well_separated",
        sentence="Two components of known scale 1, six standard deviations apart, weights 0.4 and 0.6, 300 rows.",
        make_model=tutorial_model,
        source=FixedTruth({"theta": (0.4, 0.6), "mu_X": (-2.0, 4.0)}),
        num_rows=300,
        replicates=REPLICATES,
        outcome=NormalOutcome(1.0),
    ),
    Scenario(
        name="overlapping",
        sentence="Two components of known scale 1, only two and a half standard deviations apart, 500 rows.",
        make_model=tutorial_model,
        source=FixedTruth({"theta": (0.4, 0.6), "mu_X": (-1.0, 1.5)}),
        num_rows=500,
        replicates=REPLICATES,
        outcome=NormalOutcome(1.0),
    ),
    Scenario(
        name="unbalanced",
        sentence="A tenth of the rows from one component, the rest from the other, unknown scales 1 and 2, 500 rows.",
        make_model=unknown_scales,
        source=FixedTruth({"theta": (0.1, 0.9), "mu_X": (-6.0, 3.0), "sigma_X": (1.0, 2.0)}),
        num_rows=500,
        replicates=REPLICATES,
        outcome=NormalOutcome(),
    ),
)
