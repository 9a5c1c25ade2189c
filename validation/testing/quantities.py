"""What of a fit is held against the truth: entries of its Greeks, or means that it predicts under an intervention."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from estimators import Fit
from validation.measures.recovery import columns, entries, names_of
from validation.scenarios.outcomes import predicted_mean
from validation.statistics.arguments import Array, as_array

Truth = Mapping[str, Any]


class Quantities(Protocol):
    """Numbers that every fit has, by name."""

    @property
    def subject(self) -> str:
        """What they are, in a sentence about them."""

    @property
    def names(self) -> Sequence[str]:
        """The names of the Greeks, or of the outcomes."""

    @property
    def greeks(self) -> Sequence[str]:
        """The Greeks of which they are all the entries; none where they are functions of all Greeks."""

    def of(self, fit: Fit) -> dict[str, Array]:
        """Their draws [S], by entry."""

    def true(self, fit: Fit, truth: Truth) -> dict[str, float]:
        """Their values under a truth of a fit's model, in the same order."""


@dataclass(frozen=True)
class GreekEntries:
    """Every entry of some Greeks."""

    names: Sequence[str]
    subject: str = "Greeks"

    @staticmethod
    def chosen(fit: Fit, truth: Truth, names: Sequence[str] | None) -> "GreekEntries":
        """All Greeks of a fit, or those of some names; raises ValueError where fit or truth does not have them."""
        chosen = list(fit.draws) if names is None else [names] if isinstance(names, str) else list(names)
        unknown = [name for name in chosen if name not in fit.draws]
        missing = [name for name in chosen if name not in truth]
        if unknown or not chosen:
            raise ValueError(f"names: expected Greeks among {list(fit.draws)}, got {chosen}")
        if missing:
            raise ValueError(f"truth: expected {', '.join(missing)} as well (it has {list(truth)}), or names=[...]")
        return GreekEntries(chosen)

    @property
    def greeks(self) -> Sequence[str]:
        return self.names

    def of(self, fit: Fit) -> dict[str, Array]:
        return columns({name: fit.draws[name].numpy() for name in self.names}, names_of(fit.model))

    def true(self, fit: Fit, truth: Truth) -> dict[str, float]:
        greeks = {name: _shaped(name, truth, tuple(fit.draws[name].shape[1:])) for name in self.names}
        return entries(greeks, names_of(fit.model))


@dataclass(frozen=True)
class PredictedMeans:
    """E[outcome | do(...)] of some outcomes."""

    do: Mapping[str, Any]
    names: Sequence[str]
    subject: str = "predicted means"

    @staticmethod
    def chosen(fit: Fit, do: Mapping[str, Any], outcome: str | None) -> "PredictedMeans":
        """One outcome, or every observed scalar variable that is not set; raises TypeError or ValueError for none."""
        if not isinstance(do, Mapping) or not do:
            raise TypeError(f"do: expected settings, such as {{'Z': 1}}, got {do!r}")
        return PredictedMeans(do, [outcome] if outcome else _outcomes(fit, do))

    @property
    def greeks(self) -> Sequence[str]:
        return ()

    def of(self, fit: Fit) -> dict[str, Array]:
        answers = {name: predicted_mean(fit, self.do, name).draws.numpy() for name in self.names}
        for name, value in answers.items():
            if value.ndim != 1:
                raise ValueError(f"stat.interventions: expected one mean of {name}, got {value.shape[1:]}: set one row")
        return {f"E[{name} | do({_settings(self.do)})]": value for name, value in answers.items()}

    def true(self, fit: Fit, truth: Truth) -> dict[str, float]:
        return {name: float(value[0]) for name, value in self.of(Fit.from_greeks(fit.model, truth)).items()}


def _shaped(name: str, truth: Truth, shape: tuple[int, ...]) -> Array:
    array = as_array(f"truth[{name!r}]", np.ravel(truth[name]))
    if array.size != math.prod(shape):
        raise ValueError(f"truth[{name!r}]: expected shape {shape}, got {np.shape(truth[name])}")
    return array.reshape(shape)


def _outcomes(fit: Fit, do: Mapping[str, Any]) -> list[str]:
    if not fit.model.variables:
        raise ValueError("outcome: expected the name of a site: a Pyro program does not say which are outcomes")
    scalars = [name for name, one in fit.model.variables.items() if one.num_columns is None and one.has_law]
    outcomes = [name for name in scalars if name not in do]
    if not outcomes:
        raise ValueError(f"do: no scalar variable is left to predict under do({_settings(do)})")
    return outcomes


def _settings(do: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in do.items())
