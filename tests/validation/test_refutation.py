"""Refutation: its statistics, labels, words, figure and refusals."""

import doctest
import math
import random
import re
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy import stats

import estimators
import validation
from estimators import (
    EM,
    MAP,
    NUTS,
    CausalMixture,
    Data,
    EstimationError,
    Exact,
    Fit,
    GaussianMixture,
    PyroModel,
    Status,
    mechanisms,
)
from estimators.mechanisms import Bernoulli, Categorical, Gaussian, LinearGaussian
from tests.models import fit_quietly
from tests.refutation_models import (
    CLASSES,
    CONFOUNDED,
    CONFOUNDER,
    COUNTS,
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
    set_treatment,
)
from validation import refine, refute
from validation.refutation.bootstrap import refits
from validation.refutation.experiment import arms_of, simulated_at, with_simulated
from validation.refutation.label_names import named_as
from validation.refutation.predictions import own_log_densities
from validation.refutation.predictive import KNOTS, MAX_DRAWS, best_labels, log_densities, split
from validation.refutation.refute import NO_DOUBT, _compared
from validation.refutation.spread import FIRST, PASSED_OVER, answers
from validation.refutation.statistics import cramer_von_mises, p_values

NARROW_TRUTH = {"theta": [0.5, 0.5], "mu_X": [-2.0, 2.0], "sigma_X": [1.0, 2.0]}

# ---------------------------------------------------------------- the statistics


def test_one_p_value_takes_every_rank_once():
    rng = np.random.default_rng(0)
    pool = rng.normal(size=(3, 60)) + rng.normal(size=60)
    p = sorted(p_values([np.roll(values, -place) for values in pool], rng).of_smallest for place in range(60))
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


def test_ties_are_broken_so_that_every_rank_is_taken_once():
    """What discrete outcomes are for: over all places of the observed experiment, each p-value is as probable."""
    rng = np.random.default_rng(0)
    pool = rng.integers(0, 4, size=(2, 40)).astype(float)
    found = [p_values([np.roll(values, -place) for values in pool], rng) for place in range(40)]
    taken = np.zeros(41)
    for p in found:
        lowest, highest = round(40 * p.lowest), round(40 * p.highest)
        assert lowest <= round(40 * p.of_smallest) <= highest
        taken[lowest : highest + 1] += 1.0 / (highest - lowest + 1)
    assert taken[1:] == pytest.approx(np.ones(40))
    assert len({p.lowest for p in found}) < 30


def test_tied_experiments_are_said_to_be():
    model, greeks = CausalMixture(2, {"A": Bernoulli()}), {"theta": [0.4, 0.6], "p_A": [0.1, 0.8]}
    rows = set_labels(model, greeks, (3, 3), 1)
    found = refute(Fit.from_greeks(model, greeks), rows, seed=0, num_simulations=99)
    low, high = re.search(r"drawn from ([\d.]+) to ([\d.]+), as outcomes are discrete", found.sentence).groups()
    assert float(low) <= found.p_value <= float(high)
    rows = set_labels(ONE_SCALE, TWO, (3, 3), 1)
    assert "drawn" not in refute(Fit.from_greeks(ONE_SCALE, TWO), rows, seed=0, num_simulations=99).sentence


def test_a_refutation_prints_its_numbers():
    fit = Fit.from_greeks(ONE_SCALE, {"theta": [0.5, 0.5], "mu_X": [0.0, 4.0]})
    below, labels = [0.3, -1.1, 0.8], {"Z": [0, 0, 0, 1, 1, 1], "intervened": {"Z": True}}
    far, near = (
        refute(fit, Data(X=[*below, *above], **labels), seed=0, num_simulations=199)
        for above in ([7.2, 8.1, 6.9], [4.2, 3.5, 4.3])
    )
    assert (far.refuted, near.refuted) == (True, False)
    assert str(far).startswith(f"Refuted (p = {far.p_value:.3g}): X differs by 7.4 between do(Z=1) and do(Z=0)")
    assert str(near).startswith(f"Not refuted (p = {near.p_value:.3g}): the 6 rows under do(Z=")
    for one in (far, near):
        assert repr(one) == f"Refutation({one})" and str(one) == one.sentence
        assert one.refuted == (one.p_value <= one.level)


