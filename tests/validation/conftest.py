"""Rows made by hand, as a perfect or a deliberately wrong estimator would leave them."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import norm

from validation.asymptotics import asymptotics
from validation.measures import LEVELS
from validation.record import CONVERGED, Exactness, Interval, Prediction, Row
from validation.scenarios import STANDARD_SCENARIOS, Scenario

HALF_WIDTH = 1.6448536269514722  # of a central 90 % interval, in sd


@pytest.fixture(scope="session")
def scenarios() -> dict[str, Scenario]:
    return {scenario.name: scenario for scenario in STANDARD_SCENARIOS}


@pytest.fixture
def efficient_rows(scenarios) -> Callable[..., list[Row]]:
    """Rows of an efficient estimator at a fixed truth: independent normal errors of the Cramér–Rao sd."""

    def make(name, estimator, *, n=24, bias=0.0, inflation=1.0, swapped=False, seed=0, status=CONVERGED):
        reference = asymptotics(scenarios[name])
        rng = np.random.default_rng(seed)
        rows = []
        for replicate in range(n):
            errors = {entry: sd * (bias + inflation * rng.normal()) for entry, sd in reference.sd.items()}
            estimate = {entry: reference.truth[entry] + error for entry, error in errors.items()}
            kl = np.array([kl * (inflation**2 * rng.chisquare(2) / 2 + bias**2) for kl in reference.kl])
            if swapped:
                estimate["mu_X[0]"], estimate["mu_X[1]"] = estimate["mu_X[1]"], estimate["mu_X[0]"]
                kl = np.full(2, 0.5 * reference.truth["contrast[1]"] ** 2)
            predictions = tuple(Prediction(z, float(value), 0.1) for z, value in enumerate(kl))
            head = (name, estimator, replicate, 0, status, "", 0.1, ())
            rows.append(Row(*head, reference.truth, estimate, {}, predictions))
        return rows

    return make


@pytest.fixture
def posterior_rows() -> Callable[..., list[Row]]:
    """Rows of a calibrated posterior over prior-drawn truths: intervals of the right width, gaps of mean zero."""

    def make(name, estimator, *, n=60, width=1.0, shift=0.0, gap=0.0, seed=0):
        rng = np.random.default_rng(seed)
        rows = []
        for replicate in range(n):
            truth = {entry: float(rng.normal()) for entry in ("theta[0]", "theta[1]", "mu_X[0]", "mu_X[1]")}
            estimate = {entry: value + 0.2 * (rng.normal() + shift) for entry, value in truth.items()}
            half = 0.2 * HALF_WIDTH * width
            intervals = {
                entry: Interval(0.2, value - half, value + half, float(norm.cdf((truth[entry] - value) / 0.2)))
                for entry, value in estimate.items()
            }
            exactness = {entry: Exactness(tuple(gap + 0.02 * rng.normal() for _ in LEVELS), 0.03) for entry in truth}
            head = (name, estimator, replicate, 0, CONVERGED, "", 0.1, ())
            rows.append(Row(*head, truth, estimate, intervals, (), exactness))
        return rows

    return make
