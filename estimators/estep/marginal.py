"""log p(data | φ) with Z summed out: the exact E-step. Nothing else touches the N rows.

    L = C Φ  [K, N]        ℓ = logsumexp_k L        R = softmax_k L        S = R Φᵀ  [K, F]

Φ are the rows' features, C the coefficients at the Greeks φ, S the expected sufficient statistics (of a general term,
which has no features, L is added to and S is dJ/dC). Everything after is O(K F): ``J(φ; S) = Σ_k C_k(φ) · S_k`` has the
gradient of the marginal at the φ where S was computed (Fisher's identity), and its maximum is EM's M-step. Greeks may
carry leading axes of parameter sets, evaluated in one pass.

The sums run in NumPy on one thread: on a thousand rows, as NUTS meets them thousands of times, torch's overhead per
operation is most of the time; on a million, chunks in cache are as fast; and no result depends on the thread count.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from estimators.data.data import Data
from estimators.estep.blocked import BlockedKernel
from estimators.estep.centring import Centring, num_sets, parameter_sets
from estimators.estep.incomplete import IncompleteRows
from estimators.estep.kernel import MakeKernel, Point
from estimators.estep.missing import Missing
from estimators.estep.term import General
from estimators.estep.terms import Index, Terms, entries_of
from estimators.estep.variable import Node
from estimators.estep.weights import Weights
from estimators.mechanisms.protocol import Greeks, Reference
from estimators.optimise.first_order import differentiable
from estimators.parameters.parameter import Array


class Statistics(NamedTuple):
    """Expected sufficient statistics of all rows, with the references in which they were formed.

    ``log_likelihood`` [...]; ``counts`` [..., K, F] of the rows that inform theta, by the level of Z's observed causes;
    ``sums`` variable → [..., K, F]; ``responsibilities`` gives R [..., K, N], which general terms maximise J by.
    """

    log_likelihood: Array
    counts: Array
    sums: Mapping[str, Array]
    references: Mapping[str, Reference]
    responsibilities: Callable[[], Array]


class MixtureMarginal:
    """The marginal of a causal mixture on a data set.

    Rows with Z hidden are summed over. A set entry leaves its own term out, that term's 1 included; a set Z adds
    nothing to theta's counts. A missing entry that causes nothing known does the same; rows with any other are
    `IncompleteRows`, all others the kernel's.
    """

    def __init__(
        self,
        weights: Weights,
        nodes: Mapping[str, Node],
        num_components: int,
        data: Data,
        kernel: MakeKernel = BlockedKernel,
    ) -> None:
        self.nodes, self.K, self.weights, self.data = nodes, num_components, weights, data
        self._make_kernel, self._terms = kernel, Terms(weights, nodes)
        self.num_rows = data.num_rows
        missing = Missing(self._terms, weights, nodes, data) if data.has_missing else None
        self._entries = entries = entries_of(data, nodes) if missing is None else missing.entries
        self.total_weight = float(data.num_rows if entries.weights is None else entries.weights.sum())
        # How many rows there are: weights above 1 are repeated rows, weights that sum to 1 are shares of the N rows.
        self.count = max(float(data.num_rows), self.total_weight)
        self.references: dict[str, Reference] = {}
        for slot, (name, node) in enumerate(nodes.items(), 1):
            named = (name, *node.parents)
            counted = entries.counted(slot) if missing is None else missing.informative(slot, named)
            self.references[name] = self._terms.variables[name].reference(counted.columns)
        self._centring = Centring(self._terms, nodes, self.references)
        # The rows that are the kernel's: all, as a rule.
        self._complete: NDArray[np.intp] | None = None
        self._incomplete = None
        if missing is not None and missing.incomplete.any():
            self._complete = np.flatnonzero(~missing.incomplete)
            entries = entries.rows(self._complete)
            self._incomplete = IncompleteRows(self._terms, nodes, num_components, missing, self._centring.shared)
        self._kernel = kernel(self._terms, entries, num_components, self._centring.shared)

    def of(self, data: Data) -> "MixtureMarginal":
        """The marginal of other rows."""
        return MixtureMarginal(self.weights, self.nodes, self.K, data, self._make_kernel)

    # ---------------------------------------------------------------- the E-step

    def statistics(self, greeks: Greeks) -> Statistics:
        """The E-step at Greeks [..., *shape]: log-likelihood and expected sufficient statistics."""
        points, batch = self._centring.points(greeks)
        value, sums = _joined([self._kernel.sums(point) for point in points])
        if self._incomplete is not None:
            extra, more = self._incomplete.sums(parameter_sets(points, greeks, batch))
            value, sums = value + extra, {slot: own + more[slot] for slot, own in sums.items()}
        responsibilities = partial(self._responsibilities, greeks)
        return self._statistics(value, sums, batch, self._centring.references(points, batch), responsibilities)

    def gradient(self, greeks: Greeks, statistics: Statistics) -> dict[str, Array]:
        """dJ(φ; S)/dφ: at the φ where S was computed, the gradient of the log-likelihood. O(K F)."""
        slopes = self.weights.gradient(greeks, statistics.counts, Reference())
        for name, term in self._terms.variables.items():
            slopes.update(term.gradient(greeks, statistics.sums[name], statistics.references[name]))
        return slopes

    def complete(self, greeks: Greeks, statistics: Statistics) -> Array:
        """J(φ; S) as [...]: the expected complete-data log-likelihood."""
        value = (self.weights.coefficients(greeks, Reference()) * statistics.counts).sum((-1, -2))
        for name, linear in self._terms.log_linear_variables():
            coefficients = linear.coefficients(greeks, statistics.references[name])
            value = value + (coefficients * statistics.sums[name]).sum((-1, -2))
        for name, general, shares in self._general(statistics):
            numbers = general.coefficients(greeks, statistics.references[name])
            value = value + general.complete(numbers, self._entries.columns, shares)
        return np.asarray(value)

    def argmax(self, greeks: Greeks, statistics: Statistics) -> dict[str, Array]:
        """The M-step: the Greeks that maximise J, or raise it where a mechanism has no closed form."""
        best = self.weights.argmax(greeks, statistics.counts, Reference())
        for name, linear in self._terms.log_linear_variables():
            best.update(linear.argmax(greeks, statistics.sums[name], statistics.references[name]))
        for name, general, shares in self._general(statistics):
            best.update(general.argmax(greeks, self._entries.columns, shares, statistics.references[name]))
        return best

    def statistics_under(self, greeks: Greeks, responsibilities: Array) -> Statistics:
        """The statistics under given responsibilities [K, N], of what is missing in a row by its law at the Greeks."""
        if self._incomplete is None:
            return self.statistics_given(responsibilities)
        shares = self._as_known(responsibilities)
        sums = self._kernel.sums_given(shares[None][..., self._complete], self._centring.shared)
        more = self._incomplete.sums_under(self._centring.about_shared(greeks), shares)
        sums = {slot: own + more[slot] for slot, own in sums.items()}
        return self._statistics(np.zeros(1), sums, (), self.references, lambda: shares)

    def statistics_given(self, responsibilities: Array) -> Statistics:
        """The same without Greeks, of responsibilities [..., K, N]: a missing entry is at a value of its column."""
        batch, responsibilities = responsibilities.shape[:-2], self._as_known(responsibilities)
        shares = responsibilities.reshape(-1, *responsibilities.shape[-2:])
        sums = self._kernel.sums_given(
            shares if self._complete is None else shares[..., self._complete], self._centring.shared
        )
        if self._incomplete is not None:
            more = self._incomplete.sums_given(shares, self._centring.shared)
            sums = {slot: own + more[slot] for slot, own in sums.items()}
        return self._statistics(np.zeros(len(shares)), sums, batch, self.references, lambda: responsibilities)

    def has_collapsed(self, greeks: Greeks) -> bool:
        """Whether a component has shrunk onto a point."""
        return any(
            node.mechanism.has_collapsed(node.local(greeks), self.references[name]) for name, node in self.nodes.items()
        )

    def at_edge(self, greeks: Greeks, least: float) -> dict[str, NDArray[np.bool_]]:
        """Which probabilities or rates are so near their edge that less than `least` of a row is left, by Greek."""
        found = {}
        for node in self.nodes.values():
            few = node.mechanism.expected_count(node.local(greeks), self.count) < least
            if few.any():
                # A family with such an edge has one Greek, of which each entry has a count.
                parameter = node.parameters[0]
                found[parameter.name] = few.reshape(parameter.shape)
        return found

    # ---------------------------------------------------------------- on tensors

    def log_likelihood(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """log p(data | φ) = Σ_n w_n logsumexp_k L[k, n], differentiable to first order."""
        names = list(greeks)

        def evaluate(*values: Tensor) -> tuple[Array, list[Array]]:
            arrays = _arrays(dict(zip(names, values, strict=True)))
            statistics = self.statistics(arrays)
            slopes = self.gradient(arrays, statistics)
            return statistics.log_likelihood, [slopes[name] for name in names]

        return differentiable(evaluate, [greeks[name] for name in names])

    def pointwise(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """log p(row | φ) as [..., N]; for a row with Z known, log p(Z, row | φ), without theta where Z was set."""
        arrays = _arrays(greeks)
        points, batch = self._centring.points(arrays)
        out = np.empty((num_sets(points), self.num_rows))
        for sets, rows, values, _ in self._by_row(points, arrays, batch):
            out[sets, rows] = values
        return torch.from_numpy(out.reshape(*batch, self.num_rows))

    def responsibilities(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """p(Z = k | row, φ) as [..., N, K]; one-hot where Z is known."""
        return torch.from_numpy(np.swapaxes(self._responsibilities(_arrays(greeks)), -1, -2))

    # ---------------------------------------------------------------- inside

    def _as_known(self, responsibilities: Array) -> Array:
        """R [..., K, N], one-hot where Z is known."""
        latent = self.data.latent().numpy()
        return np.where(latent >= 0, latent == np.arange(self.K)[:, None], responsibilities)

    def _responsibilities(self, greeks: Greeks) -> Array:
        """R as [..., K, N]."""
        points, batch = self._centring.points(greeks)
        out = np.empty((num_sets(points), self.num_rows, self.K))
        for sets, rows, _, shares in self._by_row(points, greeks, batch):
            out[sets, rows] = np.swapaxes(shares, -1, -2)
        return np.swapaxes(out.reshape(*batch, self.num_rows, self.K), -1, -2)

    def _by_row(
        self, points: Sequence[Point], greeks: Greeks, batch: tuple[int, ...]
    ) -> Iterator[tuple[slice, Index, Array, Array]]:
        """Which parameter sets and rows, ℓ [S, n] and R [S, K, n], until every row has had its turn."""
        for point in points:
            for rows, values, shares in self._kernel.by_row(point):
                yield point.sets, rows if self._complete is None else self._complete[rows], values, shares
        if self._incomplete is not None:
            yield slice(None), self._incomplete.index, *self._incomplete.by_row(parameter_sets(points, greeks, batch))

    def _statistics(
        self,
        value: Array,
        sums: Mapping[int, Array],
        batch: tuple[int, ...],
        references: Mapping[str, Reference],
        responsibilities: Callable[[], Array],
    ) -> Statistics:
        by_name = {n: sums[s].reshape(batch + sums[s].shape[1:]) for s, n in enumerate(self.nodes, 1) if s in sums}
        counts = sums[0].reshape(batch + sums[0].shape[1:])
        return Statistics(value.reshape(batch), counts, by_name, references, responsibilities)

    def _general(self, statistics: Statistics) -> Iterator[tuple[str, General, Array]]:
        """The general terms by variable, with w R [..., K, N] of the rows that they are not left out of."""
        weights = 1.0 if self._entries.weights is None else self._entries.weights
        for slot, term in self._terms.general.items():
            counted = statistics.responsibilities() * (weights * self._entries.active.get(slot, 1.0))
            yield self._terms.names[slot - 1], term, counted


def _joined(parts: Sequence[tuple[Array, dict[int, Array]]]) -> tuple[Array, dict[int, Array]]:
    """Values [S] and sums [S, ...] of all parameter sets."""
    if len(parts) == 1:
        return parts[0]
    slots = parts[0][1]
    sums = {slot: np.concatenate([sums[slot] for _, sums in parts]) for slot in slots}
    return np.concatenate([value for value, _ in parts]), sums


def _arrays(greeks: Mapping[str, Tensor]) -> dict[str, Array]:
    return {name: value.detach().double().numpy() for name, value in greeks.items()}
