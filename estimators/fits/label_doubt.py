"""Whether the labels of a fit are sure enough that what it says of one component is not said of another."""

from functools import partial
from typing import TYPE_CHECKING

from estimators.contract import Model
from estimators.data.data import Data
from estimators.fits.level_names import levels_of
from estimators.queries.labels import Labels

if TYPE_CHECKING:
    from estimators.fits.fit import Fit

# Below this certainty the labels of more than one draw in ten might as well have been others, so that what is said of
# one component is to that extent an average with another.
CERTAIN = 0.9


def labels_of(fit: "Fit") -> Labels:
    """The labels of a fit, with the doubt that its statistics give."""
    certainty, data = fit.stats.get("label_certainty", 1.0), fit.data
    sites, levels = partial(_labelled_sites, fit), levels_of(fit)
    if data is not None and not fit.stats.get("labels_fixed", True):
        return Labels(fit.label_names, sites, levels, fit.stats.get("labels"), partial(_hidden_sites, fit.model, data))
    if data is None or certainty >= CERTAIN:
        return Labels(fit.label_names, sites, levels)
    doubt = (
        f"the labels are uncertain (label_certainty {certainty:.2f}), so what is said of one component may be of "
        "another; give rows in which it is seen, more rows, or fewer components"
    )
    return Labels(fit.label_names, sites, levels, doubt, sites)


# A question holds these functions, and pickle takes none that is made inside another.
def _labelled_sites(fit: "Fit") -> tuple[str, ...]:
    return fit.symmetry.sites


def _hidden_sites(model: Model, data: Data) -> tuple[str, ...]:
    return model.density(data).latent
