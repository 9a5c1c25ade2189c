"""Entries of the Greeks that are at an end of their support though no row tells of them: a prior has them there."""

from collections.abc import Mapping

import numpy as np

from estimators.contract import Density, Objective, log_likelihood
from estimators.fits.identifiability import greek_slopes
from estimators.optimise.arrays import Array
from estimators.optimise.inside import moved_inside
from estimators.queries.labels import entry_names

# A Greek that moves by less than this share of what it does at the centre does not move: what it does is rounding.
UNMOVED = 1e-9


def all_entries(greeks: Mapping[str, Array], names: list[str]) -> list[str]:
    """All entries of Greeks [*shape], as in ``mu_X[0]``."""
    return [entry for name in names for entry in entry_names(name, np.shape(greeks[name]), {})]


def untold_at_ends(density: Density, greeks: Mapping[str, Array]) -> list[str]:
    """The entries that ran to an end where the likelihood is as high elsewhere."""
    point = density.unconstrain(greeks)
    inside = moved_inside(Objective(density, log_likelihood), density.data.least_weight, point)
    moves = np.abs(greek_slopes(density, inside)[:, inside != point]).max(1, initial=0.0) if inside is not point else []
    names = all_entries(greeks, density.names)
    return [names[number] for number in np.flatnonzero(np.asarray(moves) > UNMOVED)]
