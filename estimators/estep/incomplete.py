"""Rows with missing entries, summed and integrated out exactly.

A missing entry that causes nothing known integrates to 1: its own factor is dropped. Any other is summed over its
levels where it is discrete, and integrated where it is Gaussian. Given Z and the levels, each Gaussian variable has a
standardised residual that is affine in a row's numbers x, in the columns' own units (`equations`), so that no row has a
part in another's; `residuals` integrates in these residuals u. Features of a Gaussian variable are products of forms
``A (1, u)``, so the moments of u given what is known make the expected features: ``E[Φ] = A E[(1, u) (1, u)'] A'``.
Given Z, rows are independent, so that what rows of a unit share, its L, is the sum over its rows of the log of theirs.
A missing cause of Z is one of all rows of a unit: for each of its levels there is such a sum, and they are added.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from estimators.estep.centring import ParameterSets
from estimators.estep.equations import Equations, Solved
from estimators.estep.missing import Missing, several_numbers
from estimators.estep.nested import nested
from estimators.estep.residuals import Integrated, Patterns, integrated
from estimators.estep.terms import LogLinearVariable, Terms
from estimators.estep.units import grouped, parts_of
from estimators.mechanisms.protocol import Reference
from estimators.optimise.arrays import Array

# Numbers in the matrices of the rows that are taken at one time.
MOST_NUMBERS = 2_000_000


class IncompleteRows:
    """The E-step over rows with missing entries, some thousand rows at a time."""

    def __init__(self, terms: Terms, missing: Missing, references: Sequence[Reference]) -> None:
        self._terms, self._K, nodes = terms, terms.K, terms.nodes
        index = np.flatnonzero(missing.incomplete)
        units = missing.entries.units
        own = None if units is None else units[index]
        # The units of these rows, by their numbers.
        self.index = index if own is None else np.unique(own)
        size = sum(node.mechanism.num_columns or 1 for node in nodes.values() if not node.mechanism.num_levels)
        step = max(MOST_NUMBERS // (max(size, 1) ** 2 * self._K), 1)
        rows = (index[which] for which in parts_of(own, len(index), step))
        self.parts = [_Part(terms, missing, of_part, references) for of_part in rows]

    def sums(self, sets: ParameterSets) -> tuple[Array, dict[int, Array]]:
        """Σ w ℓ [S], and each term's sums [S, K, width]."""
        values, sums = np.zeros(sets.count), self._no_sums(sets.count)
        for part in self.parts:
            for which, some in part.at_once(sets):
                law = part.law(some)
                of_units, shares = part.weighed(law.joint)
                values[which] += of_units
                part.collect(shares, law, some, {slot: own[which] for slot, own in sums.items()})
        return values, sums

    def by_unit(self, sets: ParameterSets) -> tuple[Array, Array]:
        """ℓ [S, u] and R [S, K, u] of the units with incomplete rows, in the order of `index`."""
        of_parts = []
        for part in self.parts:
            some = [part.normalise(part.law(one).joint) for _, one in part.at_once(sets)]
            of_parts.append([np.concatenate(own) for own in zip(*some, strict=True)])
        values, shares = (np.concatenate(own, -1) for own in zip(*of_parts, strict=True))
        return values, shares

    def shares(self, sets: ParameterSets) -> list[Array]:
        """w R [S, K, n] of the combinations of levels of each part."""
        return [np.concatenate([part.shares(some) for _, some in part.at_once(sets)]) for part in self.parts]

    def given(
        self, shares: Array, references: Sequence[Reference], one: ParameterSets | None
    ) -> tuple[dict[int, Array], Callable[[], list[Array]]]:
        """Sums [S, K, width] under given R [S, K, U], and what makes w R of each part.

        What is missing has its law at a parameter set given Z and the rest; without one, all levels alike.
        """
        if one is None:
            return self._sums_given(shares, references), lambda: [part.spread(shares) for part in self.parts]
        return self._sums_under(one, shares), lambda: [
            part.within_classes(part.law(one).joint, part.own(shares)) for part in self.parts
        ]

    def _sums_under(self, one: ParameterSets, shares: Array) -> dict[int, Array]:
        """Each term's sums [1, K, width] under given R [1, K, U]; what is missing has its law given Z and the rest."""
        sums = self._no_sums(one.count)
        for part in self.parts:
            law = part.law(one)
            part.collect(part.within_classes(law.joint, part.own(shares)), law, one, sums)
        return sums

    def _no_sums(self, count: int) -> dict[int, Array]:
        return {slot: np.zeros((count, self._K, term.width)) for slot, term in enumerate(self._terms.all)}

    def _sums_given(self, shares: Array, references: Sequence[Reference]) -> dict[int, Array]:
        """Sums of log-linear terms under R [S, K, U]; missing entries at a value of their column, or at all levels."""
        sums = {s: np.zeros((*shares.shape[:-1], term.width)) for s, term in self._terms.log_linear.items()}
        for part in self.parts:
            spread = part.spread(shares)
            for slot in sums:
                sums[slot] += np.einsum("...n,fn->...f", spread, part.features(slot, references[slot]))
        return sums


class _Law(NamedTuple):
    """log p(row, levels, Z = k) [S, K, n], the row's residuals given these, and features about a centre of each."""

    joint: Array
    solved: Solved
    integral: Integrated
    features: Mapping[int, Array]


