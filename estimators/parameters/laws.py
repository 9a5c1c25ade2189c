"""The laws of stochastic settings as numbers to sum over: levels where discrete, panels to integrate on where not.

A panel is an interval on which the density is smooth enough for Gauss-Legendre quadrature: panels are halved until
halving changes nothing, and grow geometrically into the tails, so that kinks, jumps, heavy tails and densities that are
infinite at an end of the support are integrated to about 1e-12.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
from torch import Tensor

from estimators.isolation import isolated
from estimators.parameters.intervals import bounds_of_support, innermost, support_of
from estimators.parameters.sparse import in_logs

# Gauss-Legendre nodes of a panel.
NUM_NODES = 12
_POINTS, _WEIGHTS = (torch.from_numpy(array) for array in np.polynomial.legendre.leggauss(NUM_NODES))
NODES, LOG_NODE_WEIGHTS = 0.5 * (_POINTS + 1.0), (0.5 * _WEIGHTS).log()
# A count that takes larger values is drawn, not summed over.
LARGEST_COUNT = 2_000.0
# Probabilities of a count that are summed for its distribution function.
MOST_TERMS = 1_000_000
# A panel is split while that changes its probability by more, at most so often.
CHANGE = 1e-13
MAX_SPLITS = 60
# A law whose panels miss more of its probability is not one to integrate so (it has atoms, say).
MISSED = 1e-8
# Panels double outwards until what lies beyond adds so little to the mean, or to the probability where it has no mean.
NEGLIGIBLE = 1e-16
MOST_PANELS = 1_500
EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class Panels:
    """``edges`` [E + 1] of a density's panels, the ``bounds`` of its support, and where most of it is.

    ``atoms`` [A, 2] are values and log probabilities of what lies closer to a bound than a panel can be.
    """

    edges: Tensor
    bounds: tuple[float, float]
    location: float
    scale: float
    atoms: Tensor


def is_finite(law: Any) -> bool:
    """Whether a law has finitely many values."""
    return isinstance(law, dist.Delta) or bool(law.has_enumerate_support)


def is_integer(law: Any) -> bool:
    """Whether a law is one of whole numbers."""
    return bool(getattr(innermost(support_of(law)), "is_discrete", False))


@lru_cache(maxsize=64)
def is_small(law: Any) -> bool:
    """Whether a law of whole numbers takes so few of them that they can be summed over."""
    with isolated(0):
        return float(law.sample(torch.Size([1000])).max()) <= LARGEST_COUNT


def levels(law: Any) -> Tensor:
    """The values of a law that has finitely many."""
    values: Tensor = law.v if isinstance(law, dist.Delta) else law.enumerate_support(expand=False)
    return values.reshape(-1).double()


def log_mass(law: Any, value: Tensor) -> Tensor:
    """log p(value) of a discrete law, value by value."""
    if isinstance(law, dist.Delta):
        return torch.where(value == law.v, 0.0, -torch.inf).double()
    # Torch moves probabilities off 0 and 1 before it takes logs, which would make the impossible merely rare.
    if isinstance(law, dist.Bernoulli) and "probs" in vars(law):
        return torch.where(value == 1, law.probs, 1.0 - law.probs).log()
    if isinstance(law, dist.Categorical) and "probs" in vars(law):
        masses: Tensor = law.probs.log()[value.long()]
        return masses
    log: Tensor = law.log_prob(value)
    return log


@lru_cache(maxsize=64)
def has_cdf(law: Any) -> bool:
    """Whether a law says its distribution function."""
    with isolated(0):
        try:
            law.cdf(law.sample())
        except NotImplementedError:
            return False
    return True


def has_mean(law: Any) -> bool:
    """Whether the mean of a law is finite, as far as it says."""
    return is_finite(law) or not says_mean(law) or bool(torch.isfinite(law.mean).all())


def says_mean(law: Any) -> bool:
    """Whether a law has a formula for its mean."""
    try:
        return isinstance(law.mean, Tensor)
    except NotImplementedError:
        return False


def mean_of_law(law: Any) -> Tensor | None:
    """The mean of a law, or None where it is not finite, or the law does not say it."""
    # What a circular law calls its mean is a direction.
    if isinstance(law, dist.VonMises) or not says_mean(law):
        return None
    mean: Tensor = law.mean.double()
    if not bool(torch.isfinite(mean)) and is_finite(law):
        # Levels may be names, for which torch says no mean.
        values = levels(law)
        mean = (values * log_mass(law, values).double().exp()).sum()
    return mean if bool(torch.isfinite(mean)) else None


def log_prob_of_law(law: Any, at: Tensor) -> Tensor:
    """The log density, or probability, of a law at points [P], -inf outside its support; without Pyro's validation."""
    if is_finite(law):
        values = levels(law)
        return torch.where(at[:, None] == values, log_mass(law, values).double(), -torch.inf).logsumexp(-1)
    return log_prob_of(law, at).double()


def cdf_of_whole(law: Any, at: Tensor) -> Tensor | None:
    """P(law <= at) at points [P] of a law of whole numbers, summed; None where that takes too many terms."""
    if is_finite(law):
        values = levels(law).sort().values
    else:
        low, finite = float(bounds_of(law)[0]), at[torch.isfinite(at)]
        size = float(finite.max()) - low + 1.0 if len(finite) else 1.0
        if not (np.isfinite(low) and size <= MOST_TERMS):
            return None
        values = low + torch.arange(max(int(size), 1), dtype=torch.float64)
    sums = torch.nn.functional.pad(log_mass(law, values).double().exp().cumsum(0).clamp_max(1.0), (1, 0))
    return torch.where(torch.isposinf(at), 1.0, sums[torch.searchsorted(values, at, right=True)])


