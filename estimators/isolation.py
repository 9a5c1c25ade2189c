"""Containment of global state, Pyro's, torch's and NumPy's: the only module that changes any, and puts it back."""

import importlib
import logging
import random
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache
from typing import Any, Generic, TypeVar, cast

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from pyro import infer, poutine
from pyro.poutine import runtime
from threadpoolctl import LibController, ThreadpoolController
from torch import Tensor

Value = TypeVar("Value")

# Pyro's handler stack and the global generators are shared by all threads, so one Pyro program runs at a time.
_PYRO_LOCK = threading.RLock()
# Whether this thread is inside a public call: the state to go back to is that before the outermost.
_CALL = threading.local()


@contextmanager
def own_modes() -> Iterator[None]:
    """Compute as in a fresh interpreter, whatever modes the caller's thread is in; a decorator of public calls too.

    NumPy's default answers to floating-point errors, gradients on, no inference mode, no autocast, new tensors on the
    CPU, and torch on one thread. All of these belong to the thread, so other threads see nothing of it. After Ctrl-C,
    which may come while a library puts something back itself, all that is global is put back once more. A call within
    a call is in them.
    """
    if getattr(_CALL, "is_open", False):
        yield
        return
    with _put_back_if_interrupted(), ExitStack() as stack:
        stack.enter_context(np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        # Torch would pass every operation through Python under a default device of its own, even the CPU.
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        if torch.is_autocast_enabled("cpu"):
            stack.enter_context(torch.autocast("cpu", enabled=False))
        # On one thread no sum depends on how many there are, and a forked child does not wait for its parent's, which
        # it does not have.
        if torch.get_num_threads() > 1:
            stack.enter_context(single_thread())
        # On matrices of a few numbers BLAS's threads wait for each other longer than it takes to do without them.
        if max(_blas_threads(), default=1) > 1:
            stack.enter_context(_BLAS.at((1,) * len(_blas())))
        yield


@contextmanager
def _put_back_if_interrupted() -> Iterator[None]:
    put_back = _restorer()
    try:
        _CALL.is_open = True
        yield
    except KeyboardInterrupt:
        put_back()
        for setting in (_VALIDATION, _DTYPE, _THREADS, _BLAS):
            setting.leave()
        raise
    finally:
        _CALL.is_open = False


def _restorer() -> Callable[[], None]:
    """A function that puts everything global back as it is now."""
    generators = random.getstate(), np.random.get_state(), torch.get_rng_state()
    modes = np.geterr(), torch.is_grad_enabled()
    filters, handlers, parameters = warnings.filters[:], _stacks(), _parameters()
    shared = _VALIDATION.outside(), _DTYPE.outside(), _THREADS.outside(), _BLAS.outside()

    def put_back() -> None:
        random.setstate(generators[0])
        np.random.set_state(generators[1])
        torch.set_rng_state(generators[2])
        np.seterr(**modes[0])
        torch.set_grad_enabled(modes[1])
        cast(list[Any], warnings.filters)[:] = filters
        _set_stacks(handlers)
        _set_parameters(parameters)
        _set_validation(shared[0])
        torch.set_default_dtype(shared[1])
        torch.set_num_threads(shared[2])
        _set_blas_threads(shared[3])

    return put_back


class _Shared(Generic[Value]):
    """A setting that threads share, put back by the last of them to leave rather than by each as it found it.

    A thread that comes while another is inside finds the other's value, and would leave that for good.
    """

    def __init__(
        self, get: Callable[[], Value], put: Callable[[Value], None], *, is_kept_per_thread: bool = False
    ) -> None:
        self._get, self._put, self._is_kept_per_thread = get, put, is_kept_per_thread
        self._lock = threading.RLock()
        self._depths, self._before = dict[int, int](), dict[int, Value]()

    @contextmanager
    def at(self, value: Value) -> Iterator[None]:
        """Set to `value`, the same for all who are inside at once."""
        thread = threading.get_ident()
        with self._lock:
            if thread not in self._depths:
                current = self._get()
                self._before[thread] = self.outside() if current == value else current
            self._depths[thread] = self._depths.get(thread, 0) + 1
            self._put(value)
        try:
            yield
        finally:
            with self._lock:
                self._depths[thread] = self._depths.get(thread, 1) - 1
                if not self._depths[thread]:
                    self.leave()

    def outside(self) -> Value:
        """What the setting is where nobody is inside."""
        with self._lock:
            return next(iter(self._before.values())) if self._before else self._get()

    def leave(self) -> None:
        """Take this thread out of every block that it is in."""
        with self._lock:
            thread = threading.get_ident()
            self._depths.pop(thread, None)
            if thread in self._before:
                before = self._before.pop(thread)
                if self._is_kept_per_thread or not self._before:
                    self._put(before)


Validation = tuple[bool, bool, bool]


def _validation() -> Validation:
    return dist.is_validation_enabled(), infer.is_validation_enabled(), poutine.is_validation_enabled()


def _set_validation(values: Validation) -> None:
    for module, is_enabled in zip((dist, infer, poutine), values, strict=True):
        module.enable_validation(is_enabled)


_VALIDATION = _Shared(_validation, _set_validation)
_DTYPE = _Shared(torch.get_default_dtype, torch.set_default_dtype)
# Torch keeps the number for each thread, but a thread that is new to torch begins with the number that was set last.
_THREADS = _Shared(torch.get_num_threads, torch.set_num_threads, is_kept_per_thread=True)


@cache
def _blas() -> tuple[LibController, ...]:
    """The libraries that NumPy and SciPy multiply matrices by."""
    controller: Any = ThreadpoolController().select(user_api="blas")
    return tuple(controller.lib_controllers)


def _blas_threads() -> tuple[int, ...]:
    return tuple(library.num_threads for library in _blas())


def _set_blas_threads(counts: tuple[int, ...]) -> None:
    for library, count in zip(_blas(), counts, strict=True):
        library.set_num_threads(count)


_BLAS = _Shared(_blas_threads, _set_blas_threads)


def num_threads() -> int:
    """How many threads the caller lets torch have, which is how many we take."""
    return _THREADS.outside()


@contextmanager
def without_validation() -> Iterator[None]:
    """Evaluate distributions without Pyro's checks of values; then as before. A decorator too."""
    with _VALIDATION.at((False, False, False)):
        yield


def single_thread() -> AbstractContextManager[None]:
    """Run tensor operations on one thread, so that no sum depends on how many there are; then as before."""
    return _THREADS.at(1)


def double_precision() -> AbstractContextManager[None]:
    """Compute whole numbers times a Python float in float64; then as before."""
    return _DTYPE.at(torch.float64)


def float64(value: Any) -> Tensor:
    """A value as a float64 tensor that this package may keep: on the CPU, outside the caller's autograd.

    Raises TypeError, ValueError or RuntimeError, as `torch.as_tensor` does, where it is not made of numbers.
    """
    tensor = torch.as_tensor(value, dtype=torch.float64).detach().cpu()
    return tensor.clone() if tensor.is_inference() else tensor


@contextmanager
def isolated(seed: int) -> Iterator[None]:
    """Run a block alone, with its own random state, no handlers of Pyro's around it and an empty param store.

    Everything global is put back afterwards.
    """
    with _PYRO_LOCK:
        python_state, numpy_state = random.getstate(), np.random.get_state()
        try:
            with _nothing_around(), torch.random.fork_rng(devices=[]):
                # As pyro.set_rng_seed, but for what NumPy's generator does not take, and for the generators of
                # accelerators, which nothing here draws from and nobody would put back.
                torch.default_generator.manual_seed(seed)
                random.seed(seed)
                np.random.seed(seed % 2**32)
                yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)


