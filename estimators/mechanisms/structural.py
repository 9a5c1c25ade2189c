"""Structural assumptions: how a variable's noise is recovered from what was seen, and turned into what would have been.

A conditional distribution p(x | causes) says nothing of which noise belongs to which row. For a Gaussian the noise is
the residual. For a discrete variable, Z among them, an assumption is needed, and another may be put in its place: see
`Structural`.
"""

from typing import Any, Protocol

import numpy as np
import pyro.distributions as dist
import torch
from torch import Tensor

from estimators.mechanisms.protocol import Mechanism
from estimators.parameters.laws import is_integer

# A value that is left out of a count's has less than this share of the probability.
SHARE = 1e-17
# Values of one variable that are enumerated.
MOST_VALUES = 1_000

# Values [..., L] and their probabilities.
Outcomes = tuple[Tensor, Tensor]


class Structural(Protocol):
    """A structural equation ``x = f(causes, noise)`` that is compatible with a conditional distribution.

    Distributions have batch shape [...]; the noise may have any shape that begins so. Random numbers are torch's. One
    that also has the method of `Enumerable` gives exact means; of any other the noise is drawn.
    """

    def abduct(self, distribution: Any, value: Tensor) -> Tensor:
        """A draw of the noise given the value seen: p(noise | x, causes)."""

    def act(self, distribution: Any, noise: Tensor) -> Tensor:
        """The value under other causes and the same noise."""


class Enumerable(Structural, Protocol):
    """A structural equation whose noise, given a value seen, leaves few values under other causes."""

    def outcomes(self, before: Any, value: Tensor, after: Any) -> Outcomes | None:
        """The values under the causes ``after``, of a value seen under those ``before``, and their probabilities.

        Both are [..., L], values of vectors [..., L, D]. None where there are too many.
        """


class Residual:
    """``x = mean + scale · noise`` for Gaussians: the noise is the standardised residual, so it is identified."""

    def abduct(self, distribution: Any, value: Tensor) -> Tensor:
        """(x - mean) / scale, with the Cholesky factor for a scale where there is one."""
        residual = value - distribution.mean
        if isinstance(distribution, dist.MultivariateNormal):
            factor = distribution.scale_tril.expand(*residual.shape, -1)
            solved: Tensor = torch.linalg.solve_triangular(factor, residual[..., None], upper=False)[..., 0]
            return solved
        standardised: Tensor = residual / distribution.stddev
        return standardised

    def act(self, distribution: Any, noise: Tensor) -> Tensor:
        """Mean + scale · noise."""
        if isinstance(distribution, dist.MultivariateNormal):
            moved: Tensor = distribution.mean + (distribution.scale_tril @ noise[..., None])[..., 0]
            return moved
        scaled: Tensor = distribution.mean + distribution.stddev * noise
        return scaled

    def outcomes(self, before: Any, value: Tensor, after: Any) -> Outcomes:
        """The one value that the residual makes."""
        return _certain(self.act(after, self.abduct(before, value)), len(before.event_shape))


