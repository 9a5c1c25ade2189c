"""Interventional prediction: p(x | do(...)) by the truncated factorisation, for every draw of the Greeks at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import log
from numbers import Integral, Real
from typing import Any

import numpy as np
import pyro
import torch
from scipy.optimize import brentq
from torch import Tensor

from estimators.arviz_export import effective_sample_size
from estimators.data import LATENT
from estimators.isolation import check_seed, isolated
from estimators.model import CausalMixture
from estimators.nodes import WEIGHTS

# Elements of a [points, draws] density held at one time.
MAX_ELEMENTS = 4_000_000


@dataclass(frozen=True, eq=False)
class Estimate:
    """A quantity under every draw of the Greeks: ``draws`` [S, ...], one draw for a point fit.

    ``error`` is the standard error of each draw's value where it had to be simulated, None where it is exact.

    >>> Estimate(torch.tensor([1.0, 3.0])).value
    tensor(2.)
    """

    draws: Tensor
    num_chains: int = 1
    error: Tensor | None = None

    @property
    def value(self) -> Tensor:
        """The mean over draws [...]."""
        return self.draws.mean(0)

    @property
    def sd(self) -> Tensor:
        """The posterior standard deviation [...]. Raises ValueError on one draw."""
        self._need_draws("sd")
        return self.draws.std(0)

    @property
    def mcse(self) -> float:
        """The Monte Carlo standard error of a scalar `value`: sd / sqrt(ESS). Raises ValueError on one draw."""
        self._need_draws("mcse")
        if self.draws.ndim > 1:
            raise ValueError(f"mcse: expected one quantity, got one for each of {self.draws.shape[1]} rows")
        return float(self.draws.std()) / float(np.sqrt(effective_sample_size(self.draws, self.num_chains)))

    def interval(self, level: float = 0.9) -> tuple[Tensor, Tensor]:
        """The equal-tailed credible interval: quantiles (1 - level)/2 and (1 + level)/2 of the draws.

        Raises ValueError on one draw, which has no spread, and for a level outside (0, 1).
        """
        check_level(level)
        self._need_draws("interval")
        low, high = np.quantile(self.draws.numpy(), [(1 - level) / 2, (1 + level) / 2], axis=0)
        return torch.from_numpy(np.asarray(low)), torch.from_numpy(np.asarray(high))

    def _need_draws(self, what: str) -> None:
        if len(self.draws) < 2:
            raise ValueError(
                f"{what}: a point fit has one draw and no spread; use fit.laplace() for a normal approximation, "
                "or fit with NUTS()"
            )

    def __repr__(self) -> str:
        if len(self.draws) < 2:
            return f"Estimate({self.value.tolist()}; one draw)"
        return f"Estimate({self.value.tolist()}, sd {self.sd.tolist()}; {len(self.draws)} draws)"


@dataclass(frozen=True, eq=False)
class Query:
    """What the model says under an intervention, or when something is seen, for each draw of the Greeks.

    Under ``do(Z=k)``, p(x | do) = p(x | Z=k); under ``do(X=x)`` Z keeps its own distribution theta; where x is *seen*,
    Z has p(Z | x) instead. Densities, CDFs and quantiles are of the predictive distribution, the mixture over draws and
    over Z, in closed form.
    """

    model: CausalMixture
    draws: Mapping[str, Tensor]
    num_chains: int
    settings: Mapping[str, Tensor]
    seen: Mapping[str, Tensor] = field(default_factory=dict)

    def mean(self, name: str) -> Estimate:
        """E[name | do(...)] for every draw, as an Estimate of draws [S] ([S, rows] for settings per row)."""
        num_draws = len(self.draws[WEIGHTS])
        self._check_variable(name)
        if name in self.settings or name in self.seen:
            value = {**self.settings, **self.seen}[name].double()
            return Estimate(value.expand(num_draws, *value.shape), self.num_chains)
        node = self.model.nodes[name]
        means = node.mechanism.mean(node.local(self.draws), torch.arange(self.model.K), torch.zeros(0))
        means = means.expand(num_draws, self.model.K)
        if LATENT in self.settings:
            return Estimate(means[:, self.settings[LATENT]], self.num_chains)
        shares = self._log_weights().exp()
        return Estimate((shares * (means[:, None] if shares.ndim > 2 else means)).sum(-1), self.num_chains)

    def log_density(self, name: str, at: Any) -> Tensor:
        """log p(name = at | do(...)), averaged over draws on the density scale; the shape of `at`."""
        return self._predict(name, at, lambda d, x: d.log_prob(x), "log_density")

    def cdf(self, name: str, at: Any) -> Tensor:
        """P(name <= at | do(...)), averaged over draws; the shape of `at`."""
        return self._predict(name, at, lambda d, x: d.cdf(x).log(), "cdf").exp().clamp(0.0, 1.0)

    def quantile(self, name: str, level: Any) -> Tensor:
        """The value below which a share `level` in (0, 1) of p(name | do(...)) lies: the root of the CDF."""
        levels = numbers("level", level)
        for value in levels.reshape(-1).tolist():
            check_level(value)
        roots = [self._root(name, value) for value in levels.reshape(-1).tolist()]
        return torch.tensor(roots, dtype=torch.float64).reshape(levels.shape)

    def sample(self, num_rows: int, seed: int | None = None) -> dict[str, Tensor]:
        """Draw rows from p(· | do(...)) with `pyro.do`, each row with Greeks from a draw of the fit's own.

        Returns every observed variable [num_rows], and Z where a variable was seen. Settings per row must have this
        length.
        """
        if isinstance(num_rows, bool) or not isinstance(num_rows, Integral) or num_rows < 1:
            raise ValueError(f"sample: expected a positive number of rows, got {num_rows!r}")
        settings = {**self.settings, **self.seen}
        for name, value in settings.items():
            if value.ndim and len(value) != num_rows:
                how = "do" if name in self.settings else "given"
                raise ValueError(
                    f"sample: {how}({name}=...) has {len(value)} values, but {num_rows} rows were asked for"
                )
        with isolated(check_seed(seed)):
            which = torch.randint(len(self.draws[WEIGHTS]), (int(num_rows),))
            greeks = {name: value[which] for name, value in self.draws.items()}
            if self.seen and LATENT not in settings:
                shares = self._log_weights().exp()
                each = shares[which, torch.arange(len(which))] if shares.ndim > 2 else shares[which]
                settings[LATENT] = torch.multinomial(each, 1)[:, 0]
            # Given Z, the variables are independent, so that what is seen may as well be set.
            rows = pyro.do(self.model.rows, data=settings)(greeks, int(num_rows))
        return {name: column for name, column in rows.items() if name != LATENT or self.seen}

    def _log_weights(self) -> Tensor:
        """log p(Z = k | what is seen) for every draw, [S, K] ([S, rows, K] where one value per row is seen)."""
        log_weights = self.draws[WEIGHTS].log()
        for name, value in self.seen.items():
            values = value.double()
            likelihood = torch.stack(
                [
                    self._component(name, k).log_prob(values[:, None] if values.ndim else values).mT
                    if values.ndim
                    else self._component(name, k).log_prob(values)
                    for k in range(self.model.K)
                ],
                -1,
            )
            if values.ndim and log_weights.ndim == 2:
                log_weights = log_weights[:, None]
            log_weights = log_weights + (likelihood[:, None] if likelihood.ndim < log_weights.ndim else likelihood)
        return torch.log_softmax(log_weights, -1)

    def _check_variable(self, name: str) -> None:
        if name not in self.model.mechanisms:
            raise ValueError(f"expected a variable among {list(self.model.mechanisms)}, got {name!r}")

    def _predict(self, name: str, at: Any, log_of: Callable[[Any, Tensor], Tensor], what: str) -> Tensor:
        """The log of the mean over draws and over Z of a function of the component distributions, given as its log."""
        self._check_variable(name)
        if name in self.settings or name in self.seen:
            raise ValueError(f"{what}: {name} is {'set' if name in self.settings else 'seen'}, so it has no density")
        latent = self.settings.get(LATENT)
        if latent is not None and latent.ndim:
            raise ValueError(f"{what}: expected one value of Z, got one per row; ask for each value in turn")
        if any(value.ndim for value in self.seen.values()):
            raise ValueError(f"{what}: expected one value of what is seen, got one per row; ask for each in turn")
        points = numbers(what, at)
        if not bool(torch.isfinite(points).all()):
            raise ValueError(f"{what}: expected finite values, got {points.tolist()}")
        parts = points.reshape(-1).split(max(MAX_ELEMENTS // len(self.draws[WEIGHTS]), 1))
        return torch.cat([self._at(name, part, latent, log_of) for part in parts]).reshape(points.shape)

    def _at(self, name: str, points: Tensor, latent: Tensor | None, log_of: Callable[[Any, Tensor], Tensor]) -> Tensor:
        num_draws = len(self.draws[WEIGHTS])
        terms = []
        shares = self._log_weights()
        for k in range(self.model.K) if latent is None else [int(latent)]:
            log_weights = shares[:, k] if latent is None else 0.0
            values = log_of(self._component(name, k), points[:, None]) + log_weights
            terms.append(values.expand(len(points), num_draws).logsumexp(-1))
        return torch.stack(terms).logsumexp(0) - log(num_draws)

    def _component(self, name: str, k: int) -> Any:
        num_draws = len(self.draws[WEIGHTS])
        return self.model.nodes[name].distribution(self.draws, torch.full((num_draws,), k), {}).expand((num_draws,))

    def _root(self, name: str, level: float) -> float:
        """The quantile lies between the smallest and the largest of the components' own."""
        latent = self.settings.get(LATENT)
        self._predict(name, 0.0, lambda d, x: d.cdf(x).log(), "quantile")
        components = range(self.model.K) if latent is None else [int(latent)]
        ends = torch.stack(
            [self._component(name, k).icdf(torch.tensor(level, dtype=torch.float64)) for k in components]
        )
        low, high = float(ends.min()), float(ends.max())
        if low == high:
            return low
        return float(
            brentq(lambda x: float(self.cdf(name, x)) - level, low, high, xtol=1e-12 * max(abs(low), abs(high)))
        )


