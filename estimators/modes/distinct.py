"""Whether a stationary point is a mode that is known: by its Greeks modulo labels and by the law of the rows."""

from collections.abc import Iterable

import numpy as np

from estimators.contract import Density
from estimators.modes.climb import nearness
from estimators.modes.labelling import Labelling
from estimators.modes.mode import EXACT_LAW, Mode, law_at
from estimators.optimise.arrays import Array
from estimators.optimise.ridge import LEVEL

# Values closer than this, in nats or relative to 1000 times their size, may be of one mode.
TOLERANCE = 1e-5
# Places between two points at which a valley would be seen.
BETWEEN = np.array([0.25, 0.5, 0.75])


def known_mode(
    modes: Iterable[Mode], density: Density, labelling: Labelling, point: Array, value: float
) -> Mode | None:
    """The mode among some that a stationary point [D] is; None for another."""
    within = TOLERANCE * (1.0 + 1e-3 * abs(value))
    close = [mode for mode in modes if abs(mode.value - value) < (max(within, LEVEL) if mode.is_flat else within)]
    if not close:
        return None
    (law,), weights = law_at(density, point[None])
    near = nearness(density, labelling)
    for mode in close:
        # Where nobody says which labels are free, the same law to the last digits is a mirror image.
        if not labelling.symmetry.is_fixed and mode.has_law(law, weights, EXACT_LAW):
            return mode
        image = labelling.nearest(point, mode.point)
        if mode.is_near(image, law, weights, near) or _no_valley_between(mode, image, law, weights, density):
            return mode
    return None


def _no_valley_between(mode: Mode, point: Array, law: Array, weights: Array, density: Density) -> bool:
    """Whether the likelihood is nowhere lower on the way from a mode, of which no curvature tells, than at its ends."""
    if mode.curve is not None:
        return False
    between, _ = law_at(density, mode.point + BETWEEN[:, None] * (point - mode.point))
    lowest = min(weights @ mode.law, weights @ law)
    return bool((between @ weights >= lowest - LEVEL).all())
