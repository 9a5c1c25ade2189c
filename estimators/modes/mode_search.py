"""The search for modes: random starts and jumps from each new mode, until another start is unlikely to find more."""

from dataclasses import dataclass

import numpy as np

from estimators.checks import check_flag, check_positive, check_whole
from estimators.contract import Combination, Density, Model, Objective, log_likelihood, log_posterior
from estimators.data.working_rows import working_rows
from estimators.modes import jumps
from estimators.modes.climb import (
    HOPELESS,
    MET_NATS,
    Met,
    climb,
    em_climb,
    em_climb_by_few,
    meeting,
    nearness,
    row_weight,
)
from estimators.modes.distinct import known_mode
from estimators.modes.found import Found, Tick, untold
from estimators.modes.joined import rises_from
from estimators.modes.labelling import Labelling
from estimators.modes.mode import Mode, mode_at
from estimators.modes.pole import Pole, higher
from estimators.modes.starts import KINDS, PRIOR, RandomStarts
from estimators.optimise.arrays import Array
from estimators.optimise.ascent import MOST_FOR_NEWTON

Rng = np.random.Generator
# Kinds of random starts in turn: most are balls and from the prior, which find what no others do.
RANDOM = ("balls", PRIOR, "balls", "seeds", PRIOR, "balls", "lines", PRIOR)
# Starts of a turn after the first, modes that are jumped from together, and how often.
TURN, MOST_JUMPED, JUMP_TURNS = 20, 3, 6
# Modes are sought on so many rows, at least so many for each coordinate, and then climbed to on all.
WORKING_ROWS, ROWS_BY_COORDINATE = 2_000, 8
# Of twice as many, so many do for the EM steps from starts.
FEW_ROWS = 500
# Of many coordinates, or where each M-step is a climb, fewer starts are affordable.
LEAST_STARTS = 12
# Climbs that are made together, best first.
TOGETHER = 24
# Modes so close to the best that all matter, and how many of them end the search: they are many.
CLOSE, MANY = 1.92, 12


@dataclass(frozen=True)
class Search:
    """Settings of a search.

    At least ``least`` random starts are climbed from, at most ``most`` starts in all; the search is settled when the
    Good-Turing chance that another random start ends at a new mode within ``reach`` nats is at most ``chance``. Unless
    ``costly``, models whose every M-step is a climb of its own (programs) are not searched.
    """

    least: int = 120
    most: int = 600
    chance: float = 0.01
    reach: float = 10.0
    costly: bool = True

    def __post_init__(self) -> None:
        check_whole("least", self.least)
        check_whole("most", self.most, least=self.least)
        check_positive("chance", self.chance, below=1.0)
        check_positive("reach", self.reach)
        check_flag("costly", self.costly)

    def found(self, model: Model, density: Density, combination: Combination, rng: Rng, tick: Tick) -> Found | None:
        """The modes of a sum of a density's parts; None where they are costly, and not to be sought there."""
        if not (self.costly or density.has_closed_form):
            return None
        return self.sought(model, density, combination, rng, tick)

    def sought(self, model: Model, density: Density, combination: Combination, rng: Rng, tick: Tick = untold) -> Found:
        """The modes of a sum of a density's parts; of many rows, first of some of them."""
        most = max(WORKING_ROWS, ROWS_BY_COORDINATE * density.size)
        rows, _ = working_rows(density.data, most, rng)
        part = density if rows is density.data else density.of(rows)
        found = _Run(self, model, part, combination, rng, tick).found()
        return found if part is density else found.on(model, density, combination)

    def effort(self, density: Density) -> tuple[int, int]:
        """The least number of random starts, and the most of all starts, on a density."""
        share = 1.0 if density.has_closed_form else 0.1
        share *= min(1.0, MOST_FOR_NEWTON / max(density.size, 1))
        least = max(int(self.least * share), min(LEAST_STARTS, self.least))
        return least, max(int(self.most * share), 2 * least)


# What an estimator looks for that is not told otherwise: a program would take a minute.
DEFAULT = Search(costly=False)


