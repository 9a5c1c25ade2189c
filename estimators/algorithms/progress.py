"""The progress of a fit: a bar at a terminal and in a notebook, elsewhere lines of a logger where it takes long.

Lines are of the logger "estimators" at level INFO, to which nothing is done: where nobody listens they go nowhere.
"""

import logging
import sys
from functools import cache
from time import monotonic
from typing import Any

from tqdm import tqdm

from estimators.isolation import quietly_imported

# Seconds that a search takes before it is shown.
DELAY = 1.0
# Seconds before the first line, and between lines.
SECONDS = 10.0
LOGGER = logging.getLogger("estimators")


def progress(total: int, what: str, setting: bool | None) -> Any:
    """A progress bar on standard error: as set, or by default where somebody watches; else lines of the logger."""
    return _teller(setting, total=total, desc=what)


def search_progress(what: str, setting: bool | None) -> Any:
    """The same of a search, which counts starts and does not know how many it will need; of a short one, nothing."""
    return _teller(setting, desc=f"{what}, modes", unit=" starts", delay=DELAY)


def _teller(setting: bool | None, desc: str, total: int | None = None, unit: str = "it", delay: float = 0.0) -> Any:
    bar = bar_class()
    if setting is None and not (sys.stderr.isatty() or is_in_notebook(bar)):
        return _Lines(desc, total, unit)
    return bar(total=total, desc=desc, unit=unit, delay=delay, disable=setting is False, leave=False)


@cache
def bar_class() -> Any:
    """Tqdm's bar for where this process runs."""
    # In a notebook without ipywidgets, where tqdm falls back on text, it warns at its import.
    here = quietly_imported("tqdm.auto", Warning).tqdm

    # The thread by which tqdm watches slow bars would live on after the fit.
    return type("Bar", (here,), {"monitor_interval": 0})


def is_in_notebook(bar: Any) -> bool:
    """Whether a bar is a notebook's widget."""
    return any(base.__module__ == "tqdm.notebook" for base in bar.__mro__)


class _Lines:
    """What a bar would show, as a line of the logger every so often while long work goes on."""

    def __init__(self, desc: str, total: int | None, unit: str) -> None:
        self._desc, self._total, self._unit = desc, total, unit
        self._done, self._begun = 0, monotonic()
        self._told = self._begun

    def __enter__(self) -> "_Lines":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def update(self, count: int = 1) -> None:
        """Count what was done."""
        self._done += count
        now = monotonic()
        if now - self._told < SECONDS:
            return
        self._told = now
        # Without columns it has no bar: percent, count, time, time left, and rate.
        elapsed = now - self._begun
        LOGGER.info(tqdm.format_meter(self._done, self._total, elapsed, 0, prefix=self._desc, unit=self._unit))
