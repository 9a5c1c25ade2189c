"""The same bits whatever modes surround a call: NumPy's, torch's, Pyro's and Python's; and all of them as before."""

import asyncio
import os
import random
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import cache
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.poutine import runtime
from threadpoolctl import threadpool_info, threadpool_limits
from torch import Tensor

from estimators import EM, MAP, NUTS, Data, EstimationWarning, Exact, Fit, GaussianMixture, PyroModel, Status
from estimators.isolation import double_precision, float64, own_modes, single_thread, without_validation
from tests.models import quiet
from validation import refute

ROWS = [-2.0, -1.4, -0.4, 0.2, 0.5, 5.1, 6.2, 6.6]


def program(N: int) -> None:
    weight = pyro.sample("weight", dist.Beta(2.0, 2.0))
    with pyro.plate("components", 2):
        mean = pyro.sample("mean", dist.Normal(0.0, 10.0))
    with pyro.plate("rows", N):
        z = pyro.sample("Z", dist.Bernoulli(weight))
        pyro.sample("X", dist.Normal(mean[z.long()], 1.0))


def mixture() -> GaussianMixture:
    return GaussianMixture(K=2, concentration=3.0)


def of_program() -> PyroModel:
    return PyroModel(program, order_by="mean")


CASES: dict[str, tuple[Any, Callable[[], Any]]] = {
    "EM": (EM(num_starts=2), mixture),
    "MAP": (MAP(num_starts=2, num_steps=4), mixture),
    "NUTS": (NUTS(num_samples=6, warmup_steps=6, num_chains=2), mixture),
    "NUTS by Pyro": (NUTS(num_samples=2, warmup_steps=2, num_chains=1, engine="pyro"), mixture),
    "Exact": (Exact(num_draws=20), mixture),
    "EM of a program": (EM(num_starts=2), of_program),
    "MAP of a program": (MAP(num_starts=2, num_steps=4), of_program),
    "NUTS of a program": (NUTS(num_samples=6, warmup_steps=6, num_chains=1), of_program),
    "NUTS of a program by Pyro": (NUTS(num_samples=2, warmup_steps=2, num_chains=1, engine="pyro"), of_program),
}
Answers = dict[str, Tensor]


def answers(name: str) -> Answers:
    """The draws of a fit, its traces, and what it answers, all from the rows on."""
    estimator, make = CASES[name]
    fit = estimator.fit(make(), Data(X=ROWS), seed=0)
    query = fit.do(Z=1)
    found = {**fit.draws, **{f"info {name}": value for name, value in fit.info.items()}}
    found["mean"], found["log density"] = query.mean("X").draws, fit.log_density(fit.data)
    if make is mixture:
        found["cdf"], found["responsibilities"] = query.cdf("X", [0.0, 5.0]), fit.responsibilities({"X": ROWS})
    found |= {f"sample {name}": value for name, value in query.sample(3, seed=1).items()}
    found |= {f"simulated {name}": value for name, value in fit.model.simulate(3, seed=1).items()}
    if fit.num_draws == 1:
        found |= fit.laplace(num_draws=3, seed=0).draws
        with torch.inference_mode(False):
            found["information"] = torch.from_numpy(np.array(fit.identifiability().eigenvalues))
    if make is mixture:
        found |= fit.counterfactual({"X": ROWS}, do={"Z": 1}).sample(seed=0)
        found |= fit.model.prior_predictive(3, seed=1)
    return found


@cache
def plain(name: str) -> Answers:
    with quiet():
        return answers(name)


@contextmanager
def set_to(value: Any, get: Callable[[], Any], put: Callable[[Any], None]) -> Iterator[None]:
    before = get()
    put(value)
    try:
        yield
    finally:
        put(before)


def default_dtype(dtype: torch.dtype) -> AbstractContextManager[None]:
    return set_to(dtype, torch.get_default_dtype, torch.set_default_dtype)


def deterministic() -> AbstractContextManager[None]:
    return set_to(True, torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms)


def default_device() -> AbstractContextManager[None]:
    return set_to("meta", lambda: None, torch.set_default_device)


