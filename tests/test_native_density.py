"""The whole density in compiled code against the same Greek by Greek: all parts, their gradients, and the E-step."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch

from estimators import EM, CausalMixture, Data, GaussianMixture
from estimators.contract import Parts
from estimators.estep.compiled.layout import BLOCK, CHUNK
from estimators.mechanisms import Bernoulli, Categorical, FullGaussian, Gaussian, LinearGaussian, Poisson
from estimators.mixture.by_greek import ByGreek
from estimators.mixture.density import Density
from estimators.mixture.native.density import NativeDensity
from tests.general_families import GENERAL_MODELS
from tests.mechanism_models import MODELS
from tests.test_kernels import some_rows

PRIORS: dict[str, CausalMixture] = {
    "LogNormal": CausalMixture(2, {"X": Gaussian(scale=dist.LogNormal(0.5, 0.7))}),
    "Gamma": CausalMixture(3, {"X": Gaussian(scale=dist.Gamma(2.5, 0.5))}),
    "Exponential": CausalMixture(2, {"X": Gaussian(scale=dist.Exponential(0.3), shared=["scale"])}),
    "HalfNormal": CausalMixture(2, {"X": Gaussian(scale=dist.HalfNormal(torch.tensor([1.0, 3.0])))}),
    "a rate, LogNormal": CausalMixture(2, {"C": Poisson(prior=dist.LogNormal(1.0, 0.5))}),
    "Beta": CausalMixture(2, {"T": Bernoulli(prior=dist.Beta(torch.tensor([0.3, 4.0]), 2.0))}),
    "Dirichlet": CausalMixture(3, {"C": Categorical(3, prior=dist.Dirichlet(torch.tensor([0.5, 1.0, 9.0])))}),
    "LKJ": CausalMixture(2, {"V": FullGaussian(4, correlation=3.5)}),
    "a line": CausalMixture(
        2, {"T": Bernoulli(), "Y": LinearGaussian(["T"], dist.Normal(torch.tensor([1.0, -2.0]), 0.5))}
    ),
    "Uniform": CausalMixture(
        2, {"X": Gaussian(loc=dist.Uniform(-9.0, 9.0), scale=dist.Uniform(torch.tensor([0.1, 0.5]), 4.0))}
    ),
    "Uniform, a probability and a rate": CausalMixture(
        2, {"T": Bernoulli(prior=dist.Uniform(0.1, 0.7)), "C": Poisson(prior=dist.Uniform(0.0, 30.0))}
    ),
    "Uniform, wide": CausalMixture(2, {"X": Gaussian(loc=dist.Uniform(-1e6, 1e6))}),
}
OTHER: dict[str, CausalMixture] = {
    "a line in an interval": CausalMixture(2, {"T": Bernoulli(), "Y": LinearGaussian(["T"], dist.Uniform(-5.0, 5.0))}),
    "a half-line": CausalMixture(2, {"X": Gaussian(scale=dist.Pareto(0.1, 1.0))}),
    "a prior of torch's": CausalMixture(2, {"X": Gaussian(loc=dist.StudentT(3.0, 0.0, 5.0))}),
    "a general family": GENERAL_MODELS["StudentT"],
}


def close(found: Any, expected: Any, tolerance: float = 1e-12) -> None:
    scale = 1.0 + float(np.abs(expected).max(initial=0.0))
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale)


def both(model: CausalMixture, data: Data) -> tuple[Density, NativeDensity, ByGreek]:
    density = model.density(data)
    assert isinstance(density, Density)
    native = density._evaluation
    assert isinstance(native, NativeDensity)
    return density, native, ByGreek(density.marginal, density._coordinates)


@pytest.mark.parametrize("model", [*MODELS.values(), *PRIORS.values()], ids=[*MODELS, *PRIORS])
def test_compiled_code_has_the_parts_and_gradients_of_the_plain_way(model: CausalMixture) -> None:
    density, native, plain = both(model, some_rows(model, 40, 1))
    points = 1.5 * np.random.default_rng(0).standard_normal((5, density.size))
    for found, expected in zip(native.evaluate(points), plain.evaluate(points), strict=True):
        for name in Parts._fields:
            close(getattr(found, name), getattr(expected, name))
    for found, expected in zip(native.evaluate(points[0]), plain.evaluate(points[0]), strict=True):
        for name in Parts._fields:
            close(getattr(found, name), getattr(expected, name))
    (value, slope, sums), (expected_value, expected_slope, expected_sums) = (
        way.e_step(points[1]) for way in (native, plain)
    )
    close(value, expected_value)
    close(slope, expected_slope)
    close(density.m_step(points[1], sums), density.m_step(points[1], expected_sums), 1e-9)


@pytest.mark.parametrize("model", [*MODELS.values(), *PRIORS.values()], ids=[*MODELS, *PRIORS])
def test_values_alone_are_those_that_have_gradients(model: CausalMixture) -> None:
    """To rounding; many points in threads over points, few over chunks of rows; with weights."""
    data = some_rows(model, 40, 1)
    weighted = data.replace(weights=np.arange(1.0, 41.0))
    for rows in (data, weighted, data.rows(torch.arange(10_000) % 40)):
        density, native, _ = both(model, rows)
        for count in (1, 3):
            points = 1.5 * np.random.default_rng(0).standard_normal((count, density.size))
            for found, expected in zip(native.values(points), native.evaluate(points)[0], strict=True):
                close(found, expected, 1e-14)


@pytest.mark.parametrize("model", OTHER.values(), ids=OTHER)
def test_what_has_no_table_is_computed_the_plain_way(model: CausalMixture) -> None:
    density = model.density(some_rows(model, 20, 1))
    assert isinstance(density, Density) and isinstance(density._evaluation, ByGreek)
    assert density.native_log_posterior is None
    values, gradients = density.evaluate(np.zeros(density.size))
    assert all(np.isfinite(part).all() for part in (*values, *gradients))


def test_a_wrong_slope_is_told_from_the_right_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: one number of the prior's table is off by 1e-9."""
    density, native, plain = both(GaussianMixture(K=2), Data(X=[0.0, 1.0, 10.0]))
    points = np.zeros((1, density.size))
    native.tables.laws[-4] *= 1.0 + 1e-9
    with pytest.raises(AssertionError):
        close(native.evaluate(points)[1].prior, plain.evaluate(points)[1].prior)
    native.tables.laws[-4] /= 1.0 + 1e-9


