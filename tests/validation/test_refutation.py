"""Refutation: its statistics, labels, words, figure and refusals."""

import doctest
import math
import random

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy import stats

import estimators
import validation
from estimators import EM, CausalMixture, Data, Exact, Fit, PyroModel, mechanisms
from estimators.mechanisms import Bernoulli, Gaussian, LinearGaussian
from tests.refutation_models import (
    CLASSES,
    GOOD,
    ONE_SCALE,
    PRIOR,
    SCALES,
    THREE,
    TWO,
    TWO_SCALES,
    drawn,
    hidden,
    set_labels,
)
from validation import refine, refute
from validation.refutation.experiment import arms_of, with_simulated
from validation.refutation.predictive import MAX_DRAWS, best_labels, log_densities, split
from validation.refutation.statistics import cramer_von_mises, p_values

# ---------------------------------------------------------------- the statistics


def test_one_p_value_takes_every_rank_once():
    rng = np.random.default_rng(0)
    pool = rng.normal(size=(3, 60)) + rng.normal(size=60)
    p = sorted(p_values([np.roll(values, -place) for values in pool])[1] for place in range(60))
    assert p == pytest.approx(np.arange(1, 61) / 60)


def test_distance_is_that_of_cramer_and_von_mises():
    u = np.random.default_rng(1).uniform(size=(4, 17)) ** 1.3
    spread, location = cramer_von_mises(u)
    expected = [stats.cramervonmises(row, "uniform").statistic for row in u]
    assert spread + location == pytest.approx(expected, rel=1e-12)


@pytest.fixture(scope="module")
def spread():
    return Exact(num_draws=500).fit(PRIOR, Data(X=[-2.0, 3.0, -1.4, 2.6, 0.3], Z=[0, 1, -1, -1, -1]), seed=0)


@pytest.mark.statistical(checks=2, min_effect=7.0)
def test_simulated_experiments_share_the_greeks_and_keep_what_is_set(stat, spread):
    rows = set_labels(PRIOR, {name: spread[name] for name in spread.draws}, (40, 60), 0)
    found = with_simulated(spread, rows, 500, stat.seed)
    assert (found.labels == rows.latent().numpy()).all()
    assert (found.columns["X"][0] == rows.columns["X"].numpy()).all()
    for arm in found.arms:
        means = found.columns["X"][1:][:, arm.rows].mean(1)
        mu = spread.draws["mu_X"][:, arm.settings["Z"]].numpy()
        # Each draw is used once, so that an arm's mean is that draw's plus noise of variance 1/m; sums of squares are
        # non-central chi-squared, here as a normal score.
        size = len(arm.rows)
        total = size * means.var() * 500
        shift = size * mu.var() * 500
        stat.estimate(stats.norm.ppf(stats.ncx2.cdf(total, 499, shift)), 1.0, 0.0)
        # Were the Greeks drawn anew for each row, it would have a row's variance over m.
        anew = stats.ncx2.rvs(499, 0.0, random_state=stat.seed) * (1 + mu.var())
        with stat.control():
            stat.estimate(max(stats.norm.ppf(stats.ncx2.cdf(anew, 499, shift)), -38.0), 1.0, 0.0)


@pytest.mark.parametrize("seen", [False, True])
def test_tables_agree_with_the_density_at_every_row(spread, seen):
    rows = set_labels(PRIOR, {name: spread[name] for name in spread.draws}, (7, 9), 0)
    if seen:  # Z measured in some rows where another variable is set
        model = CausalMixture(2, {"T": Bernoulli(), "X": Gaussian()})
        greeks = {"theta": [0.4, 0.6], "p_T": [0.2, 0.7], "mu_X": [-1.0, 1.0], "sigma_X": [1.0, 0.6]}
        fit = Fit.from_greeks(model, greeks)
        T = torch.tensor([0.0, 1.0]).repeat(8)
        columns = {**drawn(model, greeks, 16, 0, T=T), "T": T}
        Z = torch.where(torch.arange(16) < 5, columns["Z"], -1)
        rows = Data(**{**columns, "Z": Z}, intervened={"T": True})
    else:
        fit = spread
    found = with_simulated(fit, rows, 200, 1)
    direct = fit.log_density(rows).numpy()
    assert log_densities(fit, found)[0] == pytest.approx(direct, abs=2e-3)


def test_rows_with_several_variables_are_scored_jointly():
    model = CausalMixture(2, {"X": Gaussian(scale=1.0), "Y": Gaussian(scale=1.0)})
    fit = Fit.from_greeks(model, {"theta": [0.4, 0.6], "mu_X": [-1.0, 1.0], "mu_Y": [0.0, 3.0]})
    rows = set_labels(model, {name: fit[name] for name in fit.draws}, (6, 6), 0)
    found = with_simulated(fit, rows, 20, 1)
    assert log_densities(fit, found)[0] == pytest.approx(fit.log_density(rows).numpy(), rel=1e-12)