def test_counts_of_many_values_are_scored_at_whole_numbers():
    fit = Fit.from_greeks(COUNTS, {"theta": [0.5, 0.5], "rate_C": [4.0, 40000.0]})
    rows = set_labels(COUNTS, {name: fit[name] for name in fit.draws}, (20, 20), 0)
    found = with_simulated(fit, rows, 1000, 1)
    assert len(np.unique(found.columns["C"])) > 2 * KNOTS
    assert log_densities(fit, found)[0] == pytest.approx(fit.log_density(rows).numpy(), abs=1e-2)


# ---------------------------------------------------------------- where the Greeks of simulated experiments come from


def test_the_spread_is_said(spread):
    rows = set_labels(SCALES, TWO_SCALES, (10, 10), 2)
    few, many = (hidden(SCALES, TWO_SCALES, num_rows, 1) for num_rows in (30, 300))
    quick = {"seed": 0, "num_simulations": 19, "level": 0.05}
    assert refute(EM().fit(SCALES, many, seed=0), rows, **quick).spread.startswith("importance-corrected draws about")
    assert (
        "parametric bootstrap), as 30 rows are few for 5" in refute(EM().fit(SCALES, few, seed=0), rows, **quick).spread
    )
    assert refute(Fit.from_greeks(SCALES, TWO_SCALES), rows, **quick).spread == "the Greeks are known"
    assert "500 draws of the fit" in refute(spread, Data(**GOOD), **quick).spread


def test_a_model_is_refuted_where_every_mode_of_its_fit_is():
    """Two modes of one law, with other effects: that an experiment tells which is right refutes no model."""
    fit = fit_quietly(EM(), CONFOUNDER, hidden(CONFOUNDER, CONFOUNDED, 100, 1003), seed=0)
    assert len(fit.modes) == 2
    assert float(fit["beta_Y"][:, 1].max()) > 2.0  # the truth's mode is the other, as it happens
    greeks = [{name: mode[name] for name in mode.draws} for mode in fit.modes]
    for number, own in enumerate(greeks):
        found = refute(fit, set_treatment(CONFOUNDER, own, (50, 50), 4), seed=0, num_simulations=99)
        assert found.mode == number
        assert not found.refuted
    assert "under fit.modes[1], the largest of 2 modes" in found.sentence
    assert refute(replace(fit, found=None), set_treatment(CONFOUNDER, greeks[1], (50, 50), 4), seed=0).refuted
    rows = set_treatment(CONFOUNDER, greeks[1], (50, 50), 4)
    assert refute(fit, rows.replace(Y=rows.columns["Y"] + 1.5), seed=0).refuted


def test_modes_are_passed_over_that_hardly_ever_have_the_truth():
    rows = hidden(CONFOUNDER, CONFOUNDED, 100, 1003)
    fit = fit_quietly(EM(), CONFOUNDER, rows, seed=0)
    weight = float(fit.modes.weights[1])
    assert [len(answers(fit, level)) for level in (0.999 * weight / PASSED_OVER, 1.001 * weight / PASSED_OVER)] == [
        2,
        1,
    ]
    posterior = fit_quietly(NUTS(num_samples=200, warmup_steps=200, progress_bar=False), CONFOUNDER, rows, seed=0)
    parts = answers(posterior, 0.01)
    assert sum(part.num_draws for part in parts) == posterior.num_draws
    assert len(parts) == 2
    assert all(part.found is None for part in parts)
    known = Fit.from_greeks(CONFOUNDER, CONFOUNDED)
    assert answers(known, 0.01) == (known,)


def test_a_p_value_of_refits_does_not_change_with_units():
    """Exact for a family of locations and scales: errors are in units of the scale, whatever the truth is."""
    model = CausalMixture(1, {"X": Gaussian()})
    x, rows = torch.tensor([0.3, -1.2, 0.8, 2.1, 0.4, -0.6]), torch.tensor([2.5, 0.1, 1.4, 3.0, 1.9])
    found = []
    for shift, scale in ((0.0, 1.0), (-70.0, 20.0)):
        fit = fit_quietly(EM(), model, Data(X=shift + scale * x), seed=0)
        experiment = Data(X=shift + scale * rows, Z=[0] * 5, intervened={"Z": True})
        found.append(refute(fit, experiment, seed=0, num_simulations=99))
    assert "bootstrap" in found[0].spread
    assert found[0].p_value == found[1].p_value
    assert {p.statistics["pit"].p_value for p in found} == {found[0].statistics["pit"].p_value}
    assert 0.01 < found[0].p_value < 0.5


