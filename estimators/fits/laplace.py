"""The normal approximation at a point fit, as a fit of its own."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from estimators.checks import check_seed
from estimators.contract import Objective, log_joint, log_likelihood
from estimators.fits.kind import Kind
from estimators.fits.labels import label
from estimators.fits.rows import density_behind, fitted_rows
from estimators.fits.summary import say_status
from estimators.optimise.curvature import laplace_draws
from estimators.status import EstimationError, Status

if TYPE_CHECKING:
    from estimators.fits.fit import Fit


def laplace_fit(fit: "Fit", num_draws: int, seed: int | None) -> "Fit":
    """Draws ``v ~ Normal(v̂, I(v̂)⁻¹)`` around the point of a fit, labelled as it is; see `Fit.laplace`."""
    if not fit.kind.is_mode:
        raise ValueError(f"laplace: expected a point fit (EM or MAP), got kind {fit.kind!r}, which has draws already")
    if isinstance(num_draws, bool) or not isinstance(num_draws, int) or num_draws < 2:
        raise ValueError(f"laplace: expected num_draws >= 2, got {num_draws!r}")
    if fit.status in (Status.BOUNDARY, Status.COMPONENT_COLLAPSED):
        raise EstimationError(f"laplace: there is no interior mode to expand around. {fit.advice[0]}")
    seed = check_seed(seed)
    density = density_behind(fit, fitted_rows(fit, "laplace"))
    objective = Objective(density, log_joint if fit.uses_prior else log_likelihood)
    mode = density.unconstrain({name: value[0].numpy() for name, value in fit.draws.items()})
    drawn = laplace_draws(objective, mode, num_draws, np.random.default_rng(seed))
    # Alignment starts from the mode itself, whose labels the draws are given.
    with_mode = density.draws(np.concatenate([mode[None], drawn]))
    labelled = label(fit.model, density, with_mode, ordered=False, uses_prior=fit.uses_prior)
    stats = {"seed": seed, "of": str(fit.kind), **labelled.stats}
    draws = {name: value[1:] for name, value in labelled.draws.items()}
    approximation = replace(fit, kind=Kind.LAPLACE, draws=draws, stats=stats, info={})
    say_status(approximation, strict=False)
    return approximation
