"""Whether prior and data disagree (PRIOR_CONFLICT), and of which Greeks the rows tell nothing (a remark).

Both are judged at the estimate φ̂: what the likelihood has given up for the prior, and the prior for the likelihood,

    D = max_φ log p(data | φ) - log p(data | φ̂)  +  Σ_g [median log p(g) - log p(ĝ)]₊

with g the Greeks, the median over draws of the prior, and the maximum that of a few EM runs without the prior. For a
Gaussian prior and likelihood 2 D is the χ² of Box (1980), "Sampling and Bayes' inference in scientific modelling and
robustness", JRSS A 143, whether the data win, the prior, or neither. It is a disagreement where D exceeds what chance
brings once in a thousand times (χ² with as many degrees of freedom as coordinates) and some prior is short at the
maximum without priors; else a better mode was missed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import gammainccinv
from torch import Tensor

from estimators.algorithms.protocol import Task
from estimators.contract import Density, Model, Objective, log_joint, log_likelihood
from estimators.data.words import few
from estimators.fits.left_to_priors import untold_entries
from estimators.modes.best_starts import best_starts
from estimators.optimise.arrays import Array
from estimators.optimise.ascent import climb_inside
from estimators.status import Status

# Draws of the priors; starts without them, and the EM steps of each; steps of a climb where those of EM are costly.
PRIOR_DRAWS = 1000
STARTS = 4
REFINEMENTS = 5
CLIMB_STEPS = 50
# Draws of a posterior of which the likeliest is taken for the estimate.
CANDIDATES = 50
FALSE_ALARM = 1e-3
# Nats by which a prior is short at the rows' own answer where it is named.
SHORT = 5.0
# With fewer draws it is not said whether they are the prior's.
LEAST_DRAWS = 100
MOST_NAMED = 4


@dataclass(frozen=True)
class Conflict:
    """D in nats, what chance allows of it, and by how much each Greek's prior is short at the rows' own answer."""

    nats: float
    limit: float
    shortfalls: Mapping[str, float]

    @property
    def culprits(self) -> list[str]:
        """The Greeks whose priors the rows' own answer is outside of, the worst first; none by chance."""
        short = [name for name, nats in self.shortfalls.items() if nats > SHORT]
        return sorted(short, key=lambda name: -self.shortfalls[name]) if self.nats > self.limit else []


def of_priors(
    task: Task, density: Density, draws: Mapping[str, Tensor], best: int
) -> tuple[dict[Status, str], list[str]]:
    """PRIOR_CONFLICT, if it holds of draws [S, *shape] that rest on priors, and remarks; ``best`` is the likeliest."""
    greeks, rng = {name: value.numpy() for name, value in draws.items()}, np.random.default_rng(task.seed)
    of_prior = density.constrain(density.draw_prior(PRIOR_DRAWS, rng))
    num_draws = len(next(iter(greeks.values())))
    looked_at = np.unique([best, *np.linspace(0, num_draws - 1, min(num_draws, CANDIDATES)).astype(int)])
    points = density.unconstrain({name: value[looked_at] for name, value in greeks.items()})
    conflict = conflict_at(task.model, density, points, of_prior, rng)
    findings = {}
    if conflict.culprits:
        findings[Status.PRIOR_CONFLICT] = (
            f"{conflict.nats:.0f} nats, where chance allows {conflict.limit:.0f}, as the prior of "
            f"{few(conflict.culprits, MOST_NAMED)} hardly allows the answer of the rows alone (EM's); "
            "check the units of the columns, or use wider priors (a mixture's `model.scaled_to(data)`)"
        )
    untold = untold_entries(greeks, of_prior) if num_draws >= LEAST_DRAWS else []
    nothing = f"The rows tell next to nothing of {few(untold, MOST_NAMED)}: the posterior is the prior."
    return findings, [nothing] if untold else []


@np.errstate(all="ignore")
def conflict_at(
    model: Model, density: Density, points: Array, of_prior: Mapping[str, Array], rng: np.random.Generator
) -> Conflict:
    """The disagreement at the likeliest of some points [S, D]; ``of_prior`` are draws of the prior."""
    values = Objective(density, log_joint).value(points)
    at = points[int(np.argmax(np.where(np.isfinite(values), values, -np.inf)))]
    reached = float(density.values(at).likelihood)
    answer, highest = _answer_of_rows(model, density, at, rng)
    medians = {name: float(np.median(logs)) for name, logs in density.log_priors(of_prior).items()}
    # Of a prior that is usually infinite, in a corner, no answer is short by a number.
    usual = {name: nats for name, nats in medians.items() if nats < np.inf}
    here, there = density.log_priors(density.constrain(at)), density.log_priors(answer)
    given_up = sum(max(0.0, usual[name] - float(here[name])) for name in usual)
    return Conflict(
        nats=max(0.0, highest - reached) + given_up,
        # The quantile of χ² / 2 with as many degrees of freedom as coordinates.
        limit=float(gammainccinv(density.size / 2.0, FALSE_ALARM)),
        shortfalls={name: usual[name] - float(there[name]) for name in usual},
    )


def _answer_of_rows(
    model: Model, density: Density, at: Array, rng: np.random.Generator
) -> tuple[Mapping[str, Array], float]:
    """The Greeks of the highest likelihood that were found without priors, from `at` and elsewhere, and its value."""
    free = density.beyond_priors()
    objective = Objective(free, log_likelihood)
    start = free.unconstrain(density.constrain(at))
    if free.has_closed_form:
        ends = [*best_starts(model, free, log_likelihood, STARTS, rng, refinements=REFINEMENTS)]
    else:
        end = climb_inside(objective, start, free.data.num_units, gradient=1e-3, max_steps=CLIMB_STEPS)
        ends = [] if end is None else [end]
    answer, highest = start, -np.inf
    for point in (start, *ends):
        value, gradient = objective.value_and_gradient(point)
        if value > highest and not free.has_collapsed(point, gradient):
            answer, highest = point, value
    return free.constrain(answer), highest
