"""The exact E-step: it equals Pyro's enumeration and brute force, whatever the chunks, weights, order and threads."""

import math
import tracemalloc
from itertools import product

import numpy as np
import pyro
import pytest
import torch
from pyro.infer import TraceEnum_ELBO, config_enumerate
from torch import Tensor

from estimators import CausalMixture, Data, GaussianMixture
from estimators.mechanisms import Gaussian
from estimators.mixture.observed import observe
from tests.expectations import MixtureExpectation, log_likelihood_of
from tests.models import MODELS, mixed_rows, rows_of

EVERY_MODEL = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def random_greeks(model: CausalMixture, seed: int) -> dict[str, Tensor]:
    greeks = model.prior_greeks(seed)
    if model.K > 1:
        greeks["theta"] = (greeks["theta"] + 0.05) / (greeks["theta"] + 0.05).sum()
    return {name: value.requires_grad_() for name, value in greeks.items()}


def enumerated_log_joint(model: CausalMixture, data: Data, greeks: dict[str, Tensor]) -> Tensor:
    """Pyro's own enumeration of the same model: log p(data | φ), weights by repeating rows."""
    weights = torch.ones(data.num_rows) if data.weights is None else data.weights
    index = torch.arange(data.num_rows).repeat_interleave(weights.long())
    columns = {name: column[index] for name, column in data.columns.items()}
    masks = {name: mask[index] for name, mask in data.intervened.items()}
    repeated = Data(**columns, intervened=masks)
    total = torch.zeros((), dtype=torch.float64)
    is_set, seen = repeated.is_set("Z"), repeated.latent() >= 0
    for number, mask in enumerate((~seen, seen & ~is_set, is_set)):
        if bool(mask.any()):
            rows = repeated.rows(mask.nonzero()[:, 0])

            def program(rows: Data = rows, number: int = number) -> None:
                observe(model, greeks, rows, str(number))

            elbo = TraceEnum_ELBO(max_plate_nesting=1, strict_enumeration_warning=False)
            total = total - elbo.differentiable_loss(config_enumerate(program), lambda: None)
    return total


def brute_force(model: CausalMixture, data: Data, greeks: dict[str, Tensor]) -> Tensor:
    """Σ over all K^N allocations of the joint density, written out row by row (weights as powers of a row's sum)."""
    latent, set_z = data.latent(), data.is_set("Z")

    def term(n: int, k: int) -> Tensor:
        value = torch.zeros(()) if set_z[n] else torch.log(greeks["theta"][k])
        for name, node in model.nodes.items():
            if not data.is_set(name)[n]:
                given = node.distribution(greeks, torch.tensor(k), {})
                value = value + given.log_prob(data.columns[name][n].double())
        return value

    allowed = [range(model.K) if latent[n] < 0 else [int(latent[n])] for n in range(data.num_rows)]
    terms = [[term(n, k) for k in ks] for n, ks in enumerate(allowed)]
    allocations = [torch.stack(choice).sum() for choice in product(*terms)]
    return torch.logsumexp(torch.stack(allocations), 0)


@EVERY_MODEL
@pytest.mark.parametrize("seed", [0, 1])
def test_both_routes_agree_on_value_and_gradient(model: CausalMixture, seed: int) -> None:
    data = mixed_rows(model, seed=seed)
    greeks = random_greeks(model, seed)
    fast = log_likelihood_of(model.marginal(data), greeks)
    slow = enumerated_log_joint(model, data, greeks)
    torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-9)
    for name, a, b in zip(
        greeks,
        torch.autograd.grad(fast, list(greeks.values()), retain_graph=True),
        torch.autograd.grad(slow, list(greeks.values()), allow_unused=True),
        strict=True,
    ):
        expected = torch.zeros_like(a) if b is None else b
        if name == "theta":  # Categorical normalises theta, so the slopes may differ across the simplex, not along it
            a, expected = a - a.mean(), expected - expected.mean()
        torch.testing.assert_close(a, expected, rtol=1e-9, atol=1e-9, msg=lambda m, n=name: f"{n}: {m}")


