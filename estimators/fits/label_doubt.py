"""Whether what a fit says of a component may be of another."""

from typing import TYPE_CHECKING

from estimators.queries.labels import Labels

if TYPE_CHECKING:
    from estimators.fits.fit import Fit

# Below this certainty the labels of more than one draw in ten might as well have been others, so that what is said of
# one component is to that extent an average with another.
CERTAIN = 0.9


def labels_of(fit: "Fit") -> Labels:
    """The labels of a fit, with the doubt that its statistics give."""
    certainty, data = fit.stats.get("label_certainty", 1.0), fit.data

    def sites() -> tuple[str, ...]:
        return tuple(fit.symmetry.sites)

    def hidden() -> tuple[str, ...]:
        return () if data is None else fit.model.density(data).latent

    if data is not None and not fit.stats.get("labels_fixed", True):
        return Labels(fit.label_names, sites, fit.stats.get("labels"), hidden)
    if data is None or certainty >= CERTAIN:
        return Labels(fit.label_names, sites)
    doubt = (
        f"the labels are uncertain (label_certainty {certainty:.2f}), so what is said of one component may be of "
        "another; give rows in which it is seen, more rows, or fewer components"
    )
    return Labels(fit.label_names, sites, doubt, sites)
