"""What rows say of a column by themselves, whatever the Greeks: constant, collinear, unused, piled onto one value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from estimators.data.words import few
from estimators.optimise.arrays import Array

# A value that is repeated in more than this share of the rows, in so many of them, and so many times as often as the
# next is a point mass; rounding repeats many values, each about as often.
POINT_SHARE, POINT_ROWS, POINT_RATIO = 0.1, 5, 4
# Rows, drawn at random, that are looked at for one.
MOST_ROWS = 100_000
# Columns are collinear where the variance of some combination is this share of that of each.
COLLINEAR = 1e-10
# Share of a combination from which on a column is part of it.
PART = 1e-2
MOST_NAMED = 4


@dataclass(frozen=True)
class Remark:
    """What is the case, and what follows; ``collapses`` where a scale runs to 0 for it.

    Entries of ``greek`` run to an end of their support for it: those whose last index is among ``levels``, or all.
    """

    what: str
    advice: str
    collapses: bool = False
    greek: str = ""
    levels: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.what}: {self.advice}"

    def naming(self, names: Sequence[str]) -> "Remark":
        """The same with the names of levels, where it is about some that occur in no row."""
        return replace(self, what=_without_rows([names[level] for level in self.levels])) if self.levels else self

    @property
    def sentence(self) -> str:
        """The same as a sentence of its own."""
        return f"{self.what[0].upper()}{self.what[1:]}: {self.advice}."


def constant(column: Array, *, greek: str = "", is_scaled: bool = False) -> list[Remark]:
    """A column [N] with one value; ``is_scaled`` where a scale is estimated of it."""
    if not is_constant(column):
        return []
    runs = " and its scale runs to 0; leave it out, or give its scale a number" if is_scaled else "; leave it out"
    return [Remark(f"has the value {column[0] + 0.0:g} in every row", f"it tells nothing of Z{runs}", is_scaled, greek)]


def point_mass(column: Array, *, is_scaled: bool) -> list[Remark]:
    """A value that a continuous column [N] has far more often than any other."""
    num_rows = len(column)
    # Not in even steps, which may be those of days or of arms.
    looked_at = column if num_rows <= MOST_ROWS else column[np.random.default_rng(0).integers(num_rows, size=MOST_ROWS)]
    values, counts = np.unique(looked_at, return_counts=True)
    if len(values) < 2:
        return []
    second, first = np.argsort(counts)[-2:]
    share = counts[first] / len(looked_at)
    if share <= POINT_SHARE or counts[first] < max(POINT_ROWS, POINT_RATIO * counts[second]):
        return []
    return [
        Remark(
            f"has the value {values[first]:g} in {share:.0%} of the rows, far more often than any other",
            "no continuous density has such a point mass, and a class may shrink onto it; add a variable that says "
            "which rows have the value, and call it missing in these",
            collapses=is_scaled,
        )
    ]


def unused(column: Array, num_levels: int, greek: str) -> list[Remark]:
    """Levels that occur in no row of a discrete column [N]; ``greek`` are the probabilities of levels."""
    empty = tuple(np.flatnonzero(np.bincount(column.astype(np.intp), minlength=num_levels) == 0).tolist())
    if is_constant(column) or len(column) < 2 or not empty:
        return constant(column, greek=greek)
    them = "it" if len(empty) == 1 else "them"
    return [
        Remark(
            _without_rows(empty),
            f"leave {them} out, or use a prior that keeps {them} off 0 (MAP, NUTS)",
            greek=greek,
            levels=empty,
        )
    ]


def collinear(columns: Array) -> list[int]:
    """The columns of [N, D] that are part of a combination without variance; constant ones are left out."""
    varying = [index for index in range(columns.shape[1]) if not is_constant(columns[:, index])]
    if len(varying) < 2 or len(columns) < 2:
        return []
    centred = columns[:, varying] - columns[:, varying].mean(0)
    centred = centred / np.abs(centred).max(0)
    centred /= np.sqrt((centred**2).mean(0))
    variances, combinations = np.linalg.eigh(centred.T @ centred / len(centred))
    part = (np.abs(combinations[:, variances < COLLINEAR]) > PART).any(1)
    return [varying[index] for index in np.flatnonzero(part)]


def collinear_vector(columns: Array) -> list[Remark]:
    """Columns [N, D] of a vector whose covariance is singular."""
    num_rows, size = columns.shape
    if 2 <= num_rows <= size:
        what = f"has {num_rows} rows of {size} columns, in which any covariance is singular"
        return [Remark(what, "use DiagonalGaussian, or more rows", collapses=True)]
    dependent = collinear(columns)
    if not dependent:
        return []
    return [
        Remark(
            f"has collinear columns, {_listed('number', dependent)}",
            "their covariance is singular and a scale runs to 0; leave out what is a combination of the others",
            collapses=True,
        )
    ]


def of_inputs(inputs: Mapping[str, Array]) -> list[Remark]:
    """Inputs [N] of a regression, by name, whose coefficients the rows leave open."""
    found = [
        Remark(f"has an input {name} that is {values[0] + 0.0:g} in every row", "its coefficient is open; leave it out")
        for name, values in inputs.items()
        if is_constant(values)
    ]
    names = list(inputs)
    dependent = [names[index] for index in collinear(np.stack(list(inputs.values()), 1))] if names else []
    if dependent:
        what = f"has collinear inputs, {few(dependent, MOST_NAMED)}"
        found.append(Remark(what, "only a combination of their coefficients is determined; leave one of them out"))
    return found


def without_noise(column: Array, inputs: Mapping[str, Array]) -> list[Remark]:
    """A column [N] that is a line of its inputs."""
    if len(column) <= len(inputs) + 1 or is_constant(column):
        return []
    design = np.stack([np.ones(len(column)), *inputs.values()], 1)
    centred = (column - column.mean()) / np.abs(column - column.mean()).max()
    unit = np.abs(design).max(0)
    design = design / np.where(unit > 0, unit, 1.0)
    left = centred - design @ np.linalg.lstsq(design, centred, rcond=None)[0]
    if (left**2).mean() > COLLINEAR * (centred**2).mean():
        return []
    advice = "its scale runs to 0; leave it out, or give its scale a number"
    return [Remark(f"is a line of {', '.join(inputs)} without noise", advice, collapses=True)]


def is_constant(column: Array) -> bool:
    """Whether a column [N] of two rows or more has one value."""
    return len(column) > 1 and bool((column == column[0]).all())


def _without_rows(levels: Sequence[int | str]) -> str:
    return f"has no row with {_listed('level', levels)}"


def _listed(noun: str, numbers: Sequence[int | str]) -> str:
    plural = "s" if len(numbers) > 1 else ""
    return f"{noun}{plural} {few(numbers, MOST_NAMED)}"
