"""Rows drawn from p(· | do(...), seen ...) of a mixture, each with Greeks from a draw of the fit's own."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyro
import torch
from torch import Tensor

from estimators.data.data import LATENT
from estimators.mixture.averages import MAX_ELEMENTS
from estimators.mixture.conditional_draws import draw_rows
from estimators.mixture.integration import has_open
from estimators.mixture.program import MixtureProgram
from estimators.mixture.situation import Setting, Situation, along, event_dim_of, is_per_row
from estimators.parameters.sparse import in_logs

if TYPE_CHECKING:
    from estimators.mixture.predictive import MixturePredictive


def drawn_rows(asked: "MixturePredictive", first: Situation, num_rows: int) -> dict[str, Tensor]:
    """Every variable [N, ...]; ``first`` is the situation at one draw of the Greeks. Random numbers are torch's."""
    model, which = asked.model, torch.randint(asked.num_draws, (num_rows,))
    greeks = {name: value[which] for name, value in asked.draws.items()}
    values = _informed(asked, first, which) if asked.seen else {}
    if asked.log_latent is not None and LATENT not in values:
        shares = _own_log_latent(asked.log_latent, which, torch.arange(num_rows)).exp()
        values[LATENT] = torch.multinomial(shares, 1)[:, 0]
    if asked.covariate_rows is not None:
        of_rows = asked.covariate_rows.drawn(num_rows)
        values = {**{name: value for name, value in of_rows.items() if name not in asked.settings}, **values}
    known: dict[str, Any] = {
        name: values[name] if name in values else _drawn(model, name, value, num_rows)
        for name, value in asked.known.items()
    }
    rows: dict[str, Tensor] = pyro.do(model.rows, data=known | values)(greeks, num_rows)
    return rows


def along_axis(model: MixtureProgram, values: Mapping[str, Any], axis: int) -> dict[str, Any]:
    """Values, or values per row along an axis of [S, M, C, ...]; distributions as they are."""
    return {
        name: along(value, event_dim_of(model, name), axis) if isinstance(value, Tensor) else value
        for name, value in values.items()
    }


def at_once(situation: Situation, size: int) -> int:
    """How many draws or rows there is room for, where each configuration of one takes a table of so many elements."""
    return max(MAX_ELEMENTS // (situation.num_averaged * situation.model.K * size), 1)


def _informed(asked: "MixturePredictive", first: Situation, which: Tensor) -> dict[str, Tensor]:
    """Values [N] of all that what is seen informs about, for rows of the given draws of the Greeks [N]."""
    seed = int(torch.randint(2**31, ()))
    step = at_once(first, 1_000 if has_open(first) else 8)
    blocks = [_block(asked, which[rows], rows, seed) for rows in torch.arange(len(which)).split(step)]
    return {name: torch.cat([block[name] for block in blocks]) for name in blocks[0]}


def _block(asked: "MixturePredictive", which: Tensor, rows: Tensor, seed: int) -> dict[str, Tensor]:
    """The same of some rows, of the given draws [n]."""
    model, latent = asked.model, asked.log_latent

    def own(values: Mapping[str, Setting]) -> dict[str, Any]:
        of_rows = {n: v[rows] if isinstance(v, Tensor) and is_per_row(model, n, v) else v for n, v in values.items()}
        return along_axis(model, of_rows, 0)

    situation = Situation(model, asked.draws, own(asked.settings), own(asked.seen), covariate_rows=asked.covariate_rows)
    if latent is None or not asked.rows:
        return draw_rows(replace(situation, log_latent=latent), which, seed, is_per_row=bool(asked.rows))
    # Each row's own draw of the Greeks, and unit.
    situation = replace(situation.at_draws(which), log_latent=_own_log_latent(latent, which, rows)[:, None])
    return draw_rows(situation, torch.arange(len(rows)), seed, is_per_row=True)


def _own_log_latent(log_latent: Tensor, which: Tensor, rows: Tensor) -> Tensor:
    """log p(Z = k | earlier rows of the unit) [N, K], of rows of the given draws of the Greeks [N]."""
    return log_latent[which, rows if log_latent.shape[1] > 1 else 0]


def _drawn(model: MixtureProgram, name: str, value: Any, num_rows: int) -> Tensor:
    """A setting as one value per row."""
    if not isinstance(value, Tensor):
        drawn: Tensor = in_logs(value).sample(torch.Size([num_rows]))
        return drawn.long() if name == LATENT else drawn.double()
    by_row: Tensor = value if is_per_row(model, name, value) else value.expand(num_rows, *value.shape)
    return by_row
