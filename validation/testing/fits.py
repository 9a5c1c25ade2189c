"""Fits against their truth: which judgement is made of them, and by what their errors are measured."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from estimators import Estimate, Fit
from validation.statistics.arguments import Array
from validation.statistics.check import Check, Message, Requirement
from validation.statistics.efficiency import efficiency_check
from validation.statistics.likelihood_ratio import ratio_check
from validation.statistics.tails import tails_check
from validation.testing.efficient import efficient_sds, named_sds
from validation.testing.one_fit import drop_to
from validation.testing.quantities import GreekEntries, PredictedMeans, Quantities, Truth

NEGLIGIBLE = 1e-9  # of its size: an entry as far from its truth as this, and without spread, is a known number


class Fits:
    """Fits with their truths, and by what their errors are measured: `rows` that were meant, or a `unit`."""

    def __init__(self, fits: Any, truth: Any, *, rows: Any = None, unit: Any = None) -> None:
        self.fits = _fits(fits)
        self.truths = _truths(truth, len(self.fits))
        self.rows, self.unit = rows, unit
        if rows is not None and unit is not None:
            raise ValueError(f"unit: expected rows or a unit, got rows={rows!r} and unit={unit!r}")
        if rows is None and unit is None and len(self.fits) > 1:
            raise ValueError(
                f"rows: expected what each of the {len(self.fits)} fits was to be made of, rows=500 or the data sets, "
                "or how large errors may be, unit={'mu_X': 0.3}; got neither. Errors of several fits are measured in "
                "sds of an efficient estimator of the rows that the test means. The fits cannot be asked: one that has "
                "used 1 row in 25 would be held to no more than that"
            )

    def entries(self, names: Sequence[str] | None) -> Quantities:
        """Every entry of the Greeks (`names`: of these)."""
        return GreekEntries.chosen(self.fits[0], self.truths[0], names)

    def means(self, do: Mapping[str, Any], outcome: str | None) -> Quantities:
        """E[outcome | do(...)], of one outcome or of all."""
        return PredictedMeans.chosen(self.fits[0], do, outcome)

    def check(self, kind: str, asked: Quantities, requirement: Requirement, seed: int) -> Check:
        """Judge what is asked of the fits; raises TypeError or ValueError for what cannot be, with what to do."""
        if self.rows is not None or self.unit is not None:
            return self._of_errors(kind, asked, requirement, seed)
        if self.fits[0].num_draws > 1:
            return self._of_draws(kind, asked, requirement, seed)
        return self._of_likelihood(kind, self.fits[0], asked, requirement, seed)

    def _of_errors(self, kind: str, asked: Quantities, requirement: Requirement, seed: int) -> Check:
        pairs = list(zip(self.fits, self.truths, strict=True))
        true = [asked.true(fit, truth) for fit, truth in pairs]
        names = tuple(true[0])
        estimates = [{name: draws.mean() for name, draws in asked.of(fit).items()} for fit in self.fits]
        errors = np.array(
            [[mine[name] - known[name] for name in names] for mine, known in zip(estimates, true, strict=True)]
        )
        errors = np.where(np.isnan(errors), np.inf, errors)
        if self.unit is None:
            sds = efficient_sds(self.fits, self.truths, asked, self.rows, seed)
        else:
            sds = named_sds(asked, names, self.unit, len(pairs))
        sizes = NEGLIGIBLE * (1 + np.abs([list(known.values()) for known in true]))
        sds, errors = np.where(sds <= sizes, 0.0, sds), np.where(np.abs(errors) <= sizes, 0.0, errors)
        kept = _uncertain(names, ((sds == 0) & (errors == 0)).all(0))
        which = [names.index(name) for name in kept]
        unit = "efficient sds" if self.unit is None else "the units named"
        return efficiency_check(
            kind, errors[:, which], sds[:, which], kept, requirement, subject=asked.subject, unit=unit
        )

    def _of_draws(self, kind: str, asked: Quantities, requirement: Requirement, seed: int) -> Check:
        """Judge draws by their tails and by the likelihood at their mean: they fail where both refuse the truth."""
        fit, true = self.fits[0], asked.true(self.fits[0], self.truths[0])
        draws = asked.of(fit)
        is_known = np.array([_is_known(draws[name], true[name]) for name in true])
        names = _uncertain(tuple(true), is_known)
        ess = {name: _ess(draws[name], fit.num_chains) for name in names}
        kept = {name: draws[name] for name in names}
        check = tails_check(kind, kept, true, ess, requirement, subject=asked.subject)
        if fit.data is None:
            return check
        mean = replace(
            fit, draws={name: value.mean(0, keepdim=True) for name, value in fit.draws.items()}, num_chains=1
        )
        by_rows = self._of_likelihood(kind, mean, asked, requirement, seed)
        return replace(
            check,
            p_value=max(check.p_value, by_rows.p_value),
            detectable=max(check.detectable, by_rows.detectable),
            message=replace(check.message, note=f"{check.message.note}; {by_rows.message.distance}"),
        )

    def _of_likelihood(self, kind: str, fit: Fit, asked: Quantities, requirement: Requirement, seed: int) -> Check:
        truth = self.truths[0]
        true = asked.true(fit, truth)
        errors = {name: float(values[0]) - true[name] for name, values in asked.of(fit).items()}
        drop = drop_to(fit, truth, asked, seed)
        order = sorted(errors, key=lambda name: -abs(errors[name]))
        listed = ", ".join(f"{name} {errors[name]:+.4g}" for name in order[:4])
        what = "log joint density" if fit.uses_prior else "log-likelihood"
        message = Message(
            f"{asked.subject} at the truth",
            f"{order[0]} off by {errors[order[0]]:+.4g} in one fit",
            f"a fall of the {what} by {drop.nats:.4g} between its maximum and the truth, or the fit, where "
            f"{drop.factor * drop.freedom / 2:.3g} is to be expected",
            "one fit",
            f"furthest: {listed}" + (f", of {len(errors)}" if len(errors) > 4 else ""),
        )
        return ratio_check(kind, drop.nats, drop.freedom, drop.factor, requirement, message, num_entries=len(errors))


def _is_known(draws: Array, truth: float) -> bool:
    error, spread = abs(float(draws.mean()) - truth), float(draws.std(ddof=1))
    return spread <= NEGLIGIBLE * abs(truth) and error <= NEGLIGIBLE * (1 + abs(truth))


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


def _fits(fits: Any) -> list[Fit]:
    fit_list = [fits] if isinstance(fits, Fit) else list(fits) if isinstance(fits, Sequence) else []
    if not fit_list or not all(isinstance(fit, Fit) for fit in fit_list):
        raise TypeError(f"fit_or_fits: expected a fit, or a list of fits, got {fits!r}")
    return fit_list


def _truths(truth: Any, count: int) -> list[Truth]:
    truths = [truth] * count if isinstance(truth, Mapping) else list(truth) if isinstance(truth, Sequence) else []
    if len(truths) != count or not all(isinstance(greeks, Mapping) for greeks in truths):
        raise TypeError(f"truth: expected Greeks by name, one mapping or {count}, got {truth!r}")
    return truths
