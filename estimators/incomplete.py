"""Rows with missing entries, summed and integrated out exactly.

A missing entry that causes nothing known integrates to 1: its own factor is dropped. Any other is summed over its
levels where it is discrete, and integrated where it is Gaussian. Given Z and the levels, a row's log density is a
quadratic in its numbers x, and so is every feature of a Gaussian variable: ``Φ(x) = T · (1, x_i, x_i x_j)``, with T
read off Φ at as many points as it has columns. From there on `quadratic` needs the coefficients ``C T`` alone, and
returns the moments of (1, x_i, x_i x_j), of which T makes the expected features.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from estimators.mechanisms.base import Reference
from estimators.missing import Missing
from estimators.nodes import WEIGHTS, Node, Weights
from estimators.parameters import Array
from estimators.quadratic import Integrated, Patterns, design, form, integrated

# Numbers in the matrices of the rows that are taken at one time.
MOST_NUMBERS = 2_000_000
# Of the size of a column: a component narrower than this is met in steps of it.
LEAST_STEP = 1e-13
Terms = Mapping[str, Weights | Node]


class IncompleteRows:
    """The E-step over rows with missing entries, some thousand rows at a time."""

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
        self.index = np.flatnonzero(missing.incomplete)
        size = sum(node.mechanism.num_columns or 1 for node in nodes.values() if not node.mechanism.num_levels)
        step = max(MOST_NUMBERS // max(size, 1) ** 2, 1)
        self._parts = [
            _Part(self._terms, nodes, missing, self.index[start : start + step], latent, row_weights, references)
            for start in range(0, len(self.index), step)
        ]

    def statistics(
        self, coefficients: Mapping[str, Array], references: Mapping[str, Reference]
    ) -> tuple[float, dict[str, Array]]:
        """Σ w ℓ and S by term [K, F]."""
        value, sums = 0.0, {name: np.zeros((self.K, term.width)) for name, term in self._terms.items()}
        for part in self._parts:
            joint, integrals = part.joint(coefficients, references, self.K)
            values, shares = part.normalise(joint)
            value += float(np.sum(part.weights * values))
            for k, (expansion, integral) in enumerate(integrals):
                part.collect(shares[k] * part.weights[part.row], expansion, integral, k, sums)
        return value, sums

    def statistics_given(self, responsibilities: Array, references: Mapping[str, Reference]) -> dict[str, Array]:
        """S under given responsibilities [..., K, N]; missing entries at a value of their column, or at all levels."""
        batch = responsibilities.shape[:-2]
        sums = {name: np.zeros((*batch, self.K, term.width)) for name, term in self._terms.items()}
        for part in self._parts:
            given = responsibilities[..., part.index] * part.weights
            spread = (given / np.bincount(part.row))[..., part.row]
            for name in self._terms:
                sums[name] += np.einsum("...n,fn->...f", spread, part.features(name, references[name]))
        return sums

    def pointwise(self, coefficients: Mapping[str, Array], references: Mapping[str, Reference]) -> Array:
        """ℓ of the incomplete rows, in the order of `index`."""
        joints = ((part, part.joint(coefficients, references, self.K)[0]) for part in self._parts)
        return np.concatenate([part.normalise(joint)[0] for part, joint in joints])

    def responsibilities(self, coefficients: Mapping[str, Array], references: Mapping[str, Reference]) -> Array:
        """p(Z = k | what is known of the row) as [rows, K]."""
        joints = ((part, part.joint(coefficients, references, self.K)[0]) for part in self._parts)
        shares = ((part, part.normalise(joint)[1]) for part, joint in joints)
        return np.concatenate([np.add.reduceat(share, part.starts, axis=1).T for part, share in shares])


@dataclass(frozen=True, eq=False)
class _Expansion:
    """Gaussian terms' features as quadratics of ``v = (x - origin) / step`` in each config: T [F, G, M] by term."""

    matrices: Mapping[str, Array]
    origin: Array
    step: Array

    def coefficients(self, by_term: Mapping[str, Array], k: int) -> Array:
        """A row's log density as a quadratic of v, in each config [G, M]."""
        size = self.origin.shape[1]
        found = np.zeros((len(self.origin), len(design(size)[0])))
        for name, matrix in self.matrices.items():
            found += np.tensordot(by_term[name][k], matrix, 1)
        return found


