"""log p(data | φ) with Z summed out: the exact E-step. Nothing else touches the N rows.

    L = C Φ  [K, N]        ℓ = logsumexp_k L        R = softmax_k L        S = R Φᵀ  [K, F]

Φ are the rows' features, C the coefficients at the Greeks φ, S the expected sufficient statistics (of a general term,
which has no features, L is added to and S is dJ/dC). Where rows of a unit share one Z, L is summed within it before ℓ
and R are formed, which are then of U units; R of a unit is that of each of its rows. Everything after is O(K F):
``J(φ; S) = Σ_k C_k(φ) · S_k`` has the gradient of the marginal at the φ where S was computed (Fisher's identity), and
its maximum is EM's M-step. Greeks may carry leading axes of parameter sets, evaluated in one pass.

The sums run in compiled code that takes any model as tables of numbers (`compiled`), but for terms whose functions are
Python, which the plain kernel sums; no result depends on the thread count.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from math import prod
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from estimators.data.data import LATENT, Data
from estimators.estep.centring import references_at, sets_about, sets_at_once
from estimators.estep.completed import Completed, Completion, no_parts
from estimators.estep.incomplete import IncompleteRows
from estimators.estep.kernel import Kernel, MakeKernel
from estimators.estep.missing import Missing
from estimators.estep.reference import ReferenceKernel
from estimators.estep.term import Columns, General
from estimators.estep.terms import Entries, Terms, entries_of
from estimators.estep.variable import Node
from estimators.estep.weights import Weights
from estimators.mechanisms.protocol import Greeks, Reference
from estimators.optimise.arrays import Array
from estimators.parameters.transforms import LOGS


class Statistics(NamedTuple):
    """Expected sufficient statistics of all rows, with the references in which they were formed.

    ``log_likelihood`` [...]; ``sums`` variable → [..., K, F], those of Z of the rows that inform its weights;
    ``completed`` gives the rows with their w R, which general terms maximise J by.
    """

    log_likelihood: Array
    sums: Mapping[str, Array]
    references: Mapping[str, Reference]
    completed: Callable[[], Completed]

    @property
    def counts(self) -> Array:
        """The rows of each class that inform theta, by the level of Z's observed causes [..., K, F]."""
        return self.sums[LATENT]


