"""What goes wrong while a density is evaluated comes out in words: no Rust panic, no exception of another library."""

import threading
from collections.abc import Callable

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy.linalg import LinAlgError

from estimators import EM, MAP, NUTS, Data, EstimationError, GaussianMixture, PyroModel
from estimators.algorithms.nuts import nutpie_callback
from estimators.contract import Objective
from estimators.mixture.density import Density
from estimators.optimise.arrays import Array
from tests.models import fit_quietly

ROWS = [-2.0, -1.4, -0.4, 0.2, 0.5, 5.1, 6.2, 6.6]
MODEL = GaussianMixture(K=2, concentration=3.0)
SAMPLER = NUTS(num_samples=40, warmup_steps=120, num_chains=2)
FEW = NUTS(num_samples=2, warmup_steps=30, num_chains=1)
Answer = tuple[float, Array]


@pytest.fixture(autouse=True)
def _computed_by_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled code raises nothing; what can go wrong is in a density that Python computes."""
    monkeypatch.setattr(Density, "native_log_posterior", None)


def change_in_the_sampler(
    patch: pytest.MonkeyPatch, at_call: int, change: Callable[[float, Array], Answer]
) -> list[int]:
    """Change 500 answers of the density from the n-th call in nutpie's own thread on; the list counts these calls."""
    original, calls = Objective.value_and_gradient, [0]

    def changed(self: Objective, coordinates: Array) -> Answer:
        value, gradient = original(self, coordinates)
        if threading.current_thread() is not threading.main_thread():
            calls[0] += 1
            if at_call <= calls[0] < at_call + 500:
                return change(value, gradient)
        return value, gradient

    patch.setattr(Objective, "value_and_gradient", changed)
    return calls


@pytest.mark.parametrize("at_call", [1, 60])
@pytest.mark.parametrize(
    "error", [FloatingPointError("underflow"), LinAlgError("singular"), ValueError("two\nlines"), MemoryError()]
)
def test_an_error_ends_the_chain_and_is_told(
    error: Exception, at_call: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(value: float, gradient: Array) -> Answer:
        raise error

    calls = change_in_the_sampler(monkeypatch, at_call, fail)
    first = str(error).splitlines()[0] if str(error) else "no message"
    with pytest.raises(EstimationError, match=rf"NUTS: the model raised {type(error).__name__} \({first}\)") as caught:
        SAMPLER.fit(MODEL, {"X": ROWS}, seed=0)
    assert caught.value.__cause__ is error
    assert calls[0] == at_call
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("request_to_stop", [KeyboardInterrupt, SystemExit, pytest.fail.Exception])
def test_a_request_to_stop_stays_what_it_is(
    request_to_stop: type[BaseException], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def stop(value: float, gradient: Array) -> Answer:
        raise request_to_stop("please")

    change_in_the_sampler(monkeypatch, 60, stop)
    with pytest.raises(request_to_stop, match="please"):
        SAMPLER.fit(MODEL, {"X": ROWS}, seed=0)
    assert capfd.readouterr().err == ""


def flat_in_the_first(value: float, gradient: Array) -> Answer:
    return value, np.concatenate([[0.0], gradient[1:]])


@pytest.mark.parametrize(
    "change",
    [
        flat_in_the_first,
        lambda value, gradient: (float("nan") if value < -30.0 else value, gradient),
        lambda value, gradient: (value, gradient * (np.nan if value < -30.0 else 1.0)),
        lambda value, gradient: (value, gradient * (1e200 if value < -30.0 else 1.0)),
    ],
    ids=["a slope of 0", "a value of NaN", "a slope of NaN", "a huge slope"],
)
def test_odd_answers_are_borne(
    change: Callable[[float, Array], Answer], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    change_in_the_sampler(monkeypatch, 20, change)
    fit = fit_quietly(FEW, MODEL, {"X": ROWS}, seed=0)
    assert all(bool(torch.isfinite(value).all()) for value in fit.draws.values())
    assert fit.num_draws == FEW.num_samples
    assert capfd.readouterr().err == ""


def test_a_panic_is_told_in_words(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Negative control of the test above: without what stands in for a slope of 0, nutpie panics."""
    monkeypatch.setattr(nutpie_callback, "SMALLEST_SLOPE", 0.0)
    change_in_the_sampler(monkeypatch, 20, flat_in_the_first)
    with pytest.raises(EstimationError, match="NUTS: the sampler stopped"):
        FEW.fit(MODEL, {"X": ROWS}, seed=0)
    assert "panicked" in capfd.readouterr().err


def test_a_start_without_a_slope_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = change_in_the_sampler(monkeypatch, 1, flat_in_the_first)
    with pytest.raises(EstimationError, match="cannot start where the log density has no slope in some direction"):
        SAMPLER.fit(MODEL, {"X": ROWS}, seed=0)
    assert calls[0] == 1


@pytest.mark.parametrize("weight", [1e15, 1e99])
@pytest.mark.parametrize("engine", ["nutpie", "pyro"])
def test_a_density_too_coarse_to_sample_is_refused(
    engine: str, weight: float, capfd: pytest.CaptureFixture[str]
) -> None:
    data = Data(X=ROWS, weights=[weight, *[1.0] * (len(ROWS) - 1)])
    with pytest.raises(EstimationError, match=r"too coarse to tell draws apart.*lower the weights"):
        NUTS(num_samples=5, warmup_steps=5, engine=engine).fit(MODEL, data, seed=0)
    assert capfd.readouterr().err == ""


def test_a_weight_next_to_nothing_is_nothing() -> None:
    data = Data(X=[*ROWS, 50.0], weights=[*[1.0] * len(ROWS), 1e-300])
    point, without = (EM(num_starts=2).fit(MODEL, each, seed=0)["mu_X"] for each in (data, Data(X=ROWS)))
    assert torch.allclose(point, without, atol=1e-6)
    draws = fit_quietly(SAMPLER, MODEL, data, seed=0).draws["mu_X"]
    assert bool((draws.abs() < 20.0).all())


@pytest.mark.parametrize(
    ("estimator", "at_call"),
    [(EM(num_starts=2), 40), (MAP(num_starts=2), 40), (NUTS(num_samples=40, warmup_steps=40, engine="pyro"), 40)],
    ids=["EM", "MAP", "NUTS by Pyro"],
)
def test_a_program_that_raises_at_some_greeks_is_told(estimator: EM, at_call: int) -> None:
    calls = 0

    def program(N: int) -> None:
        nonlocal calls
        weight = pyro.sample("weight", dist.Beta(2.0, 2.0))
        # With a number taken out of a Greek, it cannot be captured and is run at every step.
        float(weight.detach())
        with pyro.plate("components", 2):
            mean = pyro.sample("mean", dist.Normal(0.0, 10.0))
        calls += 1
        if calls > at_call:
            torch.linalg.cholesky(-torch.eye(2))
        with pyro.plate("rows", N):
            z = pyro.sample("Z", dist.Bernoulli(weight))
            pyro.sample("X", dist.Normal(mean[z.long()], 1.0))

    with pytest.raises(EstimationError, match=r"the model raised _LinAlgError .* let its log probability be a number"):
        estimator.fit(PyroModel(program), {"X": ROWS}, seed=0)


def test_few_draws_by_pyro_are_draws() -> None:
    """Pyro's own diagnostics need four."""
    sampler = NUTS(num_samples=2, warmup_steps=3, num_chains=1, engine="pyro")
    fit = fit_quietly(sampler, MODEL, {"X": ROWS}, seed=0)
    assert fit.num_draws == 2 and fit.info["diverging"].shape == (2,)
