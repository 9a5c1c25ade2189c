"""Ctrl-C: KeyboardInterrupt within two seconds from wherever it comes, no fit, and everything global as it was."""

import contextlib
import logging
import os
import random
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import nutpie
import pyarrow
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer.mcmc.logger import ProgressBar
from pyro.poutine import runtime

from estimators import EM, MAP, NUTS, CausalMixture, Exact, GaussianMixture, PyroModel
from estimators.algorithms import finish as finish_module
from estimators.algorithms.nuts import chain_starts, nutpie_chains
from estimators.algorithms.nuts import nuts as nuts_module
from estimators.algorithms.nuts.nutpie_callback import NutpieCallback
from estimators.contract import Parts
from estimators.mixture.density import Density
from estimators.modes import Search, importance_sampling, mode_search
from estimators.status import EstimationError
from tests.models import TUTORIAL_ROWS, rows_of, two_columns

ROWS = {"X": [-2.0, -1.4, -0.4, 0.2, 5.1, 6.2, 6.6]}
# Hours of sampling, if nobody stops it.
LONG = NUTS(num_samples=10_000_000, warmup_steps=200)
SHORT = NUTS(num_samples=20, warmup_steps=20, num_chains=3)
SECONDS = 2.0


@pytest.fixture(scope="module", autouse=True)
def tqdm_thread() -> None:
    """The one thread that tqdm keeps for all bars, those of Pyro among them, until the process ends."""
    ProgressBar(1, 1, disable=True).close()