def check_settings(model: CausalMixture, settings: Mapping[str, Any], what: str = "do") -> dict[str, Tensor]:
    """Return the values set by do(...), or seen, as tensors, or raise a ValueError that names the variable."""
    if not settings:
        raise ValueError(f"{what}: expected at least one setting, e.g. {what}(Z=1)")
    known = [LATENT, *model.mechanisms]
    found: dict[str, Tensor] = {}
    for name, value in settings.items():
        if name not in known:
            raise ValueError(f"{what}: the model has no variable {name!r}; it has {known}")
        found[name] = _label(what, model.K, value) if name == LATENT else level_of(what, name, value)
    return found


def check_level(level: object) -> None:
    """Raise a ValueError unless a level is strictly between 0 and 1."""
    if isinstance(level, bool) or not isinstance(level, Real) or not 0.0 < float(level) < 1.0:
        raise ValueError(f"level: expected a number strictly between 0 and 1, got {level!r}")


def numbers(argument: str, value: Any) -> Tensor:
    """Return a value as a float64 tensor, or raise a TypeError that names the argument."""
    try:
        return torch.as_tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{argument}: expected numbers, got {value!r}") from None


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


def level_of(what: str, name: str, value: Any) -> Tensor:
    """Return the value that a variable is set to or seen at, one or one per row, or raise an error that names it."""
    try:
        level = torch.as_tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{what}: {name} expects a number (or one per row), got {value!r}") from None
    if level.ndim > 1 or not level.numel() or not bool(torch.isfinite(level).all()):
        raise ValueError(f"{what}: {name} expects a finite number (or one per row), got {value!r}")
    return level
