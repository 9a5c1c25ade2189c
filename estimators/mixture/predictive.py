"""p(x | do(...), seen ...) of a mixture, by the truncated factorisation, for every draw of the Greeks at once."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, ClassVar

import pyro.distributions as dist
import torch
from torch import Tensor

from estimators.contract import Answer, Variable
from estimators.data.data import LATENT
from estimators.data.units import UNIT
from estimators.estep.marginal import num_sets
from estimators.isolation import isolated, without_validation
from estimators.mixture.averages import (
    LogOf,
    Total,
    density_of_open,
    log_cdf_of,
    mean_in,
    over_all_draws,
    probability_in,
    total_of,
)
from estimators.mixture.covariates import CovariateRows
from estimators.mixture.drawn_rows import along_axis, at_once, drawn_rows
from estimators.mixture.earlier_rows import earlier_rows
from estimators.mixture.integration import has_open, is_evidence, weigh
from estimators.mixture.program import MixtureProgram
from estimators.mixture.settings import check_values
from estimators.mixture.situation import Setting, Situation, is_per_row
from estimators.parameters.laws import (
    cdf_of_whole,
    has_cdf,
    has_mean,
    is_integer,
    log_prob_of,
    log_prob_of_law,
    mean_of_law,
    says_mean,
)


@dataclass(frozen=True, eq=False)
class MixturePredictive:
    """What is asked of a mixture: mixtures over draws, Z and the unset discrete causes, Gaussian causes integrated out.

    Where several continuous settings matter to an answer, or one whose density cannot be integrated, 2,000 values are
    drawn, with random numbers of ``seed``, and each is weighed by p(seen | value).
    """

    model: MixtureProgram
    draws: Mapping[str, Tensor]
    settings: Mapping[str, Setting]
    seen: Mapping[str, Tensor] = field(default_factory=dict)
    seed: int = 0
    covariate_rows: CovariateRows | None = None
    # log p(Z = k | earlier rows of the unit) [S, U, K], where these are given.
    log_latent: Tensor | None = None

    @property
    def num_draws(self) -> int:
        return num_sets(self.draws)

    @cached_property
    def variables(self) -> dict[str, Variable]:
        return self.model.row_variables

    has_common_numbers: ClassVar[bool] = False
    hidden: ClassVar[tuple[str, ...]] = (LATENT,)

    @property
    def known(self) -> dict[str, Setting]:
        """What is set, and what is seen."""
        return {**self.settings, **self.seen}

    @property
    def rows(self) -> dict[str, int]:
        rows = {name: len(value) for name, value in self.known.items() if is_per_row(self.model, name, value)}
        num_units = 1 if self.log_latent is None else self.log_latent.shape[1]
        return rows if num_units == 1 else {UNIT: num_units, **rows}

    def above(self, name: str) -> list[str]:
        return self._first.above([name])

    def given(self, seen: Mapping[str, Any]) -> "MixturePredictive":
        if UNIT in seen:
            return self._given_unit(seen)
        known = check_values(self.model, seen, "given")
        # To see a covariate is to set it, since rows are conditioned on it, and to average over those that have it.
        held = {name: value for name, value in known.items() if name in self.model.covariates}
        settings, more = {**self.settings, **held}, {name: value for name, value in known.items() if name not in held}
        rows = None if self.covariate_rows is None else self.covariate_rows.given(held, settings, self.variables)
        return replace(self, settings=settings, seen={**self.seen, **more}, covariate_rows=rows)

    def _given_unit(self, seen: Mapping[str, Any]) -> "MixturePredictive":
        """The same of the next row of a unit, or of each of several, whose earlier rows are given."""
        if self.log_latent is not None:
            raise ValueError("given: earlier rows of the unit are given already; give all of them at once")
        others = {name: value for name, value in seen.items() if name != UNIT}
        known = {*self.known, *others}
        shared, latent = earlier_rows(self.model, self.draws, seen[UNIT], known, self.covariate_rows)
        # The next row's covariates are its own, and not those of any row that was fitted.
        settings = {**self.settings, **shared}
        return replace(self, settings=settings, covariate_rows=None, log_latent=latent).given(others)

    def mean(self, name: str) -> Answer:
        mean = None if (law := self._own_law(name)) is None else mean_of_law(law)
        if mean is not None:
            return Answer(mean.expand(self.num_draws, *self._by_row))
        _check_mean(self._first, name)
        if law is not None and has_cdf(law) and not says_mean(law):
            raise NotImplementedError(f"mean: {name} is set to {law}, which does not say its mean; use .sample()")
        answer = _averaged(partial(mean_in, name=name, seed=self.seed), self._situations, self._by_row)
        _check_numbers(self.settings, answer.values, f"mean: the mean of {name} is not a number")
        return answer

    @without_validation()
    def probability(self, name: str, value: float) -> Answer:
        if (law := self._own_law(name)) is not None:
            share = log_prob_of_law(law, torch.tensor([value], dtype=torch.float64)).exp()
            return Answer(share.expand(self.num_draws, *self._by_row))
        at_value = partial(probability_in, name=name, value=value, seed=self.seed)
        answer = _averaged(at_value, self._situations, self._by_row)
        _check_numbers(self.settings, answer.values, f"probability: that of {name} = {value:g} is not a number")
        return answer

    @without_validation()
    def log_density(self, name: str, points: Tensor) -> Answer:
        law = self._own_law(name)
        total = self._total(name, points, log_prob_of) if law is None else Total(log_prob_of_law(law, points))
        _check_numbers(self.settings, total.log, f"log_density: the density of {name} is not a number", points)
        return Answer(total.log, total.error)

    def cdf(self, name: str, points: Tensor) -> Answer:
        law = self._own_law(name)
        sums = cdf_of_whole(law, points) if law is not None and len(points) and is_integer(law) else None
        if sums is not None:
            return Answer(sums)
        total = self._total(name, points, log_cdf_of)
        _check_numbers(self.settings, total.log, f"cdf: the CDF of {name} is not a number", points)
        values, error = total.log.exp().clamp(0.0, 1.0), total.error
        return Answer(values, None if error is None else error * values)

    def cdf_at(self, name: str) -> Callable[[float], Answer]:
        # What is drawn depends on the seed alone: it is the same at every point.
        return lambda point: self.cdf(name, torch.tensor([point], dtype=torch.float64))

    def levels(self, name: str) -> Tensor | None:
        levels = self._first.levels(name)
        return None if levels is None else levels.sort().values

    def is_whole(self, name: str) -> bool:
        return self._first.is_integer_valued(name)

    def bracket(self, name: str, level: float) -> tuple[float, float]:
        """From the smallest to the largest of the components' own quantiles, between which that of all of them lies."""
        law = self._own_law(name)
        if law is not None:
            return _around(law, level)
        joints = [weigh(situation, name, None, self.seed).joint for situation in self._situations]
        low, high = zip(*(_around(joint.component(name), level) for joint in joints), strict=True)
        return min(low), max(high)

    def sample(self, num_rows: int) -> dict[str, Tensor]:
        return drawn_rows(self, self._first, num_rows)

    # ---------------------------------------------------------------- inside

    @property
    def _by_row(self) -> tuple[int, ...]:
        """The axis of rows of an answer, where values are per row."""
        return (self._first.num_rows,) if self.rows else ()

    def _situation(self, which: slice) -> Situation:
        """The situation at some draws of the Greeks."""
        settings, seen = (along_axis(self.model, values, 1) for values in (self.settings, self.seen))
        draws = {name: value[which] for name, value in self.draws.items()}
        latent = None if self.log_latent is None else self.log_latent[which]
        return Situation(self.model, draws, settings, seen, covariate_rows=self.covariate_rows, log_latent=latent)

    @cached_property
    def _first(self) -> Situation:
        """The situation at the first draw, for questions whose answers are the same at every draw."""
        return self._situation(slice(1))

    @property
    def _situations(self) -> Iterable[Situation]:
        """The situation at the draws of the Greeks, as many at a time as there is room for."""
        if (step := self._draws_at_once) >= self.num_draws:
            return [self._whole]
        return (self._situation(slice(start, start + step)) for start in range(0, self.num_draws, step))

    @cached_property
    def _draws_at_once(self) -> int:
        return at_once(self._first, self._first.num_rows * (2_000 if has_open(self._first) else 8))

    @cached_property
    def _whole(self) -> Situation:
        """The situation at all draws, which keeps what the next question of it needs again."""
        return self._situation(slice(None))

    def _own_law(self, name: str) -> Any:
        """The distribution that a variable is set to, where nothing that is seen informs about it, else None."""
        if name in self.model.covariates and name not in self.settings:
            why = "is a covariate: rows are conditioned on it, so that it has no mean, density or quantiles"
            raise ValueError(f"{name} {why}; give it a mechanism, or set it, do({name}=...)")
        law = self._first.laws.get(name)
        if law is None or name in self._first.above(list(self.seen)):
            return None
        # What is seen may be impossible all the same.
        for situation in self._situations if self.seen else []:
            weigh(situation, None, None, self.seed)
        return law

    def _total(self, name: str, points: Tensor, log_of: LogOf) -> Total:
        """The log of the mean over draws of a function of the components, given as its log."""
        if not len(points):
            return Total(torch.zeros(0, dtype=torch.float64))
        totals = []
        with without_validation():
            for situation in self._situations:
                names = situation.above([name, *self.seen])
                if log_of is log_prob_of and is_evidence(situation, names, name):
                    totals.append(density_of_open(situation, name, points, self.seed))
                else:
                    totals.append(total_of(situation, name, points, log_of, self.seed))
        total = over_all_draws(totals)
        return replace(total, log=total.log - float(torch.tensor(self.num_draws, dtype=torch.float64).log()))


