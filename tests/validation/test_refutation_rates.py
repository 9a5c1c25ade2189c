"""Refutation: nominal where the model is right, powerful where it is wrong."""

import numpy as np
import pytest
import torch

from estimators import EM, MAP, NUTS, CausalMixture, Data, EstimationError, Exact, Fit
from estimators.mechanisms import Gaussian
from tests.models import fit_quietly
from tests.refutation_models import (
    CLASSES,
    CONFOUNDED,
    CONFOUNDER,
    COUNTED,
    COUNTS,
    INDICATED,
    INDICATORS,
    MIXED,
    MIXED_TRUTH,
    ONE_SCALE,
    OVERLAPPING,
    POWER,
    PRIOR,
    SCALES,
    SIMULATIONS,
    THREE,
    TWO,
    TWO_SCALES,
    UNIFORM_CHECKS,
    check_uniform,
    hidden,
    set_labels,
    set_treatment,
)
from validation import refute

# ---------------------------------------------------------------- the false-alarm rate


def exact_fits(count, first_seed):
    """Truths from the prior, with the exact posterior given 8 hidden rows and 4 seen ones that hold both labels.

    Rows without both labels are skipped: a choice by the data alone, under which the posterior is what it is.
    """
    seed = first_seed
    while count:
        seed += 1
        greeks = PRIOR.prior_greeks(seed)
        rows = PRIOR.simulate(12, greeks, seed=10_000 + seed)
        Z = torch.where(torch.arange(12) < 4, rows["Z"], -1)
        if {0, 1} <= set(Z.tolist()):
            count -= 1
            yield greeks, Exact(num_draws=1000).fit(PRIOR, Data(X=rows["X"], Z=Z), seed=seed), seed


def exact_p_values(stat, count, change=lambda fit: fit, per_label=(12, 18), **options):
    found = []
    for greeks, fit, seed in exact_fits(count, stat.seed):
        experiment = set_labels(PRIOR, greeks, per_label, 20_000 + seed)
        found.append(refute(change(fit), experiment, seed=seed, num_simulations=SIMULATIONS, **options).p_value)
    return np.array(found)


def known_at_the_mean(fit):
    """What one must not do: the estimate taken for the truth, so that the Greeks have no spread."""
    return Fit.from_greeks(fit.model, {name: fit[name] for name in fit.draws})


def check_not_uniform(stat, p):
    """The negative control: p-values without the Greeks' own spread are small too often."""
    with stat.control():
        stat.proportion(int((p <= 0.05 + 1e-9).sum()), len(p), 0.05)


few = [pytest.mark.slow, pytest.mark.statistical(checks=UNIFORM_CHECKS, min_effect=0.45)]
many = [pytest.mark.slow, pytest.mark.statistical(checks=UNIFORM_CHECKS, min_effect=0.25)]


@pytest.mark.parametrize("count", [pytest.param(120, marks=few), pytest.param(1000, marks=many)])
def test_p_values_are_uniform_over_truths_from_the_prior_and_experiments(stat, count):
    check_uniform(stat, exact_p_values(stat, count))
    check_not_uniform(stat, exact_p_values(stat, 120, change=known_at_the_mean))


@pytest.mark.slow
@pytest.mark.statistical(checks=UNIFORM_CHECKS, min_effect=0.25)
def test_p_values_are_uniform_with_matched_labels(stat):
    check_uniform(stat, exact_p_values(stat, 600, labels="matched"))
    check_not_uniform(stat, exact_p_values(stat, 120, change=known_at_the_mean, labels="matched"))


@pytest.mark.slow
@pytest.mark.statistical(checks=UNIFORM_CHECKS, min_effect=0.25)
def test_false_alarms_of_maximum_likelihood_with_a_laplace_spread(stat):
    """Approximate: 300 rows of which 50 seen, scales unknown; the normal approximation stands for the posterior."""
    model = CausalMixture(2, {"X": Gaussian()}, concentration=5.0)
    found, without_spread = [], []
    for seed in range(stat.seed, stat.seed + 400):
        greeks = model.prior_greeks(seed)
        rows = model.simulate(300, greeks, seed=10_000 + seed)
        Z = torch.where(torch.arange(300) < 50, rows["Z"], -1)
        fit = EM(num_starts=5).fit(model, Data(X=rows["X"], Z=Z), seed=seed)
        experiment = set_labels(model, greeks, (20, 30), 20_000 + seed)
        options = {"seed": seed, "num_simulations": SIMULATIONS}
        found.append(refute(fit, experiment, **options).p_value)
        few_rows = fit_quietly(EM(num_starts=5), model, Data(X=rows["X"][:60], Z=Z[:60]), seed=seed)
        without_spread.append(refute(known_at_the_mean(few_rows), experiment, **options).p_value)
    check_uniform(stat, np.array(found))
    check_not_uniform(stat, np.array(without_spread))


# ---------------------------------------------------------------- right worlds of several families

