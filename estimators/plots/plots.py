"""The plots of a fit: ``fit.plot.density()``, ``fit.plot.effect("Y", of="T")``, each in a file of its own."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from estimators.checks import check_level
from estimators.isolation import own_modes
from estimators.plots.density import draw_density
from estimators.plots.effect import asked_effect, draw_effect
from estimators.plots.fitted import Subject
from estimators.plots.laws import RowLaw

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class Plots:
    """Pictures of a fit. Each draws on the axes that it is given, or on a figure of its own, and returns its axes.

    A figure of its own is pyplot's, shown by a notebook and by ``plt.show()``, and kept by
    ``fit.plot.effect("Y", of="T").figure.savefig("effect.png")``.
    Text has the ink of the axes, so a style such as ``plt.style.context("dark_background")`` is kept. Nothing of the
    caller's matplotlib is changed.
    """

    of: Subject

    @own_modes()
    def density(
        self,
        data: Any = None,
        *,
        names: str | Sequence[str] | None = None,
        site: str | None = None,
        axes: "Axes | Iterable[Axes] | None" = None,
    ) -> "list[Axes]":
        """Each variable's rows, its predictive density over all draws, and what each class adds to that.

        ``data`` are other rows than the fitted ones, ``names`` the variables (else all), ``site`` the hidden site whose
        classes are shown, where there are several. Rows in which something was set are left out, as they have another
        law. Classes, and the band that holds the density at .9, are of up to 40 of the draws. A vector of two numbers
        is drawn as dots, with lines around 50 % and 90 % of each class; one of more as intervals of simulated values.
        Raises ValueError for an unknown variable, and where the number of axes is not that of variables.
        """
        rows = self.of.fit.data if data is None else self.of.rows(data)
        return draw_density(RowLaw.of(self.of.fit, self.of.law(), site), rows, names, axes)

    @own_modes()
    def effect(
        self, name: str, *, of: str, levels: Sequence[Any] = (), level: float = 0.9, ax: "Axes | None" = None
    ) -> "Axes":
        """The mean of an outcome where a cause is set to each of its ``levels``, against where these are seen.

        Bars are intervals at ``level``: of draws, or the likelihood intervals of a point fit, one of each mode. Open
        markers are the answers of other modes that the data allow. The title says the effect in words: the last level
        against the first. Raises ValueError for unknown variables, and for a cause without levels where none are given.
        """
        check_level(level)
        return draw_effect(asked_effect(self.of.fit, self.of.law(), name, of, levels), level, ax)
