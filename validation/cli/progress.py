"""Progress of a run at a terminal: how many fits are done, how many failed, and the time left."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from validation.study.pool import TaskOutcome


@contextmanager
def progress(total: int, *, done: int = 0, quiet: bool = False) -> Iterator[Callable[[TaskOutcome], None]]:
    """Give a function to call with what came of each task; it shows nothing where `quiet`, or off a terminal."""
    with tqdm(desc="validation", total=total, initial=done, unit="row", disable=quiet or None) as bar:
        failed = 0

        def advance(outcome: TaskOutcome) -> None:
            nonlocal failed
            failed += sum(row.failed for row in outcome.rows)
            first = outcome.rows[0]
            bar.set_postfix_str(f"{first.scenario}/{first.estimator}, {failed} failed", refresh=False)
            bar.update(len(outcome.rows))

        yield advance
