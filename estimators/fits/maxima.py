"""The modes that a point fit knows of, as its answers' likelihood intervals begin there."""

from typing import TYPE_CHECKING

from estimators.contract import Density, Objective, log_joint, log_likelihood
from estimators.fits.advice import advice_on
from estimators.fits.rows import density_behind, fitted_rows
from estimators.modes.profile import Maxima
from estimators.optimise.ascent import ascend
from estimators.queries.source import RivalGreeks
from estimators.status import EstimationError, Status

if TYPE_CHECKING:
    from estimators.fits.fit import Fit

# The gradient per row to which a fit is climbed on that was ended before its maximum.
TOLERANCE = 1e-8


def maximised_density(fit: "Fit") -> Density:
    """The density of the fitted rows; raises ValueError for a fit that is no maximum of it."""
    if fit.kind.is_point and not fit.kind.is_mode:
        fitted_rows(fit, "profile")
    if not fit.kind.is_mode:
        raise ValueError(
            f"profile: expected a point fit (EM or MAP), got kind {fit.kind!r}, whose draws hold its uncertainty "
            "already, in proportion over all modes that they visit; use .interval(level), or fit with EM()"
        )
    if Status.COMPONENT_COLLAPSED in fit.findings:
        why = advice_on(fit, Status.COMPONENT_COLLAPSED)
        raise EstimationError(f"profile: the density has no maximum to compare with. {why}")
    return density_behind(fit, fitted_rows(fit, "profile"))


def maxima_of(fit: "Fit", density: Density) -> Maxima:
    """The modes that a search found for a fit, or the one at its point."""
    objective = Objective(density, log_joint if fit.uses_prior else log_likelihood)
    greeks = fit.draws if fit.found is None else fit.found.greeks
    points = density.unconstrain({name: value.numpy() for name, value in greeks.items()})
    if Status.MAX_ITERATIONS in fit.findings:
        points[0] = ascend(objective, points[0], TOLERANCE).coordinates
    return Maxima(objective, points, objective.value(points))


def rival_greeks(fit: "Fit") -> RivalGreeks:
    """A point fit's rivals."""
    if not fit.kind.is_mode:
        return RivalGreeks(None)
    is_open = Status.NOT_IDENTIFIED in fit.findings
    if fit.found is None:
        return RivalGreeks(None, (), is_open)
    is_open = is_open or fit.found.are_open[0]
    if not fit.found.rivals:
        return RivalGreeks(None, (), is_open)
    greeks = {name: value[fit.found.rivals] for name, value in fit.found.greeks.items()}
    return RivalGreeks(greeks, tuple(fit.found.are_open[number] for number in fit.found.rivals), is_open)