@EVERY_MODEL
def test_equals_the_sum_over_all_allocations(model: CausalMixture) -> None:
    mixed = mixed_rows(model, num_rows=7)
    data = Data(**dict(mixed.columns), intervened=dict(mixed.intervened))
    greeks = random_greeks(model, 3)
    torch.testing.assert_close(
        log_likelihood_of(model.marginal(data), greeks), brute_force(model, data, greeks), rtol=1e-11, atol=1e-11
    )


@EVERY_MODEL
def test_gradient_matches_finite_differences(model: CausalMixture) -> None:
    data = mixed_rows(model)
    marginal = model.marginal(data)
    arrays = {name: value.detach().numpy() for name, value in random_greeks(model, 2).items()}
    slopes = marginal.gradient(arrays, marginal.statistics(arrays))
    for name, value in arrays.items():
        for place in np.ndindex(value.shape):
            step = 1e-6 * max(abs(float(value[place])), 1e-2)
            sides = []
            for sign in (1.0, -1.0):
                moved = {key: np.array(part) for key, part in arrays.items()}
                moved[name][place] += sign * step
                sides.append(float(marginal.statistics(moved).log_likelihood))
            found = (sides[0] - sides[1]) / (2 * step)
            assert slopes[name][place] == pytest.approx(found, rel=1e-6, abs=1e-5)


@EVERY_MODEL
def test_responsibilities_are_the_posterior_of_z(model: CausalMixture) -> None:
    data = mixed_rows(model)
    greeks = random_greeks(model, 4)
    shares = model.marginal(data).responsibilities(greeks)
    torch.testing.assert_close(shares.sum(1), torch.ones(data.num_rows, dtype=torch.float64), rtol=0, atol=1e-14)
    latent = data.latent()
    known = latent >= 0
    assert torch.equal(shares[known].argmax(1), latent[known])
    assert bool((shares[known].max(1).values == 1.0).all())
    for n in (~known).nonzero()[:, 0].tolist():
        one = data.rows(torch.tensor([n]))
        columns = {name: column for name, column in one.columns.items() if name != "Z"}
        masks = {name: mask for name, mask in one.intervened.items() if name != "Z"}
        joint = [
            model.marginal(Data(**columns, Z=[k], intervened=masks)).pointwise(greeks)[0].detach()
            for k in range(model.K)
        ]
        torch.testing.assert_close(shares[n], torch.softmax(torch.stack(joint), 0), rtol=1e-10, atol=1e-12)


@EVERY_MODEL
def test_weighted_pointwise_adds_up(model: CausalMixture) -> None:
    data = mixed_rows(model)
    greeks = random_greeks(model, 5)
    marginal = model.marginal(data)
    assert data.weights is not None
    total = (marginal.pointwise(greeks) * data.weights).sum()
    torch.testing.assert_close(total, log_likelihood_of(marginal, greeks), rtol=1e-11, atol=1e-11)


def statistics_of(model: CausalMixture, data: Data, seed: int = 6) -> np.ndarray:
    arrays = {name: value.detach().numpy() for name, value in random_greeks(model, seed).items()}
    found = model.marginal(data).statistics(arrays)
    sums = np.concatenate([found.sums[name].reshape(-1) for name in model.mechanisms])
    return np.concatenate([[float(found.log_likelihood)], found.counts[..., 0], sums])


@EVERY_MODEL
def test_a_weight_counts_a_row_that_often(model: CausalMixture) -> None:
    data = mixed_rows(model)
    assert data.weights is not None
    index = torch.arange(data.num_rows).repeat_interleave(data.weights.long())
    repeated = Data(
        **{name: column[index] for name, column in data.columns.items()},
        intervened={name: mask[index] for name, mask in data.intervened.items()},
    )
    arrays = {name: value.detach().numpy() for name, value in random_greeks(model, 6).items()}
    value = [float(model.marginal(rows).statistics(arrays).log_likelihood) for rows in (data, repeated)]
    assert value[0] == pytest.approx(value[1], rel=1e-10)
    slopes = [
        model.marginal(rows).gradient(arrays, model.marginal(rows).statistics(arrays)) for rows in (data, repeated)
    ]
    for name in slopes[0]:
        np.testing.assert_allclose(slopes[0][name], slopes[1][name], rtol=1e-9, atol=1e-9)


@EVERY_MODEL
def test_the_order_of_rows_does_not_matter(model: CausalMixture) -> None:
    data = mixed_rows(model, num_rows=60)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(1))
    np.testing.assert_allclose(
        statistics_of(model, data.rows(order)), statistics_of(model, data), rtol=1e-10, atol=1e-10
    )


