"""From fits to errors of their Greeks, and of the outcomes they predict under an intervention."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from estimators import Estimate, EstimationError, Fit
from validation.measures.recovery import columns, entries
from validation.statistics.arguments import Array, as_array
from validation.statistics.estimates import errors_of_draws, errors_of_fits
from validation.statistics.student import Errors
from validation.testing.errors import StatisticalFailure

Draws = dict[str, Array]  # of every entry, by name [S]
Truth = Mapping[str, Any]
NEGLIGIBLE = 1e-9  # of its size: an entry as far from its truth as this, and without spread, is a known number


def recovery_errors(fits: Any, truth: Truth | Sequence[Truth], names: Sequence[str] | None, seed: int) -> Errors:
    """Return estimates less truths for every entry of the Greeks (`names`: of these).

    Raises TypeError or ValueError for what is not a fit, and for truths that are missing or of another shape.
    """
    fit_list = _fits(fits)
    truths = _truths(truth, len(fit_list))
    greeks = _names(fit_list[0], truths[0], names)

    def estimates(fit: Fit) -> Draws:
        return columns({name: fit.draws[name].numpy() for name in greeks})

    def true_values(fit: Fit, truth: Truth) -> dict[str, float]:
        return entries({name: _shaped(name, truth, tuple(fit.draws[name].shape[1:])) for name in greeks})

    return _errors(fit_list, truths, estimates, true_values, seed)


def intervention_errors(
    fits: Any, truth: Truth | Sequence[Truth], do: Mapping[str, Any], outcome: str | None, seed: int
) -> Errors:
    """Return predicted less true E[outcome | do(...)], for every observed scalar variable that is not set.

    Raises TypeError or ValueError for what is not a fit, and what `Fit.from_greeks` and `Fit.do` raise.
    """
    fit_list = _fits(fits)
    truths = _truths(truth, len(fit_list))
    if not isinstance(do, Mapping) or not do:
        raise TypeError(f"do: expected settings, such as {{'Z': 1}}, got {do!r}")
    outcomes = [outcome] if outcome else _outcomes(fit_list[0], do)

    def predicted(fit: Fit) -> Draws:
        answers = {name: fit.do(**do).mean(name).draws.numpy() for name in outcomes}
        for name, value in answers.items():
            if value.ndim != 1:
                raise ValueError(f"stat.interventions: expected one mean of {name}, got {value.shape[1:]}: set one row")
        return {f"E[{name} | do({_settings(do)})]": value for name, value in answers.items()}

    def true_values(fit: Fit, truth: Truth) -> dict[str, float]:
        answer = predicted(Fit.from_greeks(fit.model, truth))
        return {name: float(value[0]) for name, value in answer.items()}

    return _errors(fit_list, truths, predicted, true_values, seed)


def _errors(
    fits: list[Fit],
    truths: list[Truth],
    estimates: Callable[[Fit], Draws],
    true_values: Callable[[Fit, Truth], dict[str, float]],
    seed: int,
) -> Errors:
    if len(fits) == 1:
        return _of_draws(fits[0], estimates(_with_draws(fits[0], seed)), true_values(fits[0], truths[0]))
    rows = []
    for fit, truth in zip(fits, truths, strict=True):
        expected = true_values(fit, truth)
        rows.append({name: float(draws.mean()) - expected[name] for name, draws in estimates(fit).items()})
    names = tuple(rows[0])
    errors = np.array([[row[name] for name in names] for row in rows])
    if not np.isfinite(errors).all():
        raise StatisticalFailure(f"an estimate is not finite in {(~np.isfinite(errors)).any(1).sum()} fits")
    sizes = np.array([abs(value) for value in true_values(fits[0], truths[0]).values()])
    is_known = (np.ptp(errors, 0) == 0) & (np.abs(errors[0]) <= NEGLIGIBLE * (1 + sizes))
    return errors_of_fits(_uncertain(names, is_known), errors[:, ~is_known])


def _of_draws(fit: Fit, draws: Draws, truth: dict[str, float]) -> Errors:
    names = tuple(draws)
    errors = np.array([float(draws[name].mean()) - truth[name] for name in names])
    spread = np.array([float(draws[name].std(ddof=1)) for name in names])
    sizes = np.array([abs(truth[name]) for name in names])
    is_known = (spread <= NEGLIGIBLE * sizes) & (np.abs(errors) <= NEGLIGIBLE * (1 + sizes))
    uncertain = _uncertain(names, is_known)
    chains = fit.num_chains if fit.num_draws > 1 else 1
    ess = np.array([_ess(draws[name], chains) for name in uncertain])
    return errors_of_draws(uncertain, errors[~is_known], spread[~is_known], ess)


def _uncertain(names: tuple[str, ...], is_known: Array) -> tuple[str, ...]:
    """The entries that can be judged: a known number is not, where it is as it should be."""
    if is_known.all():
        raise ValueError(f"{', '.join(names)} do not vary, so there is nothing to judge")
    return tuple(name for name, known in zip(names, is_known, strict=True) if not known)


def _ess(draws: Array, num_chains: int) -> float:
    if np.ptp(draws) == 0:
        return float(len(draws))
    estimate = Estimate(torch.from_numpy(np.ascontiguousarray(draws)), num_chains)
    return min((float(estimate.sd) / estimate.mcse) ** 2, float(len(draws)))


def _with_draws(fit: Fit, seed: int) -> Fit:
    if fit.num_draws > 1:
        return fit
    try:
        return fit.laplace(seed=seed)
    except (EstimationError, ValueError) as problem:
        raise StatisticalFailure(
            f"one fit of kind {fit.kind!r} is judged by its spread, and it has none: {problem} "
            "Give a fit with draws, or several fits"
        ) from None


def _fits(fits: Any) -> list[Fit]:
    fit_list = [fits] if isinstance(fits, Fit) else list(fits) if isinstance(fits, Sequence) else []
    if not fit_list or not all(isinstance(fit, Fit) for fit in fit_list):
        raise TypeError(f"fit_or_fits: expected a fit, or a list of fits, got {fits!r}")
    return fit_list


def _truths(truth: Truth | Sequence[Truth], count: int) -> list[Truth]:
    truths = [truth] * count if isinstance(truth, Mapping) else list(truth) if isinstance(truth, Sequence) else []
    if len(truths) != count or not all(isinstance(greeks, Mapping) for greeks in truths):
        raise TypeError(f"truth: expected Greeks by name, one mapping or {count}, got {truth!r}")
    return truths


def _names(fit: Fit, truth: Truth, names: Sequence[str] | None) -> list[str]:
    chosen = list(fit.draws) if names is None else [names] if isinstance(names, str) else list(names)
    unknown = [name for name in chosen if name not in fit.draws]
    missing = [name for name in chosen if name not in truth]
    if unknown or not chosen:
        raise ValueError(f"names: expected Greeks among {list(fit.draws)}, got {chosen}")
    if missing:
        raise ValueError(f"truth: expected {', '.join(missing)} as well (it has {list(truth)}), or names=[...]")
    return chosen


def _shaped(name: str, truth: Truth, shape: tuple[int, ...]) -> Array:
    array = as_array(f"truth[{name!r}]", np.ravel(truth[name]))
    if array.size != math.prod(shape):
        raise ValueError(f"truth[{name!r}]: expected shape {shape}, got {np.shape(truth[name])}")
    return array.reshape(shape)


def _outcomes(fit: Fit, do: Mapping[str, Any]) -> list[str]:
    if not fit.model.variables:
        raise ValueError("outcome: expected the name of a site: a Pyro program does not say which are outcomes")
    outcomes = [name for name, column in fit.model.variables.items() if name not in do and column.num_columns is None]
    if not outcomes:
        raise ValueError(f"do: no scalar variable is left to predict under do({_settings(do)})")
    return outcomes


def _settings(do: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in do.items())
