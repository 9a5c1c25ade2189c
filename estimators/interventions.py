"""Interventional prediction: p(x | do(...)) by the truncated factorisation, for every draw of the Greeks at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from scipy.optimize import brentq
from torch import Tensor

from estimators.data import LATENT
from estimators.estimate import Estimate, check_level, level_of, numbers
from estimators.isolation import check_seed, isolated
from estimators.labels import numbers_of
from estimators.model import CausalMixture
from estimators.nodes import WEIGHTS
from estimators.predictive import Joint, Setting, Situation
from estimators.priors import as_prior
from estimators.status import EstimationError

# Elements of a [points, draws, configurations] density held at one time.
MAX_ELEMENTS = 4_000_000
# Values drawn of a variable that is set at random to a distribution without a closed form.
SIMULATED_VALUES = 2_000


@dataclass(frozen=True, eq=False)
class Query:
    """What the model says under an intervention, or when something is seen, for each draw of the Greeks.

    Under ``do(...)`` a variable keeps nothing of its own mechanism; what is *seen* informs about everything above it,
    Z too. Means, densities, CDFs and quantiles are exact: a mixture over draws, Z and the unset discrete causes, with
    Gaussian causes integrated out. Densities, CDFs and quantiles are of the predictive distribution, over all draws.

    A setting may be a number, one per row, or a Pyro distribution (a stochastic intervention). One that is neither
    discrete nor Normal is simulated by 2,000 values: means then state their standard error (`Estimate.error`).
    """

    model: CausalMixture
    draws: Mapping[str, Tensor]
    num_chains: int
    settings: Mapping[str, Setting]
    seen: Mapping[str, Tensor] = field(default_factory=dict)
    label_names: tuple[str, ...] = ()

    def given(self, /, **seen: Any) -> "Query":
        """The same question where something is also seen, after the intervention: ``fit.do(T=1).given(W=0)``."""
        if self.label_names and LATENT in seen:
            seen = {**seen, LATENT: numbers_of("given", LATENT, seen[LATENT], self.label_names)}
        found = check_settings(self.model, seen, "given")
        both = [name for name in found if name in self.settings]
        if both:
            raise ValueError(f"given: {both[0]} is set by do(...), so it cannot be seen as well")
        for name, value in found.items():
            if not isinstance(value, Tensor):
                raise ValueError(f"given: {name} expects a value, got {value}")
        return replace(self, seen={**self.seen, **found})

    def mean(self, name: str) -> Estimate:
        """E[name | do(...)] for every draw, as an Estimate of draws [S] ([S, rows] for settings per row)."""
        self._check_variable(name)
        fixed = {**self.settings, **self.seen}.get(name)
        if isinstance(fixed, Tensor):
            return Estimate(_repeated(fixed.double(), self._num_draws), self.num_chains)
        settings, simulated = self._simulated(name)
        parts = []
        for part in self._parts(self._num_rows(settings)):
            joint = self._situation(settings, part).joint(name)
            parts.append(_mean(joint, name))
        means = torch.cat(parts)
        if simulated:
            error = means.std(1) / float(np.sqrt(means.shape[1]))
            return Estimate(means.mean(1), self.num_chains, error)
        return Estimate(means if self._is_per_row else means[:, 0], self.num_chains)

    def log_density(self, name: str, at: Any) -> Tensor:
        """log p(name = at | do(...)), averaged over draws on the density scale; the shape of `at` (less D)."""
        return self._predict(name, at, lambda d, x: d.log_prob(x), "log_density")

    def cdf(self, name: str, at: Any) -> Tensor:
        """P(name <= at | do(...)), averaged over draws; the shape of `at`."""
        return self._predict(name, at, _log_cdf, "cdf").exp().clamp(0.0, 1.0)

    def quantile(self, name: str, level: Any) -> Tensor:
        """The value below which a share `level` in (0, 1) of p(name | do(...)) lies: the root of the CDF.

        Of a discrete variable, the smallest value whose CDF reaches the level.
        """
        levels = numbers("level", level)
        for value in levels.reshape(-1).tolist():
            check_level(value)
        self._check_predictable(name, "quantile")
        found = [self._quantile(name, value) for value in levels.reshape(-1).tolist()]
        return torch.tensor(found, dtype=torch.float64).reshape(levels.shape)

    def sample(self, num_rows: int, seed: int | None = None) -> dict[str, Tensor]:
        """Draw rows from p(· | do(...)) with `pyro.do`, each row with Greeks from a draw of the fit's own.

        Returns every observed variable [num_rows], and Z where a variable was seen. Settings per row must have this
        length.
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
            settings = {name: self._drawn(name, value, int(num_rows)) for name, value in self._values().items()}
            if self.seen:
                lifted = {name: _lifted(value, self._own_dims(name), 0) for name, value in settings.items()}
                done = {name: value for name, value in lifted.items() if name in self.settings}
                seen = {name: value for name, value in lifted.items() if name in self.seen}
                drawn = Situation(self.model, greeks, done, seen).joint().draw()
                settings |= {name: value.long() if name == LATENT else value for name, value in drawn.items()}
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

    def _num_rows(self, settings: Mapping[str, Setting]) -> int:
        """M: the values per row, all of one number."""
        values = {**settings, **self.seen}
        sizes = {name: len(value) for name, value in values.items() if self._has_rows(name, value)}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"expected as many values of each variable, got {sizes}")
        return next(iter(sizes.values()), 1)

    def _parts(self, size: int) -> list[dict[str, Tensor]]:
        step = max(MAX_ELEMENTS // max(size * self.model.K * 8, 1), 1)
        starts = range(0, self._num_draws, step)
        return [{name: value[start : start + step] for name, value in self.draws.items()} for start in starts]

    def _simulated(self, target: str) -> tuple[dict[str, Setting], bool]:
        """The settings, with values in place of a distribution that has no closed form, and whether there is one."""
        found, is_simulated = dict(self.settings), False
        for name, value in self.settings.items():
            if isinstance(value, Tensor | dist.Normal) or value.has_enumerate_support:
                continue
            if name == target and not self.seen:
                continue
            if self._is_per_row:
                raise NotImplementedError(f"do: {name} is set to {value}, which is simulated, beside settings per row")
            with isolated(0):
                found[name] = value.sample(torch.Size([SIMULATED_VALUES])).double()
            is_simulated = True
        return found, is_simulated

    def _situation(self, settings: Mapping[str, Setting], draws: Mapping[str, Tensor]) -> Situation:
        return Situation(
            self.model,
            draws,
            {n: _lifted(v, self._own_dims(n), 1) if isinstance(v, Tensor) else v for n, v in settings.items()},
            {name: _lifted(value, self._own_dims(name), 1) for name, value in self.seen.items()},
        )

    def _drawn(self, name: str, value: Setting, num_rows: int) -> Tensor:
        """A setting as one value per row."""
        if not isinstance(value, Tensor):
            drawn: Tensor = value.sample(torch.Size([num_rows]))
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

    def _predict(self, name: str, at: Any, log_of: Callable[[Any, Tensor], Tensor], what: str) -> Tensor:
        """The log of the mean over draws and configurations of a function of the components, given as its log."""
        self._check_predictable(name, what)
        points = numbers(what, at)
        if not bool(torch.isfinite(points).all()):
            raise ValueError(f"{what}: expected finite values, got {points.tolist()}")
        own = self._own_dims(name)
        width = self.model.mechanisms[name].num_columns if own else None
        if own and (points.ndim < 1 or points.shape[-1] != width):
            raise ValueError(f"{what}: {name} expects points of {width} numbers, got shape {tuple(points.shape)}")
        shape = points.shape[: points.ndim - own]
        flat = points.reshape(shape.numel(), *points.shape[points.ndim - own :])
        settings, _ = self._simulated(name)
        terms = []
        for draws in self._parts(self._num_rows(settings)):
            joint = self._situation(settings, draws).joint(name)
            terms.append(_log_total(joint, name, flat, log_of))
        total = self._num_draws * self._num_rows(settings)
        return (torch.stack(terms).logsumexp(0) - float(np.log(total))).reshape(shape)

    def _quantile(self, name: str, level: float) -> float:
        """The quantile lies between the smallest and the largest of the components' own."""
        settings, _ = self._simulated(name)
        discrete = name == LATENT or not self.model.mechanisms[name].is_gaussian
        if discrete and name not in self.settings:
            return self._discrete_quantile(name, level)
        target = torch.tensor(level, dtype=torch.float64)
        ends = []
        for draws in self._parts(self._num_rows(settings)):
            found = self._situation(settings, draws).joint(name).component(name).icdf(target)
            ends += [float(found.min()), float(found.max())]
        low, high = min(ends), max(ends)
        if low == high:
            return low
        return float(
            brentq(lambda x: float(self.cdf(name, x)) - level, low, high, xtol=1e-12 * max(abs(low), abs(high)))
        )

    def _discrete_quantile(self, name: str, level: float) -> float:
        """The smallest whole number whose CDF reaches the level, by doubling and halving."""
        high = 1
        while float(self.cdf(name, high)) < level - 1e-12:
            high *= 2
            if high > 1e15:
                raise EstimationError(f"quantile: the CDF of {name} does not reach {level}")
        low = -1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if float(self.cdf(name, middle)) >= level - 1e-12 else (middle, high)
        return float(high)


def check_settings(model: CausalMixture, settings: Mapping[str, Any], what: str = "do") -> dict[str, Setting]:
    """Return the values set by do(...), or seen, as tensors, or raise a ValueError that names the variable."""
    if not settings:
        raise ValueError(f"{what}: expected at least one setting, e.g. {what}(Z=1)")
    known = [LATENT, *model.mechanisms]
    found: dict[str, Setting] = {}
    for name, value in settings.items():
        if name not in known:
            raise ValueError(f"{what}: the model has no variable {name!r}; it has {known}")
        if isinstance(value, torch.distributions.Distribution):
            found[name] = _random_setting(model, what, name, value)
        elif name == LATENT:
            found[name] = _label(what, model.K, value)
        else:
            mechanism = model.mechanisms[name]
            level = level_of(what, name, value, mechanism.num_columns)
            mechanism.check(
                f"{name} in {what}(...)", level if level.ndim > (mechanism.num_columns is not None) else level[None]
            )
            found[name] = level
    return found


def _random_setting(model: CausalMixture, what: str, name: str, value: Any) -> TorchDistributionMixin:
    """A stochastic intervention: a distribution of one number whose values the variable can have."""
    if what != "do":
        raise ValueError(f"{what}: {name} expects a value, got {value}")
    given = as_prior(f"{what}: {name}", value)
    if given.batch_shape or given.event_shape:
        raise ValueError(
            f"{what}: {name} expects a distribution of one number, got batch {tuple(given.batch_shape)}, "
            f"event {tuple(given.event_shape)}"
        )
    levels = model.K if name == LATENT else model.mechanisms[name].num_levels
    if levels is not None:
        values = given.enumerate_support() if given.has_enumerate_support else torch.full((1,), torch.nan)
        if not bool(((values >= 0) & (values < levels)).all()):
            raise ValueError(f"{what}: {name} expects a distribution over 0 to {levels - 1}, got {given}")
    elif name != LATENT and model.mechanisms[name].num_columns is not None:
        raise ValueError(f"{what}: {name} is a column of vectors; set it to values")
    return given


def _label(what: str, num_components: int, value: Any) -> Tensor:
    expected = f"a label from 0 to {num_components - 1}"
    try:
        labels = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{what}: Z expects {expected}, got {value!r}") from None
    fits = labels.dtype != torch.bool and labels.ndim < 2 and labels.numel() > 0
    if not fits or not bool(((labels >= 0) & (labels < num_components) & (labels == labels.long())).all()):
        raise ValueError(f"{what}: Z expects {expected} (or one per row), got {value!r}")
    return labels.long()


def _repeated(value: Tensor, size: int) -> Tensor:
    return value[None].expand(size, *value.shape)


def _lifted(value: Tensor, own: int, axis: int) -> Tensor:
    """A value as [1, 1, 1, ...], or values per row along an axis of [S, M, C, ...], beside `own` axes of their own."""
    if value.ndim == own:
        return value.reshape(1, 1, 1, *value.shape)
    shape = [1, 1, 1]
    shape[axis] = len(value)
    return value.reshape(*shape, *value.shape[1:])


def _mean(joint: Joint, name: str) -> Tensor:
    """E[name | seen] as [S, M, ...]: the components' means, by the weights of the configurations."""
    component, shares = joint.component(name), joint.log_weights.exp()
    own = len(component.event_shape)
    means = component.mean.double()
    while means.ndim < 3 + own:
        means = means[None]
    weights = shares.reshape(*shares.shape, *[1] * own)
    total: Tensor = (weights * means).sum(2)
    return total


def _log_total(joint: Joint, name: str, points: Tensor, log_of: Callable[[Any, Tensor], Tensor]) -> Tensor:
    """log Σ over draws, rows and configurations of a function of the components at each point [P]."""
    component, weights = joint.component(name), joint.log_weights
    found = []
    for part in points.split(max(MAX_ELEMENTS // weights.numel(), 1)):
        at = part.reshape(len(part), 1, 1, 1, *part.shape[1:])
        values = log_of(component, at) + weights
        found.append(values.flatten(1).logsumexp(-1))
    return torch.cat(found)


def _log_cdf(component: Any, at: Tensor) -> Tensor:
    if isinstance(component, dist.Delta):
        reached: Tensor = component.v <= at
        return reached.double().log()
    if isinstance(component, dist.Bernoulli):
        return torch.where(at < 0, 0.0, torch.where(at < 1, 1.0 - component.probs, 1.0)).log()
    return component.cdf(at).log()  # type: ignore[no-any-return]
