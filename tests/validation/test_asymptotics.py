"""Efficient errors against closed forms, and against quadrature written out by hand."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from pyro.distributions import Gamma, Normal
from scipy import integrate, stats

from estimators import CausalMixture, Data, Fit, GaussianMixture, PyroModel
from estimators.mechanisms import Gaussian, Poisson
from validation.scenarios import Design, FixedTruth, Intervention, Partly, Scenario, do_each
from validation.scenarios.asymptotics import SIMULATED_ROWS, asymptotics
from validation.scenarios.sources import FixedData

# Relative standard error of a standard deviation from the information of simulated rows, whose squared scores have a
# relative variance of 2 (a normal mean) over SIMULATED_ROWS rows; an information enters a standard deviation by its
# root. Twice that where only a quarter of the rows or more are of the class. What is off by eight of them is seen.
SIMULATED = np.sqrt(2 / SIMULATED_ROWS) / 2
seen = partial(pytest.mark.statistical, min_effect=8.0)


def check_near(stat, found, expected, error=SIMULATED):
    stat.estimate(found, expected * error, expected)
    with stat.control():  # a dozen standard errors on
        stat.estimate(found + 12 * expected * error, expected * error, expected)


CONTRAST = "E[X | do(Z=1)] − E[X | do(Z=0)]"


def mixture(theta, mu, rows=None, num_rows=400, design=None):
    return Scenario(
        name="mixture",
        sentence="Two normals.",
        make_model=tutorial,
        source=FixedTruth({"theta": theta, "mu_X": mu}, rows or Partly(), design),
        num_rows=num_rows,
        interventions=do_each(2),
    )


def tutorial():
    return GaussianMixture(K=2)


@seen(checks=4)
def test_classes_that_do_not_overlap(stat):
    """Z is as good as seen: a multinomial's and two means' standard errors."""
    found = asymptotics(mixture((0.25, 0.75), (-40.0, 40.0)))
    expected = {
        "theta[0]": np.sqrt(0.25 * 0.75 / 400),
        "mu_X[0]": np.sqrt(1 / 100),
        "mu_X[1]": np.sqrt(1 / 300),
        CONTRAST: np.sqrt(1 / 100 + 1 / 300),
    }
    assert {name: found.sd[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    assert found.truth[CONTRAST] == pytest.approx(80.0)
    assert found.kl == pytest.approx({"X | do(Z=0)": 1 / 200, "X | do(Z=1)": 1 / 600}, rel=1e-5)
    assert found.kl_weights == pytest.approx((0.5, 0.5), rel=1e-5)  # each intervention's is one chi-squared term
    with_all_seen = asymptotics(mixture((0.25, 0.75), (-40.0, 40.0), Partly(seen=1.0))).sd
    for name in expected:
        check_near(stat, with_all_seen[name], found.sd[name], 2 * SIMULATED)
    assert found.num_rows == 400


@pytest.mark.parametrize("separation", [1.5, *(pytest.param(far, marks=pytest.mark.slow) for far in (2.5, 6.0))])
def test_overlapping_classes_by_quadrature(separation):
    """The information of the marginal by SciPy's quadrature of scores written out by hand."""
    theta, (a, b) = 0.3, (-separation / 2, separation / 2)

    def score(x):
        p, q = stats.norm.pdf(x - a), stats.norm.pdf(x - b)
        density = theta * p + (1 - theta) * q
        return density, np.array([(p - q), theta * p * (x - a), (1 - theta) * q * (x - b)]) / density

    def entry(i, j):
        def integrand(x):
            density, s = score(x)
            return density * s[i] * s[j]

        return integrate.quad(integrand, -12 - separation, 12 + separation, limit=200, epsabs=1e-12)[0]

    information = 400 * np.array([[entry(i, j) for j in range(3)] for i in range(3)])
    covariance = np.linalg.inv(information)
    found = asymptotics(mixture((theta, 1 - theta), (a, b)))
    bound = np.sqrt(np.diag(covariance))
    assert [found.sd[n] for n in ("theta[0]", "mu_X[0]", "mu_X[1]")] == pytest.approx(bound, rel=1e-4)
    contrast = np.sqrt(covariance[1, 1] + covariance[2, 2] - 2 * covariance[1, 2])
    assert found.sd[CONTRAST] == pytest.approx(contrast, rel=1e-4)
    assert found.kl["X | do(Z=0)"] == pytest.approx(covariance[1, 1] / 2, rel=1e-4)
    with_all_seen = asymptotics(mixture((theta, 1 - theta), (a, b), Partly(seen=1.0))).sd
    assert all(found.sd[name] > 0.97 * with_all_seen[name] for name in found.sd), "hiding Z cannot help"


