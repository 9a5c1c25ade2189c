"""The estimators under study, by name, with settings that a study of many replicates can afford."""

import math
from dataclasses import dataclass, field
from typing import Protocol

from estimators import EM, MAP, NUTS, SMC, Data, Exact, Fit
from estimators.contract import Model
from estimators.modes import Finder, Search

LAPLACE_DRAWS = 500
# The yardstick: independent draws from the exact posterior.
EXACT = Exact(num_draws=1000, progress_bar=False)


class Estimator(Protocol):
    """Anything that fits a model to data."""

    def fit(self, model: Model, data: Data, *, seed: int | None = None) -> Fit: ...


class Searchable(Protocol):
    """An estimator whose fits can be handed a search for modes or what one has found, or None for no search."""

    def fit(self, model: Model, data: Data, *, seed: int | None = None, search: Finder | None = None) -> Fit: ...


@dataclass(frozen=True)
class WithSearch:
    """An estimator whose every fit is handed this search for modes."""

    estimator: Searchable
    search: Finder | None = field(default_factory=Search)

    def fit(self, model: Model, data: Data, *, seed: int | None = None) -> Fit:
        """Fit with the search."""
        return self.estimator.fit(model, data, seed=seed, search=self.search)


@dataclass(frozen=True)
class Contender:
    """An estimator under the name it has in the report.

    `posterior` says that its draws are claimed to come from the posterior, so they are held to exactness, coverage and
    calibration. `efficient` says that it is claimed to reach the Cramér–Rao bound where N is large. `laplace` adds a
    second row per replicate, ``<name>+laplace``, where the point fit is given intervals by its Laplace approximation.
    `candid` says that it is claimed to name every answer that the rows allow, or to warn. `is_reference` says that it
    is the yardstick itself, which is not compared with itself. `small_only` restricts it to scenarios whose K^N
    allocations can be summed, `modes_only` to those and to scenarios in which several answers may fit the rows. `share`
    is the part of a scenario's replicates that it is run on, the first ones. `searches` says that its estimator is
    `Searchable`, and is handed the search that the estimators of a replicate share.

    Raises ValueError for a share that is not above 0 and at most 1.
    """

    name: str
    estimator: Estimator
    posterior: bool = False
    efficient: bool = False
    laplace: bool = False
    candid: bool = False
    is_reference: bool = False
    small_only: bool = False
    modes_only: bool = False
    share: float = 1.0
    searches: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"contender {self.name}: share: expected a number in (0, 1], got {self.share}")

    def replicates_of(self, replicates: int) -> int:
        """Return on how many of a scenario's replicates it is run: its share, rounded up."""
        return math.ceil(self.share * replicates - 1e-9)

    @property
    def rows(self) -> tuple[str, ...]:
        """The names under which its results appear."""
        return (self.name, f"{self.name}+laplace") if self.laplace else (self.name,)


def standard_contenders() -> tuple[Contender, ...]:
    """Return the estimators of a standard study."""
    em, svi = EM(progress_bar=False), MAP(num_starts=20, num_steps=40, progress_bar=False)
    nuts = NUTS(num_samples=400, warmup_steps=250, num_chains=2, progress_bar=False)
    smc = SMC(num_particles=800, progress_bar=False)
    return (
        Contender("EM", em, efficient=True, laplace=True, candid=True, searches=True),
        Contender("MAP", svi, laplace=True, candid=True, share=1 / 2, searches=True),
        Contender("NUTS", nuts, posterior=True, candid=True, share=2 / 3, searches=True),
        Contender("Exact", EXACT, posterior=True, candid=True, is_reference=True, small_only=True, share=2 / 3),
        # A fit of 500 rows takes SMC ten seconds and more.
        Contender("SMC", smc, posterior=True, candid=True, small_only=True, share=1 / 3),
        # What the search is worth: EM from starts of its own, which names one answer.
        Contender("EM-unsearched", WithSearch(em, None), modes_only=True, share=1 / 2),
    )
