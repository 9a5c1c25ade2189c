"""Refutation: nominal where the model is right, powerful where it is wrong."""

import numpy as np
import pytest
import torch

from estimators import EM, CausalMixture, Data, Exact, Fit
from estimators.mechanisms import Gaussian
from tests.refutation_models import (
    ALPHA,
    CLASSES,
    ONE_SCALE,
    POWER,
    PRIOR,
    SCALES,
    SIMULATIONS,
    THREE,
    TWO,
    TWO_SCALES,
    dkw,
    hidden,
    outside,
    set_labels,
    uniform_distance,
)
from validation import refute
from validation.tolerances import binomial_bounds, proportion_interval

# ---------------------------------------------------------------- the false-alarm rate


def exact_fits(count, first_seed=0):
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


def exact_p_values(count, first_seed=0, change=lambda fit: fit, per_label=(12, 18), **options):
    found = []
    for greeks, fit, seed in exact_fits(count, first_seed):
        experiment = set_labels(PRIOR, greeks, per_label, 20_000 + seed)
        found.append(refute(change(fit), experiment, seed=seed, num_simulations=SIMULATIONS, **options).p_value)
    return np.array(found)


def known_at_the_mean(fit):
    """What one must not do: the estimate taken for the truth, so that the Greeks have no spread."""
    return Fit.from_greeks(fit.model, {name: fit[name] for name in fit.draws})


@pytest.mark.parametrize("count", [120, pytest.param(1000, marks=pytest.mark.slow)])
def test_p_values_are_uniform_over_truths_from_the_prior_and_experiments(count):
    p = exact_p_values(count)
    assert not outside(p)
    assert uniform_distance(p) <= dkw(len(p))


def test_p_values_without_the_greeks_own_spread_are_not_uniform():
    p = exact_p_values(120, change=known_at_the_mean)
    assert outside(p)
    assert uniform_distance(p) > dkw(len(p))


@pytest.mark.slow
def test_p_values_are_uniform_with_matched_labels():
    p = exact_p_values(600, labels="matched")
    assert not outside(p)
    assert uniform_distance(p) <= dkw(len(p))


@pytest.mark.slow
def test_false_alarms_of_maximum_likelihood_with_a_laplace_spread():
    """Approximate: 300 rows of which 50 seen, scales unknown; the normal approximation stands for the posterior."""
    model = CausalMixture(2, {"X": Gaussian()}, concentration=5.0)
    found = []
    for seed in range(400):
        greeks = model.prior_greeks(seed)
        rows = model.simulate(300, greeks, seed=10_000 + seed)
        Z = torch.where(torch.arange(300) < 50, rows["Z"], -1)
        fit = EM(num_starts=5).fit(model, Data(X=rows["X"], Z=Z), seed=seed)
        experiment = set_labels(model, greeks, (20, 30), 20_000 + seed)
        found.append(refute(fit, experiment, seed=seed, num_simulations=SIMULATIONS).p_value)
    p = np.array(found)
    assert not outside(p)
    assert uniform_distance(p) <= dkw(len(p))


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


def refutations(truth, greeks, model, per_label, count):
    for seed in range(count):
        fit = EM(num_starts=5).fit(model, hidden(truth, greeks, 300, seed), seed=seed)
        yield refute(fit, set_labels(truth, greeks, per_label, 10_000 + seed), seed=seed)


@pytest.mark.parametrize("count", [10, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_model_is_refuted_with_power(case, count):
    refuted = sum(found.refuted for found in refutations(*WRONG[case], count))
    low, _ = binomial_bounds(count, POWER, alpha=ALPHA)
    assert refuted >= low, proportion_interval(refuted, count)


@pytest.mark.parametrize("count", [10, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("case", RIGHT)
def test_a_right_model_is_refuted_no_more_often_than_nominal(case, count):
    refuted = sum(found.refuted for found in refutations(*RIGHT[case], count))
    _, high = binomial_bounds(count, 0.01, alpha=ALPHA)
    low, _ = binomial_bounds(count, POWER, alpha=ALPHA)
    assert refuted <= high
    assert refuted < low  # the check of power above would have failed here
