"""log p(data | φ) with Z summed out: the exact E-step, in chunks that stay in cache. Nothing else touches the N rows.

    L = C Φ  [K, N]        ℓ = logsumexp_k L        R = softmax_k L        S = R Φᵀ  [K, F]

Φ are the rows' features, C the coefficients at the Greeks φ, S the expected sufficient statistics. Everything after is
O(K F): ``J(φ; S) = Σ_k C_k(φ) · S_k`` has the gradient of the marginal at the φ where S was computed (Fisher's
identity), and its maximum is EM's M-step. Greeks may carry a leading axis of parameter sets, evaluated in one pass.

The sums run in NumPy on one thread: on a thousand rows, as NUTS meets them thousands of times, torch's overhead per
operation is most of the time; on a million, chunks in cache are as fast; and no result depends on the thread count.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from estimators.data.data import Data
from estimators.estep.features import Rows
from estimators.estep.incomplete import Coefficients, IncompleteRows
from estimators.estep.kernel import PerComponent, Shared
from estimators.estep.missing import Missing
from estimators.estep.variable import Node
from estimators.estep.weights import WEIGHTS, Weights
from estimators.mechanisms.protocol import Greeks, Reference
from estimators.optimise.first_order import differentiable
from estimators.parameters.parameter import Array

# Likelihoods below this are summed relative to the row's largest instead.
SMALLEST = 1e-200


class Statistics(NamedTuple):
    """Expected sufficient statistics of all rows, with the references in which they were formed.

    ``log_likelihood`` [...]; ``sums`` variable → [..., K, F], under "theta" the rows that inform the weights.
    """

    log_likelihood: Array
    sums: Mapping[str, Array]
    references: Mapping[str, Reference]


class MixtureMarginal:
    """The marginal of a causal mixture on a data set.

    Rows with Z hidden are summed over; a row with Z known (seen or set) has constant statistics, computed once. A set
    entry zeroes its own mechanism's features, that mechanism's 1 included; a set Z adds nothing to theta's counts. A
    missing entry that causes nothing known does the same; rows with any other are `IncompleteRows`.
    """

    def __init__(self, weights: Weights, nodes: Mapping[str, Node], num_components: int, data: Data) -> None:
        self.nodes, self.K, self.weights, self.data = nodes, num_components, weights, data
        self._terms: dict[str, Weights | Node] = {WEIGHTS: weights, **nodes}
        self.num_rows = data.num_rows
        latent = data.latent().numpy()
        missing = Missing(weights, nodes, data)
        incomplete = missing.incomplete
        self._hidden_index = _places((latent < 0) & ~incomplete)
        self._known_index = _places((latent >= 0) & ~incomplete)
        row_weights = None if data.weights is None else data.weights.numpy()
        self.total_weight = float(data.num_rows if row_weights is None else row_weights.sum())
        # How many rows there are: weights above 1 are repeated rows, weights that sum to 1 are shares of the N rows.
        self.count = max(float(data.num_rows), self.total_weight)
        columns, active = missing.columns, missing.active
        self.references = {WEIGHTS: Reference()}
        for name, node in nodes.items():
            self.references[name] = node.reference(missing.informative(name, node.parents))
        some = (columns, active, row_weights)
        self._hidden = Rows(self._terms, *some, self._hidden_index, self.references)
        self._shared = Shared(self._hidden, num_components)
        self._known = Rows(self._terms, *some, self._known_index, self.references)
        self._known_latent = latent[self._known_index]
        self._known_statistics = self._statistics_of_known(self.references)
        self._incomplete = (
            IncompleteRows(weights, nodes, num_components, missing, data, self.references) if incomplete.any() else None
        )

    def of(self, data: Data) -> "MixtureMarginal":
        """The marginal of other rows."""
        return MixtureMarginal(self.weights, self.nodes, self.K, data)

    # ---------------------------------------------------------------- the E-step

    def statistics(self, greeks: Greeks) -> Statistics:
        """The E-step at Greeks [..., *shape]: log-likelihood and expected sufficient statistics."""
        references, coefficients = self._coefficients(greeks)
        batch = coefficients[WEIGHTS].shape[:-2]
        if batch and (references is not self.references or self._incomplete is not None):
            return self._one_set_at_a_time(greeks, batch)
        value, collected = self._sum_over_hidden(self._features_for(references), coefficients)
        sums = self._hidden.split(collected)
        if self._known.num_rows:
            known = self._known_statistics if references is self.references else self._statistics_of_known(references)
            for name in self._terms:
                value = value + (coefficients[name] * known[name]).sum((-1, -2))
                sums[name] = sums[name] + known[name]
        if self._incomplete is not None:
            extra, more = self._incomplete.statistics(Coefficients(coefficients, references, greeks))
            value = value + extra
            sums = {name: sums[name] + more[name] for name in self._terms}
        return Statistics(value, sums, references)

    def gradient(self, greeks: Greeks, statistics: Statistics) -> dict[str, Array]:
        """dJ(φ; S)/dφ: at the φ where S was computed, the gradient of the log-likelihood. O(K F)."""
        found = {}
        for name, term in self._terms.items():
            found.update(term.gradient(greeks, statistics.sums[name], statistics.references[name]))
        return found

    def complete(self, greeks: Greeks, statistics: Statistics) -> Array:
        """J(φ; S) = Σ_k C_k(φ) · S_k as [...]: the expected complete-data log-likelihood."""
        value: Any = 0.0
        for name, term in self._terms.items():
            coefficients = term.coefficients(greeks, statistics.references[name])
            value = value + (coefficients * statistics.sums[name]).sum((-1, -2))
        return np.asarray(value)

    def argmax(self, greeks: Greeks, statistics: Statistics) -> dict[str, Array]:
        """The M-step: the Greeks that maximise J(·; S), in closed form in each mechanism."""
        found = {}
        for name, term in self._terms.items():
            found.update(term.argmax(greeks, statistics.sums[name], statistics.references[name]))
        return found

    def statistics_given(self, responsibilities: Array) -> Statistics:
        """The statistics under given responsibilities of all rows [..., K, N] instead of the E-step's."""
        found = self.statistics_of_hidden(responsibilities[..., self._hidden_index])
        if self._incomplete is None:
            return found
        more = self._incomplete.statistics_given(responsibilities, self.references)
        sums = {name: found.sums[name] + more[name] for name in self._terms}
        return Statistics(found.log_likelihood, sums, self.references)

    def statistics_of_hidden(self, responsibilities: Array) -> Statistics:
        """The same, for responsibilities of the rows with Z hidden [..., K, N_hidden]."""
        by_name = self._hidden.collected(responsibilities * self._hidden.weights, self.references)
        sums = {name: by_name[name] + self._known_statistics[name] for name in self._terms}
        return Statistics(np.zeros(responsibilities.shape[:-2]), sums, self.references)

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
        out = np.empty((*self._batch(arrays), self.num_rows))
        for rows, joint in self._joint(arrays):
            out[..., self._hidden_index[rows]] = _normalise(joint)[0]
        if self._known.num_rows:
            out[..., self._known_index] = self._pointwise_known(arrays)
        if self._incomplete is not None:
            out[..., self._incomplete.index] = self._of_incomplete(arrays, "pointwise")
        return torch.from_numpy(out)

    def responsibilities(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """p(Z = k | row, φ) as [..., N, K]; one-hot where Z is known."""
        arrays = _arrays(greeks)
        out = np.zeros((*self._batch(arrays), self.num_rows, self.K))
        for rows, joint in self._joint(arrays):
            out[..., self._hidden_index[rows], :] = np.swapaxes(_normalise(joint)[1], -1, -2)
        out[..., self._known_index, self._known_latent] = 1.0
        if self._incomplete is not None:
            out[..., self._incomplete.index, :] = self._of_incomplete(arrays, "responsibilities")
        return torch.from_numpy(out)

    # ---------------------------------------------------------------- inside

    def _batch(self, greeks: Greeks) -> tuple[int, ...]:
        weights: Any = self._terms[WEIGHTS]
        return tuple(greeks[WEIGHTS].shape[: greeks[WEIGHTS].ndim - len(weights.levels) - 1])

    def _coefficients(self, greeks: Greeks) -> tuple[Mapping[str, Reference], dict[str, Array]]:
        """C by term, about the shared references or, where x² would lose digits, about each cell's own."""
        moved, found = {}, {WEIGHTS: self._terms[WEIGHTS].coefficients(greeks, self.references[WEIGHTS])}
        for name, node in self.nodes.items():
            reference = self.references[name]
            found[name] = node.coefficients(greeks, reference)
            if node.loses_digits(found[name], reference):
                moved[name] = node.recentred(greeks, reference)
                found[name] = node.coefficients(greeks, moved[name])
        return ({**self.references, **moved} if moved else self.references), found

    def _features_for(self, references: Mapping[str, Reference]) -> Shared | PerComponent:
        if references is self.references:
            return self._shared
        return PerComponent(self._hidden, self._shared, references, self.K)

    def _sum_over_hidden(
        self, features: Shared | PerComponent, coefficients: Mapping[str, Array]
    ) -> tuple[Array, Array]:
        """Σ w ℓ [...] and S [..., K, F] over the rows with Z hidden, chunk by chunk in a fixed order."""
        stacked = self._hidden.stack(coefficients)
        batched = stacked.ndim > 2
        if not batched:
            return features.sums(stacked, _normalise)
        flat = stacked.reshape(-1, stacked.shape[-1]) if batched else stacked
        value, collected = np.zeros(stacked.shape[:-2]), np.zeros_like(flat)
        for rows in _chunks(self._hidden.num_rows, features.chunk_rows(*flat.shape)):
            joint = features.joint(flat, rows)
            row_values, shares = _normalise(joint.reshape(*stacked.shape[:-1], -1) if batched else joint)
            if self._hidden.weighted:
                weights = self._hidden.weights[rows]
                row_values *= weights
                shares *= weights
            value += np.add.reduce(row_values, axis=-1)
            features.collect(shares.reshape(len(flat), -1) if batched else shares, rows, collected)
        return value, collected.reshape(stacked.shape)

    def _joint(self, greeks: Greeks) -> Iterator[tuple[slice, Array]]:
        """L of the rows with Z hidden, in chunks: (rows, [..., K, n])."""
        references, coefficients = self._coefficients(greeks)
        batch = self._batch(greeks)
        if references is not self.references and batch:
            parts = [list(self._joint(_set_of(greeks, index))) for index in np.ndindex(batch)]
            for pieces in zip(*parts, strict=True):
                yield pieces[0][0], np.stack([joint for _, joint in pieces]).reshape(*batch, self.K, -1)
            return
        features = self._features_for(references)
        stacked = self._hidden.stack(coefficients)
        flat = stacked.reshape(-1, stacked.shape[-1])
        for rows in _chunks(self._hidden.num_rows, features.chunk_rows(*flat.shape)):
            yield rows, features.joint(flat, rows).reshape(*batch, self.K, -1)

    def _pointwise_known(self, greeks: Greeks) -> Array:
        """log p of the known rows at their own component, [..., N_known]."""
        references, by_name = self._coefficients(greeks)
        batch = self._batch(greeks)
        if references is not self.references and batch:
            parts = [self._pointwise_known(_set_of(greeks, index)) for index in np.ndindex(batch)]
            return np.stack(parts).reshape(*batch, -1)
        value = np.zeros((*batch, self._known.num_rows))
        for name, coefficients in by_name.items():
            for k in range(self.K):
                mine = self._known_latent == k
                value[..., mine] += coefficients[..., k, :] @ self._known.of(name, references[name], mine, k)
        return value

    def _statistics_of_known(self, references: Mapping[str, Reference]) -> dict[str, Array]:
        """Σ w Φ over the rows known to be in each component, [K, F] by term."""
        found = {}
        for name, term in self._terms.items():
            sums = np.zeros((self.K, term.width))
            for k in range(self.K):
                mine = self._known_latent == k
                if mine.any():
                    sums[k] = (self._known.of(name, references[name], mine, k) * self._known.weights[mine]).sum(-1)
            found[name] = sums
        return found

    def _of_incomplete(self, greeks: Greeks, what: str) -> Array:
        assert self._incomplete is not None
        batch, found = self._batch(greeks), []
        for index in np.ndindex(batch):
            one = _set_of(greeks, index)
            references, coefficients = self._coefficients(one)
            found.append(getattr(self._incomplete, what)(Coefficients(coefficients, references, one)))
        return np.stack(found).reshape(*batch, *found[0].shape)

    def _one_set_at_a_time(self, greeks: Greeks, batch: tuple[int, ...]) -> Statistics:
        parts = [self.statistics(_set_of(greeks, index)) for index in np.ndindex(batch)]

        def stack(values: list[Array]) -> Array:
            return np.stack(values).reshape(*batch, *values[0].shape)

        references = dict(self.references)
        for name, node in self.nodes.items():
            if any(part.references[name].by_cell for part in parts):
                cells = self.references[name].by_cells(self.K * node.num_levels)
                centres = [part.references[name].by_cells(len(cells.centre)).centre for part in parts]
                references[name] = cells.at(stack(centres))
        sums = {name: stack([part.sums[name] for part in parts]) for name in self._terms}
        return Statistics(stack([part.log_likelihood for part in parts]), sums, references)


def _normalise(joint: Array) -> tuple[Array, Array]:
    """logsumexp_k L [..., n] and softmax_k L [..., K, n]; L may be overwritten."""
    shares = np.exp(joint)
    total = np.add.reduce(shares, -2)
    # An entry by its place is several times faster to get at than the minimum itself.
    if total.size and total.item(total.argmin()) > SMALLEST and total.item(total.argmax()) < 1.0 / SMALLEST:
        values = np.log(total)
    else:
        largest = joint.max(axis=-2)
        np.exp(np.subtract(joint, largest[..., None, :], out=shares), out=shares)
        total = np.add.reduce(shares, axis=-2)
        values = np.log(total) + largest
    # A product is several times faster than a quotient, and there are K of them for each row.
    shares *= (1.0 / total)[..., None, :]
    return values, shares


def _places(mask: NDArray[np.bool_]) -> NDArray[np.integer[Any]]:
    """The rows where a mask is true, in half the memory where their numbers allow it."""
    places = np.flatnonzero(mask)
    return places.astype(np.int32) if len(mask) < 2**31 else places


def _chunks(num_rows: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, num_rows)) for start in range(0, num_rows, size))


def _set_of(greeks: Greeks, index: tuple[int, ...]) -> dict[str, Array]:
    return {name: np.asarray(value[index]) for name, value in greeks.items()}


def _arrays(greeks: Mapping[str, Tensor]) -> dict[str, Array]:
    return {name: value.detach().double().numpy() for name, value in greeks.items()}
