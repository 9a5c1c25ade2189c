"""Draws around a mode, corrected by importance weights: the exact density's where they can be, and a word where not."""

import warnings

import numpy as np
import pytest
from scipy.stats import norm
from scipy.stats import t as student

from estimators import EM, MAP, CausalMixture, Data, Exact, GaussianMixture
from estimators.diagnostics import importance
from estimators.mechanisms import Gaussian
from estimators.modes import Search
from estimators.status import EstimationWarning, Status
from tests.models import TUTORIAL_ROWS, fit_quietly, quiet
from validation.testing import Stat

FEW = np.array([0.0, 1.0, 2.5, 3.0, 6.0, 2.0])


@pytest.mark.statistical(checks=1, min_effect=0.06)
def test_of_few_rows_the_mean_has_student_s_law(stat: Stat) -> None:
    """Uniform in the mean and the log of the scale, its density is Student's with one degree of freedom less than rows.

    The normal approximation, whose scale is that of maximum likelihood, is the control.
    """
    fit = EM().fit(CausalMixture(1, {"X": Gaussian()}), {"X": FEW}, seed=0).laplace(4000, seed=stat.seed)
    assert fit.stats["pareto_k"] < 0.7
    scores = (fit.draws["mu_X"][:, 0] - FEW.mean()) / (FEW.std(ddof=1) / np.sqrt(len(FEW)))
    stat.cdf(scores, student(len(FEW) - 1).cdf)
    with stat.control():
        stat.cdf(scores, norm(scale=FEW.std() / FEW.std(ddof=1)).cdf)


@pytest.mark.statistical(checks=2, min_effect=0.08)
def test_of_few_rows_and_a_prior_the_draws_are_the_posterior_s(stat: Stat) -> None:
    """Against `Exact`, which sums over all allocations of five rows; the other mode has next to no weight."""
    model = GaussianMixture(K=2, concentration=2.0)
    exact = Exact(num_draws=4500).fit(model, {"X": TUTORIAL_ROWS}, seed=stat.seed)
    fit = MAP().fit(model, {"X": TUTORIAL_ROWS}, seed=0).laplace(4500, seed=stat.seed)
    for name in ("theta", "mu_X"):
        stat.same_distribution(fit.draws[name][:, 1].numpy(), exact.draws[name][:, 1].numpy())
    with stat.control():
        wider = 1.5 * fit.draws["mu_X"][:, 1] - 0.5 * fit["mu_X"][1]
        stat.same_distribution(wider.numpy(), exact.draws["mu_X"][:, 1].numpy())


@pytest.mark.statistical(checks=2, min_effect=0.08)
def test_draws_are_of_all_modes_in_proportion(stat: Stat) -> None:
    """Two classes on three clusters: `Exact` has the middle one with either of the others in known shares.

    Draws of the likelier mode alone are the control.
    """
    rng = np.random.default_rng(0)
    rows = np.r_[rng.normal(0, 0.3, 5) - 5.7, rng.normal(0, 0.3, 5), rng.normal(0, 0.3, 5) + 6.0]
    model = GaussianMixture(K=2, concentration=2.0)
    exact = Exact(num_draws=4500).fit(model, {"X": rows}, seed=stat.seed)
    fit = fit_quietly(MAP(num_steps=5), model, {"X": rows}, seed=0, search=Search())
    spread = fit.laplace(4500, seed=stat.seed)
    assert fit.status is Status.RIVAL_MODES and spread.status is Status.CONVERGED
    assert spread.stats["pareto_k"] < 0.7 and "all modes in proportion" in spread.advice[-1]
    # Each mode's share and answer are said: the middle cluster is with the upper one, or with the lower.
    mean = spread.do(Z=0).mean("X")
    assert [round(float(one.value)) for _, one in mean.by_mode] == [-6, -3]
    assert sum(share * one.value for share, one in mean.by_mode) == pytest.approx(float(mean.value))
    assert [one.draws.tolist() for _, one in mean.by_mode] == [
        mode.draws["mu_X"][:, 0].tolist() for mode in sorted(spread.modes, key=lambda mode: -mode.num_draws)
    ]
    for name in ("theta", "mu_X"):
        stat.same_distribution(spread.draws[name][:, 0].numpy(), exact.draws[name][:, 0].numpy())
    with stat.control():
        # A draw that falls near the other mode has nearly all weight, which is said.
        with quiet():
            alone = MAP(num_steps=5).fit(model, {"X": rows}, seed=0, search=None).laplace(4500, seed=stat.seed)
        stat.same_distribution(alone.draws["mu_X"][:, 0].numpy(), exact.draws["mu_X"][:, 0].numpy())


