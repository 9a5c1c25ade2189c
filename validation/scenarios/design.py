"""The design of a data set: how many rows, in which of them something is set, seen or missing; and rows made to it."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyro
import torch
from numpy.typing import NDArray
from torch import Tensor

from estimators import Data, Fit, isolated
from estimators.contract import LATENT, Model

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Greeks = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Design:
    """N rows. `settings` are columns [N] of values that an experimenter set, NaN where none was.

    `seen` are the rows [N] in which Z is seen though nobody set it; `missing` masks [N] entries that were not recorded;
    `weights` [N] count a row w times, `levels` are the names of levels by column; rows with one label in
    `unit` [N] share one Z.
    """

    num_rows: int
    settings: Mapping[str, Array] = field(default_factory=dict)
    seen: Mask | None = None
    missing: Mapping[str, Mask] = field(default_factory=dict)
    weights: Array | None = None
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unit: tuple[Hashable, ...] | None = None

    @staticmethod
    def partly(num_rows: int, *, K: int, seen: float = 0.0, set: float = 0.0) -> "Design":
        """Return a design in which Z is set in a share of the rows, to each label in turn, and seen in another."""
        num_set, num_seen = round(set * num_rows), round(seen * num_rows)
        if num_set < 0 or num_seen < 0 or num_set + num_seen > num_rows:
            raise ValueError(f"seen, set: expected shares that add up to at most 1, got {seen} and {set}")
        labels = np.full(num_rows, np.nan)
        labels[:num_set] = np.arange(num_set) % K
        mask = np.zeros(num_rows, dtype=bool)
        mask[num_set : num_set + num_seen] = True
        return Design(num_rows, {LATENT: labels} if num_set else {}, mask if num_seen else None)

    @staticmethod
    def of(data: Data) -> "Design":
        """Return the design of a data set, so that others like it can be made."""
        settings = {}
        for name in data.columns:
            is_set = np.asarray(data.is_set(name))
            if is_set.any():
                settings[name] = np.where(is_set, np.asarray(data.columns[name], dtype=np.float64), np.nan)
        seen = np.asarray((data.latent() >= 0) & ~data.is_set(LATENT)) if LATENT in data.columns else None
        gaps = {name: np.asarray(data.is_missing(name)) for name in data.columns if name != LATENT}
        return Design(
            data.num_rows,
            settings,
            seen if seen is not None and seen.any() else None,
            {name: mask for name, mask in gaps.items() if mask.any()},
            None if data.weights is None else np.asarray(data.weights, dtype=np.float64),
            dict(data.levels),
            # Other units than those of the data.
            None if data.unit is None else tuple(("like", number) for number in data.unit.of_row.tolist()),
        )

    @property
    def is_plain(self) -> bool:
        """Whether nothing is set, seen or missing, and every row counts once and has a Z of its own."""
        is_whole = not self.settings and self.seen is None and not self.missing
        return is_whole and self.weights is None and self.unit is None

    def repeated(self, times: int) -> "Design":
        """Return the design of `times` such data sets, one below the other."""
        return Design(
            self.num_rows * times,
            {name: np.tile(values, times) for name, values in self.settings.items()},
            None if self.seen is None else np.tile(self.seen, times),
            {name: np.concatenate([mask] * times) for name, mask in self.missing.items()},
            None if self.weights is None else np.tile(self.weights, times),
            self.levels,
            None if self.unit is None else tuple((number, label) for number in range(times) for label in self.unit),
        )

    def simulate(self, model: Model, greeks: Greeks, *, hidden: tuple[str, ...], seed: int) -> Data:
        """Return rows from the model at known Greeks, each under its own settings, with hidden columns left out."""
        known = {name: torch.as_tensor(value, dtype=torch.float64) for name, value in greeks.items()}
        if self.is_plain:
            rows = model.simulate(self.num_rows, known, seed=seed)
            seen: dict[str, Any] = {name: column for name, column in rows.items() if name not in hidden}
            return Data(seen).numbered_as(self.levels)
        if LATENT not in model.hidden:
            raise ValueError("design: of a Pyro program only plain rows can be made, nothing set, seen or missing")
        drawn = self._under_settings(model, known, seed) if self.unit is None else self._of_units(model, known, seed)
        return self._recorded(drawn).numbered_as(self.levels)

    def _groups(self) -> list[tuple[Mask, dict[str, Any]]]:
        """Rows that have the same variables set, with the values they are set to."""
        is_set = {name: ~np.isnan(values) for name, values in self.settings.items()}
        patterns = np.stack([*is_set.values(), np.zeros(self.num_rows, dtype=bool)], axis=1)
        groups = []
        for pattern in np.unique(patterns, axis=0):
            rows = (patterns == pattern).all(1)
            names = [name for name, is_on in zip(is_set, pattern, strict=False) if is_on]
            groups.append((rows, {name: _setting(name, self.settings[name][rows]) for name in names}))
        return groups

    def _recorded(self, columns: dict[str, Any]) -> Data:
        labels = columns.pop(LATENT)
        is_set = {name: ~np.isnan(values) for name, values in self.settings.items()}
        known = is_set.get(LATENT, np.zeros(self.num_rows, dtype=bool)) | (
            self.seen if self.seen is not None else False
        )
        if known.any():
            columns[LATENT] = np.where(known, labels, -1).astype(np.int64)
        for name, mask in self.missing.items():
            columns[name] = np.where(mask, np.nan, columns[name])
        rule = "marginalize" if self.missing else None
        return Data(columns, intervened=is_set, weights=self.weights, missing=rule, unit=self.unit)

    def _under_settings(self, model: Model, greeks: Mapping[str, Tensor], seed: int) -> dict[str, Any]:
        """Columns [N, ...] of all variables, Z included, each group of rows drawn under its own settings."""
        columns: dict[str, Any] = {}
        with isolated(seed):
            for rows, settings in self._groups():
                drawn = pyro.do(model.row_program(None)[0], data=settings)(greeks, int(rows.sum()))
                for name, column in drawn.items():
                    values = np.asarray(column)
                    columns.setdefault(name, np.zeros((len(rows), *values.shape[1:])))[rows] = values
        return columns

    def _of_units(self, model: Model, greeks: Mapping[str, Tensor], seed: int) -> dict[str, Any]:
        """The same, rows of a unit with one Z, whatever is set in which of them."""
        columns: dict[str, Any] = {LATENT: np.full(self.num_rows, -1)}
        for name, variable in model.variables.items():
            columns[name] = np.zeros((self.num_rows, *([] if variable.num_columns is None else [variable.num_columns])))
        is_set = {name: ~np.isnan(values) for name, values in self.settings.items()}
        for name, mask in is_set.items():
            columns[name] = np.where(mask, self.settings[name], columns[name])
        columns[LATENT] = columns[LATENT].astype(np.int64)
        like = Data(columns, intervened=is_set, unit=self.unit)
        drawn = model.replicate({name: value[None] for name, value in greeks.items()}, like, seed=seed)
        return {name: np.asarray(values[0]) for name, values in drawn.items()}


def hidden_columns(fit: Fit, greeks: Greeks) -> tuple[str, ...]:
    """Return the sites of a row that the rows of a fit do not have; `greeks` are any at which a row can be drawn."""
    hidden = tuple(fit.model.hidden)
    if hidden or fit.data is None:
        return hidden
    return tuple(site for site in fit.model.simulate(1, greeks, seed=0) if site not in fit.data.columns)


def _setting(name: str, values: Array) -> Tensor:
    setting = torch.as_tensor(values)
    return setting.long() if name == LATENT else setting
