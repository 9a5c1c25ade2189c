"""Averages over hidden configurations, rows and simulated values, with what simulation leaves uncertain."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Average:
    """``values`` [S, P, ...] for every draw of the Greeks and point, and their standard errors where simulated.

    Of logarithms, ``error`` is that of the logarithm.
    """

    values: Tensor
    error: Tensor | None


def average(found: Tensor, log_seen: Tensor, *, is_log: bool, per_row: bool, is_simulated: bool) -> Average:
    """Values [S, P, B, R, ...] of B rows, each R times simulated, averaged in proportion to p(what is seen) [S, B, R].

    Over rows too, unless ``per_row``. Of logarithms of densities, the logarithm of the average density.
    """
    count, num_rows, repeats = log_seen.shape
    shares = torch.softmax(log_seen if per_row else log_seen.flatten(1), -1).reshape(log_seen.shape)
    weights = shares.reshape(count, 1, num_rows, repeats, *[1] * (found.ndim - 4))
    over = (3,) if per_row else (2, 3)
    if is_log:
        values = torch.logsumexp(found + weights.log(), over)
        parts = weights * ((found - _spread(values, over)).exp() - 1.0)
        parts = torch.where(_spread(values, over) == -torch.inf, 0.0, parts)
    else:
        values = (found * weights).sum(over)
        parts = weights * (found - _spread(values, over))
    # What was simulated may have been without consequence.
    if not (is_simulated and (_varies(found, 3) or _varies(log_seen, 2))):
        return Average(values, None)
    # Rows are what they are; what was simulated within each is random.
    squares = (parts**2).sum(3) - parts.sum(3) ** 2 / repeats
    error = (squares if per_row else squares.sum(2)).clamp_min(0.0).sqrt()
    return Average(values, error)


def over_draws(found: Average, *, are_independent: bool) -> tuple[Tensor, Tensor | None]:
    """Log averages [S, P] averaged over draws on the natural scale: the logarithm [P], and its error.

    Simulations of the draws that share random numbers have at most the mean of their errors.
    """
    total = torch.logsumexp(found.values, 0)
    log = total - math.log(len(found.values))
    if found.error is None:
        return log, None
    shares = torch.where(total == -torch.inf, 0.0, (found.values - total).exp())
    parts = shares * found.error
    error = (parts**2).sum(0).sqrt() if are_independent else parts.sum(0)
    return log, error


def _varies(values: Tensor, place: int) -> bool:
    first = values.narrow(place, 0, 1)
    return bool(((values != first) & ~(values.isnan() & first.isnan())).any())


def _spread(values: Tensor, over: tuple[int, ...]) -> Tensor:
    """Averages [S, P, ...] with the dimensions that they were taken over, of size 1."""
    for place in over:
        values = values.unsqueeze(place)
    return values
