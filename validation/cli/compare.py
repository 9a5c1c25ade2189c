"""The command that compares two studies: ``python -m validation compare``."""

import argparse
from contextlib import closing
from pathlib import Path

import numpy as np

from validation.claims.compare import compare
from validation.claims.results import Results, results_of
from validation.cli.commands import UnusableArgumentError
from validation.study.store import Store


def compare_command(options: argparse.Namespace) -> int:
    """Print what changed between two studies, and return the exit status."""
    old, new = (_read(path) for path in (options.old, options.new))
    try:
        comparison = compare(old, new, false_alarm=options.false_alarm)
    except ValueError as problem:
        raise UnusableArgumentError(str(problem)) from problem
    for change in comparison.changes:
        way = "WORSE " if change.worse else "better"
        old_size, new_size = change.replicates
        sizes = f"{old_size} pairs of" if change.paired else f"{old_size} and {new_size}"
        print(
            f"{way}  {change.scenario} / {change.estimator}: {change.measure} {change.old:.3g} -> {change.new:.3g} "
            f"(p = {change.p_value:.1e}, {sizes} replicates)"
        )
    for claim, before, after in comparison.verdicts:
        print(f"verdict  {claim}: {before.name} -> {after.name}")
    for line in comparison.only:
        print(line)
    ratios = [ratio for ratio in comparison.seconds.values() if np.isfinite(ratio)]
    if ratios:
        print(f"Time per fit, new/old: median {np.median(ratios):.2f}, from {min(ratios):.2f} to {max(ratios):.2f}")
    print(comparison.outcome)
    return comparison.exit_status


def _read(path: Path) -> Results:
    with closing(Store.open(path)) as store:
        return results_of(store)