@EVERY_MODEL
def test_a_batch_of_greeks_equals_one_at_a_time(model: CausalMixture) -> None:
    data = mixed_rows(model)
    marginal = model.marginal(data)
    sets = [{n: v.detach().numpy() for n, v in random_greeks(model, seed).items()} for seed in range(3)]
    batch = {name: np.stack([one[name] for one in sets]) for name in sets[0]}
    together = marginal.statistics(batch)
    for index, one in enumerate(sets):
        alone = marginal.statistics(one)
        assert float(together.log_likelihood[index]) == pytest.approx(float(alone.log_likelihood), rel=1e-12)
        np.testing.assert_allclose(together.counts[index][..., 0], alone.counts[..., 0], rtol=1e-10)
    tensors = {name: torch.from_numpy(value) for name, value in batch.items()}
    pointwise = marginal.pointwise(tensors)
    assert pointwise.shape == (3, data.num_rows)
    for index in range(3):
        alone_rows = marginal.pointwise({name: value[index] for name, value in tensors.items()})
        torch.testing.assert_close(pointwise[index], alone_rows, rtol=1e-12, atol=1e-12)


@EVERY_MODEL
def test_set_z_adds_exactly_zero_to_the_counts_of_theta(model: CausalMixture) -> None:
    base = rows_of(model, 20)
    latent = torch.arange(20) % model.K
    as_set = Data(**dict(base.columns), Z=latent, intervened={"Z": True})
    arrays = {name: value.detach().numpy() for name, value in random_greeks(model, 7).items()}
    alone, both = (
        model.marginal(base).statistics(arrays),
        model.marginal(Data.concat([base, as_set])).statistics(arrays),
    )
    np.testing.assert_allclose(both.counts[..., 0], alone.counts[..., 0], rtol=1e-12)
    only_set = model.marginal(as_set).statistics(arrays)
    assert np.array_equal(only_set.counts[..., 0], np.zeros(model.K))
    as_seen = model.marginal(Data(**dict(base.columns), Z=latent)).statistics(arrays)
    assert np.array_equal(as_seen.counts[..., 0], np.bincount(latent.numpy(), minlength=model.K).astype(float))
    for name in model.mechanisms:
        assert np.array_equal(as_seen.sums[name], only_set.sums[name])


def test_the_m_step_is_where_the_gradient_of_q_is_zero() -> None:
    for model in MODELS.values():
        data = mixed_rows(model)
        expectation = MixtureExpectation(model.marginal(data), random_greeks(model, 8))
        best = {name: value.clone().requires_grad_() for name, value in expectation.argmax().items()}
        slopes = torch.autograd.grad(expectation.q(best), list(best.values()))
        for name, slope in zip(best, slopes, strict=True):
            # theta moves on the simplex, where a stationary point has equal partial derivatives.
            free = slope - slope.mean() if name == "theta" else slope
            assert float(free.abs().max()) < 1e-8, name


