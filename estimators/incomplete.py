"""Rows with missing entries, summed and integrated out exactly.

A missing entry that causes nothing known integrates to 1: its own factor is dropped. Any other is summed over its
levels where it is discrete, and integrated where it is Gaussian. Given Z and the levels, a row's log density is a
quadratic in its missing Gaussian entries u, ``f(u) = f(0) + b·u - u'Qu/2``, read off f at 1 + 2d + d(d-1)/2 points;

    log ∫ exp f du = f(0) + b'Q⁻¹b/2 + (d/2) log 2π - log|Q|/2,        u | rest ~ Normal(Q⁻¹b, Q⁻¹)

and the features, quadratic too, have their expectation as the mean over the 2d points ``Q⁻¹b ± √d A eᵢ`` with
``A A' = Q⁻¹``: the cubature of degree 3 (Stroud 1971), exact here.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from estimators.data import LATENT, Data
from estimators.mechanisms.base import Reference
from estimators.nodes import WEIGHTS, Node, Weights
from estimators.parameters import Array

# Combinations of levels of a row's missing discrete entries.
MOST_COMBINATIONS = 4096
# Times that a row's quadratic is read off, each about the mean and in the spread that the last one found.
PASSES = 2
# A missing entry: its column, and its place in a column of vectors.
Entry = tuple[str, int | None]


class Missing:
    """Which entries of a data set are missing, and what that leaves: columns without NaN, and terms that count.

    ``active`` is 0 where an entry's own factor is left out (set, or missing and causing nothing known); ``incomplete``
    marks the rows with an entry to sum or integrate out. Raises ValueError, naming the column, for one that cannot be.
    """

    def __init__(self, weights: Weights, nodes: Mapping[str, Node], data: Data) -> None:
        self.entries = {name: data.is_missing(name).numpy() for name in nodes}
        whole = {name: mask.reshape(len(mask), -1).all(1) for name, mask in self.entries.items()}
        some = {name: mask.reshape(len(mask), -1).any(1) for name, mask in self.entries.items()}
        self._some = some
        is_set = {name: data.is_set(name).numpy() for name in (*nodes, LATENT)}
        children: dict[str, list[str]] = {name: [] for name in nodes}
        for name, node in nodes.items():
            for parent in node.parents:
                children[parent].append(name)
        left_out = {LATENT: is_set[LATENT]}
        for name in reversed(list(nodes)):
            mine = [*children[name], *([LATENT] if name in weights.parents else [])]
            barren = whole[name] & np.all([left_out[child] for child in mine], axis=0) if mine else whole[name]
            left_out[name] = is_set[name] | barren
        self.active = {(WEIGHTS if n == LATENT else n): 1.0 - mask for n, mask in left_out.items() if mask.any()}
        self.incomplete = np.any([some[name] & ~left_out[name] for name in nodes], axis=0)
        self.columns = {name: _filled(data.columns[name].double().numpy(), self.entries[name]) for name in nodes}
        for name, node in nodes.items():
            summed = some[name] & ~left_out[name]
            if summed.any() and not (node.mechanism.num_levels or node.mechanism.is_gaussian):
                raise ValueError(
                    f"column {name}: missing in row {int(np.flatnonzero(summed)[0])}, where what it causes is known; "
                    f"a {type(node.mechanism).__name__} takes infinitely many values that have no sum in closed form; "
                    "drop these rows"
                )

    def lacks(self, *names: str) -> NDArray[np.bool_]:
        """The rows where one of the entries is missing [N]."""
        return np.asarray(np.any([self._some[name] for name in names], axis=0))

    def patterns(self) -> dict[tuple[Entry, ...], NDArray[np.intp]]:
        """The incomplete rows by the entries that are to be summed or integrated out."""
        masks: dict[Entry, NDArray[np.bool_]] = {}
        for name, entries in self.entries.items():
            counts = self.active.get(name, np.ones(len(entries))) > 0
            mask = entries & counts.reshape(-1, *[1] * (entries.ndim - 1))
            if mask.ndim == 1:
                masks[name, None] = mask
            else:
                masks |= {(name, place): mask[:, place] for place in range(mask.shape[1])}
        used = {entry: mask for entry, mask in masks.items() if mask.any()}
        index = np.flatnonzero(self.incomplete)
        table = np.stack([mask[index] for mask in used.values()], 1)
        found: dict[tuple[Entry, ...], list[int]] = {}
        for row, pattern in zip(index, table, strict=True):
            found.setdefault(tuple(entry for entry, gone in zip(used, pattern, strict=True) if gone), []).append(
                int(row)
            )
        return {pattern: np.array(rows) for pattern, rows in found.items()}


class IncompleteRows:
    """The E-step over rows with missing entries: one pattern of them, one component at a time."""

    def __init__(
        self,
        weights: Weights,
        nodes: Mapping[str, Node],
        num_components: int,
        missing: Missing,
        latent: NDArray[np.int64],
        row_weights: Array | None,
        references: Mapping[str, Reference],
    ) -> None:
        self._terms: dict[str, Weights | Node] = {WEIGHTS: weights, **nodes}
        self.K = num_components
        units = {name: reference.location for name, reference in references.items()}
        self._blocks = [
            _Block(pattern, rows, self._terms, nodes, missing, latent, row_weights, units)
            for pattern, rows in missing.patterns().items()
        ]
        self.index = np.concatenate([block.index for block in self._blocks])

    def statistics(
        self, coefficients: Mapping[str, Array], references: Mapping[str, Reference]
    ) -> tuple[float, dict[str, Array]]:
        """Σ w ℓ and S by term [K, F]."""
        value, sums = 0.0, {name: np.zeros((self.K, term.width)) for name, term in self._terms.items()}
        for block in self._blocks:
            joint, integrals = block.joint(coefficients, references, self.K)
            values, shares = _normalise(joint)
            value += float(np.sum(block.weights * values))
            for k, integral in enumerate(integrals):
                weights = (shares[k] * block.weights[:, None]).reshape(-1)
                block.collect(weights, integral, k, references, sums)
        return value, sums

    def statistics_given(self, responsibilities: Array, references: Mapping[str, Reference]) -> dict[str, Array]:
        """S under given responsibilities [..., K, N]; missing entries at a value of their column, or at all levels."""
        batch = responsibilities.shape[:-2]
        sums = {name: np.zeros((*batch, self.K, term.width)) for name, term in self._terms.items()}
        for block in self._blocks:
            given = responsibilities[..., block.index] * block.weights
            spread = np.repeat(given / block.num_combinations, block.num_combinations, axis=-1)
            for name in self._terms:
                sums[name] += np.einsum("...n,fn->...f", spread, block.features(name, references[name], None, None))
        return sums

    def pointwise(self, coefficients: Mapping[str, Array], references: Mapping[str, Reference]) -> Array:
        """ℓ of the incomplete rows, in the order of `index`."""
        joints = (block.joint(coefficients, references, self.K)[0] for block in self._blocks)
        return np.concatenate([_normalise(joint)[0] for joint in joints])

    def responsibilities(self, coefficients: Mapping[str, Array], references: Mapping[str, Reference]) -> Array:
        """p(Z = k | what is known of the row) as [rows, K]."""
        joints = (block.joint(coefficients, references, self.K)[0] for block in self._blocks)
        return np.concatenate([_normalise(joint)[1].sum(-1).T for joint in joints])


@dataclass(frozen=True)
class _Integral:
    """Missing Gaussian entries given the rest: mean [n, d], and a root A of their covariance A A' [n, d, d]."""

    mean: Array
    root: Array

    def points(self) -> Iterator[Array]:
        """The 2d points of the cubature, [n, d] each."""
        size = self.mean.shape[1]
        for place in range(size):
            move = np.sqrt(size) * self.root[:, :, place]
            yield self.mean + move
            yield self.mean - move