class MonotoneInverse:
    """``x = F⁻¹(u)`` with uniform u and F the CDF: what raises the chance of a large x never lowers x.

    The assumption for two levels and ordered ones, counts, and continuous families that are not Gaussian (of these
    u = F(x) is identified). The noise is u in the lower half and u - 1 in the upper, so that both tails keep their
    digits. Source: Pearl (2009), Causality, section 9.2 (monotonicity).
    """

    def abduct(self, distribution: Any, value: Tensor) -> Tensor:
        """Uniform between F(x - 1) and F(x); F(x) of a continuous variable."""
        if not is_integer(distribution):
            return _folded(*_tails(distribution, value))
        (below, above), (low, high) = _tails(distribution, value - 1.0), _tails(distribution, value)
        mass = torch.where(below < 0.5, low - below, above - high)
        step = mass * torch.rand(mass.shape, dtype=torch.float64)
        return torch.where(below < 0.5, _folded(below + step, 1.0 - (below + step)), -(above - step))

    def act(self, distribution: Any, noise: Tensor) -> Tensor:
        """The smallest value whose CDF reaches u."""
        if is_integer(distribution):
            return _smallest(distribution, noise)
        found: Tensor = distribution.icdf(torch.where(noise < 0, 1.0 + noise, noise))
        return found

    def outcomes(self, before: Any, value: Tensor, after: Any) -> Outcomes | None:
        """Every value whose part of the unit interval under ``after`` meets that of the value seen under ``before``."""
        if not is_integer(before):
            return _certain(self.act(after, self.abduct(before, value)), 0)
        start, end = _tails(before, value - 1.0), _tails(before, value)
        first = _smallest(after, _folded(torch.maximum(start[0], SHARE * end[0]), start[1]))
        last = _smallest(after, _folded(end[0], torch.maximum(end[1], SHARE * start[1])))
        first, last = torch.broadcast_tensors(first, torch.maximum(first, last))
        size = int((last - first).max()) + 1
        if size > MOST_VALUES:
            return None
        values = first[..., None] + torch.arange(size, dtype=torch.float64)
        tails = [_tails(after, first + float(step)) for step in range(-1, size)]
        below, above = (torch.stack(torch.broadcast_tensors(*part), -1) for part in zip(*tails, strict=True))
        low, high = (below[..., :-1], above[..., :-1]), (below[..., 1:], above[..., 1:])
        start, end = ((part[0][..., None], part[1][..., None]) for part in (start, end))
        by_lower = torch.minimum(end[0], high[0]) - torch.maximum(start[0], low[0])
        by_upper = torch.minimum(start[1], low[1]) - torch.maximum(end[1], high[1])
        overlap = torch.where(start[0] < 0.5, by_lower, by_upper).clamp_min(0.0)
        return torch.minimum(values, last[..., None]), _normalised(overlap)


class GumbelMax:
    """``x = argmax_j log p_j + noise_j`` with Gumbel noise: no option is left for one that loses odds to it.

    The assumption for more than two levels without an order, and for Z. Of two options it is `MonotoneInverse`. Source:
    Oberst & Sontag (2019), "Counterfactual off-policy evaluation with Gumbel-max structural causal models".
    """

    def abduct(self, distribution: Any, value: Tensor) -> Tensor:
        """Gumbels given that the value seen has the largest sum, top down (Maddison & Tarlow 2017)."""
        logits = _log_shares(distribution)
        logits = torch.broadcast_to(logits, (*value.shape, logits.shape[-1]))
        top = _gumbel(value.shape)[..., None]
        below = -torch.log(torch.exp(-top) + torch.exp(-_gumbel(logits.shape) - logits))
        chosen = torch.nn.functional.one_hot(value.long(), logits.shape[-1]).bool()
        return torch.where(chosen, top, below) - logits

    def act(self, distribution: Any, noise: Tensor) -> Tensor:
        """The option with the largest sum."""
        total: Tensor = _log_shares(distribution) + noise
        return total.argmax(-1).double()

    def outcomes(self, before: Any, value: Tensor, after: Any) -> Outcomes:
        """Every option, with ``p(j | i) = q_j ∫ dw / (1 + Σ_l (q_l w - p_l)⁺)²`` over w from p_j/q_j to p_i/q_i, j ≠ i.

        p and q are the shares before and after. With t the largest sum before, ``t - log w`` is the largest after;
        e^-t is exponential and integrated out. The denominator's root is a line in w between neighbouring ratios.
        """
        p, q = torch.broadcast_tensors(_shares(before), _shares(after))
        ratio = torch.where(q > 0, p / q, torch.inf).clamp_max(1e300)
        ratio, order = ratio.sort(-1)
        p_sorted, q_sorted = p.gather(-1, order), q.gather(-1, order)
        later = p_sorted.flip(-1).cumsum(-1).flip(-1) - p_sorted
        rise = q_sorted.cumsum(-1)
        start, end = later + rise * ratio, later[..., :-1] + rise[..., :-1] * ratio[..., 1:]
        steps = ratio.diff(dim=-1) / end / start[..., :-1]
        heights = torch.cat([torch.zeros_like(ratio[..., :1]), steps.cumsum(-1)], -1)
        height = torch.empty_like(heights).scatter_(-1, order, heights)
        shape = np.broadcast_shapes(value.shape, height.shape[:-1])
        height, index = height.expand(*shape, -1), value.long().expand(shape)[..., None]
        moved = q * (height.gather(-1, index) - height).clamp_min(0.0)
        options = torch.arange(p.shape[-1])
        stays = 1.0 - moved.sum(-1, keepdim=True)
        probabilities = torch.where(options == index, stays.clamp_min(0.0), moved)
        return options.double().expand(probabilities.shape), probabilities


