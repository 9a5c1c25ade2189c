"""Interventional prediction: p(x | do(...)) by the truncated factorisation, for every draw of the Greeks at once."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor

from estimators.checks import check_level, check_seed
from estimators.data.data import LATENT
from estimators.data.values import numbers
from estimators.estep.weights import WEIGHTS
from estimators.isolation import isolated, own_modes, without_validation
from estimators.mixture.averages import LogOf, Total, added, density_of_open, log_cdf_of, log_prob_of, mean_of, total_of
from estimators.mixture.conditional_draws import draw_open
from estimators.mixture.integration import open_variables, weigh
from estimators.mixture.joint import joint_of
from estimators.mixture.model import CausalMixture
from estimators.mixture.settings import check_values
from estimators.mixture.situation import Setting, Situation
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
from estimators.queries.estimate import Estimate
from estimators.queries.label_names import numbers_of
from estimators.queries.prediction import Prediction
from estimators.queries.quantiles import quantile_of, whole_quantile_of
from estimators.queries.row_labels import Indices, joined_indices

# Elements of a [draws, nodes, configurations] table held at one time.
MAX_ELEMENTS = 4_000_000


@dataclass(frozen=True, eq=False)
class Query:
    """What the model says under an intervention, or when something is seen, for each draw of the Greeks.

    Under ``do(...)`` a variable keeps nothing of its own mechanism; what is *seen* informs about everything above it:
    Z, the unset causes, and what was set at random. Means, densities, CDFs and quantiles are mixtures over draws, Z and
    the unset discrete causes, with Gaussian causes integrated out; densities, CDFs and quantiles are of the predictive
    distribution, over all draws.

    A setting may be a number, one per row, or a Pyro distribution (a stochastic intervention): in closed form where it
    is discrete or Normal, by quadrature where one other continuous setting matters to the answer. Where several do, or
    one whose density cannot be integrated, 2,000 of their values are drawn, each weighed by p(seen | value), and the
    answer states its standard error (`Estimate.error`, `Prediction.error`); ``seed`` is that of these draws.
    """

    model: CausalMixture
    draws: Mapping[str, Tensor]
    num_chains: int
    settings: Mapping[str, Setting]
    seen: Mapping[str, Tensor] = field(default_factory=dict)
    label_names: tuple[str, ...] = ()
    seed: int = 0
    indices: Indices = field(default_factory=dict, repr=False)

    @own_modes()
    def given(self, /, **seen: Any) -> "Query":
        """The same question where something is also seen, after the intervention: ``fit.do(T=1).given(W=0)``."""
        indices = joined_indices("given", self.indices, seen)
        if self.label_names and LATENT in seen:
            seen = {**seen, LATENT: numbers_of("given", LATENT, seen[LATENT], self.label_names)}
        found = check_values(self.model, seen, "given")
        both = [name for name in found if name in self.settings]
        if both:
            raise ValueError(f"given: {both[0]} is set by do(...), so it cannot be seen as well")
        return replace(self, seen={**self.seen, **found}, indices=indices)

    @own_modes()
    def mean(self, name: str) -> Estimate:
        """E[name | do(...)] for every draw, as an Estimate of draws [S] ([S, rows] for settings per row)."""
        self._check_variable(name)
        fixed = {**self.settings, **self.seen}.get(name)
        if isinstance(fixed, Tensor):
            return Estimate(_repeated(fixed.double(), self._num_draws), self.num_chains)
        law = self._own_law(name)
        mean = None if law is None else mean_of_law(law)
        if mean is not None:
            rows = (self._situation(self.draws).num_rows,) if self._is_per_row else ()
            return Estimate(mean.expand(self._num_draws, *rows), self.num_chains)
        self._check_mean(name)
        if law is not None and has_cdf(law) and not says_mean(law):
            raise NotImplementedError(f"mean: {name} is set to {law}, which does not say its mean; use .sample()")
        parts = [mean_of(weigh(self._situation(part), name, None, self.seed), name) for part in self._parts()]
        means, errors = torch.cat([mean for mean, _ in parts]), [error for _, error in parts if error is not None]
        self._check_numbers(means, f"mean: the mean of {name} is not a number")
        error = torch.cat(errors) if errors else None
        if not self._is_per_row:
            return Estimate(means[:, 0], self.num_chains, None if error is None else error[:, 0])
        shape = (len(means), self._situation(self.draws).num_rows, *means.shape[2:])
        return Estimate(means.expand(shape), self.num_chains, None if error is None else error.expand(shape))

    @own_modes()
    def log_density(self, name: str, at: Any) -> Prediction:
        """log p(name = at | do(...)), averaged over draws on the density scale; the shape of `at` (less D)."""
        points, shape = self._points(name, at, "log_density")
        law = self._own_law(name)
        if law is not None:
            with without_validation():
                own = log_prob_of_law(law, points)
            self._check_numbers(own, f"log_density: the density of {name} is not a number", points)
            return Prediction.of(own.reshape(shape))
        total = self._total(name, points, log_prob_of)
        self._check_numbers(total.log, f"log_density: the density of {name} is not a number", points)
        error = total.error
        return Prediction.of(total.log.reshape(shape), None if error is None else error.reshape(shape))

    @own_modes()
    def cdf(self, name: str, at: Any) -> Prediction:
        """P(name <= at | do(...)), averaged over draws; the shape of `at`, which may be infinite."""
        points, shape = self._points(name, at, "cdf")
        law = self._own_law(name)
        summed = cdf_of_whole(law, points) if law is not None and len(points) and is_integer(law) else None
        if summed is not None:
            return Prediction.of(summed.reshape(shape))
        total = self._total(name, points, log_cdf_of)
        self._check_numbers(total.log, f"cdf: the CDF of {name} is not a number", points)
        values, error = total.log.exp().clamp(0.0, 1.0), total.error
        return Prediction.of(values.reshape(shape), None if error is None else (error * values).reshape(shape))

    @own_modes()
    def quantile(self, name: str, level: Any) -> Prediction:
        """The smallest value that a share `level` in (0, 1) of p(name | do(...)) does not exceed.

        Raises EstimationError where no finite value is.
        """
        asked = numbers("level", level)
        for value in asked.reshape(-1).tolist():
            check_level(value)
        self._check_predictable(name, "quantile")
        found = [self._quantile(name, value) for value in asked.reshape(-1).tolist()]
        values = torch.tensor([value for value, _ in found], dtype=torch.float64).reshape(asked.shape)
        errors = [error for _, error in found if error is not None]
        return Prediction.of(values, torch.tensor(errors, dtype=torch.float64).reshape(asked.shape) if errors else None)

    @own_modes()
    def sample(self, num_rows: int, seed: int | None = None) -> dict[str, Tensor]:
        """Draw rows from p(· | do(...)) with `pyro.do`, each row with Greeks from a draw of the fit's own.

        Returns every observed variable [num_rows], and Z where a variable was seen. Settings per row must have this
        length. Under what is seen, draws are exact where answers are in closed form, and by the inverse CDF of the
        quadrature where they need one; where an answer states an error, they are resampled from up to 100,000 draws.
        """
        if isinstance(num_rows, bool) or not isinstance(num_rows, Integral) or num_rows < 1:
            raise ValueError(f"sample: expected a positive number of rows, got {num_rows!r}")
        for name, value in self._values().items():
            if self._has_rows(name, value) and len(value) != num_rows:
                how = "do" if name in self.settings else "given"
                raise ValueError(
                    f"sample: {how}({name}=...) has {len(value)} values, but {num_rows} rows were asked for"
                )
        with isolated(check_seed(seed)):
            which = torch.randint(self._num_draws, (int(num_rows),))
            greeks = {name: value[which] for name, value in self.draws.items()}
            values = self._drawn_given(which) if self.seen else {}
            settings = {
                name: values[name] if name in values else self._drawn(name, value, int(num_rows))
                for name, value in self._values().items()
            } | values
            rows = pyro.do(self.model.rows, data=settings)(greeks, int(num_rows))
        return {name: column for name, column in rows.items() if name != LATENT or self.seen}

    # ---------------------------------------------------------------- inside

    @property
    def _num_draws(self) -> int:
        return len(self.draws[WEIGHTS])

    def _values(self) -> dict[str, Setting]:
        return {**self.settings, **self.seen}

    def _own_dims(self, name: str) -> int:
        return 0 if name == LATENT or self.model.mechanisms[name].num_columns is None else 1

    def _has_rows(self, name: str, value: Setting) -> bool:
        return isinstance(value, Tensor) and value.ndim > self._own_dims(name)

    @property
    def _is_per_row(self) -> bool:
        return any(self._has_rows(name, value) for name, value in self._values().items())

    def _check_rows(self) -> None:
        """Raise a ValueError unless the values per row are all of one number."""
        sizes = {name: len(value) for name, value in self._values().items() if self._has_rows(name, value)}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"expected as many values of each variable, got {sizes}")

    def _parts(self) -> list[dict[str, Tensor]]:
        """The draws of the Greeks, as many at a time as there is room for."""
        self._check_rows()
        situation = self._situation({name: value[:1] for name, value in self.draws.items()})
        is_closed = not self._is_open(situation)
        size = situation.num_rows * self.model.K * (8 if is_closed else 2_000)
        step = max(MAX_ELEMENTS // size, 1)
        starts = range(0, self._num_draws, step)
        return [{name: value[start : start + step] for name, value in self.draws.items()} for start in starts]

    def _situation(self, draws: Mapping[str, Tensor]) -> Situation:
        return Situation(
            self.model,
            draws,
            {n: _lifted(v, self._own_dims(n), 1) if isinstance(v, Tensor) else v for n, v in self.settings.items()},
            {name: _lifted(value, self._own_dims(name), 1) for name, value in self.seen.items()},
        )

    def _is_open(self, situation: Situation) -> bool:
        """Whether anything may have to be integrated numerically."""
        names = situation.above(list(self.model.mechanisms))
        return bool(open_variables(situation, names, None))

    def _drawn_given(self, which: Tensor) -> dict[str, Tensor]:
        """Values [N] of all that what is seen informs about, for rows of the given draws of the Greeks [N]."""
        seed = int(torch.randint(2**31, ()))
        is_open = self._is_open(self._situation({name: value[:1] for name, value in self.draws.items()}))
        step = max(MAX_ELEMENTS // (self.model.K * (1_000 if is_open else 8)), 1)
        parts = [self._drawn_rows(which, rows, seed) for rows in torch.arange(len(which)).split(step)]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _drawn_rows(self, which: Tensor, rows: Tensor, seed: int) -> dict[str, Tensor]:
        """What has no closed form is drawn first, then the rest given that and what is seen."""
        values: dict[str, Setting] = {
            name: _lifted(value[rows] if self._has_rows(name, value) else value, self._own_dims(name), 0)
            if isinstance(value, Tensor)
            else value
            for name, value in self._values().items()
        }
        done = {name: value for name, value in values.items() if name in self.settings}
        seen = {name: value for name, value in values.items() if isinstance(value, Tensor) and name in self.seen}
        own = {name: value[which[rows]] for name, value in self.draws.items()}
        if self._is_per_row:
            opened = draw_open(Situation(self.model, own, done, seen), torch.arange(len(rows)), seed)
        else:
            draws, place = which[rows].unique(return_inverse=True)
            greeks = {name: value[draws] for name, value in self.draws.items()}
            opened = draw_open(Situation(self.model, greeks, done, seen), place, seed)
        known = {name: _lifted(value, 0, 0) for name, value in opened.items()}
        done |= {name: value for name, value in known.items() if name in self.settings}
        seen |= {name: value for name, value in known.items() if name not in self.settings}
        situation = Situation(self.model, own, done, seen)
        drawn = joint_of(situation, situation.above(list(seen)), {}).draw()
        return {name: value.long() if name == LATENT else value for name, value in drawn.items()}

    def _drawn(self, name: str, value: Setting, num_rows: int) -> Tensor:
        """A setting as one value per row."""
        if not isinstance(value, Tensor):
            drawn: Tensor = in_logs(value).sample(torch.Size([num_rows]))
            return drawn.long() if name == LATENT else drawn.double()
        return value if self._has_rows(name, value) else _repeated(value, num_rows)

    def _check_variable(self, name: str, *, allow_latent: bool = False) -> None:
        known = list(self.model.mechanisms)
        if name not in known and not (allow_latent and name == LATENT):
            raise ValueError(f"expected a variable among {known}, got {name!r}")

    def _check_predictable(self, name: str, what: str) -> None:
        self._check_variable(name, allow_latent=what == "log_density")
        if isinstance(self._values().get(name), Tensor):
            raise ValueError(f"{what}: {name} is {'set' if name in self.settings else 'seen'}, so it has no density")
        per_row = [given for given, value in self._values().items() if self._has_rows(given, value)]
        if per_row:
            raise ValueError(f"{what}: expected one value of {per_row[0]}, got one per row; ask for each value in turn")
        if self._own_dims(name) and what != "log_density":
            raise NotImplementedError(f"{what}: {name} is a column of vectors; use .mean, .log_density or .sample")

    def _own_law(self, name: str) -> Any:
        """The distribution that a variable is set to, where nothing that is seen informs about it, else None."""
        law = self.settings.get(name)
        situation = self._situation({key: value[:1] for key, value in self.draws.items()})
        if law is None or isinstance(law, Tensor) or name in situation.above(list(self.seen)):
            return None
        self._check_possible()
        return law

    def _check_possible(self) -> None:
        """Raise a ValueError where what is seen has probability 0."""
        for part in self._parts() if self.seen else []:
            weigh(self._situation(part), None, None, self.seed)

    def _check_mean(self, name: str) -> None:
        """Raise a ValueError where a setting without a mean carries over to the variable, and nothing seen holds it."""
        situation = self._situation({key: value[:1] for key, value in self.draws.items()})
        held = situation.above(list(self.seen))
        for above in situation.above([name]):
            law = self.settings.get(above)
            if law is not None and above not in held and not has_mean(law):
                raise ValueError(
                    f"mean: {name} has no finite mean where {above} is set to {law}; ask for quantiles, or set "
                    "another distribution"
                )

    def _check_numbers(self, found: Tensor, what: str, points: Tensor | None = None) -> None:
        """Raise a ValueError where a formula of what is set, say, was not a number somewhere."""
        if bool(torch.isnan(found).any()):
            where = "" if points is None else f" at {points[torch.isnan(found)][0].tolist()}"
            laws = [f"{name} ~ {law}" for name, law in self.settings.items() if not isinstance(law, Tensor)]
            under = f" under {', '.join(laws)}" if laws else ""
            raise ValueError(
                f"{what}{where}{under}; expected formulas that are numbers wherever they are asked: set values or "
                "other distributions, or use .sample()"
            )

    def _points(self, name: str, at: Any, what: str) -> tuple[Tensor, torch.Size]:
        """The points of a question as [P] or [P, D], and the shape of its answer."""
        self._check_predictable(name, what)
        points = numbers(what, at)
        is_wrong = torch.isnan(points) if what == "cdf" else ~torch.isfinite(points)
        if bool(is_wrong.any()):
            raise ValueError(f"{what}: expected finite values, got {points.tolist()}")
        own = self._own_dims(name)
        width = self.model.mechanisms[name].num_columns if own else None
        if own and (points.ndim < 1 or points.shape[-1] != width):
            raise ValueError(f"{what}: {name} expects points of {width} numbers, got shape {tuple(points.shape)}")
        shape = points.shape[: points.ndim - own]
        return points.reshape(shape.numel(), *points.shape[points.ndim - own :]), shape

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
        return replace(total, log=total.log - float(torch.tensor(self._num_draws, dtype=torch.float64).log()))

    def _quantile(self, name: str, level: float) -> tuple[float, float | None]:
        """A quantile and its standard error: half of what it moves by as the level moves by the error of the CDF."""
        found = self._root(name, level)
        spread = self.cdf(name, found).error
        if spread is None:
            return found, None
        ends = [min(max(level + side * float(spread), 1e-12), 1.0 - 1e-12) for side in (-1.0, 1.0)]
        low, high = (self._root(name, end) for end in ends)
        return found, 0.5 * (high - low)

    def _root(self, name: str, level: float) -> float:
        """The quantile lies between the smallest and the largest of the components' own."""
        law, near, own = self.settings.get(name), [], self._own_law(name)
        for draws in self._parts():
            situation = self._situation(draws)
            component = weigh(situation, name, None, self.seed).joint.component(name) if own is None else own
            near.append(_around(component, level))
            is_whole = situation.is_integer_valued(name)
        if law is not None and is_finite(law):
            values = levels(law).sort().values
            return float(values[int((self.cdf(name, values) >= level * (1.0 - 1e-12)).nonzero()[0])])
        bracket = min(low for low, _ in near), max(high for _, high in near)
        find = whole_quantile_of if is_whole else quantile_of
        return find(lambda x: float(self.cdf(name, x)), level, bracket, name)


def _repeated(value: Tensor, size: int) -> Tensor:
    return value[None].expand(size, *value.shape)


def _lifted(value: Tensor, own: int, axis: int) -> Tensor:
    """A value as [1, 1, 1, ...], or values per row along an axis of [S, M, C, ...], beside `own` axes of their own."""
    if value.ndim == own:
        return value.reshape(1, 1, 1, *value.shape)
    shape = [1, 1, 1]
    shape[axis] = len(value)
    return value.reshape(*shape, *value.shape[1:])


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
