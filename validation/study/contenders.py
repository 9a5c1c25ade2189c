"""The estimators under study, by name, with settings that a study of many replicates can afford."""

from dataclasses import dataclass
from typing import Protocol

from estimators import EM, MAP, NUTS, Data, Exact, Fit
from estimators.contract import Model

LAPLACE_DRAWS = 1000


class Estimator(Protocol):
    """Anything that fits a model to data."""

    def fit(self, model: Model, data: Data, *, seed: int | None = None) -> Fit: ...


@dataclass(frozen=True)
class Contender:
    """An estimator under the name it has in the report.

    `posterior` says that its draws are claimed to come from the posterior, so they are held to exactness, coverage and
    calibration. `efficient` says that it is claimed to reach the Cramér–Rao bound where N is large. `laplace` adds a
    second row per replicate, ``<name>+laplace``, where the point fit is given intervals by its Laplace approximation.
    `small_only` restricts it to scenarios whose K^N allocations can be summed.
    """

    name: str
    estimator: Estimator
    posterior: bool = False
    efficient: bool = False
    laplace: bool = False
    small_only: bool = False

    @property
    def rows(self) -> tuple[str, ...]:
        """The names under which its results appear."""
        return (self.name, f"{self.name}+laplace") if self.laplace else (self.name,)


def standard_contenders() -> tuple[Contender, ...]:
    """Return the estimators of a standard study."""
    return (
        Contender("EM", EM(progress_bar=False), efficient=True, laplace=True),
        Contender("MAP", MAP(num_starts=20, num_steps=40, progress_bar=False), laplace=True),
        Contender("NUTS", NUTS(num_samples=1000, warmup_steps=300, num_chains=2, progress_bar=False), posterior=True),
        Contender("Exact", Exact(num_draws=1000, progress_bar=False), posterior=True, small_only=True),
    )


def exact_reference() -> Estimator:
    """Return the yardstick: independent draws from the exact posterior."""
    return Exact(num_draws=1000, progress_bar=False)
