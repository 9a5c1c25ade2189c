"""Posteriors that Stan has sampled: what is stored of them, that our models are Stan's, and the claim of agreement."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from tests.validation.studies import run_here
from validation.claims.judge import assess_claims
from validation.scenarios.references import FOLDER, REFERENCES
from validation.statistics.check import Verdict
from validation.statistics.measured import Sampled
from validation.study.contenders import standard_contenders
from validation.study.presets import PRESETS
from validation.study.row import CONVERGED, Interval, Row
from validation.study.study import Study

MIXTURE, CHAIN = REFERENCES
NUTS = next(each for each in standard_contenders() if each.name == "NUTS")
WRONG = {"right": {}, "beside": {"shift": 0.3}, "narrow": {"width": 0.75}, "wide": {"width": 4 / 3}}


def log_gauss_mix(y, theta, mu, sigma):
    """The target of low_dim_gauss_mix.stan, in which theta is the first weight."""
    by_class = np.log([theta, 1 - theta]) + stats.norm.logpdf(y[:, None], mu, sigma)
    prior = stats.beta.logpdf(theta, 5, 5) + stats.norm.logpdf(mu, 0, 2).sum() + stats.norm.logpdf(sigma, 0, 2).sum()
    return logsumexp(by_class, axis=1).sum() + prior


def log_hmm_example(y, move, mu):
    """The target of hmm_example.stan: the forward algorithm, from a first state that has no term."""
    emitted = stats.norm.logpdf(y[:, None], mu, 1.0)
    gamma = emitted[0]
    for step in emitted[1:]:
        gamma = logsumexp(gamma[:, None] + np.log(move), axis=0) + step
    return logsumexp(gamma) + stats.norm.logpdf(mu, [3, 10], 1).sum()


def log_density(scenario, greeks):
    """Log-likelihood and log-prior of the scenario's model at its rows, without a Jacobian."""
    density = scenario.model.density(scenario.source.draw(scenario, None).data)
    parts, *_ = density.evaluate(density.unconstrain({name: np.array(value)[None] for name, value in greeks.items()}))
    return float((parts.likelihood + parts.prior)[0])


@pytest.mark.parametrize("scenario", REFERENCES, ids=lambda each: each.name)
def test_moments_are_those_of_ten_thousand_draws(scenario):
    drawn = scenario.source.draw(scenario, None)
    assert drawn.data.num_rows == scenario.num_rows
    assert set(scenario.model.check_greeks(drawn.greeks)) == set(drawn.greeks)
    for name, moments in scenario.reference.items():
        greek, _, index = name.rstrip("]").partition("[")
        assert moments.mean == drawn.greeks[greek][tuple(map(int, index.split(", ")))]
        assert moments.mean_error == pytest.approx(moments.sd / 100, rel=0.1)
        assert moments.sd_error == pytest.approx(moments.sd / math.sqrt(2 * 10_000), rel=0.3)
    assert (FOLDER / "LICENCE.md").read_text().startswith("BSD 3-Clause License")
    assert scenario.name not in PRESETS["quick"].scenarios


def test_the_mixture_has_the_density_of_stan():
    y = MIXTURE.source.draw(MIXTURE, None).data.columns["X"].numpy()
    points = [(0.62, [-2.7, 2.9], [1.03, 1.02]), (0.31, [-1.0, 0.5], [0.4, 2.2])]
    ours = [
        log_density(MIXTURE, {"theta": [theta, 1 - theta], "mu_X": mu, "sigma_X": sigma}) for theta, mu, sigma in points
    ]
    stan = [log_gauss_mix(y, *map(np.array, point)) for point in points]
    assert ours[0] - ours[1] == pytest.approx(stan[0] - stan[1], rel=1e-10)


def test_the_chain_has_the_density_of_stan():
    y = CHAIN.source.draw(CHAIN, None).data.columns["y"].numpy()[0]
    points = [([[0.67, 0.33], [0.07, 0.93]], [3.0, 8.8]), ([[0.2, 0.8], [0.45, 0.55]], [1.5, 11.0])]
    ours = [log_density(CHAIN, {"move": move, "mu": mu}) for move, mu in points]
    stan = [log_hmm_example(y, *map(np.array, point)) for point in points]
    assert ours[0] - ours[1] == pytest.approx(stan[0] - stan[1], rel=1e-10)


# ---------------------------------------------------------------- the claim


def verdict(scenario, rows):
    """What is made of the rows at the thresholds of the standard study."""
    plan = Study((scenario,), (NUTS,), preset="standard").plan()
    assert [claim.kind for claim in plan.claims] == ["reference"]
    (finding,) = assess_claims(plan, rows)
    return finding.verdict


def distorted(scenario, rows, *, shift=0.0, width=1.0):
    """Rows as if draws were moved by so many sds of the reference, and drawn together about their mean."""
    away = {name: shift * moments.sd for name, moments in scenario.reference.items()}
    return [
        replace(
            row,
            estimate={name: value + away.get(name, 0.0) for name, value in row.estimate.items()},
            intervals={name: replace(one, sd=width * one.sd) for name, one in row.intervals.items()},
        )
        for row in rows
    ]


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("scenario", REFERENCES, ids=lambda each: each.name)
def test_draws_of_the_reference_pass_and_others_do_not(scenario, wrong):
    """As many fits as there are, whose moments err as those of 800 independent draws do."""
    rng, ess, rows = np.random.default_rng(0), 800, []
    for replicate in range(20 if scenario is MIXTURE else 2):
        error = {name: one.sd / math.sqrt(ess) for name, one in scenario.reference.items()}
        estimate = {name: one.mean + error[name] * rng.normal() for name, one in scenario.reference.items()}
        intervals = {
            name: Interval(one.sd * math.sqrt(rng.chisquare(ess) / ess), -1, 1, 0, ess)
            for name, one in scenario.reference.items()
        }
        rows.append(Row(scenario.name, "NUTS", replicate, 0, CONVERGED, estimate=estimate, intervals=intervals))
    assert (verdict(scenario, distorted(scenario, rows, **WRONG[wrong])) is Verdict.PASS) == (wrong == "right")


def test_errors_of_both_sides_are_in_the_interval():
    """Of 10,000 differences of a mean of four and a number with an error, a tenth leave their 90 % interval."""
    rng, law, n = np.random.default_rng(0), Sampled(2.0, 0.5), 4
    off = rng.normal(size=(10_000, n), scale=2.0).mean(1) - rng.normal(size=10_000, scale=0.5)
    low, high = np.array([law.interval(value, n, 0.1) for value in off]).T
    missed = int(((low > 0) | (high < 0)).sum())
    assert stats.binomtest(missed, 10_000, 0.1).pvalue > 1e-6
    assert stats.binomtest(int((abs(off) > 1.645).sum()), 10_000, 0.1).pvalue < 1e-6  # without the other's error
    assert law.error(0.0, 10**9) == pytest.approx(0.5)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", REFERENCES, ids=lambda each: each.name)
def test_nuts_agrees_with_stan_and_distorted_draws_do_not(scenario):
    contenders = tuple(each for each in standard_contenders() if each.name in ("EM", "NUTS"))
    rows = run_here(Study((scenario,), contenders, preset="standard"))
    assert {row.estimator for row in rows} == {"NUTS"}, "EM has no draws"
    assert verdict(scenario, rows) is Verdict.PASS
    for wrong in ("beside", "narrow"):
        assert verdict(scenario, distorted(scenario, rows, **WRONG[wrong])) is not Verdict.PASS
