"""Means of counterfactuals are exact given a draw of the Greeks: against formulas by hand, grids and enumeration."""

import itertools
import math
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor

from estimators import CausalMixture, Data, Fit
from estimators.mechanisms import Bernoulli, Categorical, Gaussian, LinearGaussian, Poisson
from estimators.mechanisms.structural import GumbelMax, MonotoneInverse, Structural
from estimators.parameters.distributions import CountingPoisson
from tests.causal_models import known, posterior_of


def tensor(value: Any) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def responsibilities(fit: Fit, data: Data, draw: int) -> np.ndarray:
    one = Fit.from_greeks(fit.model, {name: value[draw] for name, value in fit.draws.items()})
    return one.responsibilities(data).numpy()


# ------------------------------------------------------------------ one variable


def test_a_binary_outcome_by_hand() -> None:
    """P(Y' = 1) is min(1, q/p) of a row with Y = 1, and (q - p)⁺/(1 - p) of one with Y = 0, in each class."""
    model = CausalMixture(2, {"X": Gaussian(scale=1.0), "T": Bernoulli(), "Y": Bernoulli(parents=["T"])})
    truth = {"theta": [0.5, 0.5], "mu_X": [-2.0, 2.0], "p_T": [0.4, 0.6], "p_Y": [[0.2, 0.5], [0.4, 0.8]]}
    rng, point = np.random.default_rng(0), Fit.from_greeks(model, truth)
    draws = {name: value * tensor(rng.uniform(0.9, 1.0, (40, *value.shape[1:]))) for name, value in point.draws.items()}
    draws["theta"] = draws["theta"] / draws["theta"].sum(-1, keepdim=True)
    fit = Fit(model, "posterior", draws, 1, point.status, {})
    data = Data(X=[-4.0, 4.0, 0.1, 0.2], T=[0, 0, 1, 1], Y=[0, 1, 1, 0])
    found = fit.counterfactual(data, do={"T": [1, 1, 0, 0]}).mean("Y")
    assert found.error is None
    p_y = fit.draws["p_Y"].numpy()
    for draw in range(40):
        before, after = p_y[draw][:, [0, 0, 1, 1]].T, p_y[draw][:, [1, 1, 0, 0]].T
        y = np.array([0, 1, 1, 0])[:, None]
        one = np.where(y == 1, np.minimum(1.0, after / before), np.maximum(after - before, 0.0) / (1.0 - before))
        expected = (responsibilities(fit, data, draw) * one).sum(1)
        np.testing.assert_allclose(found.draws[draw], expected, atol=1e-12)
    # The interval is of the draws: far narrower than [0, 1], of which simulated worlds would make it.
    low, high = found.interval(0.9)
    assert float((high - low).max()) < 0.15


def test_two_options_of_gumbels_are_the_monotone_ones() -> None:
    for p, q in itertools.product((0.0, 0.3, 0.8, 1.0), (0.0, 0.2, 0.8, 1.0)):
        one, two = ([1.0 - share, share] for share in (p, q))
        for value in (0.0, 1.0):
            if one[int(value)] == 0.0:
                continue
            _, gumbel = GumbelMax().outcomes(
                dist.Categorical(tensor(one)), tensor(value), dist.Categorical(tensor(two))
            )
            monotone = MonotoneInverse().outcomes(dist.Bernoulli(tensor(p)), tensor(value), dist.Bernoulli(tensor(q)))
            assert monotone is not None
            table = dict(zip(monotone[0].tolist(), monotone[1].tolist(), strict=True))
            np.testing.assert_allclose(gumbel, [table.get(0.0, 0.0), table.get(1.0, 0.0)], atol=1e-12)


def both_gumbels(p: Any, q: Any, i: int, j: int) -> Any:
    """The density of the Gumbels a of i and b of j, times the probability that all others are below."""
    others = [(math.log(p[i] / p[k]), math.log(q[j] / q[k])) for k in range(len(p)) if k not in (i, j)]

    def density(b: float, a: float) -> float:
        below = sum(math.exp(-min(first + a, second + b)) for first, second in others)
        return math.exp(-a - math.exp(-a) - b - math.exp(-b) - below)

    return density


