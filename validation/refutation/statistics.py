"""Three statistics of an experiment under a fit, for the observed and every simulated experiment at once.

Each is a fixed function of one experiment and of the pool of all of them, the observed one included, so that under the
fit the observed value is exchangeable with the simulated ones and its rank gives an exact p-value.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from validation.refutation.experiment import Arm, Array, Experiments
from validation.refutation.predictions import Predictions
from validation.refutation.predictive import is_continuous

# Arms with fewer rows share one PIT distance.
LEAST_ROWS = 5


@dataclass(frozen=True, eq=False)
class Values:
    """A statistic of every experiment [E], large where it speaks against the fit; `details` are for its words."""

    values: Array
    size: float
    details: tuple[Any, ...] = ()


def pit_distance(predictions: Predictions, experiments: Experiments) -> Values | None:
    """How far the probability integral transforms of the measured continuous variables are from uniform.

    With ``u = F(x | do(settings of the row))``, the Cramér-von Mises distance of m values is ``U² + m (ū - ½)²``:
    Watson's U² for spread and shape, and a part for location. Rows share the Greeks, so that under the fit location
    varies far more; each part is taken in units of its own root or mean over experiments, and the larger kept, of all
    arms and variables. None where nothing continuous is measured. Discrete variables are left out.
    """
    groups: dict[tuple[str, str], list[Array]] = {}
    for name in experiments.columns:
        for arm in experiments.arms:
            if name in arm.settings or not is_continuous(experiments.columns[name][:, arm.rows]):
                continue
            key = arm.words if len(arm.rows) >= LEAST_ROWS else "the other settings"
            groups.setdefault((name, key), []).append(predictions.transforms(arm, name))
    if not groups:
        return None
    distances = []
    for u in groups.values():
        spread, location = cramer_von_mises(np.concatenate(u, 1))
        distances.append(np.maximum(_in_units(spread), np.sqrt(_in_units(location))))
    worst = int(np.argmax([distance[0] for distance in distances]))
    values = np.max(distances, 0)
    return Values(values, float(values[0]), list(groups)[worst])


def _in_units(values: Array) -> Array:
    mean = values.mean()
    return values / mean if mean > 0 else values


def cramer_von_mises(u: Array) -> tuple[Array, Array]:
    """Watson's U² [...] and the location part m (ū - ½)² [...] of the distance of values [..., m] from uniform."""
    size = u.shape[-1]
    expected = (2.0 * np.arange(1, size + 1) - 1.0) / (2.0 * size)
    total = 1.0 / (12.0 * size) + ((np.sort(u, -1) - expected) ** 2).sum(-1)
    location = size * (u.mean(-1) - 0.5) ** 2
    return total - location, location


def contrast_score(predictions: Predictions, experiments: Experiments) -> Values | None:
    """The largest |z| of a difference of means between two arms, observed minus predicted over its standard error.

    Prediction and standard error are the mean and standard deviation over experiments, so that the Greeks' own
    uncertainty counts. None where no two arms have a variable measured and two rows each.
    """
    differences: list[tuple[tuple[str, Arm, Arm], Array, Array]] = []
    for name, column in experiments.columns.items():
        arms = [arm for arm in experiments.arms if name not in arm.settings and len(arm.rows) > 1]
        means = [column[:, arm.rows].mean(1).reshape(len(column), -1).T for arm in arms]
        residual_means = [mean - predictions.means(arm, name) for mean, arm in zip(means, arms, strict=True)]
        for i, j in combinations(range(len(arms)), 2):
            pairs = zip(means[j] - means[i], residual_means[j] - residual_means[i], strict=True)
            differences += [((name, arms[j], arms[i]), raw, residual) for raw, residual in pairs]
    if not differences:
        return None
    residuals = np.stack([residual for _, _, residual in differences])
    centre, spread = residuals.mean(1, keepdims=True), residuals.std(1, keepdims=True)
    z = np.divide(residuals - centre, spread, out=np.zeros_like(residuals), where=spread > 0)
    worst = int(np.argmax(np.abs(z[:, 0])))
    (name, arm, versus), raw, residual = differences[worst]
    gap, error = float(residual[0] - residual[1:].mean()), float(residual[1:].std())
    details = (name, arm, versus, float(raw[0]), float(raw[0]) - gap, error)
    return Values(np.abs(z).max(0), gap / error if error else 0.0, details)


def log_score_regret(predictions: Predictions, experiments: Experiments) -> Values:
    """|mean log predictive density of an experiment's rows - what was expected of it|."""
    scores = predictions.log_densities()
    regrets = scores.mean(1) - predictions.expected_log_density()
    observed, gap = float(scores[0].mean()), float(regrets[0] - regrets[1:].mean())
    return Values(np.abs(regrets - regrets.mean()), gap, (observed, observed - gap, scores))


def score(values: Array) -> float:
    """How many standard deviations of the simulated values the observed one is from their mean."""
    spread = float(values[1:].std())
    return float(values[0] - values[1:].mean()) / spread if spread else 0.0


@dataclass(frozen=True, eq=False)
class PValues:
    """The p-value of each statistic of the observed experiment, and the one p-value of the smallest of them.

    ``lowest`` and ``highest`` are what that would have been had all ties been broken for or against the fit.
    """

    of_each: Array
    of_smallest: float
    lowest: float
    highest: float


def p_values(statistics: Sequence[Array], rng: np.random.Generator) -> PValues:
    """Each statistic [E] becomes a p-value by its rank among all experiments, and the smallest is ranked among theirs.

    Ties between the smallest, of which there are many, are broken by the sum of log p-values. Those that are left, as
    of discrete outcomes, are broken at random, so that a right model has a p-value at most α with probability α, to
    1 / E, and not less.
    """
    ranks = []
    for values in statistics:
        below = np.searchsorted(np.sort(values), values, "left")
        ranks.append((len(values) - below) / len(values))
    p = np.stack(ranks)
    smallest, total = p.min(0), np.log(p).sum(0)
    is_alike = (smallest == smallest[0]) & (np.abs(total - total[0]) <= 1e-12)
    more_extreme = int(((smallest < smallest[0]) | ((smallest == smallest[0]) & (total < total[0]) & ~is_alike)).sum())
    ties = int(is_alike.sum())
    size, place = len(smallest), int(rng.integers(1, ties + 1))
    return PValues(p[:, 0], (more_extreme + place) / size, (more_extreme + 1) / size, (more_extreme + ties) / size)
