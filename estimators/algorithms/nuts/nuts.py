"""The posterior by the No-U-Turn Sampler (Hoffman & Gelman 2014) on the exact marginal density, Z summed out.

Two engines sample one posterior. ``nutpie`` runs Rust NUTS on this package's value and gradient; ``pyro`` runs Pyro's
NUTS on the Pyro program with Z enumerated by Pyro itself: slow, independent of `marginal.py`, and so the reference.
"""

import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow
import torch
from pyro.distributions.transforms import biject_to
from pyro.infer import MCMC
from pyro.infer import NUTS as PyroNUTS
from pyro.infer.autoguide import init_to_value
from torch import Tensor

from estimators.algorithms.finish import Estimated, finish
from estimators.algorithms.nuts.nutpie_callback import NutpieCallback
from estimators.algorithms.progress import progress
from estimators.algorithms.protocol import Task, begin
from estimators.checks import check_flag, check_positive, check_whole
from estimators.contract import Density, Model, Objective, log_posterior
from estimators.fits.fit import Fit
from estimators.fits.kind import Kind
from estimators.isolation import kept_logger, own_modes, program_mode, quietly_imported, single_thread, spawn_seeds
from estimators.optimise.ascent import Summit, ascend
from estimators.optimise.curvature import eigen, observed_information
from estimators.parameters.parameter import Array
from estimators.status import EstimationError, in_words

RESCALE = (
    "the columns, the weights and the priors may be many orders of magnitude apart: rescale the columns, lower the "
    "weights or widen the priors"
)
# How often a running chain is looked after, and how long a chain that is to end is waited for before it is aborted.
POLL_SECONDS = 0.2
PATIENCE_SECONDS = 1.0
# The largest step between neighbouring floating-point numbers, in nats, at which densities are still compared.
RESOLUTION = 0.05
NUM_STARTS = 50
# EM steps from every start; starts are scored both before and after them.
REFINEMENTS = 3
# Modes climbed to, and how far below the best (in nats) a mode may lie and still have a chain started at it.
NUM_MODES = 4
MODE_GAP = 10.0
SAME_MODE = 1e-6
# Chains start this many times the local sd away from a mode, so that R-hat can see a chain that does not come back.
DISPERSION = 2.0


@dataclass(frozen=True)
class NUTS:
    """Draws from ``p(φ | data) ∝ p(data | φ) p(φ)``, Z summed out exactly.

    ``num_chains`` chains of ``warmup_steps`` + ``num_samples`` start around the best modes found, over-dispersed; the
    same seed gives the same draws on any number of cores. Draws are relabelled before R-hat and ESS are computed; the
    status is CHAINS_DISAGREE (R-hat > 1.01), DIVERGENCES (any) or LOW_ESS (bulk or tail < 100 per chain), in order.

    >>> fit = NUTS(num_samples=200, warmup_steps=200).fit(GaussianMixture(K=2), {"X": [0.0, 1.0, 10.0, 11.0]}, seed=0)
    >>> fit.num_draws
    800
    """

    num_samples: int = 1000
    warmup_steps: int = 1000
    num_chains: int = 4
    target_accept_prob: float = 0.8
    engine: str = "nutpie"
    progress_bar: bool | None = None

    def __post_init__(self) -> None:
        check_whole("num_samples", self.num_samples)
        check_whole("warmup_steps", self.warmup_steps)
        check_whole("num_chains", self.num_chains)
        check_positive("target_accept_prob", self.target_accept_prob, below=1.0)
        check_flag("progress_bar", self.progress_bar, optional=True)
        if self.engine not in _ENGINES:
            raise ValueError(f"engine: expected one of {sorted(_ENGINES)}, got {self.engine!r}")

    @own_modes()
    def fit(self, model: Model, data: Any, *, seed: int | None = None, strict: bool = False) -> Fit:
        """Sample the posterior: a `Fit` of kind "posterior" with ``num_chains * num_samples`` draws, chain by chain."""
        task = begin(model, data, seed, strict)
        if self.engine == "pyro" and task.data.weights is None:
            # What Pyro cannot condition on is refused before any work; rows with weights would be repeated first.
            program, _ = _conditioned(task)
            with program_mode(task.seed):
                program()
        density = task.model.density(task.data)
        starts = _chain_starts(task, density, self.num_chains)
        seeds = spawn_seeds(task.seed, self.num_chains + 1)[1:]
        coordinates, info = _ENGINES[self.engine](self, task, density, starts, seeds)
        if len(coordinates) != self.num_chains * self.num_samples:
            raise EstimationError(
                f"NUTS: the sampler gave {len(coordinates)} draws instead of {self.num_chains} chains of "
                f"{self.num_samples}; nothing is kept of an incomplete run"
            )
        divergences = int(info["diverging"].sum())
        stats = {
            "estimator": "NUTS",
            "engine": self.engine,
            "seed": task.seed,
            "num_divergences": divergences,
            "warmup_steps": self.warmup_steps,
        }
        draws = density.draws(coordinates)
        for name, value in draws.items():
            if not bool(torch.isfinite(value).all()):
                raise EstimationError(
                    f"NUTS: {name} ran to infinity; the posterior is improper, use proper, tighter priors"
                )
        estimated = Estimated(
            Kind.POSTERIOR, draws, stats, info=info, num_chains=self.num_chains, best=int(torch.argmax(info["lp"]))
        )
        return finish(task, density, estimated)