def test_gumbels_by_double_integration() -> None:
    """P(i before, j after) from the definition: both Gumbels of i and j integrated, all others below both bounds."""
    p, q = np.array([0.2, 0.5, 0.25, 0.05]), np.array([0.45, 0.1, 0.25, 0.2])
    before, after = dist.Categorical(tensor(p)), dist.Categorical(tensor(q))
    table = np.array([GumbelMax().outcomes(before, tensor(float(i)), after)[1].numpy() for i in range(4)])
    np.testing.assert_allclose(table.sum(1), 1.0, atol=1e-12)
    np.testing.assert_allclose(p @ table, q, atol=1e-12)
    for i, j in ((1, 0), (2, 3), (0, 3)):
        ends = [np.log(q[i] / q[j]), np.log(p[i] / p[j])]
        joint = integrate.dblquad(
            both_gumbels(p, q, i, j),
            -4.0,
            30.0,
            lambda a, gap=ends[0]: a + gap,
            lambda a, gap=ends[1]: a + gap,
            epsabs=1e-8,
        )[0]
        assert table[i, j] == pytest.approx(joint / p[i], abs=1e-7)
    assert table[0, 1] == 0.0, "option 1 lost odds to option 0"
    np.testing.assert_allclose(GumbelMax().outcomes(before, tensor(2.0), before)[1], [0.0, 0.0, 1.0, 0.0], atol=1e-15)


@pytest.mark.parametrize(("before", "after", "seen"), [(3.0, 5.0, 4), (5.0, 0.7, 6), (5.0, 10.0, 60), (40.0, 38.0, 2)])
def test_a_count_by_its_uniform(before: float, after: float, seen: int) -> None:
    """Far in the tails too, where 1 - F has no digits: the uniform is there met from above."""
    outcomes = MonotoneInverse().outcomes(
        CountingPoisson(tensor(before)), tensor(float(seen)), CountingPoisson(tensor(after))
    )
    assert outcomes is not None
    counts = np.arange(400)
    lower = np.minimum(stats.poisson.cdf(seen, before), stats.poisson.cdf(counts, after)) - np.maximum(
        stats.poisson.cdf(seen - 1, before), stats.poisson.cdf(counts - 1, after)
    )
    upper = np.minimum(stats.poisson.sf(seen - 1, before), stats.poisson.sf(counts - 1, after)) - np.maximum(
        stats.poisson.sf(seen, before), stats.poisson.sf(counts, after)
    )
    share = np.maximum(lower if stats.poisson.cdf(seen - 1, before) < 0.5 else upper, 0.0)
    share = share / share.sum()
    values, probabilities = outcomes
    np.testing.assert_allclose(probabilities, share[values.long().numpy()], atol=1e-9)
    assert float((values * probabilities).sum()) == pytest.approx(float(counts @ share), rel=1e-9)


def test_a_count_is_the_same_however_it_is_asked() -> None:
    """Drawn noise gives values with the probabilities of the outcomes, and its own value back."""
    before, after = CountingPoisson(tensor(5.0)), CountingPoisson(tensor(10.0))
    noise = MonotoneInverse().abduct(before.expand([200]), tensor([60.0] * 200))
    assert bool((MonotoneInverse().act(before, noise) == 60.0).all())
    outcomes = MonotoneInverse().outcomes(before, tensor(60.0), after)
    assert outcomes is not None
    assert set(MonotoneInverse().act(after, noise).tolist()) <= set(outcomes[0].tolist())


def test_a_continuous_family_keeps_its_probability() -> None:
    """An exponential is not taken for whole numbers: x at F(x) becomes F'⁻¹(F(x)), x times the ratio of the means."""
    value = tensor([0.1, 0.5, 2.5])
    values, probabilities = MonotoneInverse().outcomes(
        dist.Exponential(tensor(2.0)), value, dist.Exponential(tensor(0.5))
    )  # type: ignore[misc]
    np.testing.assert_allclose(values[:, 0], 4.0 * value, rtol=1e-12)
    assert probabilities.tolist() == [[1.0]] * 3


# ------------------------------------------------------------------ chains of variables


