"""Variables set at random: every answer against SciPy's quadrature (or a sum) over the values of the setting.

Z causes T, X and Y, and T causes Y: under do(T ~ law) the law is all that is known of T before Y is seen.
"""

import itertools
import math
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from scipy import integrate, stats
from scipy.stats import norm

from estimators import CausalMixture, Fit, Status
from estimators.mechanisms import Bernoulli, Categorical, Gaussian, LinearGaussian, Poisson
from tests.refusals import refused
from validation.testing import Stat

MODEL = CausalMixture(2, {"T": Gaussian(scale=1.0), "X": Gaussian(scale=1.0), "Y": LinearGaussian(parents=["T"])})
THETA, MU, LINES, SIGMA = np.array([0.4, 0.6]), np.array([-1.0, 3.0]), np.array([[0.0, 1.0], [2.0, -0.5]]), [0.7, 1.5]


def fit_of(lines: Any = LINES, sigma: Any = SIGMA) -> Fit:
    greeks = {"theta": THETA, "mu_T": [0.0, 2.0], "mu_X": MU, "beta_Y": lines, "sigma_Y": sigma}
    return Fit.from_greeks(MODEL, greeks)


def law(name: str, *parameters: float) -> Any:
    return getattr(dist, name)(*(torch.tensor(value, dtype=torch.float64) for value in parameters))


LAWS: dict[str, tuple[Any, Any]] = {
    "Exponential": (law("Exponential", 0.8), stats.expon(scale=1.25)),
    "Gamma": (law("Gamma", 2.0, 0.5), stats.gamma(2.0, scale=2.0)),
    "Gamma, infinite at 0": (law("Gamma", 0.3, 0.5), stats.gamma(0.3, scale=2.0)),
    "Uniform": (law("Uniform", -1.0, 4.0), stats.uniform(-1.0, 5.0)),
    "StudentT": (law("StudentT", 3.0, 1.0, 2.0), stats.t(3.0, 1.0, 2.0)),
    "LogNormal": (law("LogNormal", 0.3, 1.1), stats.lognorm(1.1, scale=np.exp(0.3))),
    "Laplace": (law("Laplace", 1.0, 0.5), stats.laplace(1.0, 0.5)),
    "Beta, infinite at both ends": (law("Beta", 0.5, 0.5), stats.beta(0.5, 0.5)),
}
EVERY_LAW = pytest.mark.parametrize("name", LAWS)


class Brute:
    """Sums over k of integrals over t of p(k) p(t) p(y | k, t) · (what is asked), by SciPy."""

    def __init__(self, reference: Any, seen: float | None, lines: Any = LINES, sigma: Any = SIGMA) -> None:
        self.reference, self.seen, self.lines, self.sigma = reference, seen, np.asarray(lines), sigma
        self.total = self(lambda k, t: 1.0)

    def __call__(self, asked: Any, low: float = -np.inf, high: float = np.inf, points: Any = ()) -> float:
        """By the probability u, t = F⁻¹(u), where the density is infinite."""
        reference, support = self.reference, self.reference.support()
        low, high = max(low, support[0]), min(high, support[1])
        marks = list(reference.ppf([1e-9, 1e-3, 0.1, 0.5, 0.9, 0.999, 1 - 1e-9])) + list(points)
        is_infinite = reference.dist.name in ("gamma", "beta") and reference.args[0] < 1.0
        found = 0.0
        for k, ((intercept, slope), sigma) in enumerate(zip(self.lines, self.sigma, strict=True)):

            def weighed(t: float, k: int = k, sigma: float = sigma) -> float:
                error = 0.0 if self.seen is None else (self.seen - self.mean(k, t)) / sigma
                seen = 1.0 if self.seen is None else math.exp(-0.5 * error**2) / sigma
                return float(THETA[k] * seen * asked(k, t))

            def by_value(t: float, weighed: Any = weighed) -> float:
                return float(reference.pdf(t) * weighed(t))

            def by_probability(u: float, weighed: Any = weighed) -> float:
                return float(weighed(reference.ppf(u)))

            peak = [] if self.seen is None else (self.seen - intercept) / slope + sigma / slope * np.arange(-9, 10)
            ends = np.unique(np.clip([low, *marks, *peak, high], low, high))
            pairs = itertools.pairwise(np.unique(reference.cdf(ends)) if is_infinite else ends)
            integrand = by_probability if is_infinite else by_value
            found += sum(integrate.quad(integrand, a, b, epsabs=1e-12, epsrel=1e-9)[0] for a, b in pairs)
        return found

    def mean(self, k: int, t: float) -> float:
        return float(self.lines[k, 0] + self.lines[k, 1] * t)

    def of(self, asked: Any, **limits: Any) -> float:
        return self(asked, **limits) / self.total


