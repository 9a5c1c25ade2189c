"""EM: the likelihood never falls, CONVERGED means a stationary point, and the answer moves with the data."""

import tracemalloc

import numpy as np
import pyro.distributions as dist
import pytest
import torch

from estimators import EM, MAP, CausalMixture, Data, EstimationWarning, Fit, GaussianMixture, Status
from estimators.algorithms import em
from estimators.contract import Objective, log_likelihood
from estimators.mechanisms import DiagonalGaussian, FullGaussian, Gaussian
from estimators.optimise.ascent import climb_inside
from tests.expectations import log_likelihood_of
from tests.models import MODELS, TUTORIAL_ROWS, fit_quietly, mixed_rows, rows_of


def mean_gradient(fit: Fit, data: Data) -> float:
    """The largest entry of the gradient of the mean log-likelihood, computed from outside, by autograd.

    Unconstrained coordinates of the standardised data: logits of theta, means in sds of the column, logs of scales.
    """
    marginal = fit.model.marginal(data)
    free, greeks = [], {}
    for name in fit.draws:
        if name == "theta":
            start = fit[name].clamp_min(1e-300).log()
            free.append(start.requires_grad_())
            greeks[name] = torch.softmax(free[-1], 0)
            continue
        symbol, _, column = name.partition("_")
        spread = data.columns[column].double().std(correction=0)
        if symbol == "mu":
            free.append((fit[name] / spread).requires_grad_())
            greeks[name] = free[-1] * spread
        else:
            free.append(fit[name].log().requires_grad_())
            greeks[name] = free[-1].exp()
    slopes = torch.autograd.grad(log_likelihood_of(marginal, greeks), free)
    total = data.num_rows if data.weights is None else float(data.weights.sum())
    return max(float(slope.abs().max()) for slope in slopes) / total


def test_the_tutorial_rows_give_the_reference_numbers() -> None:
    fit = EM().fit(GaussianMixture(K=2), {"X": TUTORIAL_ROWS}, seed=0)
    assert fit.status is Status.CONVERGED
    assert fit["theta"].tolist() == pytest.approx([0.4, 0.6], abs=1e-5)
    assert fit["mu_X"].tolist() == pytest.approx([0.5, 11.0], abs=1e-5)
    assert fit.stats["log_likelihood"] == pytest.approx(-9.209751, abs=1e-5)


@pytest.mark.parametrize("accelerate", [True, False], ids=["SQUAREM", "plain"])
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_the_likelihood_never_falls(model: CausalMixture, accelerate: bool) -> None:
    data = rows_of(model, 120, separation=2.5)
    fit = EM(num_starts=4, accelerate=accelerate, max_iterations=400, tolerance=1e-6).fit(
        model, data, seed=1, search=None
    )
    values = fit.info["log_likelihoods"].numpy()
    rounding = 1e-13 * np.abs(values).max()
    assert len(values) >= 1
    assert np.diff(values).min(initial=0.0) >= -rounding


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_converged_means_a_small_gradient_seen_from_outside(model: CausalMixture) -> None:
    for data in (rows_of(model, 150, separation=4.0), mixed_rows(model, 60)):
        fit = EM(tolerance=1e-8).fit(model, data, seed=2)
        assert fit.status is Status.CONVERGED
        assert mean_gradient(fit, data) < 2e-8


def test_too_few_iterations_say_so_and_strict_raises() -> None:
    model = GaussianMixture(K=2)
    data = rows_of(model, 200, separation=1.0)
    with pytest.warns(EstimationWarning, match="MAX_ITERATIONS: .*; print.fit. says what to do"):
        fit = EM(max_iterations=2).fit(model, data, seed=0, search=None)
    assert fit.status is Status.MAX_ITERATIONS
    assert mean_gradient(fit, data) > 1e-8


def test_acceleration_reaches_the_same_likelihood_in_fewer_e_steps() -> None:
    model = GaussianMixture(K=2)
    data = rows_of(model, 500, separation=2.0)
    fast = EM(num_starts=4).fit(model, data, seed=0, search=None)
    slow = EM(num_starts=4, accelerate=False).fit(model, data, seed=0, search=None)
    assert fast.stats["log_likelihood"] == pytest.approx(slow.stats["log_likelihood"], abs=1e-6)
    assert fast.stats["evaluations"] < slow.stats["evaluations"] / 3