def test_a_count_between_cause_and_outcome_on_a_grid_of_noise() -> None:
    model_fit = posterior_of("mixed", 2)
    drawn = model_fit.model.simulate(4, {k: v[0] for k, v in known("mixed").draws.items()}, seed=4)  # type: ignore[union-attr]
    data = Data(**{name: drawn[name] for name in ("C", "P", "Y", "X")})
    found = model_fit.counterfactual(data, do={"C": 2}).mean("Y")
    assert found.error is None
    c, count, y = (drawn[name].double().numpy() for name in ("C", "P", "Y"))
    grid = (np.arange(10_000) + 0.5) / 10_000
    for draw in range(2):
        greeks = {name: value[draw].numpy() for name, value in model_fit.draws.items()}
        shares = responsibilities(model_fit, data, draw)
        for row in range(4):
            total = 0.0
            for k in range(2):
                rate, line, level = greeks["rate_P"][k], greeks["beta_Y"][k], int(c[row])
                low, high = stats.poisson.cdf([count[row] - 1, count[row]], rate[level])
                other = stats.poisson.ppf(low + (high - low) * grid, rate[2])
                change = line[2] - (line[level] if level else 0.0) + line[3] * (other - count[row])
                total += shares[row, k] * (0.0 if level == 2 else change.mean())
            assert float(found.draws[draw, row]) == pytest.approx(y[row] + total, abs=1e-3)


def test_a_chain_of_discrete_variables_by_enumeration() -> None:
    """A → B → C → Y with C of three levels: the couplings of B and C multiplied by hand."""
    model = CausalMixture(
        1,
        {
            "A": Bernoulli(),
            "B": Bernoulli(parents=["A"]),
            "C": Categorical(3, parents=["B"]),
            "Y": LinearGaussian(parents=["C"], scale=1.0),
        },
    )
    p_c = np.array([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]])
    greeks = {"theta": [1.0], "p_A": [0.5], "p_B": [[0.3, 0.8]], "p_C": p_c[None], "beta_Y": [[1.0, 2.0, -3.0]]}
    fit = Fit.from_greeks(model, greeks)
    data = Data(A=[0, 0], B=[0, 1], C=[1, 2], Y=[0.4, -1.0])
    found = fit.counterfactual(data, do={"A": 1}).mean("Y").value
    effect = np.array([0.0, 2.0, -3.0])
    to_one = (0.8 - 0.3) / 0.7
    moved = GumbelMax().outcomes(dist.Categorical(tensor(p_c[0])), tensor(1.0), dist.Categorical(tensor(p_c[1])))[1]
    first = 0.4 + to_one * (float(moved.numpy() @ effect) - effect[1])
    np.testing.assert_allclose(found, [first, -1.0], atol=1e-12)


# ------------------------------------------------------------------ Z below what is set


LATENT_BELOW = CausalMixture(
    3, {"W": Bernoulli(), "X": Bernoulli(), "Y": LinearGaussian(parents=["X"])}, latent_parents=["W"]
)
BELOW_GREEKS = {
    "theta": [[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]],
    "p_W": 0.35,
    "p_X": [0.1, 0.5, 0.8],
    "beta_Y": [[0.0, 1.0], [2.0, -1.0], [5.0, 0.5]],
    "sigma_Y": [1.0, 0.5, 0.8],
}


@pytest.mark.parametrize("w", [0, 1])
def test_over_all_rows_the_mean_is_that_of_the_intervention(w: int) -> None:
    """Σ p(row) E[· | row, do(W = w)] = E[· | do(W = w)], over every w, x and (by the trapezoid rule) y."""
    fit = Fit.from_greeks(LATENT_BELOW, BELOW_GREEKS)
    grid = np.arange(-8.0, 13.0, 0.05)
    w_seen, x, y = (part.reshape(-1) for part in np.meshgrid([0.0, 1.0], [0.0, 1.0], grid, indexing="ij"))
    data = Data(W=w_seen, X=x, Y=y)
    weights = 0.05 * fit.log_density(data).exp().numpy()
    assert weights.sum() == pytest.approx(1.0, abs=1e-9)
    done = fit.counterfactual(data, do={"W": w})
    for name in ("X", "Y"):
        found = done.mean(name)
        assert found.error is None
        expected = float(fit.do(W=w).mean(name).value)
        assert float(weights @ found.value.numpy()) == pytest.approx(expected, abs=1e-8)
        assert abs(float(weights @ data.columns[name].numpy()) - expected) > 0.05, "the effect is through Z"
    world = done.sample(seed=3)
    assert bool((world["Z"] != fit.counterfactual(data, do={"W": w_seen}).sample(seed=3)["Z"]).any())
    same = fit.counterfactual(data, do={"W": w_seen})
    assert torch.equal(same.mean("Y").value, data.columns["Y"])
    assert torch.equal(same.sample(seed=3)["Y"], data.columns["Y"])