@pytest.mark.parametrize(
    "name",
    [
        *("Gamma, infinite at 0", "Exponential"),
        # Heavy tails are given what is seen beside a count, below.
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("StudentT", "Beta, infinite at both ends")),
    ],
)
def test_given_what_is_seen_below(name: str) -> None:
    setting, reference = LAWS[name]
    query, brute = fit_of().do(T=setting).given(Y=2.5), Brute(reference, 2.5)
    for variable, asked in {"T": lambda k, t: t, "X": lambda k, t: MU[k]}.items():
        found = query.mean(variable)
        assert found.error is None
        assert float(found.value) == pytest.approx(brute.of(asked), abs=2e-8)
    assert float(query.log_density("Z", 1.0).exp()) == pytest.approx(brute.of(lambda k, t: k), abs=1e-8)
    x = 0.3
    assert float(query.log_density("X", x).exp()) == pytest.approx(brute.of(lambda k, t: norm.pdf(x, MU[k])), abs=1e-8)
    assert float(query.cdf("X", x)) == pytest.approx(brute.of(lambda k, t: norm.cdf(x, MU[k])), abs=1e-8)
    at = reference.ppf(0.6)
    parts = [THETA[k] * norm.pdf(2.5, brute.mean(k, at), SIGMA[k]) * math.sqrt(2 * math.pi) for k in range(2)]
    assert float(query.log_density("T", at).exp()) == pytest.approx(
        reference.pdf(at) * sum(parts) / brute.total, rel=1e-7
    )
    below = query.cdf("T", at)
    assert below.error is None
    assert float(below) == pytest.approx(brute.of(lambda k, t: 1.0, high=at), abs=1e-8)
    assert float(query.quantile("T", float(below))) == pytest.approx(at, rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("name", ["Gamma, infinite at 0", "Uniform", pytest.param("LogNormal", marks=pytest.mark.slow)])
def test_below_the_setting(name: str) -> None:
    setting, reference = LAWS[name]
    query, brute = fit_of().do(T=setting), Brute(reference, None)
    mean = THETA @ LINES[:, 0] + THETA @ LINES[:, 1] * reference.mean()
    assert float(query.mean("Y").value) == pytest.approx(mean, abs=1e-8)
    points = [(2.0 - LINES[k, 0]) / LINES[k, 1] + SIGMA[k] * s for k in range(2) for s in range(-6, 7, 3)]
    density = brute.of(lambda k, t: norm.pdf(2.0, brute.mean(k, t), SIGMA[k]), points=points)
    assert float(query.log_density("Y", 2.0).exp()) == pytest.approx(density, abs=1e-8)
    below = brute.of(lambda k, t: norm.cdf(2.0, brute.mean(k, t), SIGMA[k]), points=points)
    assert float(query.cdf("Y", 2.0)) == pytest.approx(below, abs=1e-8)
    assert float(query.quantile("Y", below)) == pytest.approx(2.0, abs=1e-6)


@EVERY_LAW
def test_the_variable_itself_has_the_law(name: str) -> None:
    """T is continuous: its quantiles are no whole numbers, and beyond its support it has no density."""
    setting, reference = LAWS[name]
    query, levels = fit_of().do(T=setting), np.array([0.01, 0.5, 0.99])
    np.testing.assert_allclose(query.quantile("T", levels), reference.ppf(levels), rtol=1e-7, atol=1e-9)
    low, high = reference.support()
    at = np.clip(reference.ppf(levels), low, high)
    np.testing.assert_allclose(query.cdf("T", at), reference.cdf(at), atol=1e-9)
    np.testing.assert_allclose(query.log_density("T", at), reference.logpdf(at), rtol=1e-9, atol=1e-9)
    assert float(query.mean("T").value) == pytest.approx(reference.mean(), abs=1e-8)
    assert query.cdf("T", [-np.inf, np.inf]).tolist() == [0.0, 1.0]
    if np.isfinite(low):
        assert query.cdf("T", low - 1.0).item() == 0.0
        assert query.log_density("T", low - 1.0).item() == -np.inf


@pytest.mark.parametrize("name", ["Exponential", "StudentT"])
def test_what_the_setting_does_not_reach_is_not_integrated(name: str) -> None:
    fit, (setting, _) = fit_of(), LAWS[name]
    query, other = fit.do(T=setting), fit.do(T=0.0)
    assert float(query.cdf("X", 100.0)) == 1.0
    for ask in ("log_density", "cdf"):
        assert torch.equal(getattr(query, ask)("X", [0.0, 3.0]), getattr(other, ask)("X", [0.0, 3.0]))
    assert torch.equal(query.log_density("Z", [0.0, 1.0]), other.log_density("Z", [0.0, 1.0]))
    assert query.cdf("X", 0.0).error is None


@pytest.mark.parametrize("slope", [pytest.param(1.0, marks=pytest.mark.slow), 1e6])
def test_peaks_that_are_narrow_for_the_law_are_found(slope: float) -> None:
    """Where Y says T to a millionth of its spread, T given Y is normal, but for the density of its law there."""
    lines, sigma = [[0.0, slope], [2.0, slope]], [0.1, 0.1]
    setting, reference = LAWS["Gamma"]
    query = fit_of(lines, sigma).do(T=setting)
    given, brute = query.given(Y=2.0 * slope), Brute(reference, 2.0 * slope, lines, sigma)
    assert float(given.mean("T").value) == pytest.approx(brute.of(lambda k, t: t), rel=1e-8)
    assert float(given.mean("X").value) == pytest.approx(brute.of(lambda k, t: MU[k]), abs=1e-7)
    density = sum(
        THETA[k]
        * integrate.quad(
            lambda z, k=k: norm.pdf(z) * reference.pdf((2.0 * slope - lines[k][0] + 0.1 * z) / slope), -12, 12
        )[0]
        for k in range(2)
    )
    assert float(query.log_density("Y", 2.0 * slope).exp()) * slope == pytest.approx(density, rel=1e-8)


def test_what_is_seen_may_be_far_in_the_tail_of_the_law() -> None:
    """Exponential times normal is a normal moved by variance × rate, cut at 0."""
    setting = law("Exponential", 0.8)
    fit = fit_of([[0.0, 1.0], [0.0, 1.0]], [0.5, 0.5])
    assert float(fit.do(T=setting).given(Y=300.0).mean("T").value) == pytest.approx(300.0 - 0.25 * 0.8, rel=1e-12)


@pytest.mark.parametrize(
    ("setting", "reference"),
    [
        (law("Poisson", 3.0), stats.poisson(3.0)),
        (law("Geometric", 0.3), stats.geom(0.3, loc=-1)),
        (
            dist.NegativeBinomial(torch.tensor(4.0).double(), torch.tensor(0.6, dtype=torch.float64)),
            stats.nbinom(4, 0.4),
        ),
        (dist.Binomial(6, torch.tensor(0.3, dtype=torch.float64)), stats.binom(6, 0.3)),
    ],
    ids=["Poisson", "Geometric", "NegativeBinomial", "Binomial"],
)
@pytest.mark.parametrize("seen", [pytest.param(None, marks=pytest.mark.slow), 60.0])
def test_counts_are_summed(setting: Any, reference: Any, seen: float | None) -> None:
    counts = np.arange(400.0)
    query = fit_of().do(T=setting)
    joint = THETA[:, None] * reference.pmf(counts)
    means = LINES[:, :1] + LINES[:, 1:] * counts
    if seen is not None:
        query = query.given(Y=seen)
        log = np.log(np.maximum(joint, 1e-300)) + norm.logpdf(seen, means, np.array(SIGMA)[:, None])
        log = np.where(joint > 0, log, -np.inf)
        joint = np.exp(log - log.max())
    joint = joint / joint.sum()
    assert float(query.mean("T").value) == pytest.approx((joint * counts).sum(), rel=1e-9)
    assert float(query.mean("X").value) == pytest.approx(joint.sum(1) @ MU, rel=1e-9)
    masses = joint.sum(0)
    np.testing.assert_allclose(query.log_density("T", counts[:30]).exp(), masses[:30], atol=1e-12)
    np.testing.assert_allclose(query.cdf("T", counts[:30]), masses.cumsum()[:30], atol=1e-9)
    assert float(query.quantile("T", 0.5)) == counts[np.argmax(masses.cumsum() >= 0.5)]
    if seen is None:
        below = (joint * norm.cdf(2.0, means, np.array(SIGMA)[:, None])).sum()
        assert float(query.cdf("Y", 2.0)) == pytest.approx(below, abs=1e-10)
        np.testing.assert_allclose(query.quantile("Y", below), 2.0, atol=1e-7)


def test_an_unset_count_is_summed_as_far_as_what_is_seen_says() -> None:
    model = CausalMixture(2, {"N": Poisson(), "Y": LinearGaussian(parents=["N"], scale=0.5)})
    fit = Fit.from_greeks(model, {"theta": [0.5, 0.5], "rate_N": [1.0, 2.0], "beta_Y": [[0.0, 1.0], [0.0, 1.0]]})
    counts = np.arange(300)
    log = np.logaddexp(*(stats.poisson.logpmf(counts, rate) for rate in (1.0, 2.0))) + norm.logpdf(120.0, counts, 0.5)
    weights = np.exp(log - log.max())
    assert float(fit.given(Y=120.0).mean("N").value) == pytest.approx(
        (counts * weights).sum() / weights.sum(), rel=1e-12
    )


def test_several_settings_of_which_one_is_integrated() -> None:
    """A count and a Normal in closed form beside one by quadrature, with Z seen or not: a sum of integrals."""
    model = CausalMixture(
        2,
        {"N": Poisson(), "T": Gaussian(), "M": Gaussian(), "Y": LinearGaussian(parents=["N", "T", "M"], scale=1.0)},
    )
    beta = np.array([[0.0, 1.0, -1.0, 2.0], [1.0, 0.5, 1.0, -1.0]])
    greeks = {
        "theta": THETA,
        "rate_N": [1.0, 2.0],
        "mu_T": MU,
        "sigma_T": [1.0, 1.0],
        "mu_M": MU,
        "sigma_M": [1.0, 1.0],
    }
    query = Fit.from_greeks(model, {**greeks, "beta_Y": beta}).do(
        N=law("Poisson", 2.0), T=law("Exponential", 1.0), M=law("Normal", 0.5, 0.8)
    )
    grid = 0.001 * (np.arange(30_000) + 0.5)
    counts = np.arange(40)[:, None]
    tables = []
    for k in range(2):
        mean = beta[k, 0] + beta[k, 1] * counts + beta[k, 2] * grid + beta[k, 3] * 0.5
        spread = np.sqrt(1.0 + (beta[k, 3] * 0.8) ** 2)
        tables.append(THETA[k] * stats.poisson.pmf(counts, 2.0) * np.exp(-grid) * norm.pdf(1.0, mean, spread))
    joint = np.array(tables)
    given = query.given(Y=1.0)
    assert float(given.mean("T").value) == pytest.approx((joint * grid).sum() / joint.sum(), rel=1e-6)
    assert float(given.mean("N").value) == pytest.approx((joint * counts).sum() / joint.sum(), rel=1e-6)
    of_one = joint[1] / joint[1].sum()
    assert float(given.given(Z=1).mean("T").value) == pytest.approx((of_one * grid).sum(), rel=1e-6)
    assert float(query.mean("Y").value) == pytest.approx(THETA @ (beta @ [1.0, 2.0, 1.0, 0.5]), rel=1e-10)


def test_rows_of_their_own_beside_a_stochastic_setting() -> None:
    fit, setting = fit_of(), law("Gamma", 2.0, 0.5)
    both = fit.do(T=setting).given(Y=[0.0, 2.5]).mean("X")
    assert both.draws.shape == (1, 2)
    for row, y in enumerate((0.0, 2.5)):
        alone = fit.do(T=setting).given(Y=y).mean("X").draws
        assert float(both.draws[0, row]) == pytest.approx(float(alone[0]), abs=1e-10)
    assert fit.do(T=setting, X=[1.0, 2.0]).mean("Y").draws.shape == (1, 2)


BESIDE = CausalMixture(
    2,
    {
        "B": Bernoulli(),
        "N": Poisson(),
        "T": Gaussian(scale=1.0),
        "Y": LinearGaussian(parents=["B", "N", "T"], scale=1.0),
        "C": Bernoulli(parents=["B"]),
    },
)
BESIDE_FIT = Fit.from_greeks(
    BESIDE,
    {
        "theta": THETA,
        "p_B": [0.2, 0.7],
        "rate_N": [1.0, 2.0],
        "mu_T": [0.0, 1.0],
        "beta_Y": [[0.0, 3.0, 0.5, 1.0], [1.0, -1.0, 0.25, 2.0]],
        "p_C": [[0.3, 0.6], [0.8, 0.1]],
    },
)
MORE = [(name, "set, and Y seen") for name in ("StudentT", "Beta, infinite at both ends")]
# What each row sets, and what is seen of it, beside T at random.
PER_ROW: dict[str, tuple[dict[str, list[float]], dict[str, list[float]]]] = {
    "a class set": ({"Z": [0, 1, 1]}, {}),
    "a class seen": ({}, {"Z": [0, 1, 1]}),
    "a level set": ({"B": [0, 1, 0]}, {}),
    "a level seen": ({}, {"B": [0, 1, 0]}),
    "a count set": ({"N": [0, 1, 5]}, {}),
    "a count seen": ({}, {"N": [0, 1, 5]}),
    "what T has no part in seen": ({}, {"C": [0, 1, 1]}),
    "set and seen": ({"B": [0, 1, 1]}, {"Z": [1, 1, 0], "C": [0, 1, 0]}),
    "set, and Y seen": ({"B": [0, 1, 1], "N": [0, 1, 5]}, {"Y": [0.5, -2.0, 9.0]}),
}


# By default every case under one law, and one case under two more.
@pytest.mark.parametrize(
    ("name", "case"),
    [
        pytest.param(name, case, marks=[] if name == "Exponential" or (name, case) in MORE else pytest.mark.slow)
        for name in LAWS
        for case in PER_ROW
    ],
)
def test_each_row_beside_a_stochastic_setting_is_as_if_asked_alone(name: str, case: str) -> None:
    setting, (done, seen) = LAWS[name][0], PER_ROW[case]

    def query(done: dict[str, Any], seen: dict[str, Any]) -> Any:
        found = BESIDE_FIT.do(T=setting, **done)
        return found.given(**seen) if seen else found

    rows = query(done, seen)
    alone = [
        query({key: v[row] for key, v in done.items()}, {key: v[row] for key, v in seen.items()}) for row in range(3)
    ]
    for variable in BESIDE.mechanisms:
        found = rows.mean(variable)
        assert found.error is None and found.draws.shape == (1, 3)
        expected = [float(one.mean(variable).value) for one in alone]
        np.testing.assert_allclose(found.draws[0], expected, rtol=1e-9, atol=1e-9, err_msg=variable)
    drawn = rows.sample(3, seed=0)
    assert all(drawn[key].tolist() == values for key, values in {**done, **seen}.items() if key in drawn)


def test_answers_over_all_rows_are_of_one_row_at_a_time() -> None:
    query = BESIDE_FIT.do(T=LAWS["Exponential"][0], Z=[0, 1])
    for ask in (lambda: query.cdf("Y", 1.0), lambda: query.log_density("Y", 1.0), lambda: query.quantile("Y", 0.5)):
        with refused(ValueError, "expected one value of Z, got one per row", "each value in turn"):
            ask()


def test_contrasts_of_rows_beside_a_stochastic_setting() -> None:
    setting, rows = LAWS["Gamma"][0], [0, 1]
    found = BESIDE_FIT.contrast("Y", do={"T": setting, "Z": rows}, versus={"T": 0.0, "Z": rows})
    # Slopes times the mean of the law, 4.
    np.testing.assert_allclose(found.draws, [[4.0, 8.0]], rtol=1e-9)
    given = BESIDE_FIT.contrast("Y", do={"T": setting}, versus={"T": 0.0}, given={"Z": rows})
    np.testing.assert_allclose(given.draws, [[4.0, 8.0]], rtol=1e-9)


def test_points_of_one_setting_beside_another_that_is_integrated() -> None:
    """Given Z nothing that is seen depends on U, so that it has one row of nodes for all points of T."""
    model = CausalMixture(2, {"T": Gaussian(), "U": Gaussian(), "Y": LinearGaussian(["T"]), "W": LinearGaussian(["U"])})
    greeks = {"theta": THETA, "mu_T": MU, "sigma_T": [1.0, 1.0], "mu_U": MU, "sigma_U": [1.0, 1.0], "sigma_Y": SIGMA}
    fit = Fit.from_greeks(model, {**greeks, "beta_Y": LINES, "beta_W": [[0.0, 0.0], [1.0, 0.0]], "sigma_W": [1.0, 1.0]})
    setting, reference = LAWS["Gamma"]
    query = fit.do(T=setting, U=LAWS["Exponential"][0]).given(Y=2.5, W=0.3)
    points = torch.tensor([0.5, 1.5, 4.0])
    found = query.log_density("T", points)
    weights = THETA * norm.pdf(0.3, [0.0, 1.0])
    effects = [norm.pdf(2.5, LINES[k, 0] + LINES[k, 1] * points, SIGMA[k]) for k in range(2)]
    expected = reference.pdf(points) * (weights @ np.array(effects))
    # p(seen), which was simulated, is the same for all points.
    np.testing.assert_allclose(np.diff(found), np.diff(np.log(expected)), atol=1e-7)


@pytest.mark.parametrize("name", ["Exponential", "StudentT"])
def test_samples_of_rows_beside_a_stochastic_setting(name: str) -> None:
    """With the same random numbers each row is that of its own setting for all rows."""
    setting, z = LAWS[name][0], np.arange(200) % 2
    drawn = fit_of().do(T=setting, Z=z).sample(200, seed=3)
    for k in range(2):
        alone = fit_of().do(T=setting, Z=k).sample(200, seed=3)
        for variable, column in drawn.items():
            assert torch.equal(column[z == k], alone[variable][z == k]), variable


def test_contrasts_of_stochastic_settings() -> None:
    fit = fit_of()
    gamma, exponential = law("Gamma", 2.0, 0.5), law("Exponential", 0.8)
    found = fit.contrast("Y", do={"T": gamma}, versus={"T": exponential})
    assert found.error is None
    assert float(found.value) == pytest.approx(THETA @ LINES[:, 1] * (4.0 - 1.25), abs=1e-8)
    given = fit.contrast("T", do={"T": gamma}, versus={"T": 1.0}, given={"Y": 2.5})
    assert float(given.value) == pytest.approx(Brute(LAWS["Gamma"][1], 2.5).of(lambda k, t: t) - 1.0, abs=1e-8)


def test_contrasts_keep_the_errors_of_what_is_simulated() -> None:
    model = CausalMixture(1, {"T": Gaussian(), "U": Gaussian(), "Y": LinearGaussian(parents=["T", "U"], scale=1.0)})
    greeks = {
        "theta": [1.0],
        "mu_T": [0.0],
        "mu_U": [0.0],
        "sigma_T": [1.0],
        "sigma_U": [1.0],
        "beta_Y": [[0.0, 1.0, 2.0]],
    }
    fit = Fit.from_greeks(model, greeks)
    settings = {"T": law("Exponential", 1.0), "U": law("Exponential", 1.0)}
    alone = fit.do(**settings).mean("Y")
    assert alone.error is not None
    assert float(alone.error) == pytest.approx(np.sqrt(5.0 / 2000.0), rel=0.2)
    found = fit.contrast("Y", do=settings, versus={"T": 0.0, "U": 0.0})
    assert torch.equal(found.error, alone.error)
    both = fit.contrast("Y", do=settings, versus=settings)
    assert float(both.error) == pytest.approx(np.sqrt(2.0) * float(alone.error), rel=0.1)
    assert 0.0 < abs(float(both.value)) < 5.0 * float(both.error), "drawn apart, so that the errors are independent"
    quantile = fit.do(**settings).quantile("Y", 0.5)
    assert quantile.error is not None and 0.01 < float(quantile.error) < 0.2


def test_what_cannot_be_seen_under_the_setting_is_refused() -> None:
    model = CausalMixture(1, {"T": Bernoulli(), "C": Categorical(2, prior=[[[1.0, 0.0], [0.5, 0.5]]], parents=["T"])})
    fit = Fit.from_greeks(model, {"theta": [1.0], "p_T": [0.5]})
    with refused(ValueError, "C", "probability 0"):
        fit.do(T=law("Bernoulli", 0.0)).given(C=1).mean("T")
    assert float(fit.do(T=law("Bernoulli", 0.5)).given(C=1).mean("T").value) == 1.0
    # Also where it says nothing of what is asked.
    apart = CausalMixture(1, {"T": Bernoulli(), "C": Categorical(2, prior=[1.0, 0.0])})
    with refused(ValueError, "C", "probability 0"):
        Fit.from_greeks(apart, {"theta": [1.0], "p_T": [0.5]}).do(T=law("Bernoulli", 0.5)).given(C=1).mean("T")


COUNTED = CausalMixture(
    2,
    {"N": Poisson(), "C": Categorical(3), "T": Gaussian(scale=1.0), "Y": LinearGaussian(parents=["N", "T"], scale=0.5)},
)
# Two draws of the Greeks, on which what is set does not depend.
COUNTS = Fit(
    COUNTED,
    "known",
    {
        "theta": torch.tensor([[0.5, 0.5], [0.1, 0.9]]).double(),
        "rate_N": torch.tensor([[1.0, 2.0], [3.0, 4.0]]).double(),
        "p_C": torch.full((2, 2, 3), 1 / 3).double(),
        "mu_T": torch.zeros(2, 2).double(),
        "beta_Y": torch.tensor([0.0, 1.0, 1.0]).double().expand(2, 2, 3),
    },
    1,
    Status.CONVERGED,
    {"labels": "as given"},
)
SHARES = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
ITSELF: dict[str, tuple[str, Any, Any]] = {
    "a large count": ("N", law("Poisson", 3000.0), stats.poisson(3000.0)),
    "a small count": ("N", law("Poisson", 3.0), stats.poisson(3.0)),
    "a count with a long tail": ("N", law("Geometric", 2.0**-12), stats.geom(2.0**-12, loc=-1)),
    "a count with an end": ("N", law("Binomial", 100_000.0, 0.5), stats.binom(100_000, 0.5)),
    "levels": ("C", dist.Categorical(SHARES), stats.rv_discrete(values=([0, 1, 2], SHARES.numpy()))),
    "a whole number for a real one": ("T", law("Poisson", 2500.0), stats.poisson(2500.0)),
    "Gamma": ("T", law("Gamma", 2.0, 0.5), stats.gamma(2.0, scale=2.0)),
    "Normal": ("T", law("Normal", 2.0, 0.5), stats.norm(2.0, 0.5)),
}


@pytest.mark.parametrize(
    "given", [pytest.param({}, id="nothing seen", marks=pytest.mark.slow), pytest.param({"Z": 1}, id="Z seen")]
)
@pytest.mark.parametrize("name", ITSELF)
def test_what_is_set_at_random_has_the_law_that_it_is_set_to(name: str, given: dict[str, int]) -> None:
    """Neither Z, nor anything else that is not below it, says anything of it: every answer is the law's own."""
    variable, setting, reference = ITSELF[name]
    query = COUNTS.do(**{variable: setting}).given(**given) if given else COUNTS.do(**{variable: setting})
    mean = query.mean(variable)
    np.testing.assert_allclose(mean.draws, [reference.mean()] * 2, rtol=1e-12)
    points = np.floor(reference.ppf([0.1, 0.5, 0.9])) if variable != "C" else np.arange(3.0)
    at = torch.tensor([-1.0, *points, np.inf])
    below, log = query.cdf(variable, at), query.log_density(variable, at[:-1])
    np.testing.assert_allclose(below, reference.cdf(at), rtol=1e-8, atol=1e-13)
    of_value = reference.logpmf if variable == "C" or hasattr(reference.dist, "pmf") else reference.logpdf
    np.testing.assert_allclose(log, of_value(at[:-1].numpy()), rtol=1e-9, atol=1e-9)
    quantiles = query.quantile(variable, [0.1, 0.5, 0.9])
    np.testing.assert_allclose(quantiles, reference.ppf([0.1, 0.5, 0.9]), rtol=1e-7)
    assert [found.error for found in (mean, below, log, quantiles)] == [None] * 4


def test_what_is_seen_below_still_informs_about_what_is_set() -> None:
    """The control: here the answer is not the law's own."""
    query = COUNTS.do(N=law("Poisson", 30.0)).given(Y=40.0)
    counts = np.arange(200)
    weights = stats.poisson.pmf(counts, 30.0) * norm.pdf(40.0, counts, np.sqrt(1.25))
    np.testing.assert_allclose(query.mean("N").draws, [(weights * counts).sum() / weights.sum()] * 2, rtol=1e-10)
    assert float(COUNTS.do(N=law("Poisson", 30.0)).mean("N").value) == 30.0


def test_one_mean_of_what_is_set_for_every_row() -> None:
    found = COUNTS.do(N=law("Poisson", 3000.0), T=[0.0, 1.0, 2.0]).mean("N")
    assert found.draws.tolist() == [[3000.0] * 3] * 2
    assert found.error is None


MASKED: dict[str, Any] = {
    "False": law("Normal", 0.0, 1.0).mask(False),
    "a tensor": law("Normal", 0.0, 1.0).mask(torch.tensor(True)),
    "the base of a transform": dist.TransformedDistribution(
        law("Normal", 0.0, 1.0).mask(False), [torch.distributions.transforms.ExpTransform()]
    ),
}


@pytest.mark.parametrize("name", MASKED)
def test_a_masked_setting_is_refused_by_name(name: str) -> None:
    """Draws of Normal(0, 1).mask(False) are normal, and its density is 1: what is asked would be one or the other."""
    fit = fit_of()
    calls = [
        lambda: fit.do(T=MASKED[name]),
        lambda: fit.contrast("Y", do={"T": MASKED[name]}, versus={"T": 0.0}),
    ]
    for call in calls:
        with refused(ValueError, "do: T is set to a masked distribution", ".mask(...)"):
            call()
    with refused(ValueError, "do: Z is set to a masked distribution"):
        fit.do(Z=dist.Categorical(torch.ones(2)).mask(False))


def test_a_law_that_does_not_say_its_mean() -> None:
    fit, shift = fit_of(), torch.distributions.transforms.AffineTransform(1.0, 2.0)
    silent = dist.TransformedDistribution(law("Normal", 0.0, 1.0), [shift])
    with refused(NotImplementedError, "mean", "T", "sample"):
        fit.do(T=silent).mean("T")
    assert float(fit.do(T=silent).cdf("T", 1.0)) == pytest.approx(0.5)
    # A circle's mean is a direction: of what is on the line from -π to π about half is far from it.
    found = fit.do(T=law("VonMises", 3.0, 1.0)).mean("T")
    grid = np.linspace(-np.pi, np.pi, 20_001)
    density = np.exp(np.cos(grid - 3.0))
    right = (density * grid).sum() / density.sum()
    assert abs(float(found.value) - 3.0) > 1.0
    assert found.error is not None
    assert abs(float(found.value) - right) < 5.0 * float(found.error)


def test_a_setting_without_a_mean_has_quantiles() -> None:
    fit, cauchy = fit_of([[0.0, 1.0], [0.0, 1.0]], [1.0, 1.0]), law("Cauchy", 0.0, 1.0)
    for name in ("T", "Y"):
        with refused(ValueError, "mean", name, "T", "quantiles"):
            fit.do(T=cauchy).mean(name)
    assert float(fit.do(T=cauchy).quantile("T", 0.75)) == pytest.approx(1.0, rel=1e-9)
    # Cauchy plus normal: Voigt's profile, symmetric about 0.
    assert float(fit.do(T=cauchy).cdf("Y", 0.0)) == pytest.approx(0.5, abs=1e-10)
    assert float(fit.do(T=cauchy).given(Y=0.0).mean("T").value) == pytest.approx(0.0, abs=1e-9)


SAMPLED: dict[str, tuple[Any, str]] = {
    "Bernoulli": (law("Bernoulli", 0.3), "X"),
    "Normal": (law("Normal", 1.0, 2.0), "T"),
    "Exponential": (law("Exponential", 0.8), "T"),
    "Gamma, infinite at 0": (law("Gamma", 0.3, 0.5), "T"),
}


@pytest.mark.parametrize("name", SAMPLED)
@pytest.mark.statistical(min_effect=0.12)
def test_samples_have_the_conditional_law(stat: Stat, name: str) -> None:
    setting, variable = SAMPLED[name]
    query = fit_of().do(T=setting)
    given = query.given(Y=7.0)
    rows = given.sample(1000, seed=stat.seed)
    assert bool((rows["Y"] == 7.0).all())
    stat.cdf(rows[variable], lambda x: given.cdf(variable, x))
    with stat.control():  # as if nothing had been seen of it
        stat.cdf(rows[variable], lambda x: query.cdf(variable, x))


COUNT_BESIDE = CausalMixture(2, {"T": Gaussian(), "P": Poisson(), "Y": LinearGaussian(parents=["T", "P"])})
RATES, COUNT_BESIDE_LINES, COUNT_BESIDE_SIGMA = [1.0, 3.0], [[0.0, 1.0, 0.5], [2.0, 1.0, 0.2]], [1.0, 0.5]


def beside_a_count(theta: Any = THETA, rates: Any = RATES) -> Fit:
    greeks = {"theta": theta, "mu_T": [0.0, 2.0], "sigma_T": [1.0, 1.5], "rate_P": rates}
    return Fit.from_greeks(COUNT_BESIDE, {**greeks, "beta_Y": COUNT_BESIDE_LINES, "sigma_Y": COUNT_BESIDE_SIGMA})


def expected_beside(reference: Any, seen: float, asked: Any) -> float:
    """E[asked(t, p) | Y = seen] by the sum over Z and P of integrals over T about where Y puts it."""
    top = bottom = 0.0
    for weight, rate, (intercept, slope, step), sigma in zip(
        THETA, RATES, COUNT_BESIDE_LINES, COUNT_BESIDE_SIGMA, strict=True
    ):
        for p in range(30):
            centre = (seen - intercept - step * p) / slope
            share = weight * stats.poisson.pmf(p, rate)
            points, widths = np.polynomial.legendre.leggauss(80)
            t = np.concatenate([centre + sigma * (start + 1.0 + points) for start in range(-12, 12, 2)])
            mass = share * np.tile(widths, 12) * sigma * reference.pdf(t)
            mass *= norm.pdf(seen, intercept + slope * t + step * p, sigma)
            top, bottom = top + (mass * asked(t, p)).sum(), bottom + mass.sum()
    return float(top / bottom)


TAILS = {
    "StudentT(5)": (law("StudentT", 5.0), stats.t(5.0)),
    "StudentT(3)": (law("StudentT", 3.0), stats.t(3.0)),
    "Cauchy": (law("Cauchy", 0.0, 1.0), stats.cauchy()),
}


# Every law, and each value, but not every pair.
@pytest.mark.parametrize(
    ("seen", "name"),
    [
        pytest.param(seen, name, marks=[pytest.mark.slow] * ((name == "StudentT(3)") == (seen == 1e8)))
        for seen in (3.0, 1e8)
        for name in TAILS
    ],
)
def test_a_heavy_tail_beside_a_count(name: str, seen: float) -> None:
    """Values of T far out would ask for counts of thousands to explain Y, but have no weight."""
    setting, reference = TAILS[name]
    query = beside_a_count().do(T=setting).given(Y=seen)
    about = seen - 2.0
    for variable, asked in {"T": lambda t, p: t - about, "P": lambda t, p: p}.items():
        found = float(query.mean(variable).value) - (about if variable == "T" else 0.0)
        assert found == pytest.approx(expected_beside(reference, seen, asked), rel=1e-7, abs=64.0 * np.spacing(seen))
    below = expected_beside(reference, seen, lambda t, p: t <= about)
    assert float(query.cdf("T", about)) == pytest.approx(below, abs=1e-3)
    drawn = query.sample(20, seed=0)
    assert bool((drawn["Y"] == seen).all()) and bool(((drawn["T"] - seen).abs() < 20.0).all())


def test_a_heavy_tail_that_ends_beside_a_count() -> None:
    """do(T ~ Pareto), Y seen: T is at least 1, and its tail asks for counts of thousands."""
    query = beside_a_count().do(T=law("Pareto", 1.0, 1.5)).given(Y=12.0)
    expected = expected_beside(stats.pareto(1.5), 12.0, lambda t, p: t)
    assert float(query.mean("T").value) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("weight", [0.0, 1e-300])
def test_a_class_without_weight_asks_for_no_counts(weight: float) -> None:
    """The rate of a class that has no rows may be anything; all is as if there were the other class alone."""
    fit = beside_a_count([1.0, weight], [1.0, 1e6])
    assert float(fit.do(T=1.0).mean("Y").value) == pytest.approx(1.5, rel=1e-12)
    masses = stats.poisson.pmf(np.arange(40), 1.0) * norm.pdf(3.0, 0.5 * np.arange(40), np.sqrt(2.0))
    expected = (masses * (3.0 - 0.5 * np.arange(40)) / 2.0).sum() / masses.sum()
    assert float(fit.given(Y=3.0).mean("T").value) == pytest.approx(expected, rel=1e-10)


def test_a_class_that_what_is_seen_speaks_for_has_its_counts() -> None:
    """Its weight before seeing is 1e-40, but no other explains Y = 60."""
    fit = beside_a_count([1.0, 1e-40], [1.0, 300.0])
    assert float(fit.given(Y=60.0, T=0.0).mean("P").value) == pytest.approx(290.0, rel=0.02)


@pytest.mark.parametrize("setting", [law("Uniform", 0.0, 1.0), 0.5], ids=["law", "value"])
def test_the_way_out_of_too_many_counts_works(setting: Any) -> None:
    """Y = 1e8 asks for P of 2e8: a value of P is what is missing, and is all that is."""
    query = beside_a_count().do(T=setting).given(Y=1e8)
    for ask in (lambda: query.mean("P"), lambda: query.sample(5)):
        with pytest.raises(NotImplementedError, match="give a value of P, seen or set") as caught:
            ask()
        assert "sample" not in str(caught.value)
    assert math.isfinite(float(query.given(P=3.0).mean("T").value.reshape(-1)[0]))
    assert len(beside_a_count().do(T=setting, P=3.0).given(Y=1e8).sample(5)["T"]) == 5
    with pytest.raises(NotImplementedError, match=r"use \.sample\(\), or give a value of P"):
        beside_a_count(rates=[1.0, 1e6]).do(T=setting).mean("Y")
    assert len(beside_a_count(rates=[1.0, 1e6]).do(T=setting).sample(5)["Y"]) == 5


KUMARASWAMY = pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (2.0, 3.0), (5.0, 0.5), (0.2, 2.0)])


