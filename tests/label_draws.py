"""Draws around known components, and the same draws with their labels shuffled."""

import itertools

import numpy as np
import torch
from torch import Tensor

from estimators import Data

Draws = dict[str, Tensor]


def clusters(centres: list[float], per_cluster: int = 6, sd: float = 1.0, seed: int = 0) -> Data:
    noise = np.random.default_rng(seed).normal(0.0, sd, (len(centres), per_cluster))
    return Data(X=(np.array(centres)[:, None] + noise).reshape(-1))


def draws_around(theta: list[float], mu: list[float], num_draws: int, sd: float = 0.3, seed: int = 0) -> Draws:
    rng = np.random.default_rng(seed)
    return {
        "theta": torch.from_numpy(rng.dirichlet(50.0 * np.array(theta), num_draws)),
        "mu_X": torch.from_numpy(rng.normal(mu, sd, (num_draws, len(mu)))),
    }


def shuffled(draws: Draws, groups: list[list[int]], seed: int = 1) -> tuple[Draws, np.ndarray]:
    """Each draw under a random permutation within the groups; also the permutations that were applied."""
    rng = np.random.default_rng(seed)
    num_draws, K = draws["theta"].shape
    orders = np.tile(np.arange(K), (num_draws, 1))
    for order, group in itertools.product(orders, groups):
        order[group] = rng.permutation(group)
    index = torch.from_numpy(orders)
    return {n: torch.gather(v, 1, index) if v.ndim == 2 else v for n, v in draws.items()}, orders


def equal(found: Draws, expected: Draws) -> bool:
    return all(torch.equal(found[name], value) for name, value in expected.items())
