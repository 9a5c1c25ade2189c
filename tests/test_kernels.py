"""The fast kernel of the E-step against the reference, which is a page of plain sums: the same numbers."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from estimators import CausalMixture, Data
from estimators.estep import reference
from estimators.estep.compiled.kernel import CompiledKernel
from estimators.estep.compiled.layout import BLOCK, CHUNK
from estimators.estep.marginal import MixtureMarginal
from estimators.estep.reference import ReferenceKernel
from estimators.estep.units import above_latent
from estimators.mechanisms import Bernoulli, Categorical, FullGaussian, Gaussian, Poisson
from estimators.mechanisms.protocol import VariableTable
from tests.general_families import GENERAL_MODELS
from tests.mechanism_models import MODELS, drawn_rows, random_greeks

EVERY_MODEL = {**MODELS, **GENERAL_MODELS}
TOLERANCE = 1e-12


def some_rows(model: CausalMixture, num_rows: int, seed: int) -> Data:
    """Rows with Z hidden, seen and set, entries set, and weights."""
    columns = drawn_rows(model, num_rows, random_greeks(model, seed), seed)
    rng = np.random.default_rng(seed)
    latent = torch.where(torch.from_numpy(rng.random(num_rows) < 0.3), columns["Z"], -1)
    masks = {name: torch.from_numpy(rng.random(num_rows) < 0.2) for name in (*model.mechanisms, "Z")}
    masks["Z"] &= latent >= 0
    return Data(**{**columns, "Z": latent}, intervened=masks, weights=rng.integers(0, 3, num_rows) + 0.5)


def batch_of(model: CausalMixture, num_sets: int) -> dict[str, Tensor]:
    sets = [random_greeks(model, seed) for seed in range(num_sets)]
    return {name: torch.stack([greeks[name] for greeks in sets]) for name in sets[0]}


def compared(found: Any, expected: Any, least: float = 0.0) -> None:
    """Relative to the largest entry, which is what sums of many rows are rounded to."""
    found, expected = np.asarray(found), np.asarray(expected)
    scale = np.abs(expected).max(initial=least) or 1.0
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE * scale)


def hold(model: CausalMixture, data: Data, greeks: dict[str, Tensor]) -> None:
    fast = model.marginal(data)
    plain = MixtureMarginal(model.weights, model.nodes, model.check(data), kernel=ReferenceKernel)
    arrays = {name: value.numpy() for name, value in greeks.items()}
    compared(fast.pointwise(greeks), plain.pointwise(greeks))
    compared(fast.responsibilities(greeks), plain.responsibilities(greeks))
    one, two = fast.statistics(arrays), plain.statistics(arrays)
    compared(one.log_likelihood, two.log_likelihood)
    for name, sums in two.sums.items():
        # Where a row says nothing of Z, what its causes say cancels to rounding.
        compared(one.sums[name], sums, least=float(name == "Z"))
    slopes, expected = fast.gradient(arrays, one), plain.gradient(arrays, two)
    for name, slope in expected.items():
        compared(slopes[name], slope, least=float(name == "beta_Z"))
    given = np.full((*two.log_likelihood.shape, model.K, data.num_units), 1.0 / model.K)
    for name, sums in plain.statistics_given(given).sums.items():
        compared(fast.statistics_given(given).sums[name], sums)


@pytest.mark.parametrize("model", EVERY_MODEL.values(), ids=EVERY_MODEL)
@pytest.mark.parametrize("num_rows", [pytest.param(1, marks=pytest.mark.slow), 40])
def test_the_fast_kernel_is_the_reference(model: CausalMixture, num_rows: int) -> None:
    data = some_rows(model, num_rows, 1)
    hold(model, data, random_greeks(model, 2))
    hold(model, data, batch_of(model, 3))


@pytest.mark.parametrize("model", EVERY_MODEL.values(), ids=EVERY_MODEL)
def test_so_it_is_over_several_blocks_of_rows(model: CausalMixture) -> None:
    data = some_rows(model, 2 * BLOCK + 5, 3)
    hold(model, data, random_greeks(model, 4))


@pytest.mark.parametrize("name", ["Gaussian alone", "StudentT", pytest.param("LinearGaussian", marks=pytest.mark.slow)])
def test_so_it_is_over_several_partial_sums(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plain kernel takes some rows after the other too, of which the last are few."""
    model, num_rows = EVERY_MODEL[name], CHUNK * BLOCK + 300
    monkeypatch.setattr(reference, "MOST_NUMBERS", num_rows * model.K - 10)
    data = some_rows(model, num_rows, 3)
    hold(model, data, random_greeks(model, 4))
    hold(model, data, batch_of(model, 2))


def in_units(model: CausalMixture, num_units: int, seed: int) -> Data:
    """Rows of units of one to five in any order; Z, whether it is set, and weights are one value a unit."""
    rng = np.random.default_rng(seed)
    unit = rng.permutation(np.repeat(np.arange(num_units), rng.integers(1, 6, num_units)))
    data = some_rows(model, len(unit), seed)
    first = np.unique(unit, return_index=True)[1][unit]
    above = above_latent(model.weights, model.nodes)
    columns = {name: column[first] if name in (*above, "Z") else column for name, column in data.columns.items()}
    masks = {name: mask[first] if name in (*above, "Z") else mask for name, mask in data.intervened.items()}
    assert data.weights is not None
    return Data(columns, intervened=masks, weights=data.weights[first], unit=unit)


@pytest.mark.parametrize("model", EVERY_MODEL.values(), ids=EVERY_MODEL)
def test_so_it_is_where_rows_share_one_z(model: CausalMixture) -> None:
    data = in_units(model, 20, 1)
    hold(model, data, random_greeks(model, 2))
    hold(model, data, batch_of(model, 3))
    hold(model, in_units(model, BLOCK, 3), random_greeks(model, 4))


