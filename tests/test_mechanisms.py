"""Every mechanism against Pyro, finite differences and brute force, by one battery of small models."""

import math
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp
from torch import Tensor

from estimators import CausalMixture, Data
from estimators.estep.marginal import MixtureMarginal, Statistics
from estimators.isolation import isolated
from estimators.mechanisms import (
    Bernoulli,
    Categorical,
    DiagonalGaussian,
    FullGaussian,
    Gaussian,
    LinearGaussian,
    Mechanism,
    Poisson,
)
from estimators.mechanisms.defaults import General
from estimators.mixture.coordinates import transforms_of
from estimators.mixture.density import Density
from tests.expectations import MixtureExpectation, log_likelihood_of, q_of
from tests.mechanism_models import (
    FAMILIES,
    MODELS,
    any_rows,
    by_hand,
    enumerated,
    hidden_rows,
    is_simplex,
    random_greeks,
)

EVERY_MODEL = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
EVERY_FAMILY = pytest.mark.parametrize("mechanism", FAMILIES.values(), ids=FAMILIES)


def arrays_of(greeks: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy() for name, value in greeks.items()}


def along_support(model: CausalMixture, slopes: dict[str, Tensor]) -> dict[str, Tensor]:
    """Slopes along the support: weights that sum to 1 are normalised by Pyro and not by us."""
    supports = {parameter.name: parameter.prior.support for parameter in model.parameters}
    return {
        name: slope - slope.mean(-1, keepdim=True) if is_simplex(supports[name]) else slope
        for name, slope in slopes.items()
    }


# ------------------------------------------------------------------------------------------------ both routes


@EVERY_MODEL
@pytest.mark.parametrize("seed", [0, 1])
def test_both_routes_agree_on_value_and_gradient(model: CausalMixture, seed: int) -> None:
    data = any_rows(model, seed=seed)
    greeks = {name: value.requires_grad_() for name, value in random_greeks(model, seed).items()}
    fast, slow = log_likelihood_of(model.marginal(data), greeks), enumerated(model, data, greeks)
    torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-9)
    values = list(greeks.values())
    mine = dict(zip(greeks, torch.autograd.grad(fast, values), strict=True))
    found = torch.autograd.grad(slow, values, allow_unused=True)
    theirs = {name: torch.zeros_like(mine[name]) if g is None else g for name, g in zip(greeks, found, strict=True)}
    mine, theirs = along_support(model, mine), along_support(model, theirs)
    for name in greeks:
        size = float(theirs[name].abs().max())
        torch.testing.assert_close(
            mine[name], theirs[name], rtol=1e-9, atol=1e-9 * (1 + size), msg=lambda m, n=name: n + m
        )


@EVERY_MODEL
def test_a_set_entry_drops_exactly_its_own_factor(model: CausalMixture) -> None:
    data, greeks = any_rows(model), random_greeks(model, 2)
    pointwise = model.marginal(data).pointwise(greeks).numpy()
    expected = by_hand(model, data, greeks)
    np.testing.assert_allclose(pointwise, expected, rtol=1e-12, atol=1e-12)
    # The control: with nothing set, only rows without a set entry keep their density.
    seen = Data(**dict(data.columns), weights=data.weights)
    changed = np.abs(by_hand(model, seen, greeks) - expected) > 1e-6
    # What is conditioned on has no factor.
    names = [name for name in model.mechanisms if name not in model.covariates]
    is_set = np.any([data.is_set(name).numpy() for name in (*names, "Z")], axis=0)
    assert np.array_equal(changed, is_set)


@EVERY_MODEL
def test_the_gradient_is_that_of_finite_differences(model: CausalMixture) -> None:
    marginal, arrays = model.marginal(any_rows(model)), arrays_of(random_greeks(model, 3))
    slopes = marginal.gradient(arrays, marginal.statistics(arrays))
    assert set(slopes) == set(arrays)
    for name, value in arrays.items():
        for place in np.ndindex(value.shape):
            if name.startswith("corr") and place[-1] > place[-2]:
                assert slopes[name][place] == 0.0
                continue
            step = 1e-6 * max(abs(float(value[place])), 1e-2)
            sides = []
            for sign in (1.0, -1.0):
                moved = {key: np.array(part) for key, part in arrays.items()}
                moved[name][place] += sign * step
                sides.append(float(marginal.statistics(moved).log_likelihood))
            rounding = 1e-14 * max(abs(sides[0]), 1.0) / step
            expected = (sides[0] - sides[1]) / (2 * step)
            assert slopes[name][place] == pytest.approx(expected, rel=1e-6, abs=rounding + 1e-6), name


