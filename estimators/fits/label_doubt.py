"""Whether the labels of a fit are sure enough that what it says of one component is not said of another."""

from functools import partial
from typing import TYPE_CHECKING

from estimators.fits.level_names import levels_of
from estimators.queries.labels import Doubt, Labels

if TYPE_CHECKING:
    from estimators.fits.fit import Fit

# Below this certainty the labels of more than one draw in ten might as well have been others, so that what is said of
# one component is to that extent an average with another.
CERTAIN = 0.9


def labels_of(fit: "Fit") -> Labels:
    """The names of a fit's labels, and whether a question may rely on them: the doubts that its statistics give."""
    certainty, unfixed = fit.stats.get("label_certainty", 1.0), fit.stats.get("labels_unfixed", ())
    sites, doubts = partial(_labelled_sites, fit), list[Doubt]()
    if fit.data is not None and unfixed:
        doubts.append(Doubt(fit.stats.get("labels", ""), partial(frozenset, unfixed)))
    if fit.data is not None and certainty < CERTAIN:
        words = (
            f"the labels are uncertain (label_certainty {certainty:.2f}), so what is said of one component may be of "
            "another; give rows in which it is seen, more rows, or fewer components"
        )
        doubts.append(Doubt(words, sites))
    return Labels(fit.label_names, sites, levels_of(fit), tuple(doubts))


# A question holds this function, and pickle takes none that is made inside another.
def _labelled_sites(fit: "Fit") -> tuple[str, ...]:
    return fit.symmetry.sites
