"""Counts in programs: their CDFs and quantiles, in closed form or as sums of probabilities, against SciPy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy import stats

from estimators import Data, Fit, PyroModel, Status
from estimators.programs import questions
from tests.refusals import refused

POINTS = [-np.inf, -3.0, -0.5, 0.0, 0.5, 1.0, 2.0, 4.7, 5.0, 11.0, 40.0, np.inf]
THETA, CLASSES = np.array([[0.3, 0.7], [0.6, 0.4]]), (0, 1)

# The law of a count at z = 0 or 1, in Pyro and in SciPy.
LAWS: dict[str, tuple[Callable[[Any], Any], Callable[[int], Any]]] = {
    "Poisson": (lambda z: dist.Poisson(1.5 + 6.0 * z), lambda z: stats.poisson(1.5 + 6.0 * z)),
    "Geometric": (lambda z: dist.Geometric(0.2 + 0.5 * z), lambda z: stats.geom(0.2 + 0.5 * z, loc=-1)),
    "Binomial": (lambda z: dist.Binomial(5 + 6 * z, 0.3 + 0.4 * z), lambda z: stats.binom(5 + 6 * z, 0.3 + 0.4 * z)),
    "NegativeBinomial": (
        lambda z: dist.NegativeBinomial(2.5 + z, torch.tensor(0.6)),
        # Torch's probability is that of what is counted, SciPy's of what ends it.
        lambda z: stats.nbinom(2.5 + z, 0.4),
    ),
    "GammaPoisson": (lambda z: dist.GammaPoisson(3.0 + z, 0.5), lambda z: stats.nbinom(3.0 + z, 0.5 / 1.5)),
    "BetaBinomial": (lambda z: dist.BetaBinomial(2.0 + z, 3.0, 7), lambda z: stats.betabinom(7, 2.0 + z, 3.0)),
    "mixture": (
        lambda z: dist.MixtureSameFamily(
            dist.Categorical(torch.tensor([0.2, 0.8])), dist.Poisson(torch.stack([1.0 + z, 9.0 + z], -1))
        ),
        lambda z: [(0.2, stats.poisson(1.0 + z)), (0.8, stats.poisson(9.0 + z))],
    ),
    "ZeroInflatedPoisson": (
        lambda z: dist.ZeroInflatedPoisson(2.0 + z, gate=torch.tensor(0.3)),
        lambda z: [(0.3, stats.randint(0, 1)), (0.7, stats.poisson(2.0 + z))],
    ),
}


def counting(law: Callable[[Any], Any]) -> Callable[[int], None]:
    def program(N: int) -> None:
        theta = pyro.sample("theta", dist.Dirichlet(torch.ones(2)))
        with pyro.plate("rows", N):
            z = pyro.sample("z", dist.Categorical(theta))
            pyro.sample("c", law(z.double()))
            pyro.sample("x", dist.Normal(1.0 * z, 1.0))

    return program


def known(name: str, theta: Any = THETA) -> Fit:
    draws = {"theta": torch.tensor(theta, dtype=torch.float64)}
    return Fit(PyroModel(counting(LAWS[name][0])), "known", draws, 1, Status.CONVERGED, {"labels": "as given"})


def cdf_of(name: str, weights: Any) -> Callable[[Any], Any]:
    """P(c <= x) by SciPy, with classes in these proportions."""

    def of_class(z: int, x: Any) -> Any:
        law = LAWS[name][1](z)
        parts = law if isinstance(law, list) else [(1.0, law)]
        return sum(w * part.cdf(x) for w, part in parts)

    return lambda x: sum(weights[z] * of_class(z, np.asarray(x)) for z in CLASSES)


# Those of `SET` are asked the same below, as what is set; of those that are summed, one and a mixture stand for all.
ALIKE = ("Poisson", "Geometric", "Binomial", "NegativeBinomial", "BetaBinomial", "ZeroInflatedPoisson")


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in ALIKE)) for name in LAWS])
def test_the_cdf_and_quantiles_of_a_count_are_those_of_scipy(name: str) -> None:
    fit = known(name)
    query, cdf = fit.do(x=0.0), cdf_of(name, THETA.mean(0))
    answer = query.cdf("c", POINTS)
    np.testing.assert_allclose(answer, cdf(np.array(POINTS)), rtol=1e-12)
    assert answer.error is None
    for level in (0.01, 0.95):
        answer = query.quantile("c", level)
        assert answer.error is None
        assert cdf(answer.item()) >= level > cdf(answer.item() - 1.0)
    np.testing.assert_allclose(fit.do(z=1).cdf("c", POINTS), cdf_of(name, (0.0, 1.0))(np.array(POINTS)), rtol=1e-12)


SET = {
    "Poisson": (dist.Poisson(torch.tensor(3.0)), stats.poisson(3.0)),
    "Geometric": (dist.Geometric(torch.tensor(0.25)), stats.geom(0.25, loc=-1)),
    "Binomial": (dist.Binomial(9, torch.tensor(0.25)), stats.binom(9, 0.25)),
    "NegativeBinomial": (dist.NegativeBinomial(4.0, torch.tensor(0.5)), stats.nbinom(4.0, 0.5)),
}


# Laws with a formula and without, and each site, by default.
QUICK = (("Poisson", "c"), ("Geometric", "x"), ("NegativeBinomial", "x"))


@pytest.mark.parametrize(
    ("name", "site"),
    [
        pytest.param(name, site, marks=[pytest.mark.slow] * ((name, site) not in QUICK))
        for name in SET
        for site in ("c", "x")
    ],
)
def test_what_is_set_to_a_count_has_its_cdf(name: str, site: str) -> None:
    """A count, and a number on the line, of which whole numbers are some."""
    law, right = SET[name]
    query = known("Poisson").do(**{site: law})
    points = np.array(POINTS)
    np.testing.assert_allclose(query.cdf(site, points), right.cdf(points), rtol=1e-12)
    assert query.quantile(site, [0.1, 0.6]).tolist() == right.ppf([0.1, 0.6]).tolist()


@pytest.mark.parametrize(
    "law",
    [
        pytest.param(dist.Delta(torch.tensor(2.0)), id="a point"),
        pytest.param(dist.Bernoulli(torch.tensor(0.3)), id="a coin", marks=pytest.mark.slow),
    ],
)
def test_what_is_set_to_a_point_or_a_coin_has_its_cdf(law: Any) -> None:
    expected = [0.0, 0.0, 0.0, 1.0] if isinstance(law, dist.Delta) else [0.0, 0.7, 1.0, 1.0]
    query = known("Poisson").do(x=law)
    np.testing.assert_allclose(query.cdf("x", [-1.0, 0.5, 1.0, 2.0]), expected, rtol=1e-7)
    assert float(query.quantile("x", 0.9)) == pytest.approx(2.0 if isinstance(law, dist.Delta) else 1.0, rel=1e-12)


@pytest.mark.parametrize("weight", [0.02, *(pytest.param(weight, marks=pytest.mark.slow) for weight in (0.5, 0.98))])
def test_a_count_out_of_a_number_that_its_class_says_is_never_enumerated(weight: float) -> None:
    """However rarely the rows that are drawn to find the sites are of different classes."""

    def program(N: int) -> None:
        with pyro.plate("rows", N):
            z = pyro.sample("z", dist.Bernoulli(weight))
            pyro.sample("c", dist.Binomial(5.0 + 6.0 * z, 0.5))
            pyro.sample("x", dist.Normal(z, 1.0))

    model = PyroModel(program)
    assert not model.structure().sites["c"].is_discrete
    fit = Fit(model, "known", {"unused": torch.zeros(1).double()}, 1, Status.CONVERGED, {})
    assert float(fit.do(z=1).mean("x").value) == 1.0
    assert float(fit.given(x=0.5).mean("c").value) == pytest.approx(2.5 + 3.0 * weight, rel=1e-12)


def test_tails_keep_their_digits() -> None:
    """Far below a mean of hundreds, where 1 - P(more) has no digits left."""

    def program(N: int, size: Any) -> None:
        with pyro.plate("rows", N):
            z = pyro.sample("z", dist.Categorical(torch.ones(2) / 2))
            pyro.sample("many", dist.Poisson(300.0 + 400.0 * z))
            pyro.sample("some", dist.NegativeBinomial(size, torch.tensor(0.9)))

    data = Data(many=[300.0, 700.0], some=[9.0, 9.0], size=[40.0, 70.0])
    fit = Fit(PyroModel(program), "known", {"unused": torch.zeros(1).double()}, 1, Status.CONVERGED, {}, data=data)
    query = fit.do(z=1)
    np.testing.assert_allclose(query.cdf("many", [350.0]), stats.poisson(700.0).cdf([350.0]), rtol=1e-9)
    by_row = [stats.nbinom(size, 0.1).cdf(100.0) for size in (40.0, 70.0)]
    np.testing.assert_allclose(query.cdf("some", [100.0]), np.mean(by_row), rtol=1e-10)


def test_blocks_change_nothing_and_sums_that_are_too_long_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = known("NegativeBinomial").do(z=1).cdf("c", POINTS).tolist()
    monkeypatch.setattr(questions, "MOST_HELD", 5)
    np.testing.assert_allclose(known("NegativeBinomial").do(z=1).cdf("c", POINTS), expected, rtol=1e-14)
    monkeypatch.setattr(questions, "MOST_BLOCKS", 3)
    with refused(NotImplementedError, "cdf: ", "64 probabilities", "CDF of c", "sample"):
        known("NegativeBinomial").do(z=1).cdf("c", 40.0)