class _Part:
    """Some rows, each once for every combination of levels of its missing discrete entries, these side by side."""

    def __init__(
        self, terms: Terms, missing: Missing, index: NDArray[np.intp], references: Sequence[Reference]
    ) -> None:
        self._terms, self._K, nodes, entries = terms, terms.K, terms.nodes, missing.entries
        own_units = None if entries.units is None else entries.units[index]
        of_rows = np.ones(len(index)) if entries.weights is None else entries.weights[index]
        self._weights = grouped(own_units).first(of_rows)
        self._numbers_of_units = index if own_units is None else np.unique(own_units)
        row, levels = missing.combinations(index)
        order, self._sums = nested(row, own_units, [levels[name] for name in missing.shared if name in levels])
        levels = {name: column[order] for name, column in levels.items()}
        rows = index[row[order]]
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
        self._equations = Equations([nodes[name] for name in gaussian], at_first, slots, self._has_law, self._K)

    def at_once(self, sets: ParameterSets) -> Iterator[tuple[slice, ParameterSets]]:
        """Parameter sets, as many at a time as may be held."""
        step = max(MOST_NUMBERS // (self._K * self._sums.size * max(self._x.shape[1], 1) ** 2), 1)
        for start in range(0, sets.count, step):
            yield slice(start, start + step), sets.some(slice(start, start + step))

    def features(self, slot: int, reference: Reference) -> Array:
        """A term's features [F, n], with a value of its column in place of a missing number."""
        return self._counted(slot, self._terms.log_linear[slot].features(self.columns, reference))

    def weighed(self, joint: Array) -> tuple[Array, Array]:
        """Σ w ℓ [...] of a joint [..., K, n], and w R of each combination [..., K, n]."""
        of_units, shares = self.normalise(joint)
        return of_units @ self._weights, self.within_classes(joint, shares)

    def law(self, sets: ParameterSets) -> _Law:
        """What some parameter sets say of the rows."""
        solved = self._equations.solve(sets.greeks, sets.count)
        integral = integrated(self._x, solved.residuals, self._has_law, self._patterns)
        joint = integral.value.reshape(sets.count, self._K, -1)
        about_each = dict[int, Array]()
        for slot, shared in self._others.items():
            C = sets.coefficients[slot]
            if sets.references[slot].by_cell:
                variable = cast(LogLinearVariable, self._terms.log_linear[slot])
                features = variable.features_about_each(self.columns, sets.references[slot])
                about_each[slot] = self._counted(slot, features)
                joint += np.einsum("skf,skfn->skn", C, about_each[slot])
            else:
                joint += C @ shared
        for slot, linear in self._terms.log_linear.items():
            if (offset := linear.offset(self.columns)) is not None:
                joint += self._counted(slot, offset)
        for slot, term in self._terms.general.items():
            joint += self._counted(slot, term.log_joint(sets.coefficients[slot], self.columns))
        return _Law(self._known(joint), solved, integral, about_each)

    def _known(self, joint: Array) -> Array:
        """log p [..., K, n], in a row whose Z is known that of no other class."""
        is_other = (self._latent >= 0) & (self._latent != np.arange(joint.shape[-2])[:, None])
        return np.where(is_other, -np.inf, joint)

    def _counted(self, slot: int, values: Array) -> Array:
        """Values [..., n], zero where a term is left out."""
        return values * self.active[slot] if slot in self.active else values

    def normalise(self, joint: Array) -> tuple[Array, Array]:
        """log p of units [..., u], each row's joint summed over its combinations, and R [..., K, u]."""
        by_unit = self._sums.of_units(joint)
        values = logsumexp(by_unit, axis=-2)
        return values, np.exp(by_unit - values[..., None, :])

    def shares(self, sets: ParameterSets) -> Array:
        """w R of each combination of levels [S, K, n]."""
        joint = self.law(sets).joint
        return self.within_classes(joint, self.normalise(joint)[1])

    def own(self, given: Array) -> Array:
        """R [..., K, u] of the units of this part, of that of all."""
        return np.asarray(given[..., self._numbers_of_units])

    def spread(self, given: Array) -> Array:
        """w R of each combination, R [..., K, U] of all units divided among a row's combinations alike."""
        shares = self.own(given) * self._weights
        return self._sums.divided(np.zeros((*shares.shape[:-1], self._sums.size)), shares)

    def within_classes(self, joint: Array, shares: Array) -> Array:
        """The same of R [..., K, u] of the part's units, divided as combinations are likely in the class."""
        return self._sums.divided(joint, shares * self._weights)

    def collect(self, weights: Array, law: _Law, sets: ParameterSets, into: Mapping[int, Array]) -> None:
        """Add Σ weights [S, K, n] E[Φ] to the statistics [S, K, width]."""
        side_by_side = sets.count * self._K
        moments = self._moments(weights.reshape(side_by_side, -1), law.integral)
        references = {name: sets.references[slot] for name, slot in self._gaussian.items()}
        for variable, forms in self._equations.forms(law.solved, self._shift, self._step, references):
            first, second = variable.node.products
            sums = (forms @ moments @ np.swapaxes(forms, -1, -2))[..., first, second]
            by_level = into[self._gaussian[variable.node.name]].reshape(side_by_side, -1, len(first))
            for level, has_law, own in zip(variable.level, variable.has_law, np.swapaxes(sums, 0, 1), strict=True):
                by_level[:, level] += own * has_law
        for slot, shared in self._others.items():
            about_each = law.features.get(slot)
            into[slot][:] += (
                weights @ shared.T if about_each is None else np.einsum("skn,skfn->skf", weights, about_each)
            )
        for slot, term in self._terms.general.items():
            into[slot][:] += term.pullback(sets.coefficients[slot], self.columns, self._counted(slot, weights))

    def _moments(self, weights: Array, integral: Integrated) -> Array:
        """Σ weights E[(1, u) (1, u)'] of components, u less the shift and in steps."""
        mean, config = integral.mean, self._patterns.config
        if not self._has_law.all():
            mean = (mean - self._shift[config]) / self._step[config]
        return self._patterns.moments(weights, mean, integral.covariance)


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
