"""Means that are infinite, or rest on values too far out to be averaged over: what a log link makes of a long tail."""

import torch
from torch import Tensor

from estimators.data.data import LATENT
from estimators.mixture.integration import Weighed
from estimators.mixture.situation import Situation
from estimators.parameters.laws import NUM_NODES
from estimators.parameters.parameter import LOG_ZERO

# The end of what is averaged over has no probability to speak of, and so must have no part in a mean.
END, PART = 1e-10, 1e-6
# Means from here on are where the predictor of a log link is held.
HELD = 1e99
# Where a mean is looked at, and at twice that: one that is linear there at most doubles.
LOOKS = 10.0 ** torch.arange(-3.0, 13.0, dtype=torch.float64)
EXPONENTIAL = 1.0


def rests_on_an_end(weighed: Weighed, name: str, sizes: Tensor, means: Tensor) -> Tensor:
    """Whether the mean of a variable [S, R, ...] is made where its nodes end, or where its terms are held.

    ``means`` [S, R, Q, C, ...] are those given the configurations, ``sizes`` the absolute values of what each of them
    adds.
    """
    least = PART * sizes.sum((2, 3))
    # A Gaussian has no link, and may be so large in its units.
    held = torch.inf if name in weighed.joint.gaussian else HELD
    found = torch.where(means.abs() >= held, sizes, 0.0).sum((2, 3)) > least
    if weighed.nodes is None or weighed.is_simulated:
        return found
    alive = weighed.nodes.log_weights > LOG_ZERO / 2
    place = alive.long().cumsum(2)
    for is_at_end in (place <= NUM_NODES, place > place[:, :, -1:] - NUM_NODES):
        at_end = (alive & is_at_end).double()
        is_improbable = (at_end * weighed.log_weights.exp()).sum((2, 3)) < END
        at_end, is_improbable = (one.reshape(*one.shape, *[1] * (sizes.ndim - 4)) for one in (at_end, is_improbable))
        found = found | (is_improbable & ((at_end * sizes).sum((2, 3)) > least))
    return found


def is_infinite(situation: Situation, name: str) -> Tensor:
    """Whether the mean of a variable [S | 1, M | 1] grows exponentially in a cause whose tail no exponential has.

    Asked of causes that are neither set nor informed by what is seen. Exact numbers of draws would not show it.
    """
    mechanisms, informed = situation.model.mechanisms, situation.above(list(situation.seen))
    found = torch.zeros(1, 1, dtype=torch.bool)
    for cause in situation.above([name]):
        if cause in (LATENT, name, *informed, *situation.laws) or not mechanisms[cause].has_heavy_tails:
            continue
        for side in (1.0,) if mechanisms[cause].is_positive else (1.0, -1.0):
            for look in side * LOOKS:
                once, twice = (_mean_at(situation, name, cause, value) for value in (look, 2.0 * look))
                found = found | (twice.log() - once.log() > EXPONENTIAL).any(-1)
    return found


def _mean_at(situation: Situation, name: str, cause: str, value: Tensor) -> Tensor:
    """The mean of a variable [S, M, K] where a cause has a value, and what is between the two its own mean."""
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    values: dict[str, Tensor] = {}
    for other in situation.model.order:
        if other in situation.values or other in situation.seen:
            values[other] = situation.values.get(other, situation.seen.get(other))  # type: ignore[assignment]
        elif other == LATENT:
            values[other] = torch.arange(situation.model.K, dtype=torch.float64).reshape(1, 1, -1)
        elif other == cause:
            values[other] = value * one
        elif other == name or (cause in situation.above([other]) and situation.levels(other) is None):
            values[other] = situation.distribution(other, values).mean
        else:
            values[other] = 0.0 * one if other in situation.laws or situation.levels(other) is not None else one
    return values[name]
