"""What every estimator is and does first: the protocol, checks of settings and arguments, and the progress bar."""

import sys
import time
from dataclasses import dataclass
from numbers import Integral, Real
from types import FunctionType
from typing import Any, Protocol

import torch
from tqdm import tqdm

from estimators.data.data import Data, as_data
from estimators.fits.any_model import Model
from estimators.fits.fit import Fit
from estimators.isolation import check_seed
from estimators.mixture.model import CausalMixture
from estimators.programs.model import PyroModel


class Estimator(Protocol):
    """An estimator of the Greeks: settings in a frozen dataclass; `fit` changes nothing of the caller's."""

    def fit(self, model: Model, data: Any, *, seed: int | None = None, strict: bool = False) -> Fit:
        """Estimate the Greeks of a model from data (a `Data`, a mapping of columns, or a data frame)."""


@dataclass(frozen=True)
class Task:
    """Checked arguments of one call of `fit`; rows of weight 0 are left out."""

    model: Model
    data: Data
    seed: int
    started: float


def begin(model: object, data: object, seed: object, strict: object) -> Task:
    """Check the arguments of `fit` before any work is done."""
    check_flag("strict", strict)
    if not isinstance(model, CausalMixture | PyroModel):
        hint = f"; wrap the function: PyroModel({model.__name__})" if isinstance(model, FunctionType) else ""
        raise TypeError(
            f"model: expected GaussianMixture(K), CausalMixture(K, {{...}}) or PyroModel(fn), got {model!r}{hint}"
        )
    given = model.check(as_data(data))
    for name in given.columns:
        if bool(given.is_missing(name).all()):
            raise ValueError(f"column {name}: every entry is missing; leave the variable out of the model")
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


def repeated(data: Data, what: str, instead: str) -> Data:
    """Rows repeated by their weights: a weight inside an enumerated sum would not weigh the row's likelihood."""
    if data.weights is None:
        return data
    if not bool((data.weights == data.weights.round()).all()):
        raise ValueError(f"weights: {what} expects whole numbers, since it repeats rows; use {instead}")
    return data.replace(weights=None).rows(torch.arange(data.num_rows).repeat_interleave(data.weights.long()))


def shows_progress(setting: bool | None) -> bool:
    """Whether to draw a progress bar: as set, or by default where standard error is a terminal."""
    return sys.stderr.isatty() if setting is None else setting


def progress(total: int, what: str, setting: bool | None) -> Any:
    """A progress bar on standard error."""
    return _Bar(total=total, desc=what, disable=not shows_progress(setting), leave=False)


class _Bar(tqdm):  # type: ignore[misc]
    # The thread by which tqdm watches slow bars would live on after the fit.
    monitor_interval = 0
