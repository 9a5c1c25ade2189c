"""The shape of a cloud, and of its modes, wherever they lie."""

import numpy as np

from estimators.contract import Density
from estimators.modes.clusters import clusters
from estimators.modes.proposals import Proposals
from estimators.modes.student import Student
from estimators.optimise.arrays import Array

# Differences to so many other particles are looked at, and this share of them, the nearest, is of one mode.
PARTNERS = 4
NEAREST = 0.25
CONCENTRATIONS = 8
# The least variance of a direction, in units of the cloud's.
LEAST_VARIANCE = 1e-12
# Clusters of half a cloud at most, and the least particles of one.
CLUSTERS, FEWEST = 8, 20


def widths(coordinates: Array) -> Array:
    """The sd [D] of each coordinate, 1 where it is constant."""
    sd = coordinates.std(0)
    return np.where(sd > 0, sd, 1.0)


def mode_factor(coordinates: Array, rng: np.random.Generator) -> Array:
    """A factor [D, D] of the covariance of the nearest differences between particles: of a mode, up to its scale.

    By concentration steps, as of the minimum covariance determinant (Rousseeuw & Van Driessen 1999): the covariance of
    the differences that were nearest by the last one.
    """
    unit, D = widths(coordinates), coordinates.shape[1]
    standard = coordinates / unit
    differences = np.concatenate([standard - standard[rng.permutation(len(standard))] for _ in range(PARTNERS)])
    differences = differences[(differences != 0).any(1)]
    floor = LEAST_VARIANCE * np.eye(D)
    count = max(int(NEAREST * len(differences)), 2 * D)
    if len(differences) <= count:
        return np.diag(unit)
    covariance = np.eye(D)
    for _ in range(CONCENTRATIONS):
        factor = np.linalg.cholesky(covariance)
        distances = (np.linalg.solve(factor, differences.T) ** 2).sum(0)
        nearest = differences[np.argpartition(distances, count)[:count]]
        covariance = nearest.T @ nearest / count + floor
    return np.asarray(unit[:, None] * np.linalg.cholesky(covariance))


def cluster_proposals(density: Density, coordinates: Array, rng: np.random.Generator) -> Proposals:
    """Student's t's about clusters of particles [n, D].

    Few particles tell little of a covariance in many directions, so that within clusters counts as D more.
    """
    size, D = coordinates.shape
    groups = clusters(coordinates, CLUSTERS, FEWEST, rng) or [np.full(size, True)]
    kept = [inside for inside in groups if inside.any()]
    means = [coordinates[inside].mean(0) for inside in kept]
    away = [coordinates[inside] - mean for inside, mean in zip(kept, means, strict=True)]
    products = [own.T @ own for own in away]
    within = sum(products) / size + LEAST_VARIANCE * np.diag(widths(coordinates) ** 2)
    parts = [
        Student.of(mean, (product + D * within) / (len(own) + D))
        for mean, product, own in zip(means, products, away, strict=True)
    ]
    return Proposals(density, parts, np.array([len(own) / size for own in away]))
