"""What a search has found, and the same on other rows, or under another objective."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from estimators.contract import Combination, Density, Model, Objective, log_likelihood
from estimators.modes.climb import Arrivals, climb, em_climb
from estimators.modes.distinct import known_mode
from estimators.modes.labelling import Labelling
from estimators.modes.mode import Mode, law_at, mode_at
from estimators.modes.pole import Pole
from estimators.modes.starts import RandomStarts
from estimators.optimise.arrays import Array

# What is told how many more starts have been dealt with.
Tick = Callable[[int], object]
# Of many rows, the modes of some of them that are climbed to on all.
MOST_CARRIED = 12
# The share of each row that is spread over all classes where a start is led away from an end.
EASE = 0.01


def untold(number: int) -> None:
    """The tick of a search whose progress nobody is shown."""


@dataclass(frozen=True, eq=False)
class Found:
    """Modes of a density within reach of the best, best first, and apart those that chance makes.

    ``chance`` is that another random start ends at a mode that is not among these; ``pole`` the highest place where
    the prior is infinite.
    """

    density: Density
    modes: tuple[Mode, ...]
    spurious: tuple[Mode, ...]
    num_starts: int
    chance: float
    is_settled: bool
    is_many: bool
    pole: Pole | None = None

    def found(
        self, model: Model, density: Density, combination: Combination, rng: np.random.Generator, tick: Tick
    ) -> "Found":
        """These modes as another estimator needs them, of its own objective; ValueError for those of another model."""
        own, theirs = _shapes(self.density), _shapes(density)
        if own != theirs:
            raise ValueError(
                f"search: expected the modes of a model with the Greeks {theirs}, got those of one with {own}; "
                "search this model: modes.search(model, data)"
            )
        adapted = self.on(model, density, combination)
        tick(len(adapted.modes))
        return adapted

    def on(self, model: Model, density: Density, combination: Combination) -> "Found":
        """The modes of another density that climbs from the first of these lead to."""
        carried = (self.modes or self.spurious)[:MOST_CARRIED]
        places = [mode.point for mode in carried] + ([] if self.pole is None else [self.pole.point])
        if not places:
            return replace(self, density=density, is_settled=False)
        objective = Objective(density, combination)
        labelling = Labelling.of(model, density, uses_prior=combination is not log_likelihood)
        starts = density.unconstrain(self.density.constrain(np.array(places).reshape(-1, self.density.size)))
        if self._are_modes_of(density, objective, starts[: len(carried)]):
            return replace(self, density=density)
        led = [mode for mode in carried if mode.is_flat or not mode.free.all()]
        eased = density.unconstrain(self.density.constrain(self._eased(led)))
        met = em_climb(density, labelling, np.concatenate([starts, eased]))
        arrivals = climb(objective, density, labelling, met.points)
        ends = told_apart(objective, density, labelling, arrivals)
        hits = [mode.hits for mode in carried] + ([] if self.pole is None else [Counter(pole=1)])
        at = np.array([arrivals.at[group] if group >= 0 else -1 for group in met.group])
        for own, end in zip(hits, at, strict=False):
            if end >= 0:
                ends[end].hits.update(own)
        for mode, end in zip(led, at[len(hits) :], strict=True):
            if end >= 0 and end not in at[: len(hits)]:
                ends[end].hits.update(mode.hits)
        modes, pole = reached(ends), Pole.highest(objective, density, arrivals.spikes)
        if pole is not None and modes:
            pole = pole.polished(objective, density).named_as(modes[0].point, labelling, objective, density)
        # What other starts on these rows would find, nobody has tried.
        is_same = density.data.num_units == self.density.data.num_units and len(carried) == len(self.modes)
        return replace(
            self,
            density=density,
            modes=tuple(mode for mode in modes if not mode.is_spurious),
            spurious=tuple(mode for mode in modes if mode.is_spurious),
            is_settled=self.is_settled and is_same,
            pole=pole,
        )

    def _eased(self, modes: Sequence[Mode]) -> Array:
        """Points [M, D] beside modes, whose classes have a little of every row.

        What some rows do not show, of a class, has no probability there, and of all rows those that show it would be
        given to other classes for good.
        """
        starts = RandomStarts(self.density) if modes else None
        eased = np.zeros((len(modes), self.density.size))
        for number, mode in enumerate(modes):
            assert starts is not None
            shares = starts.responsibilities(mode.point)
            eased[number] = starts.under(np.zeros(self.density.size), [(1.0 - EASE) * shares + EASE / len(shares)])[0]
        return eased

    def _are_modes_of(self, density: Density, objective: Objective, points: Array) -> bool:
        """Whether all modes, at points [M, D], are where they were, and as high: of the same rows, in their order."""
        if len(points) != len(self.modes) or density.data.num_units != self.density.data.num_units:
            return False
        own = np.array([mode.point for mode in self.modes])
        values = np.array([mode.value for mode in self.modes])
        return bool(
            np.allclose(points, own, rtol=1e-9, atol=1e-9)
            and np.allclose(objective.value(points), values, rtol=1e-12, atol=1e-9)
            and np.allclose(law_at(density, points)[0], [mode.law for mode in self.modes], rtol=1e-9, atol=1e-9)
        )

    def including(self, model: Model, combination: Combination, point: Array) -> "Found":
        """The same, and the mode at a stationary point [D] if it is not among them."""
        density, objective = self.density, Objective(self.density, combination)
        labelling = Labelling.of(model, density, uses_prior=combination is not log_likelihood)
        value, gradient = objective.value_and_gradient(point)
        if known_mode((*self.modes, *self.spurious), density, labelling, point, value) is not None:
            return self
        if density.has_collapsed(point, gradient) or density.at_boundary(point):
            return self
        mode = mode_at(objective, density, point)
        mode.hits["estimator"] += 1
        modes = self.modes if mode.is_spurious else tuple(sorted((*self.modes, mode), key=lambda own: -own.value))
        return replace(self, modes=modes)


def told_apart(objective: Objective, density: Density, labelling: Labelling, arrivals: Arrivals) -> list[Mode]:
    """The mode of each stationary point [E]; those that are one have the same."""
    ends = list[Mode]()
    for point, value in zip(arrivals.points, arrivals.values, strict=True):
        known = known_mode(ends, density, labelling, point, float(value))
        ends.append(known or mode_at(objective, density, point))
    return ends


def reached(ends: list[Mode]) -> list[Mode]:
    """The modes at which climbs have ended, each once, best first."""
    return sorted({id(mode): mode for mode in ends if mode.hits}.values(), key=lambda mode: -mode.value)


def _shapes(density: Density) -> dict[str, tuple[int, ...]]:
    """The Greeks of a density, and their shapes."""
    return {name: value.shape for name, value in density.constrain(np.zeros(density.size)).items()}