# ---------------------------------------------------------------- labels


def test_swapped_labels_are_refuted_by_identity_and_not_when_matched():
    fit = EM().fit(SCALES, hidden(SCALES, TWO_SCALES, 300, 1), seed=0)
    right = set_labels(SCALES, TWO_SCALES, (30, 50), 2)
    swapped = right.replace(Z=1 - right.latent())
    assert not refute(fit, right, seed=0).refuted
    assert refute(fit, swapped, seed=0).refuted
    matched = refute(fit, swapped, seed=0, labels="matched")
    assert not matched.refuted
    assert "0 is 1, 1 is 0" in matched.labels
    assert "identity" in refute(fit, right, seed=0).labels
    assert matched.p_value == refute(fit, right, seed=0, labels="matched").p_value


def test_matching_is_the_best_of_all_permutations():
    fit = Fit.from_greeks(THREE, CLASSES)
    rows = set_labels(THREE, CLASSES, (8, 5, 9), 3, num_labels=3)
    shuffled = rows.replace(Z=torch.tensor([2, 0, 1])[rows.latent()])
    order = best_labels(fit, with_simulated(fit, shuffled, 30, 0))
    assert order[0].tolist() == [1, 2, 0]
    assert (order[1:] == [0, 1, 2]).all()


# ---------------------------------------------------------------- other variables set


TREATED = CausalMixture(2, {"T": Bernoulli(), "Y": LinearGaussian(parents=["T"])})
EFFECT = {"theta": [0.4, 0.6], "p_T": [0.2, 0.8], "beta_Y": [[0.0, -1.0], [4.0, -1.0]], "sigma_Y": [0.7, 0.7]}


@pytest.mark.parametrize(("effect", "refuted"), [(-1.0, False), (0.5, True)])
def test_an_experiment_on_another_variable(effect, refuted):
    """Z -> T -> Y <- Z, with T set: Z keeps its own distribution, and no labels are compared."""
    fit = Fit.from_greeks(TREATED, EFFECT)
    changed = {**EFFECT, "beta_Y": [[0.0, effect], [4.0, effect]]}
    T = torch.tensor([0.0, 1.0]).repeat_interleave(60)
    rows = Data(T=T, Y=drawn(TREATED, changed, 120, 1, T=T)["Y"], intervened={"T": True})
    found = refute(fit, rows, seed=0)
    assert found.refuted is refuted
    assert "no labels" in found.labels
    assert [arm.words for arm in arms_of(rows)] == ["do(T=0)", "do(T=1)"]


def test_a_discrete_measurement_has_a_contrast_and_no_transform():
    fit = Fit.from_greeks(TREATED, EFFECT)
    rows = set_labels(TREATED, EFFECT, (40, 40), 1)
    found = refute(fit, rows, seed=0)
    assert found.not_applied == ("pit: T is discrete, or several numbers in a row",)
    assert not found.refuted
    flipped = refute(fit, rows.replace(T=1 - rows.columns["T"]), seed=0)
    assert flipped.refuted
    assert flipped.statistics["contrast"].p_value == pytest.approx(0.001)
    assert "T differs by" in flipped.statistics["contrast"].words


def test_settings_that_are_all_different():
    model = CausalMixture(2, {"D": Gaussian(), "Y": LinearGaussian(parents=["D"])})
    greeks = {"theta": [0.4, 0.6], "mu_D": [-1.0, 1.0], "sigma_D": [1.0, 1.0], "sigma_Y": [0.7, 0.7]}
    greeks["beta_Y"] = [[0.0, 1.0], [4.0, 1.0]]
    D = torch.linspace(-2, 2, 50, dtype=torch.float64)
    rows = Data(D=D, Y=drawn(model, greeks, 50, 1, D=D)["Y"], intervened={"D": True})
    fit = Fit.from_greeks(model, greeks)
    found = refute(fit, rows, seed=0)
    assert not found.refuted
    assert set(found.statistics) == {"pit", "log_score"}
    assert refute(fit, rows.replace(Y=2 * rows.columns["Y"]), seed=0).refuted


@pytest.mark.slow
def test_a_pyro_program():
    def program(N):
        theta = pyro.sample("theta", dist.Dirichlet(torch.ones(2)))
        with pyro.plate("components", 2):
            mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
        with pyro.plate("rows", N):
            Z = pyro.sample("Z", dist.Categorical(theta))
            pyro.sample("X", dist.Normal(mu[Z], 1.0))

    fit = Fit.from_greeks(PyroModel(program, order_by="mu"), {"theta": [0.5, 0.5], "mu": [-3.0, 3.0]})
    rows = set_labels(ONE_SCALE, TWO, (10, 10), 1)
    assert not refute(fit, rows, seed=0, num_simulations=99).refuted
    assert refute(fit, rows.replace(Z=1 - rows.latent()), seed=0, num_simulations=99).refuted


