"""Work on parameter sets, or on rows, in as many threads as are worth it: each takes a range of it."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import lru_cache
from itertools import pairwise

from estimators.isolation import num_threads

# Shares of a general term for which a thread is worth waking.
LEAST_WORK = 5_000


def in_ranges(part: Callable[[int, int], object], count: int, most: int) -> None:
    """Call `part` with the ends of ranges of ``count`` things, in at most so many threads, the caller's among them."""
    # To ask how many there may be takes as long as a small piece of work.
    threads = min(count, most) if min(count, most) < 2 else min(num_threads(), count, most)
    if threads < 2:
        part(0, count)
        return
    ends = [count * number // threads for number in range(threads + 1)]
    own, *others = pairwise(ends)
    jobs = [_helpers(threads - 1).submit(part, first, last) for first, last in others]
    try:
        part(*own)
    finally:
        # They write to what the caller holds.
        wait(jobs)
    for job in jobs:
        job.result()


@lru_cache(maxsize=1)
def _helpers(number: int) -> ThreadPoolExecutor:
    """Threads that stay, since to start one takes longer than most pieces of work."""
    return ThreadPoolExecutor(number, thread_name_prefix="estimators")


# A forked process has the executor, but none of its threads.
os.register_at_fork(after_in_child=_helpers.cache_clear)
