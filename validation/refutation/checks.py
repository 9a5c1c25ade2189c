"""What `refute` and `refine` refuse, before any work."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from estimators import Data, Fit
from estimators.contract import LATENT
from validation.refutation.experiment import measured_in, with_draws
from validation.refutation.statistics import LEAST_ROWS
from validation.statistics.arguments import as_count
from validation.statistics.check import check_probability

LABELS = ("identity", "matched")


def checked(fit: Any, experiment: Any, seed: Any, num_simulations: Any, level: Any, labels: Any) -> Data:
    """The experiment as `Data`, or an error that names the argument that `refute` cannot work with."""
    if not isinstance(fit, Fit):
        raise TypeError(f"fit: expected a Fit, got {type(fit).__name__}; estimate a model first, e.g. EM().fit(...)")
    check_seed(seed)
    check_reachable_level(level, num_simulations)
    if labels not in LABELS:
        raise ValueError(f"labels: expected one of {list(LABELS)}, got {labels!r}")
    if labels == "matched" and LATENT not in fit.model.hidden:
        raise ValueError("labels: 'matched' needs a CausalMixture; rename labels by fit.relabel() instead")
    data = as_experiment(experiment)
    known = _variables(fit, data)
    unknown = [name for name in data.columns if name not in known]
    if unknown:
        raise ValueError(f"experiment: the fit has no variable {unknown[0]!r}; it has {sorted(known)}")
    try:
        data = data.numbered_as({} if fit.data is None else fit.data.levels)
        if fit.model.variables:
            data = fit.model.check(data)
    except ValueError as error:
        raise ValueError(f"experiment: {error}") from None
    return data


def as_experiment(value: Any) -> Data:
    """An experiment as `Data`, or an error that says what it lacks."""
    if not isinstance(value, Data | Mapping):
        raise TypeError(f"experiment: expected Data(..., intervened=...), got {type(value).__name__}")
    rows = value if isinstance(value, Data) else Data(value)
    if not rows.intervened:
        raise ValueError(
            "experiment: no entry was set; say which were, e.g. Data(X=..., Z=..., intervened={'Z': True})"
        )
    is_set = np.any([rows.is_set(name).numpy() for name in rows.intervened], axis=0)
    if not is_set.all():
        raise ValueError(
            f"experiment: nothing is set in row(s) {np.flatnonzero(~is_set)[:5].tolist()}; "
            "rows in which nothing was set belong in the data that are fitted"
        )
    if rows.num_rows < LEAST_ROWS:
        raise ValueError(f"experiment: expected at least {LEAST_ROWS} rows, got {rows.num_rows}")
    if rows.has_missing:
        raise ValueError("experiment: expected complete rows, got missing entries; drop these rows first")
    if rows.weights is not None:
        raise ValueError("experiment: expected rows without weights; repeat rows instead")
    vectors = [name for name in rows.intervened if rows.columns[name].ndim > 1]
    if vectors:
        raise ValueError(f"experiment: {vectors[0]} is set to several numbers in a row; expected one")
    if not measured_in(rows):
        raise ValueError(f"experiment: nothing was measured; every column of {list(rows.columns)} is set")
    return rows


def _variables(fit: Fit, experiment: Data) -> list[str]:
    """What an experiment may hold: the variables, of a Pyro program those that are set and the sites not hidden."""
    if fit.model.variables:
        return [*fit.model.hidden, *fit.model.variables]
    set_throughout = [name for name in experiment.intervened if bool(experiment.is_set(name).all())]
    first_row = {name: experiment.columns[name][0].item() for name in experiment.intervened}
    return [*set_throughout, *with_draws(fit, [0]).do(**first_row).sample(1, seed=0)]


def check_seed(seed: object) -> None:
    """Raise TypeError or ValueError unless a seed is None or a whole number from 0 to 2^63 - 1."""
    if seed is not None and as_count("seed", seed) >= 2**63:
        raise ValueError(f"seed: expected an integer from 0 to 2**63 - 1, got {seed}")


def check_reachable_level(level: object, num_simulations: object) -> None:
    """Raise TypeError or ValueError unless a p-value from so many simulations can be as small as the level."""
    count, alpha = as_count("num_simulations", num_simulations, least=1), check_probability("level", level)
    if alpha * (count + 1) < 1.0 - 1e-9:
        raise ValueError(
            f"level: no p-value from {count} simulations is below {1 / (count + 1):.2g}; "
            f"use num_simulations={int(np.ceil(1 / alpha))} or more for level={level}"
        )
