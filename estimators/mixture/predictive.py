"""p(x | do(...), seen ...) of a mixture, by the truncated factorisation, for every draw of the Greeks at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor

from estimators.contract import Answer, Variable
from estimators.data.data import LATENT
from estimators.estep.weights import WEIGHTS
from estimators.isolation import isolated, without_validation
from estimators.mixture.averages import LogOf, Total, added, density_of_open, log_cdf_of, log_prob_of, mean_of, total_of
from estimators.mixture.conditional_draws import MAX_ELEMENTS, draw_rows
from estimators.mixture.integration import has_open, open_variables, weigh
from estimators.mixture.program import MixtureProgram
from estimators.mixture.settings import check_values
from estimators.mixture.situation import Setting, Situation, along
from estimators.parameters.laws import (
    cdf_of_whole,
    has_cdf,
    has_mean,
    is_finite,
    is_integer,
    levels,
    log_prob_of_law,
    mean_of_law,
    says_mean,
)
from estimators.parameters.sparse import in_logs


@dataclass(frozen=True, eq=False)
class MixturePredictive:
    """What is asked of a mixture: mixtures over draws, Z and the unset discrete causes, Gaussian causes integrated out.

    Where several continuous settings matter to an answer, or one whose density cannot be integrated, 2,000 of their
    values are drawn, with random numbers of ``seed``, and each is weighed by p(seen | value).
    """

    model: MixtureProgram
    draws: Mapping[str, Tensor]
    settings: Mapping[str, Setting]
    seen: Mapping[str, Tensor] = field(default_factory=dict)
    seed: int = 0

    @property
    def num_draws(self) -> int:
        """S."""
        return len(self.draws[WEIGHTS])

    @cached_property
    def variables(self) -> dict[str, Variable]:
        """The observed variables, and Z."""
        return {**self.model.variables, LATENT: Variable(self.model.K, None)}

    has_common_numbers: ClassVar[bool] = False
    hidden: ClassVar[tuple[str, ...]] = (LATENT,)

    @property
    def rows(self) -> dict[str, int]:
        """How many values there are of each variable that is set or seen to one value per row."""
        return {name: len(value) for name, value in self._values.items() if self._has_rows(name, value)}

    def given(self, seen: Mapping[str, Any]) -> "MixturePredictive":
        """The same where more is seen."""
        return replace(self, seen={**self.seen, **check_values(self.model, seen, "given")})

    def mean(self, name: str) -> Answer:
        """E[name] for each draw, as [S, ...], or [S, rows, ...] where values are per row."""
        law, num_rows = self._own_law(name), self._situation(self.draws).num_rows
        mean = None if law is None else mean_of_law(law)
        if mean is not None:
            return Answer(mean.expand(self.num_draws, *([num_rows] if self.rows else [])))
        _check_mean(self._first, name)
        if law is not None and has_cdf(law) and not says_mean(law):
            raise NotImplementedError(f"mean: {name} is set to {law}, which does not say its mean; use .sample()")
        parts = [mean_of(weigh(self._situation(part), name, None, self.seed), name) for part in self._parts()]
        means, errors = torch.cat([mean for mean, _ in parts]), [error for _, error in parts if error is not None]
        _check_numbers(self.settings, means, f"mean: the mean of {name} is not a number")
        error = torch.cat(errors) if errors else None
        if not self.rows:
            return Answer(means[:, 0], None if error is None else error[:, 0])
        shape = (len(means), num_rows, *means.shape[2:])
        return Answer(means.expand(shape), None if error is None else error.expand(shape))

    def log_density(self, name: str, points: Tensor) -> Answer:
        """log p(name = point) as [P], averaged over draws on the density scale."""
        law, words = self._own_law(name), f"log_density: the density of {name} is not a number"
        if law is not None:
            with without_validation():
                own = log_prob_of_law(law, points)
            _check_numbers(self.settings, own, words, points)
            return Answer(own)
        total = self._total(name, points, log_prob_of)
        _check_numbers(self.settings, total.log, words, points)
        return Answer(total.log, total.error)

    def cdf(self, name: str, points: Tensor) -> Answer:
        """P(name <= point) as [P], averaged over draws."""
        law = self._own_law(name)
        summed = cdf_of_whole(law, points) if law is not None and len(points) and is_integer(law) else None
        if summed is not None:
            return Answer(summed)
        total = self._total(name, points, log_cdf_of)
        _check_numbers(self.settings, total.log, f"cdf: the CDF of {name} is not a number", points)
        values, error = total.log.exp().clamp(0.0, 1.0), total.error
        return Answer(values, None if error is None else error * values)

    def cdf_at(self, name: str) -> Callable[[float], Answer]:
        """The same at one number after another: what is drawn depends on the seed alone."""
        return lambda point: self.cdf(name, torch.tensor([point], dtype=torch.float64))

    def levels(self, name: str) -> Tensor | None:
        """The values that a variable can have, from the smallest, where they are finitely many."""
        law = self.settings.get(name)
        if law is not None:
            return levels(law).sort().values if is_finite(law) else None
        num_levels = self.variables[name].num_levels
        return None if num_levels is None else torch.arange(num_levels, dtype=torch.float64)

    def is_whole(self, name: str) -> bool:
        """Whether a variable has whole numbers for values."""
        return self._situation(self.draws).is_integer_valued(name)

    def bracket(self, name: str, level: float) -> tuple[float, float]:
        """From the smallest to the largest of the components' own quantiles, between which that of all of them lies."""
        law = self._own_law(name)
        if law is not None:
            return _around(law, level)
        near = [weigh(self._situation(part), name, None, self.seed).joint.component(name) for part in self._parts()]
        low, high = zip(*(_around(component, level) for component in near), strict=True)
        return min(low), max(high)

    def sample(self, num_rows: int) -> dict[str, Tensor]:
        """Rows [N, ...] of every variable with `pyro.do`, each with Greeks from a draw of the fit's own."""
        which = torch.randint(self.num_draws, (num_rows,))
        greeks = {name: value[which] for name, value in self.draws.items()}
        values = self._drawn_given(which) if self.seen else {}
        settings: dict[str, Any] = {
            name: values[name] if name in values else self._drawn(name, value, num_rows)
            for name, value in self._values.items()
        }
        rows: dict[str, Tensor] = pyro.do(self.model.rows, data=settings | values)(greeks, num_rows)
        return rows

    # ---------------------------------------------------------------- inside

    @property
    def _values(self) -> dict[str, Setting]:
        return {**self.settings, **self.seen}

    def _own_dims(self, name: str) -> int:
        return 0 if self.variables[name].num_columns is None else 1

    def _has_rows(self, name: str, value: Setting) -> bool:
        return isinstance(value, Tensor) and value.ndim > self._own_dims(name)

    def _situation(self, draws: Mapping[str, Tensor]) -> Situation:
        return Situation(
            self.model,
            draws,
            {n: along(v, self._own_dims(n), 1) if isinstance(v, Tensor) else v for n, v in self.settings.items()},
            {name: along(value, self._own_dims(name), 1) for name, value in self.seen.items()},
        )

    @cached_property
    def _first(self) -> Situation:
        """That of the first draw, for questions whose answers are the same at every draw."""
        return self._situation({name: value[:1] for name, value in self.draws.items()})

    def _parts(self) -> list[dict[str, Tensor]]:
        """The draws of the Greeks, as many at a time as there is room for."""
        size = self._first.num_rows * self.model.K * (2_000 if has_open(self._first) else 8)
        step = max(MAX_ELEMENTS // size, 1)
        starts = range(0, self.num_draws, step)
        return [{name: value[start : start + step] for name, value in self.draws.items()} for start in starts]

    def _drawn_given(self, which: Tensor) -> dict[str, Tensor]:
        """Values [N] of all that what is seen informs about, for rows of the given draws of the Greeks [N]."""
        seed = int(torch.randint(2**31, ()))
        step = max(MAX_ELEMENTS // (self.model.K * (1_000 if has_open(self._first) else 8)), 1)
        parts = [self._drawn_rows(which, rows, seed) for rows in torch.arange(len(which)).split(step)]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _drawn_rows(self, which: Tensor, rows: Tensor, seed: int) -> dict[str, Tensor]:
        values: dict[str, Setting] = {
            name: along(value[rows] if self._has_rows(name, value) else value, self._own_dims(name), 0)
            if isinstance(value, Tensor)
            else value
            for name, value in self._values.items()
        }
        settings = {name: value for name, value in values.items() if name in self.settings}
        seen = {name: value for name, value in values.items() if isinstance(value, Tensor) and name in self.seen}
        return draw_rows(
            Situation(self.model, self.draws, settings, seen), which[rows], seed, is_per_row=bool(self.rows)
        )

    def _drawn(self, name: str, value: Setting, num_rows: int) -> Tensor:
        """A setting as one value per row."""
        if not isinstance(value, Tensor):
            drawn: Tensor = in_logs(value).sample(torch.Size([num_rows]))
            return drawn.long() if name == LATENT else drawn.double()
        known: Tensor = value
        return known if self._has_rows(name, known) else known.expand(num_rows, *known.shape)

    def _own_law(self, name: str) -> Any:
        """The distribution that a variable is set to, where nothing that is seen informs about it, else None."""
        law = self.settings.get(name)
        if law is None or isinstance(law, Tensor) or name in self._first.above(list(self.seen)):
            return None
        # What is seen may be impossible all the same.
        for part in self._parts() if self.seen else []:
            weigh(self._situation(part), None, None, self.seed)
        return law

    def _total(self, name: str, points: Tensor, log_of: LogOf) -> Total:
        """The log of the mean over draws of a function of the components, given as its log."""
        if not len(points):
            return Total(torch.zeros(0, dtype=torch.float64))
        totals = []
        with without_validation():
            for draws in self._parts():
                situation = self._situation(draws)
                names = situation.above([name, *self.seen])
                if log_of is log_prob_of and name in open_variables(situation, names, name):
                    totals.append(density_of_open(situation, name, points, self.seed))
                else:
                    totals.append(total_of(situation, name, points, log_of, self.seed))
        total = added(totals)
        return replace(total, log=total.log - float(torch.tensor(self.num_draws, dtype=torch.float64).log()))


def _check_mean(situation: Situation, name: str) -> None:
    """Raise a ValueError where a setting without a mean carries over to the variable, and nothing seen holds it."""
    held = situation.above(list(situation.seen))
    for above in situation.above([name]):
        law = situation.settings.get(above)
        if law is not None and above not in held and not has_mean(law):
            raise ValueError(
                f"mean: {name} has no finite mean where {above} is set to {law}; ask for quantiles, or set "
                "another distribution"
            )


def _check_numbers(settings: Mapping[str, Setting], found: Tensor, words: str, points: Tensor | None = None) -> None:
    """Raise a ValueError where a formula of what is set, say, was not a number somewhere."""
    if bool(torch.isnan(found).any()):
        where = "" if points is None else f" at {points[torch.isnan(found)][0].tolist()}"
        laws = [f"{name} ~ {law}" for name, law in settings.items() if not isinstance(law, Tensor)]
        under = f" under {', '.join(laws)}" if laws else ""
        raise ValueError(
            f"{words}{where}{under}; expected formulas that are numbers wherever they are asked: set values or "
            "other distributions, or use .sample()"
        )


def _around(component: Any, level: float) -> tuple[float, float]:
    """The smallest and the largest quantile of components; of those that do not say theirs, about where they are."""
    if isinstance(component, dist.Delta):
        return float(component.v.min()), float(component.v.max())
    try:
        found = component.icdf(torch.tensor(level, dtype=torch.float64))
    except NotImplementedError:
        with isolated(0):
            found = component.sample(torch.Size([10])).double()
    return float(found.min()), float(found.max())
