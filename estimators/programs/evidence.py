"""What data say about the sites of a program: observed values, hidden values seen in some rows, and entries set."""

import torch
from torch import Tensor

from estimators.checks import did_you_mean
from estimators.data.data import NOT_SEEN, Data
from estimators.data.levels import check_levels, check_order
from estimators.programs.call import Program, parameters_of, required
from estimators.programs.handlers import Evidence
from estimators.programs.missing import stand_in
from estimators.programs.sites import RowSite, Structure


def evidence_of(fn: Program, structure: Structure, data: Data) -> Evidence:
    """What the data say about a program's sites.

    Raises ValueError for a column that nothing in the program answers to, of a wrong shape, or outside a site's
    support, and for a site that is hidden and cannot be summed out.
    """
    columns = _site_columns(fn, structure, data)
    _check_names(structure, data)
    hidden, values, seen, is_missing = [], dict[str, Tensor](), dict[str, Tensor](), dict[str, Tensor]()
    for name, site in structure.sites.items():
        if name in data.scalars:
            raise ValueError(f"data: expected a column [N] for the site {name!r} of a row, got a single number")
        column = _with_unseen(site, columns.get(name))
        if site.is_observed and name in required(fn) and not (site.is_discrete and _has_unseen(site, column)):
            # The program takes the column as an argument and observes it itself, perhaps transformed.
            continue
        if column is None:
            if not site.is_observed:
                _need_enumerable(site)
                hidden.append(name)
        elif site.is_discrete and _has_unseen(site, column):
            hidden.append(name)
            seen[name] = _checked(site, column, allowed=NOT_SEEN)
        else:
            if bool(column.isnan().any()):
                is_missing[name], column = _without_gaps(site, column)
            observed = _checked(site, column)
            values[name] = observed.to(site.values.dtype) if site.is_discrete else observed.double()
    is_set = {name: _placed_mask(structure, name, mask) for name, mask in data.intervened.items()}
    for name, mask in is_set.items():
        if name in seen and bool((mask & (seen[name] == NOT_SEEN)).any()):
            raise ValueError(f"intervened {name}: set but without a value (-1) in some rows; say what it was set to")
    # A scalar that conditions a site: a whole number stays an integer, which may index a table.
    scalars = {
        name: torch.tensor(value, dtype=torch.float64 if isinstance(value, float) else None)
        for name, value in data.scalars.items()
        if name in structure.names
    }
    seen |= {
        name: torch.full_like(mask, NOT_SEEN, dtype=torch.long)
        for name, mask in is_set.items()
        if name in hidden and name not in seen
    }
    return Evidence(tuple(hidden), values | scalars, seen, is_set, is_missing)


def _site_columns(fn: Program, structure: Structure, data: Data) -> dict[str, Tensor]:
    """The column of each site: of its own name, or an entry of a column [N, T] for the sites x_0 ... x_{T-1}."""
    known, columns, unknown = parameters_of(fn), dict[str, Tensor](), list[str]()
    for name, column in data.columns.items():
        series = series_of(structure, name)
        if name in structure.sites:
            columns[name] = column
        elif name in known:
            continue
        elif series:
            if column.ndim < 2 or column.shape[1] != len(series):
                raise ValueError(
                    f"data: column {name!r} has shape {tuple(column.shape)}; the program has the {len(series)} sites "
                    f"{series[0]} ... {series[-1]}, for which a column [N, {len(series)}] is expected"
                )
            columns |= {site: column[:, index] for index, site in enumerate(series)}
        elif name in structure.names:
            raise ValueError(
                f"data: column {name!r} is named like a site outside the plate over rows; give one number to fix it"
            )
        else:
            unknown.append(name)
    if unknown:
        raise ValueError(
            f"data: the program has no site and no parameter {', '.join(map(repr, unknown))}; its sites in a row are "
            f"{list(structure.sites)}, its parameters {list(known)}; of a data frame give the columns of these alone, "
            f"frame[[...]]{did_you_mean(unknown[0], [*structure.sites, *known])}"
        )
    for name in data.scalars:
        if name not in known and name not in structure.names:
            raise ValueError(f"data: the program has no parameter {name!r}; it has {list(known)}")
    return columns