@EVERY_MODEL
def test_a_batch_of_greeks_is_each_alone(model: CausalMixture) -> None:
    marginal = model.marginal(any_rows(model))
    sets = [arrays_of(random_greeks(model, seed)) for seed in range(3)]
    batch = {name: np.stack([one[name] for one in sets]) for name in sets[0]}
    together = marginal.statistics(batch)
    steps, slopes = marginal.argmax(batch, together), marginal.gradient(batch, together)
    for index, one in enumerate(sets):
        alone = marginal.statistics(one)
        assert float(together.log_likelihood[index]) == pytest.approx(float(alone.log_likelihood), rel=1e-12)
        step, slope = marginal.argmax(one, alone), marginal.gradient(one, alone)
        for name in one:
            np.testing.assert_allclose(steps[name][index], step[name], rtol=1e-7, atol=1e-9)
            np.testing.assert_allclose(slopes[name][index], slope[name], rtol=1e-7, atol=1e-7)


# ------------------------------------------------------------------------------------------------ one density


def by_the_law(mechanism: Mechanism, greeks: dict[str, Tensor], column: Tensor, inputs: Tensor) -> Tensor:
    """log p of every row in every cell by the family's Pyro distribution, [cells, N]."""
    cells = next(iter(greeks.values())).shape[0]
    laws = [mechanism.distribution(greeks, torch.full((len(column),), cell), inputs) for cell in range(cells)]
    return torch.stack([law.log_prob(column) for law in laws])


def by_features(mechanism: Mechanism, greeks: dict[str, Tensor], column: Tensor, inputs: Tensor) -> np.ndarray:
    """The same by the E-step's coefficients and features, C Φ, about the centres of the cells where it has any."""
    arrays, rows, given = arrays_of(greeks), column.numpy(), inputs.numpy()
    moved = mechanism.recentred(arrays, mechanism.reference(rows, given))
    coefficients = mechanism.natural_parameters(arrays, moved)
    return np.stack(
        [line @ mechanism.features(rows, given, moved.of_cells(cell)) for cell, line in enumerate(coefficients)]
    )


ONE_DENSITY: dict[str, Mechanism] = {**FAMILIES, "LinearGaussian": LinearGaussian(parents=["A", "B"])}


@pytest.mark.parametrize("name", ONE_DENSITY)
@pytest.mark.parametrize("seed", range(5))
def test_the_law_and_the_features_are_one_density(name: str, seed: int) -> None:
    mechanism, generator = ONE_DENSITY[name], torch.Generator().manual_seed(seed)
    inputs = torch.randn(40, 2 if mechanism.is_regression else 0, generator=generator, dtype=torch.float64)
    with isolated(seed):
        greeks = {p.name: torch.as_tensor(p.prior.sample()) for p in mechanism.parameters((3,), inputs.shape[1])}
        rows = [mechanism.distribution(greeks, torch.tensor([n % 3]), inputs[n]).sample()[0] for n in range(40)]
    column = torch.stack(rows).double()
    expected = by_the_law(mechanism, greeks, column, inputs).numpy()
    # A quadratic form has the rounding of its largest term, one of thousands where scales drawn are near 0.
    np.testing.assert_allclose(by_features(mechanism, greeks, column, inputs), expected, rtol=1e-12, atol=1e-12)


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


