"""log p(data | φ) of a program with its hidden discrete sites summed out, by enumeration and autograd.

For each factor f of the enumerated program, ``w_f = ∂ log p / ∂ log f`` is its exact posterior weight, so that
``Q(φ') = Σ_f ⟨w_f, log f(φ')⟩`` is EM's objective for a model that nobody wrote an M-step for: its gradient at φ is the
marginal's.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from estimators.data.data import Data
from estimators.isolation import program_mode
from estimators.optimise.arrays import Array
from estimators.optimise.ascent import MOST_FOR_NEWTON, ascend, climb
from estimators.programs.attempt import attempt
from estimators.programs.call import Program
from estimators.programs.captured import Graph
from estimators.programs.causes import Causes
from estimators.programs.coordinates import Coordinates
from estimators.programs.evidence import evidence_of
from estimators.programs.factors import Enumeration, Factors, by_value, posterior, row_weights, tilted, weights_of
from estimators.programs.reach import check_masks, check_missing
from estimators.programs.replayed import replayed
from estimators.programs.sites import Structure
from estimators.programs.structure import structure_of

# An M-step ends where the gradient of Q is this share of what it was.
M_STEP_SHARE = 0.02
M_STEP_ITERATIONS = 40
ROUNDING = 1e-13
# Responsibilities that are kept for the next question: 16 MB.
MOST_KEPT = 2_000_000


class ProgramMarginal:
    """The marginal of a program on a data set; its structure is found once, when it is made."""

    def __init__(self, fn: Program, data: Data, structure: Structure | None = None) -> None:
        self.fn, self.data = fn, data
        self.structure = structure_of(fn, data) if structure is None else structure
        self.evidence = evidence_of(fn, self.structure, data)
        self.enumeration = Enumeration(fn, self.structure, self.evidence, data)
        given = set(self.evidence.values)
        self.coordinates = Coordinates([greek for greek in self.structure.greeks if greek.name not in given])
        self.num_rows = data.num_rows
        # What questions find, for other questions: the causes of each site, on so many rows.
        self.causes: dict[int, Causes] = {}
        self._known_responsibilities: tuple[list[Tensor], tuple[Tensor, ...]] | None = None
        self.weights = row_weights(data)
        self.total_weight = float(self.weights.sum())
        self.count = max(float(data.num_rows), self.total_weight)
        if self.structure.is_masked or self.evidence.is_missing:
            self._check_entries_that_do_not_count()

    def of(self, data: Data) -> "ProgramMarginal":
        """The marginal of other rows with the same columns."""
        return ProgramMarginal(self.fn, data, self.structure)

    @property
    def hidden(self) -> tuple[str, ...]:
        """The discrete sites that are hidden in some row, in program order."""
        return self.evidence.hidden

    @property
    def latent(self) -> tuple[str, ...]:
        """The hidden sites without those that are hidden because a column has missing entries."""
        return tuple(name for name in self.hidden if not self._is_incomplete(name))

    @property
    def probe(self) -> Tensor:
        """Random coordinates [D], the same at each call, at which no two components are equal."""
        generator = torch.Generator().manual_seed(0)
        return 0.3 * torch.randn(self.coordinates.size, dtype=torch.float64, generator=generator)

    def factors(self, greeks: Mapping[str, Tensor]) -> Factors:
        """One enumerated run of the program; to be called in `program_mode`."""
        return self.enumeration.factors(greeks)

    @cached_property
    def factors_at(self) -> Callable[[Tensor], Factors]:
        """The same at coordinates [D], with logs of probabilities computed from them."""

        def run(v: Tensor) -> Factors:
            greeks = self.coordinates.constrain(v)
            with self.coordinates.kept_logs(v, greeks):
                return self.factors(greeks)

        return replayed(run, [self.example])

    # ---------------------------------------------------------------- on tensors

    def log_likelihood(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """log p(data | φ), differentiable to any order."""
        with program_mode():
            factors = self.factors({name: value.double() for name, value in greeks.items()})
            return (factors.pointwise() * self.weights).sum() + factors.log_global

    def pointwise(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """log p(row | φ) as [N], without the weights; [S, N] for draws of the Greeks."""
        return self._mapped(self._pointwise, greeks)[0]

    def responsibilities(self, greeks: Mapping[str, Tensor], site: str | None = None) -> Tensor:
        """p(site = k | row, φ) as [N, K] ([S, N, K] for draws); the site may be left out where only one is hidden."""
        name = self.site(site)
        if name not in self.hidden:
            known, shape = self._one_hot(name), next(iter(greeks.values())).shape
            batch = shape[: len(shape) - len(self.coordinates.greeks[0].shape)]
            return known.expand(*batch, *known.shape)
        return self._all_responsibilities(greeks)[self.hidden.index(name)]

    def _all_responsibilities(self, greeks: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Those of every hidden site, which are found together and asked for one after the other."""
        values = [greeks[greek.name] for greek in self.coordinates.greeks]
        known = self._known_responsibilities
        if known is not None and all(torch.equal(*pair) for pair in zip(known[0], values, strict=True)):
            return known[1]
        shares = self._mapped(self._posterior, greeks)
        is_small = sum(share.numel() for share in shares) <= MOST_KEPT
        self._known_responsibilities = (values, shares) if is_small else None
        return shares

    def site(self, name: str | None) -> str:
        """The discrete site of this name, or without a name the only hidden one; a ValueError if there is none."""
        known = (
            self.latent or self.hidden or tuple(name for name, site in self.structure.sites.items() if site.is_discrete)
        )
        if name is None:
            if len(known) != 1:
                raise ValueError(f"responsibilities: expected the name of a hidden site, one of {list(known)}")
            return known[0]
        if name not in self.structure.sites or not self.structure.sites[name].is_discrete:
            raise ValueError(f"responsibilities: expected a discrete site, one of {list(known)}, got {name!r}")
        return name

    def _is_incomplete(self, name: str) -> bool:
        column = self.data.columns.get(name, self.data.columns.get(name.rpartition("_")[0]))
        return column is not None and bool(column.isnan().any())

    def _check_entries_that_do_not_count(self) -> None:
        with program_mode():
            greeks = self.coordinates.constrain(self.probe)
            factors = attempt(self.enumeration, greeks)
            if self.structure.is_masked:
                check_masks(self.fn, factors)
            if self.evidence.is_missing:
                check_missing(self.enumeration, greeks, factors)

    # ---------------------------------------------------------------- graphs

    @cached_property
    def example(self) -> Tensor:
        """Coordinates [D] at which functions are captured."""
        return torch.full((self.coordinates.size,), 0.1, dtype=torch.float64)

    @cached_property
    def row_size(self) -> int:
        """About how many numbers one evaluation holds."""
        with program_mode():
            factors = self.factors(self.coordinates.constrain(self.example))
        return sum(stack.log_factors.numel() for stack in factors.rows) * 4

    def graph(self, function: Callable[..., tuple[Tensor, ...]], *examples: Tensor) -> Graph:
        """A function of Greeks or coordinates, captured."""
        return Graph(function, examples, self.row_size)

    @cached_property
    def _pointwise(self) -> Graph:
        return self._graph_of_greeks(lambda factors: (factors.pointwise(),))

    @cached_property
    def _posterior(self) -> Graph:
        def shares(factors: Factors) -> tuple[Tensor, ...]:
            weights = posterior(factors)
            return tuple(by_value(factors, weights, site) for site in self.hidden)

        return self._graph_of_greeks(shares)

    def _graph_of_greeks(self, function: Callable[[Factors], tuple[Tensor, ...]]) -> Graph:
        names, examples = [greek.name for greek in self.coordinates.greeks], self._example_greeks
        return Graph(
            lambda *values: function(self._factors_of(*values)),
            examples,
            self.row_size,
            few=lambda *values: function(self.factors(dict(zip(names, values, strict=True)))),
        )

    @cached_property
    def _factors_of(self) -> Callable[..., Factors]:
        """The factors at the Greeks, in their order."""
        names = [greek.name for greek in self.coordinates.greeks]
        return replayed(lambda *values: self.factors(dict(zip(names, values, strict=True))), self._example_greeks)

    @property
    def _example_greeks(self) -> list[Tensor]:
        return list(self.coordinates.constrain(self.example).values())

    def _mapped(self, graph: Graph, greeks: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        values = [greeks[greek.name].detach().double() for greek in self.coordinates.greeks]
        is_batch = values[0].ndim > len(self.coordinates.greeks[0].shape)
        return graph.batched(*values) if is_batch else graph(*values)

    def _one_hot(self, name: str) -> Tensor:
        site = self.structure.sites[name]
        labels = self.evidence.values[name].movedim(site.axis, 0).long()
        return torch.nn.functional.one_hot(labels, site.cardinality).double()


class ExpectedLogLikelihood:
    """``v → Q(φ(v)) = Σ_f ⟨w_f, log f(φ(v))⟩`` with its gradient: what an M-step climbs."""

    def __init__(self, marginal: ProgramMarginal) -> None:
        self.size, self.bounded = marginal.coordinates.size, marginal.coordinates.bounded
        self.total_weight = marginal.total_weight
        # Made before anything that uses it is captured.
        factors_at = marginal.factors_at

        def expected(v: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
            v = v.detach().requires_grad_()
            with torch.enable_grad():
                value = complete(factors_at(v), weights)
                (slope,) = torch.autograd.grad(value, v, allow_unused=True, materialize_grads=True)
            return value.detach(), slope

        def expand(v: Tensor) -> tuple[Tensor, ...]:
            v = v.detach().requires_grad_()
            with torch.enable_grad():
                factors = factors_at(v)
                value, weights = weights_of(factors, marginal.weights)
                (slope,) = torch.autograd.grad(complete(factors, weights), v, allow_unused=True, materialize_grads=True)
            return value + factors.log_global.detach(), slope, *weights

        self._marginal = marginal
        self._expand = marginal.graph(expand, marginal.example)
        weights = self._expand(marginal.example)[2:]
        self._expected = marginal.graph(expected, marginal.example, *weights)
        self._weights: tuple[Tensor, ...] = weights

    def e_step(self, coordinates: Array) -> tuple[float, Array, tuple[Tensor, ...]]:
        """log p(data | φ(v)), its gradient, and the factors' posterior weights."""
        value, slope, *weights = self._expand(torch.from_numpy(np.asarray(coordinates)))
        return float(value), slope.numpy(), tuple(weights)

    def under(self, coordinates: Array, responsibilities: Tensor, site: str) -> tuple[Tensor, ...]:
        """The factors' weights where a hidden site has the given responsibilities [N, ..., K]."""
        with program_mode():
            factors = self._marginal.factors_at(torch.from_numpy(np.asarray(coordinates)))
            return tilted(factors, responsibilities, site, self._marginal.weights)

    def value_and_gradient(self, coordinates: Array) -> tuple[float, Array]:
        """Q and its gradient."""
        value, slope = self._expected(torch.from_numpy(np.asarray(coordinates)), *self._weights)
        return float(value), slope.numpy()

    def gradients(self, points: Array) -> Array:
        """The gradients [S, D] of Q at points [S, D]."""
        return np.stack([self.value_and_gradient(point)[1] for point in points])

    def argmax(self, coordinates: Array, weights: Sequence[Tensor]) -> Array:
        """The M-step: Q climbed from the coordinates of its weights, and never below its value there."""
        self._weights = tuple(weights)
        before, slope = self.value_and_gradient(coordinates)
        norm = float(np.abs(slope).max()) / self.total_weight
        # An inexact M-step is enough: the next E-step moves the maximum of Q by more than what is left to climb.
        maximum = climb(self, coordinates, gradient=M_STEP_SHARE * norm, max_steps=M_STEP_ITERATIONS)
        value, slope = self.value_and_gradient(maximum)
        is_climbed = value >= before and np.abs(slope).max() / self.total_weight <= 0.5 * norm
        if not is_climbed and self.size <= MOST_FOR_NEWTON:
            # L-BFGS ends where rounding hides the gain; Newton's method looks at the gradient alone.
            summit = ascend(self, coordinates, M_STEP_SHARE * norm)
            value, maximum = summit.value, summit.coordinates
        return maximum if value >= before - ROUNDING * (1.0 + abs(before)) else coordinates


def complete(factors: Factors, weights: Sequence[Tensor]) -> Tensor:
    """``Σ_f ⟨w_f, log f⟩`` and the log of global factors, with 0 log 0 = 0."""
    total = factors.log_global
    for stack, weight in zip(factors.rows, weights, strict=True):
        total = total + (weight * stack.log_factors.masked_fill(weight == 0, 0.0)).sum()
    return total