def test_q_has_the_gradient_of_the_marginal_at_its_expansion_point_and_no_second_derivative() -> None:
    model = MODELS["two columns"]
    greeks = random_greeks(model, 9)
    marginal = model.marginal(mixed_rows(model))
    expectation = MixtureExpectation(marginal, greeks)
    value = log_likelihood_of(marginal, greeks)
    assert expectation.log_likelihood == pytest.approx(float(value.detach()), rel=1e-14)
    q_slopes = torch.autograd.grad(expectation.q(greeks), list(greeks.values()))
    slopes = torch.autograd.grad(value, list(greeks.values()), create_graph=True)
    for a, b in zip(q_slopes, slopes, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    with pytest.raises(RuntimeError, match=r"does not require grad|once_differentiable"):
        torch.autograd.grad(slopes[1].sum(), greeks["mu_X"])


@pytest.mark.parametrize("ratio", [1e3, 1e6, 1e9])
def test_digits_survive_a_range_far_beyond_the_scale(ratio: float) -> None:
    """Two tight groups `ratio` scales apart: x² features alone would lose eps·ratio² (2e-10 to 200)."""
    model = GaussianMixture(K=2, loc_scale=1e10)
    offsets = torch.tensor([-0.5, 0.25, 0.125, 1.0], dtype=torch.float64)
    data = Data(X=torch.cat([offsets, ratio + offsets]))
    greeks = {"theta": torch.tensor([0.5, 0.5]).double(), "mu_X": torch.tensor([0.0, ratio]).double()}
    expected = 2 * (-0.5 * offsets.square().sum() + 4 * (math.log(0.5) - 0.5 * math.log(2 * math.pi)))
    assert float(log_likelihood_of(model.marginal(data), greeks)) == pytest.approx(float(expected), rel=1e-10)
    found = MixtureExpectation(model.marginal(data), greeks).argmax()["mu_X"]
    expected_mean = torch.stack([offsets.mean(), ratio + offsets.mean()])
    torch.testing.assert_close(found, expected_mean, rtol=1e-14, atol=1e-12)


def test_a_weight_of_zero_and_rows_far_from_every_component_stay_finite() -> None:
    model = GaussianMixture(K=2)
    greeks = {"theta": torch.tensor([1.0, 0.0]).double(), "mu_X": torch.tensor([0.0, 1e4]).double()}
    marginal = model.marginal(Data(X=[0.0, 1e4, 1e60, -1e60]))
    shares = marginal.responsibilities(greeks)
    assert torch.equal(shares[:, 0], torch.ones(4, dtype=torch.float64))
    assert bool(torch.isfinite(marginal.pointwise(greeks)).all())
    assert bool(torch.isfinite(MixtureExpectation(marginal, greeks).argmax()["mu_X"]).all())


@pytest.mark.parametrize("num_rows", [1_000, 100_003])
@pytest.mark.parametrize("K", [2, 8])
def test_one_and_two_threads_give_the_same_bits(num_rows: int, K: int) -> None:
    model = GaussianMixture(K=K)
    generator = torch.Generator().manual_seed(0)
    data = Data(X=torch.randn(num_rows, generator=generator, dtype=torch.float64) * 3, weights=torch.ones(num_rows))
    threads = torch.get_num_threads()
    try:
        found = []
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(statistics_of(model, data))
    finally:
        torch.set_num_threads(threads)
    assert np.array_equal(found[0], found[1])


@pytest.mark.parametrize("weighted", [False, True])
def test_an_e_step_holds_little_whatever_the_number_of_rows(weighted: bool) -> None:
    """Ten times the rows take some sums of chunks more at the peak of an E-step; a copy of the column would be 8 MB."""
    model = GaussianMixture(K=4)
    greeks = {name: value.numpy() for name, value in model.prior_greeks(0).items()}
    peaks = []
    for num_rows in (100_000, 1_000_000):
        column = np.random.default_rng(0).standard_normal(num_rows)
        marginal = model.marginal(Data(X=column, weights=np.ones(num_rows) if weighted else None))
        tracemalloc.start()
        try:
            statistics = marginal.statistics(greeks)
            peaks.append(tracemalloc.get_traced_memory()[1])
            assert np.isfinite(statistics.log_likelihood)
        finally:
            tracemalloc.stop()
    assert peaks[1] - peaks[0] < 200_000


def test_a_known_scale_per_component_and_a_mechanism_alone_keep_their_own_features() -> None:
    """A set entry drops exactly its own factor: compare with the hand-written truncated factorisation."""
    model = CausalMixture(2, {"X": Gaussian(scale=1.0), "Y": Gaussian(scale=2.0)})
    greeks = model.prior_greeks(1)
    data = Data(X=[0.3, -1.0], Y=[2.0, 1.0], intervened={"X": [True, False]})

    def normal(x: float, mu: Tensor, sigma: float) -> Tensor:
        return pyro.distributions.Normal(mu, sigma).log_prob(torch.tensor(x).double())

    log_theta = greeks["theta"].log()
    by_hand = torch.stack(
        [
            torch.logsumexp(log_theta + normal(2.0, greeks["mu_Y"], 2.0), 0),
            torch.logsumexp(log_theta + normal(-1.0, greeks["mu_X"], 1.0) + normal(1.0, greeks["mu_Y"], 2.0), 0),
        ]
    )
    torch.testing.assert_close(model.marginal(data).pointwise(greeks), by_hand, rtol=1e-12, atol=1e-12)