def test_rows_are_scored_under_the_refit_of_their_own_experiment():
    greeks = [TWO_SCALES, {**TWO_SCALES, "mu_X": [-2.0, 4.0]}, {**TWO_SCALES, "theta": [0.3, 0.7]}]
    fits = [Fit.from_greeks(SCALES, each) for each in greeks]
    together = replace(fits[0], draws={name: torch.cat([fit.draws[name] for fit in fits]) for name in fits[0].draws})
    rows = set_labels(SCALES, TWO_SCALES, (3, 4), 0)
    found = simulated_at(together, rows, np.array([1, 2]), 5)
    scores = own_log_densities(together, found)
    for number, fit in enumerate(fits):
        expected = fit.log_density(rows.replace(X=found.columns["X"][number])).numpy()
        assert scores[number] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("moved", "count"), [(0.0, FIRST), pytest.param(30.0, 299, marks=pytest.mark.slow)])
def test_refits_stop_early_where_rows_are_as_predicted_and_only_there(moved, count):
    fit = EM().fit(SCALES, hidden(SCALES, TWO_SCALES, 30, 1), seed=0)
    rows = set_labels(SCALES, {name: fit[name] for name in fit.draws}, (10, 10), 3)
    found = refute(fit, rows.replace(X=rows.columns["X"] + moved), seed=0, num_simulations=299)
    assert found.num_simulations == count
    assert found.refuted if moved else found.p_value > NO_DOUBT


def test_refits_start_inside_the_support_where_the_estimate_is_at_its_end():
    model = CausalMixture(1, {"A": Bernoulli(), "X": Gaussian(scale=1.0)})
    fit = fit_quietly(EM(), model, Data(A=[0.0] * 19, X=np.linspace(-1, 1, 19)), seed=0)
    found = refits(fit, 40, 0)
    assert float(fit["p_A"]) == pytest.approx(0.0, abs=1e-6)
    truths = found.truths.draws["p_A"].numpy() * 20 - 0.5
    assert truths == pytest.approx(np.round(truths), abs=1e-2)
    assert truths.min() == pytest.approx(0.0, abs=1e-2)
    counts = found.fits.draws["p_A"].numpy() * 19
    assert counts == pytest.approx(np.round(counts), abs=1e-2)
    assert len(np.unique(np.round(counts))) > 1


def test_a_class_without_an_estimate_is_refused():
    fit = fit_quietly(MAP(), GaussianMixture(3), Data(X=[0.0, 0.1, -0.1, 0.05]), seed=0)
    fit = replace(fit, status=Status.BOUNDARY)
    with pytest.raises(EstimationError, match="refute: the fit has no estimate of every class"):
        refute(fit, set_labels(GaussianMixture(3), CLASSES, (5, 5), 0), seed=0)


# ---------------------------------------------------------------- several rows a unit

VISITED = CausalMixture(2, {"T": Bernoulli(), "Y": LinearGaussian(parents=["T"])})
VISITED_TRUTH = {
    "theta": [0.5, 0.5],
    "p_T": [0.3, 0.7],
    "beta_Y": [[0.0, 1.0], [3.0, 2.0]],
    "sigma_Y": [1.0, 1.0],
}


def visits(treated, unit, seed, units_of_law=None):
    """An experiment of several rows a unit; ``units_of_law`` are those whose rows share a Z, where they are others."""
    T = torch.tensor(np.asarray(treated) * 1.0)
    like = Data(T=T, Y=np.zeros(len(T)), unit=unit if units_of_law is None else units_of_law, intervened={"T": True})
    greeks = {name: torch.as_tensor(value)[None].double() for name, value in VISITED_TRUTH.items()}
    rows = VISITED.replicate(greeks, like, seed=seed)
    return Data(T=T, Y=rows["Y"][0], unit=unit, intervened={"T": True}), rows["Z"][0]


