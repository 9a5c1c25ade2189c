"""The Greeks of a variable in the model's names and shapes, and as a mechanism takes them: one entry for each cell."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import constraints

from estimators.data.levels import Levels
from estimators.estep.shared_coefficients import of_all, split
from estimators.mechanisms.protocol import Mechanism, Reference
from estimators.optimise.arrays import Array, Mask
from estimators.parameters.block import Block
from estimators.parameters.parameter import Axis, NamedAxes, Parameter
from estimators.parameters.transforms import LOGS, Linear, Transform


class Place(NamedTuple):
    """A variable, the table of its cells, whether this begins with components, and which coefficients these share."""

    variable: str
    table: tuple[int, ...]
    is_effect: bool
    shared: Mask


class _Greek(NamedTuple):
    """A Greek of the model: what it is of the mechanism's, in every cell or in all, and the columns that it has."""

    symbol: str
    name: str
    is_by_cell: bool
    entry: tuple[int, ...]
    columns: NDArray[np.intp] | None


class VariableGreeks:
    """What a mechanism's Greeks are called in the model, which of them all cells share, and their coordinates.

    ``blocks`` are the Greeks that have coordinates together.
    """

    def __init__(self, place: Place, parameters: Sequence[Parameter], mechanism: Mechanism) -> None:
        self._place, self._mechanism = place, mechanism
        line = next(iter(mechanism.given)) if place.shared.any() and not place.shared.all() else None
        self._of_mechanism = [
            split(parameter, place.shared, mechanism.given) if parameter.name == line else Block.of(parameter)
            for parameter in parameters
        ]
        self.blocks = [self._named_block(block) for block in self._of_mechanism]
        greeks = [self._greek(block, parameter) for block in self._of_mechanism for parameter in block.parameters]
        self._is_plain = len(place.table) == 1 and line is None and all(greek.is_by_cell for greek in greeks)
        # Each Greek, and its logs after these.
        self._greeks = greeks + [
            greek._replace(symbol=log.format(greek.symbol), name=log.format(greek.name))
            for greek in greeks
            for log in LOGS
        ]

    def is_by_cell(self, symbol: str) -> bool:
        """Whether an estimated Greek has an entry for each cell."""
        return next(greek.is_by_cell for greek in self._greeks if greek.symbol == symbol)

    def named_axes(self, parents: Sequence[str], line: Sequence[str], levels: Levels) -> NamedAxes:
        """The axes over levels, of parents in the table and of the variable, that have names, and over a line's.

        ``line`` are the names of its coefficients.
        """
        found, first, own = {}, int(self._place.is_effect), levels.get(self._place.variable, ())
        symbol = next(iter(self._mechanism.given), None) if self._mechanism.is_regression else None
        parameters = [parameter for block in self.blocks for parameter in block.parameters]
        for parameter, greek in zip(parameters, self._greeks, strict=False):
            axes, last = dict[int, Axis](), len(parameter.shape) - 1
            for axis, parent in enumerate(parents if greek.is_by_cell else (), first):
                if parent in levels:
                    axes[axis] = Axis(f"{parent}_level", tuple(levels[parent]))
            if own and greek.entry == (len(own),) and parameter.support is constraints.simplex:
                axes[last] = Axis(f"{self._place.variable}_level", tuple(own))
            if greek.symbol == symbol:
                names = line if greek.columns is None else [line[column] for column in greek.columns]
                axes[last] = Axis(f"{greek.name}_coefficient", tuple(names))
                if own and len(greek.entry) > 1:
                    # Log odds of each level against the first.
                    axes[last - 1] = Axis(f"{self._place.variable}_odds", tuple(own[1:]))
            found[greek.name] = axes
        return found

    def transforms(self, reference: Reference) -> list[tuple[Block, Transform]]:
        """The unconstrained coordinates of every block of Greeks."""
        found = []
        for block, own in zip(self.blocks, self._of_mechanism, strict=True):
            transform = self._mechanism.transform(own.joint, reference)
            if len(own.parameters) > 1:
                transform = of_all(cast(Linear, transform), own, self._place.shared)
            found.append((block, transform))
        return found

    def places(self, symbol: str, size: int) -> NDArray[np.intp] | None:
        """Where the numbers of each cell [cells, size] stand among those of a block; None where they do in this order.

        A cell with one number has it for all `size`.
        """
        block = next(block for block in self._of_mechanism if block.joint.name == symbol)
        numbers = block.apart(np.arange(prod(block.joint.shape)))
        whole = self.local({self._name(name): own for name, own in numbers.items()})[symbol]
        cells = np.asarray(whole).reshape(prod(self._place.table), -1)
        is_direct = len(block.parameters) == 1 and cells.shape[1] == size
        return None if is_direct else np.repeat(cells, size // cells.shape[1], 1)

    # ---------------------------------------------------------------- there and back

    def local(self, greeks: Mapping[str, Any]) -> dict[str, Any]:
        """The mechanism's Greeks [..., cells, *entry] under their symbols."""
        if self._is_plain:
            return {greek.symbol: greeks[greek.name] for greek in self._greeks if greek.name in greeks}
        found, parts = dict[str, Any](), dict[str, list[Any]]()
        for greek in self._greeks:
            if greek.name in greeks:
                value = self._by_cell(greek, greeks[greek.name])
                if greek.columns is None:
                    found[greek.symbol] = value
                else:
                    parts.setdefault(greek.symbol, []).append(value)
        for symbol, both in parts.items():
            whole = torch.cat(both, -1) if isinstance(both[0], Tensor) else np.concatenate(both, -1)
            # Classes' own coefficients come first, then the shared ones.
            found[symbol] = whole[..., np.argsort(np.argsort(self._place.shared, kind="stable"))]
        return found

    def named(self, local: Mapping[str, Array]) -> dict[str, Array]:
        """Greeks of cells, alike in all where shared, under the name and in the shape of the model."""
        return self._named(local, lambda cells, axis: np.take(cells, 0, axis))

    def slopes(self, local: Mapping[str, Array]) -> dict[str, Array]:
        """Slopes in the Greeks of cells, as those in the model's: of all cells together where they share one."""
        return self._named(local, lambda cells, axis: cells.sum(axis))

    def _named(self, local: Mapping[str, Array], of_shared: Callable[[Array, int], Any]) -> dict[str, Array]:
        if self._is_plain:
            return {greek.name: local[greek.symbol] for greek in self._greeks if greek.symbol in local}
        found = {}
        for greek in self._greeks:
            if greek.symbol in local:
                value = np.asarray(local[greek.symbol])
                value = value if greek.columns is None else value[..., greek.columns]
                cells = value.ndim - len(greek.entry) - 1
                if greek.is_by_cell:
                    found[greek.name] = value.reshape((*value.shape[:cells], *self._place.table, *greek.entry))
                else:
                    found[greek.name] = of_shared(value, cells)
        return found

    def _by_cell(self, greek: _Greek, value: Any) -> Any:
        """A Greek as [..., cells, *entry]."""
        table, entry = self._place.table, [slice(None)] * len(greek.entry)
        if greek.is_by_cell:
            return value.reshape((*value.shape[: value.ndim - len(entry) - len(table)], -1, *greek.entry))
        return value[(..., None, *entry)][(..., [0] * prod(table), *entry)]

    def _greek(self, block: Block, parameter: Parameter) -> _Greek:
        is_by_cell = parameter.component_axis is not None
        entry = parameter.shape[len(self._place.table) :] if is_by_cell else parameter.shape
        columns = None if len(block.parameters) == 1 else np.flatnonzero(self._place.shared != is_by_cell)
        return _Greek(block.joint.name, self._name(parameter.name), is_by_cell, entry, columns)

    def _name(self, symbol: str) -> str:
        return f"{symbol}_{self._place.variable}"

    def _named_block(self, block: Block) -> Block:
        """The block under the model's names, components along an axis where there is one."""

        def named(parameter: Parameter) -> Parameter:
            axis = 0 if parameter.component_axis is not None and self._place.is_effect else None
            return replace(parameter, name=self._name(parameter.name), component_axis=axis)

        parameters = tuple(named(parameter) for parameter in block.parameters)
        return Block(parameters, parameters[0] if len(parameters) == 1 else named(block.joint))
