"""Statistical checks for pytest with computed tolerances, one false-alarm budget for the suite, and stated power.

The hooks are in `pytest_plugin`. Its fixture `stat` is a `Stat`, which makes the checks of `validation.statistics` and
enters them in the test's `Ledger`. Importing this package loads neither NumPy nor torch: `Stat` does, when it is first
asked for.
"""

from typing import TYPE_CHECKING, Any

from validation.testing.errors import StatisticalFailure, Underpowered

if TYPE_CHECKING:
    from validation.testing.stat import Stat

__all__ = ["Stat", "StatisticalFailure", "Underpowered"]


def __getattr__(name: str) -> Any:
    if name != "Stat":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from validation.testing.stat import Stat

    return Stat


def __dir__() -> list[str]:
    return __all__
