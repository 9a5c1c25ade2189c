"""``@pytest.mark.statistical(...)``: what a test asks for, and what it gets of the suite's false-alarm budget."""

import hashlib
from dataclasses import dataclass
from typing import Any, ClassVar

from validation.statistics.check import POWER, check_effect, check_number, check_probability
from validation.testing.manifest import Entry


@dataclass(frozen=True)
class MarkerSettings:
    """The marker's arguments, checked."""

    entry: Entry
    min_effect: float | None
    power: float


@dataclass(frozen=True)
class TestBudget:
    """What a test may spend: its id, the false-alarm probability of each of its checks, and its marker's settings."""

    __test__: ClassVar[bool] = False  # its name begins like that of a test class

    test: str
    alpha: float
    settings: MarkerSettings
    root_seed: int

    @property
    def replay(self) -> str:
        """The command that runs the test on the same numbers again."""
        return f'pytest "{self.test}" --statistical-seed={self.root_seed}'

    def seed(self, *purpose: object) -> int:
        """Return a seed below 2³² from the root seed, the test's id and what it is for (SHA-256)."""
        text = ":".join(map(str, (self.root_seed, self.test, *purpose)))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def marker_settings(args: tuple[Any, ...], kwargs: dict[str, Any]) -> MarkerSettings:
    """Return the marker's arguments; raise TypeError or ValueError where they are not what it takes."""
    names = ("weight", "checks", "min_effect", "power")
    unknown = [name for name in kwargs if name not in names]
    if args or unknown:
        raise TypeError(f"expected keywords among {', '.join(names)}, got {unknown or args}")
    weight, checks = kwargs.get("weight", 1.0), kwargs.get("checks", 1)
    effect = kwargs.get("min_effect")
    if isinstance(checks, bool) or not isinstance(checks, int) or checks < 1:
        raise ValueError(f"checks: expected a whole number, 1 or more, got {checks!r}")
    if not 0 < check_number("weight", weight) < float("inf"):
        raise ValueError(f"weight: expected a positive number, got {weight!r}")
    power = check_probability("power", kwargs.get("power", POWER))
    return MarkerSettings(Entry(float(weight), checks), None if effect is None else check_effect(effect), power)
