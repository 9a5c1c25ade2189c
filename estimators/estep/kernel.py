"""The two products with the features Φ of the rows: L = C Φ and S = R Φᵀ.

Rows are taken in blocks, each small enough that its products are made on one thread, several blocks at one call, and
what the parts sum to is added in their order: so no sum depends on the thread count, over which parts are spread where
they are large (on small ones threads wait for each other).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from estimators.estep.features import TOGETHER, Normalise, Part, PartT, Rows
from estimators.mechanisms.protocol import Reference
from estimators.parameters.parameter import Array

# Elements of L in one part, so that L, R and the part's Φ stay in the second-level cache; and the multiplications in
# one product, below which OpenBLAS keeps to one thread.
CHUNK = 32_000
PRODUCT = 200_000
# Fewer parts for each thread than this are not worth a thread.
LEAST_PARTS = 2


class Shared:
    """One Φ for all components, kept once: rows in whole blocks as [blocks, F, size], the rows after as [F, n]."""

    def __init__(self, rows: Rows, num_components: int) -> None:
        self._rows = rows
        size = _block_size(num_components, rows.num_stacked, list(rows.products.values()))
        # Blocks pay only where one is smaller than a part that stays in cache; otherwise each part is one product.
        self._is_blocked = bool(rows.num_rows // size > 1 and size * num_components < CHUNK)
        self._size, self._whole = size, rows.num_rows // size if self._is_blocked else 0
        self._blocks = np.empty((self._whole, rows.num_stacked, size))
        self._design_blocks = {name: np.empty((self._whole, width, size)) for name, width in rows.products.items()}
        step = max(TOGETHER // size, 1)
        for first in range(0, self._whole, step):
            last = min(first + step, self._whole)
            part = slice(first * size, last * size)
            self._blocks[first:last] = _blocked(rows.stacked(part), size)
            for name, blocks in self._design_blocks.items():
                blocks[first:last] = _blocked(rows.design(name, part), size)
        after = slice(self._whole * size, None)
        self._features = rows.stacked(after)
        self._designs = {name: rows.design(name, after) for name in rows.products}
        one = self.chunk_rows(num_components, rows.num_stacked) >= rows.num_rows
        self._is_one_part = one and not rows.products and not self._is_blocked

    def stacked(self, rows: slice) -> Array:
        """The kept features of some rows that are not products [F, n]."""
        return self._of(rows, self._blocks, self._features)

    def _of(self, rows: slice, blocks: Array, after: Array) -> Array:
        start, stop, _ = rows.indices(self._rows.num_rows)
        border = self._whole * self._size
        if start >= border:
            return after[:, start - border : stop - border]
        first = start // self._size
        inside = np.concatenate(list(blocks[first : -(-stop // self._size)]), axis=1)
        begin = first * self._size
        return np.concatenate([inside, after[:, : max(stop - border, 0)]], 1)[:, start - begin : stop - begin]

    def sums(self, coefficients: Array, normalise: Normalise) -> tuple[Array, Array]:
        """Σ w ℓ and S [K, F] for coefficients [K, F]."""
        if self._is_one_part:
            # Few rows, as NUTS meets them thousands of times: no blocks, the same numbers.
            values, shares = normalise(coefficients.dot(self._features))
            self._rows.weigh(slice(None), values, shares)
            return np.add.reduce(values), shares.dot(self._features.T)
        quadratic = {name: self._matrices(name, coefficients) for name in self._rows.products}

        def of_part(part: Part) -> tuple[Array, Array]:
            rows, features, designs = part
            joint = coefficients[:, : features.shape[-2]] @ features
            for name, design in designs.items():
                for k, matrix in enumerate(quadratic[name]):
                    joint[..., k, :] += np.einsum("...dn,...dn->...n", matrix @ design, design)
            values, shares = normalise(joint)
            self._rows.weigh(rows, values, shares)
            collected = np.zeros_like(coefficients)
            collected[:, : features.shape[-2]] = _first_axes(shares @ np.swapaxes(features, -1, -2))
            for name, design in designs.items():
                self._collect(name, design, shares, collected)
            return np.add.reduce(values, axis=None), collected

        return _total(list(self._parts(*coefficients.shape)), of_part, coefficients.shape, spread=self._is_blocked)

    def joint(self, coefficients: Array, rows: slice) -> Array:
        """L [K', n] of some rows, for coefficients [K', F]."""
        found = coefficients[:, : self._rows.num_stacked] @ self.stacked(rows)
        for name in self._rows.products:
            part = self._of(rows, self._design_blocks[name], self._designs[name])
            for k, matrix in enumerate(self._matrices(name, coefficients)):
                found[k] += np.einsum("dn,dn->n", matrix @ part, part)
        return np.asarray(found)

    def collect(self, responsibilities: Array, rows: slice, into: Array) -> None:
        """Add R Φᵀ of some rows."""
        into[:, : self._rows.num_stacked] += responsibilities @ self.stacked(rows).T
        for name in self._rows.products:
            design = self._of(rows, self._design_blocks[name], self._designs[name])
            self._collect(name, design, responsibilities, into)

    def chunk_rows(self, num_sets: int, num_features: int) -> int:
        """How many rows of parameter sets are taken at a time."""
        widest = max((len(design) ** 2 for design in self._designs.values()), default=1)
        rows = PRODUCT // max(num_sets * min(num_features, self._rows.num_stacked), widest)
        return max(min(CHUNK // num_sets, rows), 1)

    def _parts(self, num_sets: int, num_features: int) -> Iterator[Part]:
        start = 0
        if self._is_blocked:
            together = max(CHUNK // (num_sets * self._size), 1)
            for first in range(0, self._whole, together):
                last = min(first + together, self._whole)
                designs = {name: design[first:last] for name, design in self._design_blocks.items()}
                yield slice(first * self._size, last * self._size), self._blocks[first:last], designs
            start = self._whole * self._size
        step = self.chunk_rows(num_sets, num_features)
        for first in range(start, self._rows.num_rows, step):
            rows = slice(first, min(first + step, self._rows.num_rows))
            after = slice(first - start, rows.stop - start)
            designs = {name: design[:, after] for name, design in self._designs.items()}
            yield rows, self._features[:, after], designs

    def _matrices(self, name: str, coefficients: Array) -> Array:
        """The symmetric matrices [K, 1 + D, 1 + D] with ``t' Q_k t = C_k Φ``."""
        size = len(self._designs[name])
        return _symmetric(coefficients[:, self._rows.places[name]], size)

    def _collect(self, name: str, design: Array, shares: Array, into: Array) -> None:
        first, second = np.triu_indices(design.shape[-2])
        places = slice(self._rows.places[name][0], self._rows.places[name][-1] + 1)
        for k in range(shares.shape[-2]):
            products = (design * shares[..., k : k + 1, :]) @ np.swapaxes(design, -1, -2)
            into[k, places] += _first_axes(products)[first, second]