def assumption(mechanism: Mechanism) -> Structural:
    """The structural assumption that is made for a mechanism unless another is given."""
    if mechanism.is_gaussian:
        return Residual()
    has_options = mechanism.num_levels is not None and mechanism.num_levels > 2 and not mechanism.is_ordered
    return GumbelMax() if has_options else MonotoneInverse()


def _certain(value: Tensor, own: int) -> tuple[Tensor, Tensor]:
    """One value with probability 1."""
    batch = value.shape[: value.ndim - own]
    return value.unsqueeze(len(batch)), torch.ones(*batch, 1, dtype=torch.float64)


def _normalised(mass: Tensor) -> Tensor:
    """Masses as probabilities; all alike where what was seen cannot have been."""
    total = mass.sum(-1, keepdim=True)
    return torch.where(total > 0, mass / torch.where(total > 0, total, 1.0), 1.0 / mass.shape[-1])


def _gumbel(shape: Any) -> Tensor:
    uniform = torch.rand(shape, dtype=torch.float64).clamp_min(np.finfo(np.float64).tiny)
    return -torch.log(-torch.log(uniform))


def _shares(distribution: Any) -> Tensor:
    """The probabilities [..., L] of a Categorical or a Bernoulli."""
    shares: Tensor = distribution.probs.double()
    return torch.stack([1.0 - shares, shares], -1) if isinstance(distribution, dist.Bernoulli) else shares


def _log_shares(distribution: Any) -> Tensor:
    return _shares(distribution).clamp_min(np.finfo(np.float64).tiny).log()


def _folded(below: Tensor, above: Tensor) -> Tensor:
    """A probability in the lower half as it is, in the upper as what is missing from 1, below 0."""
    return torch.where(below <= 0.5, below, -above)


def _tails(distribution: Any, value: Tensor) -> tuple[Tensor, Tensor]:
    """P(x <= value) and P(x > value), each with its own digits where the distribution has them."""
    if isinstance(distribution, dist.Bernoulli | dist.Categorical):
        shares = _shares(distribution)
        zero = torch.zeros_like(shares[..., :1])
        place = (value.clamp(-1.0, shares.shape[-1] - 1.0).floor() + 1.0).long()[..., None]
        below = torch.cat([zero, shares.cumsum(-1)], -1)
        above = torch.cat([shares.flip(-1).cumsum(-1).flip(-1), zero], -1)
        shape = np.broadcast_shapes(place.shape[:-1], below.shape[:-1])
        place = place.expand(*shape, 1)
        return tuple(part.expand(*shape, -1).gather(-1, place)[..., 0] for part in (below, above))  # type: ignore[return-value]
    below = distribution.cdf(value)
    return below, distribution.survival(value) if hasattr(distribution, "survival") else 1.0 - below


def _smallest(distribution: Any, noise: Tensor) -> Tensor:
    """The smallest whole number whose CDF reaches a folded probability, by doubling and halving."""

    def is_reached(value: Tensor) -> Tensor:
        below, above = _tails(distribution, value)
        return torch.where(noise < 0, above <= -noise, below >= noise)

    shape = np.broadcast_shapes(noise.shape, distribution.batch_shape)
    low, high = torch.full(shape, -1.0, dtype=torch.float64), torch.zeros(shape, dtype=torch.float64)
    while bool((short := ~is_reached(high) & (high < 2.0**60)).any()):
        low, high = torch.where(short, high, low), torch.where(short, 2.0 * high + 1.0, high)
    while True:
        middle = (0.5 * (low + high)).floor()
        inside = (middle > low) & (middle < high)
        if not bool(inside.any()):
            return high
        enough = is_reached(middle)
        low, high = torch.where(inside & ~enough, middle, low), torch.where(inside & enough, middle, high)