Chains = tuple[Array, dict[str, Tensor]]


def _with_nutpie(nuts: NUTS, task: Task, density: Density, starts: Array, seeds: list[int]) -> Chains:
    """Chain after chain, each a run of its own with its own seed and start, so results do not depend on threads.

    Chains in threads would be slower: on few rows they wait for the interpreter's lock, on many for torch's threads.
    """
    chains = []
    with progress(nuts.num_chains, "NUTS chains", nuts.progress_bar) as bar:
        for start, seed in zip(starts, seeds, strict=True):
            chains.append(_nutpie_chain(nuts, density, start, seed))
            bar.update()
    coordinates = np.concatenate([chain[0] for chain in chains])
    info = {name: torch.cat([chain[1][name] for chain in chains]) for name in chains[0][1]}
    return coordinates, info


def _nutpie_chain(nuts: NUTS, density: Density, start: Array, seed: int) -> Chains:
    callback = NutpieCallback(Objective(density, log_posterior), start, nuts.warmup_steps + nuts.num_samples)
    compiled = _nutpie().compiled_pyfunc.from_pyfunc(
        density.size,
        lambda: callback.log_density,
        lambda *_: callback.expand,
        [np.dtype("float64")],
        [(density.size,)],
        ["coordinates"],
        make_initial_point_fn=callback.first_point,
    )
    # The draws as nutpie holds them: on few rows its conversion to ArviZ takes a fifth of the time of a chain.
    (batch,), (sampler,) = _sample(nuts, compiled, seed, callback).get_arrow_trace()
    kept = ~sampler.column("tuning").to_numpy()
    coordinates = pyarrow.array(batch.column("coordinates")).flatten().to_numpy().reshape(len(kept), -1)[kept]
    taken = {"diverging": "diverging", "energy": "energy", "lp": "logp", "n_steps": "n_steps", "tree_depth": "depth"}
    info = {
        name: torch.from_numpy(sampler.column(field).to_numpy()[kept].astype(np.float64))
        for name, field in taken.items()
    }
    return coordinates, {**info, "diverging": info["diverging"].bool()}


def _nutpie() -> Any:
    """nutpie, imported where it is first needed: it brings ArviZ, which takes as long as torch."""
    quietly_imported("nutpie.compiled_pyfunc")
    return quietly_imported("nutpie")


def _sample(nuts: NUTS, compiled: Any, seed: int, callback: NutpieCallback) -> Any:
    """The trace of one whole chain; Ctrl-C, and an error in the callback, end it at once."""
    sampler = None
    try:
        sampler = _nutpie().sample(
            compiled,
            draws=nuts.num_samples,
            tune=nuts.warmup_steps,
            chains=1,
            cores=1,
            seed=seed,
            progress_bar=False,
            save_warmup=False,
            return_raw_trace=True,
            target_accept=nuts.target_accept_prob,
            blocking=False,
        )
        while callback.error is None:
            with suppress(TimeoutError):
                return sampler.wait(timeout=POLL_SECONDS)
        raise callback.error
    except BaseException as error:
        has_panicked = type(error).__module__ == "pyo3_runtime"
        callback.stop(PATIENCE_SECONDS)
        # A sampler that has panicked answers no call.
        if sampler is not None and not has_panicked:
            sampler.cancel()
        if callback.error is not None:
            with in_words("NUTS"):
                raise callback.error from None
        if callback.is_refused:
            raise EstimationError(
                f"NUTS: a chain cannot start where the log density has no slope in some direction; {RESCALE}, or give "
                "every Greek a proper prior"
            ) from None
        if isinstance(error, RuntimeError) or has_panicked:
            raise EstimationError(f"NUTS: the sampler stopped ({str(error).splitlines()[0]}); {RESCALE}") from None
        raise