def _symmetric(products: Array, size: int) -> Array:
    """Coefficients [K, F] of the products t_i t_j, i <= j, as symmetric matrices."""
    first, second = np.triu_indices(size)
    matrices = np.zeros((len(products), size, size))
    matrices[:, first, second] = products
    return np.asarray(0.5 * (matrices + np.swapaxes(matrices, 1, 2)))


def _total(
    parts: Sequence[PartT], of_part: Callable[[PartT], tuple[Array, Array]], shape: tuple[int, ...], *, spread: bool
) -> tuple[Array, Array]:
    """The sums over parts, added in their order, whichever thread made them."""
    value, collected = np.zeros(()), np.zeros(shape)
    workers = min(torch.get_num_threads(), len(parts) // LEAST_PARTS) if spread else 1
    if workers > 1:
        with ThreadPoolExecutor(workers) as pool:
            found = list(pool.map(of_part, parts))
    else:
        found = [of_part(part) for part in parts]
    for one, more in found:
        value += one
        collected += more
    return value, collected


def _block_size(num_components: int, num_features: int, designs: list[int]) -> int:
    return max(PRODUCT // max(num_components * num_features, *(size**2 for size in designs), 1), 1)


def _blocked(features: Array, size: int) -> Array:
    """[F, blocks * size] as [blocks, F, size]."""
    return features.reshape(len(features), -1, size).swapaxes(0, 1)


def _first_axes(products: Array) -> Array:
    """Summed over blocks, where there are several."""
    return products if products.ndim == 2 else np.add.reduce(products, axis=0)


class PerComponent:
    """Φ centred at each component's own mean, (x - mu_k)² directly, where a shared centre would lose digits of x²."""

    def __init__(self, rows: Rows, shared: Shared, references: Mapping[str, Reference], num_components: int) -> None:
        self._rows, self._shared, self._K, self._references = rows, shared, num_components, references
        self._moved = {name: reference for name, reference in references.items() if reference.by_cell}

    def chunk_rows(self, num_sets: int, num_features: int) -> int:
        """How many rows are taken at a time."""
        return max(min(CHUNK // num_sets, PRODUCT // num_features), 1)

    def sums(self, coefficients: Array, normalise: Normalise) -> tuple[Array, Array]:
        """Σ w ℓ and S [K, F] for coefficients [K, F]."""
        step = self.chunk_rows(*coefficients.shape)

        def of_part(start: int) -> tuple[Array, Array]:
            rows = slice(start, min(start + step, self._rows.num_rows))
            features = [self._features(k, rows) for k in range(self._K)]
            values, shares = normalise(np.stack([c @ part for c, part in zip(coefficients, features, strict=True)]))
            self._rows.weigh(rows, values, shares)
            return np.add.reduce(values), np.stack([part @ r for part, r in zip(features, shares, strict=True)])

        return _total(range(0, self._rows.num_rows, step), of_part, coefficients.shape, spread=False)

    def joint(self, coefficients: Array, rows: slice) -> Array:
        """L [K, n] of some rows."""
        return np.stack([coefficients[k] @ self._features(k, rows) for k in range(self._K)])

    def collect(self, responsibilities: Array, rows: slice, into: Array) -> None:
        """Add R Φᵀ of some rows."""
        for k in range(self._K):
            into[k] += self._features(k, rows) @ responsibilities[k]

    def _features(self, k: int, rows: slice) -> Array:
        stacked = np.empty((self._rows.width, len(range(*rows.indices(self._rows.num_rows)))))
        stacked[: self._rows.num_stacked] = self._shared.stacked(rows)
        for name in {**self._moved, **self._rows.products}:
            places = self._rows.places[name]
            features = self._rows.of(name, self._references[name], rows, k)
            if places[0] != 0:
                stacked[places[0]] = features[0]
            stacked[places[1] : places[-1] + 1] = features[1:]
        return stacked
