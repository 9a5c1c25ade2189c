"""Rows made by hand, as a perfect or a deliberately wrong estimator would leave them."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from scipy.stats import binom, norm

from tests.validation.studies import SCENARIOS
from validation.measures.exactness import LEVELS
from validation.scenarios import Scenario
from validation.scenarios.asymptotics import Asymptotics, asymptotics
from validation.scenarios.quantities import LOG_LIKELIHOOD
from validation.study.row import CONVERGED, RANKED, Exactness, Interval, Prediction, Row

HALF_WIDTH = 1.6448536269514722  # of a central 90 % interval, in sd
CONTRAST = "E[X | do(Z=1)] − E[X | do(Z=0)]"


@pytest.fixture(scope="session")
def scenarios() -> dict[str, Scenario]:
    return SCENARIOS


@pytest.fixture(scope="session")
def limits(scenarios) -> Callable[[str], Asymptotics]:
    """The efficient errors of a scenario of fixed truth."""

    @cache
    def of(name):
        return asymptotics(scenarios[name])

    return of


@pytest.fixture
def efficient_rows(limits) -> Callable[..., list[Row]]:
    """Rows of an efficient estimator at a fixed truth: independent normal errors of the Cramér–Rao sd."""

    def make(
        name,
        estimator,
        *,
        n=24,
        bias=0.0,
        inflation=1.0,
        width=1.0,
        swapped=False,
        flips=0.0,
        lame=0.0,
        gross=0.0,
        seed=0,
        status=CONVERGED,
    ):
        reference = limits(name)
        rng, luck = np.random.default_rng(seed), np.random.default_rng([seed, 1])
        rows = []
        for replicate in range(n):
            errors = {entry: sd * (bias + inflation * rng.normal()) for entry, sd in reference.sd.items()}
            if luck.random() < gross:
                errors["mu_X[0]"] += 20 * reference.sd["mu_X[0]"]
            estimate = {entry: reference.truth[entry] + error for entry, error in errors.items()}
            kl = {of: kl * (inflation**2 * rng.chisquare(2) / 2 + bias**2) for of, kl in reference.kl.items()}
            if swapped or luck.random() < flips:
                estimate["mu_X[0]"], estimate["mu_X[1]"] = estimate["mu_X[1]"], estimate["mu_X[0]"]
                kl = dict.fromkeys(kl, 0.5 * reference.truth[CONTRAST] ** 2)
            intervals = {
                entry: Interval(
                    sd * width,
                    estimate[entry] - HALF_WIDTH * width * sd,
                    estimate[entry] + HALF_WIDTH * width * sd,
                    32,
                    400.0,
                )
                for entry, sd in reference.sd.items()
            }
            predictions = tuple(Prediction(of, float(value), 0.1, float(value)) for of, value in kl.items())
            ended = "MAX_ITERATIONS" if luck.random() < lame else status
            head = (name, estimator, replicate, 0, ended, "", 0.1, ())
            rows.append(Row(*head, reference.truth, estimate, intervals, predictions))
        return rows

    return make


@pytest.fixture
def posterior_rows() -> Callable[..., list[Row]]:
    """Rows of a calibrated posterior over prior-drawn truths: intervals of the right width, gaps of mean zero."""

    def make(name, estimator, *, n=100, width=1.0, shift=0.0, gap=0.0, seed=0):
        rng = np.random.default_rng(seed)
        rows = []
        for replicate in range(n):
            names = ("theta[0]", "theta[1]", "mu_X[0]", "mu_X[1]", CONTRAST, LOG_LIKELIHOOD)
            truth = {entry: float(rng.normal()) for entry in names}
            estimate = {entry: value + 0.2 * (rng.normal() + shift) for entry, value in truth.items()}
            half = 0.2 * HALF_WIDTH * width
            intervals = {}
            for entry, value in estimate.items():
                below = norm.cdf((truth[entry] - value) / (0.2 * width))
                rank = int(binom.rvs(RANKED, below, random_state=rng))
                intervals[entry] = Interval(0.2, value - half, value + half, rank, 1000.0)
            exactness = {
                entry: Exactness(tuple(gap + 0.02 * rng.normal() for _ in LEVELS), 0.03) for entry in names[:4]
            }
            head = (name, estimator, replicate, 0, CONVERGED, "", 0.1, ())
            rows.append(Row(*head, truth, estimate, intervals, (), exactness))
        return rows

    return make
