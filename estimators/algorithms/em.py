"""Maximum likelihood by expectation-maximisation, accelerated by SQUAREM.

Source: Varadhan & Roland (2008), "Simple and globally convergent methods for accelerating the convergence of any EM
algorithm", Scand. J. Statist. 35, scheme S3. It departs from the paper in two places: extrapolation happens in
unconstrained coordinates, so that a step cannot leave the Greeks' support, and a step that lowers the likelihood below
the last EM step's is replaced by that EM step, so the likelihood never falls. A run that takes long is continued by
L-BFGS on the same likelihood, and ends by EM steps again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np
import torch

from estimators.algorithms.finish import Estimated, finish
from estimators.algorithms.progress import progress, search_progress
from estimators.algorithms.protocol import begin
from estimators.checks import check_flag, check_positive, check_whole
from estimators.contract import Density, Model, Objective, log_likelihood
from estimators.fits.fit import Fit
from estimators.fits.kind import Kind
from estimators.fits.mode_findings import unsearched_remarks
from estimators.isolation import own_modes
from estimators.modes.best_starts import best_starts
from estimators.modes.finder import Finder, check_search
from estimators.modes.found import Found
from estimators.modes.mode_search import DEFAULT
from estimators.optimise.arrays import Array
from estimators.optimise.ascent import MOST_FOR_NEWTON, ascend, climb_inside
from estimators.optimise.inside import moved_inside
from estimators.optimise.stationary import MOST_COORDINATES, stationary_points
from estimators.status import Status, worth

# Starts run to the end; the others serve only if all of these collapse or end at the boundary.
RUNS = 4
REFINEMENTS = 10
# An EM step that moves no coordinate is a fixed point only if their rounding hides a gain of no more nats than this.
HIDDEN = 1e-2
# The relative rounding error of a likelihood.
ROUNDING = 1e-14
# E-steps without a gain after which a run to the boundary is ended.
PATIENCE = 20
# E-steps after which a run is continued by L-BFGS, fewer where each M-step is a climb of many coordinates; how many of
# its steps, and by how much later it is tried again; and those after which Newton's method goes on. (After fewer, it
# ends at a lower maximum than EM would have come to half of the time.)
FIRST_CLIMB = 20
FIRST_CLIMB_OF_COSTLY = 4
CLIMB_STEPS = 200
CLIMB_GROWTH = 5
FIRST_NEWTON = 400


@dataclass(frozen=True)
class EM:
    """Maximum likelihood: ``argmax_φ log p(data | φ)``, Z summed out.

    CONVERGED means a stationary point: the gradient of the *mean* log-likelihood, in unconstrained coordinates of the
    standardised data, is under ``tolerance`` in every coordinate (or an EM step moves no coordinate beyond rounding,
    and rounding hides less than 0.01 nats, as it does not of rows about 1 where another is 1e17).
    MAX_ITERATIONS is the other stopping rule: ``max_iterations`` E-steps of a run (those of L-BFGS aside).
    EM goes on from the best mode of a search (`fit.modes`, see `Search`). Without one (``search=None``, or a program)
    ``num_starts`` starts or more are refined and scored in one batch and the best few run to the end; the best interior
    end is the answer.

    Priors play no part, but in which label is which where they differ by class. A scale that runs to 0 is held at 1e-8
    of the column's, and the start dropped where any other ends inside. Raises ValueError for settings out of range, and
    for fewer distinct rows than components.

    >>> fit = EM().fit(GaussianMixture(K=2), {"X": [0.0, 1.0, 10.0, 11.0, 12.0]}, seed=0)
    >>> [round(float(mean), 4) for mean in fit["mu_X"]]
    [0.5, 11.0]
    """

    num_starts: int = 20
    max_iterations: int = 10_000
    tolerance: float = 1e-8
    accelerate: bool = True
    progress_bar: bool | None = None

    def __post_init__(self) -> None:
        check_whole("num_starts", self.num_starts)
        check_whole("max_iterations", self.max_iterations)
        check_positive("tolerance", self.tolerance)
        check_flag("accelerate", self.accelerate)
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
        """Estimate the Greeks: a `Fit` of kind "ml" with one draw."""
        check_search(search)
        task = begin(model, data, seed, strict)
        density = task.model.density(task.data).beyond_priors()
        density.need_maximum()
        rng = np.random.default_rng(task.seed)
        found = None
        if search is not None:
            with search_progress("EM", self.progress_bar) as bar:
                found = search.found(task.model, density, log_likelihood, rng.spawn(1)[0], bar.update)
        starts = self._starts(task.model, density, found, rng)
        first = list(islice(starts, RUNS))
        runs: list[_Run] = []
        with progress(len(first), "EM", self.progress_bar) as bar:
            for start in chain(first, starts):
                if len(runs) >= RUNS and any(run.status.is_interior for run in runs):
                    break
                runs.append(self._run(density, start))
                bar.update()
        best = max(runs, key=lambda run: worth(run.status, run.values[-1]))
        if found is not None and found.modes and best is not runs[0]:
            more = found.including(task.model, log_likelihood, best.coordinates)
            best, found = (runs[0], found) if more is found else (best, more)
        stats = {
            "estimator": "EM",
            "seed": task.seed,
            "log_likelihood": best.values[-1],
            "gradient_norm": best.gradient_norm,
            "evaluations": best.evaluations,
            "num_runs": len(runs),
        }
        info = {
            "log_likelihoods": torch.tensor(best.values, dtype=torch.float64),
            "run_values": torch.tensor([run.values[-1] for run in runs], dtype=torch.float64),
        }
        end = moved_inside(Objective(density, log_likelihood), density.data.least_weight, best.coordinates)
        draws = density.draws(end[None])
        findings, remarks = {best.status: ""}, unsearched_remarks(found)
        estimated = Estimated(Kind.ML, draws, stats, findings, info=info, found=found, remarks=remarks)
        return finish(task, density, estimated)

    def _starts(self, model: Model, density: Density, found: Found | None, rng: np.random.Generator) -> Iterator[Array]:
        """The best mode of a search; where none was found that keeps all classes, also starts of EM's own."""
        searched = () if found is None else found.modes[:1]
        for mode in searched:
            yield mode.point
        if not searched or density.at_boundary(searched[0].point):
            yield from best_starts(model, density, log_likelihood, self.num_starts, rng, refinements=REFINEMENTS)

    def _run(self, density: Density, start: Array) -> "_Run":
        """EM from one start; no accepted point has a likelihood below that of the one before, but for rounding."""
        run = _Run(density, start, self.tolerance)
        is_costly = not density.has_closed_form and density.size > MOST_FOR_NEWTON
        reach, next_climb = 1.0, FIRST_CLIMB_OF_COSTLY if is_costly else FIRST_CLIMB
        while not run.ended and run.evaluations < self.max_iterations:
            if self.accelerate and run.evaluations >= next_climb:
                run.climb()
                next_climb = CLIMB_GROWTH * run.evaluations
                if run.ended:
                    break
            first = run.coordinates
            second = run.em_step()
            run.move(second)
            if not self.accelerate or run.ended or run.evaluations >= self.max_iterations:
                continue
            third = run.em_step()
            step, bend = second - first, (third - second) - (second - first)
            ratio = float(np.linalg.norm(step)) / max(float(np.linalg.norm(bend)), 1e-300)
            length = min(max(ratio, 1.0), reach)
            target = first + 2.0 * length * step + length**2 * bend
            if length > 1.0 and run.move(target, only_up=True):
                reach = 4.0 * reach if length == reach else reach
                continue
            if length == reach:
                reach = max(4.0, reach / 4.0) if length > 1.0 else 4.0
            run.move(third)
        return run