@contextmanager
def all_raise() -> Iterator[None]:
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", EstimationWarning)
        yield


@contextmanager
def anomaly() -> Iterator[None]:
    with warnings.catch_warnings(action="ignore"), torch.autograd.set_detect_anomaly(True):
        yield


@contextmanager
def plates() -> Iterator[None]:
    with pyro.plate("rows", 3), pyro.plate("components", 4):
        yield


@contextmanager
def parameters() -> Iterator[None]:
    with pyro.get_param_store().scope():
        mine = pyro.param("AutoDelta.mu_X", torch.tensor([7.0, 7.0]))
        yield
        assert mine.unconstrained() is pyro.param("AutoDelta.mu_X") and mine.tolist() == [7.0, 7.0]


def condition() -> AbstractContextManager[Any]:
    fixed = {"theta": [0.5, 0.5], "mu_X": [0.0, 0.0], "weight": 0.5, "mean": [0.0, 0.0], "X": [0.0] * len(ROWS)}
    return poutine.condition(data={name: torch.tensor(value) for name, value in fixed.items()})  # type: ignore


MODES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "errors raise": all_raise,
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "default device": default_device,
    "float16": lambda: default_dtype(torch.float16),
    "float64": lambda: default_dtype(torch.float64),
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "deterministic": deterministic,
    "validation": lambda: pyro.validation_enabled(True),
    "no validation": lambda: pyro.validation_enabled(False),
    "condition": condition,
    "plates": plates,
    "mask": lambda: poutine.mask(mask=False),  # type: ignore
    "scale": lambda: poutine.scale(scale=3.0),  # type: ignore
    "block": poutine.block,
    "lift": lambda: poutine.lift(prior=dist.Normal(0.0, 1.0)),  # type: ignore
    "trace": poutine.trace,
    "parameters": parameters,
}
# Parameters before the handlers that would see them, the default device after all that is made of numbers.
APART = ("parameters", "float64", "no validation", "default device")
AT_ONCE = [parameters, *(mode for name, mode in MODES.items() if name not in APART), default_device]


def ambient() -> list[object]:
    """The modes that a call could leave changed."""
    return [
        (np.geterr(), list(warnings.filters), torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        (torch.get_default_device(), torch.get_default_dtype(), torch.is_autocast_enabled("cpu")),
        (torch.are_deterministic_algorithms_enabled(), torch.is_anomaly_enabled(), dist.is_validation_enabled()),
        (list(runtime._PYRO_STACK), list(runtime._DIM_ALLOCATOR._stack), list(pyro.get_param_store().keys())),
        (torch.get_num_threads(), torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()),
    ]


def check_same(found: Answers, name: str) -> None:
    expected = plain(name)
    assert found.keys() == expected.keys()
    for key, value in found.items():
        assert not value.is_inference() and value.device.type == "cpu"
        assert value.dtype == expected[key].dtype and torch.equal(value, expected[key]), key


def check_under(modes: list[Callable[[], AbstractContextManager[Any]]], name: str) -> None:
    plain(name)
    with ExitStack() as stack:
        for mode in modes:
            stack.enter_context(mode())
        before = ambient()
        with quiet():
            found = answers(name)
        assert ambient() == before
    check_same(found, name)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] if "program" in name else []) for name in CASES],
)
def test_all_modes_at_once_change_no_bit(name: str) -> None:
    check_under(AT_ONCE, name)


@pytest.mark.parametrize("mode", MODES)
def test_no_mode_changes_a_bit(mode: str) -> None:
    check_under([MODES[mode]], "EM")


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_no_mode_changes_a_bit_of_a_program(mode: str) -> None:
    check_under([MODES[mode]], "MAP of a program")


def test_anomaly_detection_changes_no_bit() -> None:
    check_under([anomaly], "NUTS by Pyro")


