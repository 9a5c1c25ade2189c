"""Rows with missing entries, summed and integrated out exactly.

A missing entry that causes nothing known integrates to 1: its own factor is dropped. Any other is summed over its
levels where it is discrete, and integrated where it is Gaussian. Given Z and the levels, each Gaussian variable has a
standardised residual that is affine in a row's numbers x, in the columns' own units (`equations`), so that no row has a
part in another's; `residuals` integrates in these residuals u. Features of a Gaussian variable are products of forms
``A (1, u)``, so the moments of u given what is known make the expected features: ``E[Φ] = A E[(1, u) (1, u)'] A'``.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from estimators.data.data import Data
from estimators.estep.equations import Equations, Solved
from estimators.estep.missing import Missing
from estimators.estep.residuals import Integrated, Patterns, integrated
from estimators.estep.variable import Node
from estimators.estep.weights import WEIGHTS, Weights
from estimators.mechanisms.protocol import Greeks, Reference
from estimators.parameters.parameter import Array

# Numbers in the matrices of the rows that are taken at one time.
MOST_NUMBERS = 2_000_000
Terms = Mapping[str, Weights | Node]


@dataclass(frozen=True, eq=False)
class Coefficients:
    """C [K, F] by term about the references, and the Greeks that they are of."""

    by_term: Mapping[str, Array]
    references: Mapping[str, Reference]
    greeks: Greeks


class IncompleteRows:
    """The E-step over rows with missing entries, some thousand rows at a time."""

    def __init__(
        self,
        weights: Weights,
        nodes: Mapping[str, Node],
        num_components: int,
        missing: Missing,
        data: Data,
        references: Mapping[str, Reference],
    ) -> None:
        self._terms: dict[str, Weights | Node] = {WEIGHTS: weights, **nodes}
        self.K = num_components
        self.index = np.flatnonzero(missing.incomplete)
        size = sum(node.mechanism.num_columns or 1 for node in nodes.values() if not node.mechanism.num_levels)
        step = max(MOST_NUMBERS // (max(size, 1) ** 2 * num_components), 1)
        self._parts = [
            _Part(self._terms, nodes, num_components, missing, self.index[start : start + step], data, references)
            for start in range(0, len(self.index), step)
        ]

    def statistics(self, coefficients: Coefficients) -> tuple[float, dict[str, Array]]:
        """Σ w ℓ and S by term [K, F]."""
        value, sums = 0.0, {name: np.zeros((self.K, term.width)) for name, term in self._terms.items()}
        for part in self._parts:
            joint, solved, integral = part.joint(coefficients)
            values, shares = part.normalise(joint)
            value += float(np.sum(part.weights * values))
            part.collect(shares * part.weights[part.row], solved, integral, coefficients.references, sums)
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
        num_components: int,
        missing: Missing,
        index: NDArray[np.intp],
        data: Data,
        references: Mapping[str, Reference],
    ) -> None:
        self.index, self._terms = index, terms
        self.weights = np.ones(len(index)) if data.weights is None else data.weights.numpy()[index]
        self.row, levels = missing.combinations(nodes, index)
        self.starts = np.searchsorted(self.row, np.arange(len(index)))
        rows = index[self.row]
        self._latent = data.latent().numpy()[rows]
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
        widths = [int(np.prod(self._columns[name].shape[1:])) for name in self._numbers]
        ends = np.cumsum(widths)
        slots = {name: slice(e - w, e) for name, e, w in zip(self._numbers, ends, widths, strict=True)}
        # 1 for a number with a mechanism's factor of its own, 0 for one that was set or is no Gaussian variable's.
        self._has_law = np.zeros((len(self._first), self._x.shape[1]))
        for name in self._gaussian:
            law = self._active[name][self._first, None] if name in self._active else 1.0
            self._has_law[:, slots[name]] = law
        self._shift, self._step = _frame(self._x, self._has_law, config)
        gaussian = [nodes[name] for name in self._gaussian]
        at_first = {name: column[self._first] for name, column in self._columns.items()}
        self._equations = Equations(gaussian, at_first, slots, self._has_law, num_components)

    def features(self, name: str, reference: Reference, component: int | None = None) -> Array:
        """A term's features [F, n], with a value of its column in place of a missing number."""
        found = self._terms[name].features(self._columns, reference, component)
        return found * self._active[name] if name in self._active else found

    def joint(self, coefficients: Coefficients) -> tuple[Array, Solved, Integrated]:
        """log p(row, levels, Z = k) as [K, n], and the row's residuals given these."""
        solved = self._equations.solve(coefficients.greeks)
        integral = integrated(self._x, solved.residuals, self._has_law, self._patterns)
        joint = integral.value
        for name, shared in self._others.items():
            own, reference = coefficients.by_term[name], coefficients.references[name]
            if reference.by_cell:
                joint = joint + np.stack([c @ self.features(name, reference, k) for k, c in enumerate(own)])
            else:
                joint = joint + own @ shared
        is_other = (self._latent >= 0) & (self._latent != np.arange(len(joint))[:, None])
        return np.where(is_other, -np.inf, joint), solved, integral

    def normalise(self, joint: Array) -> tuple[Array, Array]:
        """logsumexp over classes and combinations as [rows], and the softmax [K, n]."""
        largest = np.maximum.reduceat(joint.max(0), self.starts)
        shares = np.exp(joint - largest[self.row])
        total = np.add.reduceat(shares.sum(0), self.starts)
        return largest + np.log(total), shares / total[self.row]

    def collect(
        self,
        weights: Array,
        solved: Solved,
        integral: Integrated,
        references: Mapping[str, Reference],
        into: Mapping[str, Array],
    ) -> None:
        """Add Σ weights [K, n] E[Φ] to the statistics."""
        given = zip(weights, integral.mean, integral.covariance, strict=True)
        moments = np.stack([self._moments(*parts) for parts in given])
        for variable, forms in self._equations.forms(solved, self._shift, self._step, references):
            first, second = variable.node.products
            sums = (forms @ moments @ np.swapaxes(forms, -1, -2))[..., first, second]
            by_level = into[variable.node.name].reshape(len(weights), -1, len(first))
            for level, law, own in zip(variable.level, variable.has_law, np.swapaxes(sums, 0, 1), strict=True):
                by_level[:, level] += own * law
        for name, shared in self._others.items():
            if references[name].by_cell:
                for k, weight in enumerate(weights):
                    into[name][k] += self.features(name, references[name], k) @ weight
            else:
                into[name][:] += weights @ shared.T

    def _moments(self, weights: Array, mean: Array, covariance: Array) -> Array:
        """Σ weights E[(1, u) (1, u)'] of one component, u less the shift and in steps."""
        if not self._has_law.all():
            config = self._patterns.config
            mean = (mean - self._shift[config]) / self._step[config]
        return self._patterns.moments(weights, mean, covariance)


def _frame(numbers: Array, has_law: Array, config: NDArray[np.intp]) -> tuple[Array, Array]:
    """Where numbers without a law are and how far they reach, as [G, size]; 0 and 1 for those with one.

    The middle of them, rather than their mean: one that is far leaves the others their digits.
    """
    shift, step = np.zeros(has_law.shape), np.ones(has_law.shape)
    for place in np.flatnonzero((has_law == 0).any(0)):
        is_given = has_law[:, place] == 0
        given = numbers[is_given[config], place]
        middle = np.sort(given)[len(given) // 2]
        shift[is_given, place] = middle
        step[is_given, place] = np.abs(given - middle).max() or 1.0
    return shift, step


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