def series_of(structure: Structure, name: str) -> list[str]:
    """The sites x_0 ... x_{T-1} of a column x, in order."""
    numbered = [(site.rpartition("_"), site) for site in structure.sites]
    own = [(int(number), site) for (stem, _, number), site in numbered if stem == name and number.isdigit()]
    return [site for _, site in sorted(own)]


def _check_names(structure: Structure, data: Data) -> None:
    """Raise where a column has names of levels that its site does not have."""
    for name, names in data.levels.items():
        if name in structure.sites:
            site = structure.sites[name]
            is_numbered = site.is_discrete and site.values.tolist() == list(range(site.cardinality))
            family = f"a site of {site.family.__name__}"
            check_levels(name, names, site.cardinality if is_numbered else None, family)
            if site.is_ordered:
                check_order(name, names, family)


def _need_enumerable(site: RowSite) -> None:
    if site.is_discrete:
        return
    if getattr(site.support, "is_discrete", False):
        raise ValueError(
            f"PyroModel: the hidden site {site.name!r} cannot be enumerated (infinitely many values, or vectors); give "
            "a column of that name, or make it a Categorical"
        )
    raise ValueError(
        f"PyroModel: the site {site.name!r} in the plate over rows is continuous and hidden; give a column of that "
        "name. Summing out continuous sites is out of scope"
    )


def _with_unseen(site: RowSite, column: Tensor | None) -> Tensor | None:
    """A column of a discrete site with -1, not seen, for missing entries, which are summed out like hidden values."""
    if column is None or not site.is_discrete or bool((site.values == NOT_SEEN).any()):
        return column
    return column.nan_to_num(nan=NOT_SEEN)


def _without_gaps(site: RowSite, column: Tensor) -> tuple[Tensor, Tensor]:
    """Which entries of a site's value are missing, and its column with some value of the support in their place."""
    _need_width(site, column)
    values = column.reshape(len(column), *site.rest)
    is_missing = values.isnan()
    if site.event_dim and not site.is_independent:
        by_event = is_missing.flatten(-site.event_dim)
        if bool((by_event.any(-1) != by_event.all(-1)).any()):
            raise ValueError(
                f"data: column {site.name!r} has rows with only some numbers of a value missing, which cannot be "
                "integrated out; give all or none of them, or make each number a site of its own"
            )
    shape = site.placed(is_missing).shape
    filled = torch.where(site.placed(is_missing), stand_in(site, shape), site.placed(values))
    return site.placed(is_missing), filled.movedim(site.axis, 0)


def _has_unseen(site: RowSite, column: Tensor | None) -> bool:
    """Whether some row has -1, not seen, in a column of a site that does not have -1 for a value."""
    return column is not None and bool((column == NOT_SEEN).any()) and not bool((site.values == NOT_SEEN).any())


def _need_width(site: RowSite, column: Tensor) -> None:
    expected = torch.Size(site.rest).numel()
    if column[0].numel() != expected:
        raise ValueError(
            f"data: column {site.name!r} has {column[0].numel()} value(s) in a row, shape {tuple(column.shape)}; its "
            f"site has {expected}, for which shape {(len(column), *site.rest)} is expected"
        )


def _checked(site: RowSite, column: Tensor, allowed: int | None = None) -> Tensor:
    _need_width(site, column)
    placed = site.placed(column)
    fits = torch.as_tensor(
        torch.isin(placed.double(), site.values.double())
        if site.is_discrete
        else site.support.check(placed)
        if site.has_fixed_support
        else torch.ones(len(column), dtype=torch.bool)
    ).bool()
    if allowed is not None:
        fits = fits | (placed == allowed)
    if not bool(fits.all()):
        rows = (~fits).nonzero()[:, min(site.axis, fits.ndim - 1)].unique().tolist() if fits.ndim else [0]
        raise ValueError(
            f"data: column {site.name!r} is outside the support {site.support} of its site in row(s) {rows[:5]}"
        )
    return placed


def _placed_mask(structure: Structure, name: str, mask: Tensor) -> Tensor:
    if name not in structure.sites:
        raise ValueError(f"intervened: {name!r} is not a site of a row; these are {list(structure.sites)}")
    site = structure.sites[name]
    ones = len(site.rest) - site.event_dim
    return mask.reshape(len(mask), *[1] * ones).movedim(0, site.axis)
