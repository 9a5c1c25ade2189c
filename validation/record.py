"""One row of a study: what one estimator did on one replicate. Plain numbers and text, so that it can be stored."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

ERROR = "ERROR"  # the status of a row whose fit raised
CONVERGED = "CONVERGED"
LEVEL = 0.9  # of every interval in a row


@dataclass(frozen=True)
class Interval:
    """The spread of one quantity over the draws of a fit, its central 90 % interval, and the rank of the truth.

    `rank` is the share of draws below the truth.
    """

    sd: float
    lower: float
    upper: float
    rank: float


@dataclass(frozen=True)
class Curve:
    """True and predicted density of the outcome on a grid, for the report's figures."""

    x: tuple[float, ...]
    true: tuple[float, ...]
    predicted: tuple[float, ...]


@dataclass(frozen=True)
class Prediction:
    """Distance from the true to the predicted distribution of the outcome under ``do(Z=z)``."""

    z: int
    kl: float
    wasserstein: float
    curve: Curve | None = None


@dataclass(frozen=True)
class Exactness:
    """Distance of one Greek entry's draws to the exact posterior: distribution gaps at LEVELS, and Wasserstein-1."""

    gaps: tuple[float, ...]
    wasserstein: float


@dataclass(frozen=True)
class Row:
    """One estimator on one replicate.

    `status` is a `Status` name or ERROR, `reason` its advice or the exception in words ("" if converged).
    `truth`, `estimate` and `intervals` are by entry (``mu_X[0]``), contrasts included (``contrast[1]`` is
    ``E[X|do(Z=1)] - E[X|do(Z=0)]``); a point estimate has no intervals. Everything after `warnings` is empty where
    the fit failed. `seconds` is the only field that may differ between two runs of the same study.
    """

    scenario: str
    estimator: str
    replicate: int
    seed: int
    status: str
    reason: str = ""
    seconds: float | None = None
    warnings: tuple[str, ...] = ()
    truth: Mapping[str, float] = field(default_factory=dict)
    estimate: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    predictions: tuple[Prediction, ...] = ()
    exactness: Mapping[str, Exactness] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether the estimator returned nothing."""
        return self.status == ERROR


def free(entries: Iterable[str]) -> list[str]:
    """Return the entries, each once, without the last weight, which the others determine, and without contrasts."""
    names = [name for name in dict.fromkeys(entries) if not name.startswith("contrast[")]
    weights = [name for name in names if name.startswith("theta[")]
    return [name for name in names if len(weights) < 2 or name != weights[-1]]