@lru_cache(maxsize=64)
def panels_of(law: Any) -> Panels | None:
    """The panels of a continuous law, or None where the density on them does not sum to 1."""
    with isolated(0):
        drawn = in_logs(law).sample(torch.Size([4096])).double().sort().values
    low, high = bounds_of(law)
    bounds = float(low.min()), float(high.max())
    location, scale = float(drawn[2048]), float(drawn[3072] - drawn[1024])
    if not np.isfinite([location, scale]).all() or scale <= 0:
        return None
    # Values far from 0 for their spread are rounded, and densities at them are.
    rounding = 8.0 * EPS * abs(location) / scale
    inner = drawn[torch.linspace(0, 4095, 17, dtype=torch.float64).long()]
    # Where a density may have a kink.
    loc = getattr(law, "loc", None)
    inner = torch.cat([inner, loc.reshape(-1).double()]) if isinstance(loc, Tensor) else inner
    tails = [_outwards(law, bounds[side], location, scale, side) for side in (0, 1)]
    edges = torch.cat([inner[torch.isfinite(inner)], *tails]).clamp(*bounds).unique()
    edges, atoms = _without_ends(law, _refined(law, edges, bounds, CHANGE + rounding), bounds, scale)
    total = float(_masses(law, edges).sum() + atoms[:, 1].exp().sum())
    is_whole = abs(total - 1.0) < MISSED + 100.0 * rounding and len(edges) <= MOST_PANELS
    return Panels(edges, bounds, location, scale, atoms) if is_whole else None


def bounds_of(law: Any) -> tuple[Tensor, Tensor]:
    """The ends of the support, infinite where there is none."""
    return bounds_of_support(innermost(support_of(law)))


def is_in_support(law: Any, value: Tensor) -> Tensor:
    """Where a value is one that the law can have, as far as the law says."""
    support = support_of(law)
    return torch.tensor(True) if support is None else torch.as_tensor(support.check(value))


def log_prob_of(law: Any, value: Tensor) -> Tensor:
    """The log density, -inf outside the support, where a law that is not asked to check gives numbers too."""
    return torch.where(is_in_support(law, value), law.log_prob(value), -torch.inf)


def _outwards(law: Any, bound: float, location: float, scale: float, side: int) -> Tensor:
    """Edges ever further out, to the bound or to the end of the tail."""
    if np.isfinite(bound):
        return torch.tensor([bound], dtype=torch.float64)
    distance = scale * 2.0 ** torch.arange(1000, dtype=torch.float64)
    at = location + (1.0 if side else -1.0) * distance
    power = 2.0 if has_mean(law) else 1.0
    beyond = law.log_prob(at) + power * distance.log() - (power - 1.0) * np.log(scale) < np.log(NEGLIGIBLE)
    last = int(beyond.long().argmax()) if bool(beyond.any()) else len(at) - 1
    return at[: last + 1]


def _refined(law: Any, edges: Tensor, bounds: tuple[float, float], tolerance: float) -> Tensor:
    """The edges with panels split until that changes no probability, nearer to a bound where one is finite."""
    for _ in range(MAX_SPLITS):
        middle = _middles(edges, bounds)
        triples = torch.stack([edges[:-1], middle, edges[1:]], 1)
        change = (_masses(law, triples).sum(-1) - _masses(law, edges)).abs()
        split = ~(change <= tolerance) & (middle > edges[:-1]) & (middle < edges[1:])
        if not bool(split.any()) or len(edges) > MOST_PANELS:
            break
        edges = torch.cat([edges, middle[split]]).sort().values
    return edges


def _middles(edges: Tensor, bounds: tuple[float, float]) -> Tensor:
    """Halfway in the logarithm of the distance to a bound that is close, at a sixteenth of it next to the bound."""
    low, high = edges[:-1], edges[1:]
    middle = 0.5 * (low + high)
    for bound, near, far, sign in ((bounds[0], low, high, 1.0), (bounds[1], high, low, -1.0)):
        if np.isfinite(bound):
            inner, outer = (near - bound).abs(), (far - bound).abs()
            root = torch.where(inner > 0, inner.sqrt() * outer.sqrt(), outer / 16.0)
            middle = torch.where(outer > 4.0 * inner, bound + sign * root, middle)
    return middle


def _masses(law: Any, edges: Tensor) -> Tensor:
    """The probability between neighbouring edges [..., E + 1]."""
    width = edges.diff()[..., None]
    log = law.log_prob(edges[..., :-1, None] + width * NODES)
    masses: Tensor = ((log + LOG_NODE_WEIGHTS).exp() * width).sum(-1)
    return masses


def _without_ends(law: Any, edges: Tensor, bounds: tuple[float, float], scale: float) -> tuple[Tensor, Tensor]:
    """The outermost panels as atoms where the density is a power of the distance d to the bound: d p(d) / exponent."""
    atoms = []
    for side, bound in enumerate(bounds):
        inner = edges[-2 if side else 1]
        distance = (inner - bound).abs()
        if not np.isfinite(bound) or float(distance) > 1e-9 * scale:
            continue
        near, far = law.log_prob(inner), law.log_prob(bound + 2.0 * (inner - bound))
        exponent = float(1.0 + (far - near) / np.log(2.0))
        if exponent > 0:
            atoms.append([float(inner), float(distance.log() + near - np.log(exponent))])
            edges = edges[:-1] if side else edges[1:]
    return edges, torch.tensor(atoms, dtype=torch.float64).reshape(-1, 2)
