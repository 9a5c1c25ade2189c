"""What an M-step asks of a general term, by the family's compiled functions: the numbers of its NumPy functions."""

from collections.abc import Iterator, Mapping
from math import prod

import numpy as np
import pytest
import torch

from estimators import CausalMixture, Data
from estimators.estep.compiled.gated_term import CompiledGate
from estimators.estep.compiled.general_term import CompiledTerm
from estimators.estep.compiled.layout import BLOCK
from estimators.estep.compiled.threads import LEAST_WORK
from estimators.estep.gated import GatedWeights
from estimators.estep.marginal import MixtureMarginal
from estimators.estep.reference import ReferenceKernel
from estimators.estep.term import General
from estimators.estep.terms import GeneralVariable
from estimators.isolation import own_modes
from estimators.mechanisms.generalised_linear import Regression
from estimators.optimise.arrays import Array
from estimators.optimise.ascent import LIMIT
from tests.expectations import q_of
from tests.mechanism_models import MODELS, random_greeks

NAMES = (
    "Logistic",
    "PoissonRegression",
    "NegativeBinomial",
    "an exposure",
    "StudentT",
    "MultinomialLogit",
    "OrderedLogistic",
    "a gate of Z",
)
EVERY_MODEL = pytest.mark.parametrize("model", [MODELS[name] for name in NAMES], ids=NAMES)
SETS = 3


def rows_of(model: CausalMixture, num_rows: int) -> Data:
    columns = model.simulate(num_rows, random_greeks(model, 1), seed=1)
    return Data({name: columns[name] for name in model.mechanisms}, weights=np.arange(num_rows) % 3 + 0.5)


def sets_of(model: CausalMixture) -> dict[str, Array]:
    sets = [random_greeks(model, seed) for seed in range(SETS)]
    return {name: torch.stack([greeks[name] for greeks in sets]).numpy() for name in sets[0]}


def terms_of(
    marginal: MixtureMarginal, greeks: Mapping[str, Array]
) -> Iterator[tuple[CompiledTerm | CompiledGate, General, Array, Mapping[str, Array], Array]]:
    """Each term compiled and not, with its numbers, and rows with shares of which some are 0."""
    statistics = marginal.statistics(greeks)
    for name, term, columns, shares in marginal.general(statistics):
        shares = np.where(np.arange(shares.shape[-1]) % 5 == 4, 0.0, shares)
        numbers = term.coefficients(greeks, statistics.references[name])
        numbers = np.broadcast_to(numbers, (*shares.shape[:-1], term.width))
        yield *both(term), numbers, columns, np.ascontiguousarray(shares)


def both(term: General) -> tuple[CompiledTerm | CompiledGate, General]:
    """A compiled term, and that of NumPy which it stands for."""
    if isinstance(term, CompiledGate):
        return term, GatedWeights(term.gate, term.design, term.num_components)
    assert isinstance(term, CompiledTerm)
    return term, GeneralVariable(term.node, term.family)


def each_number(numbers: Array) -> Array:
    """dC/dv where every number C [S, K, W] is a coordinate of its own."""
    size = numbers[0].size
    return np.broadcast_to(np.eye(size).reshape(*numbers.shape[1:], size), (*numbers.shape, size))


@EVERY_MODEL
@pytest.mark.parametrize("num_rows", [1, BLOCK + 30])
def test_compiled_functions_are_those_of_numpy(model: CausalMixture, num_rows: int) -> None:
    for fast, plain, *given in terms_of(model.marginal(rows_of(model, num_rows)), sets_of(model)):
        numbers, columns, shares = given
        chain = each_number(numbers)
        scale = shares.sum() + 1.0
        for one, two, tolerance in (
            (fast.complete(*given), plain.complete(*given), 1e-11),
            (fast.pullback(*given), plain.pullback(*given), 1e-11),
            (fast.curvature(*given, chain), plain.curvature(*given, chain), 1e-6),
        ):
            np.testing.assert_allclose(one, two, rtol=tolerance, atol=tolerance * scale)
        # The control: other numbers are told apart by each.
        other = numbers + 1e-3 * np.arange(1.0, 1.0 + numbers.shape[1])[:, None], columns, shares
        assert np.abs(fast.complete(*other) - plain.complete(*given)).max() > 1e-11 * scale
        assert np.abs(fast.curvature(*other, chain) - plain.curvature(*given, chain)).max() > 1e-6 * scale