@pytest.fixture(autouse=True)
def ctrl_c_is_heard() -> Iterator[None]:
    """The processes that share out a test run ignore Ctrl-C, which would leave these fits to run for hours."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class CtrlC:
    """Ctrl-C at the n-th call, and how long it took to come out, in seconds of a machine that does nothing else."""

    def __init__(self, at_call: int = 1) -> None:
        self.calls, self._at_call, self._struck = 0, at_call, 0.0
        self._begun, self._worked = time.monotonic(), time.process_time()

    def __call__(self) -> None:
        self.calls += 1
        if self.calls == self._at_call:
            self._struck = time.monotonic()
            os.kill(os.getpid(), signal.SIGINT)

    def check(self) -> None:
        now = time.monotonic()
        assert self._struck, "the run ended before it was interrupted"
        share = (time.process_time() - self._worked) / (now - self._begun)
        assert now - self._struck < SECONDS / min(1.0, share)


def ambient() -> list[object]:
    """Everything global that a fit could leave changed."""
    store = pyro.get_param_store()
    return [
        (signal.getsignal(signal.SIGINT), signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        (list(warnings.filters), np.geterr(), np.random.get_state()[1].tolist(), random.getstate()),
        (torch.is_grad_enabled(), torch.get_num_threads(), torch.get_default_dtype(), torch.get_rng_state().tolist()),
        (dist.is_validation_enabled(), list(store.keys()), [value.tolist() for value in store.values()]),
        (list(runtime._PYRO_STACK), list(runtime._DIM_ALLOCATOR._stack)),
        (list(logging.getLogger("pyro.infer.mcmc").handlers), logging.getLogger("pyro.infer.mcmc").propagate),
        threading.enumerate(),
    ]


def interrupted(strike: CtrlC, action: Callable[[], object]) -> None:
    before = ambient()
    with pytest.raises(KeyboardInterrupt):
        action()
    strike.check()
    assert ambient() == before


def strike_before(patch: pytest.MonkeyPatch, where: object, name: str, strike: CtrlC) -> None:
    original = getattr(where, name)

    def struck(*args: object, **options: object) -> object:
        strike()
        return original(*args, **options)

    patch.setattr(where, name, struck)


@pytest.mark.parametrize(
    ("where", "name", "at_call", "sampler", "search"),
    [
        (mode_search, "climb", 1, LONG, Search()),
        (importance_sampling, "weighed", 1, SHORT, Search()),
        (chain_starts, "best_starts", 1, LONG, None),
        (chain_starts, "ascend", 2, LONG, None),
        (chain_starts, "_local_sd", 1, LONG, None),
        (nutpie, "sample", 1, LONG, None),
        (pyarrow, "array", 3, SHORT, None),
        (finish_module, "label", 1, SHORT, None),
        (finish_module, "chain_status", 1, SHORT, None),
    ],
    ids=[
        "search",
        "masses",
        "starts",
        "climb",
        "spread",
        "handle",
        "trace",
        "labels",
        "diagnostics",
    ],
)
def test_nutpie_is_interrupted_at_any_moment(
    where: object,
    name: str,
    at_call: int,
    sampler: NUTS,
    search: Search | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    strike = CtrlC(at_call)
    strike_before(monkeypatch, where, name, strike)
    interrupted(strike, lambda: sampler.fit(GaussianMixture(K=2, concentration=5.0), ROWS, seed=0, search=search))


@pytest.mark.parametrize(
    ("name", "at_call", "sampler"),
    [("log_density", 3, LONG), ("expand", 30, LONG), ("expand", 600, LONG), ("expand", 55, SHORT)],
    ids=["step", "warm-up", "draws", "chain 2"],
)
def test_so_it_is_where_python_computes_the_density(
    name: str, at_call: int, sampler: NUTS, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Density, "native_log_posterior", None)
    strike = CtrlC(at_call)
    strike_before(monkeypatch, NutpieCallback, name, strike)
    interrupted(strike, lambda: sampler.fit(GaussianMixture(K=2, concentration=5.0), ROWS, seed=0, search=None))


@pytest.mark.parametrize("seconds", [0.3, 0.7])
@pytest.mark.parametrize("is_native", [True, False])
def test_the_chains_after_an_interrupted_one_are_not_begun(
    seconds: float, is_native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = NUTS(num_samples=10**6) if is_native else LONG
    if not is_native:
        monkeypatch.setattr(Density, "native_log_posterior", None)
    begun = CtrlC(at_call=0)
    strike_before(monkeypatch, nutpie_chains, "_begin", begun)
    timer = threading.Timer(seconds, os.kill, [os.getpid(), signal.SIGINT])
    with pytest.raises(KeyboardInterrupt):
        timer.start()
        sampler.fit(GaussianMixture(K=2, concentration=5.0), ROWS, seed=0, search=None)
    timer.join()
    assert begun.calls <= (torch.get_num_threads() if is_native else 1)


def test_a_trajectory_on_many_rows_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled code looks at each evaluation whether to stop: a trajectory of 1,024 would take some 10 s here."""
    rows = {"X": np.random.default_rng(0).standard_normal(1_000_000)}
    starts = np.random.default_rng(1).standard_normal((4, 3))
    monkeypatch.setattr(nuts_module, "chain_starts", lambda task, density, count: starts)
    timer = threading.Timer(1.0, os.kill, [os.getpid(), signal.SIGINT])
    with pytest.raises(KeyboardInterrupt):
        timer.start()
        LONG.fit(GaussianMixture(K=2, concentration=5.0), rows, seed=0, search=None)
    ended = time.monotonic()
    timer.join()
    cpu = time.process_time()
    time.sleep(0.5)
    # No thread goes on.
    assert time.process_time() - cpu < 0.25 and ended