# (model, Greeks, rows fitted, the experiment's design, estimator): 2,200 in all. The small ones are refitted. The
# confounder's rows have two answers, of which the truth's is as often the less probable one.
WORLDS = {
    "a mixture, spreads unknown": (SCALES, TWO_SCALES, 100, set_labels, EM()),
    "few rows that overlap": (SCALES, OVERLAPPING, 40, set_labels, EM()),
    "a confounder, labels set": (CONFOUNDER, CONFOUNDED, 100, set_labels, EM()),
    "a confounder, treatment set": (CONFOUNDER, CONFOUNDED, 100, set_treatment, EM()),
    "binary indicators": (INDICATORS, INDICATED, 100, set_labels, EM()),
    "counts": (COUNTS, COUNTED, 100, set_labels, EM()),
    "a mixed pair": (MIXED, MIXED_TRUTH, 100, set_labels, EM()),
    "a mixed pair, with priors": (MIXED, MIXED_TRUTH, 100, set_labels, MAP()),
    "a mixture, by its posterior": (
        SCALES,
        TWO_SCALES,
        100,
        set_labels,
        NUTS(num_samples=300, warmup_steps=300, progress_bar=False),
    ),
    "counts, by their posterior": (
        COUNTS,
        COUNTED,
        100,
        set_labels,
        NUTS(num_samples=300, warmup_steps=300, progress_bar=False),
    ),
    "a confounder, by its posterior": (
        CONFOUNDER,
        CONFOUNDED,
        100,
        set_treatment,
        NUTS(num_samples=300, warmup_steps=300, progress_bar=False),
    ),
}
FIRST_OF_ALL, EACH = "a mixture, spreads unknown", 200
RATES = [
    pytest.param(FIRST_OF_ALL, 8, marks=pytest.mark.statistical(checks=2, min_effect=0.94)),
    *(
        pytest.param(world, EACH, marks=[pytest.mark.slow, pytest.mark.statistical(checks=2, min_effect=0.15)])
        for world in WORLDS
    ),
]


@pytest.mark.filterwarnings("ignore:Z. the labels are uncertain:estimators.EstimationWarning")  # of rivals' labels
@pytest.mark.parametrize(("world", "count"), RATES)
def test_right_worlds_are_refuted_no_more_often_than_stated(stat, world, count):
    """At .01 and .05, the experiment as large as the data or larger, so that it counts what a fit does not know."""
    model, greeks, num_rows, design, estimator = WORLDS[world]
    found, wrong = [], []
    for seed in range(stat.seed, stat.seed + count):
        fit = fit_quietly(estimator, model, hidden(model, greeks, num_rows, seed), seed=seed)
        experiment = design(model, greeks, (50, 50), 10_000 + seed)
        try:
            found.append(refute(fit, experiment, seed=seed, num_simulations=SIMULATIONS).p_value)
        except EstimationError:  # a class without an estimate: said, and nothing is tested
            continue
        (name,) = experiment.intervened
        flipped = experiment.replace({name: 1 - experiment.columns[name]})
        truth = Fit.from_greeks(model, greeks)
        wrong.append(refute(truth, flipped, seed=seed, num_simulations=SIMULATIONS).p_value <= 0.05)
    p = np.array(found)
    assert len(p) >= 0.8 * count
    for level in (0.01, 0.05):
        stat.proportion(int((p <= level + 1e-9).sum()), len(p), level, alternative="greater")
    with stat.control():  # what was set was the other level
        stat.proportion(int(np.sum(wrong)), len(wrong), 0.05, alternative="greater")


# ---------------------------------------------------------------- power

# (truth, Greeks, fitted model, rows set to each of two labels), each after 300 rows with Z hidden.
WRONG = {
    "three classes fitted with two": (THREE, CLASSES, SCALES, (60, 60)),
    "unequal scales fitted with one known": (SCALES, TWO_SCALES, ONE_SCALE, (40, 40)),
}
RIGHT = {
    "two classes": (ONE_SCALE, TWO, ONE_SCALE, (60, 60)),
    "unequal scales": (SCALES, TWO_SCALES, SCALES, (40, 40)),
    "three classes": (THREE, CLASSES, THREE, (60, 60)),
}

# Their fits take longest; and one right model stands for the other.
LONG = dict.fromkeys(("three classes fitted with two", "three classes", "unequal scales"), pytest.mark.slow)


def refutations(first_seed, truth, greeks, model, per_label, count):
    for seed in range(first_seed, first_seed + count):
        fit = EM(num_starts=5).fit(model, hidden(truth, greeks, 300, seed), seed=seed)
        yield refute(fit, set_labels(truth, greeks, per_label, 10_000 + seed), seed=seed)


# How far off the rate must be to be seen in so many refutations.
COUNTS = [
    pytest.param(10, marks=pytest.mark.statistical(min_effect=0.9)),
    pytest.param(200, marks=[pytest.mark.slow, pytest.mark.statistical(min_effect=0.2)]),
]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("case", [pytest.param(case, marks=LONG.get(case, ())) for case in WRONG])
def test_a_wrong_model_is_refuted_with_power(stat, case, count):
    refuted = sum(found.refuted for found in refutations(stat.seed, *WRONG[case], count))
    stat.proportion(refuted, count, POWER, alternative="less")
    with stat.control():  # the check of the rate below
        stat.proportion(refuted, count, 0.01, alternative="greater")


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("case", [pytest.param(case, marks=LONG.get(case, ())) for case in RIGHT])
def test_a_right_model_is_refuted_no_more_often_than_nominal(stat, case, count):
    refuted = sum(found.refuted for found in refutations(stat.seed, *RIGHT[case], count))
    stat.proportion(refuted, count, 0.01, alternative="greater")
    with stat.control():  # the check of power above
        stat.proportion(refuted, count, POWER, alternative="less")
