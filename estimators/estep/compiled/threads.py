"""Work on parameter sets, or on rows, in as many threads as are worth it: each takes a range of it."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from itertools import pairwise

from estimators.isolation import num_threads

# Shares of a general term for which a thread is worth waking.
LEAST_WORK = 5_000
# Marks the threads that help: what they call works in one.
_THREAD = threading.local()


def in_ranges(part: Callable[[int, int], object], count: int, most: int) -> None:
    """Call `part` with the ends of ranges of ``count`` things, in at most so many threads, the caller's among them.

    Of errors in several ranges that of the first is raised, when all ranges have ended.
    """
    # To ask how many there may be takes as long as a small piece of work.
    threads = min(count, most) if min(count, most) < 2 else min(num_threads(), count, most)
    if threads < 2 or getattr(_THREAD, "is_helper", False):
        part(0, count)
        return
    ends = [count * number // threads for number in range(threads + 1)]
    own, *others = pairwise(ends)
    jobs, here = list[Future[object]](), [own]
    for first, last in others:
        try:
            jobs.append(_helpers(threads - 1).submit(part, first, last))
        except RuntimeError:
            # Where the interpreter is shutting down no thread starts any more.
            here.append((first, last))
    try:
        for first, last in here:
            part(first, last)
    finally:
        # The other threads write to arrays that the caller holds, and may let go of after an error.
        wait(jobs)
    for job in jobs:
        job.result()


@cache
def _helpers(number: int) -> ThreadPoolExecutor:
    """Threads that stay, since to start one takes longer than most pieces of work."""
    return ThreadPoolExecutor(number, thread_name_prefix="estimators", initializer=_mark)


def _mark() -> None:
    _THREAD.is_helper = True


if hasattr(os, "register_at_fork"):
    # A forked process has the executors, but none of their threads.
    os.register_at_fork(after_in_child=_helpers.cache_clear)