class _Part:
    """Some rows, each once for every combination of levels of its missing discrete entries, these side by side."""

    def __init__(
        self,
        terms: Terms,
        nodes: Mapping[str, Node],
        missing: Missing,
        index: NDArray[np.intp],
        latent: NDArray[np.int64],
        row_weights: Array | None,
        references: Mapping[str, Reference],
    ) -> None:
        self.index, self._terms = index, terms
        self.weights = np.ones(len(index)) if row_weights is None else row_weights[index]
        self.row, levels = missing.combinations(nodes, index)
        self.starts = np.searchsorted(self.row, np.arange(len(index)))
        rows = index[self.row]
        self._latent = latent[rows]
        self._columns = {name: column[rows] for name, column in missing.columns.items()} | levels
        self._active = {name: mask[rows] for name, mask in missing.active.items()}
        self._gaussian = [name for name, node in nodes.items() if node.mechanism.is_gaussian]
        self._others = {name: self.features(name, references[name]) for name in terms if name not in self._gaussian}
        inputs = [parent for name in self._gaussian for parent in nodes[name].parents]
        used = [name for name in nodes if name in self._gaussian or name in inputs]
        # The numbers that Gaussian variables are quadratic in; whatever else they depend on is a row's config.
        self._numbers = [name for name in used if not nodes[name].mechanism.num_levels]
        marks = [self._columns[name] for name in used if name not in self._numbers]
        marks += [self._active[name] for name in self._gaussian if name in self._active]
        self._first, config = _distinct(marks, len(rows))
        self._x = _side_by_side([self._columns[name] for name in self._numbers], len(rows))
        gone = _side_by_side([missing.unknown(name, rows).astype(np.float64) for name in self._numbers], len(rows))
        self._patterns = Patterns.of(config, gone > 0)
        units = [references[name].location for name in self._numbers]
        origin, step = (_side_by_side([np.reshape(unit[i], (1, -1)) for unit in units], 1) for i in (0, 1))
        count = len(self._first)
        self._shared = self._expansion(references, None, np.repeat(origin, count, 0), np.repeat(step, count, 0))
        self._standard = self._standardised(self._shared)

    def features(self, name: str, reference: Reference) -> Array:
        """A term's features [F, n], with a value of its column in place of a missing number."""
        found = self._terms[name].features(self._columns, reference)
        return found * self._active[name] if name in self._active else found

    def joint(
        self, coefficients: Mapping[str, Array], references: Mapping[str, Reference], num_components: int
    ) -> tuple[Array, list[tuple[_Expansion, Integrated]]]:
        """log p(row, levels, Z = k) as [K, n], and the row's numbers given these."""
        joint, integrals = np.zeros((num_components, len(self.row))), []
        for name, features in self._others.items():
            joint += coefficients[name] @ features
        is_moved = any(references[name].by_cell for name in self._gaussian)
        for k in range(num_components):
            expansion, rows = self._shared, self._standard
            if is_moved:
                expansion = self._about_mean(coefficients, references, k)
                rows = self._standardised(expansion)
            found = integrated(rows, expansion.coefficients(coefficients, k), self._patterns)
            units = (np.log(expansion.step)[self._patterns.config_of] * self._patterns.missing).sum(1)
            joint[k] += found.value + units[self._patterns.pattern]
            joint[k, (self._latent >= 0) & (self._latent != k)] = -np.inf
            integrals.append((expansion, found))
        return joint, integrals

    def normalise(self, joint: Array) -> tuple[Array, Array]:
        """logsumexp over classes and combinations as [rows], and the softmax [K, n]."""
        largest = np.maximum.reduceat(joint.max(0), self.starts)
        shares = np.exp(joint - largest[self.row])
        total = np.add.reduceat(shares.sum(0), self.starts)
        return largest + np.log(total), shares / total[self.row]

    def collect(
        self, weights: Array, expansion: _Expansion, integral: Integrated, k: int, into: Mapping[str, Array]
    ) -> None:
        """Add Σ weights E[Φ] of component k to its statistics."""
        moments = self._patterns.moments(weights, integral.mean, integral.covariance)
        for name, matrix in expansion.matrices.items():
            into[name][k] += np.tensordot(matrix, moments, 2)
        for name, features in self._others.items():
            into[name][k] += features @ weights

    def _expansion(
        self, references: Mapping[str, Reference], component: int | None, origin: Array, step: Array
    ) -> _Expansion:
        """Read the Gaussian terms' features off at the points that settle a quadratic about `origin` [G, size]."""
        points, inverse = design(origin.shape[1])
        rows = np.repeat(self._first, len(points))
        columns = {name: column[rows] for name, column in self._columns.items()}
        at = (origin[:, None, :] + step[:, None, :] * points).reshape(len(rows), -1)
        start = 0
        for name in self._numbers:
            width = int(np.prod(columns[name].shape[1:]))
            columns[name] = at[:, start : start + width].reshape(columns[name].shape)
            start += width
        matrices = {}
        for name in self._gaussian:
            features = self._terms[name].features(columns, references[name], component)
            if name in self._active:
                features = features * self._active[name][rows]
            matrices[name] = features.reshape(len(features), len(origin), -1) @ inverse
        return _Expansion(matrices, origin, step)

    def _about_mean(self, coefficients: Mapping[str, Array], references: Mapping[str, Reference], k: int) -> _Expansion:
        """The expansion about a component's own mean in units of its own spread, where the column's lose digits.

        Both are found in the column's units, as well as these allow, and once more about what was found.
        """
        expansion = self._shared
        for _ in range(2):
            moved = self._expansion(references, k, expansion.origin, expansion.step)
            _, linear, matrix = form(moved.coefficients(coefficients, k), moved.origin.shape[1])
            spread = np.diagonal(matrix, axis1=1, axis2=2)
            spread = np.sqrt(np.where(spread > 0, spread, 1.0))
            scaled = matrix / (spread[:, :, None] * spread[:, None, :])
            mean = (np.linalg.pinv(scaled, hermitian=True) @ (linear / spread)[..., None])[..., 0] / spread
            origin = moved.origin + moved.step * mean
            # Points nearer than this are not told apart.
            least = LEAST_STEP * np.maximum(np.abs(origin), self._shared.step)
            expansion = _Expansion({}, origin, np.maximum(moved.step / spread, least))
        return self._expansion(references, k, expansion.origin, expansion.step)

    def _standardised(self, expansion: _Expansion) -> Array:
        """The rows' numbers as v, 0 where they are missing."""
        config, missing = self._patterns.config, self._patterns.missing[self._patterns.pattern]
        return np.asarray((self._x - expansion.origin[config]) / expansion.step[config] * (1.0 - missing))


def _distinct(marks: list[Array], num_rows: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The first row of each combination of marks [G], and which of them each row has [n]."""
    if not marks:
        return np.zeros(1, dtype=np.intp), np.zeros(num_rows, dtype=np.intp)
    _, first, which = np.unique(np.stack(marks, 1), axis=0, return_index=True, return_inverse=True)
    return first, which.reshape(-1)


def _side_by_side(columns: list[Array], num_rows: int) -> Array:
    """Columns [n] and columns of vectors [n, D] as one [n, size]."""
    parts = [np.zeros((num_rows, 0)), *(column.reshape(num_rows, -1) for column in columns)]
    return np.concatenate(parts, 1)