def by_rank(a: float, b: float, asked: Any) -> float:
    """The mean of a function of T ~ Kumaraswamy(a, b), over the ranks of T, which are u = 1 - (1 - t^a)^b."""
    points, widths = np.polynomial.legendre.leggauss(200)
    ends = np.concatenate([[0.0], np.logspace(-12, -1, 12), 1.0 - np.logspace(-1, -12, 12), [1.0]])
    found = 0.0
    for low, high in itertools.pairwise(ends):
        u = np.minimum(low + 0.5 * (high - low) * (points + 1.0), 1.0 - 2.0**-53)
        found += 0.5 * (high - low) * float((asked((-np.expm1(np.log1p(-u) / b)) ** (1.0 / a)) * widths).sum())
    return found


@KUMARASWAMY
def test_a_density_that_pyro_rounds_to_no_number(a: float, b: float) -> None:
    """Pyro goes back through the powers that it draws by, and is at 0 / 0 near the ends; the density is a formula."""
    query = fit_of().do(T=law("Kumaraswamy", a, b))
    own = query.log_density("T", [1e-9, 0.3, 1.0 - 1e-9, -0.1, 1.1])
    t = np.array([1e-9, 0.3, 1.0 - 1e-9])
    expected = np.log(a * b) + (a - 1) * np.log(t) + (b - 1) * np.log(-np.expm1(a * np.log(t)))
    np.testing.assert_allclose(own[:3], expected, rtol=1e-12)
    assert own.tolist()[3:] == [-np.inf, -np.inf]
    np.testing.assert_allclose(query.cdf("T", t), -np.expm1(b * np.log(-np.expm1(a * np.log(t)))), rtol=1e-12)

    def over_classes(of: Any) -> Any:
        return lambda t: sum(w * of(t, i + c * t, s) for w, (i, c), s in zip(THETA, LINES.tolist(), SIGMA, strict=True))

    below = by_rank(a, b, over_classes(lambda t, mean, s: norm.cdf(0.7, mean, s)))
    assert float(query.cdf("Y", 0.7)) == pytest.approx(below, abs=1e-9)
    assert float(query.quantile("Y", below)) == pytest.approx(0.7, rel=1e-8)
    top, whole = (by_rank(a, b, over_classes(lambda t, mean, s, n=n: t**n * norm.pdf(0.5, mean, s))) for n in (1, 0))
    seen = query.given(Y=0.5)
    assert float(seen.mean("T").value) == pytest.approx(top / whole, rel=1e-8)
    assert bool(((drawn := seen.sample(50, seed=0)["T"]) >= 0.0).all() and (drawn <= 1.0).all())


