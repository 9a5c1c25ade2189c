"""Draw until the answer is clear: doubling stages that reject or accept early, both error rates by the union bound."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import stats

from validation.statistics.tolerances import mean_tolerance
from validation.testing.arguments import Array, as_array
from validation.testing.check import Check, Demand
from validation.testing.distribution import cdf_check
from validation.testing.mean import mean_check
from validation.testing.proportion import proportion_check

# A stage: all samples so far, its share of the demand, and the probability with which its limit may be too low; the
# check, and an upper limit of the effect.
Stage = Callable[[Array, Demand, float], tuple[Check, float]]


@dataclass(frozen=True)
class Stages:
    """`first` samples, then twice as many in all, and so on: at most `most` stages."""

    first: int = 256
    most: int = 10

    def __post_init__(self) -> None:
        for name, least in (("first", 2), ("most", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name}: expected a whole number, {least} or more, got {value!r}")


def draw_until_powered(
    draw: Callable[[int, int], Any], stage: Stage, demand: Demand, stages: Stages
) -> tuple[Array, Check]:
    """Draw in stages and judge after each; return all samples and one check.

    ``draw(n, k)`` returns n fresh samples for stage k of K. A stage rejects at α/K. It accepts if an upper limit of the
    effect, too low with probability at most (1-power)/K, is within `min_effect`. So chance rejects with probability at
    most α in all, and accepts an effect of `min_effect` with at most 1 - power. If no stage decides: underpowered.
    """
    share = Demand(demand.alpha / stages.most, demand.power, demand.min_effect)
    samples = np.empty(0)
    for k in range(stages.most):
        wanted = stages.first * 2**k - samples.size
        fresh = as_array("sampler(n, seed)", draw(wanted, k))
        if fresh.size != wanted:
            raise ValueError(f"sampler(n, seed): expected n = {wanted} samples, got {fresh.size}")
        samples = np.concatenate([samples, fresh])
        check, limit = stage(samples, share, (1 - demand.power) / stages.most)
        if check.p_value <= share.alpha or limit <= demand.min_effect:
            break
    told = replace(check.told, note=f"{check.told.note} stage {k + 1} of at most {stages.most}".strip())
    p_value = min(1.0, check.p_value * stages.most)
    return samples, replace(check, demand=demand, p_value=p_value, detectable=limit, told=told)


def mean_stage(expected: float) -> Stage:
    """Return the stage of `mean_check`: the limit is ``|x̄ - expected| + t_{n-1, 1-miss}·s/√n``."""

    def judge(samples: Array, demand: Demand, miss: float) -> tuple[Check, float]:
        check = mean_check(samples, expected, demand)
        if not check.p_value >= 0:  # too skewed for so few samples
            return check, np.inf
        slack = mean_tolerance(float(samples.std(ddof=1)), samples.size, alpha=2 * miss)
        return check, abs(check.observed - expected) + slack

    return judge


def proportion_stage(expected: float) -> Stage:
    """Return the stage of `proportion_check`, for samples of 0 and 1: the limits are Clopper's and Pearson's."""

    def judge(samples: Array, demand: Demand, miss: float) -> tuple[Check, float]:
        if not np.isin(samples, (0.0, 1.0)).all():
            raise ValueError(f"sampler(n, seed): expected zeros and ones, got {samples[~np.isin(samples, (0, 1))][:3]}")
        n, k = samples.size, int(samples.sum())
        low = float(stats.beta.ppf(miss, k, n - k + 1)) if k else 0.0
        high = float(stats.beta.isf(miss, k + 1, n - k)) if k < n else 1.0
        return proportion_check(k, n, expected, demand), max(expected - low, high - expected)

    return judge


def cdf_stage(cdf: Callable[[Array], Any]) -> Stage:
    """Return the stage of `cdf_check`: the limit is ``D + √(log(1/miss)/(2n))``."""

    def judge(samples: Array, demand: Demand, miss: float) -> tuple[Check, float]:
        check = cdf_check(samples, cdf, demand)
        return check, check.observed + float(np.sqrt(np.log(1 / miss) / (2 * samples.size)))

    return judge


def stage_of(kind: str, expected: Any) -> Stage:
    """Return the stage of a kind of check; raise a ValueError for an unknown one."""
    kinds: dict[str, Callable[[Any], Stage]] = {"mean": mean_stage, "proportion": proportion_stage, "cdf": cdf_stage}
    if kind not in kinds:
        raise ValueError(f'kind: expected "mean", "proportion" or "cdf", got {kind!r}')
    return kinds[kind](expected)