EXTREMES: dict[str, tuple[Mechanism, dict[str, Tensor], Tensor]] = {
    "a probability of 1e-300": (Bernoulli(), {"p": numbers(1e-300, 1.0 - 1e-16)}, numbers(0, 1)),
    "a level of 1e-200": (Categorical(2), {"p": torch.stack([numbers(1e-200, 1.0), numbers(0.3, 0.7)])}, numbers(0, 1)),
    "large counts": (Poisson(), {"rate": numbers(1e8, 1.0001e8)}, numbers(99_990_000, 100_010_000, 29, 30, 0)),
    "tiny rates": (Poisson(), {"rate": numbers(1e-30, 2.0)}, numbers(0, 1, 7)),
    "tight far groups": (Gaussian(), {"mu": numbers(0, 1e6), "sigma": numbers(1e-3, 1.0)}, numbers(0, 1e-3, 1e6 + 1)),
    "huge units": (Gaussian(), {"mu": numbers(0, 1e50), "sigma": numbers(1e49, 1e50)}, numbers(-1e50, 0, 2e50)),
    "tiny units": (Gaussian(), {"mu": numbers(0, 1e-50), "sigma": numbers(1e-51, 1e-50)}, numbers(-1e-50, 0, 2e-50)),
}


@pytest.mark.parametrize("name", EXTREMES)
def test_they_are_at_extremes_too(name: str) -> None:
    mechanism, greeks, column = EXTREMES[name]
    inputs = torch.zeros(len(column), 0, dtype=torch.float64)
    expected = by_the_law(mechanism, greeks, column, inputs).numpy()
    np.testing.assert_allclose(by_features(mechanism, greeks, column, inputs), expected, rtol=1e-12, atol=1e-12)


# ------------------------------------------------------------------------------------------------ EM


def slope_of_q(model: CausalMixture, marginal: MixtureMarginal, at: dict[str, Any], given: Statistics) -> np.ndarray:
    """The gradient of the expected complete-data log-likelihood in unconstrained coordinates."""
    transforms, slopes = transforms_of(model, marginal.references, within_priors=False), marginal.gradient(at, given)
    return np.concatenate(
        [transforms[block.joint.name].pull_back(block.flat(at), block.flat(slopes)) for block in model.blocks]
    )


@EVERY_MODEL
def test_the_m_step_is_the_argmax_of_q(model: CausalMixture) -> None:
    data = any_rows(model, 120)
    marginal, arrays = model.marginal(data), arrays_of(random_greeks(model, 4))
    given = marginal.statistics(arrays)
    best = marginal.argmax(arrays, given)
    density = Density(model, marginal, within_priors=False)
    if model.latent is not None or any(isinstance(mechanism, General) for mechanism in model.mechanisms.values()):
        # One step of Newton's is not the maximum; and sums are slopes where they were made alone.
        for _ in range(60):
            best = marginal.argmax(best, given)
        around = density.unconstrain(best) + 1e-4 * np.stack([np.eye(density.size), -np.eye(density.size)])
        ahead, behind = (q_of(marginal, density.constrain(points), given) for points in around)
        assert np.abs(ahead - behind).max() / 2e-4 < 1e-5 * marginal.total_weight
    else:
        assert np.abs(slope_of_q(model, marginal, best, given)).max() < 1e-7 * marginal.total_weight
    # The control: where the E-step was made, it is not zero.
    assert np.abs(slope_of_q(model, marginal, arrays, given)).max() > 1e-3 * marginal.total_weight
    centre, top = density.unconstrain(best), float(q_of(marginal, best, given))
    rng = np.random.default_rng(0)
    for size in (1e-3, 0.1, 1.0):
        for _ in range(10):
            moved = density.constrain(centre + size * rng.standard_normal(density.size))
            assert float(q_of(marginal, moved, given)) < top + 1e-9 * abs(top)


@EVERY_MODEL
def test_em_never_falls(model: CausalMixture) -> None:
    marginal, greeks = model.marginal(any_rows(model, 60)), arrays_of(random_greeks(model, 5))
    given = marginal.statistics(greeks)
    first = value = float(given.log_likelihood)
    for _ in range(15):
        greeks = marginal.argmax(greeks, given)
        given = marginal.statistics(greeks)
        assert float(given.log_likelihood) >= value - 1e-10 * abs(value)
        value = float(given.log_likelihood)
    assert value > first


