"""One extreme entry changes no other row where entries are missing: each row against exact arithmetic of it alone."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp

from estimators import CausalMixture, Data, Fit
from estimators.mechanisms import Bernoulli, FullGaussian, Gaussian, LinearGaussian, Poisson
from tests.expectations import q_of
from tests.test_missing_vectors import exact_law, exact_log_density

THETA = [0.375, 0.625]
LINE = CausalMixture(2, {"T": Gaussian(), "Y": LinearGaussian(parents=["T"])})
# The line of each of T and Y on those before it, and their scales, in each class.
LAWS = [([[0.0], [0.25, 1.0]], [1.0, 1.0]), ([[1.0], [1.0, 0.875]], [1.5, 2.0])]
GREEKS = {
    "theta": THETA,
    "mu_T": [lines[0][0] for lines, _ in LAWS],
    "sigma_T": [scales[0] for _, scales in LAWS],
    "beta_Y": [lines[1] for lines, _ in LAWS],
    "sigma_Y": [scales[1] for _, scales in LAWS],
}
NAN = float("nan")
ORDINARY = [(NAN, 0.2), (0.7, NAN), (NAN, -1.3), (0.5, 0.4), (-0.6, NAN), (-1.1, -0.9), (NAN, 1.7), (0.3, 1.1)]
SIZES = [1e3, 1e16, 1e30, -1e60, 1e95, 1e100]
PLACES = {"its effect known": (NAN, 1.0), "its cause known": (1.0, NAN), "complete": (1.0, 1.0)}


def data_of(rows: Sequence[tuple[float, float]]) -> Data:
    return Data(T=[t for t, _ in rows], Y=[y for _, y in rows], missing="marginalize")


def exact_row(row: Sequence[float], laws: Sequence[tuple[Sequence[Fraction], Sequence[Sequence[Fraction]]]]) -> float:
    seen = [place for place, value in enumerate(row) if value == value]
    logs = []
    for weight, (mean, covariance) in zip(THETA, laws, strict=True):
        law = [[covariance[i][j] for j in seen] for i in seen]
        logs.append(np.log(weight) + exact_log_density([row[i] for i in seen], [mean[i] for i in seen], law))
    return float(logsumexp(logs))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("place", PLACES)
def test_a_line_with_gaps(place: str, size: float) -> None:
    fit, laws = Fit.from_greeks(LINE, GREEKS), [exact_law(*law) for law in LAWS]
    far = (PLACES[place][0] * size, PLACES[place][1] * size)
    rows = [*ORDINARY, far]
    found, shares = fit.log_density(data_of(rows)), fit.responsibilities(data_of(rows))
    np.testing.assert_allclose(found, [exact_row(row, laws) for row in rows], rtol=1e-13)
    np.testing.assert_allclose(shares[:-1], fit.responsibilities(data_of(ORDINARY)), rtol=1e-13)
    np.testing.assert_allclose(fit.log_density(data_of([far])), found[-1:], rtol=1e-13)


@pytest.mark.parametrize("size", SIZES)
def test_vectors_with_gaps(size: float) -> None:
    model = CausalMixture(2, {"V": FullGaussian(2)})
    mean, sigma, corr = [[0.0, 0.5], [1.0, 2.0]], [[1.0, 2.0], [1.5, 1.0]], [[[1.0, 0.0], [0.6, 0.8]]] * 2
    greeks = {"theta": THETA, "mu_V": mean, "sigma_V": sigma, "corr_V": torch.tensor(corr, dtype=torch.float64)}
    laws = []
    for k in range(2):
        factor = [[Fraction(sigma[k][i]) * Fraction(corr[k][i][j]) for j in range(2)] for i in range(2)]
        covariance = [[sum((a * b for a, b in zip(f, g, strict=True)), Fraction(0)) for g in factor] for f in factor]
        laws.append(([Fraction(value) for value in mean[k]], covariance))
    rows = [[NAN, 0.3], [0.7, NAN], [1.5, 1.0], [NAN, size], [-size, NAN]]
    found = Fit.from_greeks(model, greeks).log_density(Data(V=rows, missing="marginalize"))
    np.testing.assert_allclose(found, [exact_row(row, laws) for row in rows], rtol=1e-13)


@pytest.mark.parametrize("rows", [ORDINARY, ORDINARY[3:4]], ids=["eight", "one"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("place", PLACES)
def test_the_class_without_the_extreme_row_learns_what_it_learns_without_it(
    place: str, size: float, rows: list[tuple[float, float]]
) -> None:
    """The row belongs to the wider class alone: gradient and M-step of the other are those of the other rows."""
    far = (PLACES[place][0] * size, PLACES[place][1] * size)
    arrays = {name: value.numpy() for name, value in LINE.check_greeks(GREEKS).items()}
    found = []
    for some in ([*rows, far], rows):
        marginal = LINE.marginal(data_of(some))
        statistics = marginal.statistics(arrays)
        found.append((marginal.gradient(arrays, statistics), marginal.argmax(arrays, statistics)))
    (slopes, best), (slopes_without, best_without) = found
    for name in slopes:
        assert np.isfinite(slopes[name]).all() and np.isfinite(best[name]).all(), name
    for name in ("mu_T", "sigma_T", "beta_Y", "sigma_Y"):
        np.testing.assert_allclose(slopes[name][0], slopes_without[name][0], rtol=1e-11, atol=1e-13, err_msg=name)
    # Of one row the M-step takes the shortest way, in units that the far row has a part in.
    for name in ("mu_T", "beta_Y") if len(rows) > 1 else ("mu_T",):
        np.testing.assert_allclose(best[name][0], best_without[name][0], rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("size", SIZES)
def test_a_value_that_was_set_far_away_leaves_the_other_rows_theirs(size: float) -> None:
    """A set T is a known number, of which Y's missing cause W is none."""
    model = CausalMixture(2, {"T": Gaussian(), "W": Gaussian(), "Y": LinearGaussian(parents=["T", "W"])})
    greeks = {**GREEKS, "mu_W": [0.0, 1.0], "sigma_W": [1.0, 0.5], "beta_Y": [[0.25, 1.0, 0.5], [1.0, 0.875, 2.0]]}
    arrays = {name: value.numpy() for name, value in model.check_greeks(greeks).items()}
    t, w, y = np.array([0.2, -0.7, 1.1, size]), [NAN, 0.3, NAN, NAN], np.array([0.1, 0.5, 0.9, 0.875 * size])

    def marginal(rows: slice) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
        given = Data(T=t[rows], W=w[rows], Y=y[rows], intervened={"T": True}, missing="marginalize")
        of = model.marginal(given)
        return of.pointwise(model.check_greeks(greeks)).numpy(), of.gradient(arrays, of.statistics(arrays))

    (found, slopes), (without, slopes_without) = marginal(slice(None)), marginal(slice(3))
    np.testing.assert_allclose(found[:3], without, rtol=1e-13)
    np.testing.assert_allclose(slopes["beta_Y"][0], slopes_without["beta_Y"][0], rtol=1e-12, atol=1e-13)
    scale = np.hypot(2.0, 2.0 * 0.5)
    # Of the second class, whose slope it has: Y less its mean is 3 but for the rounding of the row's own numbers.
    if size == 1e3:
        logs = stats.norm.logpdf(-3.0, 0.0, scale), stats.norm.logpdf(-125.25, 0.0, np.sqrt(1.25))
        assert found[3] == pytest.approx(logsumexp([np.log(0.625) + logs[0], np.log(0.375) + logs[1]]), rel=1e-12)


