"""log p(data | φ) with Z summed out: the exact E-step, in chunks that stay in cache. Nothing else touches the N rows.

    L = C Φ  [K, N]        ℓ = logsumexp_k L        R = softmax_k L        S = R Φᵀ  [K, F]

Φ are the rows' features, C the coefficients at the Greeks φ, S the expected sufficient statistics. Everything after is
O(K F): ``J(φ; S) = Σ_k C_k(φ) · S_k`` has the gradient of the marginal at the φ where S was computed (Fisher's
identity), and its maximum is EM's M-step. Greeks may carry a leading axis of parameter sets, evaluated in one pass.

The sums run in NumPy on one thread: on a thousand rows, as NUTS meets them thousands of times, torch's overhead per
operation is most of the time; on a million, chunks in cache are as fast; and no result depends on the thread count.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from estimators.data import Data
from estimators.features import Features, PerComponent, Rows, Shared, of_component
from estimators.mechanisms.base import Greeks, Mechanism, Reference
from estimators.parameters import TINY, Array

# Elements of L in one chunk, so that L, R and the chunk's Φ stay in the second-level cache; and the multiplications in
# one of its matrix products, below which OpenBLAS keeps to one thread, so that no sum depends on the thread count.
CHUNK = 32_000
PRODUCT = 200_000
# Likelihoods below this are summed relative to the row's largest instead.
SMALLEST = 1e-200
# The logarithm of a weight of 0: finite, so that it may be multiplied by a count of 0, and far below any likelihood.
LOG_ZERO = -1e290


class Expectation(Protocol):
    """The E-step at an expansion point."""

    @property
    def log_likelihood(self) -> float:
        """log p(data | φ) at the expansion point."""

    def q(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """J(φ; S), differentiable; its gradient at the expansion point is the marginal's. First order only."""

    def argmax(self) -> dict[str, Tensor]:
        """The M-step."""


