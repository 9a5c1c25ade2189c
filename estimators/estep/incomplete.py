"""Rows with missing entries, summed and integrated out exactly.

A missing entry that causes nothing known integrates to 1: its own factor is dropped. Any other is summed over its
levels where it is discrete, and integrated where it is Gaussian. Given Z and the levels, each Gaussian variable has a
standardised residual that is affine in a row's numbers x; `residuals` integrates in these residuals u. Features of a
Gaussian variable are quadratic, ``Φ(x) = T · (1, u_i, u_i u_j)``, with T read off Φ at as many points as it has
columns: so the moments of u given what is known make the expected features.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from estimators.estep.missing import Missing
from estimators.estep.residuals import Integrated, Patterns, Residuals, design, form, integrated, regression
from estimators.estep.variable import Node
from estimators.estep.weights import WEIGHTS, Weights
from estimators.mechanisms.protocol import Reference
from estimators.parameters.parameter import Array

# Numbers in the matrices of the rows that are taken at one time.
MOST_NUMBERS = 2_000_000
# Of a column's own unit: the points at which features are read off are no further out, where squares overflow.
FURTHEST = 1e100
Terms = Mapping[str, Weights | Node]


@dataclass(frozen=True, eq=False)
class Coefficients:
    """C [K, F] by term, about the references, and about those that all cells share (``shared``)."""

    by_term: Mapping[str, Array]
    references: Mapping[str, Reference]
    shared: Mapping[str, Array]


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
        step = max(MOST_NUMBERS // (max(size, 1) ** 2 * num_components), 1)
        self._parts = [
            _Part(self._terms, nodes, missing, self.index[start : start + step], latent, row_weights, references)
            for start in range(0, len(self.index), step)
        ]

    def statistics(self, coefficients: Coefficients) -> tuple[float, dict[str, Array]]:
        """Σ w ℓ and S by term [K, F]."""
        value, sums = 0.0, {name: np.zeros((self.K, term.width)) for name, term in self._terms.items()}
        for part in self._parts:
            joint, residuals, integral = part.joint(coefficients)
            values, shares = part.normalise(joint)
            value += float(np.sum(part.weights * values))
            part.collect(shares * part.weights[part.row], residuals, integral, coefficients.references, sums)
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

    def pointwise(self, coefficients: Coefficients) -> Array:
        """ℓ of the incomplete rows, in the order of `index`."""
        joints = ((part, part.joint(coefficients)[0]) for part in self._parts)
        return np.concatenate([part.normalise(joint)[0] for part, joint in joints])

    def responsibilities(self, coefficients: Coefficients) -> Array:
        """p(Z = k | what is known of the row) as [rows, K]."""
        joints = ((part, part.joint(coefficients)[0]) for part in self._parts)
        shares = ((part, part.normalise(joint)[1]) for part, joint in joints)
        return np.concatenate([np.add.reduceat(share, part.starts, axis=1).T for part, share in shares])


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
        self._units = Residuals.in_units(np.repeat(origin, count, 0), np.repeat(step, count, 0))
        self._in_units = self._expanded(references, None, self._units)
        widths = [int(np.prod(self._columns[name].shape[1:])) for name in self._numbers]
        ends = np.cumsum(widths)
        self._slots = {name: slice(e - w, e) for name, e, w in zip(self._numbers, ends, widths, strict=True)}
        # 1 for a number with a mechanism's factor of its own, 0 for one that was set or is no Gaussian variable's.
        self._has_law = np.zeros(self._units.origin.shape)
        for name in self._gaussian:
            law = self._active[name][self._first, None] if name in self._active else 1.0
            self._has_law[:, self._slots[name]] = law

    def features(self, name: str, reference: Reference) -> Array:
        """A term's features [F, n], with a value of its column in place of a missing number."""
        found = self._terms[name].features(self._columns, reference)
        return found * self._active[name] if name in self._active else found

    def joint(self, coefficients: Coefficients) -> tuple[Array, Residuals, Integrated]:
        """log p(row, levels, Z = k) as [K, n], and the row's residuals given these."""
        residuals = self._residuals(coefficients)
        integral = integrated(self._x, residuals, self._has_law, self._patterns)
        joint = integral.value
        for name, features in self._others.items():
            joint = joint + coefficients.by_term[name] @ features
        is_other = (self._latent >= 0) & (self._latent != np.arange(len(joint))[:, None])
        return np.where(is_other, -np.inf, joint), residuals, integral

    def normalise(self, joint: Array) -> tuple[Array, Array]:
        """logsumexp over classes and combinations as [rows], and the softmax [K, n]."""
        largest = np.maximum.reduceat(joint.max(0), self.starts)
        shares = np.exp(joint - largest[self.row])
        total = np.add.reduceat(shares.sum(0), self.starts)
        return largest + np.log(total), shares / total[self.row]

    def collect(
        self,
        weights: Array,
        residuals: Residuals,
        integral: Integrated,
        references: Mapping[str, Reference],
        into: Mapping[str, Array],
    ) -> None:
        """Add Σ weights [K, n] E[Φ] to the statistics."""
        for k, weight in enumerate(weights):
            own = residuals.of_component(k)
            step = self._steps(own)
            mean, covariance = integral.mean[k], integral.covariance[k]
            if (step < 1.0).any():
                each = step[self._patterns.config_of]
                mean = mean / step[self._patterns.config]
                covariance = covariance / (each[:, :, None] * each[:, None, :])
            moments = self._patterns.moments(weight, mean, covariance)
            for name, matrix in self._expanded(references, k, own.in_steps(step)).items():
                into[name][k] += np.tensordot(matrix, moments, 2)
        for name, features in self._others.items():
            into[name][:] += weights @ features.T

    def _steps(self, residuals: Residuals) -> Array:
        """How much of a unit of each residual moves no number further than FURTHEST, as [G, size], at most 1."""
        unit = np.diagonal(self._units.inverse, axis1=1, axis2=2)
        reach = np.abs(residuals.inverse / unit[:, :, None]).max(1)
        return np.asarray(FURTHEST / np.maximum(reach, FURTHEST))

    def _expanded(
        self, references: Mapping[str, Reference], component: int | None, residuals: Residuals
    ) -> dict[str, Array]:
        """The Gaussian terms' features as quadratics of u in each config: T [F, G, M] by term."""
        points, inverse = design(residuals.origin.shape[1])
        rows = np.repeat(self._first, len(points))
        columns = {name: column[rows] for name, column in self._columns.items()}
        at = residuals.at(points).reshape(len(rows), -1)
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
            matrices[name] = features.reshape(len(features), len(residuals.origin), -1) @ inverse
        return matrices

    def _residuals(self, coefficients: Coefficients) -> Residuals:
        """The residuals of each component and config, read off the coefficients in the columns' units.

        Where these lose digits of the means, these are read once more about what was found.
        """
        shape = (len(coefficients.shared[WEIGHTS]), *self._units.origin.shape)
        factor = np.broadcast_to(np.eye(shape[-1]), (*shape, shape[-1])).copy()
        shift = np.zeros(shape)
        for name, matrix in self._in_units.items():
            own = self._slots[name]
            law = self._has_law[:, own.start] > 0
            linear, quadratic = form(np.tensordot(coefficients.shared[name], matrix[:, law], 1), shape[-1])
            factor[:, law, own], shift[:, law, own] = regression(linear, quadratic, own)
        found = self._units.standardised(factor, shift)
        if coefficients.shared is coefficients.by_term:
            return found
        for k in range(len(shift)):
            step = self._steps(found.of_component(k))
            expanded = self._expanded(coefficients.references, k, found.of_component(k).in_steps(step))
            for name, matrix in expanded.items():
                linear, _ = form(np.tensordot(coefficients.by_term[name][k], matrix, 1), shape[-1])
                own = self._slots[name]
                shift[k, :, own] = linear[:, own] / step[:, own]
        return replace(found, offset=shift)


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
