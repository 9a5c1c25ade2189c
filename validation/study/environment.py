"""What a result depends on beside its seed: versions, and the machine that made it."""

import importlib.metadata
import os
import platform
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from typing import Any

PACKAGES = ("exact-estimators", "torch", "pyro-ppl", "arviz", "scipy", "numpy", "nutpie")


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the version of each package, or that it is not installed."""
    installed = dict.fromkeys(packages, "not installed")
    for name in installed:
        with suppress(importlib.metadata.PackageNotFoundError):
            installed[name] = importlib.metadata.version(name)
    return installed


@cache
def environment() -> dict[str, Any]:
    """Return versions of Python and the packages, and what the machine is."""
    return {
        "python": platform.python_version(),
        "packages": versions(PACKAGES),
        "machine": {
            "node": platform.node(),
            "system": platform.platform(),
            "processor": platform.machine(),
            "cores": os.cpu_count() or 1,
        },
    }
