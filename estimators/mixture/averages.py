"""Averages over nodes, configurations and draws of the Greeks, with the error of those whose nodes were drawn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor

from estimators.mixture.integration import Weighed, open_variables, weigh
from estimators.mixture.situation import Situation
from estimators.mixture.tails import is_infinite, rests_on_an_end
from estimators.parameters.laws import bounds_of, log_prob_of

# Elements of a [points, draws, nodes, configurations] table held at one time.
MAX_ELEMENTS = 4_000_000
INFINITE = torch.tensor(torch.inf, dtype=torch.float64)
OVERFLOWN = 1e300

LogOf = Callable[[Any, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Total:
    """The logarithm of a sum over draws at each point [P], and how much each drawn node changes that logarithm [P, Q].

    The standard error of the logarithm is the root of the sum of the changes' squares: of a mean weighed by
    p(seen | node), with the weights' own error (the delta method). None where nothing was drawn.
    """

    log: Tensor
    changes: Tensor | None = None

    @property
    def error(self) -> Tensor | None:
        """The standard error of the logarithm [P]."""
        return None if self.changes is None else self.changes.square().sum(-1).sqrt()


def mean_in(situation: Situation, name: str, seed: int) -> tuple[Tensor, Tensor | None]:
    """E[name | seen] as [S, R, ...], infinite where it is, and its standard error."""
    is_drawn_alone = not situation.seen and situation.levels(name) is None
    mean, error = _mean_of(weigh(situation, name, None, seed, for_mean=True), name, is_drawn_alone)
    if situation.model.row_variables[name].num_columns is None:
        mean = torch.where(is_infinite(situation, name), torch.inf, mean)
    return mean, error


def probability_in(situation: Situation, name: str, value: float, seed: int) -> tuple[Tensor, Tensor | None]:
    """P(name = value | seen) as [S, R], and its standard error."""
    weighed = weigh(situation, name, None, seed)
    shares = log_prob_of(weighed.joint.component(name), torch.tensor(value, dtype=torch.float64)).exp()
    return _with_error(weighed, *_at_nodes(weighed, shares, 0))


def _mean_of(weighed: Weighed, name: str, is_drawn_alone: bool) -> tuple[Tensor, Tensor | None]:
    """E[name | seen] as [S, R, ...], infinite where it rests on values that are not averaged over, and its error."""
    component = weighed.joint.component(name)
    # What has overflowed is out of reach, and where its weight is 0 nothing.
    means = component.mean.double().nan_to_num(nan=torch.nan, posinf=OVERFLOWN, neginf=-OVERFLOWN)
    means, weights = _at_nodes(weighed, means, len(component.event_shape))
    total, error = _with_error(weighed, means, weights)
    sizes = (weights * means).abs()
    is_infinite_there = rests_on_an_end(weighed, name, sizes, means, is_drawn_alone=is_drawn_alone)
    return torch.where(is_infinite_there, torch.copysign(INFINITE, total), total), error


def _at_nodes(weighed: Weighed, values: Tensor, event_dim: int) -> tuple[Tensor, Tensor]:
    """A function of the components [S, R, Q, C, ...], whose rows and nodes are one axis, and its weights there."""
    weights = weighed.log_weights.exp()
    return weighed.by_node(values, event_dim), weights.reshape(*weights.shape, *[1] * event_dim)


def _with_error(weighed: Weighed, values: Tensor, weights: Tensor) -> tuple[Tensor, Tensor | None]:
    """The average of a function [S, R, ...], and its standard error where the nodes were drawn."""
    total: Tensor = (weights * values).sum((2, 3))
    if not weighed.is_simulated:
        return total, None
    changes = (weights * (values - total[:, :, None, None])).sum(3)
    return total, changes.square().sum(2).sqrt()


def total_of(situation: Situation, name: str, points: Tensor, log_of: LogOf, seed: int) -> Total:
    """log Σ over draws of E[exp log_of(p(name | ...), point) | seen] at points [P, ...]."""
    names = situation.above([name, *situation.seen])
    size = points_at_once(situation) if open_variables(situation, names, name) and points.ndim == 1 else len(points)
    totals = []
    for block in points.split(size):
        weighed = weigh(situation, name, block if points.ndim == 1 else None, seed)
        component, weights = weighed.joint.component(name), weighed.log_weights
        if weights.shape[1] == len(block) > 1:
            # Every point has nodes of its own.
            values = log_of(component, block.repeat_interleave(weights.shape[2]).reshape(1, -1, 1))
            values = values.expand(len(weights), -1, weights.shape[3]).reshape(weights.shape)
            totals.append(Total((values + weights).transpose(0, 1).flatten(1).logsumexp(-1)))
            continue
        # Nodes that the component does not depend on are summed over at once.
        depends_on_nodes = len(component.batch_shape) == 3 and component.batch_shape[1] > 1
        if not (depends_on_nodes or weighed.is_simulated):
            weights = weights.logsumexp(2, keepdim=True)
        step = max(MAX_ELEMENTS // weights.numel(), 1)
        totals += [_shared(component, weights, at, log_of, weighed.is_simulated) for at in block.split(step)]
    return _concatenated(totals)


def density_of_open(situation: Situation, name: str, points: Tensor, seed: int) -> Total:
    """log Σ over draws of the density of an open variable at points [P], which is p(point, seen) / p(seen)."""
    before = weigh(situation, None, None, seed)
    law = situation.laws.get(name)
    totals = []
    for block in points.split(points_at_once(situation)):
        value = block.reshape(1, -1, 1)
        if law is None:
            after = weigh(replace(situation, seen={**situation.seen, name: value}), None, None, seed + 1)
            log_prior = torch.zeros(len(block), dtype=torch.float64)
        else:
            after = weigh(replace(situation, settings={**situation.settings, name: value}), None, None, seed + 1)
            log_prior = log_prob_of(law, block)
        log = after.log_evidence[:, :, 0, 0] - before.log_evidence[:, :, 0, 0] + log_prior
        log = log.expand(situation.num_draws, len(block))
        shares = torch.softmax(log, 0).nan_to_num()[:, :, None]
        changes = [(shares * _relative_changes(w)).sum(0) for w in (after, before) if w.is_simulated]
        totals.append(Total(log.logsumexp(0), torch.cat(changes, 1) if changes else None))
    return _concatenated(totals)


def over_all_draws(totals: Sequence[Total]) -> Total:
    """The total of all draws from those of some draws each."""
    logs = torch.stack([total.log for total in totals])
    shares = torch.softmax(logs, 0).nan_to_num()
    changes = [s[:, None] * t.changes for s, t in zip(shares, totals, strict=True) if t.changes is not None]
    return Total(logs.logsumexp(0), torch.stack(changes).sum(0) if changes else None)


def log_cdf_of(component: Any, at: Tensor) -> Tensor:
    """The logarithm of P(variable <= at)."""
    if isinstance(component, dist.Delta):
        return torch.as_tensor(component.v <= at).double().log()
    if isinstance(component, dist.Bernoulli):
        return torch.where(at < 0, 0.0, torch.where(at < 1, 1.0 - component.probs, 1.0)).log()
    if isinstance(component, dist.Normal):
        below: Tensor = torch.special.log_ndtr((at - component.loc) / component.scale)
        return below
    low, high = bounds_of(component)
    return torch.where(at < low, 0.0, torch.where(at >= high, 1.0, component.cdf(at))).log()


def points_at_once(situation: Situation) -> int:
    """How many points have nodes of their own at one time."""
    return max(MAX_ELEMENTS // (situation.num_draws * situation.model.K * situation.num_averaged * 1_000), 1)


def _concatenated(totals: Sequence[Total]) -> Total:
    """The total at all points from those at some points each."""
    changes = [total.changes for total in totals if total.changes is not None]
    return Total(torch.cat([total.log for total in totals]), torch.cat(changes) if changes else None)


def _shared(component: Any, weights: Tensor, points: Tensor, log_of: LogOf, is_simulated: bool) -> Total:
    """The total where all points share their nodes."""
    values = log_of(component, points.reshape(len(points), 1, 1, 1, *points.shape[1:]))
    joint = values + weights[:, 0]
    if not is_simulated:
        return Total(joint.flatten(1).logsumexp(-1))
    shares = weights[:, 0].logsumexp(-1).exp()
    by_node = joint.logsumexp(-1).expand(len(points), *shares.shape)
    by_draw = by_node.logsumexp(-1)
    total = by_draw.logsumexp(-1)
    reference = total.clamp_min(-1e300)
    changes = (by_node - reference[:, None, None]).exp() - shares * (by_draw - reference[:, None]).exp()[..., None]
    return Total(total, changes.sum(1))


def _relative_changes(weighed: Weighed) -> Tensor:
    """How much each drawn node changes log p(seen), [S, R, Q]."""
    shares = weighed.log_weights.logsumexp(-1).exp()
    return shares - 1.0 / shares.shape[-1]