def test_a_refutation_is_the_same() -> None:
    fit = Fit.from_greeks(mixture(), {"theta": [0.4, 0.6], "mu_X": [0.0, 6.0]})
    experiment = Data(X=ROWS, Z=[0, 0, 0, 0, 0, 1, 1, 1], intervened={"Z": True})
    expected = refute(fit, experiment, seed=0, num_simulations=99, level=0.05)
    with ExitStack() as stack:
        for mode in AT_ONCE:
            stack.enter_context(mode())
        found = refute(fit, experiment, seed=0, num_simulations=99, level=0.05)
    assert (found.p_value, found.sentence) == (expected.p_value, expected.sentence)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_callers_seeds_play_no_part(seed: int) -> None:
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)
    check_under([nullcontext], "EM")
    check_under([nullcontext], "NUTS by Pyro")


def test_a_model_of_numbers_is_made_the_same_under_any_default_dtype() -> None:
    """0.1 is not a number of float16."""
    expected = GaussianMixture(K=2, concentration=0.1, scale=0.1, loc_scale=0.1).prior_predictive(2, seed=0)
    with default_dtype(torch.float16), default_device():
        found = GaussianMixture(K=2, concentration=0.1, scale=0.1, loc_scale=0.1).prior_predictive(2, seed=0)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


# ---------------------------------------------------------------- tensors of the caller


def test_columns_of_any_kind_of_tensor_are_the_same_column() -> None:
    rows = torch.tensor(ROWS, dtype=torch.float64)
    with torch.inference_mode():
        of_inference = torch.tensor(ROWS, dtype=torch.float64)
    wide = torch.stack([rows, rows], 1)
    for column in (
        rows.clone().requires_grad_(),
        of_inference,
        wide[:, 0],
        rows.flip(0).flip(0),
        rows.float().double(),
    ):
        kept = Data(X=column, weights=column.abs() + 1.0).columns["X"]
        assert kept.dtype == torch.float64 or column is rows
        assert not kept.requires_grad and not kept.is_inference() and kept.is_contiguous()
        np.testing.assert_allclose(kept.numpy(), rows.numpy(), rtol=1e-6)


@pytest.mark.parametrize("where", ["X", "weights", "intervened"])
@pytest.mark.parametrize("make", [lambda x: x.to("meta"), lambda x: x.to_sparse()], ids=["meta", "sparse"])
def test_a_tensor_without_its_numbers_is_refused(where: str, make: Callable[[Tensor], Tensor]) -> None:
    tensor = make(torch.tensor(ROWS).abs())
    given = {"X": ROWS, where: {"X": tensor} if where == "intervened" else tensor}
    with pytest.raises(TypeError, match=r"dense tensor with its numbers in memory.*\.to_dense\(\)\.cpu\(\)"):
        Data(**given)


def test_numbers_that_require_gradients_or_come_from_inference_are_numbers() -> None:
    with torch.inference_mode():
        greeks = {"theta": torch.tensor([0.4, 0.6]), "mu_X": torch.tensor([0.0, 9.0])}
        prior = dist.Normal(torch.tensor(0.0), torch.tensor(2.0))
    fit = Fit.from_greeks(mixture(), greeks)
    assert not fit.draws["mu_X"].is_inference() and float64(prior.scale).is_inference() is False
    at = torch.tensor([1.0, 2.0], requires_grad=True)
    assert not fit.do(Z=1).log_density("X", at).requires_grad
    assert torch.equal(fit.do(Z=1).cdf("X", at), fit.do(Z=1).cdf("X", [1.0, 2.0]))
    held = Fit.from_greeks(mixture(), {name: value.clone().requires_grad_() for name, value in greeks.items()})
    assert not held.do(Z=1).mean("X").draws.requires_grad


# ---------------------------------------------------------------- threads, processes, loops


