"""nutpie on native code: the function that it calls, chains side by side, and the way round it."""

import ctypes

import numpy as np
import pyro.distributions as dist
import pytest
import torch

from estimators import NUTS, CausalMixture, Data, EstimationError, GaussianMixture
from estimators.algorithms.nuts import nutpie_native
from estimators.contract import NativeFunction, Objective, log_posterior
from estimators.mechanisms import Bernoulli, Gaussian, LinearGaussian
from tests.models import fit_quietly

FEW = NUTS(num_samples=30, warmup_steps=30, num_chains=3)
ROWS = Data(X=[-2.0, -1.4, -0.4, 0.2, 0.5, 5.1, 6.2, 6.6])
MODEL = GaussianMixture(K=2, concentration=3.0)
Doubles = ctypes.POINTER(ctypes.c_double)


def called(function: NativeFunction, point: np.ndarray) -> tuple[int, float, np.ndarray]:
    """The function as C calls it."""
    signature = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_uint64, Doubles, Doubles, Doubles, ctypes.c_void_p)
    value, gradient = np.zeros(1), np.zeros(len(point))
    pointers = (array.ctypes.data_as(Doubles) for array in (point, gradient, value))
    code = signature(function.address)(len(point), *pointers, function.data.ctypes.data)
    return code, float(value[0]), gradient


def confounder() -> tuple[CausalMixture, Data]:
    model = CausalMixture(2, {"T": Bernoulli(), "Y": LinearGaussian(parents=["T"])}, concentration=2.0)
    return model, Data({name: column for name, column in model.simulate(60, seed=3).items() if name != "Z"})


@pytest.mark.parametrize("which", ["tutorial", "confounder"])
def test_the_function_is_the_log_posterior(which: str) -> None:
    model, data = (MODEL, ROWS) if which == "tutorial" else confounder()
    density = model.density(model.check(data))
    function = density.native_log_posterior
    assert function is not None
    for point in np.random.default_rng(0).standard_normal((5, density.size)):
        value, gradient = Objective(density, log_posterior).value_and_gradient(point)
        code, found, slope = called(function, point)
        assert code == 0 and found == pytest.approx(value, rel=1e-14)
        np.testing.assert_allclose(slope, gradient, rtol=1e-13, atol=1e-13)


def test_it_says_where_it_is_not_finite_and_stops_when_told() -> None:
    density = MODEL.density(MODEL.check(ROWS))
    function, other = density.native_log_posterior, density.native_log_posterior
    assert function is not None and other is not None
    assert called(function, np.full(density.size, 1e200))[0] > 0
    function.stop()
    assert called(function, np.zeros(density.size))[0] < 0
    assert called(other, np.zeros(density.size))[0] == 0


def test_a_slope_of_zero_is_given_as_next_to_nothing() -> None:
    """nutpie refuses 0: here the prior's mode is where the rows say nothing."""
    model = CausalMixture(1, {"X": Gaussian(loc=dist.Normal(0.0, 1.0), scale=1.0)})
    density = model.density(model.check(Data(X=[-1.0, 1.0])))
    function = density.native_log_posterior
    assert function is not None
    _, _, slope = called(function, np.zeros(density.size))
    assert (slope != 0.0).all() and np.abs(slope).max() < 1e-15


@pytest.mark.parametrize("threads", [2, 5])
def test_chains_side_by_side_are_the_same_chains(threads: int) -> None:
    before = torch.get_num_threads()
    found = []
    try:
        for count in (1, threads):
            torch.set_num_threads(count)
            found.append(fit_quietly(FEW, MODEL, ROWS, seed=1, search=None))
    finally:
        torch.set_num_threads(before)
    for name, draws in found[0].draws.items():
        assert torch.equal(draws, found[1].draws[name])


def test_another_nutpie_takes_the_public_way_to_the_same_chains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until rounding sends them apart: the densities differ in their last digits."""
    native = fit_quietly(FEW, MODEL, ROWS, seed=1, search=None)
    monkeypatch.setattr(nutpie_native, "IS_KNOWN", False)
    public = fit_quietly(FEW, MODEL, ROWS, seed=1, search=None)
    first = slice(0, 3)
    for name, draws in native.draws.items():
        torch.testing.assert_close(draws[first], public.draws[name][first], rtol=1e-6, atol=1e-6)


def test_a_start_without_a_slope_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = CausalMixture(1, {"X": Gaussian(loc=dist.Normal(0.0, 1.0), scale=1.0)})
    starts = "estimators.algorithms.nuts.nuts.chain_starts"
    monkeypatch.setattr(starts, lambda task, density, count: np.zeros((count, density.size)))
    with pytest.raises(EstimationError, match="cannot start where the log density has no slope in some direction"):
        FEW.fit(model, Data(X=[-1.0, 1.0]), seed=0, search=None)


def test_a_model_of_known_numbers_alone_has_nothing_to_draw() -> None:
    model = CausalMixture(1, {"X": Gaussian(loc=0.0, scale=1.0)})
    fit = fit_quietly(FEW, model, Data(X=[0.0, 1.0]), seed=0)
    assert fit.num_draws == 90 and bool((fit.draws["theta"] == 1).all())
