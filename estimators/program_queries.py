"""Questions to a fit of a Pyro program: p(x | do(...), seen ...) for every draw of the Greeks, Z summed out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import Any

import numpy as np
import torch
from pyro import poutine
from scipy.optimize import brentq
from torch import Tensor

from estimators.data import Data
from estimators.estimate import Estimate, check_level, level_of, numbers
from estimators.isolation import check_seed, isolated, program_mode
from estimators.parameters import LOG_ZERO
from estimators.programs.call import arguments, parameters_of, passed
from estimators.programs.graph import Graph
from estimators.programs.handlers import Evidence, Observing, Substituting
from estimators.programs.predictive import (
    Of,
    Situation,
    columns_of,
    fixed_greeks,
    forwards,
    hidden_shares,
    log_cdf_of,
    log_density_of,
    mean_of,
    predict,
)
from estimators.programs.sites import Structure
from estimators.pyro_model import PyroModel
from estimators.status import EstimationError

# Simulated rows over all draws, where continuous sites have to be simulated, and at least this many for each draw.
SIMULATED_ROWS = 400_000
LEAST_REPEATS = 100


@dataclass(frozen=True, eq=False)
class ProgramQuery:
    """What a program says when sites are set or seen, for each draw of the Greeks.

    ``do(...)`` goes through `pyro.do` on the user's own program; what is *seen* conditions it. Discrete sites are
    summed out exactly; where continuous sites above the answer have to be simulated, its standard error is stated
    (`Estimate.error`). Where the program takes columns as arguments, answers are averages over the fitted rows'.
    """

    model: PyroModel
    draws: Mapping[str, Tensor]
    num_chains: int
    settings: Mapping[str, Tensor]
    seen: Mapping[str, Tensor]
    structure: Structure
    rows: Data
    hidden: tuple[str, ...]
    # Captured once per question: a root of the CDF asks it many times.
    _graphs: dict[tuple[str, Of, int], Graph] = field(default_factory=dict, init=False, repr=False)

    def mean(self, name: str) -> Estimate:
        """E[name | do(...)] for every draw, as an Estimate of draws [S] ([S, rows] for settings per row)."""
        num_draws = len(next(iter(self.draws.values())))
        self._check_variable(name)
        if name in self.settings or name in self.seen:
            value = (self.settings.get(name, self.seen.get(name))).double()  # type: ignore[union-attr]
            return Estimate(value.expand(num_draws, *value.shape), self.num_chains)
        found, error = self._ask(name, mean_of, torch.zeros(1), "mean")
        value = found[:, 0]
        if not bool(torch.isfinite(value).all()):
            raise ValueError(
                f"mean: {name} has no finite mean here (a distribution with heavy tails?); ask for quantiles"
            )
        return Estimate(value, self.num_chains, None if error is None else error[:, 0])

    def log_density(self, name: str, at: Any) -> Tensor:
        """log p(name = at | do(...)), averaged over draws on the density scale; the shape of `at`."""
        points = self._points(name, at, "log_density")
        found, _ = self._ask(name, log_density_of, points.reshape(-1), "log_density")
        return (torch.logsumexp(found, 0) - float(np.log(len(found)))).reshape(points.shape)

    def cdf(self, name: str, at: Any) -> Tensor:
        """P(name <= at | do(...)), averaged over draws; the shape of `at`."""
        points = self._points(name, at, "cdf")
        found, _ = self._ask(name, log_cdf_of, points.reshape(-1), "cdf")
        return found.exp().mean(0).clamp(0.0, 1.0).reshape(points.shape)

    def quantile(self, name: str, level: Any) -> Tensor:
        """The value below which a share `level` in (0, 1) of p(name | do(...)) lies: the root of the CDF."""
        levels = numbers("level", level)
        for value in levels.reshape(-1).tolist():
            check_level(value)
        self._points(name, 0.0, "quantile")
        site = self.structure.sites[name]
        if site.is_discrete:
            masses = self.cdf(name, site.values.double())
            found = [
                float(site.values[int((masses >= one - 1e-12).nonzero()[0])]) for one in levels.reshape(-1).tolist()
            ]
        else:
            found = [self._root(name, one) for one in levels.reshape(-1).tolist()]
        return torch.tensor(found, dtype=torch.float64).reshape(levels.shape)

    def sample(self, num_rows: int, seed: int | None = None) -> dict[str, Tensor]:
        """Draw rows with `pyro.do` on the program, each row with Greeks from a draw of the fit's own.

        Returns every site of a row [num_rows, ...] but those hidden in the fitted data; with something seen, these too,
        drawn from p(hidden | seen, φ).
        """
        if isinstance(num_rows, bool) or not isinstance(num_rows, Integral) or num_rows < 1:
            raise ValueError(f"sample: expected a positive number of rows, got {num_rows!r}")
        for name, value in {**self.settings, **self.seen}.items():
            if value.ndim and len(value) != num_rows:
                raise ValueError(f"sample: {name} has {len(value)} values, but {num_rows} rows were asked for")
        self._check_samplable()
        seed = check_seed(seed)
        with isolated(seed):
            which = torch.randint(len(next(iter(self.draws.values()))), (int(num_rows),)).sort().values
            where = torch.randint(self.rows.num_rows, (int(num_rows),))
            seeds = torch.randint(2**31, (int(num_rows),))
        situation = self._situation(where)
        parts = []
        for draw in which.unique().tolist():
            index = (which == draw).nonzero()[:, 0]
            with program_mode(int(seeds[index[0]])):
                parts.append(_drawn(situation.repeated(index), {n: v[draw] for n, v in self.draws.items()}))
        columns = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        return {name: column for name, column in columns.items() if self.seen or name not in self.hidden}

    # ---------------------------------------------------------------- inside

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
        if not bool(torch.isfinite(points).all()):
            raise ValueError(f"{what}: expected finite values, got {points.tolist()}")
        return points

    def _situation(self, where: Tensor) -> Situation:
        """The situation on an index [M] into the rows of the program's other arguments."""
        return Situation(self.model.fn, self.structure, self.settings, self.seen, self.rows.rows(where))

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
                    f"the program takes columns of the data, which have {self.rows.num_rows} rows; got {sizes} values"
                )
            return torch.arange(size).clamp_max(self.rows.num_rows - 1), True
        return torch.arange(self.rows.num_rows if takes_columns else 1), False

    def _ask(self, name: str, of: Of, points: Tensor, what: str) -> tuple[Tensor, Tensor | None]:
        """Answers [S, P, ...] ([S, P, rows] for settings per row) and their standard errors, where simulated."""
        base, per_row = self._base_rows()
        plain = self._situation(base)
        simulated = plain.simulated_before(name)
        if plain.is_seen_below(name) and name not in plain.enumerated and of is not mean_of:
            raise NotImplementedError(f"{what}: something below {name} is seen, so it is simulated; ask for its mean")
        num_draws = len(next(iter(self.draws.values())))
        is_simulated = bool(simulated) or (plain.is_seen_below(name) and name not in plain.enumerated)
        repeats = max(SIMULATED_ROWS // (num_draws * len(base)), LEAST_REPEATS) if is_simulated else 1
        places = torch.arange(len(base)).repeat_interleave(repeats)
        situation = plain.repeated(places)
        log = of is not mean_of
        key = (name, of, len(points))
        if key not in self._graphs:
            self._graphs[key] = self._captured(name, of, points, situation, (len(base), repeats))
        try:
            with isolated(0):
                found, seen = self._graphs[key].batched(points.expand(num_draws, *points.shape), *self.draws.values())
        except NotImplementedError:
            raise NotImplementedError(
                f"{what}: the distribution of {name} has no {'mean' if of is mean_of else 'such function'} in Pyro; "
                "use .sample()"
            ) from None
        if not bool((seen.flatten(1).amax(1) > LOG_ZERO).all()):
            raise ValueError(f"{what}: what is given, {list(self.seen)}, has probability 0 under the fit")
        # [S, P, base, repeats, ...] and [S, base, repeats]
        axes = (2,) if per_row else (1, 2)
        shares = torch.softmax(seen.flatten(1) if not per_row else seen, -1).reshape(seen.shape)
        spread = shares[:, None].reshape(num_draws, 1, *seen.shape[1:], *[1] * (found.ndim - 4))
        over = tuple(axis + 1 for axis in axes)
        if log:
            return torch.logsumexp(found + spread.log(), over), None
        value = (found * spread).sum(over)
        if not is_simulated:
            return value, None
        centred = found - (value[:, :, :, None] if per_row else value[:, :, None, None])
        return value, ((spread * centred) ** 2).sum(over).sqrt()

    def _captured(self, name: str, of: Of, points: Tensor, situation: Situation, shape: tuple[int, int]) -> Graph:
        names = list(self.draws)

        def answer(at: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
            found, seen = predict(situation, name, dict(zip(names, values, strict=True)), of, at)
            return found.reshape((len(at), *shape, *found.shape[2:])), seen.reshape(shape)

        first = [value[0] for value in self.draws.values()]
        with isolated(0):
            return Graph(answer, [points, *first], situation.rows.num_rows * len(points) * 8)

    def _root(self, name: str, level: float) -> float:
        centre, width = 0.0, 1.0
        while float(self.cdf(name, centre - width)) > level or float(self.cdf(name, centre + width)) < level:
            width *= 4.0
            if width > 1e100:
                raise EstimationError(f"quantile: the CDF of {name} does not reach {level}")
        return float(
            brentq(lambda x: float(self.cdf(name, x)) - level, centre - width, centre + width, xtol=1e-12 * width)
        )

    def _check_samplable(self) -> None:
        situation = self._situation(torch.zeros(1, dtype=torch.long))
        for name in self.seen:
            above = [site for site in situation.simulated_before(name) if site in list(self.structure.sites)]
            if above:
                raise NotImplementedError(
                    f"sample: {above} would have to be drawn given {name}, which is seen below and may depend on it; "
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
    structure, rows = _fitted(model, data)
    as_set = {name: _checked(structure, what, name, value) for name, value in settings.items()}
    as_seen = {name: _checked(structure, what, name, value) for name, value in seen.items()}
    hidden = () if data is None else model.marginal(data).latent
    return ProgramQuery(model, draws, num_chains, as_set, as_seen, structure, rows, hidden)


def program_of(model: PyroModel, data: Data | None) -> Callable[[Mapping[str, Tensor], int], dict[str, Tensor]]:
    """The user's program at given Greeks, as a function of them and of the number of rows, under the caller's handlers.

    Columns that it takes as arguments are drawn with replacement from the fitted rows.
    """
    structure, rows = _fitted(model, data)

    def run_rows(greeks: Mapping[str, Tensor], num_rows: int) -> dict[str, Tensor]:
        part = rows.rows(torch.randint(rows.num_rows, (num_rows,)))
        evidence = Evidence(free=frozenset(structure.sites))
        program = Substituting({**greeks, **fixed_greeks(structure, rows)})(Observing(evidence)(model.fn))
        positional, named = arguments(model.fn, passed(model.fn, part, structure.names), num_rows)
        trace = poutine.trace(program).get_trace(*positional, **named)
        return columns_of(trace, structure, num_rows)

    return run_rows


def _fitted(model: PyroModel, data: Data | None) -> tuple[Structure, Data]:
    """The structure of a fitted program and its rows; of one that takes the number of rows alone, without data."""
    if data is None:
        return model.structure(), Data(rows=torch.zeros(2))
    return model.marginal(data).structure, data


def _checked(structure: Structure, what: str, name: str, value: Any) -> Tensor:
    if name not in structure.sites:
        raise ValueError(f"{what}: the program has no site {name!r} in a row; it has {list(structure.sites)}")
    site, found = structure.sites[name], level_of(what, name, value)
    if site.is_discrete:
        if not bool(torch.isin(found, site.values.double()).all()):
            raise ValueError(f"{what}: {name} expects values among {site.values.tolist()}, got {value!r}")
        return found.to(site.values.dtype)
    return found


def _drawn(situation: Situation, greeks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """One draw of every row: hidden sites from their exact posterior, one after the other, then the rest forwards."""
    if situation.seen:
        for name in situation.enumerated:
            shares = hidden_shares(situation, name, greeks)
            drawn = torch.multinomial(shares.reshape(-1, shares.shape[-1]), 1)[:, 0].reshape(shares.shape[:-1])
            value = situation.structure.sites[name].values[drawn]
            situation = replace(situation, seen={**situation.seen, name: value})
    return forwards(situation, greeks)
