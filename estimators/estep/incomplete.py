"""Rows with missing entries, summed and integrated out exactly.

A missing entry that causes nothing known integrates to 1: its own factor is dropped. Any other is summed over its
levels where it is discrete, and integrated where it is Gaussian. Given Z and the levels, each Gaussian variable has a
standardised residual that is affine in a row's numbers x, in the columns' own units (`equations`), so that no row has a
part in another's; `residuals` integrates in these residuals u. Features of a Gaussian variable are products of forms
``A (1, u)``, so the moments of u given what is known make the expected features: ``E[Φ] = A E[(1, u) (1, u)'] A'``.
Given Z, rows are independent, so that what rows of a unit share, its L, is the sum over its rows of the log of theirs.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from estimators.estep.centring import ParameterSet
from estimators.estep.equations import Equations, Solved
from estimators.estep.missing import Missing, several_numbers
from estimators.estep.residuals import Integrated, Patterns, integrated
from estimators.estep.terms import Terms
from estimators.estep.units import grouped, parts_of
from estimators.estep.variable import Node
from estimators.mechanisms.protocol import Reference
from estimators.optimise.arrays import Array

# Numbers in the matrices of the rows that are taken at one time.
MOST_NUMBERS = 2_000_000


class IncompleteRows:
    """The E-step over rows with missing entries, some thousand rows at a time."""

    def __init__(
        self,
        terms: Terms,
        nodes: Mapping[str, Node],
        num_components: int,
        missing: Missing,
        references: Sequence[Reference],
    ) -> None:
        self._terms, self._K = terms, num_components
        # Else parameter sets have nothing of their own but coefficients, and can be taken at once.
        self._is_integrated = any(
            node.mechanism.is_gaussian or (slot in terms.log_linear and terms.log_linear[slot].is_centred)
            for slot, node in enumerate(nodes.values(), 1)
        )
        index = np.flatnonzero(missing.incomplete)
        units = missing.entries.units
        own = None if units is None else units[index]
        # The units of these rows, by their numbers.
        self.index = index if own is None else np.unique(own)
        size = sum(node.mechanism.num_columns or 1 for node in nodes.values() if not node.mechanism.num_levels)
        step = max(MOST_NUMBERS // (max(size, 1) ** 2 * num_components), 1)
        self.parts = [
            _Part(terms, nodes, num_components, missing, index[which], references)
            for which in parts_of(own, len(index), step)
        ]

    def sums(self, sets: Sequence[ParameterSet]) -> tuple[Array, dict[int, Array]]:
        """Σ w ℓ [S], and each term's sums [S, K, width]."""
        values = np.zeros(len(sets))
        sums = {slot: np.zeros((len(sets), self._K, term.width)) for slot, term in enumerate(self._terms.all)}
        if not self._is_integrated:
            for part in self.parts:
                step = max(MOST_NUMBERS // (self._K * len(part.row)), 1)
                for start in range(0, len(sets), step):
                    some = slice(start, start + step)
                    values[some] += part.sums(sets[some], {slot: own[some] for slot, own in sums.items()})
            return values, sums
        for s, one in enumerate(sets):
            own = {slot: collected[s] for slot, collected in sums.items()}
            for part in self.parts:
                joint, solved, integral = part.joint(one)
                value, shares = part.weighed(joint)
                values[s] += value
                part.collect(shares, solved, integral, one, own)
        return values, sums

    def by_unit(self, sets: Sequence[ParameterSet]) -> tuple[Array, Array]:
        """ℓ [S, u] and R [S, K, u] of the units with incomplete rows, in the order of `index`."""
        values, shares = [], []
        for one in sets:
            parts = [part.normalise(part.joint(one)[0]) for part in self.parts]
            values.append(np.concatenate([own for own, _ in parts]))
            shares.append(np.concatenate([share for _, share in parts], 1))
        return np.stack(values), np.stack(shares)

    def shares(self, sets: Sequence[ParameterSet]) -> list[Array]:
        """w R [S, K, n] of the combinations of levels of each part."""
        return [np.stack([part.shares(one) for one in sets]) for part in self.parts]

    def given(
        self, shares: Array, references: Sequence[Reference], one: ParameterSet | None
    ) -> tuple[dict[int, Array], Callable[[], list[Array]]]:
        """Sums [S, K, width] under given R [S, K, U], and what makes w R of each part.

        What is missing has its law at a parameter set given Z and the rest; without one, all levels alike.
        """
        if one is None:
            return self._sums_given(shares, references), lambda: [part.spread(shares) for part in self.parts]
        return self._sums_under(one, shares[0]), lambda: [
            part.within_classes(part.joint(one)[0], part.own(shares[0]))[None] for part in self.parts
        ]

    def _sums_under(self, one: ParameterSet, shares: Array) -> dict[int, Array]:
        """Each term's sums [K, width] under given R [K, U]; what is missing has its law given Z and the rest."""
        sums = {slot: np.zeros((self._K, term.width)) for slot, term in enumerate(self._terms.all)}
        for part in self.parts:
            joint, solved, integral = part.joint(one)
            part.collect(part.within_classes(joint, part.own(shares)), solved, integral, one, sums)
        return sums

    def _sums_given(self, shares: Array, references: Sequence[Reference]) -> dict[int, Array]:
        """Sums of log-linear terms under R [S, K, U]; missing entries at a value of their column, or at all levels."""
        sums = {s: np.zeros((*shares.shape[:-1], term.width)) for s, term in self._terms.log_linear.items()}
        for part in self.parts:
            spread = part.spread(shares)
            for slot in sums:
                sums[slot] += np.einsum("...n,fn->...f", spread, part.features(slot, references[slot]))
        return sums


class _Part:
    """Some rows, each once for every combination of levels of its missing discrete entries, these side by side."""

    def __init__(
        self,
        terms: Terms,
        nodes: Mapping[str, Node],
        num_components: int,
        missing: Missing,
        index: NDArray[np.intp],
        references: Sequence[Reference],
    ) -> None:
        self.index, self._terms, entries = index, terms, missing.entries
        self.weights = np.ones(len(index)) if entries.weights is None else entries.weights[index]
        own_units = None if entries.units is None else entries.units[index]
        self.units = grouped(own_units)
        self._numbers_of_units = index if own_units is None else np.unique(own_units)
        self.row, levels = missing.combinations(nodes, index)
        self.starts = np.searchsorted(self.row, np.arange(len(index)))
        rows = index[self.row]
        own = entries.rows(rows)
        self.columns, self.active = {**own.columns, **levels}, own.active
        self._latent = own.latent
        gaussian = {name: slot for slot, (name, node) in enumerate(nodes.items(), 1) if node.mechanism.is_gaussian}
        others = [slot for slot in terms.log_linear if slot not in gaussian.values()]
        self._others = {slot: self.features(slot, references[slot]) for slot in others}
        inputs = [parent for name in gaussian for parent in nodes[name].parents]
        used = [name for name in nodes if name in gaussian or name in inputs]
        # The numbers that Gaussian variables are quadratic in, products of several known ones last; whatever else they
        # depend on is a row's config.
        numbers = [name for name in used if not nodes[name].mechanism.num_levels]
        products = dict.fromkeys(several for name in gaussian for several in several_numbers(nodes[name], nodes))
        marks = [self.columns[name] for name in used if name not in numbers]
        marks += [self.active[slot] for slot in gaussian.values() if slot in self.active]
        self._first, config = _distinct(marks, len(rows))
        values = [self.columns[name] for name in numbers]
        values += [np.prod([self.columns[name] for name in several], 0) for several in products]
        self._x = _side_by_side(values, len(rows))
        gone = [missing.unknown(name, rows).astype(np.float64) for name in numbers]
        gone += [np.zeros(len(rows))] * len(products)
        self._patterns = Patterns.of(config, _side_by_side(gone, len(rows)) > 0)
        widths = [int(np.prod(value.shape[1:])) for value in values]
        ends, keys = np.cumsum(widths), [*((name,) for name in numbers), *products]
        slots = {key: slice(e - w, e) for key, e, w in zip(keys, ends, widths, strict=True)}
        # 1 for a number with a mechanism's factor of its own, 0 for one that was set or is no Gaussian variable's.
        self._has_law = np.zeros((len(self._first), self._x.shape[1]))
        for name, slot in gaussian.items():
            law = self.active[slot][self._first, None] if slot in self.active else 1.0
            self._has_law[:, slots[(name,)]] = law
        self._shift, self._step = _frame(self._x, self._has_law, config)
        at_first = {name: column[self._first] for name, column in self.columns.items()}
        self._gaussian = gaussian
        self._equations = Equations([nodes[name] for name in gaussian], at_first, slots, self._has_law, num_components)

    def features(self, slot: int, reference: Reference, component: int | None = None) -> Array:
        """A term's features [F, n], with a value of its column in place of a missing number."""
        return self._counted(slot, self._terms.log_linear[slot].features(self.columns, reference, component))

    def sums(self, sets: Sequence[ParameterSet], into: Mapping[int, Array]) -> Array:
        """Σ w ℓ [S] where nothing is integrated, adding each term's sums [S, K, width]."""
        coefficients = [np.stack(own) for own in zip(*(one.coefficients for one in sets), strict=True)]
        values, shares = self.weighed(self._known(self._joint_of(coefficients, self._others)))
        for slot, shared in self._others.items():
            into[slot][:] += shares @ shared.T
        self._pull_back(coefficients, shares, into)
        return values

    def weighed(self, joint: Array) -> tuple[Array, Array]:
        """Σ w ℓ [...] of a joint [..., K, n], and w R of each combination [..., K, n]."""
        of_units, shares = self.normalise(joint)
        return of_units @ self.units.first(self.weights), self.within_classes(joint, shares)

    def joint(self, one: ParameterSet) -> tuple[Array, Solved, Integrated]:
        """log p(row, levels, Z = k) as [K, n], and the row's residuals given these."""
        solved = self._equations.solve(one.greeks)
        integral = integrated(self._x, solved.residuals, self._has_law, self._patterns)
        by_cell = [slot for slot in self._others if one.references[slot].by_cell]
        plain = {slot: shared for slot, shared in self._others.items() if slot not in by_cell}
        joint = integral.value + self._joint_of([own[None] for own in one.coefficients], plain)[0]
        for slot in by_cell:
            own, reference = one.coefficients[slot], one.references[slot]
            joint = joint + np.stack([c @ self.features(slot, reference, k) for k, c in enumerate(own)])
        return self._known(joint), solved, integral

    def _joint_of(self, coefficients: Sequence[Array], shared: Mapping[int, Array]) -> Array:
        """log p [S, K, n] of what is neither integrated nor about a centre of each class."""
        joint = np.zeros((*coefficients[0].shape[:2], len(self.row)))
        for slot, features in shared.items():
            joint += coefficients[slot] @ features
        for slot, linear in self._terms.log_linear.items():
            if (offset := linear.offset(self.columns)) is not None:
                joint += self._counted(slot, offset)
        for slot, term in self._terms.general.items():
            joint += self._counted(slot, term.log_joint(coefficients[slot], self.columns))
        return joint

    def _known(self, joint: Array) -> Array:
        """log p [..., K, n], in a row whose Z is known that of no other class."""
        is_other = (self._latent >= 0) & (self._latent != np.arange(joint.shape[-2])[:, None])
        return np.where(is_other, -np.inf, joint)

    def _pull_back(self, coefficients: Sequence[Array], weights: Array, into: Mapping[int, Array]) -> None:
        """Add the sums of general terms [S, K, width] under weights [S, K, n]."""
        for slot, term in self._terms.general.items():
            into[slot][:] += term.pullback(coefficients[slot], self.columns, self._counted(slot, weights))

    def _counted(self, slot: int, values: Array) -> Array:
        """Values [..., n], zero where a term is left out."""
        return values * self.active[slot] if slot in self.active else values

    def normalise(self, joint: Array) -> tuple[Array, Array]:
        """log p of units [..., u], each row's joint summed over its combinations, and R [..., K, u]."""
        by_unit = self.units.total(self._by_row(joint)[0])
        values = logsumexp(by_unit, axis=-2)
        return values, np.exp(by_unit - values[..., None, :])

    def shares(self, one: ParameterSet) -> Array:
        """w R of each combination of levels [K, n]."""
        joint = self.joint(one)[0]
        return self.within_classes(joint, self.normalise(joint)[1])

    def own(self, given: Array) -> Array:
        """R [..., K, u] of the units of this part, of that of all."""
        return np.asarray(given[..., self._numbers_of_units])

    def spread(self, given: Array) -> Array:
        """w R of each combination, R [..., K, U] of all units divided among a row's combinations alike."""
        return np.asarray((self.units.spread(self.own(given)) * self.weights / np.bincount(self.row))[..., self.row])

    def within_classes(self, joint: Array, shares: Array) -> Array:
        """The same of R [..., K, u] of the part's units, divided as combinations are likely in the class."""
        _, largest, total = self._by_row(joint)
        weights = np.where(total > 0, self.units.spread(shares) * self.weights / np.where(total > 0, total, 1.0), 0.0)
        return np.asarray(np.exp(joint - largest[..., self.row]) * weights[..., self.row])

    def _by_row(self, joint: Array) -> tuple[Array, Array, Array]:
        """logsumexp over combinations [..., K, rows], and in parts: the largest, 0 for one of -inf, the sum over it."""
        largest = np.maximum.reduceat(joint, self.starts, axis=-1)
        largest = np.where(np.isfinite(largest), largest, 0.0)
        total = np.add.reduceat(np.exp(joint - largest[..., self.row]), self.starts, axis=-1)
        with np.errstate(divide="ignore"):
            return largest + np.log(total), largest, total

    def collect(
        self,
        weights: Array,
        solved: Solved,
        integral: Integrated,
        one: ParameterSet,
        into: Mapping[int, Array],
    ) -> None:
        """Add Σ weights [K, n] E[Φ] to the statistics."""
        given = zip(weights, integral.mean, integral.covariance, strict=True)
        moments = np.stack([self._moments(*parts) for parts in given])
        references = {name: one.references[slot] for name, slot in self._gaussian.items()}
        for variable, forms in self._equations.forms(solved, self._shift, self._step, references):
            first, second = variable.node.products
            sums = (forms @ moments @ np.swapaxes(forms, -1, -2))[..., first, second]
            by_level = into[self._gaussian[variable.node.name]].reshape(len(weights), -1, len(first))
            for level, law, own in zip(variable.level, variable.has_law, np.swapaxes(sums, 0, 1), strict=True):
                by_level[:, level] += own * law
        for slot, shared in self._others.items():
            if one.references[slot].by_cell:
                for k, weight in enumerate(weights):
                    into[slot][k] += self.features(slot, one.references[slot], k) @ weight
            else:
                into[slot][:] += weights @ shared.T
        own = {slot: into[slot][None] for slot in self._terms.general}
        self._pull_back([each[None] for each in one.coefficients], weights[None], own)

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