@pytest.mark.parametrize("power", [0.3, 0.5])
def test_what_lies_at_a_bound_counts_once(power: float) -> None:
    """Beyond the last panel lies an atom; the panels of what is asked end with the law's."""
    reference = stats.beta(power, power)
    query = fit_of().do(T=law("Beta", power, power))
    points, widths = np.polynomial.legendre.leggauss(200)
    ends = np.concatenate([[0.0], np.logspace(-9, -1, 9), 1.0 - np.logspace(-1, -9, 9), [1.0]])
    expected = 0.0
    for low, high in itertools.pairwise(ends):
        t = reference.ppf(low + 0.5 * (high - low) * (points + 1.0))
        values = sum(w * norm.cdf(0.7, i + c * t, s) for w, (i, c), s in zip(THETA, LINES.tolist(), SIGMA, strict=True))
        expected += 0.5 * (high - low) * float((values * widths).sum())
    assert float(query.cdf("Y", 0.7)) == pytest.approx(expected, abs=5e-9)


def test_a_setting_by_parts_needs_no_density_all_over() -> None:
    """A mixture of uniform laws: Pyro refuses the density of each part where the other one is."""
    parts = dist.Uniform(torch.tensor([0.0, 5.0]).double(), torch.tensor([1.0, 6.0]).double())
    setting = dist.MixtureSameFamily(dist.Categorical(torch.tensor([0.3, 0.7], dtype=torch.float64)), parts)
    query = fit_of().do(T=setting)
    assert float(query.mean("Y").value) == pytest.approx(THETA @ (LINES @ [1.0, 4.0]), rel=1e-12)
    weights, sums = 0.0, 0.0
    for share, low in ((0.3, 0.0), (0.7, 5.0)):
        for weight, (intercept, slope), sigma in zip(THETA, LINES.tolist(), SIGMA, strict=True):
            for n in (0, 1):
                found = integrate.quad(lambda t: t**n * norm.pdf(2.0, intercept + slope * t, sigma), low, low + 1.0)[0]  # noqa: B023
                weights, sums = weights + (n == 0) * weight * share * found, sums + (n == 1) * weight * share * found
    assert float(query.given(Y=2.0).mean("T").value) == pytest.approx(sums / weights, rel=1e-9)