def test_points_far_out_do_not_touch_the_others() -> None:
    model = CausalMixture(2, {"X": Gaussian(), "V": FullGaussian(2), "T": Bernoulli()})
    density, native, plain = both(model, some_rows(model, 30, 1))
    near = np.random.default_rng(0).standard_normal((3, density.size))
    points = np.concatenate([near[:1], np.full((1, density.size), 1e5), near[1:2], -1e200 * np.abs(near[2:]), near[2:]])
    alone = np.concatenate([native.evaluate(point)[1].likelihood[None] for point in near])
    assert np.array_equal(native.evaluate(points)[1].likelihood[[0, 2, 4]], alone)
    close(native.evaluate(points[[0, 2, 4]])[0].likelihood, plain.evaluate(points[[0, 2, 4]])[0].likelihood)


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("num_rows", "num_points"), [(2 * CHUNK * BLOCK + 7, 1), (BLOCK, 300)], ids=["rows", "points"])
def test_threads_change_no_bit(num_rows: int, num_points: int) -> None:
    """Nor does it whether a point stands in a batch."""
    rng = np.random.default_rng(0)
    data = Data(X=rng.standard_normal(num_rows), T=rng.integers(0, 2, num_rows))
    density = CausalMixture(3, {"X": Gaussian(), "T": Bernoulli()}).density(data)
    points = rng.standard_normal((num_points, density.size))
    found = []
    for count in (1, 2):
        with threads(count):
            values, gradients = density.evaluate(points)
            found.append(np.concatenate([np.ravel(part) for part in (*values, *gradients)]))
    assert np.array_equal(*found)
    alone = density.evaluate(points[-1])
    for part, own in zip((*values, *gradients), (*alone[0], *alone[1]), strict=True):
        assert np.array_equal(part[-1], own)


def test_a_point_is_the_same_alone_and_in_a_batch_over_many_partial_sums() -> None:
    """One class and one point are one number for each of many chunks, which NumPy would add in pairs."""
    rows = np.random.default_rng(0).standard_normal(10 * CHUNK * BLOCK + 3) * 10.0
    density = CausalMixture(1, {"X": Gaussian()}).density(Data(X=rows))
    points = np.random.default_rng(1).standard_normal((12, density.size))
    together = density.evaluate(points)[0].likelihood
    assert np.array_equal(together, [float(density.evaluate(point)[0].likelihood) for point in points])


BITS = """
import hashlib, numpy as np
from estimators import CausalMixture, Data, EM
from estimators.mechanisms import Bernoulli, Gaussian
rng = np.random.default_rng(0)
data = Data(X=rng.normal(size=300), T=rng.integers(0, 2, 300))
fit = EM(num_starts=5).fit(CausalMixture(2, {"X": Gaussian(), "T": Bernoulli()}), data, seed=1)
print(hashlib.sha256(b"".join(fit[name].numpy().tobytes() for name in sorted(fit.draws))).hexdigest())
"""


def test_two_processes_have_the_same_bits() -> None:
    found = {
        subprocess.run([sys.executable, "-W", "ignore", "-c", BITS], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(found) == 1 and len(found.pop().strip()) == 2 * hashlib.sha256().digest_size


def test_where_nothing_may_be_compiled_the_plain_kernel_serves() -> None:
    """NUMBA_DISABLE_JIT, which is set to debug and to measure coverage."""
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    code = BITS.replace("seed=1", "seed=1, search=None")
    code = code.replace("print(", "assert abs(float(fit.stats['log_likelihood']) - EXPECTED) < 1e-8\nprint(")
    rng = np.random.default_rng(0)
    data = Data(X=rng.normal(size=300), T=rng.integers(0, 2, 300))
    fit = EM(num_starts=5).fit(CausalMixture(2, {"X": Gaussian(), "T": Bernoulli()}), data, seed=1, search=None)
    code = code.replace("EXPECTED", repr(fit.stats["log_likelihood"]))
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=environment, capture_output=True, check=True)