def test_so_it_is_over_several_partial_sums_of_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """One unit has more rows than a partial sum; the plain kernel takes some units after the others, too."""
    monkeypatch.setattr(reference, "MOST_NUMBERS", 5_000)
    for name in ("LinearGaussian", "a gate of Z", "Bernoulli alone"):
        model = EVERY_MODEL[name]
        rng = np.random.default_rng(0)
        size = 3 * CHUNK * BLOCK
        unit = rng.permutation(np.where(np.arange(size) < CHUNK * BLOCK + 300, 0, np.arange(size) % 4_000))
        columns = drawn_rows(model, size, random_greeks(model, 1), 1)
        first = np.unique(unit, return_index=True)[1][unit]
        for above in above_latent(model.weights, model.nodes):
            columns[above] = columns[above][first]
        data = Data({name: column for name, column in columns.items() if name != "Z"}, unit=unit)
        hold(model, data, random_greeks(model, 4))
        hold(model, data, batch_of(model, 2))


def test_rows_alike_without_a_number_are_counted_once() -> None:
    model = CausalMixture(2, {"T": Bernoulli(), "C": Categorical(3, parents=["T"])}, concentration=2.0)
    data = some_rows(model, 500, 1)
    hold(model, data, batch_of(model, 3))
    hold(model, data.replace(weights=None), random_greeks(model, 1))
    kernel = model.marginal(data).kernel
    assert isinstance(kernel, CompiledKernel) and kernel.tables.sizes[5] < 200
    # Also where those that differ are more than a block.
    model = CausalMixture(3, {f"X{j}": Bernoulli() for j in range(6)})
    data = some_rows(model, 1_000, 1)
    hold(model, data, batch_of(model, 2))
    kernel = model.marginal(data).kernel
    assert isinstance(kernel, CompiledKernel) and BLOCK < kernel.tables.sizes[5] < 1_000


@pytest.mark.parametrize("model", EVERY_MODEL.values(), ids=EVERY_MODEL)
def test_so_it_is_where_z_is_known_in_every_row(model: CausalMixture) -> None:
    data = Data(drawn_rows(model, 6, random_greeks(model, 1), 1))
    hold(model, data, random_greeks(model, 2))
    hold(model, data, batch_of(model, 2))


def test_so_it_is_where_some_sets_of_a_batch_lose_digits() -> None:
    """Tight groups far apart at one parameter set, wide ones at the next: only the first has centres of its own."""
    model = CausalMixture(2, {"X": Gaussian(), "V": FullGaussian(2), "T": Bernoulli()})
    rng = np.random.default_rng(0)
    far = rng.integers(0, 2, 30)
    data = Data(X=1e6 * far + rng.normal(size=30), V=rng.normal(size=(30, 2)), T=far * 1.0, Z=np.where(far, -1, 0))
    greeks = batch_of(model, 4)
    greeks["mu_X"] = torch.tensor([[0.0, 1e6]] * 4).double()
    greeks["sigma_X"] = torch.tensor([[1.0, 1.0], [1e6, 1e6], [2e6, 1e6], [1.0, 2.0]]).double()
    hold(model, data, greeks)
    known = CausalMixture(2, {**model.mechanisms, "W": Gaussian(loc=[0.0, 1.0], scale=1.0)})
    hold(known, data.replace(W=data.columns["X"] / 1e6), greeks)
    alone = [model.marginal(data).pointwise({n: v[s] for n, v in greeks.items()}) for s in range(4)]
    compared(model.marginal(data).pointwise(greeks), torch.stack(alone))


def test_so_it_is_with_products_of_many_columns() -> None:
    model = CausalMixture(2, {"V": FullGaussian(24), "X": Gaussian()}, concentration=2.0)
    rng = np.random.default_rng(1)
    data = Data(V=rng.normal(size=(700, 24)), X=rng.normal(size=700), Z=rng.integers(-1, 2, 700))
    hold(model, data, random_greeks(model, 1))


@pytest.mark.parametrize("rate", [1e-30, 1e-300, 1e-310])
def test_rates_next_to_nothing(rate: float) -> None:
    model = CausalMixture(1, {"C": Poisson(prior=rate)})
    found = model.marginal(Data(C=[0.0, 1.0, 5.0])).pointwise({"theta": torch.ones(1, dtype=torch.float64)})
    expected = np.array([0.0, np.log(rate), 5.0 * np.log(rate) - np.log(120.0)])
    np.testing.assert_allclose(found, expected, rtol=1e-12 if rate > 1e-299 else 0.05, atol=1e-9)


def test_a_centred_family_may_not_be_taken_by_its_features() -> None:
    """They would be about one centre, and the M-step would take them to be about the cells'."""

    class Careless(Gaussian):
        def tabulate(self, table: VariableTable) -> None:
            table.features()

    model = CausalMixture(2, {"X": Careless()})
    with pytest.raises(TypeError, match=r"Careless\.tabulate: .* needs one for each cell .* call the method"):
        model.marginal(Data(X=[0.0, 1.0]))


def test_a_wrong_kernel_is_told_from_the_reference() -> None:
    """The negative control: the weight of one row is off by 1e-9."""
    model = MODELS["Gaussian alone"]
    data = some_rows(model, 40, 1)
    assert data.weights is not None
    weights = data.weights.clone()
    weights[0] += 1e-9
    arrays = {name: value.numpy() for name, value in random_greeks(model, 2).items()}
    one, two = (model.marginal(rows).statistics(arrays) for rows in (data, data.replace(weights=weights)))
    with pytest.raises(AssertionError):
        compared(one.counts, two.counts)
