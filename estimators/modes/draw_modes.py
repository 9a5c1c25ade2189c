"""The modes that draws of a posterior are of: the ends of climbs from some of the draws, in which no search has a part.

Where the draws are of several modes, most of each mode's lie below it, so that a climb from one of them ends there. A
mode of which the draws are a share s is missed by C climbs with probability (1 - s)^C.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from estimators.contract import Combination, Density, Model, Objective
from estimators.modes.climb import climb
from estimators.modes.distinct import known_mode
from estimators.modes.found import Found, Tick, reached, told_apart
from estimators.modes.labelling import Labelling
from estimators.modes.mode import Mode
from estimators.modes.posterior_modes import PosteriorModes, posterior_modes
from estimators.optimise.arrays import Array
from estimators.parameters.symmetry import Indices

# Draws that are climbed from, evenly spaced, and fewer where log p of a row and class would take more numbers at once.
MOST, LEAST, NUMBERS = 100, 20, 100_000_000
# The chance that another climb ends where no other did, up to which the modes are settled.
SETTLED = 0.02


class Division(NamedTuple):
    """The modes of draws [S], the one of each [S], and the share of the draws that each has [M]."""

    found: Found
    at: Indices
    shares: Array


def divided(model: Model, density: Density, points: Array) -> Division | None:
    """Draws [S, D] of a posterior over its modes, whose labels are as the draws'; None where no climb has an end."""
    modes = posterior_modes(_Climbs(points), model, density, np.random.default_rng(0))
    if modes is None:
        return None
    found, becomes = _without_images(modes, density)
    at = becomes[modes.regions.of(points)[0]]
    return Division(found, at, np.bincount(at, minlength=len(found.modes)) / len(at))


def _without_images(modes: PosteriorModes, density: Density) -> tuple[Found, Indices]:
    """The modes without mirror images of each other, and which of them each has become [M].

    Where nobody says which labels are free, draws are in all labellings, and each has a region of its own.
    """
    kept, becomes = list[Mode](), list[int]()
    labelling = Labelling(density, modes.symmetry)
    for mode in modes.found.modes:
        known = known_mode(kept, density, labelling, mode.point, mode.value)
        if known is None:
            kept.append(mode)
        else:
            known.hits.update(mode.hits)
        becomes.append(kept.index(known or mode))
    return replace(modes.found, modes=tuple(kept)), np.array(becomes)


@dataclass(frozen=True, eq=False)
class _Climbs:
    """Draws [S, D], some of which are climbed from, as a `Finder`."""

    points: Array

    def found(
        self, model: Model, density: Density, combination: Combination, rng: np.random.Generator, tick: Tick
    ) -> Found | None:
        """The ends of the climbs; the chance is that of the draws, by Good and Turing."""
        objective = Objective(density, combination)
        symmetry = Labelling.of(model, density, uses_prior=True).symmetry
        # Images under labels that nobody says are free are told apart at first.
        labelling = Labelling(density, replace(symmetry, unfixed=()))
        count = int(np.clip(NUMBERS // max(density.size * density.row_size, 1), LEAST, MOST))
        starts = self.points[np.linspace(0, len(self.points) - 1, min(count, len(self.points))).astype(int)]
        starts = starts[np.isfinite(starts).all(1)]
        if not len(starts):
            return None
        arrivals = climb(objective, density, labelling, starts)
        ends = told_apart(objective, density, labelling, arrivals)
        for end in arrivals.at[arrivals.at >= 0]:
            ends[end].hits["draws"] += 1
        modes = reached(ends)
        chance = sum(mode.hits.total() == 1 for mode in modes) / len(starts)
        return Found(
            density=density,
            modes=tuple(modes),
            spurious=(),
            num_starts=len(starts),
            chance=chance,
            is_settled=chance <= SETTLED,
            is_many=False,
        )
