"""Estimators that are wrong in a known way: the study must find each of them out."""

import os
import warnings
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch
from threadpoolctl import threadpool_info

from estimators import EM, EstimationWarning


def changed(fit, **greeks):
    """The same fit with some Greeks replaced."""
    return replace(fit, draws=MappingProxyType({**fit.draws, **greeks}))


@dataclass(frozen=True)
class Biased:
    """EM with mu moved by a constant."""

    by: float

    def fit(self, model, data, *, seed=None):
        fit = EM(progress_bar=False).fit(model, data, seed=seed)
        return changed(fit, mu_X=fit.draws["mu_X"] + self.by)


@dataclass(frozen=True)
class Swapped:
    """EM with its labels exchanged."""

    def fit(self, model, data, *, seed=None):
        return EM(progress_bar=False).fit(model, data, seed=seed).relabel([1, 0])


@dataclass(frozen=True)
class Spread:
    """EM's Laplace approximation with its spread multiplied: 1 is honest, less is over-confident."""

    width: float

    def fit(self, model, data, *, seed=None):
        fit = EM(progress_bar=False).fit(model, data, seed=seed).laplace(num_draws=400, seed=seed)
        narrowed = {name: draws.mean(0) + self.width * (draws - draws.mean(0)) for name, draws in fit.draws.items()}
        return changed(fit, **narrowed)


@dataclass(frozen=True)
class Raises:
    """Raises, as a failing fit does; warns first."""

    def fit(self, model, data, *, seed=None):
        warnings.warn("about to fail", EstimationWarning, stacklevel=1)
        raise RuntimeError("no luck")


@dataclass(frozen=True)
class Panics:
    """Raises what is not an Exception, as a panic of a compiled library does."""

    def fit(self, model, data, *, seed=None):
        raise BaseException("panicked")


@dataclass(frozen=True)
class Nonsense:
    """Returns Greeks that are not numbers."""

    def fit(self, model, data, *, seed=None):
        fit = EM(progress_bar=False).fit(model, data, seed=seed)
        return changed(fit, mu_X=torch.full_like(fit.draws["mu_X"], float("nan")))


@dataclass(frozen=True)
class Dies:
    """Ends its process."""

    def fit(self, model, data, *, seed=None):
        os._exit(3)


@dataclass(frozen=True)
class Undefined:
    """EM with an effect that is undefined, in a Greek on which no prediction depends."""

    def fit(self, model, data, *, seed=None):
        fit = EM(progress_bar=False).fit(model, data, seed=seed)
        return changed(fit, nuisance=torch.full((1, 1), float("nan")))


@dataclass(frozen=True)
class Counts:
    """EM that says in a warning on how many threads it runs."""

    def fit(self, model, data, *, seed=None):
        pools = sorted({pool["num_threads"] for pool in threadpool_info()})
        limits = [os.environ.get(name) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")]
        warnings.warn(f"torch {torch.get_num_threads()}, pools {pools}, {limits}", EstimationWarning, stacklevel=1)
        return EM(progress_bar=False).fit(model, data, seed=seed)
