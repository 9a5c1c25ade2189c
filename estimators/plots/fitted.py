"""What pictures ask of a fit: its draws, its modes, and its answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from estimators.contract import Answer, Model
from estimators.data.data import Data
from estimators.modes.table import Modes
from estimators.parameters.symmetry import Symmetry
from estimators.queries.estimate import Estimate
from estimators.queries.query import Query
from estimators.queries.source import Source

if TYPE_CHECKING:
    import pandas as pd


class Kind(Protocol):
    """How draws were obtained."""

    @property
    def is_mode(self) -> bool:
        """Whether the one draw is a maximum."""


class ModeTable(Protocol):
    """The modes of a fit."""

    def table(self) -> "pd.DataFrame":
        """One row a mode: below, weight, and a column for each entry of the Greeks."""


class Fitted(Protocol):
    """A fit, as `estimators.Fit` describes it."""

    @property
    def model(self) -> Model: ...
    @property
    def kind(self) -> Kind: ...
    @property
    def draws(self) -> Mapping[str, Tensor]: ...
    @property
    def num_draws(self) -> int: ...
    @property
    def num_chains(self) -> int: ...
    @property
    def stats(self) -> Mapping[str, Any]: ...
    @property
    def info(self) -> Mapping[str, Tensor]: ...
    @property
    def label_names(self) -> tuple[str, ...]: ...
    @property
    def data(self) -> Data | None: ...
    @property
    def found(self) -> Modes | None: ...
    @property
    def modes(self) -> ModeTable: ...
    @property
    def symmetry(self) -> Symmetry: ...
    def summary(self, level: float = 0.9) -> "pd.DataFrame": ...
    def do(self, /, **settings: Any) -> Query: ...
    def given(self, /, **seen: Any) -> Query: ...
    def contrast(
        self,
        name: str,
        *,
        do: Mapping[str, Any],
        versus: Mapping[str, Any],
        given: Mapping[str, Any] | None = None,
        event: Any = None,
    ) -> Estimate: ...
    def responsibilities(self, data: Any, site: str | None = None) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class About:
    """Draws [S, *shape] about the maximum of a point fit, or else why there are none, in words."""

    draws: Mapping[str, Tensor] | None
    lacking: str = ""


@dataclass(frozen=True, eq=False)
class Subject:
    """A fit with what it does not say in public: its law of a row, its rows by its own levels, its entries' names."""

    fit: Fitted
    # The question in which nothing is set.
    law: Callable[[], Query]
    # Other rows, with levels numbered as in the fit.
    rows: Callable[[Any], Data]
    # The names of every Greek's entries.
    entries: Callable[[], Mapping[str, list[str]]]
    # How sure the one draw of a point fit is.
    about: Callable[[], About]

    def greek(self, name: str) -> Estimate:
        """A Greek as an answer [S, *shape], which each mode has its own of."""
        fit = self.fit
        return Estimate(fit.draws[name], fit.num_chains, source=Source(partial(_greek, name), self.law().origin))


def _greek(name: str, draws: Mapping[str, Tensor]) -> Answer:
    return Answer(draws[name])