class _Block:
    """Rows with the same entries missing, each once for every combination of levels of the discrete ones."""

    def __init__(
        self,
        pattern: tuple[Entry, ...],
        index: NDArray[np.intp],
        terms: Mapping[str, Weights | Node],
        nodes: Mapping[str, Node],
        missing: Missing,
        latent: NDArray[np.int64],
        row_weights: Array | None,
        units: Mapping[str, tuple[Any, Any]],
    ) -> None:
        self.index, self._terms = index, terms
        # The centre and scale in whose units each column is integrated.
        self._units = units
        self.weights = np.ones(len(index)) if row_weights is None else row_weights[index]
        levels = {name: nodes[name].mechanism.num_levels for name, _ in pattern}
        discrete = {name: count for name, count in levels.items() if count}
        self._continuous = [entry for entry in pattern if entry[0] not in discrete]
        combinations = list(product(*(range(count) for count in discrete.values())))
        self.num_combinations = len(combinations)
        if self.num_combinations > MOST_COMBINATIONS:
            raise ValueError(
                f"columns {list(discrete)}: missing together in row {int(index[0])}, which makes "
                f"{self.num_combinations} combinations to sum over, more than {MOST_COMBINATIONS}; drop these rows"
            )
        repeated = np.repeat(index, self.num_combinations)
        self._columns = {name: column[repeated] for name, column in missing.columns.items()}
        for place, name in enumerate(discrete):
            self._columns[name] = np.tile([float(choice[place]) for choice in combinations], len(index))
        self._active = {name: mask[repeated] for name, mask in missing.active.items()}
        self._latent = latent[index]

    def features(
        self, name: str, reference: Reference, component: int | None, fill: Mapping[str, Array] | None
    ) -> Array:
        """A term's features [F, n * combinations], with the missing Gaussian entries filled in."""
        found = self._terms[name].features({**self._columns, **(fill or {})}, reference, component)
        return found * self._active[name] if name in self._active else found

    def joint(
        self, coefficients: Mapping[str, Array], references: Mapping[str, Reference], num_components: int
    ) -> tuple[Array, list[_Integral | None]]:
        """log p(row, levels, Z = k) as [K, n, combinations], and the missing Gaussian entries given these."""
        values, integrals = [], []
        for k in range(num_components):
            value, integral = self._integrated(coefficients, references, k)
            value = value.reshape(len(self.index), self.num_combinations)
            impossible = (self._latent >= 0) & (self._latent != k)
            values.append(np.where(impossible[:, None], -np.inf, value))
            integrals.append(integral)
        return np.stack(values), integrals

    def collect(
        self,
        weights: Array,
        integral: _Integral | None,
        k: int,
        references: Mapping[str, Reference],
        into: Mapping[str, Array],
    ) -> None:
        """Add Σ weights E[Φ] of component k to its statistics."""
        fills = [None] if integral is None else [self._fill(point) for point in integral.points()]
        for fill in fills:
            for name in self._terms:
                features = self.features(name, references[name], k, fill)
                into[name][k] += (features * (weights / len(fills))).sum(-1)

    def _integrated(
        self, coefficients: Mapping[str, Array], references: Mapping[str, Reference], k: int
    ) -> tuple[Array, _Integral | None]:
        """log ∫ exp f, and the missing entries given the rest.

        f is read off about their own mean, in units of their own spread, which may be far smaller than the column's:
        found in a first pass in the column's units.
        """
        size, num_rows = len(self._continuous), len(self.index) * self.num_combinations

        def log_joint(point: Array | None) -> Array:
            fill = None if point is None else self._fill(point)
            total = np.zeros(num_rows)
            for name in self._terms:
                total += coefficients[name][k] @ self.features(name, references[name], k, fill)
            return total

        if not size:
            return log_joint(None), None
        units = np.array([self._unit(entry) for entry in self._continuous])
        centre, step = (np.tile(part, (num_rows, 1)) for part in units.T)
        for number in range(PASSES):
            middle, slope, curvature = _quadratic(log_joint, centre, step)
            values, vectors = np.linalg.eigh(curvature)
            # Rounding must not leave a direction without spread.
            values = np.maximum(values, 1e-12 * np.maximum(values[:, -1:], 1e-300))
            mean = (vectors @ (np.swapaxes(vectors, 1, 2) @ slope[..., None] / values[..., None]))[..., 0]
            if number == PASSES - 1:
                break
            spread = np.diagonal(curvature, axis1=1, axis2=2)
            centre = centre + step * mean
            step = step / np.sqrt(np.where(spread > 0, spread, 1.0))
        value = middle + 0.5 * (slope * mean).sum(-1) - 0.5 * np.log(values).sum(-1)
        value += 0.5 * size * np.log(2.0 * np.pi) + np.log(step).sum(-1)
        root = step[:, :, None] * vectors / np.sqrt(values)[:, None, :]
        return value, _Integral(centre + step * mean, root)

    def _unit(self, entry: Entry) -> tuple[float, float]:
        (centre, scale), place = self._units[entry[0]], entry[1]
        return (float(centre), float(scale)) if place is None else (float(centre[place]), float(scale[place]))

    def _fill(self, point: Array) -> dict[str, Array]:
        """The columns with missing entries filled in from points [n, d]."""
        filled: dict[str, Array] = {}
        for position, (name, place) in enumerate(self._continuous):
            if place is None:
                filled[name] = point[:, position]
            else:
                filled.setdefault(name, self._columns[name].copy())[:, place] = point[:, position]
        return filled


