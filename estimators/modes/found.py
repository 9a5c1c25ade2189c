"""What a search has found, and the same on other rows, or under another objective."""

from dataclasses import dataclass, replace

import numpy as np

from estimators.contract import Combination, Density, Model, Objective, log_likelihood
from estimators.modes.climb import climb, em_climb, nearness
from estimators.modes.labelling import Labelling
from estimators.modes.mode import Mode, mode_at
from estimators.parameters.parameter import Array

# Of many rows, the modes of some of them that are climbed to on all.
MOST_CARRIED = 4


@dataclass(frozen=True, eq=False)
class Found:
    """Modes of a density within reach of the best, best first, and apart those that chance makes.

    ``chance`` is that another random start ends at a mode that is not among these.
    """

    density: Density
    modes: tuple[Mode, ...]
    spurious: tuple[Mode, ...]
    num_starts: int
    num_saddles: int
    chance: float
    is_settled: bool
    is_many: bool

    def found(self, model: Model, density: Density, combination: Combination, rng: np.random.Generator) -> "Found":
        """These modes as another estimator needs them, of its own objective."""
        return self.on(model, density, combination)

    def on(self, model: Model, density: Density, combination: Combination) -> "Found":
        """The modes of another density that climbs from the first of these lead to."""
        carried = (self.modes or self.spurious)[:MOST_CARRIED]
        objective = Objective(density, combination)
        labelling = Labelling.of(model, density, uses_prior=combination is not log_likelihood)
        greeks = self.density.constrain(np.array([mode.point for mode in carried]).reshape(-1, self.density.size))
        starts = density.unconstrain(greeks)
        met = em_climb(density, labelling, starts)
        arrivals = climb(objective, met.points)
        modes: list[Mode] = []
        for start, group in enumerate(met.group):
            end = arrivals.at[group] if group >= 0 else -1
            if end < 0:
                continue
            point = arrivals.points[end]
            images = labelling.images(point[None])[:, 0]
            own = [m for m in modes if labelling.distances(m.point[None], images)[0] < nearness(density, labelling)]
            mode = own[0] if own else mode_at(objective, density, point)
            mode.hits.update(carried[start].hits)
            if not own:
                modes.append(mode)
        modes.sort(key=lambda mode: -mode.value)
        sound = tuple(mode for mode in modes if not mode.is_spurious)
        return replace(self, density=density, modes=sound, spurious=tuple(m for m in modes if m.is_spurious))

    def including(self, model: Model, combination: Combination, point: Array) -> "Found":
        """The same, and the mode at a stationary point [D] if it is not among them."""
        density, objective = self.density, Objective(self.density, combination)
        labelling = Labelling.of(model, density, uses_prior=combination is not log_likelihood)
        images = labelling.images(point[None])[:, 0]
        near = nearness(density, labelling)
        if any(labelling.distances(mode.point[None], images)[0] < near for mode in (*self.modes, *self.spurious)):
            return self
        mode = mode_at(objective, density, point)
        if mode.is_spurious or density.has_collapsed(point, objective.value_and_gradient(point)[1]):
            return self
        return replace(self, modes=tuple(sorted((*self.modes, mode), key=lambda own: -own.value)))
