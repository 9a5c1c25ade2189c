"""Draws about a point fit and its rivals, few and always the same ones, of which it is asked what its labels say."""

import numpy as np
import torch

from estimators.contract import Density, Objective, log_joint, log_likelihood, log_posterior
from estimators.data.working_rows import working_rows
from estimators.fits.sample import Sample
from estimators.modes.student import Student
from estimators.optimise.arrays import Array
from estimators.optimise.curvature import Curvature, curvature, rough_curvature
from estimators.parameters.symmetry import Draws, Indices

# As many draws as make this many numbers, but no fewer and no more than so many.
NUMBERS, LEAST, MOST = 50_000, 256, 1_024
# The curvature of many rows is that of this many, scaled up to all.
MOST_ROWS = 2_000
# Of more numbers than these the density is taken for a normal one.
MOST_WEIGHED = 50_000
# Weighted draws that are worth fewer than these are taken as they are.
LEAST_WORTH = 50.0
# Of more coordinates a curvature to a hundredth will do.
MANY_COORDINATES = 100
# Along a direction without curvature the data allow anything; a log or logit beyond this is at its end, and stays.
ANYTHING, AT_END = 10.0, 8.0


def draws_about_all(density: Density, points: Draws, shares: Array, *, uses_prior: bool) -> tuple[Sample, Indices]:
    """Draws about several points [M, *shape], each with its share [M], and about which of them each is [S].

    The first is the point of which it is asked.
    """
    each = [
        draws_about(density, {name: value[m : m + 1] for name, value in points.items()}, uses_prior=uses_prior)
        for m in range(len(shares))
    ]
    draws = {name: torch.cat([one.draws[name] for one in each]) for name in points}
    weights = np.concatenate([share * one.weights for share, one in zip(shares / shares.sum(), each, strict=True)])
    numbers = np.repeat(np.arange(len(each)), [len(one.weights) for one in each])
    return Sample(draws, weights, is_about_point=True), numbers


def draws_about(density: Density, point: Draws, *, uses_prior: bool) -> Sample:
    """Draws about one point by Laplace's approximation, and, of few rows, weighed by the density itself."""
    rng = np.random.default_rng(0)
    part = _of_some_rows(density, rng)
    mode = np.nan_to_num(part.unconstrain({name: value[0].numpy() for name, value in point.items()}))
    count = min(max(NUMBERS // max(density.row_size, 1), LEAST), MOST)
    if not part.size:
        draws = {name: value.expand(count, *value.shape[1:]) for name, value in point.items()}
        return Sample(draws, np.full(count, 1.0 / count))
    measured = curvature if part.size <= MANY_COORDINATES else rough_curvature
    with np.errstate(all="ignore"):
        curve = measured(Objective(part, log_joint if uses_prior else log_likelihood), mode)
    found = None
    if part is density and count * density.row_size <= MOST_WEIGHED:
        found = _weighed(Objective(density, log_posterior if uses_prior else log_likelihood), mode, curve, count, rng)
    points, weights = _unweighed(part, mode, curve, count, rng) if found is None else found
    # The point itself comes first, and weighs nothing.
    points, weights = np.concatenate([mode[None], points]), np.append(0.0, weights)
    draws = part.draws(points)
    is_finite = np.all(
        [torch.isfinite(value).reshape(len(points), -1).all(1).numpy() for value in draws.values()], axis=0
    )
    kept = torch.from_numpy(np.flatnonzero(is_finite))
    return Sample({name: value[kept] for name, value in draws.items()}, weights[is_finite] / weights[is_finite].sum())


def _weighed(
    objective: Objective, mode: Array, curve: Curvature, count: int, rng: np.random.Generator
) -> tuple[Array, Array] | None:
    """Points [S, D] of Student's t, and their weights [S]; None where there is no curvature, or few would count."""
    if not np.isfinite(curve.values).all() or curve.is_flat.any():
        return None
    proposal = Student.about(mode, curve)
    half = proposal.draws(count // 2, rng) - mode
    moves = np.concatenate([half, -half])
    with np.errstate(all="ignore"):
        logs = objective.value(mode + moves) - proposal.log_density(mode + moves)
    logs = np.nan_to_num(logs, nan=-np.inf, posinf=-np.inf)
    if not np.isfinite(logs.max()):
        return None
    weights = np.exp(logs - logs.max())
    is_worth_it = weights.sum() ** 2 > LEAST_WORTH * (weights**2).sum()
    return (mode + moves, weights / weights.sum()) if is_worth_it else None


def _unweighed(
    density: Density, mode: Array, curve: Curvature, count: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Points [S, D] of the normal approximation, as far as there is one."""
    normal = rng.standard_normal((count // 2, density.size))
    if not np.isfinite(curve.information).all():
        # Nothing is known of how far the Greeks may be from here.
        half = ANYTHING * normal
    else:
        half = curve.normal_draws(normal * np.where(curve.is_flat, ANYTHING, 1.0))
    moves = np.concatenate([half, -half]) * ~(density.bounded & (np.abs(mode) > AT_END))
    return mode + moves, np.full(len(moves), 1.0 / len(moves))


def _of_some_rows(density: Density, rng: np.random.Generator) -> Density:
    """The density of at most MOST_ROWS rows, weighted up to all of them."""
    rows, scale = working_rows(density.data, MOST_ROWS, rng)
    if rows is density.data:
        return density
    weights = torch.ones(rows.num_rows, dtype=torch.float64) if rows.weights is None else rows.weights
    return density.of(rows.replace(weights=weights * scale))
