"""Labels: permutations, Stephens' alignment against brute force, certainty by hand, and many rows or draws."""

import itertools
import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.rooms_entered import ROWS, entered
from estimators import EM, CausalMixture, Data, GaussianMixture
from estimators.fits.alignment import MAX_ROWS, _sum_of_permuted, aligned
from estimators.fits.labels import label
from estimators.mechanisms import Gaussian
from estimators.mixture.density import Density
from estimators.parameters.symmetry import assigned, permute
from tests.label_draws import Draws, clusters, draws_around, equal, shuffled
from tests.models import fit_quietly

THREE = GaussianMixture(K=3)
SPREAD = CausalMixture(2, {"X": Gaussian()})


# ------------------------------------------------------------------ permutations


def test_permute_takes_component_k_from_the_permutations_entry_k() -> None:
    model = CausalMixture(3, {"X": Gaussian(), "Y": Gaussian(shared=["scale"])})
    rng = np.random.default_rng(0)
    draws = {p.name: torch.from_numpy(rng.normal(size=(7, *p.shape))) for p in model.parameters}
    before = {name: value.clone() for name, value in draws.items()}
    orders = np.array([rng.permutation(3) for _ in range(7)])
    axes = model.symmetry(None).axes
    moved = permute(draws, axes, orders)
    for s, k in itertools.product(range(7), range(3)):
        for name in ("theta", "mu_X", "sigma_X", "mu_Y"):
            assert moved[name][s, k] == draws[name][s, orders[s, k]]
    assert torch.equal(moved["sigma_Y"], draws["sigma_Y"]), "a shared scale belongs to no component"
    assert equal(draws, before)
    assert equal(permute(moved, axes, np.argsort(orders, axis=1)), draws)


# ------------------------------------------------------------------ alignment


@pytest.mark.parametrize("seed", range(3))
def test_random_permutations_are_undone_and_components_put_in_order(seed: int) -> None:
    data = clusters([-8.0, 0.0, 8.0])
    base = draws_around([0.2, 0.5, 0.3], [-8.0, 0.0, 8.0], 60, seed=seed)
    mixed, orders = shuffled(base, [[0, 1, 2]], seed)
    found = label(THREE, THREE.density(data), mixed, best=seed)
    assert equal(found.draws, base)
    assert np.array_equal(np.take_along_axis(orders, found.permutations, 1), np.tile(np.arange(3), (60, 1)))


def test_alignment_sees_more_than_the_means() -> None:
    """Two components about one mean that differ in scale: sorting each draw by its mean would mix them up."""
    data = Data(
        X=np.concatenate([clusters([0.0], 40, 0.2).columns["X"], clusters([0.0], 40, 6.0, seed=1).columns["X"]])
    )
    rng = np.random.default_rng(2)
    base = draws_around([0.5, 0.5], [0.0, 0.0], 80, sd=0.2)
    base["sigma_X"] = torch.from_numpy(np.array([0.2, 6.0]) * rng.uniform(0.9, 1.1, (80, 2)))
    mixed, _ = shuffled(base, [[0, 1]])
    found = label(SPREAD, SPREAD.density(data), mixed)
    swapped = {name: value.flip(1) for name, value in base.items()}
    assert equal(found.draws, base) or equal(found.draws, swapped)
    by_mean = torch.sort(mixed["mu_X"], dim=1).indices
    sorted_scales = torch.gather(mixed["sigma_X"], 1, by_mean)
    assert not torch.equal(sorted_scales, base["sigma_X"]), "the negative control: sorting fails here"
    assert not torch.equal(sorted_scales, swapped["sigma_X"])


