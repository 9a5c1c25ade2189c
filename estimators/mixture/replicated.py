"""Rows like those that are given, drawn anew from a mixture: of the same units, with what is set as it is there."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from estimators.contract import Draws
from estimators.data.data import LATENT, Data

if TYPE_CHECKING:
    from estimators.mixture.program import MixtureProgram

# Numbers of Greeks, one set for each row, that are held at one time.
MAX_ELEMENTS = 4_000_000


def replicated(model: "MixtureProgram", draws: Draws, data: Data) -> dict[str, Tensor]:
    """Every variable, Z included, at each draw of the Greeks, as [S, N, ...]; random numbers are torch's."""
    by_row = data.num_rows * sum(value[0].numel() for value in draws.values())
    step = max(MAX_ELEMENTS // max(by_row, 1), 1)
    blocks = [
        _block(model, {name: value[start : start + step] for name, value in draws.items()}, data)
        for start in range(0, len(next(iter(draws.values()))), step)
    ]
    return {name: torch.cat([block[name] for block in blocks]) for name in (*model.mechanisms, LATENT)}


def _block(model: "MixtureProgram", draws: Draws, data: Data) -> dict[str, Tensor]:
    num_draws = len(next(iter(draws.values())))
    # What Z does not cause has the same mechanism in all components: of any label.
    columns = {LATENT: torch.tensor(0)}
    shared = [] if data.unit is None else model.shared_in_units
    if data.unit is not None:
        _draw(model, shared, draws, columns, data.rows(data.unit.first))
        for name in shared:
            of_units = columns[name].unflatten(0, (num_draws, data.num_units))
            columns[name] = of_units[:, data.unit.of_row].flatten(0, 1)
    _draw(model, [name for name in model.order if name not in shared], draws, columns, data)
    return {name: column.unflatten(0, (num_draws, data.num_rows)) for name, column in columns.items()}


def _draw(model: "MixtureProgram", names: Sequence[str], draws: Draws, columns: dict[str, Tensor], data: Data) -> None:
    """Add some variables [S·N, ...] of rows, one set of rows after another, to the columns of their causes."""
    num_draws = len(next(iter(draws.values())))
    greeks = {name: value.repeat_interleave(data.num_rows, 0) for name, value in draws.items()}
    for name in names:
        if name == LATENT:
            law, given = model.weights.distribution(greeks, columns), data.latent()
        else:
            law, given = model.nodes[name].distribution(greeks, columns[LATENT], columns), data.columns[name]
        drawn = law.expand(torch.Size([num_draws * data.num_rows])).sample()
        columns[name] = _with_set(drawn, given, data.is_set(name)).to(torch.long if name == LATENT else drawn.dtype)


def _with_set(drawn: Tensor, given: Tensor, is_set: Tensor) -> Tensor:
    """Values [S·N, ...] that are drawn, and those [N, ...] that are given where they are set."""
    if not bool(is_set.any()):
        return drawn
    sets = drawn.unflatten(0, (-1, len(given)))
    mask = is_set.reshape(-1, *[1] * (given.ndim - 1))
    return torch.where(mask, given.to(drawn.dtype), sets).flatten(0, 1)
