"""Models and experiments that the tests of refutation share, and how p-values are held against the uniform law."""

import numpy as np
import pyro
import torch

from estimators import CausalMixture, Data, GaussianMixture
from estimators.mechanisms import Bernoulli, Gaussian, LinearGaussian, Poisson

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


CONFOUNDER = CausalMixture(2, {"T": Bernoulli(), "Y": LinearGaussian(parents=["T"])}, concentration=2.0)
CONFOUNDED = {"theta": [0.4, 0.6], "p_T": [0.2, 0.8], "beta_Y": [[0.0, -1.0], [4.0, -1.0]], "sigma_Y": [0.7, 0.7]}
INDICATORS = CausalMixture(2, {name: Bernoulli() for name in "ABCD"})
INDICATED = {"theta": [0.4, 0.6], "p_A": [0.1, 0.8], "p_B": [0.2, 0.9], "p_C": [0.15, 0.7], "p_D": [0.3, 0.85]}
COUNTS = CausalMixture(2, {"C": Poisson()})
COUNTED = {"theta": [0.4, 0.6], "rate_C": [2.0, 9.0]}
MIXED = CausalMixture(2, {"X": Gaussian(), "C": Poisson()})
MIXED_TRUTH = {"theta": [0.4, 0.6], "mu_X": [0.0, 3.0], "sigma_X": [1.0, 1.5], "rate_C": [2.0, 6.0]}
OVERLAPPING = {"theta": [0.4, 0.6], "mu_X": [0.0, 3.0], "sigma_X": [1.0, 1.0]}


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


def set_treatment(model, greeks, per_label, seed):
    """An experiment that sets T to 0 and 1 in so many rows each, with Z hidden."""
    T = torch.arange(2.0, dtype=torch.float64).repeat_interleave(torch.as_tensor(per_label))
    columns = {**drawn(model, greeks, len(T), seed, T=T), "T": T}
    return Data({name: column for name, column in columns.items() if name != "Z"}, intervened={"T": True})


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
