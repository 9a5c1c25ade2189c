"""The progress bar of a fit."""

import sys
from typing import Any

from tqdm import tqdm


def progress(total: int, what: str, setting: bool | None) -> Any:
    """A progress bar on standard error: as set, or by default where that is a terminal."""
    is_shown = sys.stderr.isatty() if setting is None else setting
    return _Bar(total=total, desc=what, disable=not is_shown, leave=False)


class _Bar(tqdm):  # type: ignore[misc]
    # The thread by which tqdm watches slow bars would live on after the fit.
    monitor_interval = 0
