"""Averages over hidden configurations, rows and simulated values, with what simulation leaves uncertain."""

import math

import torch
from torch import Tensor

from estimators.contract import Answer


def average(values: Tensor, log_seen: Tensor, *, is_log: bool, per_row: bool, is_simulated: bool) -> Answer:
    """Values [S, P, B, R, ...] of B rows, each R times simulated, averaged in proportion to p(what is seen) [S, B, R].

    Over rows too, unless ``per_row``. Of logarithms of densities, the logarithm of the average density.
    """
    count, num_rows, repeats = log_seen.shape
    shares = torch.softmax(log_seen if per_row else log_seen.flatten(1), -1).reshape(log_seen.shape)
    weights = shares.reshape(count, 1, num_rows, repeats, *[1] * (values.ndim - 4))
    over = (3,) if per_row else (2, 3)
    if is_log:
        averages = torch.logsumexp(values + weights.log(), over, keepdim=True)
        deviations = torch.where(averages == -torch.inf, 0.0, weights * ((values - averages).exp() - 1.0))
    else:
        averages = (values * weights).sum(over, keepdim=True)
        deviations = weights * (values - averages)
    averaged = averages.squeeze(over)
    # Where no simulated value changed the answer, there is no simulation error to state.
    if not (is_simulated and (_varies(values, 3) or _varies(log_seen, 2))):
        return Answer(averaged)
    # The rows are fixed, so the variance of the average is that of the simulated values within each row.
    squares = (deviations**2).sum(3) - deviations.sum(3) ** 2 / repeats
    error = (squares if per_row else squares.sum(2)).clamp_min(0.0).sqrt()
    return Answer(averaged, error)


def at_one_point(answer: Answer) -> Answer:
    """Log probabilities [S, 1, ...] as probabilities [S, ...], whose errors are relative to them."""
    shares = answer.values[:, 0].exp()
    return Answer(shares, None if answer.error is None else answer.error[:, 0] * shares)


def over_draws(answer: Answer, *, are_independent: bool) -> Answer:
    """Log averages [S, P] averaged over draws on the natural scale: the logarithm [P], and its error.

    Simulations of the draws that share random numbers have at most the mean of their errors.
    """
    total = torch.logsumexp(answer.values, 0)
    log = total - math.log(len(answer.values))
    if answer.error is None:
        return Answer(log)
    shares = torch.where(total == -torch.inf, 0.0, (answer.values - total).exp())
    errors = shares * answer.error
    return Answer(log, (errors**2).sum(0).sqrt() if are_independent else errors.sum(0))


def _varies(values: Tensor, axis: int) -> bool:
    first = values.narrow(axis, 0, 1)
    return bool(((values != first) & ~(values.isnan() & first.isnan())).any())