class Marginal(Protocol):
    """log p(data | φ), Z summed out."""

    def log_likelihood(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """A differentiable scalar (first order only)."""

    def pointwise(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """log p(row | φ) as [N], without the weights."""

    def responsibilities(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """p(Z = k | row, φ) as [N, K]."""

    def expectation(self, greeks: Mapping[str, Tensor]) -> Expectation:
        """The E-step."""


class Statistics(NamedTuple):
    """Expected sufficient statistics of all rows, with the references in which they were formed.

    ``log_likelihood`` [...], ``counts`` [..., K] (rows that inform theta), ``mechanisms`` variable → [..., K, F].
    """

    log_likelihood: Array
    counts: Array
    mechanisms: Mapping[str, Array]
    references: Mapping[str, Reference]


class MixtureMarginal:
    """The marginal of a causal mixture on a data set.

    Rows with Z hidden are summed over; a row with Z known (seen or set) has constant statistics, computed once. A set
    entry zeroes its own mechanism's features, that mechanism's 1 included; a set Z adds nothing to theta's counts.
    """

    def __init__(
        self,
        mechanisms: Mapping[str, Mechanism],
        num_components: int,
        data: Data,
        local: Callable[[Mapping[str, Any], str], dict[str, Any]],
    ) -> None:
        self.mechanisms, self.K, self.local = mechanisms, num_components, local
        self.num_rows = data.num_rows
        latent = data.latent().numpy()
        self._hidden_index, self._known_index = np.flatnonzero(latent < 0), np.flatnonzero(latent >= 0)
        self.total_weight = float(data.num_rows if data.weights is None else data.weights.numpy().sum())
        # How many rows there are: weights above 1 are repeated rows, weights that sum to 1 are shares of the N rows.
        self.count = max(float(data.num_rows), self.total_weight)
        self.references = {
            name: mechanism.reference(mechanism.check(name, data.columns[name])[~data.is_set(name)].numpy())
            for name, mechanism in mechanisms.items()
        }
        self._hidden = Rows(mechanisms, data, self._hidden_index, self.references)
        self._shared = Shared(self._hidden)
        self._known = Rows(mechanisms, data, self._known_index, self.references)
        self._known_latent = latent[self._known_index]
        informs = self._known.weights * self._known.informs_theta
        self._known_counts = np.bincount(self._known_latent, informs, minlength=num_components)
        self._known_statistics = self._statistics_of_known(self.references)

    # ---------------------------------------------------------------- the E-step

    def statistics(self, greeks: Greeks) -> Statistics:
        """The E-step at Greeks [..., *shape]: log-likelihood and expected sufficient statistics."""
        references, coefficients = self._coefficients(greeks)
        if references is not self.references and greeks["theta"].ndim > 1:
            return self._one_set_at_a_time(greeks, greeks["theta"].shape[:-1])
        log_weights = _log(greeks["theta"])
        value, collected = self._sum_over_hidden(self._features_for(references), log_weights, coefficients)
        statistics = self._hidden.split(collected)
        if not self._known.num_rows:
            return Statistics(value, collected[..., 0], statistics, references)
        known = self._known_statistics if references is self.references else self._statistics_of_known(references)
        value = value + (log_weights * self._known_counts).sum(-1)
        for name in self.mechanisms:
            value = value + (coefficients[name] * known[name]).sum((-1, -2))
            statistics[name] = statistics[name] + known[name]
        return Statistics(value, collected[..., 0] + self._known_counts, statistics, references)

    def gradient(self, greeks: Greeks, statistics: Statistics) -> dict[str, Array]:
        """dJ(φ; S)/dφ: at the φ where S was computed, the gradient of the log-likelihood. O(K F)."""
        found = {"theta": statistics.counts / np.maximum(greeks["theta"], TINY)}
        for name, mechanism in self.mechanisms.items():
            local, sums = self.local(greeks, name), statistics.mechanisms[name]
            for symbol, slope in mechanism.gradient(local, sums, statistics.references[name]).items():
                found[f"{symbol}_{name}"] = slope
        return found

    def complete(self, greeks: Greeks, statistics: Statistics) -> Array:
        """J(φ; S) = Σ_k C_k(φ) · S_k as [...]: the expected complete-data log-likelihood."""
        value = (_log(greeks["theta"]) * statistics.counts).sum(-1)
        for name, mechanism in self.mechanisms.items():
            coefficients = mechanism.coefficients(self.local(greeks, name), statistics.references[name])
            value = value + (coefficients * statistics.mechanisms[name]).sum((-1, -2))
        return np.asarray(value)

    def argmax(self, greeks: Greeks, statistics: Statistics) -> dict[str, Array]:
        """The M-step: the Greeks that maximise J(·; S), in closed form in each mechanism."""
        total = statistics.counts.sum(-1, keepdims=True)
        found = {"theta": np.where(total > 0, statistics.counts / np.where(total > 0, total, 1.0), greeks["theta"])}
        for name, mechanism in self.mechanisms.items():
            best = mechanism.argmax(statistics.mechanisms[name], statistics.references[name], self.local(greeks, name))
            found.update({f"{symbol}_{name}": value for symbol, value in best.items()})
        return found

    def statistics_given(self, responsibilities: Array) -> Statistics:
        """The statistics under given responsibilities of all rows [..., K, N] instead of the E-step's."""
        return self.statistics_of_hidden(responsibilities[..., self._hidden_index])

    def statistics_of_hidden(self, responsibilities: Array) -> Statistics:
        """The same, for responsibilities of the rows with Z hidden [..., K, N_hidden]."""
        # einsum, not a matrix product, whose sums depend on the thread count.
        collected = np.einsum("...n,fn->...f", responsibilities * self._hidden.weights, self._hidden.features)
        by_name = self._hidden.split(collected)
        sums = {name: by_name[name] + self._known_statistics[name] for name in self.mechanisms}
        counts = collected[..., 0] + self._known_counts
        return Statistics(np.zeros(counts.shape[:-1]), counts, sums, self.references)

    def has_collapsed(self, greeks: Greeks) -> bool:
        """Whether a component has shrunk onto a point."""
        return any(
            mechanism.has_collapsed(self.local(greeks, name), self.references[name])
            for name, mechanism in self.mechanisms.items()
        )

    # ---------------------------------------------------------------- the protocol, on tensors

    def log_likelihood(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """log p(data | φ) = Σ_n w_n logsumexp_k L[k, n], differentiable to first order."""
        names = list(greeks)

        def evaluate(*values: Tensor) -> tuple[Array, list[Array]]:
            arrays = _arrays(dict(zip(names, values, strict=True)))
            statistics = self.statistics(arrays)
            slopes = self.gradient(arrays, statistics)
            return statistics.log_likelihood, [slopes[name] for name in names]

        return _differentiable(evaluate, [greeks[name] for name in names])

    def expectation(self, greeks: Mapping[str, Tensor]) -> "MixtureExpectation":
        """The E-step at φ."""
        arrays = _arrays(greeks)
        return MixtureExpectation(self, arrays, self.statistics(arrays))

    def pointwise(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """log p(row | φ) as [..., N]; for a row with Z known, log p(Z, row | φ), without theta where Z was set."""
        arrays = _arrays(greeks)
        out = np.empty((*arrays["theta"].shape[:-1], self.num_rows))
        for rows, joint in self._joint(arrays):
            out[..., self._hidden_index[rows]] = _normalise(joint)[0]
        if self._known.num_rows:
            out[..., self._known_index] = self._pointwise_known(arrays)
        return torch.from_numpy(out)

    def responsibilities(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """p(Z = k | row, φ) as [..., N, K]; one-hot where Z is known."""
        arrays = _arrays(greeks)
        out = np.zeros((*arrays["theta"].shape[:-1], self.num_rows, self.K))
        for rows, joint in self._joint(arrays):
            out[..., self._hidden_index[rows], :] = np.swapaxes(_normalise(joint)[1], -1, -2)
        out[..., self._known_index, self._known_latent] = 1.0
        return torch.from_numpy(out)

    # ---------------------------------------------------------------- inside

    def _coefficients(self, greeks: Greeks) -> tuple[Mapping[str, Reference], dict[str, Array]]:
        """C by variable, about the shared references or, where x² would lose digits, about each component's own."""
        moved, found = {}, {}
        for name, mechanism in self.mechanisms.items():
            local, reference = self.local(greeks, name), self.references[name]
            found[name] = mechanism.coefficients(local, reference)
            if mechanism.loses_digits(found[name], reference):
                moved[name] = mechanism.recentred(local, reference)
                found[name] = mechanism.coefficients(local, moved[name])
        return ({**self.references, **moved} if moved else self.references), found

    def _features_for(self, references: Mapping[str, Reference]) -> "Features":
        if references is self.references:
            return self._shared
        return PerComponent(self._hidden, references, self.K)

    def _sum_over_hidden(
        self, features: "Features", log_weights: Array, coefficients: Mapping[str, Array]
    ) -> tuple[Array, Array]:
        """Σ w ℓ [...] and S [..., K, F] over the rows with Z hidden, chunk by chunk in a fixed order."""
        stacked = self._hidden.stack(log_weights, coefficients)
        batched = stacked.ndim > 2
        flat = stacked.reshape(-1, stacked.shape[-1]) if batched else stacked
        value, collected = np.zeros(stacked.shape[:-2]), np.zeros_like(flat)
        for rows in _chunks(self._hidden.num_rows, *flat.shape):
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
        batch = greeks["theta"].shape[:-1]
        if references is not self.references and batch:
            parts = [list(self._joint(_set_of(greeks, index))) for index in np.ndindex(batch)]
            for pieces in zip(*parts, strict=True):
                yield pieces[0][0], np.stack([joint for _, joint in pieces]).reshape(*batch, self.K, -1)
            return
        features = self._features_for(references)
        stacked = self._hidden.stack(_log(greeks["theta"]), coefficients)
        flat = stacked.reshape(-1, stacked.shape[-1])
        for rows in _chunks(self._hidden.num_rows, *flat.shape):
            yield rows, features.joint(flat, rows).reshape(*batch, self.K, -1)

    def _pointwise_known(self, greeks: Greeks) -> Array:
        """log p of the known rows at their own component, [..., N_known]."""
        references, by_name = self._coefficients(greeks)
        batch = greeks["theta"].shape[:-1]
        if references is not self.references and batch:
            parts = [self._pointwise_known(_set_of(greeks, index)) for index in np.ndindex(batch)]
            return np.stack(parts).reshape(*batch, -1)
        value = _log(greeks["theta"])[..., self._known_latent] * self._known.informs_theta
        for name, coefficients in by_name.items():
            for k in range(self.K):
                mine = self._known_latent == k
                features = self._known.of(name, of_component(references[name], k), mine)
                value[..., mine] += coefficients[..., k, :] @ features
        return value

    def _statistics_of_known(self, references: Mapping[str, Reference]) -> dict[str, Array]:
        """Σ w Φ over the rows known to be in each component, [K, F] by variable."""
        found = {}
        for name, mechanism in self.mechanisms.items():
            sums = np.zeros((self.K, mechanism.num_features))
            for k in range(self.K):
                mine = self._known_latent == k
                if mine.any():
                    features = self._known.of(name, of_component(references[name], k), mine)
                    sums[k] = (features * self._known.weights[mine]).sum(-1)
            found[name] = sums
        return found

    def _one_set_at_a_time(self, greeks: Greeks, batch: tuple[int, ...]) -> Statistics:
        parts = [self.statistics(_set_of(greeks, index)) for index in np.ndindex(batch)]

        def stack(values: list[Array]) -> Array:
            return np.stack(values).reshape(*batch, *values[0].shape)

        references = {
            name: Reference(
                stack([np.broadcast_to(part.references[name].centre, (self.K,)) for part in parts]),
                self.references[name].scale,
                self.references[name].reach,
            )
            for name in self.mechanisms
        }
        sums = {name: stack([part.mechanisms[name] for part in parts]) for name in self.mechanisms}
        value, counts = stack([part.log_likelihood for part in parts]), stack([part.counts for part in parts])
        return Statistics(value, counts, sums, references)


@dataclass(frozen=True)
class MixtureExpectation:
    """The E-step of a causal mixture at an expansion point."""

    marginal: MixtureMarginal
    at: Greeks
    statistics: Statistics

    @property
    def log_likelihood(self) -> float:
        """log p(data | φ) at the expansion point."""
        return float(self.statistics.log_likelihood)

    def q(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """J(φ; S), differentiable to first order: its Hessian is complete-data information, too large for an sd."""
        names = list(greeks)

        def evaluate(*values: Tensor) -> tuple[Array, list[Array]]:
            arrays = _arrays(dict(zip(names, values, strict=True)))
            slopes = self.marginal.gradient(arrays, self.statistics)
            return self.marginal.complete(arrays, self.statistics), [slopes[name] for name in names]

        return _differentiable(evaluate, [greeks[name] for name in names])

    def argmax(self) -> dict[str, Tensor]:
        """The M-step."""
        best = self.marginal.argmax(self.at, self.statistics)
        return {name: torch.from_numpy(np.asarray(value)) for name, value in best.items()}


def _normalise(joint: Array) -> tuple[Array, Array]:
    """logsumexp_k L [..., n] and softmax_k L [..., K, n]; L may be overwritten."""
    shares = np.exp(joint)
    total = np.add.reduce(shares, axis=-2)
    if total.size and total.min() > SMALLEST and total.max() < 1.0 / SMALLEST:
        values = np.log(total)
    else:
        largest = joint.max(axis=-2)
        np.exp(np.subtract(joint, largest[..., None, :], out=shares), out=shares)
        total = np.add.reduce(shares, axis=-2)
        values = np.log(total) + largest
    # A product is several times faster than a quotient, and there are K of them for each row.
    shares *= (1.0 / total)[..., None, :]
    return values, shares


def _chunks(num_rows: int, num_sets: int, num_features: int) -> Iterator[slice]:
    size = max(min(CHUNK // num_sets, PRODUCT // (num_sets * num_features)), 1)
    return (slice(start, min(start + size, num_rows)) for start in range(0, num_rows, size))


def _set_of(greeks: Greeks, index: tuple[int, ...]) -> dict[str, Array]:
    return {name: np.asarray(value[index]) for name, value in greeks.items()}


def _log(weights: Array) -> Array:
    return (
        np.log(weights) if weights.min() > 0 else np.where(weights > 0, np.log(np.maximum(weights, 5e-324)), LOG_ZERO)
    )


def _arrays(greeks: Mapping[str, Tensor]) -> dict[str, Array]:
    return {name: value.detach().double().numpy() for name, value in greeks.items()}


class _FirstOrder(torch.autograd.Function):
    """A scalar with known gradients: autograd continues through its arguments, and a second derivative is an error."""

    @staticmethod
    def forward(ctx: Any, evaluate: Callable[..., tuple[Array, list[Array]]], *arguments: Tensor) -> Tensor:
        value, slopes = evaluate(*arguments)
        ctx.save_for_backward(*(torch.from_numpy(np.asarray(slope)) for slope in slopes))
        return torch.as_tensor(value, dtype=torch.float64)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return (None, *(gradient * slope for slope in ctx.saved_tensors))


def _differentiable(evaluate: Callable[..., tuple[Array, list[Array]]], arguments: list[Tensor]) -> Tensor:
    result: Tensor = _FirstOrder.apply(evaluate, *arguments)  # type: ignore[no-untyped-call]
    return result
