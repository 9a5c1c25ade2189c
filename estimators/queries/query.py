"""Questions to a fit: what a model says under an intervention, or when something is seen."""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor

from estimators.checks import check_level, check_seed, did_you_mean, what_came
from estimators.contract import Answer, Predictive
from estimators.data.columns import check_same_rows
from estimators.data.units import UNIT
from estimators.data.values import numbers
from estimators.data.words import LINE, cut
from estimators.isolation import isolated, own_modes
from estimators.queries.estimate import Estimate
from estimators.queries.evaluations import Evaluations
from estimators.queries.labels import Labels
from estimators.queries.prediction import AtRivals, Prediction
from estimators.queries.quantiles import quantile_of, whole_quantile_of
from estimators.queries.source import (
    Asked,
    Origin,
    Source,
    mean_of,
    predicted_mean,
    predicted_probability,
    probability_of,
    seeing,
)

# A sum of probabilities this close to a level, relative to it, has reached it: the difference is rounding.
ROUNDING = 1e-12


@dataclass(frozen=True, eq=False, repr=False)
class Query:
    """What the model says under an intervention, or when something is seen, for each draw of the Greeks.

    Under ``do(...)`` a variable keeps nothing of its own mechanism (a program goes through `pyro.do`); what is *seen*,
    after what is set, informs about everything above it: hidden sites, the unset causes, and what was set at random.
    Hidden and other discrete causes are summed over, Gaussian causes of a mixture integrated out; densities, CDFs and
    quantiles are of the predictive distribution, over all draws.

    A setting may be a number, one per row, or a Pyro distribution (a stochastic intervention). In a mixture this is
    exact where it is discrete or Normal, and by quadrature where one other continuous setting matters to the answer.
    What has to be simulated (several of these, and continuous sites of a program) is weighed by p(seen | value), and
    the answer states its standard error (`Estimate.error`, `Prediction.error`). Where a program takes columns as
    arguments, answers are averages over the fitted rows', each in proportion to p(what is seen | row).
    """

    predictive: Predictive
    num_chains: int
    labels: Labels
    # The same question at other Greeks, and the fit that was asked.
    anew: Asked
    origin: Origin
    # What it was asked with, as it was given: a later value must belong to the same rows.
    asked: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(set((sizes := self.predictive.rows).values())) > 1:
            raise ValueError(f"expected as many values of each variable, got {dict(sizes)}")

    def __repr__(self) -> str:
        words: dict[str, list[str]] = {"do": [], "given": []}
        for name, value in self.asked.items():
            words["given" if name in {UNIT, *self.predictive.seen} else "do"].append(f"{name}={value!r}")
        calls = [f"{call}({', '.join(said)})" for call, said in words.items() if said]
        return cut(f"Query({' '.join(calls)}; ask for mean, probability, cdf, quantile, log_density or sample)", LINE)

    @own_modes()
    def given(self, /, **seen: Any) -> "Query":
        """The same question where something is also seen, after the intervention: ``fit.do(T=1).given(W=0)``.

        ``given(unit=rows)`` asks of the next row of a unit, or of each of several: their earlier rows tell of Z.
        """
        if not seen:
            raise ValueError("given: expected at least one setting, e.g. given(Z=1)")
        return self.where(seen)

    def where(self, seen: Mapping[str, Any]) -> "Query":
        """The same of a mapping, which may be empty."""
        check_same_rows([(name, one) for name, one in (*self.asked.items(), *seen.items()) if name != UNIT], "given")
        _check_unknown(self, seen)
        known = self.labels.numbered("given", seen)
        if UNIT in known and UNIT not in self.predictive.variables:
            known[UNIT] = self.origin.rows(known[UNIT])
        self.labels.warn_of(known)
        if not seen:
            return self
        anew, asked = partial(seeing, self.anew, known), {**self.asked, **seen}
        return replace(self, predictive=self.predictive.given(known), anew=anew, asked=asked)

    @own_modes()
    def mean(self, name: str) -> Estimate:
        """E[name | do(...)] for every draw, as an Estimate of draws [S] ([S, rows] for settings per row).

        Of two levels it is the probability of the second, of levels in order the mean of their ranks 0 to L - 1. Raises
        ValueError for three or more labels, or levels with names in no order: ask for the `probability` of each.
        """
        self._check_variable(name)
        self.labels.need_mean(name, "mean", f"ask for a level, .probability({name!r}, ...) or effect(..., event=...)")
        if name in self.predictive.hidden and (self.predictive.variables[name].num_levels or 0) > 2:
            raise ValueError(
                f"mean: {name} has labels, whose numbers have no mean; ask for one, .probability({name!r}, 1)"
            )
        values, error = predicted_mean(self.predictive, name)
        if bool((is_infinite := torch.isinf(values).reshape(len(values), -1).any(1)).any()):
            where = f" under {int(is_infinite.sum())} of {len(values)} draws of the Greeks" if len(values) > 1 else ""
            raise ValueError(
                f"mean: {name} has no finite mean{where}, or one that rests on values of its causes that hardly occur; "
                "ask for quantiles, or set the causes"
            )
        return Estimate(values, self.num_chains, error, Source(partial(mean_of, self.anew, name), self.origin))

    @own_modes()
    def probability(self, name: str, value: Any) -> Estimate:
        """P(name = value | do(...)) for every draw, as `mean`: ``do(T=1).probability("Y", "severe").interval(0.9)``.

        Of a level or a label, by name or number, or a count. ValueError for what is none, and a continuous variable.
        """
        self._check_variable(name)
        number = number_of_value(self, "probability", name, value)
        values, error = predicted_probability(self.predictive, name, number)
        asked = partial(probability_of, self.anew, name, number)
        return Estimate(values, self.num_chains, error, Source(asked, self.origin))

    @own_modes()
    def log_density(self, name: str, at: Any) -> Prediction:
        """log p(name = at | do(...)), averaged over draws on the density scale; the shape of `at` (less D)."""
        self._check_law(name, "log_density")
        points, shape = self._points(name, at, "log_density", is_allowed=torch.isfinite)
        answer, ask = self.predictive.log_density(name, points), partial(Query.log_density, name=name, at=deepcopy(at))
        return _stated(self, ask, answer, shape)

    @own_modes()
    def cdf(self, name: str, at: Any) -> Prediction:
        """P(name <= at | do(...)), averaged over draws; the shape of `at`, which may be infinite."""
        self._check_number(name, "cdf")
        points, shape = self._points(name, at, "cdf", is_allowed=_is_number)
        return _stated(self, partial(Query.cdf, name=name, at=deepcopy(at)), self.predictive.cdf(name, points), shape)

    @own_modes()
    def quantile(self, name: str, level: Any) -> Prediction:
        """The smallest value that a share `level` in (0, 1) of p(name | do(...)) does not exceed.

        Its error is half of how far it moves over levels within one standard error of the CDF. Raises EstimationError
        where no finite value is.
        """
        levels = numbers("level", level)
        for share in (shares := levels.reshape(-1).tolist()):
            check_level(share)
        self._check_number(name, "quantile")
        cdf = Evaluations(self.predictive.cdf_at(name))
        roots = [self._quantile(name, share, cdf) for share in shares]
        values = torch.tensor([value for value, _ in roots], dtype=torch.float64)
        errors = [error for _, error in roots if error is not None]
        found = Answer(values, torch.tensor(errors, dtype=torch.float64) if errors else None)
        return _stated(self, partial(Query.quantile, name=name, level=levels), found, levels.shape)

    @own_modes()
    def sample(self, num_rows: int, seed: int | None = None) -> dict[str, Tensor]:
        """Draw rows from p(· | do(...)) with `pyro.do`, each row with Greeks from a draw of the fit's own.

        Returns every variable [num_rows, ...] but hidden ones, and these too where something was seen, drawn from
        p(hidden | seen); labels and levels are numbers, also where they have names. Settings per row must have this
        length. Of a mixture, draws given what is seen are exact where answers are in closed form, and by the inverse
        CDF of the quadrature where they need one; where an answer states an error, they are resampled from up to
        100,000 draws. Columns that a program takes are those of a fitted row, drawn in proportion to p(seen | row).
        """
        _check_num_rows(self.predictive, num_rows)
        with isolated(check_seed(seed)):
            rows = self.predictive.sample(int(num_rows))
        hidden = () if self.predictive.seen or UNIT in self.asked else self.predictive.hidden
        return {name: column for name, column in rows.items() if name not in hidden}

    # ---------------------------------------------------------------- inside

    def _check_variable(self, name: str) -> None:
        if name not in list(self.predictive.variables):
            variables = list(self.predictive.variables)
            raise ValueError(f"expected a variable among {variables}, got {name!r}{did_you_mean(name, variables)}")
        self.labels.warn_of({name})

    def _check_law(self, name: str, call: str) -> None:
        """Raise an error where a variable has no density, CDF or quantiles of its own."""
        self._check_variable(name)
        if isinstance({**self.predictive.settings, **self.predictive.seen}.get(name), Tensor):
            how = "set" if name in self.predictive.settings else "seen"
            raise ValueError(f"{call}: {name} is {how}, so it has no density")
        if per_row := list(self.predictive.rows):
            raise ValueError(f"{call}: expected one value of {per_row[0]}, got one per row; ask for each value in turn")

    def _check_number(self, name: str, call: str) -> None:
        """Raise an error also where its values are vectors, which have no order."""
        self._check_law(name, call)
        if self.predictive.variables[name].num_columns is not None:
            raise NotImplementedError(f"{call}: {name} is a column of vectors; use .mean or .sample")

    def _points(
        self, name: str, at: Any, call: str, is_allowed: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, torch.Size]:
        """The points of a question as [P] or [P, D], and the shape of its answer."""
        points = numbers(call, self.labels.numbered(call, {name: at})[name])
        width = self.predictive.variables[name].num_columns
        if not bool(is_allowed(points).all()):
            raise ValueError(f"{call}: expected finite values, got {points.tolist()}")
        own = 0 if width is None else 1
        if own and (points.ndim < 1 or points.shape[-1] != width):
            raise ValueError(f"{call}: {name} expects points of {width} numbers, got shape {tuple(points.shape)}")
        shape = points.shape[: points.ndim - own]
        return points.reshape(shape.numel(), *points.shape[points.ndim - own :]), shape

    def _quantile(self, name: str, level: float, cdf: Evaluations) -> tuple[float, float | None]:
        root = self._root(name, level, cdf)
        error = cdf.error(root)
        if error is None:
            return root, None
        low, high = max(level - error, 0.5 * level), min(level + error, 0.5 * (1.0 + level))
        if not low < high:
            return root, 0.0
        return root, (self._root(name, high, cdf) - self._root(name, low, cdf)) / (high - low) * error

    def _root(self, name: str, level: float, cdf: Evaluations) -> float:
        levels = self.predictive.levels(name)
        if levels is not None:
            values: list[float] = levels.tolist()
            # The last value is never asked: rounding may keep the sum of all probabilities below a level near 1.
            return values[bisect_left(values[:-1], level * (1.0 - ROUNDING), key=cdf)]
        near = cdf.bracket(level) or self.predictive.bracket(name, level)
        find = whole_quantile_of if self.predictive.is_whole(name) else quantile_of
        return find(cdf, level, near, name)


