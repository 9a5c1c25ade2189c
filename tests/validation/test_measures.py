"""Measures against closed forms."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.signal import lfilter
from scipy.special import logsumexp

from estimators import CausalMixture, Fit
from estimators.mechanisms import Gaussian, LinearGaussian
from validation.measures.calibration import rank_among
from validation.measures.exactness import distribution_gap, sample_wasserstein
from validation.measures.information import covariance_of_scores, cramer_rao, divergence_weights
from validation.measures.interventional import (
    discrete_divergence,
    discrete_wasserstein,
    kl_divergence,
    knots,
    knots_between,
    quadrature,
    supports,
    wasserstein,
)
from validation.measures.recovery import central_interval, columns, entries, names_of, sort_components

NORMALS = [((0.0, 1.0), (0.0, 1.0)), ((0.0, 1.0), (0.7, 1.0)), ((-3.0, 0.5), (4.0, 2.0)), ((1e4, 2.0), (1e4 + 1, 1.5))]


def inner(p):
    """Points and weights that hold the mass of p."""
    return quadrature(knots(p.cdf, p.mean()))


def outer(p, q):
    """Points and weights that hold the mass of both."""
    return quadrature(knots(p.cdf, p.mean()), knots(q.cdf, q.mean()))


def divergence(p, q):
    """KL(p || q)."""
    x, weights = inner(p)
    return kl_divergence(p.logpdf(x), q.logpdf(x), weights)


def distance(p, q, rule=None):
    """Wasserstein-1."""
    x, weights = outer(p, q) if rule is None else rule
    return wasserstein(p.cdf(x), q.cdf(x), weights)


@pytest.mark.parametrize(("one", "other"), NORMALS)
def test_kl_between_normals(one, other):
    p, q = stats.norm(*one), stats.norm(*other)
    expected = math.log(other[1] / one[1]) + (one[1] ** 2 + (one[0] - other[0]) ** 2) / (2 * other[1] ** 2) - 0.5
    assert divergence(p, q) == pytest.approx(expected, rel=1e-6, abs=1e-9)


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
    assert distance(p, q) == pytest.approx(folded, rel=1e-6, abs=1e-9)


def test_kl_of_a_far_prediction_does_not_underflow():
    p, q = stats.norm(0, 1), stats.norm(100, 1)
    assert divergence(p, q) == pytest.approx(5000.0)


@pytest.mark.parametrize(("one", "other"), [((0.0, 1.0), (1000.0, 1.0)), ((0.0, 1e-3), (1e6, 1e-3))])
def test_wasserstein_of_a_far_prediction_is_the_distance_of_the_means(one, other):
    p, q = stats.norm(*one), stats.norm(*other)
    assert distance(p, q) == pytest.approx(other[0], rel=1e-9)
    # Knots of the truth alone have no more than one point in a thousand where the prediction is.
    assert distance(p, q, inner(p)) < 0.1 * other[0]


class Modes:
    """A mixture of normals far apart."""

    def __init__(self, weights, means, scales):
        self.weights, self.parts = np.array(weights), stats.norm(np.array(means), np.array(scales))
        self.means = np.array(means)

    def cdf(self, x):
        return (self.weights * self.parts.cdf(np.asarray(x)[..., None])).sum(-1)

    def logpdf(self, x):
        return logsumexp(np.log(self.weights) + self.parts.logpdf(np.asarray(x)[..., None]), axis=-1)

    def mean(self):
        return float(self.weights @ self.means)


@pytest.mark.parametrize(
    ("p", "q", "kl", "far"),
    [
        # Other weights: KL of the weights, and the mass that moves times the way it moves.
        (
            ([0.3, 0.7], [0, 1e6], [1, 1]),
            ([0.5, 0.5], [0, 1e6], [1, 1]),
            0.3 * math.log(0.6) + 0.7 * math.log(1.4),
            2e5,
        ),
        # One mode shifted by 0.5: KL is its weight times 0.5² / 2.
        (([0.3, 0.7], [0, 1e6], [1, 1]), ([0.3, 0.7], [0.5, 1e6], [1, 1]), 0.3 * 0.125, 0.15),
        # The scale of a rare mode far off: its weight times KL of normals, and times √(2/π) of their difference.
        (
            ([0.999, 0.001], [0, 1e5], [1, 0.01]),
            ([0.999, 0.001], [0, 1e5], [1, 1]),
            0.001 * (math.log(100) + 0.5e-4 - 0.5),
            0.001 * math.sqrt(2 / math.pi) * 0.99,
        ),
    ],
)
def test_narrow_modes_far_apart_are_found(p, q, kl, far):
    p, q = Modes(*p), Modes(*q)
    assert divergence(p, q) == pytest.approx(kl, rel=1e-3)
    assert distance(p, q) == pytest.approx(far, rel=1e-3)


def test_knots_of_a_truth_serve_a_prediction_within_them():
    """Refined where the prediction has a mode of its own, and none where it reaches beyond."""
    p, near, spiked, far = (
        stats.norm(0, 1),
        stats.norm(0.2, 1.1),
        Modes([0.9, 0.1], [0, 1], [1, 1e-4]),
        stats.norm(9, 1),
    )
    own = knots(p.cdf, p.mean())
    assert knots_between(near.cdf, own, near.cdf(own)) is own
    assert knots_between(far.cdf, own, far.cdf(own)) is None
    x, weights = quadrature(knots_between(spiked.cdf, own, spiked.cdf(own)))
    assert len(own) * 5 < len(x) < len(own) * 15
    assert wasserstein(p.cdf(x), spiked.cdf(x), weights) == pytest.approx(distance(p, spiked), rel=1e-5)
    assert divergence(spiked, p) == pytest.approx(kl_divergence(spiked.logpdf(x), p.logpdf(x), weights), rel=1e-5), (
        "by the spike's own knots"
    )


def test_a_heavy_tail_costs_no_accuracy():
    p, q = stats.t(3), stats.t(3, loc=0.3)
    x = np.linspace(-4000, 4000, 800_001)
    reference = np.trapezoid(p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), x)
    assert divergence(p, q) == pytest.approx(reference, rel=1e-5)
    assert distance(p, q) == pytest.approx(0.3, rel=1e-6)  # a shift moves all mass by itself


def test_discrete_distances_of_counts():
    n = np.arange(200.0)
    p, q = stats.poisson(4.0), stats.poisson(6.0)
    kl = 6.0 - 4.0 + 4.0 * math.log(4.0 / 6.0)
    assert discrete_divergence(p.logpmf(n), q.logpmf(n)) == pytest.approx(kl, rel=1e-9)
    assert discrete_wasserstein(p.cdf(n), q.cdf(n)) == pytest.approx(2.0, rel=1e-9)  # ordered laws: the means' distance


def test_discrete_divergence_where_something_cannot_happen():
    with np.errstate(divide="ignore"):
        possible, impossible = np.log([0.5, 0.5, 0.0]), np.log([1.0, 0.0, 0.0])
    assert discrete_divergence(impossible, possible) == pytest.approx(math.log(2))
    assert discrete_divergence(possible, impossible) == math.inf
    assert discrete_divergence(possible, possible) == 0.0


@pytest.mark.parametrize("ess", [20.0, *(pytest.param(ess, marks=pytest.mark.slow) for ess in (63.0, 500.0))])
@pytest.mark.statistical(min_effect=0.15)
def test_ranks_are_uniform_whatever_the_effective_size(stat, ess):
    """Truth and draws from one law: every rank is equally likely, also where few draws are kept."""
    rng = np.random.default_rng(stat.seed)
    repeats, num_ranked = 8000, 7
    ranks = [
        rank_among(rng.normal(size=500), rng.normal(), num_ranked=num_ranked, ess=ess / 10, generator=rng)
        for _ in range(repeats)
    ]
    stat.uniform_ranks(ranks, num_ranked)
    shifted = [
        rank_among(rng.normal(size=500), 0.5 + rng.normal(), num_ranked=num_ranked, ess=ess / 10, generator=rng)
        for _ in range(repeats)
    ]
    with stat.control():
        stat.uniform_ranks(shifted, num_ranked)


@pytest.mark.statistical(min_effect=0.2)
def test_ranks_of_ties_are_spread_evenly(stat):
    rng = np.random.default_rng(stat.seed)
    ranks = [rank_among(np.zeros(9), 0.0, num_ranked=9, ess=9.0, generator=rng) for _ in range(4000)]
    stat.uniform_ranks(ranks, 9)
    with stat.control():
        stat.uniform_ranks(np.maximum(ranks, 2), 9)
    assert rank_among(np.arange(9.0), -1.0, num_ranked=9, ess=9.0, generator=rng) == 0
    assert rank_among(np.arange(9.0), 10.0, num_ranked=9, ess=9.0, generator=rng) == 9


def test_support_names_its_tail():
    ((low, high),) = supports(stats.norm(5, 3).cdf, 5.0, [1e-6])
    assert stats.norm(5, 3).cdf(low) <= 1e-6
    assert stats.norm(5, 3).sf(high) <= 1e-6
    with pytest.raises(ValueError, match="does not reach"):
        supports(lambda x: np.full_like(x, 0.5), 0.0, [1e-6])


def test_entries_are_named_like_a_summary():
    greeks = {"theta": np.array([0.4, 0.6]), "sigma_X": np.array(2.0), "beta_Y": np.ones((2, 2))}
    lines = CausalMixture(2, {"X": Gaussian(loc=0.0, shared=["scale"]), "Y": LinearGaussian(["X"], scale=1.0)})
    flat = entries(greeks, names_of(lines))
    assert list(flat) == list(Fit.from_greeks(lines, greeks).summary().index)
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


def test_sort_components_along_the_axes_it_is_told():
    draws = {
        "mu": np.array([[2.0, 1.0]]),
        "loadings": np.array([[[1.0, 2.0], [3.0, 4.0]]]),
        "shared": np.array([[8.0, 9.0]]),
    }
    arranged = sort_components(draws, by="mu", axes={"mu": 0, "loadings": 1, "shared": None})
    assert arranged["loadings"].tolist() == [[[2.0, 1.0], [4.0, 3.0]]]
    assert arranged["shared"].tolist() == [[8.0, 9.0]]


def test_central_interval():
    lower, upper = central_interval(np.linspace(0, 1, 1001), 0.9)
    assert lower == pytest.approx(0.05)
    assert upper == pytest.approx(0.95)


def gaps_over_repeats(rng, sample, repeats=2000):
    return np.array([distribution_gap(sample(rng), rng.normal(size=999)) for _ in range(repeats)])


def autocorrelated(rng, shift=0.0, scale=1.0):
    """A stationary AR(1) sample of standard normals, burn-in dropped."""
    noise = rng.normal(size=700) * math.sqrt(1 - 0.5**2)
    noise[0] /= math.sqrt(1 - 0.5**2)
    return shift + scale * lfilter([1.0], [1.0, -0.5], noise)


@pytest.mark.statistical(min_effect=0.3)
def test_distribution_gap_has_mean_zero_for_autocorrelated_exact_draws(stat):
    rng = np.random.default_rng(stat.seed)
    stat.means(gaps_over_repeats(rng, autocorrelated), 0.0)
    for wrong in ({"shift": 0.2}, {"scale": 0.8}):
        with stat.control():
            stat.means(gaps_over_repeats(rng, lambda rng, how=wrong: autocorrelated(rng, **how)), 0.0)


def test_sample_wasserstein_is_in_units_of_the_reference():
    x = np.random.default_rng(6).normal(size=500)
    assert sample_wasserstein(10 * (x + 0.5), 10 * x) == pytest.approx(0.5 / x.std())
    assert sample_wasserstein(np.full(5, 2.0), np.full(5, 1.0)) == pytest.approx(1.0)


def test_fisher_information_of_a_normal():
    mu, sigma = 1.0, 2.0
    p = stats.norm(mu, sigma)
    x, weights = inner(p)
    z = (x - mu) / sigma
    score = np.stack([z / sigma, (z**2 - 1) / sigma])
    information = covariance_of_scores(score, p.pdf(x) * weights)
    assert information == pytest.approx(np.diag([1 / sigma**2, 2 / sigma**2]), rel=1e-6, abs=1e-8)


def test_cramer_rao_of_functions_of_normal_parameters():
    sigma, n = 2.0, 50
    information = n * np.diag([1 / sigma**2, 2 / sigma**2])
    sd = cramer_rao(information, lambda v: np.array([v[0], v[1], v[1] ** 2, v[0] - v[1]]), np.array([1.0, sigma]))
    variance = [sigma**2 / n, sigma**2 / (2 * n), 4 * sigma**4 / (2 * n), 1.5 * sigma**2 / n]
    assert sd == pytest.approx(np.sqrt(variance), rel=1e-6)


def test_divergence_weights_are_the_expected_divergence():
    # KL(N(mu, s) || N(mu + d, s)) = d²/(2 s²), with d ~ N(0, s²/n): expectation 1/(2n), one chi-squared term.
    information = np.diag([0.25, 0.5])
    metric = np.diag([0.25, 0.0])
    assert divergence_weights(metric, 50 * information) == pytest.approx([1 / 100])
    assert divergence_weights(information, 50 * information) == pytest.approx([1 / 100, 1 / 100])
