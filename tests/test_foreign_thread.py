"""The state of a sampler's thread is held for a chain, and no longer."""

import ctypes
from unittest.mock import patch

from estimators import NUTS, GaussianMixture
from estimators.algorithms.nuts.foreign_thread import ForeignThread
from tests.models import TUTORIAL_ROWS, fit_quietly

SAMPLER = NUTS(num_samples=50, warmup_steps=50, num_chains=3)


def count_states() -> int:
    """How many threads the interpreter keeps a state of."""
    api = ctypes.pythonapi
    for name in ("PyInterpreterState_Get", "PyInterpreterState_ThreadHead", "PyThreadState_Next"):
        getattr(api, name).restype = ctypes.c_void_p
    found, state = 0, api.PyInterpreterState_ThreadHead(ctypes.c_void_p(api.PyInterpreterState_Get()))
    while state:
        found, state = found + 1, api.PyThreadState_Next(ctypes.c_void_p(state))
    return found


def fit() -> None:
    fit_quietly(SAMPLER, GaussianMixture(K=2), {"X": TUTORIAL_ROWS}, seed=0)


def test_no_state_is_left_behind() -> None:
    fit()
    before = count_states()
    fit()
    assert count_states() == before


def test_a_state_that_is_not_let_go_is_seen() -> None:
    """Negative control of the test above; what is left behind here is three states of some 20 kB."""
    before = count_states()
    with patch.object(ForeignThread, "let_go", lambda self: None):
        fit()
    assert count_states() == before + SAMPLER.num_chains


def test_letting_go_of_what_is_not_held_does_nothing() -> None:
    before = count_states()
    ForeignThread().let_go()
    assert count_states() == before
