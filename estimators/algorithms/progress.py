"""The progress bar of a fit."""

import sys
from typing import Any

from tqdm import tqdm


def shows_progress(setting: bool | None) -> bool:
    """Whether to draw a progress bar: as set, or by default where standard error is a terminal."""
    return sys.stderr.isatty() if setting is None else setting


def progress(total: int, what: str, setting: bool | None) -> Any:
    """A progress bar on standard error."""
    return _Bar(total=total, desc=what, disable=not shows_progress(setting), leave=False)


class _Bar(tqdm):  # type: ignore[misc]
    # The thread by which tqdm watches slow bars would live on after the fit.
    monitor_interval = 0
