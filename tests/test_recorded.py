"""A program's arithmetic without the program: recorded, alike sites together, hidden symbols summed out in rounds."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor

from estimators import Data, PyroModel
from estimators.isolation import program_mode
from estimators.programs import elimination
from estimators.programs.captured import RUNS, Graph
from estimators.programs.elimination import Label, Stack, log_sum, unstacked
from estimators.programs.factors import Factors, posterior, weights_of
from estimators.programs.recorded import NotRecordedError, recorded
from estimators.programs.repeated import Repeated
from tests.gallery import EXAMPLES, Example, as_run, greeks_near
from tests.objectives import by_differences

ROWS = "n"


def by_site(factors: Factors) -> dict[str, Tensor]:
    return {label.site: factor for label, factor in unstacked(factors.rows)}


# ---------------------------------------------------------------- a program without running it


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_replay_is_the_program_factor_by_factor(name: str) -> None:
    example: Example = EXAMPLES[name]
    marginal = PyroModel(example.fn).marginal(example.data(5))
    v = marginal.coordinates.unconstrain(greeks_near(example, marginal.data)).requires_grad_()
    run, replay = as_run(marginal, v), marginal.factors_at(v)
    assert not replay.nodes, "the program was run"
    torch.testing.assert_close(replay.log_prior, run.log_prior, rtol=1e-12, atol=1e-12)
    assert set(replay.labels) == set(run.labels)
    expected = by_site(run)
    for site, factor in by_site(replay).items():
        torch.testing.assert_close(factor, expected[site].squeeze(), rtol=1e-12, atol=1e-12)
    values = [factors.pointwise().sum() for factors in (replay, run)]
    torch.testing.assert_close(*values, rtol=1e-10, atol=1e-10)
    slopes = [torch.autograd.grad(value, v)[0] for value in values]
    torch.testing.assert_close(*slopes, rtol=1e-10, atol=1e-10)


def long_chain(N: int, T: int = 40) -> None:
    start = pyro.sample("start", dist.Dirichlet(torch.ones(3)))
    with pyro.plate("states", 3):
        move = pyro.sample("move", dist.Dirichlet(torch.ones(3)))
        level = pyro.sample("level", dist.Normal(0.0, 5.0))
    with pyro.plate("rows", N):
        z: Any = None
        for t in pyro.markov(range(T)):
            z = pyro.sample(f"z_{t}", dist.Categorical(start if z is None else move[z]))
            pyro.sample(f"x_{t}", dist.Normal(level[z], 1.0))


def test_a_long_chain_is_the_forward_algorithm() -> None:
    x = 3.0 * np.random.default_rng(0).normal(size=(4, 40))
    marginal = PyroModel(long_chain).marginal(Data(x=x))
    replay = marginal.factors_at(marginal.probe)
    # The first state, and in turns the others', by the dimensions that Pyro gives them.
    assert sorted(len(stack.labels) for stack in replay.rows) == [1, 19, 20, 20, 20]
    greeks = {name: value.numpy() for name, value in marginal.coordinates.constrain(marginal.probe).items()}
    emitted = -0.5 * (x[:, :, None] - greeks["level"]) ** 2 - 0.5 * np.log(2 * np.pi)
    alpha = np.log(greeks["start"]) + emitted[:, 0]
    for t in range(1, 40):
        alpha = np.logaddexp.reduce(alpha[:, :, None] + np.log(greeks["move"]), axis=1) + emitted[:, t]
    np.testing.assert_allclose(replay.pointwise(), np.logaddexp.reduce(alpha, axis=1), rtol=1e-12)
    shares = marginal.responsibilities(marginal.coordinates.constrain(marginal.probe), "z_39")
    np.testing.assert_allclose(shares, np.exp(alpha - np.logaddexp.reduce(alpha, axis=1)[:, None]), rtol=1e-9)


class Doubled(torch.autograd.Function):
    """The identity, with twice its derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return 2.0 * slope


def of_levels(change: Callable[[Tensor], Tensor]) -> Callable[[int], None]:
    def program(N: int) -> None:
        level = change(pyro.sample("level", dist.Normal(torch.tensor([-1.0, 1.0]), 1.0).to_event(1)))
        with pyro.plate("rows", N):
            z = pyro.sample("z", dist.Bernoulli(0.3))
            pyro.sample("x", dist.Normal(level[z.long()], 1.0))

    return program


def written(level: Tensor) -> Tensor:
    table = torch.zeros(2)
    table[0], table[1] = level[0], level[1] ** 2
    return table


