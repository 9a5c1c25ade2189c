"""Questions to a fit of a Pyro program: p(x | do(...), seen ...) for every draw of the Greeks, Z summed out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Integral
from typing import Any

import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor

from estimators.checks import check_level, check_seed
from estimators.data.data import Data
from estimators.data.values import numbers
from estimators.isolation import isolated, own_modes, program_mode
from estimators.parameters.laws import is_integer
from estimators.parameters.parameter import LOG_ZERO
from estimators.programs.answers import Average, average, over_draws
from estimators.programs.call import parameters_of
from estimators.programs.captured import Graph
from estimators.programs.causes import Causes
from estimators.programs.model import PyroModel
from estimators.programs.questions import (
    LogCdfOfCount,
    Of,
    TooManyTermsError,
    has_formula_of_count,
    log_cdf_of,
    log_density_of,
    mean_of,
)
from estimators.programs.settings import check_reachable, checked_law, checked_value, need_one_role
from estimators.programs.settled import Settled
from estimators.programs.sites import Structure
from estimators.programs.situation import Situation, counts_of, drawn, drawn_rows, fixed_greeks, predict
from estimators.queries.estimate import Estimate
from estimators.queries.evaluations import Evaluations
from estimators.queries.prediction import Prediction
from estimators.queries.quantiles import quantile_of, whole_quantile_of
from estimators.queries.row_labels import Indices, joined_indices

# Simulated rows over all draws, where continuous sites have to be simulated, and at least this many for each draw.
SIMULATED_ROWS = 400_000
LEAST_REPEATS = 100
# Up to which number the probabilities of a count are summed.
SUMMED = (63, 511, 8_191, 131_071, 999_999)

# A question to a captured program: the site, what is asked of it, and at how many points.
Key = tuple[str, Of, int]


@dataclass(frozen=True, eq=False)
class ProgramQuery:
    """What a program says when sites are set or seen, for each draw of the Greeks.

    ``do(...)`` goes through `pyro.do` on the user's own program, a setting that is a Pyro distribution takes the place
    of the site's own; what is *seen*, after what is set, conditions it. Discrete sites are summed out exactly; where
    continuous sites above the answer have to be simulated, its standard error is stated (`Estimate.error`,
    `Prediction.error`). Where the program takes columns as arguments, answers are averages over the fitted rows', each
    in proportion to p(what is seen | row).
    """

    model: PyroModel
    draws: Mapping[str, Tensor]
    num_chains: int
    settings: Mapping[str, Tensor]
    # Distributions in place of the sites' own.
    replaced: Mapping[str, Any]
    seen: Mapping[str, Tensor]
    structure: Structure
    rows: Data
    hidden: tuple[str, ...]
    # Values with labels by number where they are given by name.
    numbered: Callable[[Mapping[str, Any]], dict[str, Any]] = dict
    indices: Indices = field(default_factory=dict, repr=False)
    # Captured once per question: a root of the CDF asks it many times.
    _graphs: dict[Key, Graph] = field(default_factory=dict, init=False, repr=False)

    @own_modes()
    def given(self, /, **seen: Any) -> "ProgramQuery":
        """The same question where something is also seen, after the intervention: ``fit.do(T=1).given(W=0)``."""
        indices = joined_indices("given", self.indices, seen)
        found = {
            name: checked_value(self.structure, "given", name, value) for name, value in self.numbered(seen).items()
        }
        need_one_role({**self.settings, **self.replaced}, found)
        return replace(self, seen={**self.seen, **found}, indices=indices)

    @own_modes()
    def mean(self, name: str) -> Estimate:
        """E[name | do(...)] for every draw, as an Estimate of draws [S] ([S, rows] for settings per row)."""
        self._check_variable(name)
        if name in self.settings or name in self.seen:
            value = (self.settings.get(name, self.seen.get(name))).double()  # type: ignore[union-attr]
            return Estimate(value.expand(self._num_draws, *value.shape), self.num_chains)
        found = self._ask(name, mean_of, torch.zeros(1, dtype=torch.float64), "mean")
        value = found.values[:, 0]
        if not bool(torch.isfinite(value).all()):
            raise ValueError(
                f"mean: {name} has no finite mean here (a distribution with heavy tails?); ask for quantiles"
            )
        return Estimate(value, self.num_chains, None if found.error is None else found.error[:, 0])

    @own_modes()
    def log_density(self, name: str, at: Any) -> Prediction:
        """log p(name = at | do(...)), averaged over draws on the density scale; the shape of `at`."""
        points = self._points(name, at, "log_density")
        log, error = self._predicted(name, log_density_of, points.reshape(-1), "log_density")
        return Prediction.of(log.reshape(points.shape), None if error is None else error.reshape(points.shape))

    @own_modes()
    def cdf(self, name: str, at: Any) -> Prediction:
        """P(name <= at | do(...)), averaged over draws; the shape of `at`, which may be infinite."""
        return self._cdf(name, self._points(name, at, "cdf"), "cdf")

    @own_modes()
    def quantile(self, name: str, level: Any) -> Prediction:
        """The smallest value that a share `level` in (0, 1) of p(name | do(...)) does not exceed.

        Raises EstimationError where no finite value is.
        """
        levels = numbers("level", level)
        for value in levels.reshape(-1).tolist():
            check_level(value)
        self._points(name, 0.0, "quantile")
        settled: dict[Key, Settled] = {}
        cdf = Evaluations(lambda x: self._cdf(name, torch.tensor(x, dtype=torch.float64), "quantile", settled))
        found = [self._quantile(name, one, cdf) for one in levels.reshape(-1).tolist()]
        values = torch.tensor([value for value, _ in found], dtype=torch.float64)
        errors = [error for _, error in found if error is not None]
        error = torch.tensor(errors, dtype=torch.float64).reshape(levels.shape) if errors else None
        return Prediction.of(values.reshape(levels.shape), error)

    @own_modes()
    def sample(self, num_rows: int, seed: int | None = None) -> dict[str, Tensor]:
        """Draw rows with `pyro.do` on the program, each row with Greeks from a draw of the fit's own.

        Returns every site of a row [num_rows, ...] but those hidden in the fitted data; with something seen, these too,
        drawn from p(hidden | seen, φ), and the columns that the program takes are those of a fitted row drawn in
        proportion to p(seen | row, φ).
        """
        if isinstance(num_rows, bool) or not isinstance(num_rows, Integral) or num_rows < 1:
            raise ValueError(f"sample: expected a positive number of rows, got {num_rows!r}")
        for name, value in {**self.settings, **self.seen}.items():
            if value.ndim and len(value) != num_rows:
                raise ValueError(f"sample: {name} has {len(value)} values, but {num_rows} rows were asked for")
        self._check_samplable()
        seed = check_seed(seed)
        base, per_row = self._base_rows()
        with isolated(seed):
            which = torch.randint(self._num_draws, (int(num_rows),)).sort().values
            shares = counts_of(self.rows)[base]
            where = base if per_row else base[torch.multinomial(shares, int(num_rows), replacement=True)]
            seeds = torch.randint(2**31, (int(num_rows),))
        weighed = self._situation(base) if self.seen and not per_row and len(base) > 1 else None
        parts = []
        for draw in which.unique().tolist():
            index = (which == draw).nonzero()[:, 0]
            greeks = {name: value[draw] for name, value in self.draws.items()}
            with program_mode(int(seeds[index[0]])):
                if weighed is not None:
                    where[index] = drawn_rows(weighed, greeks, len(index))
                parts.append(drawn(self._situation(where).repeated(index), greeks))
        columns = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        return {name: column for name, column in columns.items() if self.seen or name not in self.hidden}

    def check_reachable(self, what: str) -> None:
        """Raise a ValueError where a site is set to what it cannot be."""
        check_reachable(self._situation(self._base_rows()[0]), self.draws, what)

    # ---------------------------------------------------------------- inside

    @cached_property
    def _causes(self) -> Causes:
        """What each site depends on; found on the rows that questions are asked of."""
        greeks = {name: value[0].double() for name, value in self.draws.items()}
        rows = self.rows.rows(self._base_rows()[0])
        return Causes(self.model.fn, self.structure, rows, greeks, fixed_greeks(self.structure, self.rows))

    @property
    def _num_draws(self) -> int:
        return len(next(iter(self.draws.values())))

    def _check_variable(self, name: str) -> None:
        if name not in self.structure.sites:
            raise ValueError(f"expected a site of a row, one of {list(self.structure.sites)}, got {name!r}")

    def _points(self, name: str, at: Any, what: str) -> Tensor:
        self._check_variable(name)
        if name in self.settings or name in self.seen:
            raise ValueError(f"{what}: {name} is given in the question, so it has no density")
        if self.structure.sites[name].rest:
            raise ValueError(f"{what}: {name} has several values in a row; ask for its mean, or sample")
        if any(value.ndim for value in (*self.settings.values(), *self.seen.values())):
            raise ValueError(f"{what}: expected one value of each site, got one per row; ask for each in turn")
        points = numbers(what, at)
        is_wrong = torch.isnan(points) if what == "cdf" else ~torch.isfinite(points)
        if bool(is_wrong.any()):
            raise ValueError(f"{what}: expected finite values, got {points.tolist()}")
        return points

    def _situation(self, where: Tensor) -> Situation:
        """The situation on an index [M] into the rows of the program's other arguments."""
        rows = self.rows.rows(where)
        return Situation(self.model.fn, self.structure, self.settings, self.replaced, self.seen, rows, self._causes)

    def _base_rows(self) -> tuple[Tensor, bool]:
        """An index into the rows that the program's column arguments come from, and whether answers are per row."""
        sizes = {name: len(v) for name, v in {**self.settings, **self.seen}.items() if v.ndim}
        takes_columns = any(
            name in parameters_of(self.model.fn) for name in self.rows.columns if name not in self.structure.names
        )
        if len(set(sizes.values())) > 1:
            raise ValueError(f"expected as many values of each site, got {sizes}")
        if sizes:
            size = next(iter(sizes.values()))
            if takes_columns and size != self.rows.num_rows:
                raise ValueError(
                    f"the program takes columns of the data, which have {self.rows.num_rows} rows; got {size} values"
                )
            return torch.arange(size).clamp_max(self.rows.num_rows - 1), True
        return torch.arange(self.rows.num_rows if takes_columns else 1), False

    def _cdf(self, name: str, points: Tensor, what: str, settled: dict[Key, Settled] | None = None) -> Prediction:
        # At an end the probability is known, and not every distribution's formula is a number there.
        is_end, flat = torch.isinf(points), torch.where(torch.isinf(points), 0.0, points).reshape(-1)
        log, error = self._predicted(name, self._log_cdf(name, flat), flat, what, settled)
        found = torch.where(is_end, (points > 0).double(), log.exp().clamp(0.0, 1.0).reshape(points.shape))
        if error is None:
            return Prediction.of(found)
        return Prediction.of(found, torch.where(is_end, 0.0, error.reshape(points.shape) * found))

    def _predicted(
        self, name: str, of: Of, points: Tensor, what: str, settled: dict[Key, Settled] | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Logarithms [P] of the average over draws, and their errors where simulated."""
        found = self._ask(name, of, points, what, settled)
        # A program that is run as it is begins at the same random numbers for every draw.
        return over_draws(found, are_independent=self._graphs[name, of, len(points)].is_captured)

    def _log_cdf(self, name: str, points: Tensor) -> Of:
        """The function for a variable's CDF at points [P]."""
        law = self.replaced.get(name, self.structure.sites[name].family)
        if not self._is_count(name) or has_formula_of_count(law):
            return log_cdf_of
        largest = float(points.max()) if len(points) else 0.0
        # A graph is captured for each size, so that all points share few sizes.
        sizes = (size for size in SUMMED if size >= largest)
        return LogCdfOfCount(next(sizes, int(largest)))

    def _is_count(self, name: str) -> bool:
        """Whether its values are whole numbers that are not enumerated."""
        site = self.structure.sites[name]
        return not site.is_discrete and (is_integer(self.replaced[name]) if name in self.replaced else site.is_whole)

    def _ask(self, name: str, of: Of, points: Tensor, what: str, settled: dict[Key, Settled] | None = None) -> Average:
        """Answers [S, P, ...] ([S, P, rows] for settings per row); what is simulated is kept in ``settled``."""
        base, per_row = self._base_rows()
        plain = self._situation(base)
        is_below = plain.is_seen_below(name) and name not in plain.enumerated
        if is_below and of is not mean_of:
            raise NotImplementedError(
                f"{what}: something that is seen depends on {name}, or may, so it is simulated; ask for its mean"
            )
        is_simulated = bool(plain.simulated_for(name)) or is_below
        repeats = max(SIMULATED_ROWS // (self._num_draws * len(base)), LEAST_REPEATS) if is_simulated else 1
        key = (name, of, len(points))
        if key not in self._graphs:
            situation = plain.repeated(torch.arange(len(base)).repeat_interleave(repeats))
            self._graphs[key] = self._captured(name, of, points, situation, (len(base), repeats))
        try:
            with isolated(0):
                found, seen = self._evaluated(key, points, settled)
        except TooManyTermsError as error:
            raise NotImplementedError(f"{what}: {error} for the CDF of {name}; use .sample()") from None
        except NotImplementedError:
            raise NotImplementedError(
                f"{what}: the distribution of {name} has no {'mean' if of is mean_of else 'such function'} in Pyro; "
                "use .sample()"
            ) from None
        if not bool((seen.flatten(1).amax(1) > LOG_ZERO).all()):
            raise ValueError(f"{what}: what is given, {list(self.seen)}, has probability 0 under the fit")
        # Of a row that counts w times there are w as many to average over.
        seen = seen if per_row else seen + counts_of(self.rows).log()[base][:, None]
        return average(found, seen, is_log=of is not mean_of, per_row=per_row, is_simulated=is_simulated)

    def _evaluated(self, key: Key, points: Tensor, settled: dict[Key, Settled] | None) -> tuple[Tensor, ...]:
        graph, draws = self._graphs[key], list(self.draws.values())
        if settled is None:
            return graph.batched(points.expand(self._num_draws, *points.shape), *draws)
        if key not in settled:
            settled[key] = Settled(graph, draws)
        return settled[key](points)

    def _captured(self, name: str, of: Of, points: Tensor, situation: Situation, shape: tuple[int, int]) -> Graph:
        names = list(self.draws)

        def answer(at: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
            found, seen = predict(situation, name, dict(zip(names, values, strict=True)), of, at)
            return found.reshape((len(at), *shape, *found.shape[2:])), seen.reshape(shape)

        first = [value[0] for value in self.draws.values()]
        with isolated(0):
            return Graph(answer, [points, *first], situation.rows.num_rows * len(points) * 8)

    def _quantile(self, name: str, level: float, cdf: Evaluations) -> tuple[float, float | None]:
        """A quantile and its error: half of how far it moves over levels within one standard error of the CDF."""
        found = self._root(name, level, cdf)
        error = cdf(found).error
        if error is None:
            return found, None
        low, high = max(level - float(error), 0.5 * level), min(level + float(error), 0.5 * (1.0 + level))
        if not low < high:
            return found, 0.0
        return found, (self._root(name, high, cdf) - self._root(name, low, cdf)) / (high - low) * float(error)

    def _root(self, name: str, level: float, cdf: Evaluations) -> float:
        site = self.structure.sites[name]
        if site.is_discrete:
            masses = self._cdf(name, site.values.double(), "quantile")
            return float(site.values[int((masses >= level - 1e-12).nonzero()[0])])
        find = whole_quantile_of if self._is_count(name) else quantile_of
        return find(lambda x: float(cdf(x)), level, cdf.bracket(level), name)

    def _check_samplable(self) -> None:
        if self.structure.factors:
            raise NotImplementedError(
                f"sample: the program weighs rows by pyro.factor ({list(self.structure.factors)}), so that running it "
                "does not draw from its law; ask for means, densities or quantiles"
            )
        situation = self._situation(torch.zeros(1, dtype=torch.long))
        for name in self.seen:
            above = situation.simulated_for(name)
            if above:
                raise NotImplementedError(
                    f"sample: {above} would have to be drawn given {name}, which is seen and may depend on it; "
                    "ask for means, or give a value for them"
                )


def query_of_program(
    model: PyroModel,
    data: Data | None,
    draws: Mapping[str, Tensor],
    num_chains: int,
    settings: Mapping[str, Any],
    seen: Mapping[str, Any],
    what: str,
) -> ProgramQuery:
    """A query with its values checked: a ValueError names an unknown site, or a value outside its support."""
    if not settings and not seen:
        raise ValueError(f"{what}: expected at least one setting, e.g. {what}(Z=1)")
    structure, rows = model.fitted(data)
    laws = {name: value for name, value in settings.items() if isinstance(value, TorchDistributionMixin)}
    replaced = {name: checked_law(structure, what, name, law) for name, law in laws.items()}
    as_set = {name: checked_value(structure, what, name, value) for name, value in settings.items() if name not in laws}
    as_seen = {name: checked_value(structure, "given", name, value) for name, value in seen.items()}
    need_one_role(settings, as_seen)
    hidden = () if data is None else model.marginal(data).latent
    query = ProgramQuery(model, draws, num_chains, as_set, replaced, as_seen, structure, rows, hidden)
    query.check_reachable(what)
    return query
