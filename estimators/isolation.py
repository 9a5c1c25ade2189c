"""Containment of Pyro's and torch's global state: the only module that forks generators or scopes the param store."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pyro
import torch

# Pyro's handler stack and the global generators are shared by all threads, so one Pyro program runs at a time.
_PYRO = threading.RLock()


@contextmanager
def isolated(seed: int | None = None) -> Iterator[None]:
    """Run a block with its own random state and an empty param store; everything global is put back afterwards.

    ``seed=None`` keeps drawing from the caller's generators (as `torch.randn` would), so that the Pyro programs of
    this package behave under `pyro.set_rng_seed` as any other program does.
    """
    with _PYRO:
        if seed is None:
            with pyro.get_param_store().scope():
                yield
            return
        python_state, numpy_state = random.getstate(), np.random.get_state()
        try:
            with torch.random.fork_rng(devices=[]), pyro.get_param_store().scope():
                # As pyro.set_rng_seed, which refuses what NumPy's generator does not take.
                torch.manual_seed(seed)
                random.seed(seed)
                np.random.seed(seed % 2**32)
                yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)


@contextmanager
def program_mode(seed: int = 0) -> Iterator[None]:
    """Run a user's Pyro program in float64, alone, isolated, and without Pyro's checks of values.

    The default dtype decides what `torch.ones(K)` inside the program is; it is put back afterwards.
    """
    with isolated(seed), pyro.validation_enabled(False):
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(before)


@contextmanager
def single_thread() -> Iterator[None]:
    """Run tensor operations on one thread, so that no sum depends on how many there are; then as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def double_precision() -> Iterator[None]:
    """Compute whole numbers times a Python float in float64; then as before."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def check_seed(seed: object) -> int:
    """Return `seed` as an int in [0, 2^63), drawing a fresh one where it is None.

    Raises ValueError/TypeError where it is not a non-negative integer.
    """
    if seed is None:
        return int(np.random.SeedSequence().generate_state(1, np.uint32)[0])
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise TypeError(f"seed: expected a non-negative integer or None, got {seed!r}")
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed: expected an integer from 0 to 2**63 - 1, got {seed}")
    return int(seed)


def spawn_seeds(seed: int, count: int) -> list[int]:
    """Return `count` independent seeds below 2^32 that depend on `seed` and their position alone."""
    return [int(child.generate_state(1, np.uint32)[0]) for child in np.random.SeedSequence(seed).spawn(count)]
