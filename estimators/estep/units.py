"""Rows of one unit share one Z: L is summed within units, and responsibilities of units are those of their rows.

What is one value a unit has its term in the first row of each: the weights of Z, and the laws of its causes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estimators.data.data import LATENT
from estimators.estep.variable import Node
from estimators.estep.weights import Weights
from estimators.optimise.arrays import Array

Index = NDArray[np.integer[Any]] | slice
Numbers = NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class Grouped:
    """Rows that are sorted by unit: where each unit begins [u], and which unit each row is of [n]."""

    starts: Numbers
    of_row: Numbers

    @classmethod
    def of(cls, units: Numbers) -> "Grouped":
        """Of the units' numbers [n]."""
        begins = np.append(True, units[1:] != units[:-1])[: len(units)]
        return cls(np.flatnonzero(begins), np.cumsum(begins) - 1)

    def total(self, values: Array) -> Array:
        """Values [..., n] summed within units, [..., u]."""
        return np.add.reduceat(values, self.starts, axis=-1) if len(self.starts) else values

    def spread(self, values: Array) -> Array:
        """Values of units [..., u] on their rows [..., n]."""
        return np.asarray(values[..., self.of_row])

    def first(self, values: Array) -> Array:
        """What is one value a unit, of rows [n], as [u]."""
        return np.asarray(values[self.starts])

    def log_total(self, logs: Array) -> Array:
        """The logarithm of Σ exp within units, [..., u]."""
        largest, total = self._scaled(logs)[1:]
        with np.errstate(divide="ignore"):
            return largest + np.log(total)

    def divided(self, logs: Array, shares: Array) -> Array:
        """Shares of units [..., u] divided among their rows [..., n] in proportion to exp of the logs."""
        parts, _, total = self._scaled(logs)
        return np.asarray(parts * np.where(total > 0, shares / np.where(total > 0, total, 1.0), 0.0)[..., self.of_row])

    def _scaled(self, logs: Array) -> tuple[Array, Array, Array]:
        """exp(log - the unit's largest) [..., n], the largest [..., u], 0 for one of -inf, and the sum [..., u]."""
        largest = np.maximum.reduceat(logs, self.starts, axis=-1)
        largest = np.where(np.isfinite(largest), largest, 0.0)
        parts = np.exp(logs - largest[..., self.of_row])
        return parts, largest, np.add.reduceat(parts, self.starts, axis=-1)


class EachRow:
    """Rows that are units by themselves."""

    def total(self, values: Array) -> Array:
        """The values."""
        return values

    spread = first = log_total = total

    def divided(self, logs: Array, shares: Array) -> Array:
        """The shares."""
        return shares


def grouped(units: Numbers | None) -> Grouped | EachRow:
    """The units of rows that are sorted by them; None where each row is one."""
    return EachRow() if units is None else Grouped.of(units)


def parts_of(units: Numbers | None, num_rows: int, step: int) -> list[Index]:
    """About ``step`` rows at a time, whole units, sorted by these; one part without rows where there are none."""
    if units is None or not num_rows:
        return [slice(start, start + step) for start in range(0, max(num_rows, 1), step)]
    order = np.argsort(units, kind="stable")
    cuts = np.flatnonzero(np.diff(part_numbers(units[order], step))) + 1
    return list(np.split(order, cuts))


def part_numbers(units: Numbers, step: int) -> Numbers:
    """Which part of about ``step`` rows each row is in [n], of rows that are sorted by unit."""
    own = Grouped.of(units)
    return (own.starts // step)[own.of_row]


def above_latent(weights: Weights, nodes: Mapping[str, Node]) -> list[str]:
    """The causes of Z and their own causes, which are one value a unit."""
    found = set(weights.parents)
    for name in reversed(list(nodes)):
        if name in found:
            found |= set(nodes[name].parents)
    return [name for name in nodes if name in found]


def once_a_unit(weights: Weights, nodes: Mapping[str, Node]) -> list[int]:
    """The slots of terms that count once a unit: of the weights of Z, and of what is above it."""
    above = above_latent(weights, nodes)
    return [slot for slot, name in enumerate((LATENT, *nodes)) if name == LATENT or name in above]
