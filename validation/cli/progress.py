"""Progress of a run at a terminal: how many fits are done, how many failed, and the time left."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from validation.study.pool import CellOutcome


@contextmanager
def progress(total: int, *, done: int = 0, quiet: bool = False) -> Iterator[Callable[[CellOutcome], None]]:
    """Give a function that is told of every cell that ends; it shows nothing where `quiet`, or off a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("validation"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("", total=total, completed=done)
        failed = 0

        def advance(outcome: CellOutcome) -> None:
            nonlocal failed
            failed += sum(row.failed for row in outcome.rows)
            first = outcome.rows[0]
            bar.update(task, advance=1, description=f"{first.scenario}/{first.estimator}, {failed} failed")

        yield advance
