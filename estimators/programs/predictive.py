"""p(x | do(...), seen ...) of a program for every draw of its Greeks, its hidden discrete sites summed out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from estimators.contract import Answer, Variable
from estimators.data.data import Data
from estimators.isolation import isolated, program_mode
from estimators.parameters.laws import is_integer
from estimators.parameters.parameter import LOG_ZERO
from estimators.programs.answers import at_one_point, average, over_draws
from estimators.programs.call import Program, parameters_of
from estimators.programs.captured import Graph
from estimators.programs.causes import Causes
from estimators.programs.factors import row_weights
from estimators.programs.questions import (
    Functional,
    TooManyTermsError,
    log_cdf_of,
    log_cdf_up_to,
    log_density_of,
    mean_of,
)
from estimators.programs.settings import checked_value
from estimators.programs.settled import Settled
from estimators.programs.sites import Structure
from estimators.programs.situation import (
    Situation,
    captured_prediction,
    check_samplable,
    drawn,
    drawn_rows,
)

# Simulated rows over all draws, where continuous sites have to be simulated, and at least this many for each draw.
SIMULATED_ROWS = 400_000
LEAST_REPEATS = 100

# A question to a captured program: the site, what is asked of it, and at how many points.
Key = tuple[str, Functional, int]


@dataclass(frozen=True, eq=False)
class ProgramPredictive:
    """The predictive of a program; a distribution that is set takes the place of the site's own.

    Where the program takes columns as arguments, answers are averages over those of the fitted ``data``.
    """

    fn: Program
    structure: Structure
    data: Data
    hidden: tuple[str, ...]
    draws: Mapping[str, Tensor]
    settings: Mapping[str, Any]
    seen: Mapping[str, Tensor] = field(default_factory=dict)
    seed: int = 0
    # Of each site, by the number of rows that a question is asked of.
    causes: dict[int, Causes] = field(default_factory=dict, repr=False)
    # Captured once per question: a root of the CDF asks it many times.
    _graphs: dict[Key, Graph] = field(default_factory=dict, init=False, repr=False)

    # Every setting is simulated from the same seed, so that simulation noise cancels in a contrast.
    has_common_numbers: ClassVar[bool] = True

    def __reduce__(self) -> tuple[Any, ...]:
        # Captured programs cannot be pickled; the copy captures them anew.
        return ProgramPredictive, tuple(getattr(self, one.name) for one in fields(self) if one.init)

    @property
    def num_draws(self) -> int:
        return len(next(iter(self.draws.values())))

    @property
    def variables(self) -> dict[str, Variable]:
        return {name: site.variable for name, site in self.structure.sites.items()}

    @cached_property
    def rows(self) -> dict[str, int]:
        return {name: len(value) for name, value in {**self._values, **self.seen}.items() if value.ndim}

    def above(self, name: str) -> frozenset[str]:
        return self.situation().above(name)

    def given(self, seen: Mapping[str, Any]) -> "ProgramPredictive":
        more = {name: checked_value(self.structure, "given", name, value) for name, value in seen.items()}
        return replace(self, seen={**self.seen, **more})

    def mean(self, name: str) -> Answer:
        values, error = self._ask(name, mean_of, torch.zeros(1, dtype=torch.float64), "mean")
        if not bool(torch.isfinite(values).all()):
            raise ValueError(
                f"mean: {name} has no finite mean here (a distribution with heavy tails?); ask for quantiles"
            )
        return Answer(values[:, 0], None if error is None else error[:, 0])

    def probability(self, name: str, value: float) -> Answer:
        return at_one_point(self._ask(name, log_density_of, torch.tensor([value], dtype=torch.float64), "probability"))

    def log_density(self, name: str, points: Tensor) -> Answer:
        if self.structure.sites[name].rest:
            raise NotImplementedError(f"log_density: {name} has several values in a row; ask for its mean, or sample")
        return self._predicted(name, log_density_of, points, "log_density")

    def cdf(self, name: str, points: Tensor) -> Answer:
        return self._cdf(name, points, "cdf")

    def cdf_at(self, name: str) -> Callable[[float], Answer]:
        settled: dict[Key, Settled] = {}
        return lambda point: self._cdf(name, torch.tensor([point], dtype=torch.float64), "quantile", settled)

    def levels(self, name: str) -> Tensor | None:
        site = self.structure.sites[name]
        return site.values.double().sort().values if site.is_discrete else None

    def is_whole(self, name: str) -> bool:
        site, law = self.structure.sites[name], self._laws.get(name)
        return not site.is_discrete and (site.is_whole if law is None else is_integer(law))

    def bracket(self, name: str, level: float) -> tuple[float, float]:
        return -1.0, 1.0  # a program does not say where its quantiles are

    def sample(self, num_rows: int) -> dict[str, Tensor]:
        """Rows [N, ...] of every site with `pyro.do`, each with Greeks from a draw of the fit's own.

        Hidden causes of what is seen are drawn from p(hidden | seen, φ), and the columns that the program takes are
        those of a fitted row drawn in proportion to p(seen | row, φ).
        """
        check_samplable(self._situation(torch.zeros(1, dtype=torch.long)))
        (base, per_row), which = self._base_rows(), torch.randint(self.num_draws, (num_rows,)).sort().values
        shares = row_weights(self.data)[base]
        where = base if per_row else base[torch.multinomial(shares, num_rows, replacement=True)]
        seeds = torch.randint(2**31, (num_rows,))
        weighed = self._situation(base) if self.seen and not per_row and len(base) > 1 else None
        rows_of_draws = []
        for draw in which.unique().tolist():
            index = (which == draw).nonzero()[:, 0]
            greeks = {name: value[draw] for name, value in self.draws.items()}
            with program_mode(int(seeds[index[0]])):
                if weighed is not None:
                    where[index] = drawn_rows(weighed, greeks, len(index))
                rows_of_draws.append(drawn(self._situation(where).repeated(index), greeks))
        return {name: torch.cat([rows[name] for rows in rows_of_draws]) for name in rows_of_draws[0]}

    # ---------------------------------------------------------------- inside

    @property
    def _values(self) -> dict[str, Tensor]:
        return {name: value for name, value in self.settings.items() if isinstance(value, Tensor)}

    @property
    def _laws(self) -> dict[str, Any]:
        return {name: value for name, value in self.settings.items() if not isinstance(value, Tensor)}

    @cached_property
    def _causes(self) -> Causes:
        """The direct causes of each site, on the rows that questions are asked of."""
        greeks = {name: value[0].double() for name, value in self.draws.items()}
        index = self._base_rows()[0]
        new = Causes(self.fn, self.structure, self.data.rows(index), greeks)
        return self.causes.setdefault(len(index), new)

    def _situation(self, where: Tensor) -> Situation:
        """The situation on an index [M] into the rows of the program's other arguments."""
        rows = self.data.rows(where)
        return Situation(self.fn, self.structure, self._values, self._laws, self.seen, rows, self._causes)

    def situation(self) -> Situation:
        """The situation on the rows that questions are asked of."""
        return self._situation(self._base_rows()[0])

    def _base_rows(self) -> tuple[Tensor, bool]:
        """An index into the rows that the program's column arguments come from, and whether answers are per row."""
        takes_columns = any(name in parameters_of(self.fn) for name in set(self.data.columns) - self.structure.names)
        for size in self.rows.values():
            if takes_columns and size != self.data.num_rows:
                raise ValueError(
                    f"the program takes columns of the data, which have {self.data.num_rows} rows; got {size} values"
                )
            return torch.arange(size).clamp_max(self.data.num_rows - 1), True
        return torch.arange(self.data.num_rows if takes_columns else 1), False

    def _cdf(self, name: str, points: Tensor, call: str, settled: dict[Key, Settled] | None = None) -> Answer:
        # At ±inf the probability is 0 or 1, where some distributions' formulas give NaN.
        is_end, inner = torch.isinf(points), torch.where(torch.isinf(points), 0.0, points)
        law = self._laws.get(name, self.structure.sites[name].family)
        log, error = self._predicted(
            name, log_cdf_up_to(inner, law) if self.is_whole(name) else log_cdf_of, inner, call, settled
        )
        probabilities = torch.where(is_end, (points > 0).double(), log.exp().clamp(0.0, 1.0))
        return Answer(probabilities, None if error is None else torch.where(is_end, 0.0, error * probabilities))

    def _predicted(
        self, name: str, functional: Functional, points: Tensor, call: str, settled: dict[Key, Settled] | None = None
    ) -> Answer:
        """The log [P] of the average over draws of a density or of a CDF, and its error where simulated."""
        answer = self._ask(name, functional, points, call, settled)
        # A program that could not be captured is run from the same seed for every draw of the Greeks.
        graph = self._graphs[name, functional, len(points)]
        return over_draws(answer, are_independent=answer.error is None or graph.is_captured)

    def _ask(
        self, name: str, functional: Functional, points: Tensor, call: str, settled: dict[Key, Settled] | None = None
    ) -> Answer:
        """Answers [S, P, ...] ([S, P, rows] for settings per row); what is simulated is kept in ``settled``."""
        base, per_row = self._base_rows()
        plain = self._situation(base)
        is_below = plain.is_seen_below(name) and name not in plain.enumerated
        if is_below and functional is not mean_of:
            raise NotImplementedError(
                f"{call}: something that is seen depends on {name}, or may, so it is simulated; ask for its mean"
            )
        is_simulated = bool(plain.simulated_for(name)) or is_below
        repeats = max(SIMULATED_ROWS // (self.num_draws * len(base)), LEAST_REPEATS) if is_simulated else 1
        key = (name, functional, len(points))
        if key not in self._graphs:
            situation = plain.repeated(torch.arange(len(base)).repeat_interleave(repeats))
            self._graphs[key] = captured_prediction(
                situation, name, functional, points, self.draws, (len(base), repeats)
            )
        try:
            with isolated(self.seed):
                answers, log_seen = self._evaluated(key, points, settled)
        except TooManyTermsError as error:
            raise NotImplementedError(f"{call}: {error} for the CDF of {name}; use .sample()") from None
        except NotImplementedError:
            what = "mean" if functional is mean_of else "such function"
            raise NotImplementedError(
                f"{call}: the distribution of {name} has no {what} in Pyro; use .sample()"
            ) from None
        if not bool((log_seen.flatten(1).amax(1) > LOG_ZERO).all()):
            raise ValueError(f"{call}: what is given, {list(self.seen)}, has probability 0 under the fit")
        # The average over rows counts each as often as its weight says.
        log_seen = log_seen if per_row else log_seen + row_weights(self.data).log()[base][:, None]
        return average(answers, log_seen, is_log=functional is not mean_of, per_row=per_row, is_simulated=is_simulated)

    def _evaluated(self, key: Key, points: Tensor, settled: dict[Key, Settled] | None) -> tuple[Tensor, ...]:
        graph, draws = self._graphs[key], list(self.draws.values())
        if settled is None:
            return graph.batched(points.expand(self.num_draws, *points.shape), *draws)
        if key not in settled:
            settled[key] = Settled(graph, draws)
        return settled[key](points)
