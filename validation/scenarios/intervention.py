"""What is asked of a fit: the distribution of an outcome under an intervention, and contrasts between two of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


def with_numbers(name: str, levels: Mapping[str, Sequence[str]]) -> str:
    """Return a variable's name with the numbers that its levels' names stand for, where these are averaged.

    >>> with_numbers("S", {"S": ("none", "mild")})
    'S (none=0, mild=1)'
    """
    numbered = ", ".join(f"{level}={number}" for number, level in enumerate(levels.get(name, ())))
    return f"{name} ({numbered})" if numbered else name


def said_of_numbers(levels: Mapping[str, Sequence[str]]) -> str:
    """Return what is said of means of levels with names, which tests may compare as those of any numbers; "" of none.

    >>> said_of_numbers({"S": ("none", "mild")})
    'Means of S (none=0, mild=1) are those of these numbers.'
    """
    return f"Means of {', '.join(with_numbers(name, levels) for name in levels)} are those of these numbers." * bool(
        levels
    )


@dataclass(frozen=True)
class Intervention:
    """``p(outcome | do(...))``; ``levels`` are the names of levels, by which it is called.

    >>> Intervention("X", {"Z": 1}).mean_name
    'E[X | do(Z=1)]'
    """

    outcome: str
    do: Mapping[str, Any]
    levels: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """As in ``X | do(Z=1)``."""
        values = {
            name: self.levels[name][int(value)] if name in self.levels else f"{value:g}"
            for name, value in self.settings.items()
        }
        return f"{self.outcome} | do({', '.join(f'{name}={value}' for name, value in values.items())})"

    @property
    def mean_name(self) -> str:
        return f"E[{self.name}]"

    @property
    def settings(self) -> dict[str, float]:
        """What is set, whole numbers as such: a label or a level is one."""
        numbers = {
            name: self.levels[name].index(value) if value in self.levels.get(name, ()) else value
            for name, value in self.do.items()
        }
        return {name: int(value) if float(value).is_integer() else value for name, value in numbers.items()}


@dataclass(frozen=True)
class Contrast:
    """``E[outcome | do(...)] − E[outcome | do(versus)]``, of two interventions on one outcome."""

    setting: Intervention
    versus: Intervention

    @property
    def name(self) -> str:
        return f"{self.setting.mean_name} − {self.versus.mean_name}"


def contrasts(interventions: Sequence[Intervention]) -> tuple[Contrast, ...]:
    """Return every intervention against the first on the same outcome."""
    first: dict[str, Intervention] = {}
    pairs = [(intervention, first.setdefault(intervention.outcome, intervention)) for intervention in interventions]
    return tuple(Contrast(intervention, versus) for intervention, versus in pairs if intervention is not versus)
