"""Every job beside its peer in one run: ``make bench`` (or ``python -m benchmarks.side_by_side [--only nuts em]``).

Writes ``benchmarks/results.json``, of which ``docs/performance.md`` is made. Ratios are what to read: absolute speeds
depend on the machine and its load. A peer that is not installed is left out, and said to be.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

RESULTS = Path(__file__).parent / "results.json"


@dataclass(frozen=True)
class Measured:
    """One job: our figure and the peer's in the same unit, and what was asked of ours."""

    job: str
    unit: str
    ours: float
    peer: float | None
    peer_name: str
    asked: float | None
    note: str = ""

    def __str__(self) -> str:
        peer = f"{self.peer_name} {self.peer:.4g}" if self.peer is not None else f"{self.peer_name or 'no peer'}: -"
        ratio = f", {self.peer / self.ours:.1f} times" if self.peer is not None and self.ours else ""
        asked = "" if self.asked is None else f" (asked {self.asked:g})"
        return f"{self.job}: {self.ours:.4g} {self.unit}{asked}; {peer}{ratio}  {self.note}"


def seconds(action: Callable[[], Any], repeats: int = 1) -> tuple[float, Any]:
    """The least of some runs, and what the last one gave."""
    least, found = np.inf, None
    for _ in range(repeats):
        started = time.perf_counter()
        found = action()
        least = min(least, time.perf_counter() - started)
    return least, found


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "load": os.getloadavg()[0],
    }


def main() -> None:
    from benchmarks.jobs import JOBS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(JOBS), default=list(JOBS))
    chosen = parser.parse_args().only
    found: list[Measured] = []
    for name in chosen:
        for measured in _of(JOBS[name]):
            print(measured, flush=True)
            found.append(measured)
    RESULTS.write_text(json.dumps({"machine": machine(), "jobs": [asdict(one) for one in found]}, indent=1) + "\n")


def _of(job: Callable[[], Iterator[Measured]]) -> Iterator[Measured]:
    started = time.perf_counter()
    yield from job()
    print(f"  ({time.perf_counter() - started:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