# ---------------------------------------------------------------- what a refutation says


def test_words_seed_and_global_state():
    fit = EM().fit(ONE_SCALE, hidden(SCALES, TWO_SCALES, 300, 1), seed=0)
    rows = set_labels(SCALES, TWO_SCALES, (40, 40), 2)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    found = refute(fit, rows, seed=3)
    assert (torch.get_rng_state() == before[0]).all()
    assert random.getstate() == before[1]
    assert np.random.get_state()[1].tolist() == before[2]
    assert found.p_value == refute(fit, rows, seed=3).p_value
    assert str(found) == found.sentence
    assert found.sentence.startswith("Refuted (p = 0.00")
    assert "X under do(Z=1) is wider than predicted" in found.sentence
    assert set(found.statistics) == {"pit", "contrast", "log_score"}
    assert "wider" not in refute(fit, rows.rows(rows.latent() == 0), seed=3).sentence


def test_figure_has_a_panel_for_each_variable_and_setting():
    fit = Fit.from_greeks(TREATED, EFFECT)
    figure = refute(fit, set_labels(TREATED, EFFECT, (40, 40), 1), seed=0, num_simulations=99).figure()
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["do(Z=0), 40 rows", "do(Z=1), 40 rows"] * 2
    density = figure.axes[2].lines[-1]
    assert np.trapezoid(density.get_ydata(), density.get_xdata()) == pytest.approx(1.0, abs=1e-3)
    masses = figure.axes[0].lines[-1].get_ydata()
    assert masses == pytest.approx([0.8, 0.2])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"experiment": Data(X=GOOD["X"])}, ValueError, "experiment: no entry was set"),
        ({"experiment": Data(**{**GOOD, "intervened": {"Z": [1, 1, 1, 1, 0]}})}, ValueError, r"nothing is set.*\[4\]"),
        ({"experiment": Data(**GOOD, W=GOOD["X"])}, ValueError, "experiment: the fit has no variable 'W'"),
        ({"experiment": Data(**{**GOOD, "Z": [0, 1, 2, 0, 0]})}, ValueError, "experiment: Z: expected"),
        ({"experiment": Data(X=[0.0], Z=[1], intervened={"Z": True})}, ValueError, "at least 5 rows, got 1"),
        ({"experiment": Data(**GOOD, weights=[2.0] * 5)}, ValueError, "experiment: .*weights"),
        ({"experiment": Data(**{**GOOD, "X": [math.nan] * 5}, missing="marginalize")}, ValueError, "missing"),
        ({"experiment": Data(Z=GOOD["Z"], intervened={"Z": True})}, ValueError, "nothing was measured"),
        ({"experiment": [1.0]}, TypeError, "experiment: expected Data"),
        ({"fit": ONE_SCALE}, TypeError, "fit: expected a Fit"),
        ({"seed": 1.5}, TypeError, "seed: expected"),
        ({"seed": -1}, ValueError, "seed: expected"),
        ({"level": 1.0}, ValueError, "level: expected"),
        ({"level": 1e-4}, ValueError, "num_simulations=10000 or more"),
        ({"num_simulations": 0}, ValueError, "num_simulations: expected"),
        ({"num_simulations": "many"}, TypeError, "num_simulations: expected"),
        ({"labels": "sorted"}, ValueError, "labels: expected one of"),
    ],
)
def test_refusals_of_refute(change, error, message):
    arguments = {"fit": Fit.from_greeks(ONE_SCALE, TWO), "experiment": Data(**GOOD), **change}
    fit, experiment = arguments.pop("fit"), arguments.pop("experiment")
    with pytest.raises(error, match=message):
        refute(fit, experiment, **arguments)


@pytest.mark.parametrize("name", ["refute", "refine"])
def test_examples_run(name):
    public = {key: getattr(estimators, key) for key in estimators.__all__}
    names = {**public, **{key: getattr(mechanisms, key) for key in mechanisms.__all__}}
    tests = doctest.DocTestFinder().find(
        getattr(validation, name), name, globs={**names, "refute": refute, "refine": refine}
    )
    assert sum(len(test.examples) for test in tests) > 2
    for test in tests:
        assert doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test).failed == 0


def test_simulated_truths_are_not_among_the_draws_they_are_held_against():
    fit = Exact(num_draws=1000).fit(PRIOR, Data(X=[-2.0, 3.0, 0.3], Z=[0, 1, -1]), seed=0)
    predictive, others = split(fit)
    assert predictive.num_draws == MAX_DRAWS
    together = torch.cat([predictive.draws["mu_X"], others.draws["mu_X"]])
    assert sorted(together.tolist()) == sorted(fit.draws["mu_X"].tolist())
    assert split(Fit.from_greeks(ONE_SCALE, TWO))[1].num_draws == 1
