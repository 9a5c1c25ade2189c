"""Truths drawn from the prior, over which posterior intervals and ranks must be calibrated."""

from typing import Any

from pyro.distributions import HalfNormal, LogNormal, Normal

from estimators import CausalMixture, GaussianMixture
from estimators.mechanisms import (
    Bernoulli,
    Categorical,
    Gaussian,
    LinearGaussian,
    Logistic,
    NegativeBinomial,
    Poisson,
    PoissonRegression,
)
from validation.scenarios.base import Role
from validation.scenarios.intervention import Intervention
from validation.scenarios.scenario import Scenario, do_each
from validation.scenarios.sources import Partly, PriorTruth


def calibrated_model() -> CausalMixture:
    """Return the tutorial's mixture with a prior under which both components have rows."""
    return GaussianMixture(K=2, concentration=5.0, scale=1.0, loc_scale=10.0)


def close_model() -> CausalMixture:
    """Return a mixture whose means are close together, so that the prior matters."""
    return GaussianMixture(K=2, concentration=5.0, scale=1.0, loc_scale=1.0)


def of_visits() -> CausalMixture:
    """Return a mixture of which one row tells little of its class, and several of a unit more."""
    return GaussianMixture(K=2, concentration=5.0, scale=1.0, loc_scale=2.0)


def of_unknown_scale() -> CausalMixture:
    """Return a mixture of two normals whose scales are estimated."""
    return CausalMixture(2, {"X": Gaussian(loc=Normal(0, 10), scale=HalfNormal(2))}, concentration=2.0)


def of_every_family() -> CausalMixture:
    """Return Z with an effect of every family: a line on T, a count, a category, a treatment."""
    mechanisms: dict[str, Any] = {
        "M": Gaussian(loc=Normal(0, 3), scale=1.0),
        "T": Bernoulli(),
        "C": Categorical(3),
        "N": Poisson(),
        "Y": LinearGaussian(parents=["T"], coefficients=Normal(0, 3), scale=HalfNormal(2)),
    }
    return CausalMixture(2, mechanisms, concentration=2.0)


def of_age() -> CausalMixture:
    """Return Z by age, and what classes share: slopes, an interaction, and a mediator that Z does not cause."""
    mechanisms: dict[str, Any] = {
        "age": Gaussian(loc=0.0, scale=1.0),
        "X": Gaussian(loc=[-2.0, 2.0], scale=1.0),
        "T": Logistic(["age"], Normal(0, 1), shared=["age"]),
        "M": LinearGaussian(["T"], coefficients=Normal(0, 2), scale=HalfNormal(1), caused_by_latent=False),
        "Y": PoissonRegression(["M", "age", "M:age"], Normal(0, 0.5), shared=["age", "M:age"]),
    }
    return CausalMixture(2, mechanisms, latent_parents=["age"])


def of_regressions() -> CausalMixture:
    """Return a clinic: age and a hidden type of patient cause a treatment, the type and the treatment a count."""
    mechanisms: dict[str, Any] = {
        "age": Gaussian(loc=Normal(0, 2), scale=1.0),
        "T": Logistic(["age"], Normal(0, 1)),
        "Y": NegativeBinomial(["T"], Normal(0, 1), LogNormal(-1.0, 0.5)),
    }
    return CausalMixture(2, mechanisms, concentration=2.0)


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
    Scenario(
        name="prior_visits",
        sentence=(
            "Truths drawn from a prior under which components overlap (means of scale 2), 30 units of four rows each, "
            "which share one Z: taken for 120 rows with a Z each, intervals would be too narrow."
        ),
        make_model=of_visits,
        source=PriorTruth(Partly(rows_of_unit=4)),
        num_rows=120,
        interventions=do_each(2),
    ),
    Scenario(
        name="prior_scales",
        sentence=(
            "Truths drawn from a prior with a mean and a scale of each component's own (concentration 2), 50 rows: a "
            "narrow component of few rows, a wide one below a narrow one, two that are alike."
        ),
        make_model=of_unknown_scale,
        source=PriorTruth(),
        num_rows=50,
        interventions=do_each(2),
        role=Role.HARD,
    ),
    Scenario(
        name="prior_families",
        sentence=(
            "Truths drawn from the prior of a graph with every family: Z causes a normal M, a treatment T, a category "
            "C, a count N and an outcome Y, which T causes too; 60 rows."
        ),
        make_model=of_every_family,
        source=PriorTruth(),
        num_rows=60,
        interventions=(Intervention("Y", {"T": 0}), Intervention("Y", {"T": 1})),
        sort_by="mu_M",
        role=Role.HARD,
    ),
    Scenario(
        name="prior_regressions",
        sentence=(
            "Truths drawn from the prior of a clinic: a hidden type of patient and age cause a treatment (logistic), "
            "the type and the treatment a count (negative binomial); 100 rows."
        ),
        make_model=of_regressions,
        source=PriorTruth(),
        num_rows=100,
        interventions=(Intervention("Y", {"T": 0}), Intervention("Y", {"T": 1})),
        sort_by="mu_age",
        role=Role.HARD,
    ),
    Scenario(
        name="prior_age",
        sentence=(
            "Truths drawn from the prior of a graph in which age causes Z (a multinomial logit) and a treatment, the "
            "treatment a mediator that Z does not cause, and these with an interaction a count, by slopes that classes "
            "share; a measure of Z has known means, two standard deviations from 0; 80 rows."
        ),
        make_model=of_age,
        source=PriorTruth(),
        num_rows=80,
        interventions=(Intervention("M", {"T": 1}), Intervention("Y", {"M": 1.0, "age": 0.5})),
        sort_by=None,
        role=Role.HARD,
    ),
)