def test_z_moves_by_its_own_assumption() -> None:
    class Kept:
        """Z is what it was, whatever its causes are."""

        def abduct(self, distribution: Any, value: Tensor) -> Tensor:
            return value

        def act(self, distribution: Any, noise: Tensor) -> Tensor:
            return noise

    fit, data = Fit.from_greeks(LATENT_BELOW, BELOW_GREEKS), Data(W=[0.0, 1.0], X=[0.0, 1.0], Y=[0.3, 2.0])
    kept: Structural = Kept()
    found = fit.counterfactual(data, do={"W": [1, 0]}, assumptions={"Z": kept}).mean("Y")
    np.testing.assert_allclose(found.value, data.columns["Y"], atol=1e-12)
    usual = fit.counterfactual(data, do={"W": [1, 0]}).mean("Y").value
    monotone = fit.counterfactual(data, do={"W": [1, 0]}, assumptions={"Z": MonotoneInverse()}).mean("Y")
    assert monotone.error is None
    assert float((usual - found.value).abs().min()) > 0.05
    assert not torch.allclose(monotone.value, usual)


def test_z_that_an_experimenter_set_stays() -> None:
    fit = Fit.from_greeks(LATENT_BELOW, BELOW_GREEKS)
    rows = {"W": [0.0, 1.0], "X": [0.0, 1.0], "Y": [0.3, 2.0], "Z": [1, 2]}
    kept = fit.counterfactual(Data(**rows, intervened={"Z": True}), do={"W": [1, 0]})
    assert kept.mean("Y").value.tolist() == [0.3, 2.0]
    seen = fit.counterfactual(Data(**rows), do={"W": [1, 0]}).mean("Y").value
    assert float((seen - tensor([0.3, 2.0])).abs().min()) > 0.1


# ------------------------------------------------------------------ what cannot be enumerated


def test_drawn_noise_states_its_error() -> None:
    class Independent:
        """The value under other causes has nothing to do with the one seen."""

        def abduct(self, distribution: Any, value: Tensor) -> Tensor:
            return torch.rand(value.shape, dtype=torch.float64)

        def act(self, distribution: Any, noise: Tensor) -> Tensor:
            return (noise < distribution.probs).double()

    fit = Fit.from_greeks(LATENT_BELOW, BELOW_GREEKS)
    data = Data(W=[0.0, 1.0], X=[0.0, 1.0], Y=[0.3, 2.0], Z=[0, 2])
    found = fit.counterfactual(data, do={"Z": 1}, assumptions={"X": Independent()}, seed=0).mean("X")
    assert found.error is not None
    np.testing.assert_allclose(found.error[0], [np.sqrt(0.25 / 1000)] * 2, rtol=0.05)
    assert bool(((found.value - 0.5).abs() < 5.0 * found.error[0]).all())


def test_a_count_with_too_many_values_is_drawn() -> None:
    model = CausalMixture(2, {"T": Bernoulli(), "N": Poisson(parents=["T"])})
    fit = Fit.from_greeks(model, {"theta": [0.5, 0.5], "p_T": [0.5, 0.5], "rate_N": [[0.5, 1e6], [0.5, 1e6]]})
    found = fit.counterfactual(Data(T=[0.0], N=[0.0]), do={"T": 1}, seed=0).mean("N")
    # N = 0 had u below e^-.5: the mean of the lower e^-.5 of Poisson(10⁶), which is nearly normal.
    share = np.exp(-0.5)
    expected = 1e6 - 1e3 * stats.norm.pdf(stats.norm.ppf(share)) / share
    assert found.error is not None and 10.0 < float(found.error) < 40.0
    assert float(found.value) == pytest.approx(expected, abs=5.0 * float(found.error))
