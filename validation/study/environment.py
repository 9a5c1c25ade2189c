"""What a result depends on beside its seed: versions, and the machine that made it."""

import importlib.metadata
import os
import platform
from functools import cache
from typing import Any

PACKAGES = ("exact-estimators", "torch", "pyro-ppl", "arviz", "scipy", "numpy", "nutpie")


@cache
def environment() -> dict[str, Any]:
    """Return versions of Python and the packages, and what the machine is."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "python": platform.python_version(),
        "packages": versions,
        "machine": {
            "node": platform.node(),
            "system": platform.platform(),
            "processor": platform.machine(),
            "cores": os.cpu_count() or 1,
        },
    }