def drawn(level: Tensor) -> Tensor:
    return level + 0.0 * torch.rand(2)


def hooked(level: Tensor) -> Tensor:
    level = level * 1.0
    if level.requires_grad:
        level.register_hook(lambda slope: 2.0 * slope)
    return level


@pytest.mark.parametrize(
    "change",
    [Doubled.apply, lambda x: x + x.detach(), lambda x: x + x.data, written, drawn, hooked],
    ids=["own derivative", "detached", "data", "written", "drawn", "hooked"],
)
def test_what_has_another_derivative_is_run_and_keeps_it(change: Callable[[Tensor], Tensor]) -> None:
    marginal = PyroModel(of_levels(change)).marginal(Data(x=[0.0, 1.0, 3.0]))
    v = marginal.probe.requires_grad_()
    run = as_run(marginal, v)
    with program_mode():
        other = marginal.factors_at(v)
    assert other.nodes, "the program was not run"
    slopes = [torch.autograd.grad(factors.pointwise().sum(), v)[0] for factors in (run, other)]
    torch.testing.assert_close(*slopes, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: torch.DoubleTensor([x[0], x[1]]),
        lambda x: torch.nn.Parameter(x.detach()) * 1.0,
        lambda x: torch.from_dlpack(x.detach()),
        lambda x: torch.add(x, 0.0, out=torch.zeros(2, dtype=torch.float64)),
    ],
    ids=["constructor", "parameter", "dlpack", "out"],
)
def test_a_value_that_leaves_its_tensor_is_no_constant(change: Callable[[Tensor], Tensor]) -> None:
    """The same question has the same answer before and after a program would be captured, here and elsewhere."""
    marginal = PyroModel(of_levels(lambda level: change(level.detach()))).marginal(Data(x=[0.0, 1.0, 3.0]))
    for at in ([-1.0, 1.0], [2.0, 5.0]):
        greeks = {"level": torch.tensor([at]).double().expand(2 * RUNS, 2)}
        expected = as_run(marginal, marginal.coordinates.unconstrain({"level": torch.tensor(at).double()}))
        for _ in range(3):
            answer = marginal.pointwise(greeks)
            torch.testing.assert_close(answer, expected.pointwise().expand(2 * RUNS, 3), rtol=1e-12, atol=0)


def left_to_right(N: int, T: int = 12) -> None:
    """A state is never left for one before it."""
    level = pyro.sample("level", dist.Normal(torch.zeros(3), 3.0).to_event(1))
    free = pyro.sample("free", dist.Normal(torch.zeros(3, 3), 1.0).to_event(2))
    move = free.masked_fill(torch.ones(3, 3).tril(-1).bool(), -torch.inf)
    with pyro.plate("rows", N):
        z: Any = None
        for t in pyro.markov(range(T)):
            law = dist.Categorical(torch.ones(3) / 3) if z is None else dist.Categorical(logits=move[z])
            z = pyro.sample(f"z_{t}", law)
            pyro.sample(f"x_{t}", dist.Normal(level[z], 1.0))


def test_a_chain_with_moves_that_cannot_be_has_a_gradient() -> None:
    model, data = PyroModel(left_to_right), Data(x=np.random.default_rng(0).normal(size=(5, 12)))
    model.check(data)
    density = model.density(data)
    at = np.linspace(-0.5, 0.5, density.size)
    value, gradient, _ = density.e_step(at)
    assert np.isfinite(value)
    np.testing.assert_allclose(gradient, by_differences(density, at).likelihood, atol=1e-6)


def unused_detach(level: Tensor) -> Tensor:
    level.detach().clone()
    return level


def test_a_detached_tensor_that_nothing_uses_is_no_reason_to_run() -> None:
    marginal = PyroModel(of_levels(unused_detach)).marginal(Data(x=[0.0, 1.0]))
    assert not marginal.factors_at(marginal.probe).nodes


# ---------------------------------------------------------------- operations


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (torch.ones(2) * float(x[0]),),
        lambda x: (x if x.sum() > 0 else 2 * x,),
        lambda x: (torch.from_numpy(x.detach().numpy() + 1.0),),
        lambda x: (torch.tensor(x.tolist()),),
        lambda x: (torch.as_tensor(np.asarray(x)),),
        lambda x: (x[x > 0],),
        lambda x: (x.nonzero(),),
        lambda x: (torch.tensor([x[0], 1.0]),),
        lambda x: (torch.tensor(x[0]),),
        lambda x: (torch.as_tensor([x[0], 1.0]),),
        lambda x: (x.new_tensor([x[0], 1.0]),),
        lambda x: (torch.zeros(int(torch.zeros(1).copy_(x[:1]).item())),),
    ],
)
def test_a_function_that_is_another_at_other_inputs_is_not_recorded(function: Any) -> None:
    with pytest.raises(NotRecordedError):
        recorded(function, [torch.tensor([1.0, 2.0])])


