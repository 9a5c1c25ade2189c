"""How often intervals hold the truth in small samples, where a normal approximation is too sure."""

from typing import Any

import pytest

from estimators import EM, CausalMixture, Data, Fit
from estimators.mechanisms import Bernoulli, Gaussian, LinearGaussian
from tests.models import quiet
from validation.testing import Stat

CLASSES = CausalMixture(2, {"X": Gaussian()}, concentration=2.0)
CONFOUNDER = CausalMixture(2, {"T": Bernoulli(), "Y": LinearGaussian(parents=["T"])}, concentration=2.0)
BETWEEN = ("X", {"Z": 1}, {"Z": 0})
EFFECT = ("Y", {"T": 1}, {"T": 0})


def apart(distance: float) -> dict[str, Any]:
    return {"theta": [0.4, 0.6], "mu_X": [0.0, distance], "sigma_X": [1.0, 1.5]}


CONFOUNDED = {"theta": [0.4, 0.6], "p_T": [0.2, 0.8], "beta_Y": [[0.0, -1.0], [3.0, -1.0]], "sigma_Y": [0.5, 1.0]}
SETTINGS: dict[str, tuple[CausalMixture, dict[str, Any], int, Any]] = {
    "two classes well apart, N = 50": (CLASSES, apart(7.0), 50, BETWEEN),
    "two classes that overlap, N = 50": (CLASSES, apart(4.0), 50, BETWEEN),
    "a confounder, N = 300": (CONFOUNDER, CONFOUNDED, 300, EFFECT),
    "a confounder, N = 1,000": (CONFOUNDER, CONFOUNDED, 1000, EFFECT),
}
REPLICATES = 320


@pytest.mark.slow
@pytest.mark.statistical(checks=1, min_effect=0.13)
@pytest.mark.parametrize("setting", SETTINGS)
def test_intervals_of_nine_tenths_hold_the_truth_at_least_that_often_less_a_twentieth(setting: str, stat: Stat) -> None:
    """Fewer than .85 would be a fault; of small samples .88 is what a likelihood ratio gives, the spreads unknown."""
    model, truth, num_rows, (name, do, versus) = SETTINGS[setting]
    value = float(Fit.from_greeks(model, truth).contrast(name, do=do, versus=versus).value)
    held = half = 0
    for replicate in range(REPLICATES):
        rows = model.simulate(num_rows, truth, seed=stat.seed + replicate)
        data = Data(**{column: values for column, values in rows.items() if column != "Z"})
        estimate = EM().fit(model, data, seed=0, search=None).contrast(name, do=do, versus=versus)
        # Of a few in a thousand the region leads into a spike, and the interval says that it may be longer.
        with quiet():
            intervals = estimate.profile(0.9)
        centre = float(estimate.value)
        held += any(low <= value <= high for low, high in intervals)
        half += any(low + centre <= 2.0 * value <= high + centre for low, high in intervals)
    stat.proportion(held, REPLICATES, 0.85, alternative="less")
    with stat.control():
        stat.proportion(half, REPLICATES, 0.85, alternative="less")