def powers() -> Any:
    """The law of Kumaraswamy(.5, .5) as one builds it oneself: no number beyond its ends."""
    power = dist.transforms.PowerTransform(torch.tensor(2.0))
    return dist.TransformedDistribution(
        dist.Uniform(0.0, 1.0), [power, dist.transforms.AffineTransform(1.0, -1.0), power]
    )


def test_no_answer_is_not_a_number() -> None:
    query = fit_of().do(T=powers())
    with refused(ValueError, "cdf", "T", "not a number at 1.5", "TransformedDistribution", ".sample()"):
        query.cdf("T", [0.5, 1.5])
    with refused(ValueError, "log_density", "T", "not a number at 1.5", ".sample()"):
        query.log_density("T", 1.5)
    assert math.isfinite(float(query.given(Y=1.0).mean("T").value))


class Silent(dist.Laplace):
    """A user's own law, whose formula is lost above some value."""

    last = 1.0

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = super().log_prob(value)
        return found.masked_fill(value > self.last, torch.nan)


class SilentFarOut(Silent):
    last = 500.0


def test_a_density_that_is_lost_where_what_is_seen_asks_for_it_is_refused() -> None:
    query = fit_of().do(T=SilentFarOut(torch.tensor(0.0).double(), torch.tensor(1.0).double()))
    assert float(query.mean("Y").value) == pytest.approx(THETA @ LINES[:, 0], abs=2e-8)
    with refused(ValueError, "T is set to SilentFarOut", "expected to be a number", "set it to values"):
        query.given(Y=1000.0).mean("T")


WITHOUT_DENSITY: dict[str, tuple[Any, list[str]]] = {
    "improper": (dist.ImproperUniform(dist.constraints.real, (), ()), ["ImproperUniform", "does not support sampling"]),
    "empirical": (dist.Empirical(torch.tensor([1.0, 2.0]), torch.zeros(2)), ["Empirical", "raised"]),
    "lost": (Silent(torch.tensor(0.0).double(), torch.tensor(1.0).double()), ["Silent", "not a number at its own"]),
    "infinite": (
        dist.TransformedDistribution(law("Normal", 0.0, 1e4), [dist.transforms.ExpTransform()]),
        ["TransformedDistribution", "which drew inf"],
    ),
}


@pytest.mark.parametrize("name", WITHOUT_DENSITY)
def test_a_setting_without_draws_or_densities_is_refused_before_any_work(name: str) -> None:
    setting, parts = WITHOUT_DENSITY[name]
    with refused(ValueError, "do: T expects a distribution that draws finite numbers", *parts, "set it to values"):
        fit_of().do(T=setting)
