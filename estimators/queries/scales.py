"""On which scale two means are compared: their difference, ratio or odds ratio.

Quantiles and likelihood intervals of a ratio are those of its logarithm, exponentiated: neither depends on which of the
two is asked. Its mean and standard deviation over draws do.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from estimators.contract import Variable

# What is divided by a smaller share than this is divided by nothing, but for where an estimator stops short of 0.
EDGE = 1e-9


@runtime_checkable
class Scale(Protocol):
    """How an effect is stated."""

    def check(self, name: str, variable: Variable) -> None:
        """Raise ValueError where means of a variable cannot be compared on this scale, whatever they are."""

    def check_means(self, name: str, one: Tensor, other: Tensor) -> None:
        """Raise ValueError where these means cannot."""

    def compare(self, one: Tensor, other: Tensor) -> Tensor:
        """One mean against the other, entry by entry."""


@dataclass(frozen=True)
class Difference:
    """``E₁ - E₀``; of a variable of two levels, the risk difference.

    >>> Difference().compare(torch.tensor(0.5), torch.tensor(0.25))
    tensor(0.2500)
    """

    def check(self, name: str, variable: Variable) -> None:
        """Any two means have a difference."""

    def check_means(self, name: str, one: Tensor, other: Tensor) -> None:
        """Any two means have a difference."""

    def compare(self, one: Tensor, other: Tensor) -> Tensor:
        return one - other


DIFFERENCE = Difference()


@dataclass(frozen=True)
class Ratio:
    """``E₁ / E₀`` of positive means; of a variable of two levels, the risk ratio.

    At other Greeks, as those of a likelihood interval, a mean below 0 counts as 0.

    >>> Ratio().compare(torch.tensor(0.5), torch.tensor(0.25))
    tensor(2.)
    """

    def check(self, name: str, variable: Variable) -> None:
        """Whether means are positive is seen when they are there."""

    def check_means(self, name: str, one: Tensor, other: Tensor) -> None:
        low, base = float(one.min()), float(other.min())
        if not (low >= 0.0 and base > EDGE * float(one.max())):
            raise ValueError(
                f"effect: a Ratio needs positive means, got {low:.4g} for {name} over {base:.4g}; use Difference()"
            )

    def compare(self, one: Tensor, other: Tensor) -> Tensor:
        return one.clamp_min(0.0) / other.clamp_min(0.0)


@dataclass(frozen=True)
class OddsRatio:
    """``E₁ / (1 - E₁)`` over ``E₀ / (1 - E₀)``, of a variable of two levels, whose means are probabilities.

    >>> OddsRatio().compare(torch.tensor(0.5), torch.tensor(0.25))
    tensor(3.)
    """

    def check(self, name: str, variable: Variable) -> None:
        if variable.num_levels != 2:
            levels = "no levels" if variable.num_levels is None else f"{variable.num_levels} levels"
            raise ValueError(
                f"effect: an OddsRatio needs a variable of two levels, but {name} has {levels}; name one of them, "
                "event=..., or use Difference() or Ratio()"
            )

    def check_means(self, name: str, one: Tensor, other: Tensor) -> None:
        high, base = float(one.max()), float(other.min())
        if not (high < 1.0 - EDGE and base > EDGE):
            raise ValueError(
                f"effect: an OddsRatio needs a probability below 1 over one above 0, got {high:.4g} over {base:.4g} "
                f"for {name}; use Difference()"
            )

    def compare(self, one: Tensor, other: Tensor) -> Tensor:
        one, other = one.clamp(0.0, 1.0), other.clamp(0.0, 1.0)
        return one * (1.0 - other) / (other * (1.0 - one))
