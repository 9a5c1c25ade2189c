"""The search for modes: random starts and jumps from each new mode, until another start is unlikely to find more."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from estimators.contract import Combination, Density, Model, Objective, log_likelihood
from estimators.modes import jumps, starts
from estimators.modes.climb import MET_NATS, climb, em_climb, nearness
from estimators.modes.labelling import Labelling
from estimators.modes.mode import Mode, law_at, mode_at
from estimators.modes.rows import Rows, rows_of
from estimators.parameters.parameter import Array

Rng = np.random.Generator
# Random starts in turn, by kind; two of six from the prior.
RANDOM: Mapping[str, starts.Shares | None] = {
    "seeds": starts.nearest_seeds,
    "prior": None,
    "balls": starts.balls,
    "lines": starts.few_rows,
    "prior again": None,
    "shares": starts.random_shares,
}
# Starts of one turn, and modes whose jumps follow it at most.
TURN, MOST_JUMPED = 20, 3
JUMP_TURNS = 6
VALUE_TOLERANCE = 1e-5
# Nats below the best, after EM steps, at which a climb is given up.
HOPELESS = 40.0


@dataclass(frozen=True)
class Search:
    """Settings of a search.

    At least ``least`` random starts are climbed from, at most ``most`` starts in all; the search is settled when the
    Good-Turing chance that another random start ends at a new mode within ``reach`` nats is at most ``chance``.
    """

    least: int = 120
    most: int = 600
    chance: float = 0.02
    reach: float = 10.0

    def run(self, model: Model, density: Density, combination: Combination, rng: Rng) -> "Found":
        """Search a density for the modes of a combination of its parts."""
        return _Run(self, model, density, combination, rng).found()


@dataclass(frozen=True, eq=False)
class Found:
    """Modes, best first, of a density of some rows; ``chance`` is that another random start ends at a new one."""

    density: Density
    modes: tuple[Mode, ...]
    num_starts: int
    num_saddles: int
    chance: float
    is_settled: bool


class _Run:
    """One search under way."""

    def __init__(self, search: Search, model: Model, density: Density, combination: Combination, rng: Rng) -> None:
        self._search, self._density, self._rng = search, density, rng
        self._objective = Objective(density, combination)
        at = {name: value[0] for name, value in density.draws(np.zeros((1, density.size))).items()}
        uses_prior = combination is not log_likelihood
        self._labelling = Labelling(density, model.symmetry(density.data, at, uses_prior=uses_prior))
        self._rows: Rows = rows_of(density.data)
        self._weights = self._rows.weights
        shares = density.responsibilities({name: value[None] for name, value in at.items()})
        self._shape = tuple(shares.shape[1:])
        self.K = self._shape[-1]
        self.modes: list[Mode] = []
        self.num_starts = self.num_random = self.num_saddles = 0

    def found(self) -> Found:
        """Turn after turn, until settled or at an end of the patience."""
        jumped = set[int]()
        chance = 1.0
        while self.num_starts < self._search.most:
            self._take_random()
            for _ in range(JUMP_TURNS):
                ahead = [mode for mode in self._near(0.5 * self._search.reach) if id(mode) not in jumped][:MOST_JUMPED]
                if not ahead or self.num_starts >= self._search.most:
                    break
                jumped.update(id(mode) for mode in ahead)
                self._jump(ahead)
            chance = self._unseen()
            if self.num_random >= self._search.least and chance <= self._search.chance and self._near(np.inf):
                break
        ordered = sorted(self.modes, key=lambda mode: (mode.is_spurious, -mode.value))
        settled = chance <= self._search.chance
        return Found(self._density, tuple(ordered), self.num_starts, self.num_saddles, chance, settled)

    def _near(self, reach: float) -> list[Mode]:
        sound = [mode for mode in self.modes if not mode.is_spurious]
        best = max((mode.value for mode in sound), default=-np.inf)
        return sorted((mode for mode in sound if mode.value > best - reach), key=lambda mode: -mode.value)

    def _unseen(self) -> float:
        """Good & Turing: the share of random starts that ended at a mode that no other of them found."""
        once = sum(sum(mode.hits[kind] for kind in RANDOM) == 1 for mode in self._near(self._search.reach))
        return once / max(self.num_random, 1)

    def _take_random(self) -> None:
        """The least number of random starts at once, then more by turns."""
        count = TURN if self.num_random else max(self._search.least, 1)
        chosen = (list(RANDOM) * (count // len(RANDOM) + 1))[:count]
        from_shares = [(kind, made) for kind in chosen if (made := RANDOM[kind]) is not None]
        from_prior = [kind for kind in chosen if RANDOM[kind] is None]
        shares = [made(self._rows, self.K, self._rng) for _, made in from_shares]
        points = self._under(np.zeros((len(shares), self._density.size)), shares)
        drawn = self._density.draw_prior(len(from_prior), self._rng)
        self._take([*(kind for kind, _ in from_shares), *from_prior], np.concatenate([points, drawn]))
        self.num_random += count

    def _under(self, points: Array, shares: list[Array]) -> Array:
        """M-steps from responsibilities [K, N, ...]."""
        if not shares:
            return np.zeros((0, self._density.size))
        return self._density.under(points, np.moveaxis(np.stack(shares), 1, -1))

    def _jump(self, modes: list[Mode]) -> None:
        for mode in modes:
            greeks = self._density.draws(mode.point[None])
            shares = np.moveaxis(self._density.responsibilities(greeks).numpy()[0], -1, 0)
            made = {
                "levels": jumps.level_swaps(shares, self._rows, self._rng),
                "split": jumps.splits(shares, self._rows, self._rng),
                "mirror": jumps.mirrors(shares, self._labelling.symmetry),
            }
            kinds = [kind for kind, found in made.items() for _ in found]
            every = [share for found in made.values() for share in found]
            if every:
                self._take(kinds, self._under(np.tile(mode.point, (len(every), 1)), every))

    def _take(self, kinds: list[str], points: Array) -> None:
        """Climb from points [S, D], each of a kind, and give every start to the mode at which it ends."""
        self.num_starts += len(points)
        finite = np.flatnonzero(np.isfinite(points).all(1))
        kinds = [kinds[i] for i in finite]
        met = em_climb(self._density, self._labelling, points[finite])
        modes = self._known(met.points)
        # What is far below is not climbed to the end: what starts there and rises still is found by other starts.
        least = max([*met.values, *(mode.value for mode in self._near(0.0))], default=-np.inf) - HOPELESS
        new = np.array([i for i, mode in enumerate(modes) if mode is None and met.values[i] >= least], dtype=int)
        arrivals = climb(self._objective, met.points[new])
        self.num_saddles += arrivals.saddles
        laws = law_at(self._density, arrivals.points) if len(arrivals.points) else np.zeros((0, 0))
        places = [self._place(*end) for end in zip(arrivals.points, arrivals.values, laws, strict=True)]
        for i, end in zip(new, arrivals.at, strict=True):
            modes[i] = places[end] if end >= 0 else None
        for kind, group in zip(kinds, met.group, strict=True):
            mode = modes[group] if group >= 0 else None
            if mode is not None:
                mode.hits[kind] += 1

    def _known(self, points: Array) -> list[Mode | None]:
        """The mode at which a climb from each point [G] is certain to end, since it is all but there; else None."""
        found: list[Mode | None] = [None] * len(points)
        if not (len(points) and self.modes):
            return found
        values, near = self._objective.value(points), nearness(self._density, self._labelling)
        for mode in self.modes:
            close = [i for i, value in enumerate(values) if found[i] is None and abs(value - mode.value) < MET_NATS]
            if close:
                away = self._labelling.distances(points[close], mode.point)
                for i, distance in zip(close, away, strict=True):
                    found[i] = mode if distance < near else None
        return found

    def _place(self, point: Array, value: float, law: Array) -> Mode | None:
        """The mode that an end belongs to, else a new one; None for a spike."""
        density = self._density
        tolerance = VALUE_TOLERANCE * (1.0 + 1e-3 * abs(value))
        for mode in self.modes:
            if abs(mode.value - value) < tolerance:
                own = self._labelling.nearest(point, mode.point)
                if mode.is_near(own, law, self._weights):
                    return mode
        gradient = self._objective.value_and_gradient(point)[1]
        if density.has_collapsed(point, gradient):
            return None
        mode = mode_at(self._objective, density, point, density.is_spurious(point))
        self.modes.append(mode)
        return mode