def _averaged(
    average: Callable[[Situation], tuple[Tensor, Tensor | None]], situations: Iterable[Situation], rows: tuple[int, ...]
) -> Answer:
    """An average [S, R, ...] of some draws at a time, and its error, of all draws; R is 1 where no row differs."""
    values, errors = zip(*map(average, situations), strict=True)
    of_draws = [torch.cat(values), *([] if errors[0] is None else [torch.cat(errors)])]
    if not rows:
        return Answer(*(each[:, 0] for each in of_draws))
    return Answer(*(each.expand(-1, *rows, *each.shape[2:]) for each in of_draws))


def _check_mean(situation: Situation, name: str) -> None:
    """Raise a ValueError where a setting without a mean carries over to the variable, and nothing seen holds it."""
    informed = situation.above(list(situation.seen))
    for cause in situation.above([name]):
        law = situation.laws.get(cause)
        if law is not None and cause not in informed and not has_mean(law):
            raise ValueError(
                f"mean: {name} has no finite mean where {cause} is set to {law}; ask for quantiles, or set "
                "another distribution"
            )


def _check_numbers(settings: Mapping[str, Setting], answer: Tensor, words: str, points: Tensor | None = None) -> None:
    """Raise a ValueError where an answer is NaN, as it is where the formulas of a law that is set are."""
    if bool(torch.isnan(answer).any()):
        where = "" if points is None else f" at {points[torch.isnan(answer)][0].tolist()}"
        laws = [f"{name} ~ {law}" for name, law in settings.items() if not isinstance(law, Tensor)]
        under = f" under {', '.join(laws)}" if laws else ""
        raise ValueError(
            f"{words}{where}{under}; expected formulas that are numbers wherever they are asked: set values or "
            "other distributions, or use .sample()"
        )


def _around(component: Any, level: float) -> tuple[float, float]:
    """The smallest and the largest quantile of components; of those that do not say theirs, of ten draws."""
    try:
        is_delta = isinstance(component, dist.Delta)
        near = component.v if is_delta else component.icdf(torch.tensor(level, dtype=torch.float64))
    except NotImplementedError:
        with isolated(0):
            near = component.sample(torch.Size([10])).double()
    return float(near.min()), float(near.max())
