"""What may fail, with what it said: a value or the exception in words, its warnings and its seconds."""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Attempt(Generic[T]):
    """What came of an action: its value or the exception in words, the warnings it gave, the seconds it took."""

    value: T | None
    error: str
    warnings: tuple[str, ...]
    seconds: float

    def after(self, before: "Attempt[Any]") -> "Attempt[T]":
        """Return the same with the seconds of what had to be done before."""
        return replace(self, seconds=before.seconds + self.seconds)


def attempt(action: Callable[[], T]) -> Attempt[T]:
    """Run an action; every exception but a request to stop becomes text, a panic of a compiled library included."""
    start = time.perf_counter()
    value, error = None, ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            value = action()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as problem:
            error = f"{type(problem).__name__}: {problem}"
    messages = tuple(dict.fromkeys(f"{w.category.__name__}: {w.message}" for w in caught))
    return Attempt(value, error, messages, time.perf_counter() - start)