@seen(checks=3)
def test_rows_that_are_set_say_nothing_of_the_weights(stat):
    """Far apart classes, half of the rows set to each label in turn: theta is learnt from the other half alone."""
    found = asymptotics(mixture((0.25, 0.75), (-40.0, 40.0), Partly(set=0.5)))
    check_near(stat, found.sd["theta[0]"], np.sqrt(0.25 * 0.75 / 200))
    with stat.control():  # as if all rows said something of them
        sd = np.sqrt(0.25 * 0.75 / 400)
        stat.estimate(found.sd["theta[0]"], sd * SIMULATED, sd)
    # Rows of the class: 100 set, and a quarter or three quarters of the other 200.
    check_near(stat, found.sd["mu_X[0]"], np.sqrt(1 / (100 + 50)), 2 * SIMULATED)
    check_near(stat, found.sd["mu_X[1]"], np.sqrt(1 / (100 + 150)), 2 * SIMULATED)


@seen()
def test_rows_that_count_twice(stat):
    twice = Design(200, weights=np.full(200, 2.0))
    weighted = asymptotics(mixture((0.25, 0.75), (-40.0, 40.0), num_rows=200, design=twice))
    check_near(stat, weighted.sd["mu_X[0]"], np.sqrt(1 / 100), 2 * SIMULATED)
    with stat.control():  # as if they counted once
        sd = np.sqrt(1 / 50)
        stat.estimate(weighted.sd["mu_X[0]"], sd * 2 * SIMULATED, sd)


def counts():
    return CausalMixture(2, {"C": Poisson(prior=Gamma(1.0, 0.1))}, concentration=1.0)


@seen(checks=3)
def test_counts(stat):
    """Poisson classes far apart: the rate's standard error is √(rate/n), the divergence's mean 1/(2n)."""
    scenario = Scenario(
        name="counts",
        sentence="Two Poisson classes.",
        make_model=counts,
        source=FixedTruth({"theta": (0.4, 0.6), "rate_C": (2.0, 90.0)}),
        num_rows=500,
        interventions=do_each(2, "C"),
        sort_by="rate_C",
    )
    found = asymptotics(scenario)
    # The relative variance of the squared score of a rate λ is 2 + 1/λ, and a class has a part of the rows.
    simulated = SIMULATED * np.sqrt((2 + 1 / 2.0) / 2 / 0.4)
    check_near(stat, found.sd["rate_C[0]"], np.sqrt(2 / 200), simulated)
    check_near(stat, found.sd["rate_C[1]"], np.sqrt(90 / 300), simulated)
    check_near(stat, found.kl["C | do(Z=1)"], 1 / 600, 2 * simulated)


def program(N=1):
    import pyro
    import torch
    from pyro.distributions import Categorical, Dirichlet

    theta = pyro.sample("theta", Dirichlet(torch.ones(2, dtype=torch.float64)))
    mu = pyro.sample("mu", Normal(torch.zeros(2, dtype=torch.float64), 10.0).to_event(1))
    with pyro.plate("rows", N):
        z = pyro.sample("Z", Categorical(theta), infer={"enumerate": "parallel"})
        return pyro.sample("X", Normal(mu[z], 1.0))


@pytest.mark.slow
@seen(checks=4)
def test_a_program_has_the_bound_of_the_same_mixture(stat):
    ours = asymptotics(mixture((0.3, 0.7), (-2.0, 2.0)))
    scenario = replace(
        mixture((0.3, 0.7), (-2.0, 2.0)),
        make_model=lambda: PyroModel(program),
        source=FixedTruth({"theta": (0.3, 0.7), "mu": (-2.0, 2.0)}),
        interventions=(Intervention("X", {"Z": 0}), Intervention("X", {"Z": 1})),
    )
    found = asymptotics(scenario)
    for name, other in (("theta[0]", "theta[0]"), ("mu[0]", "mu_X[0]"), ("mu[1]", "mu_X[1]"), (CONTRAST, CONTRAST)):
        check_near(stat, found.sd[name], ours.sd[other], 2 * SIMULATED)


def test_there_is_none_without_a_fixed_truth_or_with_classes_that_are_the_same():
    fixed = mixture((0.3, 0.7), (-2.0, 2.0))
    assert asymptotics(replace(fixed, source=FixedData({"X": (0.0, 1.0)}), num_rows=2)) is None
    assert asymptotics(mixture((0.3, 0.7), (1.0, 1.0))) is None


@seen(checks=2)
def test_a_fit_becomes_a_truth_of_its_own_design(stat):
    """From a fit to rows half of which are set, the bound is that of such rows, and its mean is that of the fit."""
    model = CausalMixture(2, {"X": Gaussian(loc=Normal(0, 10), scale=1.0)})
    rng = np.random.default_rng(0)
    labels = np.where(np.arange(100) < 50, np.arange(100) % 2, -1)
    data = Data(
        X=np.where(rng.random(100) < 0.5, -30, 30) + rng.normal(size=100), Z=labels, intervened={"Z": labels >= 0}
    )
    fit = replace(Fit.from_greeks(model, {"theta": (0.4, 0.6), "mu_X": (-30.0, 30.0)}), data=data)
    found = asymptotics(Scenario.from_fit(fit))
    assert found.truth["mu_X[1]"] == pytest.approx(30.0)
    check_near(stat, found.sd["theta[0]"], np.sqrt(0.24 / 50), 2 * SIMULATED)
    check_near(stat, found.sd["mu_X[0]"], np.sqrt(1 / (25 + 20)), 2 * SIMULATED)
