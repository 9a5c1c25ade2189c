"""Pyro's NUTS on the Pyro program with Z enumerated by Pyro itself: slow, independent of our sums, so the reference."""

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pyro.distributions.transforms import biject_to
from pyro.infer import MCMC
from pyro.infer import NUTS as PyroNUTS
from pyro.infer.autoguide import init_to_value
from torch import Tensor

from estimators.algorithms.progress import progress
from estimators.algorithms.protocol import Task
from estimators.contract import Density, Objective, log_posterior
from estimators.isolation import kept_logger, program_mode, single_thread
from estimators.optimise.arrays import Array
from estimators.status import in_words

if TYPE_CHECKING:
    from estimators.algorithms.nuts.nuts import NUTS


def pyro_chains(
    nuts: "NUTS", task: Task, density: Density, starts: Array, seeds: list[int]
) -> tuple[Array, dict[str, Tensor]]:
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


def conditioned(task: Task) -> tuple[Callable[[], None], int]:
    """The Pyro program of the model on these rows, with its nesting of plates."""
    return task.model.conditioned(task.data.repeated('engine="pyro"', 'engine="nutpie"'))


def _pyro_chain(
    nuts: "NUTS", task: Task, density: Density, start: Array, seed: int, bar: Any
) -> tuple[dict[str, Array], Tensor]:
    program, nesting = conditioned(task)
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
