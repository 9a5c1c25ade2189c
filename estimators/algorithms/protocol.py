"""What every estimator is and does first: the protocol, and the checked arguments of one fit."""

import time
from dataclasses import dataclass
from types import FunctionType
from typing import Any, Protocol

from estimators.checks import check_flag, check_seed, what_came
from estimators.contract import Model
from estimators.data.data import Data, as_data
from estimators.fits.fit import Fit


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
    strict: bool
    started: float


def begin(model: Model, data: object, seed: object, strict: object) -> Task:
    """Check the arguments of `fit` before any work is done."""
    check_flag("strict", strict)
    if isinstance(model, type) or not isinstance(model, Model):
        raise TypeError(
            "model: expected GaussianMixture(K), CausalMixture(K, {...}) or PyroModel(fn), got "
            f"{what_came(model)}{_way_out(model, data)}"
        )
    given = model.check(as_data(data))
    for name in given.columns:
        if bool(given.is_missing(name).all()):
            raise ValueError(f"column {name}: every entry is missing; leave the variable out of the model")
    counted = given if bool(given.counts().all()) else given.rows(given.counts().nonzero()[:, 0])
    return Task(model, counted, check_seed(seed), bool(strict), time.perf_counter())


def _way_out(model: object, data: object) -> str:
    if isinstance(model, FunctionType):
        return f"; wrap the function: PyroModel({model.__name__})"
    return "; the model comes first: fit(model, data)" if isinstance(data, Model) else ""
