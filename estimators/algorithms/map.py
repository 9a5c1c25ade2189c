"""Maximum a posteriori by Pyro's SVI with AutoDelta, on a program with Z summed out, finished deterministically."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pyro import poutine
from pyro.infer import ELBO, SVI
from pyro.infer.autoguide import AutoDelta, init_to_value
from pyro.optim import ClippedAdam
from pyro.poutine.messenger import Messenger

from estimators.algorithms.finish import Estimated, finish
from estimators.algorithms.progress import progress
from estimators.algorithms.protocol import Task, begin
from estimators.checks import check_flag, check_positive, check_whole
from estimators.contract import Density, Model, Objective, log_joint
from estimators.fits.fit import Fit
from estimators.fits.kind import Kind
from estimators.isolation import own_modes, program_mode, single_thread
from estimators.optimise.ascent import Summit, ascend
from estimators.parameters.parameter import Array
from estimators.status import Status, in_words, worth

# EM steps from every start; starts are scored both before and after them.
REFINEMENTS = 3
# Starts trained by SVI; the others are only climbed from, and only if none of these ends at an interior point.
RUNS = 3

Trainable = tuple[Callable[[], None], ELBO]


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
    def fit(self, model: Model, data: Any, *, seed: int | None = None, strict: bool = False) -> Fit:
        """Estimate the Greeks: a `Fit` of kind "map" with one draw."""
        task = begin(model, data, seed, strict)
        density = task.model.density(task.data)
        trained = density.trainable()
        objective = Objective(density, log_joint)
        rng = np.random.default_rng(task.seed)
        starts = density.starts(log_joint, self.num_starts, rng, refinements=REFINEMENTS, unrefined=True)
        losses: list[list[float]] = []
        norms: list[list[float]] = []
        summits: list[tuple[Status, Summit]] = []
        with progress(min(RUNS, len(starts)) * self.num_steps, "MAP", self.progress_bar) as bar:
            for number, start in enumerate(starts):
                if number >= RUNS and any(status is Status.CONVERGED for status, _ in summits):
                    break
                if number < RUNS:
                    start, loss, norm = self._train(task, density, trained, start, bar)
                    losses.append(loss)
                    norms.append(norm)
                summit = ascend(objective, start, self.tolerance)
                summits.append((self._status(density, summit), summit))
        status, best = _best(summits)
        stats = {
            "estimator": "MAP",
            "seed": task.seed,
            "log_joint": best.value,
            "gradient_norm": best.gradient_norm,
            "num_runs": len(summits),
        }
        info = {"losses": _traces(losses), "gradient_norms": _traces(norms)}
        estimated = Estimated(Kind.MAP, density.draws(best.coordinates[None]), stats, status=status, info=info)
        return finish(task, density, estimated)

    def _train(
        self, task: Task, density: Density, trained: Trainable, start: Array, bar: Any
    ) -> tuple[Array, list[float], list[float]]:
        """SVI from one start: the better of its first and last point, the losses and the gradient norms."""
        # The guide is a torch module, whose attributes cannot be called "a.b" beside "a", or as its own methods are.
        alias = {name: f"greek_{number}" for number, name in enumerate(density.names)}
        values = {alias[name]: value[0] for name, value in density.draws(start[None]).items()}
        units = {f"AutoDelta.{alias[name]}": density.unit_of(name) for name in density.names}
        decay = 0.01 ** (1.0 / self.num_steps)
        program, elbo = _Renamed(alias)(trained[0]), trained[1]

        def settings(name: str) -> dict[str, float]:
            return {"lr": self.learning_rate * units[name], "lrd": decay, "clip_norm": float("inf")}

        losses: list[float] = []
        norms: list[list[float]] = []
        with in_words("MAP"), program_mode(task.seed), single_thread():
            guide = AutoDelta(
                poutine.block(program, expose=list(alias.values())), init_loc_fn=init_to_value(values=values)
            )
            optimiser = ClippedAdam(settings)  # type: ignore[arg-type]
            svi = SVI(program, guide, optimiser, elbo)
            guide()
            for parameter in guide.parameters():
                parameter.register_hook(lambda slope: norms[-1].append(float(slope.square().sum())))
            for _ in range(self.num_steps):
                norms.append([])
                losses.append(float(svi.step()))
                bar.update()
            median = guide.median()
            ended = {name: median[site].detach().numpy() for name, site in alias.items()}
        end, objective = density.unconstrain(ended), Objective(density, log_joint)
        if not (np.isfinite(end).all() and objective.value(end) >= objective.value(start)):
            end = start
        return end, losses, [float(np.sqrt(sum(step))) for step in norms]

    def _status(self, density: Density, summit: Summit) -> Status:
        if density.has_collapsed(summit.coordinates, summit.gradient):
            return Status.COMPONENT_COLLAPSED
        if summit.at_limit or density.at_boundary(summit.coordinates):
            return Status.BOUNDARY
        return Status.CONVERGED if summit.gradient_norm < self.tolerance else Status.MAX_ITERATIONS


def _best(ends: Sequence[tuple[Status, Summit]]) -> tuple[Status, Summit]:
    """The best end of a climb; where none converged, one that stopped on its way is no better than a boundary above."""
    if any(status is Status.CONVERGED for status, _ in ends):
        return max(ends, key=lambda end: worth(end[0], end[1].value))
    return max(ends, key=lambda end: (end[0] is not Status.COMPONENT_COLLAPSED, end[1].value))


class _Renamed(Messenger):
    """Gives sites other names."""

    def __init__(self, names: Mapping[str, str]) -> None:
        super().__init__()
        self._names = names

    def _pyro_sample(self, msg: Any) -> None:
        msg["name"] = self._names.get(msg["name"], msg["name"])


def _traces(runs: list[list[float]]) -> torch.Tensor:
    """Traces of all runs as [runs, num_steps]; what overflowed is the largest number."""
    return torch.tensor(runs, dtype=torch.float64).nan_to_num()
