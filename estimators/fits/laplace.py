"""Draws of the density around a point fit, as a fit of its own: the normal approximation, corrected.

Proposals of Student's t with the mode's curvature are weighed by the exact density and resampled (sampling importance
resampling: Rubin 1988). How far the weights can be trusted is the Pareto shape k̂ of their tail.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from estimators.checks import check_seed
from estimators.contract import Density, Objective, log_joint, log_likelihood, log_posterior
from estimators.diagnostics import PARETO_LIMIT, importance
from estimators.fits.kind import Kind
from estimators.fits.labels import label
from estimators.fits.rows import density_behind, fitted_rows
from estimators.fits.summary import say_status
from estimators.optimise.curvature import curvature, student_draws
from estimators.parameters.parameter import Array
from estimators.status import EstimationError, Status, warn_user

if TYPE_CHECKING:
    from estimators.fits.fit import Fit

# Proposals for each draw, as long as they make no more than so many numbers; and how many at least, so that the weights
# have a tail.
PROPOSALS, MOST_ELEMENTS, LEAST_PROPOSALS = 4, 40_000_000, 1_000


def laplace_fit(fit: "Fit", num_draws: int, seed: int | None) -> "Fit":
    """Draws around the point of a fit, labelled as it is; see `Fit.laplace`."""
    if not fit.kind.is_mode:
        raise ValueError(f"laplace: expected a point fit (EM or MAP), got kind {fit.kind!r}, which has draws already")
    if isinstance(num_draws, bool) or not isinstance(num_draws, int) or num_draws < 2:
        raise ValueError(f"laplace: expected num_draws >= 2, got {num_draws!r}")
    if fit.status in (Status.BOUNDARY, Status.COMPONENT_COLLAPSED):
        raise EstimationError(f"laplace: there is no interior mode to expand around. {fit.advice[0]}")
    seed = check_seed(seed)
    density = density_behind(fit, fitted_rows(fit, "laplace"))
    mode = density.unconstrain({name: value[0].numpy() for name, value in fit.draws.items()})
    drawn, found = _draws(density, mode, num_draws, np.random.default_rng(seed), uses_prior=fit.uses_prior)
    # Alignment starts from the mode itself, whose labels the draws are given.
    with_mode = density.draws(np.concatenate([mode[None], drawn]))
    labelled = label(fit.model, density, with_mode, ordered=False, uses_prior=fit.uses_prior)
    stats = {"seed": seed, "of": str(fit.kind), **found, **labelled.stats}
    draws = {name: value[1:] for name, value in labelled.draws.items()}
    approximation = replace(fit, kind=Kind.LAPLACE, draws=draws, stats=stats, info={})
    say_status(approximation, strict=False)
    if found["pareto_k"] > PARETO_LIMIT:
        warn_user(
            f"laplace: the density is not like its normal approximation (Pareto k̂ {found['pareto_k']:.2f}, above "
            f"{PARETO_LIMIT}), so intervals of these draws may be too short; use NUTS(), or .profile() for an interval"
        )
    return approximation


def _draws(
    density: Density, mode: Array, num_draws: int, rng: np.random.Generator, *, uses_prior: bool
) -> tuple[Array, dict[str, float]]:
    """Draws [S, D] of the density of the coordinates, and what their weights say of them.

    Without priors this is the likelihood as a density of the coordinates, in which a location, the log of a scale and
    a logit are uniform.
    """
    if not density.size:
        return np.zeros((num_draws, 0)), {"pareto_k": 0.0, "importance_ess": float(num_draws)}
    curve = curvature(Objective(density, log_joint if uses_prior else log_likelihood), mode)
    num_proposals = max(min(PROPOSALS * num_draws, MOST_ELEMENTS // density.row_size), num_draws, LEAST_PROPOSALS)
    moves, log_proposal = student_draws(curve, num_proposals, rng)
    target = Objective(density, log_posterior if uses_prior else log_likelihood)
    with np.errstate(all="ignore"):
        log_target = target.value(mode + moves)
    if not np.isfinite(log_target).any():
        raise EstimationError("laplace: the density is not a number around the mode; rescale the columns, or use NUTS")
    found = importance(log_target - log_proposal)
    # Systematic resampling: a draw of weight w comes up S w times, to the next whole number.
    steps = (np.arange(num_draws) + rng.random()) / num_draws
    chosen = np.minimum(np.searchsorted(np.cumsum(found.weights), steps), num_proposals - 1)
    return mode + moves[rng.permutation(chosen)], {"pareto_k": found.pareto_k, "importance_ess": found.ess}
