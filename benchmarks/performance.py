"""``docs/performance.md`` from ``benchmarks/results.json``: ``python -m benchmarks.performance``."""

import json
from pathlib import Path
from typing import Any

from benchmarks.jobs import READ, SOFTMAX
from benchmarks.side_by_side import RESULTS

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
HEAD = """# Speed

Made by `make bench` from one run, every job beside its peer: do not edit. Ratios are what to read; figures are of
one machine and its load ({cores} cores, {threads} threads, load {load:.1f}; Python {python}, torch {torch}).

| job | ours | asked | peer | peer / ours | |
|---|---|---|---|---|---|
"""
TAIL = """
## What this page does not cover

- Another machine, another day: run `make bench`. What else ran beside it is in the load above.
- Memory, and processors with other vector units: nothing is compiled for one processor alone.
- What an installation takes, and a first import: [installation](install.md).
"""


def main() -> None:
    stored = json.loads(RESULTS.read_text())
    jobs = stored["jobs"]
    lines = [_row(job) for job in jobs]
    PAGE.write_text(
        HEAD.format(**stored["machine"]) + "\n".join(lines) + "\n" + _limits(jobs, stored["machine"]["threads"]) + TAIL
    )


def _row(job: dict[str, Any]) -> str:
    asked = "" if job["asked"] is None else f"{job['asked']:.3g}"
    peer = "" if job["peer"] is None else f"{job['peer_name']} {job['peer']:.3g}"
    ratio = "" if job["peer"] is None else f"{job['peer'] / job['ours']:.1f}"
    return f"| {job['job']} | {job['ours']:.3g} {job['unit']} | {asked} | {peer} | {ratio} | {job['note']} |"


def _limits(jobs: list[dict[str, Any]], threads: int) -> str:
    """How far an EM iteration is from what it cannot do without."""
    ours, text = {job["job"]: job["ours"] for job in jobs}, ""
    for K in (2, 8):
        whole, softmax, read = (ours.get(name) for name in (f"EM, N = 1,000,000, K = {K}", SOFTMAX.format(K), READ))
        if whole is None or softmax is None or read is None:
            continue
        least = (softmax + read) / threads
        rest = max(whole - least, 0.0)
        text += (
            f"- EM on a million rows, K = {K}: the column is read in {read:.2f} ms, and its softmax\n"
            f"  (exponentials, logarithms, shares) takes {softmax:.1f} ms on one thread, {least:.1f} ms in all on\n"
            f"  {threads}. An iteration takes {whole:.1f} ms: {rest:.1f} ms are log joints, sums, M-step and waiting.\n"
        )
    return "\n## How far from the limit\n\n" + text if text else ""


if __name__ == "__main__":
    main()
