"""Maximum a posteriori by SVI with a point mass (Pyro's AutoDelta), Z summed out, finished deterministically."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np
import torch

from estimators.algorithms.finish import Estimated, finish
from estimators.algorithms.progress import progress, search_progress
from estimators.algorithms.protocol import begin
from estimators.checks import check_flag, check_positive, check_whole
from estimators.contract import Density, Model, Objective, log_joint
from estimators.fits.fit import Fit
from estimators.fits.kind import Kind
from estimators.fits.left_to_priors import left_to_priors, prior_remarks
from estimators.fits.mode_findings import poles_in_words, unsearched_remarks
from estimators.isolation import own_modes
from estimators.modes.best_starts import best_starts
from estimators.modes.finder import Finder, check_search
from estimators.modes.mode import mode_at
from estimators.modes.mode_search import DEFAULT
from estimators.modes.pole import Pole
from estimators.optimise.adam import adam
from estimators.optimise.arrays import Array
from estimators.optimise.ascent import Summit, ascend
from estimators.optimise.inside import moved_inside
from estimators.status import Status, in_words, worth

# EM steps from every start; starts are scored both before and after them.
REFINEMENTS = 3
# Starts trained by SVI; the others are only climbed from, and only if none of these ends at an interior point.
RUNS = 3


@dataclass(frozen=True)
class MAP:
    """Maximum a posteriori in the constrained space, as AutoDelta defines it: ``argmax_φ log p(data | φ) + log p(φ)``.

    ``num_starts`` starts are scored in one batch; the best few are trained with SVI (``num_steps`` of Adam, the
    learning rate decaying to a hundredth) and then climbed from to a stationary point. CONVERGED means that the
    gradient of the log joint per row, in unconstrained coordinates of the standardised data, is under ``tolerance``.

    With a concentration below 1 the density is infinite at theta_k = 0; the answer is the best *interior* stationary
    point, and BOUNDARY only if no start reaches one. ``fit.info`` holds losses and gradient norms [runs, num_steps].

    >>> fit = MAP(num_steps=50).fit(GaussianMixture(K=2), {"X": [0.0, 1.0, 10.0, 11.0, 12.0]}, seed=0)
    >>> [round(float(weight), 4) for weight in fit["theta"]]
    [0.375, 0.625]
    """

    num_starts: int = 100
    num_steps: int = 150
    learning_rate: float = 0.05
    tolerance: float = 1e-8
    progress_bar: bool | None = None

    def __post_init__(self) -> None:
        check_whole("num_starts", self.num_starts)
        check_whole("num_steps", self.num_steps)
        check_positive("learning_rate", self.learning_rate)
        check_positive("tolerance", self.tolerance)
        check_flag("progress_bar", self.progress_bar, optional=True)

    @own_modes()
    def fit(
        self,
        model: Model,
        data: Any,
        *,
        seed: int | None = None,
        strict: bool = False,
        search: Finder | None = DEFAULT,
    ) -> Fit:
        """Estimate the Greeks: a `Fit` of kind "map" with one draw."""
        check_search(search)
        task = begin(model, data, seed, strict)
        density = task.model.density(task.data)
        objective = Objective(density, log_joint)
        rng = np.random.default_rng(task.seed)
        found = None
        if search is not None:
            with search_progress("MAP", self.progress_bar) as bar:
                found = search.found(task.model, density, log_joint, rng.spawn(1)[0], bar.update)
        # What a search has found needs no more than one run of SVI beside it.
        runs, num_starts = (1, 1) if found is not None and found.modes else (RUNS, self.num_starts)
        starts = best_starts(task.model, density, log_joint, num_starts, rng, refinements=REFINEMENTS, unrefined=True)
        losses, norms = list[list[float]](), list[list[float]]()
        summits: list[tuple[Status, Summit]] = []
        first = list(islice(starts, runs))
        with progress(len(first) * self.num_steps, "MAP", self.progress_bar) as bar:
            for number, start in enumerate(chain(first, starts)):
                # Where a search has found no interior mode, its starts were climbed from already.
                is_sought = found is not None or any(status is Status.CONVERGED for status, _ in summits)
                if number >= runs and is_sought:
                    break
                if number < runs:
                    start, loss, norm = self._train(objective, start, bar)
                    losses.append(loss)
                    norms.append(norm)
                summit = ascend(objective, start, self.tolerance)
                summits.append((self._status(density, summit), summit))
        if found is not None and found.modes:
            if summits[0][0] is Status.CONVERGED:
                found = found.including(task.model, log_joint, summits[0][1].coordinates)
            summit = ascend(objective, found.modes[0].point, self.tolerance)
            summits = [(self._status(density, summit), summit)]
        status, best = _best(summits)
        stats = {
            "estimator": "MAP",
            "seed": task.seed,
            "log_joint": best.value,
            "gradient_norm": best.gradient_norm,
            "num_runs": len(summits),
        }
        info = {"losses": _traces(losses), "gradient_norms": _traces(norms)}
        draws = density.draws(moved_inside(objective, density.data.least_weight, best.coordinates)[None])
        findings, remarks = {status: ""}, unsearched_remarks(found)
        if not (found and found.modes) and status is Status.CONVERGED:
            pole = Pole.highest(objective, density, np.array([summit.coordinates for _, summit in summits]))
            poles = poles_in_words(pole, density, best.value)
            findings |= {Status.PRIOR_POLE: poles} if poles else {}
            remarks += prior_remarks(left_to_priors(density, mode_at(objective, density, best.coordinates)))
        estimated = Estimated(Kind.MAP, draws, stats, findings, info=info, found=found, remarks=remarks)
        return finish(task, density, estimated)

    def _train(self, objective: Objective, start: Array, bar: Any) -> tuple[Array, list[float], list[float]]:
        """SVI from one start: the better of its first and last point, the losses and the gradient norms."""
        with in_words("MAP"):
            end, values, norms = adam(
                objective,
                start,
                num_steps=self.num_steps,
                learning_rate=self.learning_rate,
                after_step=bar.update,
            )
            if not (np.isfinite(end).all() and objective.value(end) >= objective.value(start)):
                end = start
        return end, [-value for value in values], norms

    def _status(self, density: Density, summit: Summit) -> Status:
        if density.has_collapsed(summit.coordinates, summit.gradient):
            return Status.COMPONENT_COLLAPSED
        if density.at_boundary(summit.coordinates):
            return Status.BOUNDARY
        if summit.gradient_norm < self.tolerance:
            return Status.CONVERGED
        return Status.BOUNDARY if summit.at_limit else Status.MAX_ITERATIONS


def _best(ends: Sequence[tuple[Status, Summit]]) -> tuple[Status, Summit]:
    """The best end of a climb; where none converged, one that stopped on its way is no better than a boundary above."""
    if any(status is Status.CONVERGED for status, _ in ends):
        return max(ends, key=lambda end: worth(end[0], end[1].value))
    return max(ends, key=lambda end: (end[0] is not Status.COMPONENT_COLLAPSED, end[1].value))


def _traces(runs: list[list[float]]) -> torch.Tensor:
    """Traces of all runs as [runs, num_steps]; what overflowed is the largest number."""
    return torch.tensor(runs, dtype=torch.float64).nan_to_num()
