"""Do the draws of one posterior hold a truth? Tail probabilities, beyond the draws by an exponential tail."""

import math
from functools import partial

import numpy as np
from scipy import special

from validation.statistics.arguments import Array
from validation.statistics.check import Check, Message, Requirement
from validation.statistics.efficiency import fits_needed

# Share of the draws on each side whose mean excess gives the tail beyond.
TAIL = 0.1
# Standard errors of that mean by which the tail is made longer.
CAUTION = 1.0


def tails_check(
    kind: str, draws: dict[str, Array], truth: dict[str, float], ess: dict[str, float], requirement: Requirement,
    *, subject: str,
) -> Check:  # fmt: skip
    """Judge truths against draws [S] of each of E entries, worth `ess` independent ones; effects are in posterior sds.

    ``p = 2E · min tail``. A tail is the share of draws beyond the truth or, beyond their 0.1 quantile, 0.1 times an
    exponential with the mean excess of the draws there and a standard error more: heavier than a normal tail, so
    what is lost is power. Assumes tails no heavier than that, and a posterior whose intervals hold a fixed truth as
    often as they say, which few rows and a strong prior may keep it from.
    """
    names, share = tuple(draws), requirement.alpha / (2 * len(draws))
    tails = {name: min(_tails(draws[name], truth[name], ess[name])) for name in names}
    worst = min(names, key=lambda name: tails[name])
    error, sd = float(draws[worst].mean()) - truth[worst], float(draws[worst].std(ddof=1))
    off = error / sd if sd else math.copysign(math.inf, error)
    low, high = _bounds(draws[worst], ess[worst], share)
    reach = max(_reach(draws[name], ess[name], share) for name in names)
    order = sorted(names, key=lambda name: tails[name])[:4]
    listed = ", ".join(f"{name} {float(draws[name].mean()) - truth[name]:+.4g}" for name in order)
    return Check(
        kind,
        requirement,
        1,
        truth[worst],
        reach + float(special.ndtri(requirement.power)),
        low=low,
        high=high,
        expected=float(draws[worst].mean()),
        statistic=off,
        p_value=min(1.0, 2 * len(names) * tails[worst]),
        message=Message(
            f"{subject} at the truth",
            f"{worst} off by {error:+.4g} in one fit",
            f"{abs(off):.3g} posterior sds; from {low:.4g} to {high:.4g} the truth would pass, and it is "
            f"{truth[worst]:.4g}",
            "one fit",
            f"furthest: {listed}" + (f", of {len(names)}" if len(names) > 4 else ""),
        ),
        enough=partial(fits_needed, requirement, len(names)),
    )


def _tails(draws: Array, at: float, ess: float) -> tuple[float, float]:
    """The posterior probabilities below and above a number."""
    return _upper(-draws, -at, ess), _upper(draws, at, ess)


def _upper(draws: Array, at: float, ess: float) -> float:
    start, excess = _exponential(draws, ess)
    if at <= start:
        return float((draws >= at).mean())
    return TAIL * math.exp(-(at - start) / excess) if excess else 0.0


def _exponential(draws: Array, ess: float) -> tuple[float, float]:
    """Where the upper tail begins, and its mean excess on the safe side."""
    start = float(np.quantile(draws, 1 - TAIL))
    beyond = draws[draws >= start] - start
    return start, float(beyond.mean()) * (1 + CAUTION / math.sqrt(max(TAIL * ess, 1.0)))


def _bounds(draws: Array, ess: float, share: float) -> tuple[float, float]:
    """The numbers beyond which a tail is below `share`."""
    ends = []
    for sign in (-1.0, 1.0):
        start, excess = _exponential(sign * draws, ess)
        quantile = float(np.quantile(sign * draws, 1 - share)) if share >= TAIL else start
        ends.append(sign * (quantile if share >= TAIL else start + excess * math.log(TAIL / share)))
    return ends[0], ends[1]


def _reach(draws: Array, ess: float, share: float) -> float:
    """How many sds a truth is from the mean where a tail is below `share`, on the longer side."""
    sd, mean = float(draws.std(ddof=1)), float(draws.mean())
    low, high = _bounds(draws, ess, share)
    return max(high - mean, mean - low) / sd if sd else 0.0
