"""A quantity under every draw of the Greeks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Self

import numpy as np
import torch
from torch import Tensor

from estimators.checks import check_level
from estimators.data.words import LINE, cut, in_few_digits
from estimators.diagnostics import mean_error
from estimators.isolation import own_modes
from estimators.modes.profile import Interval, profile
from estimators.modes.table import SHARE
from estimators.queries.prediction import AtRivals, rivals_in_words
from estimators.queries.source import Source, aligned, at_coordinates, function_of


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
    # What it is of; None of an estimate that was made by hand, and of the draws of one mode.
    source: Source | None = field(default=None, repr=False)

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
        """The Monte Carlo standard error of a scalar `value`, sd / sqrt(ESS of the mean). Raises on few draws."""
        self._need_draws("mcse")
        if self.draws.ndim > 1:
            raise ValueError(f"mcse: expected one quantity, got one for each of {self.draws.shape[1]} rows")
        return mean_error(self.draws, self.num_chains)

    def interval(self, level: float = 0.9) -> Interval[Tensor]:
        """The equal-tailed credible interval: quantiles (1 - level)/2 and (1 + level)/2 of the draws.

        Raises ValueError on one draw, which has no spread, and for a level outside (0, 1).

        >>> low, high = Estimate(torch.tensor([[1.0, 5.0], [3.0, 7.0]])).interval(0.5)
        >>> Estimate(torch.tensor([[1.0, 5.0], [3.0, 7.0]])).interval(0.5)
        ([1.5, 5.5], [2.5, 6.5])
        """
        check_level(level)
        self._need_draws("interval")
        low, high = np.quantile(self.draws.numpy(), [(1 - level) / 2, (1 + level) / 2], axis=0)
        return Interval(torch.from_numpy(np.asarray(low)), torch.from_numpy(np.asarray(high)))

    @own_modes()
    def profile(self, level: float = 0.9) -> list[Interval[float]]:
        """The likelihood interval of one quantity, or the intervals where several modes have their own: (low, high).

        ``{q(φ) : log p(data | φ) >= log p(data | φ̂) - χ²₁(level) / 2}``, in units of the quantity, over all Greeks φ;
        of a fit that rests on priors (MAP) with ``log p(data, φ)`` in place of the likelihood. Where the data do not
        determine the quantity this is the whole range that they allow. Of a quantity that is simulated, at the random
        numbers of the question. Warns where the interval may be longer still.

        Raises ValueError for a fit of draws, which has `interval`; where there is a value for each row; and for an
        estimate that no question to a fit made. Source: Venzon & Moolgavkar (1988), Applied Statistics 37.

        >>> fit = EM().fit(CausalMixture(1, {"X": Gaussian(scale=1.0)}), {"X": [0.0, 1.0, 2.0, 5.0]}, seed=0)
        >>> [(round(low, 3), round(high, 3)) for low, high in fit.do(Z=0).mean("X").profile(0.95)]
        [(1.02, 2.98)]
        """
        check_level(level)
        if self.draws.ndim > 1:
            shape = tuple(self.draws.shape[1:])
            raise ValueError(f"profile: expected one quantity, got values of shape {shape}; ask for one at a time")
        if self.source is None:
            raise ValueError(
                "profile: this estimate does not know what it is at other Greeks; ask a fit for a mean or a contrast, "
                "e.g. fit.do(T=1).mean('Y').profile()"
            )
        density = self.source.origin.density()
        quantity = partial(at_coordinates, self.source.values, density, self.error is not None)
        return profile(self.source.origin.maxima(density), quantity, level)

    @property
    def rivals(self) -> Tensor:
        """The quantity at the other modes that count, of a point fit that has any, as [R, ...]: rows may not decide."""
        return self.at_rivals.values

    @cached_property
    def at_rivals(self) -> AtRivals:
        """The same, and which of these modes, and whether the fit's own, leave Greeks open."""
        if self.source is None:
            return AtRivals(self.draws[:0])
        found = self.source.origin.rivals()
        if found.greeks is None:
            return AtRivals(self.draws[:0], (), found.is_open)
        with own_modes():
            return AtRivals(self.source.values(found.greeks).values, found.are_open, found.is_open)

    @property
    def by_mode(self) -> list[tuple[float, "Estimate"]]:
        """The share of the draws that each mode has, and the quantity there, the heaviest first; of 1 % and more.

        A mean over modes that answer differently is what none of them says. One entry where draws are of one mode.
        """
        of_draw = None if self.source is None else self.source.origin.mode_of_draw
        if of_draw is None or len(of_draw) != len(self.draws):
            return [(1.0, self)]
        masks = [of_draw == mode for mode in of_draw.unique()]
        parts = [(float(mask.double().mean()), self._of_draws(mask)) for mask in masks]
        return sorted((part for part in parts if part[0] >= SHARE), key=lambda part: -part[0])

    def _of_draws(self, mask: Tensor) -> Self:
        error = None if self.error is None else self.error[mask]
        return replace(self, draws=self.draws[mask], num_chains=1, error=error, source=None)

    def _need_draws(self, what: str) -> None:
        if len(self.draws) < 2:
            raise ValueError(
                f"{what}: a point fit has no spread; ask for .profile(0.9), the interval of the likelihood, use "
                "fit.laplace() for a normal approximation, or fit with NUTS()"
            )

    def __float__(self) -> float:
        """The value of one quantity. Raises TypeError where there is one for each row, or level."""
        if self.draws.ndim > 1:
            raise TypeError(
                f"Estimate: expected one quantity for a float, got values of shape {tuple(self.draws.shape[1:])}; "
                "its .value has all of them"
            )
        return float(self.value)

    def __format__(self, spec: str) -> str:
        """As a number where a format is given: ``f"{effect:.2f}"`` is its value."""
        return format(float(self), spec) if spec else str(self)

    def __repr__(self) -> str:
        error = "" if self.error is None else f", simulated to ± {in_few_digits(self.error.mean(0))}"
        value = in_few_digits(self.value)
        if len(self.draws) < 2:
            return cut(f"Estimate({value}; a point estimate{error}{rivals_in_words(self)})", LINE)
        low, high = map(in_few_digits, self.interval(0.9))
        spread = f"sd {in_few_digits(self.sd)}, 90 % interval {low} to {high}"
        parts = ", ".join(f"{in_few_digits(one.value)} ({share:.0%})" for share, one in self.by_mode)
        # Of many quantities the line is cut before its end.
        whole = f"{value}; by mode {parts}; {spread}" if len(self.by_mode) > 1 else f"{value}, {spread}"
        return cut(f"Estimate({whole}; {len(self.draws)} draws{error})", LINE)


def combined(function: Callable[..., Tensor], estimates: Sequence[Estimate], *, are_independent: bool) -> Estimate:
    """A function of several quantities, draw by draw and row by row, with its error by the delta method.

    Of simulations that share random numbers, the sum of what their errors make, which the error is at most.
    """
    values = aligned([estimate.draws for estimate in estimates])
    draws, num_chains = function(*values), estimates[0].num_chains
    sources = [estimate.source for estimate in estimates if estimate.source is not None]
    is_known = len(sources) == len(estimates)
    quantity = partial(function_of, function, [one.values for one in sources])
    source = Source(quantity, sources[0].origin) if is_known else None
    errors = [estimate.error for estimate in estimates]
    if not any(error is not None for error in errors):
        return Estimate(draws, num_chains, source=source)
    points = [value.clone().requires_grad_() for value in values]
    slopes = torch.autograd.grad(function(*points).sum(), points)
    both = aligned([torch.zeros_like(e.draws) if e.error is None else e.error for e in estimates])
    changes = torch.stack([slope.abs() * error for slope, error in zip(slopes, both, strict=True)])
    error = changes.square().sum(0).sqrt() if are_independent else changes.sum(0)
    return Estimate(draws, num_chains, error, source)
