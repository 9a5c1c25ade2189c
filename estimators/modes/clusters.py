"""Student's t's about clusters of draws, of which proposals are made."""

import numpy as np
from scipy.cluster.vq import kmeans2

from estimators.modes.student import Student
from estimators.optimise.arrays import Array

# The least draws of one cluster by coordinate, and what of all their covariance is added to its own.
LEAST_DRAWS, WIDENED = 5, 0.03


def clustered(drawn: Array, least: Array, count: int, rng: np.random.Generator) -> list[tuple[Student, float]]:
    """t's about all draws [S, D] and about ``count`` clusters of them, and the share of the draws in each.

    ``least`` [D, D] is added to the covariance of all. There are fewer clusters of few draws, and a cluster of too few
    has no t.
    """
    fewest = LEAST_DRAWS * drawn.shape[1]
    spread = np.atleast_2d(np.cov(drawn.T)) + least
    count = min(count, len(np.unique(drawn, axis=0)) // fewest)
    groups = [np.full(len(drawn), True)]
    if count > 1:
        labels = kmeans2(drawn / np.sqrt(np.diag(spread)), count, minit="++", seed=rng, missing="warn")[1]
        groups += [inside for inside in labels == np.arange(count)[:, None] if inside.sum() > fewest]
    return [
        (
            Student.of(drawn[inside].mean(0), np.atleast_2d(np.cov(drawn[inside].T)) + WIDENED * spread),
            float(inside.mean()),
        )
        for inside in groups
    ]