def test_a_mode_too_light_for_a_rival_is_among_the_draws() -> None:
    """One seen row of three clusters: the other two may be named the other way round, at .004 of the posterior."""
    rng = np.random.default_rng(4)
    rng.normal(size=9)
    rows = np.r_[rng.normal(-6, 1, 3), rng.normal(0, 1, 3), rng.normal(7, 1, 2)]
    data = Data(X=rows, Z=np.r_[-np.ones(7), 2].astype(int))
    fit = MAP(num_steps=5).fit(GaussianMixture(3, concentration=2.0), data, seed=0, search=Search())
    assert fit.status is Status.CONVERGED and len(fit.modes) == 2 and fit.modes.weights[1] < 0.01
    draws, modes = fit.laplace(8000, seed=0).draws["mu_X"], [mode["mu_X"] for mode in fit.modes]
    nearer = (draws - modes[1]).square().sum(1) < (draws - modes[0]).square().sum(1)
    assert bool(nearer.any()) and float(nearer.double().mean()) < 0.1


def test_where_the_density_is_unlike_its_approximation_it_says_so() -> None:
    """Two classes that may be one: the mean of a class without weight may be anything."""
    x = np.random.default_rng(3).normal(0.0, 1.0, 40)
    fit = EM().fit(GaussianMixture(K=2), {"X": x}, seed=0, search=None)
    with pytest.warns(EstimationWarning, match=r"Pareto k̂ .* use NUTS\(\), or \.profile\(\)"):
        spread = fit.laplace(seed=0)
    assert spread.stats["pareto_k"] > 0.7
    assert any("not like its normal approximation" in sentence for sentence in spread.advice)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert EM().fit(GaussianMixture(K=2), {"X": TUTORIAL_ROWS * 10}, seed=0).laplace(seed=0).stats["pareto_k"] < 0.7


def test_equal_weights_stay_as_they_are_and_what_is_not_a_number_has_none() -> None:
    equal = importance(np.full(100, 3.0))
    assert (equal.ess, equal.pareto_k) == (pytest.approx(100.0), 0.0)
    # A tail that is all there is has no law of its own.
    few = importance(np.where(np.arange(4000) < 100, 3.0, -np.inf))
    assert few.ess == pytest.approx(100.0) and few.weights[:100].tolist() == pytest.approx([0.01] * 100)
    logs = np.random.default_rng(0).normal(0.0, 0.5, 1000)
    # One that is most of all is no tail, as a mode may have been missed: its shape alone, .42, would be trusted. Twice
    # the others' largest is one of them.
    many = np.random.default_rng(0).normal(0.0, 0.5, 20_000)
    assert importance(np.append(many, 12.0)).pareto_k >= 1.0
    assert importance(np.append(many, many.max() + np.log(2.0))).pareto_k < 0.7
    logs[3] = np.nan
    found = importance(logs)
    assert found.weights[3] == 0.0
    assert found.weights.sum() == pytest.approx(1.0)
    others = np.arange(1000) != 3
    body = others & (logs < np.nanquantile(logs, 0.8))
    np.testing.assert_allclose(
        found.weights[body] / found.weights[body].sum(), np.exp(logs[body]) / np.exp(logs[body]).sum()
    )