@EVERY_FAMILY
def test_a_cell_without_rows_keeps_its_greeks(mechanism: Mechanism) -> None:
    model = CausalMixture(2, {"X": mechanism})
    data = hidden_rows(model, 20)
    marginal = model.marginal(Data(**dict(data.columns), Z=torch.zeros(20)))
    arrays = arrays_of(random_greeks(model, 6))
    best = marginal.argmax(arrays, marginal.statistics(arrays))
    for name, value in best.items():
        if name != "theta":
            np.testing.assert_allclose(value[1], arrays[name][1], rtol=1e-10, atol=1e-14)
            assert not np.allclose(value[0], arrays[name][0], rtol=1e-3)


@pytest.mark.parametrize("mechanism", [DiagonalGaussian(2), FullGaussian(2)], ids=["diagonal", "full"])
def test_digits_survive_a_range_far_beyond_the_scale(mechanism: Mechanism) -> None:
    """Two tight groups 1e6 scales apart: features about the shared centre would lose all but four digits."""
    offsets = torch.tensor([[-0.5, 1.0], [0.25, -1.0], [0.125, 0.5], [1.0, 0.25]], dtype=torch.float64)
    model = CausalMixture(2, {"X": mechanism})
    data = Data(X=torch.cat([offsets, 1e6 + offsets]))
    greeks = {"mu_X": torch.stack([offsets.mean(0), 1e6 + offsets.mean(0)]), "sigma_X": torch.ones(2, 2).double()}
    greeks["theta"] = torch.tensor([0.5, 0.5]).double()
    if isinstance(mechanism, FullGaussian):
        greeks["corr_X"] = torch.eye(2).double().expand(2, 2, 2)
    squares = float((offsets - offsets.mean(0)).square().sum())
    expected = 2 * (4 * math.log(0.5) - 0.5 * squares - 4 * math.log(2 * math.pi))
    marginal = model.marginal(data)
    assert float(log_likelihood_of(marginal, greeks)) == pytest.approx(expected, rel=1e-9)
    best = MixtureExpectation(marginal, greeks).argmax()
    spread = (offsets - offsets.mean(0)).square().mean(0).sqrt()
    torch.testing.assert_close(best["sigma_X"], spread.expand(2, 2), rtol=1e-9, atol=0)


def test_large_counts_keep_their_digits() -> None:
    """At a mean of 1e8, log p is compared with SciPy's, whose terms of 1e9 cancel."""
    model = CausalMixture(2, {"X": Poisson(prior=dist.LogNormal(18.0, 1.0))})
    data = Data(X=[99_990_000, 100_010_000, 100_000_000, 3, 0])
    greeks = {"theta": torch.tensor([0.4, 0.6]).double(), "rate_X": torch.tensor([1e8, 1.0001e8]).double()}
    pointwise = model.marginal(data).pointwise(greeks).numpy()
    np.testing.assert_allclose(pointwise, by_hand(model, data, greeks), rtol=1e-6)


# ------------------------------------------------------------------------------------------------ missing entries


@pytest.mark.parametrize("name", ["DiagonalGaussian alone", "FullGaussian with a parent", "three dimensions"])
def test_a_missing_entry_of_a_vector_is_integrated_out(name: str) -> None:
    model = MODELS[name]
    data, greeks = hidden_rows(model, 12), random_greeks(model, 7)
    column = data.columns["X"].clone()
    column[::3, 0] = torch.nan
    column[1::3, -1] = torch.nan
    holed = data.replace(X=torch.zeros_like(column))
    holed = Data(**{**holed.columns, "X": column}, missing="marginalize")
    found = model.marginal(holed).pointwise(greeks).numpy()
    node, expected = model.nodes["X"], []
    for n in range(12):
        keep = ~column[n].isnan()
        columns = {key: value[n] for key, value in data.columns.items()}
        terms = []
        for k in range(model.K):
            given: Any = node.distribution(greeks, torch.tensor(k), columns)
            covariance = given.covariance_matrix if hasattr(given, "covariance_matrix") else given.variance.diag()
            normal = stats.multivariate_normal(given.mean[keep], covariance[keep][:, keep])
            above = sum(
                float(other.distribution(greeks, torch.tensor(k), columns).log_prob(columns[key]))
                for key, other in model.nodes.items()
                if key != "X"
            )
            terms.append(float(greeks["theta"][k].log()) + above + float(normal.logpdf(column[n][keep])))
        expected.append(logsumexp(terms))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