def brute_force(shares: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Stephens' algorithm 2 over all permutations, from the first draw; shares are [S, N, K]."""
    num_draws, _, K = shares.shape
    every = [list(order) for order in itertools.permutations(range(K))]

    def cost(share: np.ndarray, target: np.ndarray, order: list[int]) -> float:
        moved = share[:, order]
        return float((weights[:, None] * moved * np.log(moved / target)).sum())

    target, chosen = shares[0], np.tile(np.arange(K), (num_draws, 1))
    for _ in range(50):
        costs = np.array([[cost(share, target, order) for order in every] for share in shares])
        moved = np.array([every[index] for index in costs.argmin(1)])
        target_then, target = target, np.mean([s[:, o] for s, o in zip(shares, moved, strict=True)], axis=0)
        settled, chosen = np.array_equal(moved, chosen), moved
        if settled:
            break
    certainty = []
    for share, order in zip(shares, chosen.tolist(), strict=True):
        others = []
        for a, b in itertools.combinations(range(K), 2):
            swap = list(order)
            swap[a], swap[b] = order[b], order[a]
            others.append(np.exp(cost(share, target_then, order) - cost(share, target_then, swap)))
        certainty.append(1.0 / (1.0 + sum(others)))
    return chosen, float(np.mean(certainty))


@pytest.mark.parametrize("weights", [None, [1.0, 0.5, 2.0, 3.0]], ids=["unit weights", "weights"])
@pytest.mark.parametrize("seed", range(5))
def test_alignment_and_its_weight_are_those_of_brute_force(seed: int, weights: list[float] | None) -> None:
    rng = np.random.default_rng(seed)
    data = Data(X=[-1.0, 0.2, 0.9, 2.0], weights=weights)
    draws = {
        "theta": torch.from_numpy(rng.dirichlet([3.0, 3.0, 3.0], 6)),
        "mu_X": torch.from_numpy(rng.normal(0.0, 1.5, (6, 3))),
    }
    shares = THREE.marginal(data).responsibilities(draws).numpy()
    chosen, certainty = brute_force(shares, np.ones(4) if weights is None else np.array(weights))
    found = aligned(THREE.density(data), THREE.symmetry(data), draws, 0)
    assert np.array_equal(found.permutations, chosen)
    assert found.weights[:, 0].mean() == pytest.approx(certainty, rel=1e-9)
    assert found.weights.sum(1) == pytest.approx(np.ones(6))


# ------------------------------------------------------------------ the weight of an alignment, by hand


def weight_of(model: GaussianMixture, data: Data, draws: Draws) -> float:
    return float(aligned(model.density(data), model.symmetry(data), draws, 0).weights[:, 0].mean())


def equal_means(theta: list[float]) -> Draws:
    """One draw whose components coincide, so that the responsibilities of every row are theta itself."""
    return {"theta": torch.tensor([theta], dtype=torch.float64), "mu_X": torch.zeros((1, len(theta))).double()}


@pytest.mark.parametrize("weight", [1.0, 2.5])
@pytest.mark.parametrize("num_rows", [1, 3, MAX_ROWS, 4 * MAX_ROWS + 1])
def test_weight_of_coinciding_components(num_rows: int, weight: float) -> None:
    """A swap costs N w (θ₁ − θ₂) log(θ₁/θ₂), whether all rows or a subset are used."""
    first = 0.5 + 0.05 / np.sqrt(num_rows)
    extra = num_rows * weight * (2 * first - 1) * np.log(first / (1 - first))
    data = Data(X=np.linspace(-1, 1, num_rows), weights=[weight] * num_rows)
    assert weight_of(GaussianMixture(K=2), data, equal_means([first, 1 - first])) == pytest.approx(
        1 / (1 + np.exp(-extra)), rel=1e-10
    )


@pytest.mark.parametrize(("K", "weight"), [(1, 1.0), (2, 1 / 2), (3, 1 / 4), (4, 1 / 7)])
def test_weight_of_identical_components_is_one_over_one_plus_the_swaps(K: int, weight: float) -> None:
    assert weight_of(GaussianMixture(K=K), Data(X=[0.0, 1.0]), equal_means([1 / K] * K)) == pytest.approx(
        weight, rel=1e-12
    )


def test_certainty_of_separated_components_is_one_to_rounding() -> None:
    mixed, _ = shuffled(draws_around([0.5, 0.5], [-9.0, 9.0], 40), [[0, 1]])
    density = GaussianMixture(K=2).density(clusters([-9.0, 9.0]))
    assert label(GaussianMixture(K=2), density, mixed).certainty == pytest.approx(1.0, abs=1e-12)


# ------------------------------------------------------------------ many rows, many draws


def test_labels_ask_the_density_and_take_no_rows() -> None:
    data = Data(ROWS)
    files, *_ = entered(lambda: fit_quietly(EM(), GaussianMixture(K=2), data, seed=0))
    assert "algorithms/em.py" in files
    assert not {"fits/labels.py", "mixture/symmetry.py"} & set(files)


def test_many_rows_are_labelled_by_a_subset(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    plain = Density.responsibilities

    def watched(self: Density, *arguments: Any) -> torch.Tensor:
        seen.append(self.data.num_rows)
        return plain(self, *arguments)

    monkeypatch.setattr(Density, "responsibilities", watched)
    data = clusters([-8.0, 0.0, 8.0], per_cluster=50_000)
    base = draws_around([0.2, 0.5, 0.3], [-8.0, 0.0, 8.0], 20)
    mixed, _ = shuffled(base, [[0, 1, 2]])
    assert equal(label(THREE, THREE.density(data), mixed).draws, base)
    assert seen
    assert max(seen) <= MAX_ROWS


def test_no_array_of_all_draws_rows_and_components_arises() -> None:
    num_draws = 12_000
    data = clusters([-8.0, 0.0, 8.0], per_cluster=100)
    base = draws_around([0.2, 0.5, 0.3], [-8.0, 0.0, 8.0], num_draws)
    tracemalloc.start()
    try:
        label(THREE, THREE.density(data), base)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * num_draws * MAX_ROWS * 3


def test_rows_of_weight_zero_do_not_label() -> None:
    """Few of many rows count, and the subset must be of those."""
    column = np.concatenate([np.zeros(4_000), [-8.0, -8.5, 0.0, 0.5, 8.0, 8.5]])
    data = Data(X=column, weights=[0.0] * 4_000 + [1.0] * 6)
    base = draws_around([0.2, 0.5, 0.3], [-8.0, 0.0, 8.0], 20)
    mixed, _ = shuffled(base, [[0, 1, 2]])
    assert equal(label(THREE, THREE.density(data), mixed).draws, base)


@pytest.mark.parametrize("groups", [((0, 1),), ((0, 1, 2),), ((0, 2), (1, 3)), ((0,), (1, 2, 3))])
def test_permutations_are_those_of_the_least_cost(groups: tuple[tuple[int, ...], ...]) -> None:
    """Against every permutation within the groups; where two cost the same, labels stay."""
    size = 1 + max(max(group) for group in groups)
    costs = np.random.default_rng(0).integers(0, 4, (200, size, size)).astype(float)
    found = assigned(costs, groups)
    within = [
        order
        for order in itertools.permutations(range(size))
        if all({order[label] for label in group} == set(group) for group in groups)
    ]
    for cost, order in zip(costs, found, strict=True):
        least = min(sum(cost[label, member] for label, member in enumerate(other)) for other in within)
        assert tuple(order) in within and sum(cost[range(size), order]) == least
    assert np.array_equal(assigned(0.0 * costs, groups), np.tile(np.arange(size), (200, 1)))


@pytest.mark.parametrize("K", [1, 2, 5, 256, 300])
def test_shares_are_summed_under_the_permutation_of_each_draw(K: int) -> None:
    """Of more labels than a byte has numbers, too: draws 0 and 2 differ in labels that are the same byte."""
    rng = np.random.default_rng(0)
    shares, chosen = rng.random((4, 3, K)), np.tile(np.arange(K), (4, 1))
    chosen[1] = rng.permutation(K)
    chosen[2, [0, 256 % K]] = chosen[2, [256 % K, 0]]
    expected = sum(own[:, order] for own, order in zip(shares, chosen, strict=True))
    np.testing.assert_allclose(_sum_of_permuted(shares, chosen), expected, rtol=1e-12)
