"""A call that must be refused: the exception, a telling part of its message, and nothing changed."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyro
import pytest
import torch


def case(name: str, call: Callable[[], Any], error: type[Exception], *parts: str) -> Any:
    """A refused call for `pytest.mark.parametrize("call, error, parts", ...)`; `parts` occur in the message."""
    return pytest.param(call, error, parts, id=name)


@contextmanager
def refused(error: type[Exception], *parts: str) -> Iterator[None]:
    """The block raises exactly this type, says all the parts, and leaves the global state as it was."""
    pyro.get_param_store().setdefault("mine", torch.tensor(2.0))
    before = _global_state()
    try:
        with pytest.raises(error) as caught:
            yield
        assert type(caught.value) is error, f"{type(caught.value).__name__} is not {error.__name__}"
        missing = [part for part in parts if part not in str(caught.value)]
        assert not missing, f"the message lacks {missing}: {caught.value}"
        assert _global_state() == before
    finally:
        pyro.clear_param_store()


def _global_state() -> tuple[Any, ...]:
    numpy_state = np.random.get_state()
    return (
        torch.get_rng_state().numpy().tobytes(),
        (numpy_state[1].tobytes(), *numpy_state[2:]),
        random.getstate(),
        {name: value.tolist() for name, value in pyro.get_param_store().items()},
        torch.get_num_threads(),
        torch.get_default_dtype(),
    )
