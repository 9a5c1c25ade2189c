"""Many patterns of missing entries at once, against the normal law of what is observed in each row."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from math import log, pi

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp

from estimators import CausalMixture, Data
from estimators.contract import log_likelihood
from estimators.estep import incomplete
from estimators.mechanisms import Bernoulli, FullGaussian, Gaussian, LinearGaussian, Poisson
from tests.expectations import MixtureExpectation
from tests.objectives import objective_of

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
    best = MixtureExpectation(marginal, checked).argmax()
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


def exact_log_density(x: Sequence[float], mean: Sequence[Fraction], covariance: Sequence[Sequence[Fraction]]) -> float:
    """log Normal(x; mean, covariance), with every sum and product exact."""
    rows = [[*line, Fraction(value) - centre] for line, value, centre in zip(covariance, x, mean, strict=True)]
    square, log_determinant = Fraction(0), 0.0
    for place, row in enumerate(rows):
        pivot, away = row[place], row[-1]
        square += away * away / pivot
        log_determinant += log(pivot.numerator) - log(pivot.denominator)
        for other in rows[place + 1 :]:
            share = other[place] / pivot
            other[:] = [value - share * taken for value, taken in zip(other, row, strict=True)]
    return -0.5 * (float(square) + log_determinant + len(rows) * log(2.0 * pi))


def exact_law(lines: Sequence[Sequence[float]], scales: Sequence[float]) -> tuple[list[Fraction], list[list[Fraction]]]:
    """Mean and covariance of variables whose line, over all before them, has the intercept first."""
    mean: list[Fraction] = []
    factor: list[list[Fraction]] = []
    for line, scale in zip(lines, scales, strict=True):
        slopes = [Fraction(slope) for slope in line[1:]]
        mean.append(Fraction(line[0]) + sum((s * m for s, m in zip(slopes, mean, strict=True)), Fraction(0)))
        through = [
            sum((s * row[j] for s, row in zip(slopes, factor, strict=True)), Fraction(0)) for j in range(len(mean) - 1)
        ]
        factor = [[*row, Fraction(0)] for row in factor] + [[*through, Fraction(scale)]]
    covariance = [[sum((a * b for a, b in zip(f, g, strict=True)), Fraction(0)) for g in factor] for f in factor]
    return mean, covariance


NAMES, STEPS = "ABCD", np.arange(-14.0, -2.0)
STEEP = {
    "steep": ([[1.0], [0.5, 1e9], [-2.0, 0.3, 2e-9], [1.0, 1.0, 1e-9, 1.0]], [1.0, 1.0, 1.0, 1.0]),
    "nearly exact": ([[1.0], [0.5, 2.0], [-2.0, 0.3, 1.0], [1.0, 1.0, -1.0, 2.0]], [1.0, 1e-9, 1e-6, 1e-12]),
    "a wide cause": ([[1.0], [0.5, 2.0], [-2.0, 0.3, 1.0], [1.0, 1.0, -1.0, 2.0]], [1e12, 1.0, 1e3, 1e-3]),
    "steep and exact": ([[1.0], [0.5, 1e12], [-2.0, 0.3, 1e-12], [1.0, 1e6, 1e-6, 1.0]], [1.0, 1e-3, 1e-9, 1.0]),
    "far from 0": ([[1e6], [-2e6, 2.0], [3e5, 0.3, 1.0], [1.0, 1.0, -1.0, 2.0]], [1e-3, 1e-5, 1e-3, 1e-2]),
}


def steep_rows(name: str) -> tuple[CausalMixture, Data, dict[str, object], np.ndarray]:
    """One row for each choice of what is missing, and the whole rows [16, 4]."""
    lines, scales = STEEP[name]
    model = CausalMixture(
        1, {"A": Gaussian(), **{v: LinearGaussian(parents=list(NAMES[:i])) for i, v in enumerate(NAMES) if i}}
    )
    noise, columns = np.random.default_rng(0).normal(size=(16, 4)), np.zeros((16, 4))
    for place, (line, scale) in enumerate(zip(lines, scales, strict=True)):
        columns[:, place] = line[0] + columns[:, :place] @ np.array(line[1:]) + scale * noise[:, place]
    gaps = np.where(list(product([True, False], repeat=4)), columns, np.nan)
    greeks: dict[str, object] = {"theta": [1.0], "mu_A": [lines[0][0]], "sigma_A": [scales[0]]}
    for v, line, scale in list(zip(NAMES, lines, scales, strict=True))[1:]:
        greeks |= {f"beta_{v}": [line], f"sigma_{v}": [scale]}
    return model, Data(**dict(zip(NAMES, gaps.T, strict=True)), missing="marginalize"), greeks, columns


@pytest.mark.parametrize("name", STEEP)
def test_a_line_from_what_is_missing_keeps_its_digits(name: str) -> None:
    """However far a spread is below that of its causes: against the normal law in exact arithmetic."""
    mean, covariance = exact_law(*STEEP[name])
    model, data, greeks, columns = steep_rows(name)
    found = model.marginal(data).pointwise(model.check_greeks(greeks)).numpy()
    for place, (row, value) in enumerate(zip(columns, found, strict=True)):
        seen = [i for i, v in enumerate(NAMES) if not data.is_missing(v)[place]]
        about, law = [mean[i] for i in seen], [[covariance[i][j] for j in seen] for i in seen]
        right = exact_log_density(row[seen], about, law)
        # What the rounding of a row's numbers, a unit in the last place of each, may move its log density by.
        moved = 0.0
        for i in seen:
            near = row.copy()
            near[i] = np.nextafter(row[i], np.inf)
            moved += abs(exact_log_density(near[seen], about, law) - right)
        assert value == pytest.approx(right, rel=1e-9, abs=1e-8 + 10.0 * moved), seen


@pytest.mark.parametrize("name", ["steep", pytest.param("far from 0", marks=pytest.mark.slow)])
def test_the_gradient_of_a_line_from_what_is_missing_keeps_its_digits(name: str) -> None:
    """Against differences at the step that suits each coordinate best."""
    model, data, greeks, _ = steep_rows(name)
    objective = objective_of(model, data, log_likelihood)
    at = objective.density.unconstrain({key: value.numpy() for key, value in model.check_greeks(greeks).items()})
    gradient = objective.value_and_gradient(at)[1]
    for place, move in enumerate(np.eye(len(at))):
        slopes = [(objective.value(at + h * move) - objective.value(at - h * move)) / (2.0 * h) for h in 10.0**STEPS]
        nearest = min(slopes, key=lambda slope: abs(slope - gradient[place]))
        assert gradient[place] == pytest.approx(nearest, rel=1e-4, abs=1e-4), place
