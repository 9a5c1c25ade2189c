"""Ranges of work in threads: all of it once, errors as they come, and no waiting for oneself."""

import os
import threading
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from estimators.estep.compiled.threads import in_ranges


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def counted(count: int) -> np.ndarray:
    done = np.zeros(count)

    def part(first: int, last: int) -> None:
        done[first:last] += 1.0

    in_ranges(part, count, 8)
    return done


@pytest.mark.parametrize("count", [0, 1, 2, 3, 1_001])
def test_all_is_done_once(count: int) -> None:
    np.testing.assert_array_equal(counted(count), np.ones(count))


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_is_raised_when_all_has_ended(failing: int) -> None:
    ended = []

    def part(first: int, last: int) -> None:
        if (first > 0) == failing:
            raise ValueError("no such range")
        ended.append((first, last))

    with pytest.raises(ValueError, match="no such range"):
        in_ranges(part, 4, 2)
    assert len(ended) == 1
    np.testing.assert_array_equal(counted(10), np.ones(10))


def test_ranges_within_ranges_and_callers_at_once_come_to_an_end() -> None:
    done = np.zeros((6, 4, 4))

    def work(caller: int) -> None:
        def inner(row: int, first: int, last: int) -> None:
            done[caller, row, first:last] += 1.0

        def outer(first: int, last: int) -> None:
            for row in range(first, last):
                in_ranges(lambda a, b, row=row: inner(row, a, b), 4, 2)  # type: ignore[misc]

        in_ranges(outer, 4, 2)

    callers = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60.0)
    assert not any(caller.is_alive() for caller in callers)
    np.testing.assert_array_equal(done, np.ones((6, 4, 4)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_forked_process_has_threads_of_its_own() -> None:
    counted(10)
    with warnings.catch_warnings():
        # Python 3.12 warns of every fork of a process with threads.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os._exit(0 if counted(10).sum() == 10.0 else 1)
    assert os.waitpid(child, 0)[1] == 0