@pytest.mark.parametrize("name", ["MAP", "NUTS", pytest.param("EM of a program", marks=pytest.mark.slow)])
def test_two_threads_at_once(name: str) -> None:
    plain(name)
    before, found = ambient(), list[Answers]()
    with warnings.catch_warnings(action="ignore", category=EstimationWarning):
        threads = [threading.Thread(target=lambda: found.append(answers(name))) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert ambient() == before
    assert len(found) == 2
    for each in found:
        check_same(each, name)
    fresh = list[int]()
    last = threading.Thread(target=lambda: fresh.append(torch.get_num_threads()))
    last.start()
    last.join()
    assert fresh == [torch.get_num_threads()]


@pytest.mark.parametrize(
    ("change", "read", "inside"),
    [
        (without_validation, dist.is_validation_enabled, False),
        (double_precision, torch.get_default_dtype, torch.float64),
        (single_thread, torch.get_num_threads, 1),
    ],
    ids=["validation", "dtype", "threads"],
)
def test_threads_that_overlap_leave_the_setting_as_it_was_before_the_first(
    change: Callable[[], AbstractContextManager[None]], read: Callable[[], object], inside: object
) -> None:
    """The first comes, the second comes, the first leaves, the second leaves."""
    both_in, first_out = threading.Event(), threading.Event()
    found = list[object]()

    def first() -> None:
        with change():
            second_thread.start()
            both_in.wait()
        first_out.set()

    def second() -> None:
        with change():
            both_in.set()
            first_out.wait()
            found.append(read())
        found.append(read())

    def last() -> None:
        found.append(read())

    with set_to(2, torch.get_num_threads, torch.set_num_threads):
        before, outside = ambient(), read()
        first_thread, second_thread, last_thread = (threading.Thread(target=each) for each in (first, second, last))
        for thread in (first_thread, second_thread, last_thread):
            if thread is not second_thread:
                thread.start()
            thread.join()
        assert found == [inside, outside, outside] and ambient() == before


def test_inside_a_running_loop() -> None:
    async def task() -> Answers:
        with quiet():
            return answers("NUTS")

    plain("NUTS")
    check_same(asyncio.run(task()), "NUTS")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("threads", [1, 2])
def test_in_a_child_that_was_forked_after_a_fit(threads: int) -> None:
    with set_to(threads, torch.get_num_threads, torch.set_num_threads):
        # Of threads that torch has begun, a child has none.
        torch.ones(1_000_000).sum()
        plain("NUTS")
        child = os.fork()
        if not child:
            status = 1
            try:
                with quiet():
                    check_same(answers("NUTS"), "NUTS")
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_an_answer_does_not_depend_on_the_number_of_threads() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.rand(100_000, 1, dtype=torch.float64, generator=generator)
    draws = {
        "theta": torch.cat([weight, 1.0 - weight], 1),
        "mu_X": torch.randn(100_000, 2, dtype=torch.float64, generator=generator),
    }
    fit = Fit(mixture(), "posterior", draws, 1, Status.CONVERGED, {})
    found = []
    for threads in (1, 2):
        with set_to(threads, torch.get_num_threads, torch.set_num_threads):
            found.append((fit.given(X=0.5).log_density("Z", [0, 1]), fit.do(Z=1).cdf("X", [-1.0, 0.3, 2.0])))
            assert torch.get_num_threads() == threads
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_a_program_of_a_fit_still_obeys_the_callers_handlers() -> None:
    fit = Fit.from_greeks(mixture(), {"theta": [0.4, 0.6], "mu_X": [0.0, 9.0]})
    for run in (fit.program, mixture()):
        with poutine.trace() as traced, poutine.do(data={"Z": torch.tensor(1)}):  # type: ignore
            assert run(4)["Z"].tolist() == [1, 1, 1, 1]
        assert {"Z", "X"} <= set(traced.trace.nodes)


def test_a_warning_points_at_the_callers_line() -> None:
    with pytest.warns(EstimationWarning) as caught:
        NUTS(num_samples=4, warmup_steps=4, num_chains=1).fit(mixture(), Data(X=ROWS), seed=0)
    assert [warning.filename for warning in caught] == [__file__]


def test_matrices_are_multiplied_on_one_thread_and_the_callers_number_is_put_back() -> None:
    """On a few numbers BLAS's threads wait for each other: L-BFGS took 3 ms a step for 0.1."""

    def blas() -> set[int]:
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    with threadpool_limits(2, user_api="blas"):
        with own_modes():
            assert blas() == {1}
            with own_modes():
                assert blas() == {1}
        assert blas() == {2}
        with pytest.raises(KeyboardInterrupt), own_modes():
            raise KeyboardInterrupt
        assert blas() == {2}
