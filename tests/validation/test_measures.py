"""Measures against closed forms."""

import math

import numpy as np
import pytest
from scipy import stats

from validation.measures import (
    central_interval,
    columns,
    cramer_rao,
    distribution_gap,
    divergence_weights,
    entries,
    fisher_information,
    kl_divergence,
    sample_wasserstein,
    sort_components,
    support,
    wasserstein,
)
from validation.tolerances import mean_tolerance

NORMALS = [((0.0, 1.0), (0.0, 1.0)), ((0.0, 1.0), (0.7, 1.0)), ((-3.0, 0.5), (4.0, 2.0)), ((1e4, 2.0), (1e4 + 1, 1.5))]


def both(p, q):
    one, other = support(p.cdf, p.mean()), support(q.cdf, q.mean())
    return min(one[0], other[0]), max(one[1], other[1])


@pytest.mark.parametrize(("one", "other"), NORMALS)
def test_kl_between_normals(one, other):
    p, q = stats.norm(*one), stats.norm(*other)
    expected = math.log(other[1] / one[1]) + (one[1] ** 2 + (one[0] - other[0]) ** 2) / (2 * other[1] ** 2) - 0.5
    assert kl_divergence(p.logpdf, q.logpdf, support(p.cdf, p.mean())) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(("one", "other"), NORMALS)
def test_wasserstein_between_normals(one, other):
    p, q = stats.norm(*one), stats.norm(*other)
    # W1 = E|a + b·U| for U standard normal, with a the difference of means and b that of scales: a folded normal.
    a, b = abs(one[0] - other[0]), abs(one[1] - other[1])
    folded = (
        a
        if b == 0
        else b * math.sqrt(2 / math.pi) * math.exp(-((a / b) ** 2) / 2) + a * (1 - 2 * stats.norm.cdf(-a / b))
    )
    assert wasserstein(p.cdf, q.cdf, both(p, q)) == pytest.approx(folded, rel=2e-3, abs=1e-9)


def test_kl_of_a_far_prediction_does_not_underflow():
    p, q = stats.norm(0, 1), stats.norm(100, 1)
    assert kl_divergence(p.logpdf, q.logpdf, support(p.cdf, 0.0)) == pytest.approx(5000.0)


def test_support_names_its_tail():
    low, high = support(stats.norm(5, 3).cdf, 5.0, tail=1e-6)
    assert stats.norm(5, 3).cdf(low) <= 1e-6
    assert stats.norm(5, 3).sf(high) <= 1e-6
    with pytest.raises(ValueError, match="does not reach"):
        support(lambda x: np.full_like(x, 0.5), 0.0)


def test_entries_are_named_like_a_summary():
    flat = entries({"theta": np.array([0.4, 0.6]), "sigma_X": np.array(2.0), "beta_Y": np.ones((2, 2))})
    assert list(flat) == ["theta[0]", "theta[1]", "sigma_X", "beta_Y[0,0]", "beta_Y[0,1]", "beta_Y[1,0]", "beta_Y[1,1]"]
    assert flat["theta[1]"] == 0.6
    draws = columns({"mu_X": np.array([[1.0, 2.0], [3.0, 4.0]]), "sigma_X": np.array([5.0, 6.0])})
    assert {name: values.tolist() for name, values in draws.items()} == {
        "mu_X[0]": [1.0, 3.0],
        "mu_X[1]": [2.0, 4.0],
        "sigma_X": [5.0, 6.0],
    }


def test_sort_components_moves_everything_together():
    draws = {
        "theta": np.array([[0.1, 0.9], [0.3, 0.7]]),
        "mu_X": np.array([[5.0, 1.0], [1.0, 5.0]]),
        "beta_Y": np.array([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]]),
        "sigma_X": np.array([2.0, 3.0]),
    }
    arranged = sort_components(draws, by="mu_X")
    assert arranged["mu_X"].tolist() == [[1.0, 5.0], [1.0, 5.0]]
    assert arranged["theta"].tolist() == [[0.9, 0.1], [0.3, 0.7]]
    assert arranged["beta_Y"][0].tolist() == [[3.0, 4.0], [1.0, 2.0]]
    assert arranged["beta_Y"][1].tolist() == [[5.0, 6.0], [7.0, 8.0]]
    assert arranged["sigma_X"].tolist() == [2.0, 3.0]


