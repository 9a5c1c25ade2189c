"""Causal graphs with known Greeks that the tests of queries, counterfactuals and missing entries share."""

import torch
from torch import Tensor

from estimators import CausalMixture, Fit
from estimators.mechanisms import Bernoulli, Categorical, DiagonalGaussian, Gaussian, LinearGaussian, Poisson

# Z → T, Z → Y, T → Y: the hidden confounder.
CONFOUNDER = CausalMixture(2, {"T": Bernoulli(), "Y": LinearGaussian(parents=["T"])}, concentration=2.0)
CONFOUNDER_GREEKS = {
    "theta": [0.4, 0.6],
    "p_T": [0.2, 0.8],
    "beta_Y": [[0.0, -1.0], [4.0, -1.0]],
    "sigma_Y": [1.0, 0.7],
}
# W → Z; Z causes all below; W → T → M → Y, W → M, T → Y, T → V.
MEDIATED = CausalMixture(
    2,
    {
        "W": Bernoulli(),
        "T": Bernoulli(parents=["W"]),
        "M": LinearGaussian(parents=["T", "W"]),
        "Y": LinearGaussian(parents=["M", "T"]),
        "V": Gaussian(parents=["T"]),
    },
    latent_parents=["W"],
    concentration=2.0,
)
MEDIATED_GREEKS = {
    "theta": [[0.3, 0.7], [0.8, 0.2]],
    "p_W": 0.4,
    "p_T": [[0.2, 0.5], [0.6, 0.9]],
    "beta_M": [[0.0, 1.0, 0.5], [1.0, -1.0, 2.0]],
    "sigma_M": [0.8, 1.2],
    "beta_Y": [[0.0, 0.5, 1.0], [1.0, 0.4, -1.0]],
    "sigma_Y": [0.5, 1.0],
    "mu_V": [[0.0, 1.0], [2.0, 4.0]],
    "sigma_V": [[1.0, 1.0], [0.5, 2.0]],
}
# C of three levels and a count P cause Y; X is a vector.
MIXED = CausalMixture(
    2,
    {
        "C": Categorical(3),
        "P": Poisson(parents=["C"]),
        "Y": LinearGaussian(parents=["C", "P"]),
        "X": DiagonalGaussian(2, parents=["C"]),
    },
    concentration=2.0,
)
MIXED_GREEKS = {
    "theta": [0.4, 0.6],
    "p_C": [[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]],
    "rate_P": [[1.0, 2.0, 3.0], [4.0, 0.5, 2.0]],
    "beta_Y": [[0.0, 1.0, -1.0, 0.5], [2.0, -1.0, 1.0, -0.3]],
    "sigma_Y": [0.8, 1.2],
    "mu_X": [[[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]], [[3.0, 1.0], [1.0, 3.0], [0.0, 2.0]]],
    "sigma_X": [[[1.0, 0.5], [1.0, 1.0], [0.7, 1.0]], [[1.0, 2.0], [0.5, 1.0], [1.0, 1.0]]],
}

# A → T → M → Y with Z → T and Z → Y alone: an instrument, and the front door.
FRONT_DOOR = CausalMixture(
    2,
    {
        "A": Bernoulli(caused_by_latent=False),
        "T": Bernoulli(parents=["A"]),
        "M": LinearGaussian(parents=["T"], caused_by_latent=False),
        "Y": LinearGaussian(parents=["M"]),
    },
    concentration=2.0,
)
FRONT_DOOR_GREEKS = {
    "theta": [0.4, 0.6],
    "p_A": 0.3,
    "p_T": [[0.2, 0.7], [0.5, 0.9]],
    "beta_M": [0.5, 1.5],
    "sigma_M": 0.7,
    "beta_Y": [[0.0, 1.0], [3.0, 1.0]],
    "sigma_Y": [1.0, 0.5],
}

WORLDS = {
    "front door": (FRONT_DOOR, FRONT_DOOR_GREEKS),
    "confounder": (CONFOUNDER, CONFOUNDER_GREEKS),
    "mediated": (MEDIATED, MEDIATED_GREEKS),
    "mixed": (MIXED, MIXED_GREEKS),
}


def known(name: str) -> Fit:
    """A graph at its Greeks."""
    model, greeks = WORLDS[name]
    return Fit.from_greeks(model, greeks)


def posterior_of(name: str, num_draws: int = 5) -> Fit:
    """A graph with several draws of its Greeks, around the known ones."""
    model, greeks = WORLDS[name]
    generator = torch.Generator().manual_seed(0)
    draws: dict[str, Tensor] = {}
    for key, value in model.check_greeks(greeks).items():
        noise = 0.1 * torch.rand((num_draws, *value.shape), generator=generator, dtype=torch.float64)
        moved = value * (1.0 - noise)
        draws[key] = moved / moved.sum(-1, keepdim=True) if key.startswith(("theta", "p_C")) else moved
    fit = Fit.from_greeks(model, greeks)
    return Fit(fit.model, "posterior", draws, 1, fit.status, fit.stats)
