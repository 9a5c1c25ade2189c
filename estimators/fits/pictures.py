"""The plots of a fit, which are told what they need of it."""

from functools import partial
from typing import TYPE_CHECKING

from estimators.diagnostics import PARETO_LIMIT
from estimators.fits.laplace import approximation
from estimators.fits.level_names import rows_for
from estimators.fits.questions import ask
from estimators.fits.summary import entries_of
from estimators.plots.fitted import About, Subject
from estimators.plots.plots import Plots
from estimators.status import EstimationError

if TYPE_CHECKING:
    from estimators.fits.fit import Fit

# Draws by which a picture says how sure a point fit is.
DRAWS_ABOUT = 400


def plots_of(fit: "Fit") -> Plots:
    """Pictures of the fit: ``fit.plot.density()``, ``fit.plot.effect("Y", of="T")``; see `estimators.plots.plots`."""
    law, rows = partial(ask, fit, {}, "plot", 0), partial(rows_for, fit)
    return Plots(Subject(fit, law, rows, partial(entries_of, fit), partial(draws_about_maximum, fit)))


def draws_about_maximum(fit: "Fit") -> About:
    """Draws about the fit's own mode, by Laplace's approximation; none of what is given, nor at what is no peak."""
    if not fit.kind.is_mode or fit.data is None:
        return About(None)
    try:
        around = approximation(fit, DRAWS_ABOUT, seed=0)
    except EstimationError:
        return About(None, "No intervals: the maximum is at a boundary, or the rows leave Greeks open there")
    if around.stats["pareto_k"] > PARETO_LIMIT:
        return About(None, f"No intervals: not like a normal law about the maximum (k̂ {around.stats['pareto_k']:.2f})")
    if "mode" not in around.info:
        return About(around.draws)
    is_own = around.info["mode"] == 0
    return About({name: value[is_own] for name, value in around.draws.items()})
