"""Progress of a run: how many rows are done, how fast, how many failed, and the time left."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tqdm import tqdm

from validation.study.pool import TaskOutcome

SECONDS = 10.0  # between two lines where there is no terminal


@contextmanager
def progress(total: int, *, done: int = 0, quiet: bool = False) -> Iterator[Callable[[TaskOutcome], None]]:
    """Give a function to call with what came of each task; nothing is shown where `quiet`.

    On standard error: a bar at a terminal, and elsewhere a line each ten seconds, the first after ten.
    """
    if quiet:
        yield lambda outcome: None
    elif sys.stderr.isatty():
        with _bar(total, done) as advance:
            yield advance
    else:
        with _lines(total, done) as advance:
            yield advance


@dataclass
class Rows:
    """The rows of a run: `total` of the study, `before` that were there when it began, and what came since.

    Time is taken from the first that came, `first` rows at once: workers take long to start.
    """

    total: int
    before: int
    new: int = 0
    failed: int = 0
    first: int = 0
    begun: float = 0.0

    def add(self, outcome: TaskOutcome) -> None:
        """Count what came of a task."""
        if not self.new:
            self.first, self.begun = len(outcome.rows), time.monotonic()
        self.new += len(outcome.rows)
        self.failed += sum(row.failed for row in outcome.rows)

    def __str__(self) -> str:
        """As in ``120 of 600 rows, 12 a second, 40 s left, 0 failed``."""
        done, timed = self.before + self.new, self.new - self.first
        speed = "starting"
        if timed:
            rate = timed / max(time.monotonic() - self.begun, 1e-9)
            speed = f"{rate:.2g} a second, {duration((self.total - done) / rate)} left"
        return f"{done} of {self.total} rows, {speed}, {self.failed} failed"


def duration(seconds: float) -> str:
    """Return seconds in words.

    >>> duration(7.2), duration(130.0), duration(3700.0)
    ('7 s', '2 min 10 s', '1 h 1 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left} min" if hours else f"{minutes} min {rest} s"


@contextmanager
def _bar(total: int, done: int) -> Iterator[Callable[[TaskOutcome], None]]:
    with tqdm(desc="validation", total=total, initial=done, unit="row") as bar:
        rows = Rows(total, done)

        def advance(outcome: TaskOutcome) -> None:
            rows.add(outcome)
            first = outcome.rows[0]
            bar.set_postfix_str(f"{first.scenario}, {rows.failed} failed", refresh=False)
            bar.update(len(outcome.rows))

        yield advance


@contextmanager
def _lines(total: int, done: int) -> Iterator[Callable[[TaskOutcome], None]]:
    rows, has_ended = Rows(total, done), threading.Event()

    def tell() -> None:
        # By a thread: where one task takes long, or workers are still starting, that is said too.
        while not has_ended.wait(SECONDS):
            print(f"validation: {rows}", file=sys.stderr, flush=True)

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield rows.add
    finally:
        has_ended.set()
        teller.join()
