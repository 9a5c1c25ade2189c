"""Work on parameter sets, or on rows, in as many threads as are worth it: each takes a range of it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from estimators.isolation import num_threads

# Shares of a general term for which a thread is worth its start.
LEAST_WORK = 5_000


def in_ranges(part: Callable[[int, int], object], count: int, most: int) -> None:
    """Call `part` with the ends of ranges of ``count`` things, in at most so many threads."""
    # To ask how many there may be takes as long as a small piece of work.
    threads = min(count, most) if min(count, most) < 2 else min(num_threads(), count, most)
    if threads < 2:
        part(0, count)
        return
    ends = [count * number // threads for number in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        for job in [pool.submit(part, first, last) for first, last in pairwise(ends)]:
            job.result()
