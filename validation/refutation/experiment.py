"""What an experiment fixes (which entries of which rows were set), and experiments of the same design from a fit."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estimators import Data, Fit
from estimators.contract import LATENT

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Arm:
    """The rows [m] of an experiment in which the same variables are set to the same values."""

    settings: Mapping[str, float]
    rows: NDArray[np.intp]
    levels: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """The intervention as one writes it: ``do(Z=1)``, ``do(T='treated')``."""
        values = {
            name: repr(self.levels[name][int(value)]) if name in self.levels else f"{value:g}"
            for name, value in self.settings.items()
        }
        return f"do({', '.join(f'{name}={value}' for name, value in values.items())})"


def arms_of(experiment: Data) -> tuple[Arm, ...]:
    """Group the rows by what is set in them, in the order of the values."""
    names = list(experiment.intervened)
    masks = np.stack([experiment.is_set(name).numpy() for name in names], 1)
    values = np.stack([experiment.columns[name].double().numpy() for name in names], 1)
    keys = np.concatenate([masks, np.where(masks, values, 0.0)], 1)
    arms = []
    for key, rows in _groups(keys):
        is_set, value = key[: len(names)], key[len(names) :]
        settings = {name: float(value[i]) for i, name in enumerate(names) if is_set[i]}
        if LATENT in settings:
            settings[LATENT] = int(settings[LATENT])
        arms.append(Arm(settings, rows, dict(experiment.levels)))
    return tuple(arms)


def with_draws(fit: Fit, index: Any) -> Fit:
    """The fit with these of its draws."""
    return replace(fit, draws={name: value[index] for name, value in fit.draws.items()}, num_chains=1, info={})


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

    def chosen(self, index: slice) -> "Experiments":
        """Some of the experiments, as if they were all."""
        columns = {name: column[index] for name, column in self.columns.items()}
        return replace(self, columns=columns, labels=self.labels[index])

    def stacked(self) -> Data:
        """The rows of all experiments, one below the other; those of a unit are one in each."""
        repeats, unit = len(self.labels), self.design.unit
        columns: dict[str, Any] = dict(self.design.scalars)
        columns.update({name: np.concatenate([value.numpy()] * repeats) for name, value in self.design.columns.items()})
        for name, column in self.columns.items():
            columns[name] = column.reshape(-1, *column.shape[2:])
        if LATENT in self.design.columns:
            columns[LATENT] = self.labels.reshape(-1)
        masks = {name: np.tile(mask.numpy(), repeats) for name, mask in self.design.intervened.items()}
        numbers = None if unit is None else np.add.outer(np.arange(repeats) * unit.num_units, unit.of_row).reshape(-1)
        return Data(columns, intervened=masks, unit=numbers)

    def by_row(self, densities: Array) -> Array:
        """Log densities of the units of each experiment [E, U], as of its rows [E, N]: each has an equal part."""
        unit = self.design.unit
        return densities if unit is None else (densities / unit.sizes.numpy())[:, unit.of_row.numpy()]

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
    draws = np.concatenate([rng.permutation(fit.num_draws) for _ in range(repeats)])[:num_simulations]
    return simulated_at(fit, experiment, draws, int(rng.integers(2**62)))


def simulated_at(fit: Fit, experiment: Data, draws: Array, seed: int) -> Experiments:
    """The observed experiment, and one simulated at each of these draws of the Greeks [E]."""
    chosen = {name: value[draws] for name, value in fit.draws.items()}
    drawn = fit.model.replicate(chosen, experiment, seed=seed)
    observed = {name: experiment.columns[name].double().numpy() for name in measured_in(experiment)}
    columns = {name: np.concatenate([column[None], drawn[name].numpy()]) for name, column in observed.items()}
    seen = experiment.latent().numpy()
    # A program may call its hidden sites otherwise.
    worlds = [seen[None], drawn[LATENT].numpy()] if LATENT in drawn else [seen[None]] * (1 + len(draws))
    return Experiments(experiment, arms_of(experiment), columns, np.where(seen < 0, -1, np.concatenate(worlds)))


def _groups(keys: Array) -> Iterator[tuple[Array, NDArray[np.intp]]]:
    """Each different key of rows [N, P], in order, with the rows that have it."""
    different, which = np.unique(keys, axis=0, return_inverse=True)
    for number, key in enumerate(different):
        yield key, np.flatnonzero(which.reshape(-1) == number)