def number_of_value(query: Query, call: str, name: str, value: Any) -> float:
    """One value of a variable with levels, or of whole numbers, by number; ValueError or TypeError for anything else.

    Of what is set to a value, or seen, any number is one that it might have been.
    """
    predictive, labels = query.predictive, query.labels
    levels, is_whole = predictive.levels(name), predictive.is_whole(name)
    is_known = isinstance({**predictive.settings, **predictive.seen}.get(name), Tensor)
    if predictive.variables[name].num_columns is not None:
        raise ValueError(f"{call}: {name} is a column of vectors; ask for its mean, or sample and count")
    if levels is None and not (is_whole or is_known):
        raise ValueError(
            f"{call}: {name} is continuous, so that no value of it has a probability of its own; ask for its cdf, or "
            "its log_density"
        )
    known = labels.numbered(call, {name: value})[name] if isinstance(value, str) else value
    if isinstance(known, str | Mapping) or np.ndim(known) > 0:
        raise TypeError(f"{call}: expected one value of {name}, got {what_came(value)}")
    number = float(numbers(call, known))
    is_value = number.is_integer() or not is_whole if levels is None else number in levels.tolist()
    if is_value:
        return number
    names = labels.by_variable.get(name)
    allowed = "whole numbers" if levels is None else levels.tolist()
    if names is not None:
        allowed = f"{list(names)}, or 0 to {len(names) - 1},"
    raise ValueError(f"{call}: {name} has {allowed} for values, got {what_came(value)}")


