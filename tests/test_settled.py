"""Graphs at fixed values of most inputs: the same numbers as the whole graph, of which little is computed again."""

from collections.abc import Callable
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor

from estimators import Fit, PyroModel, Status
from estimators.isolation import isolated
from estimators.programs import predictive as program_predictive
from estimators.programs import settled
from estimators.programs.captured import Graph
from estimators.programs.settled import Settled

SCALES, SHIFTS = torch.tensor([1.0, 2.0, 0.5]).double(), torch.tensor([0.0, 3.0, 9.0]).double()


def simulated(at: Tensor, scale: Tensor, shift: Tensor) -> tuple[Tensor, ...]:
    """What is drawn depends on the later inputs alone; so does the second output."""
    value = shift + scale * torch.normal(torch.zeros(50).double(), torch.ones(50).double())
    return torch.special.ndtr(at[:, None] - value).mean(1), value.exp().sum()


def random_of_the_first(at: Tensor, scale: Tensor, shift: Tensor) -> tuple[Tensor, ...]:
    return (torch.poisson(at.abs() + scale), shift.exp())


def written_of_the_first(at: Tensor, scale: Tensor, shift: Tensor) -> tuple[Tensor, ...]:
    outputs = torch.zeros(2).double()
    outputs += at.sum() * scale
    return (outputs, shift.exp())


def read_before_it_is_written(at: Tensor, scale: Tensor, shift: Tensor) -> tuple[Tensor, ...]:
    """A tensor that the first input meets before, and the later ones after, it is written to."""
    table = torch.ones(2).double()
    before = at.sum() * table
    table.mul_(scale)
    return (before + table, shift.exp())


def of_no_other(at: Tensor, scale: Tensor, shift: Tensor) -> tuple[Tensor, ...]:
    return (at + scale, at * shift)


WHOLE: dict[str, tuple[Callable[..., tuple[Tensor, ...]], bool]] = {
    "simulated": (simulated, True),
    "nothing to keep": (of_no_other, True),
    "random in the first": (random_of_the_first, False),
    "written to": (written_of_the_first, False),
    "read before it is written to": (read_before_it_is_written, False),
}


@pytest.mark.parametrize("name", WHOLE)
def test_the_numbers_are_those_of_the_whole_graph(name: str) -> None:
    function, comes_apart = WHOLE[name]
    graph = Graph(function, [torch.zeros(1).double(), SCALES[0], SHIFTS[0]])
    assert graph.module is not None
    assert (settled.halves_of(graph.module) is not None) is comes_apart
    with isolated(0):
        fixed = Settled(graph, (SCALES, SHIFTS))
    for point in (-1.0, 2.0, 7.5):
        at = torch.tensor([point]).double()
        with isolated(0):
            whole = graph.batched(at.expand(3, 1), SCALES, SHIFTS)
        with isolated(0):
            outputs = fixed(at)
        assert all(torch.equal(one, other) for one, other in zip(outputs, whole, strict=True))


def test_what_is_simulated_is_simulated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = Graph(simulated, [torch.zeros(1).double(), SCALES[0], SHIFTS[0]])
    evaluated: list[int] = []
    own = settled.of_entries
    monkeypatch.setattr(settled, "of_entries", lambda module, inputs, chunk: _noted(evaluated, own, module, inputs))
    fixed = Settled(graph, (SCALES, SHIFTS))
    assert evaluated == [2]
    at = torch.ones(1).double()
    # Without going back to the same random numbers: there are none to draw.
    assert torch.equal(fixed(at)[0], fixed(at)[0])
    assert evaluated == [2, 3, 3]
    # More than there is room for: every call computes all of it.
    monkeypatch.setattr(settled, "MOST_KEPT", 100)
    large = Settled(graph, (SCALES, SHIFTS))
    assert not torch.equal(large(at)[0], large(at)[0])
    assert evaluated == [2, 3, 3]


def _noted(evaluated: list[int], own: Callable[..., Any], module: Any, inputs: Any) -> Any:
    evaluated.append(len(inputs))
    return own(module, inputs, 3)


def above_and_below(N: int) -> None:
    theta = pyro.sample("theta", dist.Dirichlet(torch.ones(2)))
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Categorical(theta))
        v = pyro.sample("v", dist.Normal(1.0 * z, 1.0))
        pyro.sample("w", dist.Normal(v, 1.0))
        pyro.sample("y", dist.Normal(v**2, 0.5))


def test_a_simulated_quantile_asks_few_points_and_is_that_of_its_cdf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program_predictive, "SIMULATED_ROWS", 4_000)
    draws = {"theta": torch.tensor([[0.5, 0.5], [0.3, 0.7]]).double()}
    query = Fit(PyroModel(above_and_below), "known", draws, 1, Status.CONVERGED, {}).given(y=1.2)
    asked: list[float] = []
    own = Settled.__call__
    monkeypatch.setattr(Settled, "__call__", lambda self, at: asked.append(float(at)) or own(self, at))
    levels = [0.3, 0.6]
    quantiles = query.quantile("w", levels)
    # Each level and the two ends of its error; none of the points twice.
    assert len(asked) == len(set(asked)) <= 2 * 3 * 15
    monkeypatch.setattr(settled, "MOST_KEPT", 0)
    plain = query.quantile("w", levels)
    assert quantiles.error is not None
    assert plain.error is not None
    assert quantiles.tolist() == plain.tolist()
    assert quantiles.error.tolist() == plain.error.tolist()
    at = query.cdf("w", quantiles)
    assert at.error is not None
    torch.testing.assert_close(at + 0.0, torch.tensor(levels, dtype=torch.float64), rtol=0.0, atol=1e-9)
