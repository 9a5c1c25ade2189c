"""Whether the likelihood rises from a ridge on which two classes are one.

There a share of the one may go to the other, down to none, and a class without rows may be anywhere: the ridge is of
one law, and no maximum if the likelihood rises from any end of it. It does from the classes of a better mode: a
likelihood is concave in the mixing distribution (Lindsay 1983, Annals of Statistics 11), if the classes share nothing.
"""

from itertools import combinations

import numpy as np

from estimators.contract import Objective
from estimators.modes.mode import Mode
from estimators.modes.starts import RandomStarts
from estimators.optimise.arrays import Array

# Shares of two classes are in proportion, row by row, to so much; what a new class is given of each row at most.
ALIKE = 1e-3
GIVEN = (0.05, 0.01, 0.002)


def rises_from(ridge: Mode, better: Mode, objective: Objective, starts: RandomStarts) -> bool:
    """Whether the objective rises from a ridge where a class that is one with another becomes one of a better mode."""
    own, theirs = (starts.responsibilities(mode.point) for mode in (ridge, better))
    shares: list[Array] = []
    for one, other in combinations(range(len(own)), 2):
        if not _are_one(own[one], own[other]):
            continue
        joined = own.copy()
        joined[one] += joined[other]
        joined[other] = 0.0
        for given in GIVEN:
            for new in theirs:
                moved = joined * (1.0 - given * new)
                moved[other] = given * new
                shares.append(moved)
    if not shares:
        return False
    points = starts.under(ridge.point, shares)
    with np.errstate(all="ignore"):
        values = np.nan_to_num(objective.value(points), nan=-np.inf)
    return bool(values.max() > ridge.value)


def has_joined(shares: Array) -> bool:
    """Whether two classes of some responsibilities [K, ...] are one."""
    return any(_are_one(one, other) for one, other in combinations(shares, 2))


def _are_one(one: Array, other: Array) -> bool:
    together = one + other
    part = one[together > ALIKE] / together[together > ALIKE]
    return bool(np.ptp(part) < ALIKE) if len(part) else False
