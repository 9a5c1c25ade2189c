"""What an experiment fixes (which entries of which rows were set), and experiments of the same design from a fit."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from numbers import Number
from typing import Any

import numpy as np
import pyro
import torch
from numpy.typing import NDArray

from estimators import Data, Fit, isolated
from estimators.contract import LATENT

Array = NDArray[Any]
# Rows simulated in one pass of the model's program.
CHUNK = 200_000


@dataclass(frozen=True, eq=False)
class Arm:
    """The rows [m] of an experiment in which the same variables are set to the same values."""

    settings: Mapping[str, float]
    rows: NDArray[np.intp]

    @property
    def words(self) -> str:
        """The intervention as one writes it: ``do(Z=1)``."""
        return f"do({', '.join(f'{name}={value:g}' for name, value in self.settings.items())})"


def arms_of(experiment: Data) -> tuple[Arm, ...]:
    """Group the rows by what is set in them, in the order of the values."""
    names = list(experiment.intervened)
    masks = np.stack([experiment.is_set(name).numpy() for name in names], 1)
    values = np.stack([experiment.columns[name].double().numpy() for name in names], 1)
    keys = np.concatenate([masks, np.where(masks, values, 0.0)], 1)
    found, which = np.unique(keys, axis=0, return_inverse=True)
    arms = []
    for number, key in enumerate(found):
        is_set, value = key[: len(names)], key[len(names) :]
        settings = {name: float(value[i]) for i, name in enumerate(names) if is_set[i]}
        if LATENT in settings:
            settings[LATENT] = int(settings[LATENT])
        arms.append(Arm(settings, np.flatnonzero(which.reshape(-1) == number)))
    return tuple(arms)


@dataclass(frozen=True, eq=False)
class Experiments:
    """Experiments of one design, the observed one first: columns [E, N, ...], ``labels`` of Z [E, N] (-1: hidden).

    Only the columns that are measured in some row are held; where a row's entry is set it is the same in every one.
    """

    design: Data
    arms: tuple[Arm, ...]
    columns: Mapping[str, Array]
    labels: NDArray[np.int64]

    def measured(self, arm: Arm) -> list[str]:
        """The columns that are measured in the rows of an arm."""
        return [name for name in self.columns if name not in arm.settings]

    def relabelled(self, order: NDArray[np.intp]) -> "Experiments":
        """The same with label k of experiment e renamed to ``order[e, k]``."""
        renamed = np.take_along_axis(order, np.maximum(self.labels, 0), 1)
        return replace(self, labels=np.where(self.labels < 0, self.labels, renamed))


def measured_in(experiment: Data) -> list[str]:
    """The columns but Z that are measured in some row."""
    return [name for name in experiment.columns if name != LATENT and not bool(experiment.is_set(name).all())]


def with_simulated(fit: Fit, experiment: Data, num_simulations: int, seed: int) -> Experiments:
    """The observed experiment and simulated ones of its design; rows of one experiment share one draw of the Greeks.

    ``φ_e ~ fit``, then ``rows_e ~ p(rows | do(what is set), φ_e)`` for every experiment e.
    """
    rng = np.random.default_rng([seed, 1])  # not the stream that the fit's own draws may come from
    # Every draw equally often, as nearly as can be: less noise than drawing with replacement, and as valid.
    repeats = -(-num_simulations // fit.num_draws)
    which = np.concatenate([rng.permutation(fit.num_draws) for _ in range(repeats)])[:num_simulations]
    names = measured_in(experiment)
    observed = {name: experiment.columns[name].numpy() for name in names}
    labels = experiment.latent().numpy()
    drawn: dict[str, Array] = {
        name: np.empty((num_simulations + 1, *column.shape), column.dtype if name == LATENT else np.float64)
        for name, column in {**observed, LATENT: labels}.items()
    }
    for name, column in {**observed, LATENT: labels}.items():
        drawn[name][:] = column
    simulate = _simulate_at_once if fit.model.takes_greeks_per_row else _simulate_one_by_one
    with isolated(int(rng.integers(2**62))):
        simulate(fit, experiment, which, drawn)
    latent = np.where(labels < 0, -1, drawn.pop(LATENT))
    return Experiments(experiment, arms_of(experiment), drawn, latent)


def _simulate_at_once(fit: Fit, experiment: Data, which: Array, drawn: dict[str, Array]) -> None:
    """Fill the simulated experiments in place, many in one run of the model's program under `pyro.do`."""
    run_rows, _ = fit.model.row_program(fit.data)
    for names, rows in _patterns(experiment):
        per_run = max(CHUNK // len(rows), 1)
        for start in range(0, len(which), per_run):
            part = which[start : start + per_run]
            greeks = {name: value[part].repeat_interleave(len(rows), 0) for name, value in fit.draws.items()}
            settings: dict[str, torch.Tensor | Number] = {}
            for name in names:
                value = experiment.columns[name][rows]
                settings[name] = (value if name == LATENT else value.double()).repeat(len(part))
            found = pyro.do(run_rows, data=settings)(greeks, len(part) * len(rows))
            for name in drawn:
                if name not in names:
                    values = found[name].numpy()
                    target = slice(1 + start, 1 + start + len(part))
                    drawn[name][target, rows] = values.reshape(len(part), len(rows), *values.shape[1:])


def _simulate_one_by_one(fit: Fit, experiment: Data, which: Array, drawn: dict[str, Array]) -> None:
    """The same, one experiment after another."""
    for number, draw in enumerate(which):
        one = replace(fit, draws={name: value[draw : draw + 1] for name, value in fit.draws.items()}, num_chains=1)
        for names, rows in _patterns(experiment):
            seed = int(torch.randint(2**31, ()))
            found = one.do(**{name: experiment.columns[name][rows] for name in names}).sample(len(rows), seed=seed)
            for name in drawn:
                if name not in names and name in found:
                    drawn[name][1 + number, rows] = found[name].numpy()


def _patterns(experiment: Data) -> Iterator[tuple[list[str], Array]]:
    """Which columns are set, and the rows where just these are."""
    names = list(experiment.intervened)
    masks = np.stack([experiment.is_set(name).numpy() for name in names], 1)
    found, which = np.unique(masks, axis=0, return_inverse=True)
    for number, mask in enumerate(found):
        yield [name for name, on in zip(names, mask, strict=True) if on], np.flatnonzero(which.reshape(-1) == number)
