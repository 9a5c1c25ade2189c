"""Many patterns of missing entries at once, against the normal law of what is observed in each row."""

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp

from estimators import CausalMixture, Data, incomplete
from estimators.mechanisms import Bernoulli, FullGaussian, Gaussian, LinearGaussian, Poisson
from estimators.quadratic import Patterns, integrated

SIZE, THETA = 5, np.array([0.3, 0.7])


def vectors(scale: float, num_rows: int = 60) -> tuple[Data, np.ndarray, np.ndarray, dict[str, object]]:
    """Rows of correlated vectors a third of whose entries are missing; ``scale`` is that of the tight component."""
    rng = np.random.default_rng(3)
    mean = np.stack([np.zeros(SIZE), np.full(SIZE, 4.0)])
    roots = rng.normal(size=(2, SIZE, SIZE)) + 2.0 * np.eye(SIZE)
    covariance = roots @ np.swapaxes(roots, 1, 2) * np.array([scale**2, 1.0])[:, None, None]
    latent = np.arange(num_rows) % 2
    x = np.stack([rng.multivariate_normal(mean[z], covariance[z], method="cholesky") for z in latent])
    x[rng.random(x.shape) < 0.35] = np.nan
    sigma = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    corr = np.linalg.cholesky(covariance / (sigma[:, :, None] * sigma[:, None, :]))
    greeks = {"theta": THETA, "mu_X": mean, "sigma_X": sigma, "corr_X": corr}
    return Data(X=x, missing="marginalize"), mean, covariance, greeks


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-7])
def test_each_row_has_the_normal_law_of_what_is_observed(scale: float) -> None:
    """Also where a component is so narrow that the squares about the column's own centre have lost their digits."""
    data, mean, covariance, greeks = vectors(scale)
    model = CausalMixture(2, {"X": FullGaussian(SIZE)})
    found = model.marginal(data).pointwise(model.check_greeks(greeks)).numpy()
    for row, value in zip(data.columns["X"].numpy(), found, strict=True):
        seen = ~np.isnan(row)
        logs = np.log(THETA)
        if seen.any():
            laws = [stats.multivariate_normal(mean[k][seen], covariance[k][np.ix_(seen, seen)]) for k in range(2)]
            logs = logs + [law.logpdf(row[seen]) for law in laws]
        assert value == pytest.approx(logsumexp(logs), rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_the_m_step_takes_conditional_means_and_covariances(scale: float) -> None:
    """mu = Σ r E[x] / Σ r and Σ = Σ r (E[x x'] about mu) / Σ r, row by row with the textbook formula."""
    data, mean, covariance, greeks = vectors(scale)
    model = CausalMixture(2, {"X": FullGaussian(SIZE)})
    checked = model.check_greeks(greeks)
    marginal = model.marginal(data)
    shares = marginal.responsibilities(checked).numpy()
    best = marginal.expectation(checked).argmax()
    for k in range(2):
        first, second = np.zeros(SIZE), np.zeros((SIZE, SIZE))
        for row, r in zip(data.columns["X"].numpy(), shares[:, k], strict=True):
            seen = ~np.isnan(row)
            x, spread = mean[k].copy(), covariance[k].copy()
            if seen.any():
                gain = covariance[k][:, seen] @ np.linalg.inv(covariance[k][np.ix_(seen, seen)])
                x = mean[k] + gain @ (row - mean[k])[seen]
                spread = covariance[k] - gain @ covariance[k][seen]
            x[seen], spread[seen], spread[:, seen] = row[seen], 0.0, 0.0
            away = x - mean[k]
            first, second = first + r * away, second + r * (np.outer(away, away) + spread)
        count = shares[:, k].sum()
        np.testing.assert_allclose(best["mu_X"][k].numpy() - mean[k], first / count, rtol=1e-7, atol=1e-9 * scale)
        factor = best["sigma_X"][k].numpy()[:, None] * best["corr_X"][k].numpy()
        expected = second / count - np.outer(first, first) / count**2
        np.testing.assert_allclose(factor @ factor.T, expected, rtol=1e-6, atol=1e-8 * np.abs(expected).max())


def test_parts_of_rows_give_what_all_rows_give(monkeypatch: pytest.MonkeyPatch) -> None:
    data, _, _, greeks = vectors(1.0)
    model = CausalMixture(2, {"X": FullGaussian(SIZE)})
    checked = model.check_greeks(greeks)
    arrays = {name: value.numpy() for name, value in checked.items()}
    whole = model.marginal(data)
    monkeypatch.setattr(incomplete, "MOST_NUMBERS", 7 * SIZE**2)
    parts = model.marginal(data)
    one, many = whole.statistics(arrays), parts.statistics(arrays)
    assert float(one.log_likelihood) == pytest.approx(float(many.log_likelihood), rel=1e-12)
    np.testing.assert_allclose(one.sums["X"], many.sums["X"], rtol=1e-10, atol=1e-10)
    assert torch.allclose(whole.responsibilities(checked), parts.responsibilities(checked), rtol=0, atol=1e-12)


def test_counts_that_are_inputs_are_known_numbers() -> None:
    """A missing Y whose mean depends on a count, and on a table: only what Y's child says of it is left."""
    model = CausalMixture(
        1,
        {
            "N": Poisson(),
            "T": Bernoulli(),
            "Y": LinearGaussian(parents=["N", "T"]),
            "W": Gaussian(parents=["T"]),
            "V": LinearGaussian(parents=["Y", "W"]),
        },
    )
    greeks = {
        "theta": [1.0], "rate_N": [3.0], "p_T": [0.4], "beta_Y": [[1.0, 0.5, -2.0]], "sigma_Y": [0.7],
        "mu_W": [[0.0, 2.0]], "sigma_W": [[1.0, 0.3]], "beta_V": [[0.5, 2.0, -1.0]], "sigma_V": [0.2],
    }  # fmt: skip
    data = Data(
        N=[0, 5, 2, 7], T=[0.0, 1.0, np.nan, 1.0], Y=[np.nan] * 3 + [0.0], W=[np.nan, 1.0, 0.5, np.nan],
        V=[1.0, 2.0, 3.0, 4.0], missing="marginalize",
    )  # fmt: skip
    found = model.marginal(data).pointwise(model.check_greeks(greeks)).numpy()
    for row, value in enumerate(found):
        n, t, y, w, v = (float(data.columns[name][row]) for name in "NTYWV")
        logs = []
        for level in (0, 1) if np.isnan(t) else (int(t),):
            about = np.array([1.0 + 0.5 * n - 2.0 * level, (0.0, 2.0)[level]])
            spread = np.diag([0.7**2, (1.0, 0.3)[level] ** 2])
            line = np.array([2.0, -1.0])
            mean = np.append(about, 0.5 + line @ about)
            cross = spread @ line
            whole = np.block([[spread, cross[:, None]], [cross[None], np.array([[line @ cross + 0.04]])]])
            seen = ~np.isnan([y, w, v])
            law = stats.multivariate_normal(mean[seen], whole[np.ix_(seen, seen)])
            logs.append(law.logpdf(np.array([y, w, v])[seen]) + np.log(0.4 if level else 0.6))
        assert value == pytest.approx(stats.poisson.logpmf(n, 3.0) + logsumexp(logs), rel=1e-10)


def test_a_direction_without_precision_keeps_a_spread() -> None:
    """x_0 + x_1 alone is known of two missing numbers: no exception, and finite moments."""
    patterns = Patterns.of(np.zeros(1, dtype=np.intp), np.ones((1, 2), dtype=bool))
    found = integrated(np.zeros((1, 2)), np.array([[0.0, 0.0, 0.0, -0.5, -1.0, -0.5]]), patterns)
    assert np.isfinite(found.value).all() and np.isfinite(found.covariance).all()