@pytest.mark.statistical(checks=2, min_effect=0.35)
def test_experiments_of_units_are_refuted_at_their_rate_and_as_rows_too_often(stat):
    fit, unit = Fit.from_greeks(VISITED, VISITED_TRUTH), np.repeat(np.arange(10), 4)
    quick = {"num_simulations": 19, "level": 0.1}
    experiments = [visits(unit % 2, unit, stat.seed + number)[0] for number in range(120)]
    p = np.array([refute(fit, one, seed=number, **quick).p_value for number, one in enumerate(experiments)])
    for level in (0.1, 0.5):
        stat.proportion(int((p <= level + 1e-9).sum()), len(p), level)
    # Rows that share a Z where none is said to be shared: the mean of an arm varies far more than predicted.
    columns = [{name: one.columns[name] for name in ("T", "Y")} for one in experiments]
    apart = [Data(rows, intervened={"T": True}) for rows in columns]
    found = [refute(fit, one, seed=number, **quick).p_value for number, one in enumerate(apart)]
    with stat.control():
        stat.proportion(int((np.array(found) <= 0.1 + 1e-9).sum()), len(found), 0.1)
    # And the other way about: what all rows of a unit have together is improbable.
    alone = [visits(unit % 2, unit, stat.seed + number, np.arange(40))[0] for number in range(120)]
    found = [refute(fit, one, seed=number, **quick).p_value for number, one in enumerate(alone)]
    with stat.control():
        stat.proportion(int((np.array(found) <= 0.1 + 1e-9).sum()), len(found), 0.1)


@pytest.mark.parametrize(
    ("num_units", "spread"), [(90, "importance-corrected"), pytest.param(8, "bootstrap", marks=pytest.mark.slow)]
)
def test_units_are_of_the_fit_and_of_the_experiment(num_units, spread):
    """Of draws about a fit and of refits; labels that are set are those of units, and may be matched."""
    unit = np.repeat(np.arange(num_units), 5)
    rows = VISITED.simulate(len(unit), VISITED_TRUTH, seed=3, unit=unit)
    fit = fit_quietly(EM(), VISITED, Data(T=rows["T"], Y=rows["Y"], unit=unit), seed=0)
    of_visit = [f"of the experiment {number}" for number in np.repeat(np.arange(12), 5)]
    experiment, Z = visits(np.tile([0, 1, 0, 1, 1], 12), of_visit, 5)
    quick = {"seed": 0, "num_simulations": 99}
    found = refute(fit, experiment, **quick)
    assert not found.refuted and spread in found.spread
    labelled = experiment.replace(Z=Z).replace(intervened={"Z": True})
    assert not refute(fit, labelled, **quick).refuted
    swapped = experiment.replace(Z=1 - Z).replace(intervened={"Z": True})
    assert refute(fit, swapped, **quick).refuted == (num_units == 90)
    matched = refute(fit, swapped, labels="matched", **quick)
    assert not matched.refuted and "0 is 1, 1 is 0" in matched.labels
    assert refute(fit, experiment.replace(Y=experiment.columns["Y"] + 4.0), level=0.05, **quick).refuted


def test_density_of_a_unit_is_shared_by_its_rows():
    fit, unit = Fit.from_greeks(VISITED, VISITED_TRUTH), list("abacab")
    experiment, _ = visits([0, 1, 1, 0, 1, 0], unit, 0)
    found = log_densities(fit, with_simulated(fit, experiment, 3, 1))
    of_units = fit.log_density(experiment).numpy()
    assert found.shape == (4, 6)
    assert found[0] == pytest.approx((of_units / [3, 2, 1])[[0, 1, 0, 2, 0, 1]], rel=1e-12)


# ---------------------------------------------------------------- labels


def test_free_labels_of_every_draw_are_in_the_order_that_the_fit_states():
    rows = hidden(CONFOUNDER, CONFOUNDED, 100, 0)
    fit = fit_quietly(EM(), CONFOUNDER, rows, seed=0)
    key = fit.stats["labels_by"]
    draws = fit.laplace(num_draws=400, seed=0)
    own = CONFOUNDER.order_keys(named_as(fit, draws).draws, fit.symmetry)[key]
    assert (own[:, 0] <= own[:, 1]).all()
    before = CONFOUNDER.order_keys(draws.draws, fit.symmetry)[key]
    assert 0 < int((before[:, 0] > before[:, 1]).sum()) < 360  # the rival's classes overlap with the other's of these
    swapped = fit.relabel([1, 0])
    named = named_as(swapped, draws).draws["beta_Y"]
    assert torch.equal(named, named_as(fit, draws).draws["beta_Y"].flip(1))
    pinned = Data(**rows.columns, Z=torch.where(torch.arange(100) < 90, (rows.columns["Y"] > 1.5).long(), -1))
    certain = fit_quietly(EM(), CONFOUNDER, pinned, seed=0)
    assert named_as(certain, draws) is draws


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
    order = best_labels(3, partial(log_densities, fit), with_simulated(fit, shuffled, 30, 0))
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


