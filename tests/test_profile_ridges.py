"""Likelihood intervals where the rows leave a direction open: no end, and as they were of what stays identified."""

import warnings
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2

from estimators import EM, CausalMixture, Data, Fit
from estimators.mechanisms import Bernoulli, Categorical, Gaussian, LinearGaussian
from estimators.queries.estimate import Estimate
from tests.models import fit_quietly, quiet

RNG = np.random.default_rng(0)
Z = RNG.random(60) < 0.5
T = (RNG.random(60) < np.where(Z, 0.8, 0.2)).astype(float)
Y = 4.0 * Z - T + RNG.normal(size=60)
X = 8.0 * Z + RNG.normal(size=60)
# Level 2 is seen in one class alone.
LEVEL = np.where(Z, RNG.integers(0, 3, 60), RNG.integers(0, 2, 60))
NOISE = RNG.normal(size=60)
NEVER = [(-np.inf, np.inf)]


def fitted(line: LinearGaussian, **covariates: Any) -> Fit:
    """A line of Y in a model whose classes X tells apart."""
    mechanisms = {"T": Bernoulli(), "X": Gaussian(), "Y": line}
    model = CausalMixture(2, mechanisms, covariates=dict.fromkeys(covariates))
    return fit_quietly(EM(), model, Data(T=T, X=X, Y=Y, **covariates), seed=0, search=None)


def treated(fit: Fit) -> Estimate:
    return fit.do(T=1).mean("Y")


def effect(fit: Fit) -> Estimate:
    return fit.contrast("Y", do={"T": 1}, versus={"T": 0})


def surely(estimate: Estimate) -> Any:
    """The intervals, without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return estimate.profile(0.9)


@pytest.mark.parametrize("shared", [[], ["w"]])
def test_what_is_constant_in_each_class_aliases_the_intercepts(shared: list[str]) -> None:
    """The mean where T is set has no end; the effect of T has the interval of the model without the constant."""
    fit = fitted(LinearGaussian(["T", "w"], shared=shared), w=Z.astype(float))
    assert surely(treated(fit)) == NEVER
    (own,), (without,) = surely(effect(fit)), surely(effect(fitted(LinearGaussian(["T"]))))
    np.testing.assert_allclose(own, without, atol=2e-3)
    # Negative control: what varies in each class tells the mean.
    assert np.isfinite(surely(treated(fitted(LinearGaussian(["T", "w"], shared=shared), w=Z + NOISE)))).all()


def test_an_interaction_with_what_is_constant_in_each_class_aliases_the_effect_too() -> None:
    fit = fitted(LinearGaussian(["T", "w", "T:w"]), w=Z.astype(float))
    assert surely(treated(fit)) == surely(effect(fit)) == NEVER
    assert np.isfinite(surely(effect(fitted(LinearGaussian(["T", "w", "T:w"]), w=Z + NOISE)))).all()


def test_a_level_seen_in_one_class_alone_has_no_mean_in_all() -> None:
    model = CausalMixture(2, {"S": Categorical(3), "X": Gaussian(), "Y": LinearGaussian(["S"])})
    fit = fit_quietly(EM(), model, Data(S=LEVEL, X=X, Y=Y), seed=0, search=None)
    assert surely(fit.do(S=2).mean("Y")) == NEVER
    assert np.isfinite(surely(fit.do(S=1).mean("Y"))).all()


@pytest.mark.parametrize("w", [2.0 * T, 2.0 * T + NOISE], ids=["collinear", "collinear but for noise"])
def test_a_line_of_one_class_has_the_interval_of_least_squares(w: Any) -> None:
    """``a'b ± (a'(X'X)⁻a RSS (exp(χ²/n) - 1))^½``, or the whole line where a is no combination of the rows of X."""
    model = CausalMixture(1, {"T": Bernoulli(), "Y": LinearGaussian(["T", "w"])}, covariates={"w": None})
    with quiet():
        (found,) = treated(EM().fit(model, Data(T=T, Y=Y, w=w), seed=0, search=None)).profile(0.9)
    rows, asked = np.column_stack([np.ones(60), T, w]), np.array([1.0, 1.0, w.mean()])
    line, *_ = np.linalg.lstsq(rows, Y, rcond=None)
    if np.linalg.matrix_rank(rows) < 3:
        assert found == NEVER[0]
        return
    spread = ((Y - rows @ line) ** 2).sum() * np.expm1(chi2.ppf(0.9, 1) / 60)
    half = np.sqrt(asked @ np.linalg.solve(rows.T @ rows, asked) * spread)
    np.testing.assert_allclose(found, [asked @ line - half, asked @ line + half], rtol=1e-4)