class _Run:
    """One search under way."""

    def __init__(
        self, search: Search, model: Model, density: Density, combination: Combination, rng: Rng, tick: Tick
    ) -> None:
        self._search, self._density, self._rng, self._tick = search, density, rng, tick
        self._few = _with_few_rows(density, rng)
        self._objective = Objective(density, combination)
        self._labelling = Labelling.of(model, density, uses_prior=combination is not log_likelihood)
        self._starts = RandomStarts(density)
        self._least, self._most = search.effort(density)
        self.modes: list[Mode] = []
        self._num_starts = self._num_random = 0
        self._highest = -np.inf
        self._pole: Pole | None = None
        # Ends so many nats below the best mode are none of what is found.
        self._far = 2.0 * search.reach

    def found(self) -> Found:
        """Turn after turn, until settled or at an end of the patience."""
        jumped, chance, is_many = set[int](), 1.0, False
        while self._num_starts < self._most:
            self._take_random()
            for _ in range(JUMP_TURNS):
                ahead = [mode for mode in self._near(0.5 * self._search.reach) if id(mode) not in jumped][:MOST_JUMPED]
                if not ahead or self._num_starts >= self._most:
                    break
                jumped.update(id(mode) for mode in ahead)
                self._jump(ahead)
            chance = self._unseen()
            is_many = len(self._near(CLOSE)) >= MANY
            if is_many or (chance <= self._search.chance and self._near(np.inf)):
                break
        kept, pole = self._kept(), self._pole and self._pole.polished(self._objective, self._density)
        if kept and pole is not None:
            pole = pole.named_as(kept[0].point, self._labelling, self._objective, self._density)
        return Found(
            density=self._density,
            modes=kept,
            spurious=tuple(sorted((m for m in self.modes if m.is_spurious), key=lambda mode: -mode.value)),
            num_starts=self._num_starts,
            chance=chance,
            is_settled=chance <= self._search.chance and not is_many,
            is_many=is_many,
            pole=pole,
        )

    def _near(self, reach: float) -> list[Mode]:
        """Modes within reach of the best, best first."""
        sound = [mode for mode in self.modes if not mode.is_spurious]
        best = max((mode.value for mode in sound), default=-np.inf)
        return sorted((mode for mode in sound if mode.value >= best - reach), key=lambda mode: -mode.value)

    def _highest_mode(self) -> float:
        """The value of the best mode, of which spikes are none."""
        return max((mode.value for mode in self.modes if not mode.is_spurious), default=-np.inf)

    def _kept(self) -> tuple[Mode, ...]:
        """The modes within reach; those that have lost a class are no rivals of one that has all.

        The Greeks of a class without rows are where a start happened to be, and mean nothing; in a posterior they are
        the prior's, and weigh what they weigh.
        """
        near = self._maxima(self._near(self._search.reach))
        if not near or self._objective.combination is log_posterior:
            return tuple(near)
        # Where spikes rise far above, one would raise a point without a class too: it is no maximum.
        is_bounded = self._highest <= near[0].value + self._search.reach
        if is_bounded and self._density.at_boundary(near[0].point):
            return tuple(near)
        inside = [mode for mode in self._maxima(self._near(np.inf)) if not self._density.at_boundary(mode.point)]
        return tuple(mode for mode in inside if mode.value >= inside[0].value - self._search.reach)

    def _maxima(self, modes: list[Mode]) -> list[Mode]:
        """Modes, best first, without ridges of fewer classes from which the likelihood rises."""
        if not self._starts.has_classes or self._objective.combination is log_posterior:
            return modes
        return [
            mode
            for mode in modes
            if mode is modes[0] or not (mode.is_flat and rises_from(mode, modes[0], self._objective, self._starts))
        ]

    def _unseen(self) -> float:
        """Good & Turing: the share of random starts that ended at a mode that no other of them found."""
        once = sum(sum(mode.hits[kind] for kind in KINDS) == 1 for mode in self._near(self._search.reach))
        return once / max(self._num_random, 1)

    # ---------------------------------------------------------------- starts

    def _take_random(self) -> None:
        """The least number of random starts at once, then more by turns."""
        count = min(TURN, self._least) if self._num_random else self._least
        self._take(*self._starts.drawn(count, self._rng, RANDOM))
        self._num_random += count

    def _jump(self, modes: list[Mode]) -> None:
        for mode in modes:
            shares = self._starts.responsibilities(mode.point)
            made = {
                "levels": jumps.level_swaps(shares, self._starts.rows, self._rng),
                "split": jumps.splits(shares, self._starts.rows, self._rng),
                "ball": jumps.balls(shares, self._starts.rows, self._rng),
                "mirror": jumps.mirrors(shares, self._labelling.symmetry),
            }
            kinds = [kind for kind, found in made.items() for _ in found]
            self._take(kinds, self._starts.under(mode.point, [share for found in made.values() for share in found]))

    # ---------------------------------------------------------------- climbs and their ends

    def _take(self, kinds: list[str], points: Array) -> None:
        """Climb from points [S, D], each of a kind, and give every start to the mode at which it ends."""
        self._num_starts += len(points)
        finite = np.flatnonzero(np.isfinite(points).all(1))
        if not len(finite):
            self._tick(len(points))
            return
        met = self._em_climbed(points[finite])
        self._highest = max([self._highest, *self._objective.value(met.points)])
        modes = self._known(met.points)
        waiting = [i for i in np.argsort(-met.values, kind="stable") if modes[i] is None and np.isfinite(met.values[i])]
        self._tick(len(points) - len(waiting))
        while waiting:
            # What is far below a mode is not climbed to the end: other starts find what rises still from there. What is
            # under way is no measure, since it may be a spike that rises without end.
            least = self._highest_mode() - HOPELESS
            new = [i for i in waiting[:TOGETHER] if met.values[i] >= least]
            if not new:
                self._tick(len(waiting))
                break
            for i, mode in zip(new, self._climbed(met.points[new]), strict=True):
                modes[i] = mode
            done = len(waiting[:TOGETHER])
            self._tick(done)
            waiting = waiting[done:]
        for start, group in zip(finite, met.group, strict=True):
            mode = modes[group] if group >= 0 else None
            if mode is not None:
                mode.hits[kinds[start]] += 1

    def _em_climbed(self, points: Array) -> Met:
        """Points [S, D] after EM steps."""
        if self._few is None:
            return em_climb(self._density, self._labelling, points)
        return em_climb_by_few(self._few, self._density, self._labelling, points)

    def _climbed(self, points: Array) -> list[Mode | None]:
        """The modes to which climbs from points [G, D] lead."""
        arrivals = climb(self._objective, self._density, self._labelling, points, self._highest_mode() - self._far)
        self._pole = higher(self._pole, Pole.highest(self._objective, self._density, arrivals.spikes))
        met = meeting(self._density, self._labelling, arrivals.points, arrivals.values)
        ends, values = arrivals.points[met.kept], arrivals.values[met.kept]
        modes = [self._place(*end) for end in zip(ends, values, strict=True)]
        return [modes[met.becomes[end]] if end >= 0 else None for end in arrivals.at]

    def _known(self, points: Array) -> list[Mode | None]:
        """The mode at which a climb from each point [G] is certain to end, since it is all but there; else None."""
        found: list[Mode | None] = [None] * len(points)
        if not (len(points) and self.modes):
            return found
        values, near = self._objective.value(points), nearness(self._density, self._labelling)
        nats = MET_NATS * row_weight(self._density)
        for mode in self.modes:
            close = [i for i, value in enumerate(values) if found[i] is None and abs(value - mode.value) < nats]
            if close:
                away = self._labelling.distances(points[close], self._labelling.images(mode.point[None])[:, 0])
                for i, distance in zip(close, away, strict=True):
                    found[i] = mode if distance < near else None
        return found

    def _place(self, point: Array, value: float) -> Mode | None:
        """The mode that an end belongs to, else a new one; None for a spike, and for what is out of reach."""
        if value < self._highest_mode() - self._far:
            return None
        known = known_mode(self.modes, self._density, self._labelling, point, value)
        if known is not None:
            return known
        if self._density.has_collapsed(point, self._objective.value_and_gradient(point)[1]):
            return None
        mode = mode_at(self._objective, self._density, point)
        self.modes.append(mode)
        return mode


def _with_few_rows(density: Density, rng: Rng) -> Density | None:
    """The density of few of the rows, with which starts are climbed from first; None where there are not many."""
    few = max(FEW_ROWS, ROWS_BY_COORDINATE * density.size)
    if density.data.num_rows < 2 * few or not density.has_closed_form:
        return None
    rows, _ = working_rows(density.data, few, rng)
    return density.of(rows) if 2 * rows.num_units <= density.data.num_units else None