class _Run:
    """A run from one start: the current point, its E-step, and the likelihoods and the number of E-steps so far."""

    def __init__(self, density: Density, start: Array, tolerance: float) -> None:
        self._density, self._tolerance = density, tolerance
        self.evaluations, self.values = 0, list[float]()
        self.ended, self._status = False, Status.MAX_ITERATIONS
        self.move(start)

    def em_step(self) -> Array:
        """The M-step from the current E-step."""
        target = self._density.m_step(self.coordinates, self._statistics)
        still = np.abs(target - self.coordinates) <= 8 * np.finfo(np.float64).eps * np.maximum(1.0, np.abs(target))
        if still.all() and not self.ended:
            if not self._density.has_closed_form:
                self.climb(is_last=True)
            self.ended = True
            # One row far from the others makes the column's unit so large that ordinary means are rounded in it.
            hidden = np.abs(self._gradient) @ (np.finfo(np.float64).eps * np.maximum(1.0, np.abs(target)))
            if self._density.has_closed_form and hidden <= HIDDEN:
                self._status = Status.CONVERGED
        return target

    def climb(self, *, is_last: bool = False) -> None:
        """Go where L-BFGS ends on the exact gradient, if that is inside the support.

        EM is slow where classes overlap, as the share of what is known of a row's class (its rate) is small. Newton's
        method goes on after long, and where an M-step is a climb itself, which ends no nearer to a maximum.
        """
        objective, num_rows = Objective(self._density, log_likelihood), self._density.data.num_units
        target = climb_inside(
            objective, self.coordinates, num_rows, gradient=0.1 * self._tolerance, max_steps=CLIMB_STEPS
        )
        is_slow = self._density.has_closed_form and self.evaluations >= FIRST_NEWTON
        if is_slow and self._density.size <= MOST_COORDINATES:
            ends = stationary_points(objective, (self.coordinates if target is None else target)[None])
            target = ends.points[0] if ends.stationary[0] else target
        if target is None:
            return
        if not self._density.has_closed_form:
            slope = np.abs(objective.value_and_gradient(target)[1]).max() / self._density.total_weight
            if slope >= self._tolerance and (is_last or self._density.size <= MOST_FOR_NEWTON):
                target = ascend(objective, target, self._tolerance).coordinates
        if not self._density.at_boundary(target):
            self.move(target, only_up=True)

    def move(self, target: Array, *, only_up: bool = False) -> bool:
        """Evaluate the E-step at a point and go there; with `only_up`, only if the likelihood does not fall."""
        if self.ended:
            return False
        value, gradient, statistics = self._density.e_step(target)
        self.evaluations += 1
        if only_up and not (np.isfinite(value) and value >= self.values[-1] - ROUNDING * abs(self.values[-1])):
            return False
        self.coordinates, self._statistics, self._gradient = target, statistics, gradient
        self.values.append(value)
        self.gradient_norm = float(np.abs(gradient).max(initial=0.0)) / self._density.total_weight
        if self._density.has_collapsed(target, gradient):
            self.ended, self._status = True, Status.COMPONENT_COLLAPSED
        elif self.gradient_norm < self._tolerance:
            self.ended, self._status = True, Status.CONVERGED
        elif self._stands_still() and self._density.edges(self._density.constrain(target)):
            # On the way to an end of the support the gradient need not vanish, and the way has no end.
            self.ended, self._status = True, Status.CONVERGED
        return True

    def _stands_still(self) -> bool:
        """Whether the mean log-likelihood has gained less than the tolerance for a while."""
        if len(self.values) <= PATIENCE:
            return False
        return self.values[-1] - self.values[-1 - PATIENCE] < self._tolerance * self._density.total_weight

    @property
    def status(self) -> Status:
        """How the run ended: at the BOUNDARY also where a weight has run to 0."""
        has_collapsed = self._status is Status.COMPONENT_COLLAPSED
        at_boundary = not has_collapsed and self._density.at_boundary(self.coordinates)
        return Status.BOUNDARY if at_boundary else self._status