@pytest.mark.parametrize("largest", [5, 10**7, 10**30])
def test_counts_beside_a_gap(largest: int) -> None:
    """Counts whose log probabilities are formed about each class's own rate, where those about the mean lose digits."""
    model = CausalMixture(2, {"C": Poisson(), "T": Gaussian(scale=1.0), "Y": LinearGaussian(parents=["T"], scale=1.0)})
    rates = np.array([2.0, 1e7])
    greeks = {"theta": THETA, "rate_C": rates, "mu_T": [0.0, 1.0], "beta_Y": [[0.0, 1.0], [1.0, 1.0]]}
    counts, y = np.array([2, 3, 1, largest], dtype=float), np.array([0.1, 0.2, 0.3, 2.0])
    found = Fit.from_greeks(model, greeks).log_density(Data(C=counts, T=[NAN] * 4, Y=y, missing="marginalize"))
    effect = stats.norm.logpdf(y[:, None], [0.0, 2.0], np.sqrt(2.0))
    rare = torch.distributions.Poisson(torch.tensor(rates), validate_args=False).log_prob(torch.tensor(counts)[:, None])
    expected = logsumexp(np.log(THETA) + effect + rare.numpy(), axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    np.testing.assert_allclose(found[:3], expected[:3], rtol=1e-13)


def test_the_statistics_of_counts_beside_a_gap() -> None:
    """J(φ; S) at the φ of S is the expected log joint, in whatever reference the counts are."""
    model = CausalMixture(2, {"C": Poisson(), "T": Bernoulli(), "Y": LinearGaussian(parents=["T"])})
    greeks = {"theta": THETA, "rate_C": [2.0, 1e7], "p_T": [0.3, 0.6], "beta_Y": [[0.0, 1.0]] * 2, "sigma_Y": [1.0] * 2}
    arrays = {name: value.numpy() for name, value in model.check_greeks(greeks).items()}
    marginal = model.marginal(Data(C=[3, 10**7], T=[NAN, 1.0], Y=[0.2, 1.0], missing="marginalize"))
    joint = np.log(THETA[0]) + np.log([0.7, 0.3]) + stats.norm.logpdf(0.2, [0.0, 1.0]) + stats.poisson.logpmf(3, 2.0)
    shares = np.exp(joint - logsumexp(joint))
    second = np.log(THETA[1] * 0.6) + stats.norm.logpdf(0.0) + stats.poisson.logpmf(10**7, 1e7)
    found = q_of(marginal, arrays, marginal.statistics(arrays))
    assert float(found) == pytest.approx(float(shares @ joint) + second, rel=1e-10)