def test_levels_are_matched_and_called_by_their_names():
    model = CausalMixture(2, {"T": Bernoulli(), "W": Bernoulli(parents=["T"])})
    greeks = {"theta": [0.5, 0.5], "p_T": [0.4, 0.6], "p_W": [[0.2, 0.9], [0.4, 0.7]]}
    fit = replace(Fit.from_greeks(model, greeks), data=Data(T=["control", "treated"], W=["ill", "well"]))
    rows = model.simulate(60, greeks, seed=0)
    in_order = Data(T=rows["T"], W=rows["W"], intervened={"T": True})
    named = {"T": ("treated", "control"), "W": ("ill", "well")}
    treatments = pd.Categorical(np.array(["control", "treated"])[rows["T"].long()], categories=named["T"])
    by_name = Data(T=treatments, W=np.array(named["W"])[rows["W"].long()], intervened={"T": True})
    found, expected = (refute(fit, experiment, seed=0, num_simulations=99) for experiment in (by_name, in_order))
    assert found.p_value == expected.p_value
    assert "do(T='control'), do(T='treated')" in found.sentence
    figure = found.figure()
    assert figure.axes[0].get_title(loc="left").startswith("do(T='control')")
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["ill", "well"]
    unknown = Data(T=["placebo"] * 6, W=["ill", "well"] * 3, intervened={"T": True})
    with pytest.raises(ValueError, match=r"experiment: column T: no level is called 'placebo'.*'control', 'treated'"):
        refute(fit, unknown, seed=0)


def test_of_names_it_is_said_how_often_and_not_how_high() -> None:
    """The mean of three names is one of code numbers: "higher than predicted (mean 1.2)" would say nothing."""
    model = CausalMixture(1, {"T": Bernoulli(), "W": Categorical(3, parents=["T"])})
    expected = {"theta": [1.0], "p_T": [0.5], "p_W": [[[0.2, 0.6, 0.2], [0.2, 0.2, 0.6]]]}
    names = np.array(["home", "ward", "clinic"])
    fit = replace(Fit.from_greeks(model, expected), data=Data(T=[0.0, 1.0], W=["home", "ward"]))
    fit = replace(fit, data=fit.data.replace(W=pd.Categorical(names[[0, 1]], categories=names)))
    truth = {**expected, "p_W": [[[0.2, 0.6, 0.2], [0.6, 0.2, 0.2]]]}
    rows = model.simulate(200, truth, seed=0)
    seen = pd.Categorical(names[rows["W"].long()], categories=names)
    found = refute(fit, Data(T=rows["T"], W=seen, intervened={"T": True}), seed=0, num_simulations=199)
    assert found.refuted
    said = [statistic.words for statistic in found.statistics.values()]
    assert any("'home' more often than predicted (0.6" in words or "'clinic' less often" in words for words in said)
    assert any("W (home=0, ward=1, clinic=2) differs by" in words for words in said)
    # A level that no simulation has is named, whatever the spread of the others.
    never = np.zeros((20, 30))
    never[:, ::2] = 1.0
    never[0, :10] = 2.0
    assert (
        _compared("W", never, names.tolist())[1]
        == "W is 'clinic' more often than predicted (0.333 of the rows, predicted 0 ± 0)"
    )
    assert not any("higher" in words or "lower" in words for words in said)


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


@pytest.mark.slow
def test_nothing_is_refuted_where_an_answer_could_not_be_tested():
    """A right model of 16 rows whose best mode is refuted: of its rival, refits to most data sets lose a class."""
    fit = fit_quietly(EM(), SCALES, hidden(SCALES, NARROW_TRUTH, 16, 193), seed=193)
    experiment = set_labels(SCALES, NARROW_TRUTH, (10, 10), 9193)
    found = refute(fit, experiment, seed=193, num_simulations=199, level=0.05)
    assert found.p_value <= 0.05 and not found.refuted
    assert re.match(
        r"Not refuted \(p = .*\), since fit.modes\[1\] could not be tested \(.*: fit more rows", found.sentence
    )
