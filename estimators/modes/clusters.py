"""Clusters of draws, about which proposals are made."""

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2

from estimators.optimise.arrays import Array


def clusters(drawn: Array, count: int, fewest: int, rng: np.random.Generator) -> list[NDArray[np.bool_]]:
    """Which of the draws [S, D] are in each cluster, by k-means in sds of all.

    At most ``count``, and fewer where there would be less than ``fewest`` different draws to each; none where there
    would be one. Some may have fewer all the same.
    """
    count = min(count, len(np.unique(drawn, axis=0)) // fewest)
    if count < 2:
        return []
    spread = drawn.std(0)
    labels = kmeans2(drawn / np.where(spread > 0, spread, 1.0), count, minit="++", seed=rng, missing="warn")[1]
    return [labels == cluster for cluster in range(count)]