class MixtureMarginal:
    """The marginal of a causal mixture on a data set.

    Rows with Z hidden are summed over. A set entry leaves its own term out, that term's 1 included; a set Z adds
    nothing to its weights' sums. A missing entry that causes nothing known does the same; rows with any other are
    `IncompleteRows`, all others the kernel's.
    """

    def __init__(
        self, weights: Weights, nodes: Mapping[str, Node], data: Data, kernel: MakeKernel | None = None
    ) -> None:
        self.nodes, self.K, self.weights, self.data = nodes, weights.num_components, weights, data
        self._terms = Terms(weights, nodes)
        self._shapes = {n.format(p.name): p.shape for p in self._terms.parameters for n in ("{}", *LOGS)}
        self._kernel_given, self.num_units = kernel, data.num_units
        missing = Missing(self._terms, data) if data.has_missing else None
        entries = entries_of(self._terms, data) if missing is None else missing.entries
        self.weighing = entries.counted(0)  # what informs the weights of Z
        self.total_weight, self.count = _counted(data.num_units, data.unit_weights)
        self._num_observed = _counted(data.num_rows, data.weights)[1]
        self.references = _references(self._terms, entries, missing)
        self._shared = tuple(self.references.values())
        # The units of the kernel's rows: all, as a rule.
        self._complete: NDArray[np.integer[Any]] | None = None
        self._incomplete, unit_of_row = None, entries.units
        if missing is not None and missing.incomplete.any():
            entries = entries.rows(own := np.flatnonzero(~missing.incomplete))
            unit_of_row = own if entries.units is None else entries.units
            self._complete = np.unique(unit_of_row)
            self._incomplete = IncompleteRows(self._terms, missing, self._shared)
        self._rows, self._completion = entries, Completion(entries, unit_of_row, self._incomplete)
        make = kernel or _kernel_for(self._terms)
        self.kernel: Kernel = make(self._terms, entries, self._shared)
        self._general = _general_of(self._terms, make)
        # Whether the kernel has all rows, and all that is summed of them in tables.
        self.is_tabulated = self._incomplete is None and kernel is None and make is not ReferenceKernel

    def of(self, data: Data) -> "MixtureMarginal":
        """The marginal of other rows."""
        return MixtureMarginal(self.weights, self.nodes, data, self._kernel_given)

    # ---------------------------------------------------------------- the E-step

    def statistics(self, greeks: Greeks) -> Statistics:
        """The E-step at Greeks [..., *shape]: log-likelihood and expected sufficient statistics."""
        sets, batch = self._flat(greeks)
        value, sums = self.kernel.sums(sets)
        if self._incomplete is not None:
            extra, more = self._incomplete.sums(sets_at_once(self._terms, sets, self._shared))
            value, sums = value + extra, {slot: own + more[slot] for slot, own in sums.items()}
        return self.statistics_of(greeks, value, sums, batch)

    def statistics_of(
        self, greeks: Greeks, value: Array, sums: Mapping[int, Array], batch: tuple[int, ...]
    ) -> Statistics:
        """The statistics of a kernel's sums [S, K, F] by slot, at Greeks [..., *shape]."""
        own = references_at(self._terms, greeks, self._shared)
        references = dict(zip(self._terms.names, own, strict=True))
        return self._statistics(value, sums, batch, references, partial(self._completed, greeks))

    def gradient(self, greeks: Greeks, statistics: Statistics) -> dict[str, Array]:
        """dJ(φ; S)/dφ: at the φ where S was computed, the gradient of the log-likelihood. O(K F)."""
        slopes: dict[str, Array] = {}
        for name, term in self._terms.by_name.items():
            slopes.update(term.gradient(greeks, statistics.sums[name], statistics.references[name]))
        return slopes

    def argmax(self, greeks: Greeks, statistics: Statistics) -> dict[str, Array]:
        """The M-step: the Greeks that maximise J, or raise it where a mechanism has no closed form."""
        best: dict[str, Array] = {}
        for name, linear in self._terms.log_linear_by_name():
            best.update(linear.argmax(greeks, statistics.sums[name], statistics.references[name]))
        for name, general, columns, shares in self.general(statistics):
            best.update(general.argmax(greeks, columns, shares, statistics.references[name]))
        return best

    def statistics_given(self, responsibilities: Array, greeks: Greeks | None = None) -> Statistics:
        """The statistics under given responsibilities [..., K, U].

        What is missing in a row is by its law at the Greeks (of one parameter set); without any, a missing entry is at
        a value of its column.
        """
        batch, latent = responsibilities.shape[:-2], self.data.of_units(self.data.latent()).numpy()
        given = np.where(latent >= 0, latent == np.arange(self.K)[:, None], responsibilities)
        shares = given.reshape(-1, *given.shape[-2:])
        complete = shares if self._completion.unit is None else shares[..., self._completion.unit]
        sums, of_parts = self._terms.sums_given(self._rows, complete, self._shared), no_parts
        if self._incomplete is not None:
            one = None if greeks is None else sets_about(self._shared, self._terms, self._flat(greeks)[0], self._shared)
            more, of_parts = self._incomplete.given(shares, self._shared, one)
            sums = {slot: own + more[slot] for slot, own in sums.items()}
        completed = partial(self._completion.of, given, of_parts)
        return self._statistics(np.zeros(len(shares)), sums, batch, self.references, completed)

    def has_collapsed(self, greeks: Greeks) -> bool:
        """Whether a component has shrunk onto a point."""
        return any(
            node.mechanism.has_collapsed(node.local(greeks), self.references[name]) for name, node in self.nodes.items()
        )

    def at_edge(self, greeks: Greeks, least: float) -> dict[str, NDArray[np.bool_]]:
        """Which probabilities or rates are so near their edge that less than `least` of a row is left, by Greek."""
        found = {}
        for node in self.nodes.values():
            few = node.mechanism.expected_count(node.local(greeks), self._num_observed) < least
            if few.any():
                # A family with such an edge has one Greek, of which each entry has a count.
                parameter = node.parameters[0]
                found[parameter.name] = few.reshape(parameter.shape)
        return found

    # ---------------------------------------------------------------- on tensors

    def pointwise(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """log p(unit | φ) as [..., U]; for one with Z known, log p(Z, unit | φ), without theta where Z was set."""
        sets, batch = self._flat(_arrays(greeks))
        out = np.empty((num_sets(sets), self.num_units))
        for which, units, values in self.kernel.values_by_unit(sets):
            out[which, units if self._complete is None else self._complete[units]] = values
        if self._incomplete is not None:
            own = sets_at_once(self._terms, sets, self._shared)
            out[:, self._incomplete.index], _ = self._incomplete.by_unit(own)
        return torch.from_numpy(out.reshape(*batch, self.num_units))

    def responsibilities(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """p(Z = k | unit, φ) as [..., U, K]; one-hot where Z is known."""
        return torch.from_numpy(np.swapaxes(self._responsibilities(_arrays(greeks)), -1, -2))

    # ---------------------------------------------------------------- inside

    def _responsibilities(self, greeks: Greeks) -> Array:
        """R as [..., K, U]."""
        sets, batch = self._flat(greeks)
        out = np.empty((num_sets(sets), self.num_units, self.K))
        for which, units, _, shares in self.kernel.by_unit(sets):
            out[which, units if self._complete is None else self._complete[units]] = np.swapaxes(shares, -1, -2)
        if self._incomplete is not None:
            _, shares = self._incomplete.by_unit(sets_at_once(self._terms, sets, self._shared))
            out[:, self._incomplete.index] = np.swapaxes(shares, -1, -2)
        return np.swapaxes(out.reshape(*batch, self.num_units, self.K), -1, -2)

    def _flat(self, greeks: Greeks) -> tuple[dict[str, Array], tuple[int, ...]]:
        """Greeks [..., *shape] as [S, *shape], and the shape [...]."""
        name, value = next(iter(greeks.items()))
        batch = value.shape[: value.ndim - len(self._shapes[name])]
        size = prod(batch)
        return {name: value.reshape(size, *value.shape[len(batch) :]) for name, value in greeks.items()}, batch

    def _statistics(
        self,
        value: Array,
        sums: Mapping[int, Array],
        batch: tuple[int, ...],
        references: Mapping[str, Reference],
        completed: Callable[[], Completed],
    ) -> Statistics:
        by_name = {n: sums[s].reshape(batch + sums[s].shape[1:]) for s, n in enumerate(self._terms.names) if s in sums}
        return Statistics(value.reshape(batch), by_name, references, completed)

    def _completed(self, greeks: Greeks) -> Completed:
        """The rows with w R at some Greeks [..., *shape]."""
        own = None if self._incomplete is None else sets_at_once(self._terms, self._flat(greeks)[0], self._shared)
        return self._completion.at(own, self._responsibilities(greeks))

    def general(self, statistics: Statistics) -> Iterator[tuple[str, General, Columns, Array]]:
        """The general terms by variable, with the rows and w R [..., K, n], 0 where the term is left out."""
        if self._general:
            rows = statistics.completed()
            for slot, term in self._general.items():
                yield self._terms.names[slot], term, rows.columns, rows.counted(slot)


def _counted(size: int, weights: Tensor | None) -> tuple[float, float]:
    """Σ w, and how many there are: weights above 1 are repeated ones, weights that sum to 1 are shares of all."""
    total = float(size if weights is None else weights.sum())
    return total, max(float(size), total)


def _references(terms: Terms, entries: Entries, missing: Missing | None) -> dict[str, Reference]:
    """The centre and scale of every column in the rows that say something of it."""
    found = {LATENT: terms.weights.reference(entries.counted(0).columns)}
    for slot, (name, node) in enumerate(terms.nodes.items(), 1):
        counted = entries.counted(slot) if missing is None else missing.informative(slot, (name, *node.parents))
        found[name] = terms.variables[name].reference(counted.columns)
    return found


def num_sets(greeks: Mapping[str, Any]) -> int:
    """S, of Greeks [S, *shape]."""
    return len(next(iter(greeks.values())))


def _kernel_for(terms: Terms) -> MakeKernel:
    """The compiled kernel, but for functions of terms in Python alone, or where numba is told to compile nothing."""
    # Numba takes half a second to import, which only a fit or a question needs.
    from numba import config

    if not terms.are_compiled or config.DISABLE_JIT:
        return ReferenceKernel
    from estimators.estep.compiled.kernel import CompiledKernel

    return CompiledKernel


def _general_of(terms: Terms, make: MakeKernel) -> Mapping[int, General]:
    """The general terms by slot, compiled where a kernel is."""
    if make is ReferenceKernel or not terms.general:
        return terms.general
    from estimators.estep.compiled.general_term import compiled_terms

    return compiled_terms(terms)


def _arrays(greeks: Mapping[str, Tensor]) -> dict[str, Array]:
    return {name: value.detach().double().numpy() for name, value in greeks.items()}
