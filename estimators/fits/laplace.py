"""Draws of the density around a point fit, as a fit of its own: the normal approximation, corrected.

Proposals of Student's t with the mode's curvature are weighed by the exact density and resampled (sampling importance
resampling: Rubin 1988). How far the weights can be trusted is the Pareto shape k̂ of their tail.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from estimators.checks import check_seed
from estimators.contract import Density, Objective, log_joint, log_likelihood, log_posterior
from estimators.diagnostics import PARETO_LIMIT
from estimators.fits.advice import advice_on
from estimators.fits.edge_words import words_at_ends
from estimators.fits.kind import Kind
from estimators.fits.labels import label
from estimators.fits.mode_findings import proportion_remark
from estimators.fits.rows import density_behind, fitted_rows
from estimators.fits.summary import say_status
from estimators.modes.importance_sampling import mode_proposals
from estimators.modes.labelling import Labelling
from estimators.modes.student import Student
from estimators.modes.weighed import LEAST_PROPOSALS, affordable, weighed
from estimators.optimise.arrays import Array
from estimators.optimise.curvature import Curvature, curvature
from estimators.status import EstimationError, Status, in_order, warn_user

if TYPE_CHECKING:
    from estimators.fits.fit import Fit

# Proposals for each draw, where these are affordable.
PROPOSALS = 4
# Images under labels that are free, of which proposals are the mixture.
MOST_IMAGES = 6


def laplace_fit(fit: "Fit", num_draws: int, seed: int | None) -> "Fit":
    """Draws around the modes of a point fit, labelled as it is; see `Fit.laplace`."""
    if not fit.kind.is_mode:
        raise ValueError(f"laplace: expected a point fit (EM or MAP), got kind {fit.kind!r}, which has draws already")
    if isinstance(num_draws, bool) or not isinstance(num_draws, int) or num_draws < 2:
        raise ValueError(f"laplace: expected num_draws >= 2, got {num_draws!r}")
    around = approximation(fit, num_draws, check_seed(seed))
    say_status(around, strict=False)
    if (pareto_k := around.stats["pareto_k"]) <= PARETO_LIMIT:
        return around
    words = (
        f"the density is not like its normal approximation (Pareto k̂ {pareto_k:.2f}, above {PARETO_LIMIT}), so "
        "intervals of these draws may be too short; use NUTS(), or .profile() for an interval"
    )
    warn_user(f"laplace: {words}")
    return replace(around, remarks=(*around.remarks, f"{words[0].upper()}{words[1:]}."))


def approximation(fit: "Fit", num_draws: int, seed: int) -> "Fit":
    """The draws, without a warning; EstimationError where there is no mode to expand around."""
    if not fit.findings.keys().isdisjoint((Status.BOUNDARY, Status.COMPONENT_COLLAPSED)):
        why = advice_on(fit, Status.COMPONENT_COLLAPSED, Status.BOUNDARY)
        raise EstimationError(f"laplace: there is no interior mode to expand around. {why}")
    density = density_behind(fit, fitted_rows(fit, "laplace"))
    try:
        drawn, found, info = _draws(fit, density, num_draws, np.random.default_rng(seed))
    except EstimationError:
        if not (ends := words_at_ends(density, fit.draws, ())):
            raise
        raise EstimationError(
            f"laplace: a normal distribution is no approximation at an end: {ends}; use NUTS(), or .profile() for an "
            "interval"
        ) from None
    # Alignment starts from the mode itself, whose labels the draws are given.
    with_mode = {name: torch.cat([fit.draws[name], value]) for name, value in density.draws(drawn).items()}
    labelled = label(fit.model, density, with_mode, ordered=False, uses_prior=fit.uses_prior)
    stats = {"seed": seed, "of": str(fit.kind), **found, **labelled.stats}
    draws = {name: value[1:] for name, value in labelled.draws.items()}
    said = _said(fit, found["pareto_k"] <= PARETO_LIMIT)
    return replace(fit, kind=Kind.LAPLACE, draws=draws, stats=stats, info=info, **said)


def _said(fit: "Fit", is_trusted: bool) -> dict[str, Any]:
    """What holds of the draws: where weights can be trusted, rivals are among them, which is a remark."""
    if not is_trusted or fit.found is None or Status.RIVAL_MODES not in fit.findings:
        return {}
    findings = in_order({status: about for status, about in fit.findings.items() if status is not Status.RIVAL_MODES})
    remark = proportion_remark(fit.findings[Status.RIVAL_MODES])
    return {"findings": findings, "status": next(iter(findings)), "remarks": (*fit.remarks, remark)}


def _draws(
    fit: "Fit", density: Density, num_draws: int, rng: np.random.Generator
) -> tuple[Array, dict[str, float], dict[str, Tensor]]:
    """Draws [S, D] of the density of the coordinates, what weights say of them, and which of several modes each is of.

    Without priors this is the likelihood as a density of the coordinates, in which a location, the log of a scale and
    a logit are uniform.
    """
    if not density.size:
        return np.zeros((num_draws, 0)), {"pareto_k": 0.0, "importance_ess": float(num_draws)}, {}
    count = affordable(density.row_size, max(PROPOSALS * num_draws, LEAST_PROPOSALS))
    modes, weights, numbers = _modes(fit, density)
    parts = [Student.about(mode, curve) for mode, curve in modes]
    first, regions = mode_proposals(density, _labelling(fit, density), parts, weights)
    found = weighed(log_posterior if fit.uses_prior else log_likelihood, first, regions, count, rng)
    points = found.points[found.resampled(num_draws, rng)]
    info = {"mode": torch.from_numpy(numbers[regions.of(points)[0]])} if len(numbers) > 1 else {}
    return points, {"pareto_k": found.pareto_k, "importance_ess": found.ess}, info


def _modes(fit: "Fit", density: Density) -> tuple[list[tuple[Array, Curvature]], Array, NDArray[np.int64]]:
    """The modes of a fit, its own first, with the curvature at each, their weights and numbers; flat others left out.

    Also those that do not count as rivals: far from the first, a hundredth of the draws may be half of a variance.
    """
    objective = Objective(density, log_joint if fit.uses_prior else log_likelihood)
    greeks, weights = (fit.draws, np.ones(1)) if fit.found is None else (fit.found.greeks, fit.found.weights)
    points = density.unconstrain({name: value.numpy() for name, value in greeks.items()})
    modes = [(point, curvature(objective, point)) for point in points]
    kept = [number for number, (_, curve) in enumerate(modes) if number == 0 or not curve.is_flat.any()]
    return [modes[number] for number in kept], weights[kept], np.array(kept)


def _labelling(fit: "Fit", density: Density) -> Labelling | None:
    """The labels that are free in a posterior; a likelihood in these coordinates is not the same under all of them."""
    labelling = Labelling(density, fit.symmetry) if fit.uses_prior and fit.symmetry.is_nontrivial else None
    return labelling if labelling is not None and labelling.num_images <= MOST_IMAGES else None
