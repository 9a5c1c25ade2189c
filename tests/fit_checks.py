"""What holds of every fit, of mixtures and of programs: its numbers, its copies, its seed, the process around it."""

import pickle
import random
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyro
import pytest
import torch

from estimators import Data, Fit, Status
from estimators.algorithms.protocol import Estimator
from estimators.contract import Model
from tests.models import fit_quietly


def check_numbers(fit: Fit, shapes: Mapping[str, Sequence[int]]) -> None:
    """Of a fit with seed 3."""
    for name, shape in shapes.items():
        draws = fit.draws[name]
        assert draws.shape == (fit.num_draws, *shape)
        assert draws.dtype == torch.float64
        assert bool(torch.isfinite(draws).all())
        torch.testing.assert_close(fit[name], draws.mean(0))
    assert isinstance(fit.status, Status)
    assert fit.stats["seed"] == 3
    assert 0.0 < fit.stats["label_certainty"] <= 1.0
    assert all(np.isfinite(value) for value in fit.stats.values() if isinstance(value, float))
    table = fit.summary()
    assert isinstance(table, pd.DataFrame)
    assert np.isfinite(table.to_numpy()).all()


def check_copies(fit: Fit, data: Data, path: Path, model: Model | None = None) -> None:
    """Pickled, saved and exported."""
    copy = pickle.loads(pickle.dumps(fit))
    torch.testing.assert_close(copy.log_density(data), fit.log_density(data), rtol=0, atol=0)
    fit.save(path)
    loaded = Fit.load(path, model=model)
    assert all(hasattr(loaded, field.name) for field in fields(Fit))
    assert (loaded.kind, loaded.status, dict(loaded.stats)) == (fit.kind, fit.status, dict(fit.stats))
    for name, value in fit.draws.items():
        assert torch.equal(loaded.draws[name], value)
    torch.testing.assert_close(loaded.log_density(data), fit.log_density(data), rtol=0, atol=0)
    if fit.num_draws > 1:
        (of_rows,) = fit.to_arviz()["log_likelihood"].data_vars.values()
        assert of_rows.shape == (fit.num_chains, fit.num_draws // fit.num_chains, data.num_rows)
    else:
        with pytest.raises(ValueError, match="laplace"):
            fit.to_arviz()


def check_seed(estimator: Estimator, model: Model, data: Data) -> None:
    """The same bits alone, after another fit, and with another thread count; settings are as before."""
    settings, threads = repr(estimator), torch.get_num_threads()
    first = fit_quietly(estimator, model, data, seed=11)
    fit_quietly(estimator, model, data, seed=12)
    try:
        torch.set_num_threads(1 if threads > 1 else 2)
        second = fit_quietly(estimator, model, data, seed=11)
    finally:
        torch.set_num_threads(threads)
    for name in first.draws:
        assert torch.equal(first.draws[name], second.draws[name])
    assert repr(estimator) == settings


@contextmanager
def unchanged_process() -> Iterator[None]:
    """What is run leaves generators, threads, defaults, warnings and Pyro's parameters as they were."""
    pyro.get_param_store().setdefault("mine", torch.tensor(2.0))
    try:
        before = _process_state()
        yield
        assert _process_state() == before
    finally:
        pyro.clear_param_store()


def _process_state() -> tuple[Any, ...]:
    return (
        torch.get_rng_state().tolist(),
        np.random.get_state()[1].tolist(),
        random.getstate(),
        torch.get_num_threads(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.distributions.Distribution._validate_args,
        list(pyro.get_param_store().keys()),
        list(warnings.filters),
    )
