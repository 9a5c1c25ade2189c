"""What every estimator is and does first: the protocol, checks of settings and arguments, and the progress bar."""

import sys
import time
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Protocol

from tqdm import tqdm

from estimators.data import Data, as_data
from estimators.fit import Fit
from estimators.isolation import check_seed
from estimators.model import CausalMixture

# A weight that stands for less than a hundredth of a row is at the boundary.
LEAST_ROWS = 1e-2


class Estimator(Protocol):
    """An estimator of the Greeks: settings in a frozen dataclass; `fit` changes nothing of the caller's."""

    def fit(self, model: CausalMixture, data: Any, *, seed: int | None = None, strict: bool = False) -> Fit:
        """Estimate the Greeks of a model from data (a `Data`, a mapping of columns, or a data frame)."""


@dataclass(frozen=True)
class Task:
    """Checked arguments of one call of `fit`; rows of weight 0 are left out."""

    model: CausalMixture
    data: Data
    seed: int
    started: float


def begin(model: object, data: object, seed: object, strict: object) -> Task:
    """Check the arguments of `fit` before any work is done."""
    check_flag("strict", strict)
    if not isinstance(model, CausalMixture):
        raise TypeError(f"model: expected GaussianMixture(K) or CausalMixture(K, {{...}}), got {model!r}")
    given = model.check(as_data(data))
    counted = given if bool(given.counts().all()) else given.rows(given.counts().nonzero()[:, 0])
    return Task(model, counted, check_seed(seed), time.perf_counter())


def check_whole(setting: str, value: object, least: int = 1) -> None:
    """Raise unless a setting is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{setting}: expected a whole number, got {value!r}")
    if int(value) < least:
        raise ValueError(f"{setting}: expected at least {least}, got {value}")


def check_positive(setting: str, value: object, below: float = float("inf")) -> None:
    """Raise unless a setting is a number in (0, below)."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{setting}: expected a number, got {value!r}")
    if not 0.0 < float(value) < below:
        raise ValueError(f"{setting}: expected a number above 0 and below {below:g}, got {value}")


def check_flag(setting: str, value: object, *, optional: bool = False) -> None:
    """Raise unless a setting is True or False (or None, if optional)."""
    if not (isinstance(value, bool) or (optional and value is None)):
        raise TypeError(f"{setting}: expected True or False{' or None' if optional else ''}, got {value!r}")


def shows_progress(setting: bool | None) -> bool:
    """Whether to draw a progress bar: as set, or by default where standard error is a terminal."""
    return sys.stderr.isatty() if setting is None else setting


def progress(total: int, what: str, setting: bool | None) -> Any:
    """A progress bar on standard error."""
    return tqdm(total=total, desc=what, disable=not shows_progress(setting), leave=False)
