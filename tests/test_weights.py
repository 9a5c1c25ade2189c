"""A weight is a count: weighted rows are repeated rows, and rows of weight zero are not there."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from estimators import EM, MAP, NUTS, Data, EstimationWarning, Fit, GaussianMixture
from estimators.algorithms.base import Estimator
from tests.models import TUTORIAL_ROWS

MODEL = GaussianMixture(K=2)
CLIMBERS: dict[str, Estimator] = {"EM": EM(num_starts=3), "MAP": MAP(num_starts=3, num_steps=5)}
SAMPLER = NUTS(num_samples=6, warmup_steps=10, num_chains=1)
# Both ends are stationary to this gradient, in units of the column's scale.
CLOSE = {"rtol": 1e-6, "atol": 1e-6}


@contextmanager
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EstimationWarning)
        yield


def same(first: Fit, second: Fit) -> None:
    assert first.status is second.status
    for name, value in first.draws.items():
        torch.testing.assert_close(second.draws[name], value, **CLOSE)


@pytest.mark.parametrize("estimator", CLIMBERS.values(), ids=CLIMBERS)
def test_weighted_rows_are_repeated_rows(estimator: Estimator) -> None:
    """A component of 20 rows in 10020 is small and no boundary, also where four weighted rows stand for all."""
    column, weights = [-0.5, 0.5, 19.5, 20.5], [5000, 5000, 10, 10]
    weighted = estimator.fit(MODEL, Data(X=column, weights=weights), seed=0)
    repeated = estimator.fit(MODEL, Data(X=np.repeat(column, weights)), seed=0)
    same(weighted, repeated)


@pytest.mark.parametrize("zeros", [3, 20_000, 200_000])
@pytest.mark.parametrize("estimator", CLIMBERS.values(), ids=CLIMBERS)
def test_rows_of_weight_zero_are_not_there(estimator: Estimator, zeros: int) -> None:
    column = np.concatenate([np.linspace(-50.0, 50.0, zeros), TUTORIAL_ROWS])
    weights = [0.0] * zeros + [1.0] * 5
    same(
        estimator.fit(MODEL, Data(X=TUTORIAL_ROWS), seed=0),
        estimator.fit(MODEL, Data(X=column, weights=weights), seed=0),
    )


@pytest.mark.parametrize("zeros", [3, 200_000])
def test_few_of_many_rows_count_for_a_sampler(zeros: int) -> None:
    column = np.concatenate([np.linspace(-50.0, 50.0, zeros), TUTORIAL_ROWS])
    with quiet():
        fit = SAMPLER.fit(MODEL, Data(X=column, weights=[0.0] * zeros + [1.0] * 5), seed=0)
    assert bool(torch.isfinite(fit.draws["mu_X"]).all())


def test_hidden_rows_of_weight_zero_leave_free_labels() -> None:
    """Components 1 and 2 are seen nowhere, and no row that counts is hidden."""
    data = Data(X=TUTORIAL_ROWS, Z=[-1, -1, 0, 0, 0], weights=[0, 0, 1, 1, 1])
    for estimator in (*CLIMBERS.values(), SAMPLER):
        with quiet():
            fit = estimator.fit(GaussianMixture(K=3), data, seed=0)
        assert bool(torch.isfinite(fit.draws["mu_X"]).all())
