"""The compiled kernel, as the E-step calls it."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from math import prod

import numpy as np

from estimators.estep.compiled.expectation import EXPECTATION, over_chunks
from estimators.estep.compiled.layout import BLOCK, LIKELIHOOD, ROW_LIKELIHOODS, ROWS, SLOPES, WHOLE, Tables, addresses
from estimators.estep.compiled.rows import arranged
from estimators.estep.compiled.tables import ModelTables
from estimators.estep.compiled.threads import in_ranges
from estimators.estep.compiled.unit_expectation import EXPECTATION_OF_UNITS
from estimators.estep.terms import Entries, Terms
from estimators.estep.units import Index
from estimators.mechanisms.protocol import Greeks, Reference
from estimators.optimise.arrays import Array

# Elements of L for which a thread is worth its start; a general term takes as long as so many.
LEAST_WORK, OF_GENERAL = 50_000, 8
# Responsibilities that are held at one time.
MOST_NUMBERS = 4_000_000


class CompiledKernel:
    """A model's tables, and threads over parameter sets or over rows, whichever there are more of."""

    def __init__(self, terms: Terms, entries: Entries, references: Sequence[Reference]) -> None:
        self._terms, self._references, self._num_rows = terms, references, entries.num_rows
        self.K = terms.K
        made = self._made = ModelTables(terms, entries, references)
        rows = arranged(made)
        self.places = made.greeks
        self._position, self._size = rows.position, rows.columns.shape[1]
        # What is asked for one by one: units, or rows.
        self._num_apart = int(rows.chunks[-1, 1]) if entries.units is not None else self._size
        num_scratch = made.num_work + made.num_kept
        sizes = self.K, made.C_width, made.S_width, num_scratch, int(len(rows.weights) > 0), self._size
        self.tables = Tables(
            np.array([*sizes, EXPECTATION if entries.units is None else EXPECTATION_OF_UNITS], dtype=np.int64),
            np.stack(made.rows),
            rows.segments,
            rows.blocks,
            rows.chunks,
            rows.units,
            np.array(made.constants, dtype=np.float64),
            rows.columns,
            rows.weights,
            made.greeks.known(),
            np.zeros((0, 0), dtype=np.int64),
            np.zeros(0),
            made.copies,
        )
        self._where = addresses(self.tables)
        self.num_chunks = len(rows.chunks) - 1
        ends = np.cumsum([0, *made.widths]).tolist()
        self._slots = [slice(a, b) for a, b in pairwise(ends)]

    @property
    def makes_coefficients(self) -> bool:
        """Whether a family makes coefficients of its Greeks itself, which compiled code cannot."""
        return bool(self._made.made)

    def sums(self, greeks: Greeks) -> tuple[Array, dict[int, Array]]:
        value, collected = self.collected(self._numbers(greeks))
        return value, self.by_slot(collected)

    def collected(self, numbers: Array, *, is_whole: bool = True) -> tuple[Array, Array]:
        """Σ w ℓ [S] and the sums of all terms [S, K, F] at the Greeks [S, 3, size]; the M-step's where ``is_whole``."""
        values = np.empty((len(numbers), self.num_chunks))
        sums = np.empty((*values.shape, self.K, int(self.tables.sizes[2])))
        self.spread(partial(self._fill, numbers, WHOLE if is_whole else SLOPES, values, sums), len(numbers))
        # One after the other, in the order of the rows: NumPy would add in pairs.
        value, collected = np.zeros(len(numbers)), np.zeros((len(numbers), *sums.shape[2:]))
        for chunk in range(self.num_chunks):
            value += values[:, chunk]
            collected += sums[:, chunk]
        return value, collected

    def log_likelihood(self, numbers: Array) -> Array:
        """Σ w ℓ [S] at the Greeks [S, 3, size], without any sums."""
        values = np.empty((len(numbers), self.num_chunks))
        nothing = np.empty((*values.shape, 1, 1))
        self.spread(partial(self._fill, numbers, LIKELIHOOD, values, nothing), len(numbers))
        value = np.zeros(len(numbers))
        for chunk in range(self.num_chunks):
            value += values[:, chunk]
        return value

    def by_slot(self, collected: Array) -> dict[int, Array]:
        """The sums [..., K, F] term by term."""
        return {slot: collected[..., places] for slot, places in enumerate(self._slots)}

    def _fill(self, numbers: Array, what: int, values: Array, out: Array, sets: slice, first: int, last: int) -> None:
        over_chunks(self._where, numbers[sets], first, last, what, values[sets], out[sets])

    def by_unit(self, greeks: Greeks) -> Iterator[tuple[slice, Index, Array, Array]]:
        for which, apart in self._apart(greeks, ROWS, 1 + self.K):
            yield which, slice(None), apart[:, 0], apart[:, 1:]

    def values_by_unit(self, greeks: Greeks) -> Iterator[tuple[slice, Index, Array]]:
        """The same without R, which takes K times the room."""
        for which, apart in self._apart(greeks, ROW_LIKELIHOODS, 1):
            yield which, slice(None), apart[:, 0]

    def _apart(self, greeks: Greeks, what: int, width: int) -> Iterator[tuple[slice, Array]]:
        """What is wanted of each unit [S', width, U], for some parameter sets at a time."""
        numbers = self._numbers(greeks)
        step = max(MOST_NUMBERS // (width * max(self._size, self._num_rows, 1)), 1)
        for start in range(0, len(numbers), step):
            own = numbers[start : start + step]
            out = np.empty((len(own), 1, width, self._num_apart))
            self.spread(partial(self._fill, own, what, np.empty((len(own), 0)), out), len(own))
            apart = out[:, 0] if self._position is None else out[:, 0, :, self._position].transpose(1, 2, 0)
            yield slice(start, start + step), apart

    def _numbers(self, greeks: Greeks) -> Array:
        """The Greeks [S, 3, size] at Greeks [S, *shape]."""
        numbers = self.places.filled(self.tables.known, greeks, len(next(iter(greeks.values()))))
        for slot, start in self._made.made.items():
            own = self._terms.all[slot].coefficients(greeks, self._references[slot])
            width = prod(own.shape[1:])
            numbers[:, 0, start : start + width] = own.reshape(len(own), width)
        to, source = self.tables.copies.T
        numbers[:, :, to] = numbers[:, :, source]
        return numbers

    def spread(self, of: Callable[[slice, int, int], object], num_sets: int) -> None:
        """Call `of` with slices of the parameter sets and ranges of chunks, on as many threads as are worth it."""
        work = num_sets * max(self._size, BLOCK) * self.K * (1 + OF_GENERAL * len(self._terms.general))
        if num_sets >= self.num_chunks:
            in_ranges(lambda a, b: of(slice(a, b), 0, self.num_chunks), num_sets, work // LEAST_WORK)
        else:
            in_ranges(lambda a, b: of(slice(None), a, b), self.num_chunks, work // LEAST_WORK)