def written_number(x: Tensor) -> tuple[Tensor, ...]:
    """The number is of a tensor that only a view of was written to."""
    table = torch.zeros(2)
    table[0] = x[0]
    return (x * float(table.max()),)


def test_a_number_of_what_was_written_to_is_seen() -> None:
    with pytest.raises(NotRecordedError):
        recorded(written_number, [torch.tensor([1.0, 2.0])])


def test_numbers_of_what_is_the_same_at_all_inputs_may_be_taken() -> None:
    table = torch.arange(4.0)

    def function(x: Tensor) -> tuple[Tensor, ...]:
        x = torch.asarray(torch.as_tensor(x, dtype=torch.float64))
        size = int(table.max())
        kept = table[table > 1.0]
        return x.sum() * torch.ones(size) + kept.sum(), torch.where(x > 0, x, 0.0)

    recording = recorded(function, [torch.tensor([1.0, 2.0])])
    assert all(operation.varies for operation in recording.folded().operations if operation.target is not None)
    x = torch.tensor([5.0, -1.0])
    for output, expected in zip(recording.folded().module()(x), function(x), strict=True):
        assert torch.equal(output, expected)


def test_random_numbers_are_drawn_anew_and_only_where_they_are_used() -> None:
    def function(x: Tensor) -> tuple[Tensor, ...]:
        torch.rand(1_000)
        return (x + torch.rand(2),)

    module = recorded(function, [torch.zeros(2)]).folded().module()
    names = [str(node.target) for node in module.graph.nodes]
    assert sum("rand" in name for name in names) == 1
    torch.manual_seed(0)
    first, second = module(torch.zeros(2))[0], module(torch.zeros(2))[0]
    torch.manual_seed(0)
    assert torch.equal(first, torch.rand(2))
    assert not torch.equal(first, second)


def test_a_gradient_is_mapped_over_a_batch_without_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    """Stick breaking writes to a new tensor in its gradient, for which torch has no batched way."""

    def function(v: Tensor) -> tuple[Tensor, ...]:
        v = v.detach().requires_grad_()
        with torch.enable_grad():
            weights = torch.distributions.biject_to(torch.distributions.constraints.simplex)(v)
            return (torch.autograd.grad((weights**2).sum(), v)[0],)

    graph, points = Graph(function, [torch.zeros(3).double()]), torch.randn(5, 3).double()
    assert graph.module is not None
    assert not any("scatter_." in str(node.target) for node in graph.module.graph.nodes)
    (slopes,) = graph.batched(points)
    torch.testing.assert_close(slopes, torch.stack([function(point)[0] for point in points]))
    assert capfd.readouterr().err == ""


def test_few_evaluations_are_runs_whatever_was_asked_before() -> None:
    calls = []

    def of(name: str) -> Callable[[Tensor], tuple[Tensor, ...]]:
        return lambda x: (calls.append(name), (x**2,))[1]

    x = torch.arange(3.0).double()
    graph = Graph(of("captured"), [x], few=of("run"))
    for _ in range(2):
        assert torch.equal(graph(x)[0], x**2)
        assert torch.equal(graph.batched(x.expand(RUNS, 3))[0], (x**2).expand(RUNS, 3))
        assert calls == ["run"] * (RUNS + 1)
        calls.clear()
        assert torch.equal(graph.batched(x.expand(RUNS + 1, 3))[0], (x**2).expand(RUNS + 1, 3))
        calls.clear()


# ---------------------------------------------------------------- outputs that are alike


def stacks_of(function: Any, x: Tensor) -> tuple[Repeated, list[Tensor]]:
    recording = recorded(function, [x])
    repeated = Repeated(recording.folded(), [None] * len(recording.outputs))
    return repeated, repeated(x)


