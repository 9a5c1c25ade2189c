"""The progress bar of a fit."""

import sys
from typing import Any

from tqdm import tqdm

# Seconds that a search takes before it is shown.
DELAY = 1.0


def progress(total: int, what: str, setting: bool | None) -> Any:
    """A progress bar on standard error: as set, or by default where that is a terminal."""
    is_shown = sys.stderr.isatty() if setting is None else setting
    return _Bar(total=total, desc=what, disable=not is_shown, leave=False)


def search_progress(what: str, setting: bool | None) -> Any:
    """The same of a search, which counts starts and does not know how many it will need; of a short one, nothing."""
    is_shown = sys.stderr.isatty() if setting is None else setting
    return _Bar(desc=f"{what}, modes", unit=" starts", disable=not is_shown, leave=False, delay=DELAY)


class _Bar(tqdm):  # type: ignore[misc]
    # The thread by which tqdm watches slow bars would live on after the fit.
    monitor_interval = 0
