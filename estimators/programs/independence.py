"""Does a row's density depend on other rows? Each is compared with itself in another order, other company, and alone.

Rows are independent given the Greeks where a row has the same factors whichever rows are with it. A column that is
centred, ranked, summed up or shifted inside a program makes them depend on the others' entries.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from estimators.isolation import program_mode
from estimators.programs.attempt import attempt
from estimators.programs.call import describe
from estimators.programs.elimination import Label, unstacked
from estimators.programs.factors import Factors
from estimators.programs.marginal import ProgramMarginal
from estimators.programs.sites import RowSite

SOME_ROWS = 24
TOLERANCE = 1e-8


def check_deterministic(marginal: ProgramMarginal) -> None:
    """Raise a ValueError where two runs at the same Greeks and rows differ."""
    index = spread(marginal.num_rows)
    # Two runs on the same rows with different seeds.
    factors, again = (_run(marginal, index, seed) for seed in (0, 1))
    wrong = _different(factors, again, torch.arange(len(index)))
    if wrong is not None:
        raise ValueError(
            f"PyroModel: the log probability of {wrong} in {describe(marginal.fn)} is another at every run: it draws "
            "random numbers outside pyro.sample, or hides a site (poutine.block); make each a site, or fix it"
        )


def check_independence(marginal: ProgramMarginal, *, in_brief: bool = False) -> None:
    """Raise a ValueError where a row's log probability depends on which other rows there are, or on its place.

    In brief, for other values in a program that was checked: in the company of either half of the rows.
    """
    rows = spread(marginal.num_rows)
    if len(rows) < 2:
        return
    factors = _run(marginal, rows)
    for index in _halves(len(rows)) if in_brief else _companies(len(rows)):
        try:
            others = _run(marginal, rows[index])
        except ValueError:
            # The program may not run on these rows alone: a plate as long as a column's largest entry, say.
            continue
        wrong = _different(factors, others, index)
        if wrong is not None:
            raise ValueError(
                f"PyroModel: in {describe(marginal.fn)} the log probability of {wrong} in a row depends on which other "
                "rows there are, or on its place among them, so that rows are not independent given the Greeks. Take "
                "what is over rows (a mean, a rank, a lag, a row's number) out of the program: centre a column before "
                "passing it, pass a lag as a column"
            )


def _companies(count: int) -> Iterator[Tensor]:
    """Indices [M] into the rows: backwards, either half twice, one row many times, and one row alone."""
    rows = torch.arange(count)
    yield rows.flip(0)
    yield rows // 2
    yield (rows + count) // 2
    for row in {0, count // 2, count - 1}:
        yield torch.full((count,), row)
        yield torch.tensor([row])


def _halves(count: int) -> list[Tensor]:
    """Indices [M] into the rows: either half twice, backwards, one row short of all."""
    rows = torch.arange(count).flip(0)
    return [(rows // 2)[1:], ((rows + count) // 2)[1:]]


def spread(num_rows: int, most: int = SOME_ROWS) -> Tensor:
    """An index into at most so many rows, from the first to the last of them."""
    return torch.linspace(0, num_rows - 1, min(most, num_rows), dtype=torch.float64).round().long()


def _run(marginal: ProgramMarginal, index: Tensor, seed: int = 0) -> Factors:
    """The factors of the rows at an index [M], with the evidence of these rows."""
    sites, known = marginal.structure.sites, marginal.evidence
    evidence = replace(
        known,
        values=_taken(sites, known.values, index),
        seen=_taken(sites, known.seen, index),
        is_set=_taken(sites, known.is_set, index),
        is_missing=_taken(sites, known.is_missing, index),
    )
    with program_mode(seed):
        greeks = marginal.coordinates.constrain(marginal.probe)
        rows = marginal.data.unweighted_rows(index)
        return attempt(replace(marginal.enumeration, evidence=evidence, data=rows), greeks)


def _taken(sites: Mapping[str, RowSite], values: Mapping[str, Tensor], index: Tensor) -> dict[str, Tensor]:
    return {
        name: value.index_select(sites[name].axis, index) if name in sites else value for name, value in values.items()
    }


def _different(factors: Factors, others: Factors, index: Tensor) -> str | None:
    """Which site differs between the rows at an index and the same rows in another run, in words; None if none does."""
    same_size = factors.num_rows == others.num_rows
    if same_size and not torch.allclose(factors.log_global, others.log_global, rtol=TOLERANCE, atol=TOLERANCE):
        return "something outside the plate over rows"
    if same_size and factors.labels == others.labels:
        for (label, factor), (_, other_factor) in zip(unstacked(factors.rows), unstacked(others.rows), strict=True):
            if not _same(_by_row(factors, label, factor, index), _by_row(others, label, other_factor, None)):
                return repr(label.site)
    return None if _same(factors.pointwise()[index], others.pointwise()) else "what is seen"


def _by_row(factors: Factors, label: Label, factor: Tensor, index: Tensor | None) -> Tensor:
    if factors.rows_symbol not in label.dims or index is None:
        return factor
    return factor.index_select(label.dims.index(factors.rows_symbol), index)


def _same(values: Tensor, others: Tensor) -> bool:
    return torch.allclose(values, others, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