@EVERY_MODEL
def test_an_m_step_is_as_good(model: CausalMixture) -> None:
    """Not the same to many digits: where curvature is next to nothing, differences say little of it."""
    greeks = sets_of(model)
    fast = model.marginal(rows_of(model, BLOCK + 30))
    statistics = fast.statistics(greeks)
    for name, term, columns, shares in fast.general(statistics):
        given, (compiled, plain) = (columns, shares, statistics.references[name]), both(term)
        values, steps = [], [plain.argmax(greeks, *given), compiled.argmax(greeks, *given)]
        for at in ({}, *steps):
            numbers = plain.coefficients({**greeks, **at}, statistics.references[name])
            values.append(plain.complete(numbers, columns, shares))
        np.testing.assert_allclose(values[2], values[1], rtol=1e-6)
        assert not steps[1] or (values[2] > values[0]).all()


@pytest.mark.parametrize("name", ["NegativeBinomial", "a gate of Z"])
def test_it_has_the_same_bits_on_any_number_of_threads(name: str) -> None:
    model = MODELS[name]
    data = rows_of(model, LEAST_WORK)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            with own_modes():
                for fast, _, *given in terms_of(model.marginal(data), sets_of(model)):
                    found.append(
                        (fast.complete(*given), fast.pullback(*given), fast.curvature(*given, each_number(given[0])))
                    )
    finally:
        torch.set_num_threads(before)
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


def test_rows_with_gaps_are_taken_once_for_each_of_their_levels() -> None:
    """The columns of such rows are made anew at every step: none may be held for those of another."""
    model = CausalMixture(2, {"C": MODELS["Logistic"].mechanisms["C"], "T": MODELS["MultinomialLogit"].mechanisms["W"]})
    columns = model.simulate(40, random_greeks(model, 1), seed=1)
    columns = {name: columns[name].double() for name in model.mechanisms}
    columns["C"][::4] = torch.nan
    data = Data(columns, missing="marginalize")
    fast, plain = model.marginal(data), MixtureMarginal(model.weights, model.nodes, data, ReferenceKernel)
    for seed in range(2):
        at = {name: value.numpy() for name, value in random_greeks(model, seed).items()}
        statistics = plain.statistics(at)
        values = [q_of(plain, {**at, **each.argmax(at, each.statistics(at))}, statistics) for each in (fast, plain)]
        assert values[0] == pytest.approx(float(values[1]), rel=1e-6)
        assert values[0] > q_of(plain, at, statistics)


@EVERY_MODEL
@pytest.mark.parametrize("far", [30.0, 300.0, 3000.0])
@np.errstate(over="ignore")
def test_far_out_compiled_functions_are_those_of_numpy(model: CausalMixture, far: float) -> None:
    """Where a start of a search may lie: lines beyond what an exponential holds, logs as far as they are let go."""
    rng = np.random.default_rng(0)
    for fast, plain, numbers, columns, shares in terms_of(model.marginal(rows_of(model, 40)), sets_of(model)):
        family = fast.family if isinstance(fast, CompiledTerm) else None
        num_logs = sum(prod(one.entry) for _, one in family.logged) if isinstance(family, Regression) else 0
        is_log = np.arange(numbers.shape[-1]) >= numbers.shape[-1] - num_logs
        for _ in range(20):
            away = numbers + np.where(is_log, min(far, LIMIT), far) * rng.uniform(-1.0, 1.0, numbers.shape)
            given = away, columns, shares
            np.testing.assert_allclose(fast.complete(*given), plain.complete(*given), rtol=1e-9)
            np.testing.assert_allclose(fast.pullback(*given), plain.pullback(*given), rtol=1e-6, atol=1e-6)
