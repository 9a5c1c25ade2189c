"""The features Φ of a data set's rows: what every term of the model sees of a row, stacked.

A column of many jointly Gaussian numbers has D²/2 features, which would be read from memory over and over: its
``t = (1, x)`` is kept instead, of which they are the products.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from estimators.estep.term import RowTerm
from estimators.estep.variable import Node
from estimators.mechanisms.protocol import Reference
from estimators.parameters.parameter import Array

# From this many columns on, the products of a column of vectors are made when they are needed.
MANY_COLUMNS = 24
# Rows whose features are made at one time, where they are kept or summed.
TOGETHER = 65_536

Normalise = Callable[[Array], tuple[Array, Array]]
Part = tuple[slice, Array, dict[str, Array]]
PartT = TypeVar("PartT")


class Rows:
    """Some rows and what their features are: [F, n], the 1 of all terms with no entry left out among them once.

    ``columns`` hold all rows, ``active`` the terms with entries left out (set, say) and a 0 for each of these. Features
    that are products (of ``designs``) come last and are not stacked with the others.
    """

    def __init__(
        self,
        terms: Mapping[str, RowTerm],
        columns: Mapping[str, Array],
        active: Mapping[str, Array],
        weights: Array | None,
        index: NDArray[np.integer[Any]],
        references: Mapping[str, Reference],
    ) -> None:
        self.terms, self.num_rows = terms, len(index)
        self.weighted = weights is not None
        # Ones that take no memory, where rows have no weights.
        self.weights = np.broadcast_to(1.0, len(index)) if weights is None else weights[index]
        everything = all(len(column) == len(index) for column in columns.values())
        self._columns = {name: column if everything else column[index] for name, column in columns.items()}
        self._active = {name: mask if everything else mask[index] for name, mask in active.items()}
        self.references = references
        self.products = {name: width for name, term in terms.items() if (width := design_width(term))}
        self.places: dict[str, list[int]] = {}
        size = 1
        for name, term in terms.items():
            if name not in self.products:
                shares_one = term.has_constant and name not in self._active
                self.places[name] = [*([0] if shares_one else []), *range(size, size + term.width - shares_one)]
                size += term.width - shares_one
        self.num_stacked = size
        for name in self.products:
            self.places[name] = list(range(size, size + terms[name].width))
            size += terms[name].width
        self.width = size
        self._slices: dict[str, slice | list[int]] = {
            name: slice(places[0], places[-1] + 1) if places[-1] - places[0] + 1 == len(places) else places
            for name, places in self.places.items()
        }

    def stacked(self, rows: slice) -> Array:
        """The features of some rows that are not products, about the shared references: [F, n]."""
        start, stop, _ = rows.indices(self.num_rows)
        found = np.empty((self.num_stacked, stop - start))
        found[0] = 1.0
        # A part at a time, so that what a family's features are made of takes little memory.
        for first in range(start, stop, TOGETHER):
            part = slice(first, min(first + TOGETHER, stop))
            into = found[:, first - start : part.stop - start]
            for name, places in self.places.items():
                if name not in self.products:
                    own = self.of(name, self.references[name], part)[places[0] == 0 :]
                    into[places[-1] + 1 - len(own) : places[-1] + 1] = own
        return found

    def design(self, name: str, which: Any = slice(None)) -> Array:
        """t [1 + D, n] of a column of vectors, zero where its entry is left out."""
        column, reference = self._columns[name][which], self.references[name]
        design = np.concatenate([np.ones((1, len(column))), ((column - reference.centre) / reference.scale).T])
        return design * self._active[name][which] if name in self._active else design

    def of(self, name: str, reference: Reference, which: Any = slice(None), component: int | None = None) -> Array:
        """One term's features [F, n], zero where its entry is left out."""
        columns = {key: column[which] for key, column in self._columns.items()}
        features = self.terms[name].features(columns, reference, component)
        return features * self._active[name][which] if name in self._active else features

    def stack(self, coefficients: Mapping[str, Array]) -> Array:
        """The coefficients of all features, [..., K, F]."""
        first = next(iter(coefficients.values()))
        stacked = np.zeros((*first.shape[:-1], self.width))
        for name, places in self._slices.items():
            # Adding at a list of indices is safe: no index repeats within one term.
            stacked[..., places] += coefficients[name]
        return stacked

    def weigh(self, rows: slice, values: Array, shares: Array) -> None:
        """Multiply values [..., n] and shares [..., K, n] of some rows by the rows' weights, in place."""
        if self.weighted:
            weights = self.weights[rows].reshape(values.shape)
            values *= weights
            shares *= weights[..., None, :]

    def split(self, collected: Array) -> dict[str, Array]:
        """Each term's statistics [..., K, F] out of those of all features."""
        return {name: collected[..., places] for name, places in self._slices.items()}

    def collected(self, weights: Array, references: Mapping[str, Reference]) -> dict[str, Array]:
        """Σ_n weights Φ by term [..., K, F], for weights [..., K, n]."""
        # einsum, not a matrix product, whose sums depend on the thread count.
        found = np.zeros((*weights.shape[:-1], self.width))
        for start in range(0, self.num_rows, TOGETHER):
            rows = slice(start, start + TOGETHER)
            part = weights[..., rows]
            found[..., : self.num_stacked] += np.einsum("...n,fn->...f", part, self.stacked(rows))
            for name in self.products:
                features = self.of(name, references[name], rows)
                found[..., self.places[name]] += np.einsum("...n,fn->...f", part, features)
        return self.split(found)


def design_width(term: RowTerm) -> int:
    """1 + D of a term whose features are kept as the products that they are; 0 of any other."""
    if not isinstance(term, Node) or term.levels or not term.mechanism.has_products:
        return 0
    size = term.mechanism.num_columns or 0
    return 1 + size if size >= MANY_COLUMNS else 0