def test_outputs_from_other_constants_or_entries_are_one_computation() -> None:
    numbers = torch.arange(6.0).reshape(3, 2)

    def function(x: Tensor) -> tuple[Tensor, ...]:
        shared = x.exp()
        of_constants = [shared * numbers[i] + x for i in range(3)]
        return *of_constants, x.sum(), *(x[i] * numbers[0] for i in range(2)), shared * numbers[0] - x

    x = torch.tensor([0.5, 2.0])
    repeated, stacks = stacks_of(function, x)
    assert repeated.groups == [[0, 1, 2], [3], [4, 5], [6]]
    expected = function(x)
    for group, stack in zip(repeated.groups, stacks, strict=True):
        assert torch.equal(stack, torch.stack([expected[number] for number in group]))
    x = x.requires_grad_()
    slopes = [
        torch.autograd.grad(sum((output**2).sum() for output in outputs), x)[0]
        for outputs in (repeated(x), function(x))
    ]
    torch.testing.assert_close(*slopes)


def test_entries_from_the_end_and_masks() -> None:
    masks = torch.tensor([[True, False], [False, True], [True, True]])

    def function(x: Tensor) -> tuple[Tensor, ...]:
        return *(x[i] * 1.0 for i in (-1, 0, 1)), *(x[mask].sum() for mask in masks)

    x = torch.tensor([0.5, 2.0])
    repeated, stacks = stacks_of(function, x)
    assert repeated.groups == [[0, 1, 2], [3], [4], [5]]
    expected = function(x)
    for group, stack in zip(repeated.groups, stacks, strict=True):
        assert torch.equal(stack, torch.stack([expected[number] for number in group]))


def test_numbers_and_types_in_an_operation_tell_outputs_apart() -> None:
    def function(x: Tensor) -> tuple[Tensor, ...]:
        same = x * torch.tensor(3.0)
        return x * 2, x * 3, x.clamp(min=1), x.clamp(max=1), same, x * torch.tensor(3), same, x + x, x + 2.0 * x

    repeated, stacks = stacks_of(function, torch.tensor([0.5, 2.0]))
    assert repeated.groups == [[0], [1], [2], [3], [4, 6], [5], [7], [8]]
    assert stacks[4].shape == (2, 2)


# ---------------------------------------------------------------- sums over hidden configurations


def random_factors(edges: list[str], sizes: dict[str, int], seed: int, impossible: float = 0.0) -> list[Stack]:
    """Log factors of the hidden symbols in each edge and of the rows, one to a stack."""
    generator, plates = torch.Generator().manual_seed(seed), frozenset(ROWS)
    stacks = []
    for number, edge in enumerate(edges):
        # Every third factor is the same in all rows.
        dims = edge if number % 3 == 2 else ROWS + edge
        shape = [sizes[dim] for dim in dims]
        values = 5.0 * torch.randn(1, *shape, dtype=torch.float64, generator=generator)
        if impossible:
            values[torch.rand(values.shape, generator=generator) < impossible] = -torch.inf
        stacks.append(Stack(values, (Label(f"f{number}", dims, plates, None),)))
    return stacks


def brute_force(stacks: list[Stack], sizes: dict[str, int]) -> Tensor:
    hidden = sorted(set("".join(label.dims for stack in stacks for label in stack.labels)) - {ROWS})
    totals = []
    for chosen in itertools.product(*(range(sizes[dim]) for dim in hidden)):
        at = dict(zip(hidden, chosen, strict=True))
        total = torch.zeros(sizes[ROWS], dtype=torch.float64)
        for label, factor in unstacked(stacks):
            total = total + factor[tuple(slice(None) if dim == ROWS else at[dim] for dim in label.dims)]
        totals.append(total)
    return torch.logsumexp(torch.stack(totals), 0)


