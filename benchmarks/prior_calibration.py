"""Simulation-based calibration of NUTS and SMC, as they come, under the tutorial's own prior, at 5, 20 and 100 rows.

``python -m validation run --scenarios benchmarks/prior_calibration.py --estimators
benchmarks/prior_calibration.py:NUTS_AS_IT_COMES --estimator NUTS_AS_IT_COMES --preset standard --replicates 1000
--output build/prior-calibration``, and likewise for SMC_AS_IT_COMES.

An hour of one core for NUTS and two for SMC; what was interrupted goes on by ``python -m validation resume``. The
concentration is .5, with spreads known and not: in many of these data sets a class is empty, or the two overlap, and
the posterior has several modes.
"""

from pyro.distributions import HalfNormal, Normal

from estimators import NUTS, SMC, CausalMixture, GaussianMixture
from estimators.mechanisms import Gaussian
from validation.scenarios import PriorTruth, Scenario, do_each
from validation.study.contenders import Contender


def known_spreads() -> CausalMixture:
    """Return the tutorial's mixture of two normals."""
    return GaussianMixture(K=2, concentration=0.5, scale=1.0, loc_scale=10.0)


def unknown_spreads() -> CausalMixture:
    """Return the same with a spread of each class's own."""
    return CausalMixture(2, {"X": Gaussian(loc=Normal(0, 10), scale=HalfNormal(2))}, concentration=0.5)


SCENARIOS = tuple(
    Scenario(
        name=f"{make_model.__name__}_{num_rows}",
        sentence=f"Truths drawn from the prior (concentration 0.5, {make_model.__name__}), {num_rows} rows each.",
        make_model=make_model,
        source=PriorTruth(),
        num_rows=num_rows,
        interventions=do_each(2),
        family=make_model.__name__,
    )
    for make_model in (known_spreads, unknown_spreads)
    for num_rows in (5, 20, 100)
)

NUTS_AS_IT_COMES = Contender("NUTS_AS_IT_COMES", NUTS(progress_bar=False), posterior=True, searches=True)
SMC_AS_IT_COMES = Contender("SMC_AS_IT_COMES", SMC(progress_bar=False), posterior=True)
