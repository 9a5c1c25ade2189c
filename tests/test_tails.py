"""Means where a log link meets a long tail: exact where they exist, refused where they do not or are out of reach."""

import numpy as np
import pyro.distributions as dist
import pytest

from estimators import EM, CausalMixture, Fit
from estimators.mechanisms import Gaussian, LinearGaussian, LogNormal, NegativeBinomial, PoissonRegression, StudentT
from tests.refusals import refused

REFUSED = ("B has no finite mean", "ask for quantiles")
GAUSSIAN = {"mu_A": [0.0], "sigma_A": [1.0]}
COUNT = {"beta_A": [[np.log(5.0)]], "alpha_A": [1.0]}
LINE = {"beta_A": [[0.0]], "sigma_A": [1.0]}


def fit_of(cause: object, greeks: dict[str, object], slope: float) -> Fit:
    """Whose B is a count of mean exp(slope · A)."""
    model = CausalMixture(1, {"A": cause, "B": PoissonRegression(parents=["A"])})
    return Fit.from_greeks(model, {"theta": [1.0], "beta_B": [[0.0, slope]], **greeks})


@pytest.mark.parametrize(
    ("fit", "expected"),
    [
        pytest.param(fit_of(Gaussian(), GAUSSIAN, 8.0), np.exp(32.0), id="gaussian"),
        # A geometric count of mean 5: E exp(b A) = 1 / (1 - 5 (e^b - 1)), up to b = log 1.2 = .182.
        pytest.param(fit_of(NegativeBinomial(), COUNT, 0.1), 1.0 / (1.0 - 5.0 * np.expm1(0.1)), id="count"),
        pytest.param(fit_of(NegativeBinomial(), COUNT, 0.17), 1.0 / (1.0 - 5.0 * np.expm1(0.17)), id="far count"),
        pytest.param(fit_of(NegativeBinomial(), COUNT, -0.5), 1.0 / (1.0 - 5.0 * np.expm1(-0.5)), id="falling"),
    ],
)
def test_a_mean_reaches_as_far_as_it_has_to(fit: Fit, expected: float) -> None:
    mean = fit.do(Z=0).mean("B")
    assert mean.error is None
    assert float(mean.value) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize(
    ("fit", "settings"),
    [
        pytest.param(fit_of(NegativeBinomial(), COUNT, 0.2), {"Z": 0}, id="count"),
        pytest.param(fit_of(StudentT(), LINE, 0.5), {"Z": 0}, id="t"),
        pytest.param(fit_of(StudentT(), LINE, -0.5), {"Z": 0}, id="t, falling"),
        pytest.param(fit_of(LogNormal(), LINE, 0.5), {"Z": 0}, id="log-normal"),
        pytest.param(fit_of(Gaussian(), GAUSSIAN, 0.5), {"A": dist.StudentT(4.0)}, id="t set"),
        pytest.param(fit_of(Gaussian(), GAUSSIAN, 0.5), {"A": dist.Gamma(1.0, 0.4)}, id="gamma set"),
        pytest.param(fit_of(Gaussian(), GAUSSIAN, 0.5), {"A": 1e300}, id="far value set"),
    ],
)
def test_without_a_finite_mean_there_are_quantiles(fit: Fit, settings: dict[str, object]) -> None:
    query = fit.do(**settings)
    with refused(ValueError, *REFUSED):
        query.mean("B")
    if settings != {"A": 1e300}:
        assert np.isfinite(float(query.quantile("B", 0.5)))


@pytest.mark.parametrize("df", [0.5, 1.0])
def test_tails_without_a_mean_are_said_to_have_none(df: float) -> None:
    model = CausalMixture(1, {"A": StudentT(df=df), "B": LinearGaussian(parents=["A"], scale=1.0)})
    fit = Fit.from_greeks(model, {"theta": [1.0], "beta_B": [[0.0, 0.5]], **LINE})
    for name in ("A", "B"):
        with refused(ValueError, f"{name} has no finite mean"):
            fit.do(Z=0).mean(name)
    assert float(fit.do(Z=0, A=2.0).mean("B").value) == 1.0


def test_a_mean_that_overflows_where_it_has_no_weight_is_that_of_the_rest() -> None:
    model = CausalMixture(2, {"X": Gaussian(scale=1.0), "A": LogNormal()})
    greeks = {"theta": [0.5, 0.5], "mu_X": [0.0, 100.0], "beta_A": [[0.0], [900.0]], "sigma_A": [1.0, 1.0]}
    fit = Fit.from_greeks(model, greeks)
    assert float(fit.given(X=0.0).mean("A").value) == pytest.approx(np.exp(0.5), rel=1e-12)
    with refused(ValueError, "A has no finite mean"):
        fit.given(X=50.0).mean("A")


def test_what_only_grows_as_its_cause_does_has_one() -> None:
    assert float(fit_of(LogNormal(), LINE, -0.5).do(Z=0).mean("B").value) < 1.0
    assert float(fit_of(Gaussian(), GAUSSIAN, 0.5).do(A=dist.Gamma(1.0, 1.0)).mean("B").value) == pytest.approx(2.0)
    for cause in (StudentT(), LogNormal()):
        model = CausalMixture(1, {"A": cause, "B": LinearGaussian(parents=["A"], scale=1.0)})
        mean = Fit.from_greeks(model, {"theta": [1.0], "beta_B": [[0.0, 0.5]], **LINE}).do(Z=0).mean("B")
        expected = 0.0 if isinstance(cause, StudentT) else 0.5 * np.exp(0.5)
        assert mean.error is not None
        assert abs(float(mean.value) - expected) < 5.0 * float(mean.error)


def test_between_them_a_line_carries_the_tail_on_and_a_level_does_not() -> None:
    between = {"A": StudentT(), "M": LinearGaussian(parents=["A"], scale=1.0), "B": PoissonRegression(parents=["M"])}
    greeks = {"theta": [1.0], **LINE, "beta_M": [[0.0, 1.0]], "beta_B": [[0.0, 0.5]]}
    fit = Fit.from_greeks(CausalMixture(1, between), greeks)
    with refused(ValueError, *REFUSED):
        fit.do(Z=0).mean("B")
    assert float(fit.do(A=1.0).mean("B").value) == pytest.approx(np.exp(0.5 + 0.125), rel=1e-9)


def test_what_a_law_determines_is_asked_of_values_that_a_cause_can_have() -> None:
    model = CausalMixture(1, {"A": LogNormal(), "B": PoissonRegression(parents=["A"])})
    greeks = {"theta": [1.0], "beta_B": [[0.0, -0.5]], **LINE}
    rows = model.simulate(200, greeks, seed=0)
    assert "identified" in str(EM().fit(model, {"A": rows["A"], "B": rows["B"]}, seed=0).identifiability())
