"""An effect for every combination of levels of some variables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from estimators.contract import Answer, Draws
from estimators.data.words import LINES, few_lines
from estimators.queries.estimate import Estimate
from estimators.queries.source import Source, Values

if TYPE_CHECKING:
    import pandas as pd

# The names of the levels of every variable, in their order: of those without names, their numbers.
LevelNames = Mapping[str, Sequence[str | float]]


@dataclass(frozen=True, eq=False, repr=False)
class EffectTable(Estimate):
    """An estimate with an entry for every combination of levels: ``value`` [L₁, L₂, ...], and so all else.

    It prints as its `table`. A likelihood interval is of one entry: ask for that with ``given``.
    """

    levels: LevelNames = field(default_factory=dict)

    def table(self, level: float = 0.9) -> "pd.DataFrame":
        """A row for each combination: value; with draws sd, lower, upper; error if simulated; what other modes answer.

        These are the rivals of a point fit, and each entry of `by_mode` where draws are of several.
        """
        import pandas as pd  # a quarter of a second, which only tables need

        columns = {"value": self.value}
        if len(self.draws) > 1:
            columns |= dict(zip(("sd", "lower", "upper"), (self.sd, *self.interval(level)), strict=True))
        if self.error is not None:
            columns["error"] = self.error.mean(0)
        columns |= {f"rival {number}": rival for number, rival in enumerate(self.rivals, 1)}
        if len(self.by_mode) > 1:
            columns |= {f"by mode {n} ({w:.0%})": one.value for n, (w, one) in enumerate(self.by_mode)}
        index = pd.MultiIndex.from_product(self.levels.values(), names=list(self.levels))
        numbers = {name: value.reshape(-1).numpy() for name, value in columns.items()}
        return pd.DataFrame(numbers, index if len(self.levels) > 1 else index.get_level_values(0))

    def __repr__(self) -> str:
        table = self.table()
        return "\n".join(few_lines(table, LINES, f"its table() has all {len(table)} combinations"))


def table_of(entries: Sequence[Estimate], levels: LevelNames) -> EffectTable:
    """The table of one estimate for each combination of levels, the last variable's fastest."""
    shape = [len(names) for names in levels.values()]
    draws = _in_table([entry.draws for entry in entries], shape)
    errors = [torch.zeros_like(entry.draws) if entry.error is None else entry.error for entry in entries]
    error = None if all(entry.error is None for entry in entries) else _in_table(errors, shape)
    sources = [entry.source for entry in entries if entry.source is not None]
    source = Source(partial(_values, [one.values for one in sources], shape), sources[0].origin) if sources else None
    return EffectTable(draws, entries[0].num_chains, error, source, levels)


def _values(entries: Sequence[Values], shape: Sequence[int], draws: Draws) -> Answer:
    return Answer(_in_table([values(draws).values for values in entries], shape))


def _in_table(entries: Sequence[Tensor], shape: Sequence[int]) -> Tensor:
    """Numbers [S] of each entry, as [S, L₁, L₂, ...]."""
    return torch.stack(list(entries), 1).reshape(-1, *shape)