def _check_unknown(query: Query, seen: Mapping[str, Any]) -> None:
    for name in seen:
        if name in query.predictive.settings:
            how = "set by do(...)" if name in query.asked else "that of the unit whose rows are given"
            raise ValueError(f"given: {name} is {how}, so it cannot be seen as well")
        if name in query.predictive.seen:
            raise ValueError(f"given: {name} is seen already; ask the question anew for another value")


def _check_num_rows(predictive: Predictive, num_rows: object) -> None:
    if isinstance(num_rows, bool) or not isinstance(num_rows, Integral) or num_rows < 1:
        raise ValueError(f"sample: expected a positive number of rows, got {num_rows!r}")
    for name, size in predictive.rows.items():
        if size != num_rows:
            call = "do" if name in predictive.settings else "given"
            raise ValueError(f"sample: {call}({name}=...) has {size} values, but {num_rows} rows were asked for")


def _is_number(points: Tensor) -> Tensor:
    return ~torch.isnan(points)


def _stated(query: Query, ask: Callable[[Query], Prediction], answer: Answer, shape: torch.Size) -> Prediction:
    """An answer in its shape, which knows what is to be asked at the fit's rivals."""
    error = None if answer.error is None else answer.error.reshape(shape)
    return Prediction.of(answer.values.reshape(shape), error, partial(_at_rivals, query, ask, shape))


def _at_rivals(query: Query, ask: Callable[[Query], Prediction], shape: torch.Size) -> AtRivals:
    """The answers [R, ...] at the other modes that count."""
    found = query.origin.rivals()
    greeks = found.greeks
    if greeks is None:
        return AtRivals(torch.zeros((0, *shape), dtype=torch.float64), (), found.is_open)
    each = [{name: value[r : r + 1] for name, value in greeks.items()} for r in range(len(found.are_open))]
    answers = [ask(replace(query, predictive=query.anew(one))).as_subclass(Tensor) for one in each]
    return AtRivals(torch.stack(answers), found.are_open, found.is_open)