def test_central_interval():
    lower, upper = central_interval(np.linspace(0, 1, 1001), 0.9)
    assert lower == pytest.approx(0.05)
    assert upper == pytest.approx(0.95)


def gaps_over_repeats(rng, sample, repeats=200):
    return np.array([distribution_gap(sample(rng), rng.normal(size=999)) for _ in range(repeats)])


def autocorrelated(rng, shift=0.0, scale=1.0):
    """A stationary AR(1) sample of standard normals, burn-in dropped."""
    noise = rng.normal(size=700) * math.sqrt(1 - 0.5**2)
    x = np.empty(700)
    x[0] = rng.normal()
    for i in range(1, 700):
        x[i] = 0.5 * x[i - 1] + noise[i]
    return shift + scale * x


def test_distribution_gap_has_mean_zero_for_autocorrelated_exact_draws():
    gaps = gaps_over_repeats(np.random.default_rng(4), autocorrelated)
    sd = gaps.std(axis=0, ddof=1)
    tolerance = [mean_tolerance(s, len(gaps), alpha=1e-6 / gaps.shape[1]) for s in sd]
    assert np.all(np.abs(gaps.mean(axis=0)) <= tolerance)


@pytest.mark.parametrize("wrong", [{"shift": 0.2}, {"scale": 0.8}])
def test_distribution_gap_sees_wrong_draws(wrong):
    gaps = gaps_over_repeats(np.random.default_rng(5), lambda rng: autocorrelated(rng, **wrong), repeats=40)
    sd = gaps.std(axis=0, ddof=1)
    tolerance = [mean_tolerance(s, len(gaps), alpha=1e-6 / gaps.shape[1]) for s in sd]
    assert np.any(np.abs(gaps.mean(axis=0)) > tolerance)


def test_sample_wasserstein_is_in_units_of_the_reference():
    x = np.random.default_rng(6).normal(size=500)
    assert sample_wasserstein(10 * (x + 0.5), 10 * x) == pytest.approx(0.5 / x.std())
    assert sample_wasserstein(np.full(5, 2.0), np.full(5, 1.0)) == pytest.approx(1.0)


def normal_log_density(parameters, x):
    return stats.norm.logpdf(x, parameters[0], parameters[1])


def test_fisher_information_of_a_normal():
    sigma = 2.0
    information = fisher_information(normal_log_density, np.array([1.0, sigma]), np.linspace(-30, 32, 4001))
    assert information == pytest.approx(np.diag([1 / sigma**2, 2 / sigma**2]), rel=1e-6, abs=1e-8)


def test_cramer_rao_of_functions_of_normal_parameters():
    sigma, n = 2.0, 50
    information = np.diag([1 / sigma**2, 2 / sigma**2])
    sd = cramer_rao(information, lambda v: np.array([v[0], v[1], v[1] ** 2, v[0] - v[1]]), np.array([1.0, sigma]), n)
    variance = [sigma**2 / n, sigma**2 / (2 * n), 4 * sigma**4 / (2 * n), 1.5 * sigma**2 / n]
    assert sd == pytest.approx(np.sqrt(variance), rel=1e-6)


def test_divergence_weights_are_the_expected_divergence():
    # KL(N(mu, s) || N(mu + d, s)) = d²/(2 s²), with d ~ N(0, s²/n): expectation 1/(2n), one chi-squared term.
    information = np.diag([0.25, 0.5])
    metric = np.diag([0.25, 0.0])
    assert divergence_weights(metric, information, 50) == pytest.approx([1 / 100])
    assert divergence_weights(information, information, 50) == pytest.approx([1 / 100, 1 / 100])