def test_a_slow_density_is_not_waited_for_to_the_end_of_a_trajectory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trajectory has up to 1,024 evaluations; after the interrupt none of them is computed."""
    strike, seen = CtrlC(at_call=40), []
    original = Density.evaluate

    def slow(self: Density, coordinates: np.ndarray) -> tuple[Parts, Parts]:
        if threading.current_thread() is not threading.main_thread():
            strike()
            seen.append(0)
            time.sleep(0.05 if strike.calls >= 40 else 0.0)
        return original(self, coordinates)

    monkeypatch.setattr(Density, "evaluate", slow)
    monkeypatch.setattr(Density, "native_log_posterior", None)
    with pytest.raises(KeyboardInterrupt):
        LONG.fit(GaussianMixture(K=2, concentration=5.0), ROWS, seed=0, search=None)
    strike.check()
    after = len(seen)
    time.sleep(0.2)
    assert len(seen) == after


@pytest.mark.parametrize(
    ("estimator", "model", "name"),
    [
        (EM(num_starts=3), two_columns(), "em_steps"),
        (MAP(num_starts=3, num_steps=3), two_columns(), "evaluate"),
        (NUTS(num_samples=5, warmup_steps=5, engine="pyro"), GaussianMixture(K=2), "evaluate"),
    ],
    ids=["EM", "MAP", "NUTS by Pyro"],
)
@pytest.mark.parametrize("at_call", [1, 2])
def test_a_mixture_is_interrupted(
    estimator: EM, model: CausalMixture, name: str, at_call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    strike = CtrlC(at_call)
    strike_before(monkeypatch, Density, name, strike)
    data = rows_of(model, 20, separation=1.5)
    interrupted(strike, lambda: estimator.fit(model, data, seed=0))


def test_exact_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    strike = CtrlC()
    strike_before(monkeypatch, finish_module, "label", strike)
    interrupted(strike, lambda: Exact(num_draws=20).fit(GaussianMixture(K=2), ROWS, seed=0))


@pytest.mark.parametrize(
    ("estimator", "at_call"),
    [(EM(num_starts=3), 1), (EM(num_starts=3), 30), (MAP(num_starts=3), 60), (NUTS(engine="pyro"), 60)],
    ids=["EM at once", "EM", "MAP", "NUTS by Pyro"],
)
def test_a_program_is_interrupted(estimator: EM, at_call: int) -> None:
    strike = CtrlC(at_call)

    def program(N: int) -> None:
        strike()
        weight = pyro.sample("weight", dist.Beta(2.0, 2.0))
        # With a number taken out of a Greek, it cannot be captured and is run at every step.
        float(weight.detach())
        with pyro.plate("components", 2):
            mean = pyro.sample("mean", dist.Normal(0.0, 10.0))
        with pyro.plate("rows", N):
            z = pyro.sample("Z", dist.Bernoulli(weight))
            pyro.sample("X", dist.Normal(mean[z.long()], 1.0))

    pyro.get_param_store().clear()
    pyro.param("mine", torch.tensor([1.0, 2.0]))
    try:
        interrupted(strike, lambda: estimator.fit(PyroModel(program), ROWS, seed=0))
    finally:
        pyro.get_param_store().clear()


class _InFunction:
    """KeyboardInterrupt as a function is entered for the n-th time, where the interpreter itself would raise it."""

    def __init__(self, code: object, at_call: int) -> None:
        self._code, self._left = code, at_call

    def __call__(self, frame: object, event: str, arg: object) -> None:
        if frame.f_code is self._code:  # type: ignore[attr-defined]
            self._left -= 1
            if not self._left:
                raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("function", "at_call"),
    [
        (warnings.catch_warnings.__exit__, 1),
        (pyro.poutine.messenger.Messenger.__exit__, 3),
        (contextlib._GeneratorContextManager.__exit__, 2),
        (contextlib._GeneratorContextManager.__exit__, 40),
    ],
    ids=["filters", "handlers", "a manager", "another"],
)
def test_what_a_library_could_not_put_back_is_put_back(function: Callable[..., object], at_call: int) -> None:
    """The interrupt comes as a library's own `with` ends, whose end then does nothing."""
    before = ambient()
    with pytest.raises(KeyboardInterrupt):
        sys.settrace(_InFunction(function.__code__, at_call))
        try:
            NUTS(num_samples=5, warmup_steps=5, engine="pyro").fit(GaussianMixture(K=2), ROWS, seed=0)
        finally:
            sys.settrace(None)
    assert ambient() == before


@pytest.mark.parametrize("engine", ["nutpie", "pyro"])
def test_no_fit_is_made_of_fewer_draws_than_asked_for(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    original = nuts_module._ENGINES[engine]

    def short(*args: object) -> object:
        coordinates, info = original(*args)  # type: ignore[arg-type]
        return coordinates[:-1], {name: value[:-1] for name, value in info.items()}

    monkeypatch.setitem(nuts_module._ENGINES, engine, short)  # type: ignore[arg-type]
    sampler = NUTS(num_samples=4, warmup_steps=4, num_chains=2, engine=engine)
    with pytest.raises(EstimationError, match="7 draws instead of 2 chains of 4"):
        sampler.fit(GaussianMixture(K=2), {"X": TUTORIAL_ROWS}, seed=0)
