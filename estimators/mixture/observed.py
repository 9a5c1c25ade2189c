"""A mixture's rows as observed sites of a Pyro program, Z enumerated: for Pyro's own inference."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyro
import torch
from torch import Tensor

from estimators.data.data import LATENT, Data
from estimators.estep.variable import Node

if TYPE_CHECKING:
    from estimators.mixture.program import MixtureProgram

# The plate over rows, and that over units, whose rows share one Z.
ROWS, UNITS = "rows", "units_of_rows"
PARALLEL: Any = {"enumerate": "parallel"}


def observe(model: "MixtureProgram", greeks: Mapping[str, Tensor], data: Data, number: int | str) -> None:
    """Run the row program on observed rows alike in Z (all hidden, all seen, or all set) and in what is missing.

    Z is enumerated where hidden, observed where seen, and no random site at all where set; a set entry of another
    column is masked out; a missing discrete entry is enumerated, a missing continuous one that causes nothing known is
    left out. This is the truncated factorisation as Pyro states it, independent of the E-step. Where rows share one Z,
    the plate is of units, and each further row of theirs has sites of its own.
    """
    shared = model.order if data.unit is None else model.shared_in_units
    rest = [name for name in model.order if name not in shared]
    rows = data if data.unit is None else data.rows(data.unit.first)
    with pyro.plate(f"{number}_{ROWS if data.unit is None else UNITS}", data.num_units):
        columns, latent = _observe(model, greeks, rows, shared, ({}, torch.tensor(0)), number)
        for place, visits in enumerate(_visits(data)):
            _observe(model, greeks, visits, rest, (columns, latent), f"{number}_{place}")


Known = tuple[Mapping[str, Tensor], Tensor]


def _observe(
    model: "MixtureProgram",
    greeks: Mapping[str, Tensor],
    data: Data,
    names: Sequence[str],
    known: Known,
    number: int | str,
) -> tuple[dict[str, Tensor], Tensor]:
    """Some variables of rows, given columns and Z that are known; these with the others."""
    columns, latent = dict(known[0]), known[1]
    for name in names:
        if name != LATENT:
            columns[name] = _observe_one(model, model.nodes[name], greeks, latent, columns, data, number)
            continue
        latent = data.latent()
        if not bool(data.is_set(LATENT).all()):
            seen = latent if bool((latent >= 0).all()) else None
            infer = PARALLEL if seen is None else None
            law = model.weights.distribution(greeks, columns)
            latent = pyro.sample(f"{number}_{LATENT}", law, obs=seen, infer=infer)
    return columns, latent


def _observe_one(
    model: "MixtureProgram",
    node: Node,
    greeks: Mapping[str, Tensor],
    latent: Tensor,
    columns: Mapping[str, Tensor],
    data: Data,
    number: int | str,
) -> Tensor:
    if node.mechanism.is_covariate:
        return node.mechanism.check(node.name, data.columns[node.name])
    law = node.distribution(greeks, latent, columns)
    if not bool(data.is_missing(node.name).any()):
        column = node.mechanism.check(node.name, data.columns[node.name])
        pyro.sample(f"{number}_{node.name}", law.mask(~data.is_set(node.name)), obs=column)
        return column
    if node.mechanism.num_levels is not None:
        return torch.as_tensor(pyro.sample(f"{number}_{node.name}", law, infer=PARALLEL))
    children = [child.name for child in model.nodes.values() if node.name in child.parents]
    informative = [child for child in children if not bool((data.is_set(child) | data.is_missing(child)).all())]
    if informative or not bool(data.is_missing(node.name).all()):
        raise NotImplementedError(
            f"column {node.name}: has missing entries that have to be integrated out, which Pyro's enumeration "
            'does not do; use NUTS(engine="nutpie")'
        )
    return torch.full((data.num_rows,), torch.nan, dtype=torch.float64)


def _visits(data: Data) -> Iterator[Data]:
    """The first row of each unit, then the second, and so on; where a unit has no more rows, all of its last is set."""
    if data.unit is None:
        return
    sizes, (order, _) = data.unit.sizes, data.unit.rows_of(torch.arange(data.num_units))
    starts = torch.cumsum(sizes, 0) - sizes
    for place in range(int(sizes.max())):
        rows = data.rows(order[starts + torch.clamp(sizes - 1, max=place)])
        has_one = sizes > place
        yield rows.replace(intervened={name: rows.is_set(name) | ~has_one for name in rows.columns if name != LATENT})


def blocks(model: "MixtureProgram", data: Data) -> list[Data]:
    """The units in blocks that are alike in Z and, where entries are missing, in which are set or missing.

    Raises NotImplementedError for missing entries of units that have several rows.
    """
    if data.has_missing and data.unit is not None:
        raise NotImplementedError(
            'unit: Pyro enumerates no missing entries of units with several rows; use NUTS(engine="nutpie")'
        )
    is_set = data.is_set(LATENT)
    marks = [is_set, (data.latent() >= 0) & ~is_set]
    if data.has_missing:
        for name in model.nodes:
            marks += [data.is_set(name), data.is_missing(name).reshape(data.num_rows, -1).any(1)]
    _, which = data.of_units(torch.stack(marks, 1)).unique(dim=0, return_inverse=True)
    return [data.units_at((which == block).nonzero()[:, 0]) for block in range(int(which.max()) + 1)]