@contextmanager
def _nothing_around() -> Iterator[None]:
    """Without the handlers and plates around this call, and without the parameters in the store."""
    stacks, parameters = _stacks(), _parameters()
    _set_stacks(([], [], {}))
    _set_parameters({"params": {}, "constraints": {}})
    try:
        yield
    finally:
        _set_parameters(parameters)
        _set_stacks(stacks)


def _parameters() -> dict[str, dict[str, Any]]:
    """What is in the param store; its own `get_state` takes attributes off the caller's parameters."""
    store = pyro.get_param_store()
    return {"params": dict(store._params), "constraints": dict(store._constraints)}


def _set_parameters(state: Any) -> None:
    pyro.get_param_store().clear()
    pyro.get_param_store().set_state(state)


Stacks = tuple[list[Any], list[Any], dict[str, Any]]


def _stacks() -> Stacks:
    """What Pyro knows of the handlers, plates and enumerated dimensions around a statement."""
    return list(runtime._PYRO_STACK), list(runtime._DIM_ALLOCATOR._stack), dict(vars(runtime._ENUM_ALLOCATOR))


def _set_stacks(stacks: Stacks) -> None:
    # In place: Pyro's modules hold them by reference.
    runtime._PYRO_STACK[:], runtime._DIM_ALLOCATOR._stack[:], enumerated = stacks
    vars(runtime._ENUM_ALLOCATOR).clear()
    vars(runtime._ENUM_ALLOCATOR).update(enumerated)


@contextmanager
def program_mode(seed: int = 0) -> Iterator[None]:
    """Run a user's Pyro program in float64, alone, isolated, and without Pyro's checks of values.

    The default dtype decides what `torch.ones(K)` inside the program is; it is put back afterwards.
    """
    with isolated(seed), without_validation(), double_precision():
        yield


def quietly_imported(name: str, category: type[Warning] = FutureWarning) -> Any:
    """Import a library where it is first needed, without what it announces then: ArviZ 0.23 its 1.0, for one."""
    # Warning filters belong to the process, so they are changed by one thread at a time, and at the first import only.
    if name not in sys.modules:
        with _PYRO_LOCK, warnings.catch_warnings(action="ignore", category=category):
            importlib.import_module(name)
    return importlib.import_module(name)


@contextmanager
def kept_logger(name: str) -> Iterator[None]:
    """Put a library's logger back as it was after the library has set it up for itself."""
    logger = logging.getLogger(name)
    handlers, propagate = list(logger.handlers), logger.propagate
    try:
        yield
    finally:
        logger.handlers[:], logger.propagate = handlers, propagate


def spawn_seeds(seed: int, count: int) -> list[int]:
    """Return `count` independent seeds below 2^32 that depend on `seed` and their position alone."""
    return [int(child.generate_state(1, np.uint32)[0]) for child in np.random.SeedSequence(seed).spawn(count)]
