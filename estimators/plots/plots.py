"""The plots of a fit: ``fit.plot.density()``, ``fit.plot.effect("Y", of="T")``, each in a file of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from estimators.checks import check_level
from estimators.isolation import own_modes
from estimators.plots.density import draw_density
from estimators.plots.effect import asked_effect, draw_effect
from estimators.plots.fitted import About, Subject
from estimators.plots.graph import plot_graph
from estimators.plots.laws import RowLaw
from estimators.plots.modes import draw_modes
from estimators.plots.profiles import Spread, draw_profiles
from estimators.plots.responsibilities import draw_responsibilities
from estimators.plots.trace import draw_trace
from estimators.queries.outcome import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from estimators.plots.style import Given


@dataclass(frozen=True, eq=False)
class Plots:
    """Pictures of a fit. Each draws on the axes that it is given, or on a figure of its own, and returns its axes.

    A figure of its own is pyplot's, shown by a notebook and by ``plt.show()``, and kept by
    ``fit.plot.effect("Y", of="T").figure.savefig("effect.png")``. Text has the ink of the axes, so a style such as
    ``plt.style.context("dark_background")`` is kept. Nothing else of the caller's matplotlib is changed.
    """

    of: Subject

    def __repr__(self) -> str:
        pictures = [name for name, member in vars(Plots).items() if callable(member) and not name.startswith("_")]
        return f"pictures of {self.of.fit!r}: {', '.join(f'{name}()' for name in pictures)}"

    @own_modes()
    def density(
        self,
        data: Any = None,
        *,
        names: str | Sequence[str] | None = None,
        site: str | None = None,
        axes: "Given" = None,
    ) -> "list[Axes]":
        """Each variable's rows, its predictive density, and what each class adds to that.

        ``data`` are other rows than the fitted ones, ``names`` the variables (else all), ``site`` the hidden site whose
        classes are shown, where there are several. Rows in which something was set are left out, as they have another
        law. All is by up to 40 of the draws, evenly spaced; of these the band holds the density at .9, and classes are
        those of the heaviest mode. A vector of two numbers is drawn as dots, with lines around 50 % and 90 % of each
        class; one of more as intervals of simulated values.
        Raises ValueError for an unknown variable, and where the number of axes is not that of variables.
        """
        rows = self.of.fit.data if data is None else self.of.rows(data)
        return draw_density(RowLaw.of(self.of.fit, self.of.law(), site).thinned(), rows, names, axes)

    @own_modes()
    def effect(
        self,
        name: str,
        *,
        of: str,
        levels: Sequence[Any] = (),
        event: Any = None,
        level: float = 0.9,
        ax: "Axes | None" = None,
    ) -> "Axes":
        """The mean of an outcome where a cause is set to each of its ``levels``, against where these are seen.

        Of an ``event``, a level or a count of the outcome, its probability.

        Bars are intervals at ``level``: of draws, or the likelihood intervals of a point fit, one of each mode. Open
        markers are the answers of other modes that the data allow. The title says the effect in words: the last level
        against the first. Raises ValueError for unknown variables, and for a cause without levels where none are given.
        """
        check_level(level)
        return draw_effect(asked_effect(self.of.fit, self.of.law(), Outcome(name, event), of, levels, level), ax)

    @own_modes()
    def profiles(
        self,
        *,
        names: str | Sequence[str] | None = None,
        site: str | None = None,
        level: float = 0.9,
        axes: "Given" = None,
    ) -> "list[Axes]":
        """How frequent each class is, and what each variable is in it: its mean, or the probability of its levels.

        With intervals at ``level``: of draws, of several modes for each of them, the heaviest full and the others open;
        or of a point fit those of draws about its maximum, as `Fit.laplace` makes them, where it can. ValueError as
        `density` raises it, and for a model with several hidden sites where none is named.
        """
        check_level(level)
        law = RowLaw.of(self.of.fit, self.of.law(), site)
        about = self.of.about() if law.num_draws == 1 else About(None)
        spread = Spread(law, None if about.draws is None else law.about(about.draws), level)
        return draw_profiles(spread, about.lacking, names, axes)

    @own_modes()
    def responsibilities(self, data: Any = None, *, site: str | None = None, ax: "Axes | None" = None) -> "Axes":
        """p(class | row) of the fitted rows, or of others, stacked: a column a row (or unit), the surest rows first.

        Of more than 800 rows, evenly spaced ones are shown. ValueError for a fit without data where none is given.
        """
        fit = self.of.fit
        if data is None and fit.data is None:
            raise ValueError("responsibilities: this fit holds no data; give rows, fit.plot.responsibilities(data)")
        rows = self.of.rows(fit.data if data is None else data)
        law = RowLaw.of(fit, self.of.law(), site)
        shares = fit.responsibilities(rows, site).double().numpy()
        names = law.class_names or [f"class {k}" for k in range(shares.shape[1])]
        cautions = [law.caution, f"An average over {len(law.modes)} modes" if len(law.modes) > 1 else ""]
        return draw_responsibilities(shares, names, "rows" if rows.unit is None else "units", cautions, ax)

    @own_modes()
    def trace(self, *, names: str | Sequence[str] | None = None, axes: "Given" = None) -> "list[Axes]":
        """How the estimate came about: EM's or SVI's objective by step, or the chains of draws and their marginals.

        ``names`` are entries of the Greeks as `summary` names them, of which the first six are shown otherwise; each
        has two panels. Raises ValueError for a fit that has neither steps nor draws.
        """
        return draw_trace(self.of, names, axes)

    @own_modes()
    def modes(self, *, axes: "Given" = None) -> "list[Axes]":
        """Every mode that a search found, a panel a Greek: nats below the best against its entries, weights by size.

        Raises ValueError for a fit that was made without a search, as ``fit.modes`` does.
        """
        return draw_modes(self.of, axes)

    @own_modes()
    def graph(self, *, greeks: bool = False, plates: bool = False, ax: "Axes | None" = None) -> "Axes":
        """The model's causal graph, as `estimators.plot_graph` draws it."""
        return plot_graph(self.of.fit.model, greeks=greeks, plates=plates, ax=ax)  # type: ignore[arg-type]
