"""Posteriors of every regression are calibrated over truths drawn from their priors."""

from functools import partial

import numpy as np
import pytest
from pyro.distributions import Gamma, HalfNormal, LogNormal, Normal

from estimators import NUTS, CausalMixture, mechanisms
from estimators.mechanisms import Bernoulli, Gaussian, Mechanism
from tests.validation.studies import run_here
from validation.scenarios.calibration import PriorTruth
from validation.scenarios.intervention import Intervention
from validation.scenarios.scenario import Scenario
from validation.study.contenders import Contender
from validation.study.row import RANKED
from validation.study.study import Study

LINE = Normal(0.0, 1.0)
# By name: the mechanism of Y below Z and T.
FAMILIES: dict[str, Mechanism] = {
    "LinearGaussian": mechanisms.LinearGaussian(["T"], LINE, HalfNormal(1.0)),
    "Logistic": mechanisms.Logistic(["T"], LINE),
    "MultinomialLogit": mechanisms.MultinomialLogit(3, ["T"], LINE),
    "OrderedLogistic": mechanisms.OrderedLogistic(4, ["T"], LINE),
    "PoissonRegression": mechanisms.PoissonRegression(["T"], LINE),
    "NegativeBinomial": mechanisms.NegativeBinomial(["T"], LINE, LogNormal(-1.0, 0.5)),
    "LogNormal": mechanisms.LogNormal(["T"], LINE, HalfNormal(1.0)),
    "StudentT": mechanisms.StudentT(["T"], LINE, HalfNormal(1.0), df=Gamma(20.0, 2.0)),
}
REPLICATES = 80


def model_of(name: str) -> CausalMixture:
    """W has known means, so that labels are sure; Z causes T and Y, and T causes Y."""
    measure = Gaussian(loc=[-2.0, 2.0], scale=1.0)
    return CausalMixture(2, {"W": measure, "T": Bernoulli(), "Y": FAMILIES[name]}, concentration=3.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.statistical(checks=4, min_effect=1.0)
def test_a_regressions_posterior_is_calibrated(stat, name):
    scenario = Scenario(
        name=name,
        sentence=f"Truths drawn from the prior of {name}.",
        make_model=partial(model_of, name),
        source=PriorTruth(),
        num_rows=50,
        interventions=(Intervention("Y", {"T": 1}),),
        sort_by=None,
    )
    sampler = NUTS(num_samples=400, warmup_steps=250, num_chains=1, progress_bar=False)
    study = Study((scenario,), (Contender("NUTS", sampler, posterior=True),), seed=stat.seed, replicates=REPLICATES)
    rows = run_here(study)
    assert [row.status for row in rows].count("ERROR") == 0
    own = [quantity for quantity in rows[0].truth if quantity.endswith("_Y") or "_Y[" in quantity]
    for quantity in (own[0], own[-1], "log p(data)"):
        stat.uniform_ranks([row.intervals[quantity].rank for row in rows], RANKED)
    # The control: each rank an eighth of the way up from where it is.
    with stat.control():
        stat.uniform_ranks([min(row.intervals[own[0]].rank + RANKED // 3, RANKED) for row in rows], RANKED)
    assert np.isfinite([row.estimate[own[0]] for row in rows]).all()
