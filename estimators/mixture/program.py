"""A causal mixture as a Pyro program: Greeks from their priors, then rows; and on data, for Pyro's own inference."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor

from estimators.checks import check_num_rows, check_seed
from estimators.contract import Draws, Variable
from estimators.data.data import LATENT, Data
from estimators.data.units import Units, units_of
from estimators.estep.marginal import MixtureMarginal
from estimators.estep.units import above_latent
from estimators.estep.variable import Node
from estimators.estep.weights import Weights
from estimators.isolation import isolated, own_modes
from estimators.mechanisms.protocol import Mechanism
from estimators.mixture.covariates import CovariateRows, checked_values
from estimators.mixture.graph import causal_order
from estimators.mixture.observed import PARALLEL, ROWS, UNITS, blocks, observe
from estimators.mixture.replicated import replicated
from estimators.parameters.block import Block
from estimators.parameters.parameter import Parameter, checked_greeks
from estimators.parameters.sparse import in_logs


class MixtureProgram:
    """A causal mixture as its factors, and as the Pyro program that they make, whole and in parts."""

    if TYPE_CHECKING:
        K: int
        mechanisms: Mapping[str, Mechanism]
        concentration: Any
        latent_parents: Sequence[str]
        covariates: Sequence[str]
        parameters: tuple[Parameter, ...]
        weights: Weights
        nodes: Mapping[str, Node]

        def marginal(self, data: Data) -> MixtureMarginal: ...

    @property
    def variables(self) -> dict[str, Variable]:
        return {
            name: Variable(family.num_levels, family.num_columns, not family.is_covariate)
            for name, family in self.mechanisms.items()
        }

    @cached_property
    def row_variables(self) -> dict[str, Variable]:
        """The observed variables, and Z."""
        return {**self.variables, LATENT: Variable(self.K, None)}

    @cached_property
    def order(self) -> list[str]:
        """Every variable, Z included, causes before effects."""
        return causal_order(self.mechanisms, self.latent_parents)

    @property
    def blocks(self) -> list[Block]:
        """The Greeks by the blocks that have coordinates together."""
        of_weights = [Block.of(parameter) for parameter in self.weights.parameters]
        return of_weights + [block for name in self.mechanisms for block in self.nodes[name].greeks.blocks]

    @property
    def hidden(self) -> dict[str, int]:
        return {LATENT: self.K}

    def __call__(self, num_rows: int, covariates: Mapping[str, Any] | None = None) -> dict[str, Tensor]:
        """Run as a Pyro program: draw the Greeks from their priors, then `num_rows` rows with values of covariates."""
        return self.rows(self.sample_greeks(), num_rows, covariates)

    def sample_greeks(self) -> dict[str, Tensor]:
        """Run the part of the program above the rows: every Greek from its prior, entries in plates of their own."""
        greeks = {}
        for parameter in self.parameters:
            batch = parameter.prior.batch_shape
            with ExitStack() as plates:
                for axis, (name, size) in enumerate(zip(plates_of(parameter), batch, strict=True)):
                    plates.enter_context(pyro.plate(name, size, dim=axis - len(batch)))
                greeks[parameter.name] = pyro.sample(parameter.name, in_logs(parameter.prior))
        return greeks

    def rows(
        self,
        greeks: Mapping[str, Tensor],
        num_rows: int,
        covariates: Mapping[str, Any] | None = None,
        units: Units | None = None,
    ) -> dict[str, Tensor]:
        """Run the part of the program below the Greeks: Z and every variable, for `num_rows` rows.

        A Greek may also have one value per row, [N, K] instead of [K], as predictions over posterior draws need. Where
        rows share one Z, it and what is above it are drawn in a plate of units, by which the rows are indexed.
        """
        # What Z does not cause has the same mechanism in all components: of any label.
        columns, given = {LATENT: torch.tensor(0)}, checked_values(self, covariates, num_rows)
        shared = [] if units is None else self.shared_in_units
        if units is not None:
            for name in given.keys() & set(shared):
                units.need_one(given[name], f"covariates: {name} differs", f"rows of a unit share one {LATENT}")
            with pyro.plate(UNITS, units.num_units):
                at_first = {name: value[units.first] for name, value in given.items()}
                self._draw(shared, greeks, columns, at_first)
            for name in shared:
                column = torch.as_tensor(columns[name])
                columns[name] = column[units.of_row] if column.ndim else column.expand(num_rows)
        with pyro.plate(ROWS, num_rows):
            self._draw([name for name in self.order if name not in shared], greeks, columns, given)
        in_order = {name: torch.as_tensor(columns[name]) for name in (*self.mechanisms, LATENT)}
        return {name: column if column.ndim else column.expand(num_rows) for name, column in in_order.items()}

    @property
    def shared_in_units(self) -> list[str]:
        """Z and what is above it, causes first: one value a unit."""
        shared = {*above_latent(self.weights, self.nodes), LATENT}
        return [name for name in self.order if name in shared]

    def _draw(
        self,
        names: Sequence[str],
        greeks: Mapping[str, Tensor],
        columns: dict[str, Tensor],
        given: Mapping[str, Tensor],
    ) -> None:
        """Sample some variables, given what is among the columns, and add them."""
        for name in names:
            if name == LATENT:
                latent = pyro.sample(LATENT, self.weights.distribution(greeks, columns), infer=PARALLEL)
                columns[LATENT] = torch.as_tensor(latent).long()
            else:
                law = dist.Delta(given[name]) if name in given else None
                law = self.nodes[name].distribution(greeks, columns[LATENT], columns) if law is None else law
                columns[name] = pyro.sample(name, law)
                self._need_covariate(name, columns[name])

    def _need_covariate(self, name: str, column: Tensor) -> None:
        if name in self.covariates and bool(torch.isnan(column).any()):
            raise ValueError(
                f"{name} is a covariate, which has no law to be drawn from; give its values, "
                f"simulate(..., covariates={{{name!r}: [...]}}) or do({name}=...)"
            )

    def row_program(
        self, data: Data | None
    ) -> tuple[Callable[[Mapping[str, Tensor], int], dict[str, Tensor]], frozenset[str]]:

        def run_rows(greeks: Mapping[str, Tensor], num_rows: int) -> dict[str, Tensor]:
            given = None if data is None or not self.covariates else CovariateRows.of(self.covariates, data)
            values, units = None if given is None else given.drawn(num_rows), None
            if data is not None and num_rows == data.num_rows:
                values = {name: data.columns[name] for name in self.covariates}
                # Greeks of every row are of rows that have a Z each.
                is_one = all(greeks[p.name].ndim == len(p.shape) for p in self.parameters)
                units = data.unit if is_one else None
            return self.rows({n: pyro.deterministic(n, value) for n, value in greeks.items()}, num_rows, values, units)

        return run_rows, frozenset(self.mechanisms)

    def conditioned(self, data: Data) -> tuple[Callable[[], None], int]:
        alike = blocks(self, data)
        nesting = max(1, *(len(parameter.prior.batch_shape) for parameter in self.parameters))

        def program() -> None:
            greeks = self.sample_greeks()
            for number, rows in enumerate(alike):
                observe(self, greeks, rows, number)

        return program, nesting

    @own_modes()
    def prior_greeks(self, seed: int | None = None) -> dict[str, Tensor]:
        """Draw the Greeks from their priors."""
        with isolated(check_seed(seed)):
            return {parameter.name: in_logs(parameter.prior).sample().double() for parameter in self.parameters}

    @own_modes()
    def simulate(
        self,
        num_rows: int,
        greeks: Mapping[str, Any] | None = None,
        seed: int | None = None,
        covariates: Mapping[str, Any] | None = None,
        unit: Any = None,
    ) -> dict[str, Tensor]:
        """Draw `num_rows` rows, Z included, at given Greeks or at Greeks drawn from the prior.

        A model's ``covariates`` need their values: one for each row, or one for all. Rows with one label in ``unit``
        [N] share one Z, and one value of each of its causes; without, each row has its own.

        >>> rows = GaussianMixture(K=2).simulate(3, {"theta": [0.5, 0.5], "mu_X": [0.0, 9.0]}, seed=1)
        >>> len(rows["X"])
        3
        """
        check_num_rows(num_rows)
        known = self.prior_greeks(seed) if greeks is None else self.check_greeks(greeks)
        units = units_of(None if unit is None else list(unit), {})[0]
        if units is not None and len(units.of_row) != num_rows:
            raise ValueError(f"unit: expected {num_rows} labels, one for each row, got {len(units.of_row)}")
        with isolated(check_seed(seed)):
            return self.rows(known, int(num_rows), covariates, units)

    def replicate(self, draws: Draws, data: Data, *, seed: int) -> dict[str, Tensor]:
        with isolated(seed):
            return replicated(self, draws, data)

    @own_modes()
    def check_greeks(self, greeks: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return Greeks as float64 tensors, or raise a ValueError on a wrong name, shape or support."""
        return checked_greeks(greeks, {p.name: (p.shape, p.support) for p in self.parameters})

    @own_modes()
    def prior_predictive(self, num_rows: int, seed: int | None = None) -> dict[str, Tensor]:
        """Draw `num_rows` independent rows from p(x) = ∫ p(x | φ) p(φ) dφ: each with Greeks of its own, also returned.

        >>> drawn = GaussianMixture(K=2).prior_predictive(3, seed=0)
        >>> drawn["mu_X"].shape, drawn["X"].shape
        (torch.Size([3, 2]), torch.Size([3]))
        """
        check_num_rows(num_rows)
        with isolated(check_seed(seed)):
            greeks = {p.name: in_logs(p.prior).sample(torch.Size([int(num_rows)])).double() for p in self.parameters}
            return {**greeks, **self.rows(greeks, int(num_rows))}


def plates_of(parameter: Parameter) -> list[str]:
    """The names of the plates over a Greek's entries, one for each batch axis of its prior."""
    names = [f"entries_{axis}" for axis in range(len(parameter.prior.batch_shape))]
    if parameter.component_axis is not None and parameter.component_axis < len(names):
        names[parameter.component_axis] = "components"
    return [f"{name}_{parameter.name}" for name in names]