CHAIN = [a + b for a, b in itertools.pairwise("abcdefghij")] + list("abcdefghij")
GRAPHS = {
    "chain": CHAIN,
    "chain with the states the other way round": [edge[::-1] for edge in CHAIN],
    "star": ["a" + leaf for leaf in "bcdefghij"],
    "tree": ["ab", "ac", "bd", "be", "cf", "cg", "dh", "ei", "fj"],
    "loop": [*CHAIN, "ja"],
    "second order": ["".join(three) for three in zip("abcdefgh", "bcdefghi", "cdefghij", strict=True)],
    "apart": list("abcdefghij"),
}


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("least", [1, pytest.param(3, marks=pytest.mark.slow), 100])
def test_a_sum_in_rounds_is_the_sum_over_all_configurations(
    name: str, least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elimination, "LEAST_TOGETHER", least)
    sizes = dict.fromkeys("abcdefghij", 2) | {ROWS: 3, "c": 3}
    stacks = random_factors(GRAPHS[name], sizes, seed=len(name))
    leaves = [stack.log_factors.requires_grad_() for stack in stacks]
    value, expected = log_sum(stacks, ROWS, sizes[ROWS]), brute_force(stacks, sizes)
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12)
    slopes, others = (torch.autograd.grad(total.sum(), leaves) for total in (value, expected))
    for slope, other in zip(slopes, others, strict=True):
        torch.testing.assert_close(slope, other, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("least", [1, 100])
@pytest.mark.parametrize("seed", [*range(3), *(pytest.param(n, marks=pytest.mark.slow) for n in range(3, 8))])
def test_a_sum_with_impossible_values_has_a_gradient(seed: int, least: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elimination, "LEAST_TOGETHER", least)
    sizes = dict.fromkeys("abcdefghij", 2) | {ROWS: 20}
    stacks = random_factors(CHAIN, sizes, seed, impossible=0.15)
    leaves = [stack.log_factors.requires_grad_() for stack in stacks]
    # A number as small as this is as good as impossible, and torch's derivative of it is a number.
    tiny = [stack._replace(log_factors=stack.log_factors.clamp_min(-1e200)) for stack in stacks]
    value, expected = log_sum(stacks, ROWS, sizes[ROWS]), brute_force(tiny, sizes)
    possible = expected > -1e199
    assert bool((value[~possible] == -torch.inf).all())
    torch.testing.assert_close(value[possible], expected[possible], rtol=1e-12, atol=1e-12)
    slopes, others = (torch.autograd.grad(total[possible].sum(), leaves) for total in (value, expected))
    for slope, other in zip(slopes, others, strict=True):
        torch.testing.assert_close(slope, other, rtol=1e-11, atol=1e-11)


def test_a_chain_is_summed_in_as_many_rounds_as_its_length_has_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = []
    own = elimination._groups
    monkeypatch.setattr(elimination, "_groups", lambda stacks: rounds.append(0) or own(stacks))
    symbols = [chr(0x4E00 + t) for t in range(200)]
    sizes = dict.fromkeys(symbols, 2) | {ROWS: 2}
    edges = [a + b for a, b in itertools.pairwise(symbols)]
    stacks = random_factors(edges, sizes, seed=0)
    value = log_sum(stacks, ROWS, 2)
    assert len(rounds) <= 2 * np.log2(200)
    # One symbol at a time.
    monkeypatch.setattr(elimination, "MOST_NUMBERS", 0)
    torch.testing.assert_close(value, log_sum(stacks, ROWS, 2), rtol=1e-12, atol=0.0)


def test_factors_that_favour_other_values_by_a_thousand_nats_do_not_underflow() -> None:
    sizes = dict.fromkeys("abcdefgh", 2) | {ROWS: 1}
    plates = frozenset(ROWS)
    far = torch.tensor([0.0, -1_000.0], dtype=torch.float64)
    stacks = [
        Stack((far if i % 2 else far.flip(0))[None, None], (Label(f"e{i}", ROWS + s, plates, None),))
        for i, s in enumerate("abcdefgh")
    ]
    alike = torch.tensor([[0.0, -900.0], [-900.0, 0.0]], dtype=torch.float64)
    stacks += [
        Stack(alike[None, None], (Label(s, ROWS + s, plates, None),))
        for s in map("".join, itertools.pairwise("abcdefgh"))
    ]
    torch.testing.assert_close(log_sum(stacks, ROWS, 1), brute_force(stacks, sizes), rtol=1e-13, atol=0.0)


def test_weights_are_the_posterior_of_each_stack() -> None:
    sizes = dict.fromkeys("abcdefghij", 2) | {ROWS: 3}
    rows = tuple(random_factors(CHAIN, sizes, seed=1))
    zero = torch.zeros((), dtype=torch.float64)
    factors = Factors(zero, zero, rows, ROWS, 3, {})
    counts = torch.tensor([1.0, 2.0, 0.0], dtype=torch.float64)
    value, weights = weights_of(factors, counts)
    torch.testing.assert_close(value, brute_force(list(rows), sizes) @ counts)
    for stack, weight, share in zip(rows, weights, posterior(factors), strict=True):
        assert weight.shape == stack.log_factors.shape
        dims = stack.labels[0].dims
        total = weight[0].sum([axis for axis, dim in enumerate(dims) if dim != ROWS])
        torch.testing.assert_close(total, counts if ROWS in dims else counts.sum())
        assert bool((share >= 0).all())
