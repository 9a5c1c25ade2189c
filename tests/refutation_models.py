"""Models and experiments that the tests of refutation share, and how p-values are held against the uniform law."""

import numpy as np
import pyro
import torch

from estimators import CausalMixture, Data, GaussianMixture
from estimators.mechanisms import Gaussian

LEVELS = (0.01, 0.05, 0.1, 0.25, 0.5)
SIMULATIONS = 199  # p-values are multiples of 1/200, so that every one of LEVELS can be met exactly
POWER = 0.95

ONE_SCALE = CausalMixture(2, {"X": Gaussian(scale=1.0)})
SCALES = CausalMixture(2, {"X": Gaussian()})
THREE = CausalMixture(3, {"X": Gaussian(scale=1.0)})
TWO = {"theta": [0.5, 0.5], "mu_X": [-3.0, 3.0]}
TWO_SCALES = {**TWO, "sigma_X": [1.0, 2.0]}
CLASSES = {"theta": [0.4, 0.3, 0.3], "mu_X": [-3.0, 0.0, 3.0]}
PRIOR = GaussianMixture(K=2, concentration=5.0)
GOOD = {"X": [0.0, 1.0, 2.0, 3.0, 4.0], "Z": [0, 0, 0, 1, 1], "intervened": {"Z": True}}


def drawn(model, greeks, num_rows, seed, **settings):
    """Rows at known Greeks with variables set, Z included."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return pyro.do(model.rows, data=settings)(model.check_greeks(greeks), num_rows)


def set_labels(model, greeks, per_label, seed, num_labels=2):
    """An experiment that sets Z to 0, 1, ... in so many rows each."""
    Z = torch.arange(num_labels).repeat_interleave(torch.as_tensor(per_label))
    columns = {**drawn(model, greeks, len(Z), seed, Z=Z), "Z": Z}
    return Data(**columns, intervened={"Z": True})


def hidden(model, greeks, num_rows, seed):
    """Data with Z hidden."""
    rows = model.simulate(num_rows, greeks, seed=seed)
    return Data(**{name: column for name, column in rows.items() if name != "Z"})


UNIFORM_CHECKS = len(LEVELS) + 1


def check_uniform(stat, p):
    """P-values held against the uniform law on their grid: their ECDF, and how many are within each of LEVELS."""
    stat.cdf(p, lambda x: np.floor(np.clip(x, 0.0, 1.0) * (SIMULATIONS + 1) + 1e-6) / (SIMULATIONS + 1))
    for level in LEVELS:
        stat.proportion(int((p <= level + 1e-9).sum()), len(p), level)
