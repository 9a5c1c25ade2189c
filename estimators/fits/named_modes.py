"""The modes to which several namings of one mode's components lead: whether they are one answer, and their shares."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from estimators.contract import Density, Objective, log_joint, log_likelihood, log_posterior
from estimators.fits.alignment import aligned
from estimators.fits.namings import Namings
from estimators.modes.importance_sampling import mode_proposals
from estimators.modes.labelling import Labelling
from estimators.modes.student import Student
from estimators.optimise.arrays import Array, Mask
from estimators.optimise.ascent import ascend
from estimators.optimise.curvature import Curvature, curvature
from estimators.parameters.symmetry import Draws, Indices, Symmetry

# As many proposals as make this many numbers, but no fewer and no more than so many.
NUMBERS, LEAST, MOST = 2_000_000, 512, 4_096
# Weighted proposals that are worth fewer than these tell nothing.
LEAST_WORTH = 100.0
TOLERANCE = 1e-6
# Draws of a naming of which the best is climbed from; ends whose coordinates differ by more are two.
MOST_TRIED, APART = 100, 1e-3
# Between two modes the density falls by more than so many nats; points at which it is looked at there.
VALLEY, BETWEEN = 0.1, 9


@dataclass(frozen=True, eq=False)
class NamedModes:
    """Modes [E, D] to which draws lead, and the naming of each [E], -1 for none that is compared.

    The first is the highest of those that have the first naming, if any has it.
    """

    density: Density
    symmetry: Symmetry
    points: Array
    names: Indices
    uses_prior: bool

    @staticmethod
    def of(density: Density, namings: Namings, best: int, *, uses_prior: bool) -> "NamedModes":
        """From the images of the best draw under all namings, and from the best of some draws of each naming."""
        objective = _maximised(density, uses_prior)
        images = [_coordinates(density, image)[0] for image in namings.images(namings.sorted_draws([best]))]
        own = [namings.draws_of(number, MOST_TRIED) for number in range(len(namings.orders))]
        tried = [_coordinates(density, draws) for draws in own if draws is not None]
        with np.errstate(all="ignore"):
            starts = images + [points[np.nan_to_num(objective.value(points), nan=-np.inf).argmax()] for points in tried]
            ends = np.array([ascend(objective, np.nan_to_num(start), TOLERANCE).coordinates for start in starts])
            ends = ends[np.argsort(-objective.value(ends), kind="stable")]
        is_new = [bool((np.abs(ends[:i] - ends[i]).max(1, initial=0.0) > APART).all()) for i in range(len(ends))]
        names = namings.number(density.draws(ends[is_new]))
        order = np.argsort(names != 0, kind="stable")
        return NamedModes(density, namings.symmetry, ends[is_new][order], names[order], uses_prior)

    @cached_property
    def are_apart(self) -> Mask:
        """Which modes [E] give labels to other components than the first does, across a valley of the density."""
        steps = np.linspace(0.0, 1.0, BETWEEN + 2)[:, None, None]
        ways = self.points[0] + steps * (self.points - self.points[0])
        with np.errstate(all="ignore"):
            values = _maximised(self.density, self.uses_prior).value(ways.reshape(-1, self.density.size))
        values = np.nan_to_num(values, nan=-np.inf, posinf=-np.inf, neginf=-np.inf).reshape(ways.shape[:2])
        is_across = values[1:-1].min(0) < np.minimum(values[0], values[-1]) - VALLEY
        return np.array(
            [across and self._is_renamed(point) for across, point in zip(is_across, self.points, strict=True)]
        )

    def _is_renamed(self, point: Array) -> bool:
        """Whether the responsibilities of a mode are most like those of the first under other names than its own."""
        every = replace(self.symmetry, groups=[range(self.symmetry.num_labels)])
        both = self.density.draws(np.array([self.points[0], point]))
        first, other = aligned(self.density, every, both, 0).permutations
        order = other[np.argsort(first)]
        return any({int(k) for k in order[list(group)]} != set(group) for group in self.symmetry.groups)

    @cached_property
    def curves(self) -> list[Curvature] | None:
        """The curvature at each; None where one has none."""
        objective = _maximised(self.density, self.uses_prior)
        with np.errstate(all="ignore"):
            curves = [curvature(objective, end) for end in self.points]
        are_curved = all(np.isfinite(curve.information).all() and not curve.is_flat.any() for curve in curves)
        return curves if are_curved else None


def shares_about_modes(modes: NamedModes, namings: Namings) -> Array | None:
    """The share of each naming [M], by importance sampling, or, where that does not tell, by Laplace's approximation.

    By values alone where modes are flat; None where no mode has any of the namings.
    """
    density, uses_prior, symmetry = modes.density, modes.uses_prior, namings.symmetry
    if modes.curves is None:
        return _by_laplace(_maximised(density, uses_prior).value(modes.points), None, modes.names, len(namings.orders))
    parts = [Student.about(*mode) for mode in zip(modes.points, modes.curves, strict=True)]
    free = Labelling(density, symmetry) if uses_prior and symmetry.is_nontrivial else None
    count = int(np.clip(NUMBERS // max(density.row_size, 1), LEAST, MOST))
    proposals, regions = mode_proposals(density, free, parts, np.ones(len(parts)))
    points = proposals.draws(count, np.random.default_rng(0))
    target = Objective(density, log_posterior if uses_prior else log_likelihood)
    with np.errstate(all="ignore"):
        logs = target.value(points) - proposals.log_density(regions.images(points), np.zeros(count))
    logs = np.nan_to_num(logs, nan=-np.inf, posinf=-np.inf, neginf=-np.inf)
    if np.isfinite(logs.max()):
        weights = np.exp(logs - logs.max())
        numbers = namings.number(density.draws(points))
        weights[numbers < 0] = 0.0
        if weights.sum() ** 2 > LEAST_WORTH * (weights**2).sum():
            return np.asarray(np.bincount(np.maximum(numbers, 0), weights, len(namings.orders)) / weights.sum())
    return _by_laplace(target.value(modes.points), modes.curves, modes.names, len(namings.orders))


def _by_laplace(values: Array, curves: Sequence[Curvature] | None, names: Indices, count: int) -> Array | None:
    """Shares of namings [M] from the values [E] and the curvature of modes, each under the naming that it has."""
    volumes = 0.0 if curves is None else np.array([np.linalg.slogdet(curve.information)[1] for curve in curves])
    logs = np.nan_to_num(values - 0.5 * volumes, nan=-np.inf)
    masses = np.where(names >= 0, np.exp(logs - logs.max()), 0.0)
    return np.asarray(np.bincount(np.maximum(names, 0), masses, count) / masses.sum()) if masses.sum() else None


def _coordinates(density: Density, draws: Draws) -> Array:
    return density.unconstrain({name: value.numpy() for name, value in draws.items()})


def _maximised(density: Density, uses_prior: bool) -> Objective:
    return Objective(density, log_joint if uses_prior else log_likelihood)
