"""Quantiles as generalised inverses: jumps, points, extreme scales, and laws that have none."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from scipy import integrate, optimize, stats

from estimators import CausalMixture, EstimationError, Fit, Status
from estimators.mechanisms import Gaussian, LinearGaussian, Poisson
from estimators.queries.quantiles import quantile_of, whole_quantile_of
from tests.refusals import refused


def tensor(value: Any) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


@pytest.mark.parametrize("near", [(0.9, 1.1), (-5.0, -4.0), (7.0, 7.0), (0.0, 0.0)])
@pytest.mark.parametrize("level", [1e-12, 0.3, 0.999])
def test_a_bracket_need_not_hold_the_quantile(near: tuple[float, float], level: float) -> None:
    found = quantile_of(lambda x: float(stats.norm.cdf(x, 1.0, 2.0)), level, near, "X")
    assert found == pytest.approx(stats.norm.ppf(level, 1.0, 2.0), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("atom", [0.0, 0.7, -3.0, 1e12])
@pytest.mark.parametrize("level", [0.31, 0.5, 0.69])
def test_a_level_inside_a_jump_is_the_value_that_jumps(atom: float, level: float) -> None:
    """.4 of the probability at one value, the rest spread out: the smallest value whose CDF reaches the level."""

    def cdf(x: float) -> float:
        return 0.6 * float(stats.norm.cdf(x - atom)) + 0.4 * (x >= atom)

    assert quantile_of(cdf, level, (atom - 1.0, atom + 1.0), "X") == atom


def test_all_of_the_probability_at_one_value() -> None:
    assert quantile_of(lambda x: float(x >= 3.0), 0.5, (3.0, 3.0), "X") == 3.0
    assert whole_quantile_of(lambda x: float(x >= 3.0), 0.5, (3.0, 3.0), "X") == 3.0


def test_a_law_that_has_no_such_quantile_says_so() -> None:
    with pytest.raises(EstimationError, match=r"no finite value of X has probability 0\.9 at or below"):
        quantile_of(lambda x: 0.5 * float(stats.norm.cdf(x)), 0.9, (0.0, 1.0), "X")
    with pytest.raises(EstimationError, match=r"every finite value of X has probability 0\.2 at or below"):
        quantile_of(lambda x: 0.5 + 0.5 * float(stats.norm.cdf(x)), 0.2, (0.0, 1.0), "X")


@pytest.mark.parametrize(("offset", "scale"), [(0.0, 1e-50), (-1e12, 1e-3), (-1e12, 1.0), (1e60, 1.0), (0.0, 1e50)])
def test_extreme_offsets_and_scales(offset: float, scale: float) -> None:
    """As near as floating point has numbers: the CDF reaches the level there, and not at the number before."""
    rng = np.random.default_rng(0)
    draws = {
        "theta": torch.from_numpy(rng.dirichlet([5.0, 5.0], 10)),
        "mu_X": torch.from_numpy(offset + scale * rng.normal(size=(10, 2))),
        "sigma_X": torch.from_numpy(scale * rng.uniform(0.5, 2.0, (10, 2))),
    }
    fit = Fit(CausalMixture(2, {"X": Gaussian()}), "exact", draws, 1, Status.CONVERGED, {})
    query = fit.do(Z=1)
    for level in (0.1, 0.9):
        found = float(query.quantile("X", level))
        ends = [found - 1e-12 * scale - 4 * abs(np.spacing(found)), found + 1e-12 * scale + 4 * abs(np.spacing(found))]
        below, above = query.cdf("X", ends).tolist()
        assert below <= level + 1e-9 and above >= level - 1e-9


HEAVY: dict[str, tuple[Any, Any]] = {
    "Pareto(1, 1.5)": (dist.Pareto(tensor(1.0), tensor(1.5)), stats.pareto(1.5)),
    "Pareto(1, 1.2)": (dist.Pareto(tensor(1.0), tensor(1.2)), stats.pareto(1.2)),
    "StudentT(1.5)": (dist.StudentT(tensor(1.5)), stats.t(1.5)),
    "InverseGamma(1.5, 1)": (dist.InverseGamma(tensor(1.5), tensor(1.0)), stats.invgamma(1.5)),
    "LogNormal(0, 5)": (dist.LogNormal(tensor(0.0), tensor(5.0)), stats.lognorm(5.0)),
    "LogNormal(0, 8)": (dist.LogNormal(tensor(0.0), tensor(8.0)), stats.lognorm(8.0)),
}


@pytest.mark.parametrize("name", HEAVY)
@pytest.mark.parametrize("near", [(-1e32, 1e48), (-1.0, 1.0), (1e-300, 1e-290)])
def test_a_bracket_may_span_any_number_of_orders_of_magnitude(name: str, near: tuple[float, float]) -> None:
    """Each evaluation costs a pass over the fit: no more of them than plain bisection takes on a good bracket."""
    law, points = HEAVY[name][1], []

    def cdf(x: float) -> float:
        points.append(x)
        return float(law.cdf(x))

    for level in (0.01, 0.5, 0.99):
        points.clear()
        assert quantile_of(cdf, level, near, "X") == pytest.approx(law.ppf(level), rel=1e-10, abs=1e-14)
        assert len(points) < 40


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (place % 2)) for place, name in enumerate(HEAVY)]
)
def test_quantiles_below_a_heavy_tailed_setting(name: str) -> None:
    """Y = T + (0 or 1) + noise: P(Y <= y) = E over T of the normal CDF, integrated over the ranks of T by SciPy."""
    model = CausalMixture(2, {"T": Gaussian(scale=1.0), "Y": LinearGaussian(parents=["T"], scale=1.0)})
    fit = Fit.from_greeks(model, {"theta": [0.4, 0.6], "mu_T": [0.0, 1.0], "beta_Y": [[0.0, 1.0], [1.0, 1.0]]})
    law, reference = HEAVY[name]

    def cdf(y: float) -> float:
        def above(rank: float) -> float:
            t = reference.ppf(rank)
            return float(0.4 * stats.norm.cdf(y - t) + 0.6 * stats.norm.cdf(y - t - 1.0))

        ends = sorted({float(reference.cdf(y + step)) for step in (-8.0, -4.0, -2.0, 0.0, 2.0, 4.0)} | {0.0, 1.0})
        pieces = [integrate.quad(above, *piece, epsabs=1e-12)[0] for piece in pairwise(ends)]
        return float(sum(pieces))

    query = fit.do(T=law)
    found = float(query.quantile("Y", 0.5))
    assert cdf(found) == pytest.approx(0.5, abs=1e-9)
    level = float(query.cdf("Y", 4.0))
    assert float(query.quantile("Y", level)) == pytest.approx(4.0, rel=1e-9)


def test_what_is_seen_holds_a_heavy_tailed_setting() -> None:
    """p(T | Y = 3) is the Pareto density times a mixture of normal densities in T."""
    model = CausalMixture(2, {"T": Gaussian(scale=1.0), "Y": LinearGaussian(parents=["T"], scale=1.0)})
    fit = Fit.from_greeks(model, {"theta": [0.4, 0.6], "mu_T": [0.0, 1.0], "beta_Y": [[0.0, 1.0], [1.0, 1.0]]})
    found = float(fit.do(T=dist.Pareto(tensor(1.0), tensor(1.5))).given(Y=3.0).quantile("T", 0.5))

    def density(t: float) -> float:
        return float(t**-2.5 * (0.4 * stats.norm.pdf(3.0 - t) + 0.6 * stats.norm.pdf(2.0 - t)))

    whole = integrate.quad(density, 1.0, 20.0, epsabs=1e-13)[0]
    median = optimize.brentq(lambda t: integrate.quad(density, 1.0, t, epsabs=1e-13)[0] - 0.5 * whole, 1.0, 20.0)
    assert found == pytest.approx(median, rel=1e-9)


@pytest.mark.parametrize("far", [1e3, 1e15, 1e30, 1e40, 1e90])
def test_components_far_apart(far: float) -> None:
    """.4 of the probability about 0 and the rest elsewhere: the quantile at .3 is that of the first at .75."""
    model = CausalMixture(2, {"X": Gaussian(scale=1.0)})
    fit = Fit.from_greeks(model, {"theta": [0.4, 0.6], "mu_X": [0.0, far]})
    query = fit.do(Z=dist.Categorical(tensor([0.4, 0.6])))
    assert float(query.quantile("X", 0.3)) == pytest.approx(stats.norm.ppf(0.75), rel=1e-12)
    assert float(query.quantile("X", 0.7)) == pytest.approx(far, rel=1e-12)


MODEL = CausalMixture(1, {"T": Gaussian(scale=1.0), "N": Poisson(), "Y": LinearGaussian(parents=["T", "N"], scale=1.0)})
FIT = Fit.from_greeks(MODEL, {"theta": [1.0], "mu_T": [0.0], "rate_N": [2.0], "beta_Y": [[0.0, 1.0, 1.0]]})
CONTINUOUS: dict[str, tuple[Any, float]] = {
    "Exponential": (dist.Exponential(tensor(1.0)), np.log(2.0)),
    "Normal": (dist.Normal(tensor(0.3), tensor(1.0)), 0.3),
    "Uniform": (dist.Uniform(tensor(0.0), tensor(0.5)), 0.25),
    "Beta": (dist.Beta(tensor(2.0), tensor(2.0)), 0.5),
    "Delta": (dist.Delta(tensor(0.7)), 0.7),
}


@pytest.mark.parametrize("name", CONTINUOUS)
def test_the_median_of_a_continuous_setting_is_no_whole_number(name: str) -> None:
    law, median = CONTINUOUS[name]
    assert float(FIT.do(T=law).quantile("T", 0.5)) == pytest.approx(median, rel=1e-9)


def test_a_setting_of_one_value_is_that_value() -> None:
    point, value = FIT.do(T=dist.Delta(tensor(0.7))), FIT.do(T=0.7)
    assert point.quantile("T", [0.01, 0.99]).tolist() == [0.7, 0.7]
    assert point.cdf("T", [0.69, 0.7]).tolist() == [0.0, 1.0]
    np.testing.assert_allclose(point.quantile("Y", 0.3), value.quantile("Y", 0.3), rtol=1e-12)
    assert bool((point.given(Y=1.0).sample(20, seed=0)["T"] == 0.7).all())


def test_a_mixed_setting_has_its_atom_for_quantiles() -> None:
    """.3 of the probability at 0, the rest exponential: levels up to .3 are 0. Its density cannot be integrated."""
    law = dist.ZeroInflatedDistribution(dist.Exponential(tensor(1.0)), gate=tensor(0.3))
    found = FIT.do(T=law).quantile("T", [0.2, 0.65])
    assert found.error is not None
    assert found[0].item() == 0.0
    assert abs(float(found[1]) - np.log(2.0)) < 5.0 * float(found.error[1])


def test_a_count_is_set_to_whole_numbers_only() -> None:
    refusals: list[Callable[[], Any]] = [
        lambda: FIT.do(N=dist.Exponential(tensor(1.0))),
        lambda: FIT.do(N=dist.Normal(tensor(0.0), tensor(1.0))),
        lambda: FIT.contrast("Y", do={"N": dist.Uniform(tensor(0.0), tensor(1.0))}, versus={"N": 1}),
    ]
    for ask in refusals:
        with refused(ValueError, "do", "N", "whole numbers"):
            ask()
    assert float(FIT.do(N=dist.Poisson(tensor(3.0))).mean("Y").value) == pytest.approx(3.0, rel=1e-12)