def _quadratic(log_joint: Callable[[Array], Array], centre: Array, step: Array) -> tuple[Array, Array, Array]:
    """f(centre), its slope [n, d] and minus its second derivatives [n, d, d] in steps, exact for a quadratic f."""
    num_rows, size = centre.shape
    moves = step[:, None, :] * np.eye(size)
    middle = log_joint(centre)
    ahead, behind = ([log_joint(centre + sign * moves[:, i]) for i in range(size)] for sign in (1.0, -1.0))
    slope, curvature = np.empty((num_rows, size)), np.empty((num_rows, size, size))
    for i in range(size):
        slope[:, i] = 0.5 * (ahead[i] - behind[i])
        curvature[:, i, i] = 2.0 * middle - ahead[i] - behind[i]
        for j in range(i):
            both = ahead[i] + ahead[j] - middle - log_joint(centre + moves[:, i] + moves[:, j])
            curvature[:, i, j] = curvature[:, j, i] = both
    return middle, slope, curvature


def _filled(column: Array, gone: NDArray[np.bool_]) -> Array:
    """The column with a present value in place of every missing one."""
    if not gone.any():
        return column
    found = column.copy()
    for place in np.ndindex(column.shape[1:]):
        part, lost = found[(slice(None), *place)], gone[(slice(None), *place)]
        part[lost] = part[~lost][0] if not lost.all() else 0.0
    return found


def _normalise(joint: Array) -> tuple[Array, Array]:
    """logsumexp over (k, combination) as [n], and the softmax [K, n, combinations]."""
    value = logsumexp(joint, axis=(0, 2))
    return value, np.exp(joint - value[None, :, None])