def test_newtons_method_ends_what_overlapping_classes_make_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five classes in the plane, one standard deviation apart; at which of near maxima a run ends may differ.

    With it, and with the processor, how many steps it takes: two data sets are counted together.
    """
    evaluations = {em.MOST_COORDINATES: 0, 0: 0}
    for seed in (1, 4):
        rng = np.random.default_rng(seed)
        rows = Data(X=rng.normal(size=(5, 2))[rng.integers(0, 5, 2_000)] + rng.normal(size=(2_000, 2)))
        for most in evaluations:
            monkeypatch.setattr(em, "MOST_COORDINATES", most)
            fit = EM(num_starts=4).fit(CausalMixture(5, {"X": FullGaussian(2)}), rows, seed=0, search=None)
            assert most == 0 or (fit.status is Status.CONVERGED and fit.stats["gradient_norm"] < 1e-8)
            evaluations[most] += fit.stats["evaluations"]
    fast, slow = evaluations.values()
    assert fast < slow / 2


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_em_equals_map_with_a_flat_prior(scale: float) -> None:
    model = GaussianMixture(K=2, concentration=1.0, scale=scale, loc_scale=1e8)
    data = Data(X=model.simulate(80, {"theta": [0.3, 0.7], "mu_X": [-3.0, 2.0]}, seed=4)["X"])
    ml, mode = EM().fit(model, data, seed=0), MAP(num_starts=20, num_steps=20).fit(model, data, seed=0)
    for name in ml.draws:
        torch.testing.assert_close(ml[name], mode[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["tutorial", "three components", "unknown scales", "shared scale"])
def test_a_shift_moves_the_means_and_nothing_else(name: str) -> None:
    model = MODELS[name]
    data = rows_of(model, 100, separation=5.0)
    moved = Data(X=data.columns["X"] + 1e6)
    here, there = EM(num_starts=5).fit(model, data, seed=0), EM(num_starts=5).fit(model, moved, seed=0)
    for greek in here.draws:
        shift = 1e6 if greek == "mu_X" else 0.0
        torch.testing.assert_close(there[greek] - shift, here[greek], rtol=0, atol=1e-6)
    assert there.stats["log_likelihood"] == pytest.approx(here.stats["log_likelihood"], abs=1e-5)


@pytest.mark.parametrize("factor", [1e-40, 1e-6, 1e6, 1e40])
def test_a_change_of_units_changes_units_only(factor: float) -> None:
    model = CausalMixture(2, {"X": Gaussian()})
    data = rows_of(model, 100, separation=5.0)
    here = EM(num_starts=5).fit(model, data, seed=0)
    there = EM(num_starts=5).fit(model, Data(X=data.columns["X"] * factor), seed=0)
    torch.testing.assert_close(there["theta"], here["theta"], rtol=0, atol=1e-7)
    for greek in ("mu_X", "sigma_X"):
        torch.testing.assert_close(there[greek] / factor, here[greek], rtol=0, atol=1e-6)


def test_a_spike_is_called_a_collapsed_component() -> None:
    model = CausalMixture(2, {"X": Gaussian()})
    with pytest.warns(EstimationWarning, match="spike"):
        fit = EM().fit(model, {"X": [0.0, 0.0, 0.0, 0.0, 9.0]}, seed=0)
    assert fit.status is Status.COMPONENT_COLLAPSED
    assert all(bool(torch.isfinite(value).all()) for value in fit.draws.values())
    assert np.isfinite(fit.stats["log_likelihood"])


def test_a_start_that_collapses_is_dropped_where_another_ends_inside() -> None:
    """Ten rows with one exact tie: the spike on the tie has the higher likelihood, and is not the answer."""
    model = CausalMixture(2, {"X": Gaussian()})
    rows = [0.0, 0.0, 1.0, 1.5, 0.5, 7.0, 7.5, 8.0, 8.2, 6.5]
    fit = EM(num_starts=40).fit(model, {"X": rows}, seed=0)
    assert fit.status is Status.CONVERGED
    assert float(fit["sigma_X"].min()) > 0.1


def test_a_component_nobody_needs_is_at_the_boundary() -> None:
    """Rows of one Gaussian narrower than the known scale: the likelihood is highest without a second component."""
    model = GaussianMixture(K=2, scale=5.0)
    with pytest.warns(EstimationWarning):
        fit = EM(num_starts=3).fit(model, {"X": [0.0, 0.1, 0.2, 0.3]}, seed=0)
    # Two classes of the same mean are as good as one: how rows are shared among them is open.
    assert fit.status in (Status.NOT_IDENTIFIED, Status.BOUNDARY)
    assert bool(torch.isfinite(fit["mu_X"]).all())
    torch.testing.assert_close((fit["theta"] * fit["mu_X"]).sum(), torch.tensor(0.15).double(), rtol=0, atol=1e-5)


def test_ties_are_not_broken_by_scale_priors() -> None:
    """EM is maximum likelihood: priors, informative or not, change nothing."""
    data = rows_of(MODELS["unknown scales"], 80, separation=4.0)
    fits = [
        EM().fit(
            CausalMixture(2, {"X": Gaussian(dist.Normal(m, 0.1), dist.Gamma(a, 9.0))}, concentration=c), data, seed=3
        )
        for m, a, c in ((0.0, 2.0, 0.5), (50.0, 30.0, 7.0))
    ]
    for name in fits[0].draws:
        torch.testing.assert_close(fits[0][name], fits[1][name], rtol=0, atol=1e-12)


def test_a_long_column_is_kept_a_few_times_over() -> None:
    """No copy of it, but for what is made on the way."""
    column = np.random.default_rng(0).standard_normal(400_000)
    model, data = GaussianMixture(2), Data(X=column)
    tracemalloc.start()
    try:
        marginal = model.marginal(data)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert marginal.num_units == len(column)
    assert kept < 1.0 * column.nbytes and peak < 4.0 * column.nbytes, (kept / column.nbytes, peak / column.nbytes)


@pytest.mark.parametrize(("far", "is_right"), [(1e6, True), (1e12, True), (1e17, False), (1e50, False)])
def test_a_mean_that_the_columns_unit_cannot_say_is_not_called_converged(far: float, is_right: bool) -> None:
    """The four near rows have mean 5.5, which is rounded where one row is 1e17 away."""
    model, rows = GaussianMixture(K=2), {"X": [0.0, 1.0, 10.0, 11.0, far]}
    fit = fit_quietly(EM(num_starts=8), model, rows, seed=0, search=None)
    assert (fit.status is Status.CONVERGED) == is_right
    assert (abs(float(fit["mu_X"][0]) - 5.5) < 1e-3) == is_right


def test_overlapping_classes_do_not_take_thousands_of_steps() -> None:
    """EM's own steps shrink by the share of what is known of a row's class; L-BFGS goes on where they are slow."""
    rng = np.random.default_rng(0)
    model, rows = CausalMixture(2, {"X": Gaussian()}), {"X": 1.5 * rng.integers(0, 2, 800) + rng.normal(size=800)}
    plain, fast = (EM(num_starts=4, accelerate=flag).fit(model, rows, seed=0, search=None) for flag in (False, True))
    assert fast.status is Status.CONVERGED
    assert fast.stats["evaluations"] < 100 < plain.stats["evaluations"] / 4
    assert fast.stats["log_likelihood"] >= plain.stats["log_likelihood"] - 1e-6
    values = fast.info["log_likelihoods"]
    assert bool((values[1:] >= values[:-1] - 1e-9 * values.abs().max()).all())


def test_one_start_on_many_rows_is_a_good_one() -> None:
    """It is the best of several on some of the rows: all eight clusters are found."""
    rng = np.random.default_rng(1)
    label = rng.integers(0, 8, 6_000)
    rows = {"X": 6.0 * rng.normal(size=(8, 3))[label] + rng.normal(size=(6_000, 3))}
    model = CausalMixture(8, {"X": DiagonalGaussian(3)})
    one, many = (EM(num_starts=count).fit(model, rows, seed=2) for count in (1, 30))
    assert one.stats["log_likelihood"] == pytest.approx(many.stats["log_likelihood"], rel=1e-9)


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("estimator", [EM(), MAP()])
def test_on_many_rows_a_spike_is_no_start(estimator: EM, is_weighted: bool) -> None:
    """Tied or heavy rows invite L-BFGS into a spike of some of the rows; an interior maximum is there."""
    rng = np.random.default_rng(7 if is_weighted else 1)
    num_rows = 9_000 if is_weighted else 6_000
    ties = rng.random(num_rows) < (0.0 if is_weighted else 0.05)
    rows = np.where(ties, 0.0, rng.standard_t(4, num_rows))
    weights = np.where(rng.random(num_rows) < 0.01, 1e4, 1.0) if is_weighted else None
    fit = estimator.fit(CausalMixture(3, {"X": Gaussian()}), Data(X=rows, weights=weights), seed=0)
    assert fit.status is Status.CONVERGED


@pytest.mark.parametrize("num_rows", [200, 300_000])
def test_the_way_into_a_spike_is_not_taken_for_a_summit(num_rows: int) -> None:
    """A spike of one row has a slope of one row, however little of all rows that is."""
    rows = np.random.default_rng(0).standard_normal(num_rows)
    density = CausalMixture(2, {"X": Gaussian()}).density(Data(X=rows)).beyond_priors()
    objective = Objective(density, log_likelihood)
    found = []
    for centre, scale in ((3.0, 1.0), (rows[0], 1e-5)):
        greeks = {"theta": [0.9, 0.1], "mu_X": [0.0, centre], "sigma_X": [1.0, scale]}
        if scale < 1.0:
            greeks["theta"] = [1.0 - 1.0 / num_rows, 1.0 / num_rows]
        start = density.unconstrain({name: np.array(value) for name, value in greeks.items()})
        found.append(climb_inside(objective, start, num_rows, gradient=1e-9, max_steps=200))
    assert found[0] is not None and objective.value(found[0]) > objective.value(start) - num_rows
    assert found[1] is None