def _with_pyro(nuts: NUTS, task: Task, density: Density, starts: Array, seeds: list[int]) -> Chains:
    """Pyro's chains one by one, each with its own seed: Pyro's parallel chains share streams of random numbers."""
    with progress(nuts.num_chains * (nuts.warmup_steps + nuts.num_samples), "NUTS by Pyro", nuts.progress_bar) as bar:
        chains = [_pyro_chain(nuts, task, density, start, seed, bar) for start, seed in zip(starts, seeds, strict=True)]
    greeks = {name: np.concatenate([chain[0][name] for chain in chains]) for name in chains[0][0]}
    coordinates = density.unconstrain(greeks)
    divergences = torch.cat([chain[1] for chain in chains])
    objective = Objective(density, log_posterior)
    blocks = np.array_split(coordinates, max(len(coordinates) // 256, 1))
    lp = np.concatenate([objective.value(block) for block in blocks])
    return coordinates, {"diverging": divergences, "lp": torch.from_numpy(lp)}


def _conditioned(task: Task) -> tuple[Callable[[], None], int]:
    """The Pyro program of the model on these rows, with its nesting of plates."""
    return task.model.conditioned(task.data.repeated('engine="pyro"', 'engine="nutpie"'))


def _pyro_chain(
    nuts: NUTS, task: Task, density: Density, start: Array, seed: int, bar: Any
) -> tuple[dict[str, Array], Tensor]:
    program, nesting = _conditioned(task)
    values = {name: value[0] for name, value in density.draws(start[None]).items()}
    initial = {name: biject_to(support).inv(values[name]) for name, support in density.supports.items()}
    diverging = torch.zeros(nuts.num_samples, dtype=torch.bool)

    def after_draw(kernel: PyroNUTS, _: Any, stage: str, draw: int) -> None:
        bar.update()
        if stage == "Sample" and draw == nuts.num_samples - 1:
            diverging[torch.as_tensor(kernel.diagnostics()["divergences"], dtype=torch.long)] = True

    quiet = warnings.catch_warnings(action="ignore", category=FutureWarning)
    with in_words("NUTS"), program_mode(seed), single_thread(), kept_logger("pyro.infer.mcmc"), quiet:
        kernel = PyroNUTS(
            program,
            target_accept_prob=nuts.target_accept_prob,
            max_plate_nesting=nesting,
            init_strategy=init_to_value(values=values),
        )
        mcmc = MCMC(
            kernel,
            num_samples=nuts.num_samples,
            warmup_steps=nuts.warmup_steps,
            initial_params=initial,
            disable_progbar=True,
            hook_fn=after_draw,
        )
        mcmc.run()
        drawn = {name: value.detach().numpy() for name, value in mcmc.get_samples().items()}
    return drawn, diverging


def _chain_starts(task: Task, density: Density, num_chains: int) -> Array:
    """[num_chains, D]: chains are dealt over the modes within reach of the best, and moved off them by 2 local sds."""
    if not density.size:
        return np.zeros((num_chains, 0))
    rng = np.random.default_rng(spawn_seeds(task.seed, 1)[0])
    objective = Objective(density, log_posterior)
    starts_rng = np.random.default_rng(task.seed)
    candidates = density.starts(log_posterior, NUM_STARTS, starts_rng, refinements=REFINEMENTS, unrefined=True)
    summits = [ascend(objective, start, 1e-6, max_steps=200) for start in candidates[:NUM_MODES]]
    best = max(summit.value for summit in summits)
    modes = [summit.coordinates for summit in _distinct(summits) if summit.value >= best - MODE_GAP]
    starts = []
    for chain in range(num_chains):
        mode = modes[chain % len(modes)]
        spread = _local_sd(objective, mode)
        move = rng.standard_normal(density.size) * spread * DISPERSION
        points = (mode + move / 2**n for n in range(60))
        starts.append(next((point for point in points if _coarseness(objective, point) <= RESOLUTION), mode))
    coarsest = max(_coarseness(objective, start) for start in starts)
    if not np.isfinite(coarsest):
        raise EstimationError(f"NUTS: the log density is not finite at any start; {RESCALE}")
    if coarsest > RESOLUTION:
        raise EstimationError(
            f"NUTS: the log density is so large that its numbers are {coarsest:.2g} apart, too coarse to tell draws "
            f"apart; {RESCALE}"
        )
    return np.array(starts)


def _coarseness(objective: Objective, point: Array) -> float:
    """How far apart neighbouring numbers are at a log density, in nats; infinite where it is not finite."""
    value = float(objective.value(point))
    return float(np.spacing(abs(value))) if np.isfinite(value) else np.inf


def _distinct(summits: list[Summit]) -> list[Summit]:
    """Best first, without modes of equal height: copies of each other under relabelling, or reached twice."""
    distinct: list[Summit] = []
    for summit in sorted(summits, key=lambda one: -one.value):
        if not distinct or distinct[-1].value - summit.value > SAME_MODE * (1.0 + abs(summit.value)):
            distinct.append(summit)
    return distinct


def _local_sd(objective: Objective, mode: Array) -> Array:
    values, vectors = eigen(observed_information(objective, mode))
    held = np.maximum(values, 1.0)
    return np.asarray(np.sqrt((vectors**2 / held).sum(1)))


_ENGINES: dict[str, Callable[[NUTS, Task, Density, Array, list[int]], Chains]] = {
    "nutpie": _with_nutpie,
    "pyro": _with_pyro,
}
