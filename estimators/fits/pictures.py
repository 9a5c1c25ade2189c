"""The plots of a fit, which are told what they need of it."""

from functools import partial
from typing import TYPE_CHECKING

from estimators.fits.level_names import rows_for
from estimators.fits.questions import ask
from estimators.fits.summary import entries_of
from estimators.plots.fitted import Subject
from estimators.plots.plots import Plots

if TYPE_CHECKING:
    from estimators.fits.fit import Fit


def plots_of(fit: "Fit") -> Plots:
    """Pictures of the fit: ``fit.plot.density()``, ``fit.plot.effect("Y", of="T")``; see `estimators.plots.plots`."""
    return Plots(Subject(fit, partial(ask, fit, {}, "plot", 0), partial(rows_for, fit), partial(entries_of, fit)))
