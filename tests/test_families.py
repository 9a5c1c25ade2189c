"""Every family of regressions through a whole analysis: rows to Greeks, every estimator, and every kind of question."""

from functools import cache
from itertools import pairwise

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from scipy import integrate, stats

from estimators import EM, MAP, NUTS, SMC, CausalMixture, Data, Fit
from estimators.mechanisms import (
    Bernoulli,
    Gaussian,
    LogNormal,
    Mechanism,
    MultinomialLogit,
    NegativeBinomial,
    OrderedLogistic,
    PoissonRegression,
    StudentT,
)
from estimators.mechanisms.compiled.rising import log_rising, rising_slope
from estimators.mechanisms.structural import GumbelMax
from estimators.parameters.gamma_ratios import log_ratio, ratio_slope
from tests.mechanism_models import log_density_by_hand
from tests.models import fit_quietly, quiet

# By family: the mechanism, its Greeks in both classes, and a value that Y may have.
CASES: dict[str, tuple[Mechanism, dict[str, list], float]] = {
    "NegativeBinomial": (
        NegativeBinomial(["T", "A"]),
        {"beta_Y": [[0.5, 0.7, 0.3], [1.5, 0.4, -0.2]], "alpha_Y": [0.4, 0.8]},
        2.0,
    ),
    "PoissonRegression": (PoissonRegression(["T", "A"]), {"beta_Y": [[0.5, 0.7, 0.3], [1.5, 0.4, -0.2]]}, 2.0),
    "LogNormal": (
        LogNormal(["T", "A"]),
        {"beta_Y": [[0.5, 0.7, 0.3], [1.5, 0.4, -0.2]], "sigma_Y": [0.5, 0.8]},
        2.5,
    ),
    "StudentT": (
        StudentT(["T", "A"], df=dist.Gamma(2.0, 0.1)),
        {"beta_Y": [[0.5, 1.7, 1.0], [-1.5, 2.0, -1.0]], "sigma_Y": [0.5, 0.8], "df_Y": [5.0, 8.0]},
        0.7,
    ),
    "MultinomialLogit": (
        MultinomialLogit(3, ["T", "A"]),
        {"beta_Y": [[[0.5, 0.7, 0.3], [-0.5, 1.0, -1.0]], [[1.5, -0.4, -0.2], [0.0, 1.0, 0.5]]]},
        2.0,
    ),
    "OrderedLogistic": (
        OrderedLogistic(4, ["T", "A"]),
        {"beta_Y": [[0.5, 1.0, 0.5], [2.0, 1.0, -0.5]], "gap_Y": [[1.0, 1.5], [0.7, 2.0]]},
        2.0,
    ),
    "NegativeBinomial with one slope and dispersion": (
        NegativeBinomial(["T", "A"], shared=["T", "dispersion"]),
        {"beta_Y": [[0.5, 0.3], [1.5, -0.2]], "shared_beta_Y": [0.7], "alpha_Y": 0.4},
        2.0,
    ),
    "StudentT with one spread": (
        StudentT(["T", "A"], df=dist.Gamma(2.0, 0.1), shared=True),
        {"beta_Y": [[0.5], [-1.5]], "shared_beta_Y": [1.7, 1.0], "sigma_Y": 0.6, "df_Y": 5.0},
        0.7,
    ),
    "MultinomialLogit with one slope": (
        MultinomialLogit(3, ["T", "A"], shared=["A"]),
        {"beta_Y": [[[0.5, 0.7], [-0.5, 1.0]], [[1.5, -0.4], [0.0, 1.0]]], "shared_beta_Y": [[0.3], [-1.0]]},
        2.0,
    ),
}
EVERY_FAMILY = pytest.mark.parametrize("name", CASES)


@cache
def model_of(name: str) -> CausalMixture:
    """Z → (A, T, Y), (A, T) → Y; another measure W of Z holds the classes apart."""
    return CausalMixture(
        2, {"W": Gaussian(), "A": Gaussian(), "T": Bernoulli(), "Y": CASES[name][0]}, concentration=2.0
    )


@cache
def greeks_of(name: str) -> dict[str, torch.Tensor]:
    common = {
        "theta": [0.4, 0.6],
        "mu_W": [-2.0, 2.0],
        "sigma_W": [1.0, 1.0],
        "mu_A": [-0.5, 0.5],
        "sigma_A": [1.0, 0.8],
        "p_T": [0.3, 0.7],
    }
    return model_of(name).check_greeks({**common, **CASES[name][1]})


def rows_of(name: str, num_rows: int, seed: int = 0) -> dict[str, torch.Tensor]:
    drawn = model_of(name).simulate(num_rows, greeks_of(name), seed=seed)
    return {key: value.double() for key, value in drawn.items() if key != "Z"}


def density(name: str, k: int, t: float, a: float, y: float) -> float:
    """p(Y = y | Z = k, T = t, A = a) by SciPy."""
    row = {"T": np.asarray(t), "A": np.asarray(a), "Y": np.asarray(y)}
    greeks = {key: value.numpy() for key, value in greeks_of(name).items()}
    return float(np.exp(log_density_by_hand(model_of(name), "Y", greeks, row, k)))


@pytest.mark.slow
@EVERY_FAMILY
def test_the_truth_is_recovered_from_weighed_rows_with_gaps(name: str) -> None:
    model, rows, greeks = model_of(name), rows_of(name, 800), greeks_of(name)
    gone = torch.arange(800) % 10 == 0
    rows["Y"] = torch.where(gone, torch.nan, rows["Y"])
    rows["T"] = torch.where(torch.arange(800) % 10 == 5, torch.nan, rows["T"])
    fit = fit_quietly(EM(), model, Data(rows, weights=torch.ones(800), missing="marginalize"), 0)
    # Degrees of freedom have a long tail.
    with quiet():
        drawn = fit.laplace(num_draws=200, seed=0).draws
    for key, value in greeks.items():
        away = (fit[key] - value).abs() / drawn[key].std(0)
        assert float(away.max()) < 5.0, (key, fit[key], value)


@EVERY_FAMILY
def test_do_and_given_are_the_truncated_factorisation(name: str) -> None:
    """A is summed out by quadrature, T and Z by hand."""
    g, y = greeks_of(name), CASES[name][2]
    fit = Fit.from_greeks(model_of(name), g)

    def of_class(k: int, t: float) -> float:
        law = stats.norm(float(g["mu_A"][k]), float(g["sigma_A"][k]))
        ends = law.mean() + law.std() * np.linspace(-9, 9, 10)
        parts = (
            integrate.quad(lambda a: density(name, k, t, a, y) * law.pdf(a), *part, epsabs=1e-14)[0]
            for part in pairwise(ends)
        )
        return float(sum(parts))

    theta, p = g["theta"].numpy(), g["p_T"].numpy()
    set_to_one = sum(theta[k] * of_class(k, 1.0) for k in range(2))
    assert float(fit.do(T=1).log_density("Y", y)) == pytest.approx(np.log(set_to_one), rel=1e-9)
    joint = np.array([[theta[k] * (p[k] if t else 1 - p[k]) * of_class(k, t) for t in (0, 1)] for k in range(2)])
    seen = fit.given(Y=y)
    assert float(seen.mean("T").value) == pytest.approx(joint[:, 1].sum() / joint.sum(), rel=1e-9)


@EVERY_FAMILY
def test_what_rows_would_have_been_is_what_they_were_where_nothing_is_changed(name: str) -> None:
    rows = rows_of(name, 30)
    fit = Fit.from_greeks(model_of(name), greeks_of(name))
    same = fit.counterfactual(rows, do={"T": rows["T"]}).mean("Y")
    torch.testing.assert_close(same.value, rows["Y"], rtol=1e-9, atol=1e-9)
    other = fit.counterfactual(rows, do={"T": 1 - rows["T"]}).mean("Y")
    assert float((other.value - rows["Y"]).abs().max()) > 1e-3


@EVERY_FAMILY
def test_samples_have_the_law(name: str) -> None:
    """Means of 50,000 rows under do(T = 1, A = 0.5, Z = 1), within five standard errors."""
    fit, y = Fit.from_greeks(model_of(name), greeks_of(name)), CASES[name][2]
    query = fit.do(T=1, A=0.5, Z=1)
    drawn = query.sample(50_000, seed=1)["Y"].double()
    y = min(y, 1.0) if CASES[name][0].num_levels == 3 else y
    below = float(query.cdf("Y", y))
    assert abs(float((drawn <= y).double().mean()) - below) < 5 * np.sqrt(below * (1 - below) / 50_000)
    error = float(drawn.std()) / np.sqrt(50_000)
    assert abs(float(drawn.mean() - query.mean("Y").value)) < 5 * error
    # The control: the other class.
    assert abs(float(drawn.mean() - fit.do(T=1, A=0.5, Z=0).mean("Y").value)) > 5 * error


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [NUTS(num_samples=200, warmup_steps=200, num_chains=2), SMC(num_particles=200)])
@EVERY_FAMILY
def test_posteriors_are_about_their_mode(name: str, estimator: NUTS | SMC) -> None:
    data = Data(rows_of(name, 200))
    model = model_of(name).scaled_to(data)
    best = fit_quietly(MAP(), model, data, 0)
    fit = fit_quietly(estimator, model, data, 0)
    for key in ("beta_Y", "theta"):
        spread = fit.draws[key].std(0)
        assert bool(((fit[key] - best[key]).abs() < 2.0 * spread + 0.05).all()), key


def test_the_assumption_for_levels_goes_by_their_order() -> None:
    """What raises every chance of more lowers no ordered level; another assumption may be put in its place."""
    rows, fit = (
        rows_of("OrderedLogistic", 40),
        Fit.from_greeks(model_of("OrderedLogistic"), greeks_of("OrderedLogistic")),
    )
    raised = fit.counterfactual(rows, do={"T": 1}).sample(seed=0)["Y"] - rows["Y"]
    assert bool((raised >= 0).all()) and bool((raised > 0).any())
    free = fit.counterfactual(rows, do={"T": 1}, assumptions={"Y": GumbelMax()}).mean("Y").value
    assert float((free - fit.counterfactual(rows, do={"T": 1}).mean("Y").value).abs().max()) > 1e-3


def test_a_profile_interval_holds_the_effect() -> None:
    rows, greeks = rows_of("NegativeBinomial", 1000), greeks_of("NegativeBinomial")
    fit = fit_quietly(EM(), model_of("NegativeBinomial"), Data(rows), 0)
    truth = Fit.from_greeks(model_of("NegativeBinomial"), greeks).contrast("Y", do={"T": 1}, versus={"T": 0}).value
    (interval,) = fit.contrast("Y", do={"T": 1}, versus={"T": 0}).profile(0.999)
    assert interval.low < float(truth) < interval.high


# ------------------------------------------------------------------------------------------------ without parents


@pytest.mark.parametrize("mechanism", [MultinomialLogit(3), OrderedLogistic(3)], ids=["MultinomialLogit", "Ordered"])
def test_levels_without_parents_are_their_shares(mechanism: Mechanism) -> None:
    y = np.repeat([0.0, 1.0, 2.0], [50, 30, 20])
    fit = EM().fit(CausalMixture(1, {"Y": mechanism}), Data(Y=y), seed=0)
    assert [float(fit.do(Z=0).log_density("Y", level).exp()) for level in range(3)] == pytest.approx([0.5, 0.3, 0.2])


def test_a_log_normal_without_parents_is_a_gaussian_of_the_log() -> None:
    y = np.random.default_rng(0).lognormal(1.0, 0.7, 100)
    fit = EM().fit(CausalMixture(1, {"Y": LogNormal()}), Data(Y=y), seed=0)
    assert [float(fit["beta_Y"][0, 0]), float(fit["sigma_Y"][0])] == pytest.approx([np.log(y).mean(), np.log(y).std()])


# ------------------------------------------------------------------------------------------------ an exposure

VISITS = CausalMixture(
    1, {"T": Bernoulli(), "days": LogNormal(), "Y": PoissonRegression(["T"], exposure="days")}, concentration=2.0
)
PER_DAY = {
    "theta": [1.0],
    "p_T": [0.5],
    "beta_days": [[3.0]],
    "sigma_days": [0.5],
    "beta_Y": [[-1.0, 0.5]],
}


def test_coefficients_are_of_a_rate_per_unit_of_the_exposure() -> None:
    fit = Fit.from_greeks(VISITS, PER_DAY)
    assert float(fit.do(T=1, days=30.0).mean("Y").value) == pytest.approx(30.0 * np.exp(-0.5), rel=1e-12)
    # Left alone, it is averaged over: E[days] = e^(3 + 0.5² / 2), by drawing it.
    average = fit.do(T=1).mean("Y")
    assert float(average.value) == pytest.approx(np.exp(3.125 - 0.5), abs=4 * float(average.error))
    rows = VISITS.simulate(3000, PER_DAY, seed=0)
    found = EM().fit(VISITS, Data({key: value for key, value in rows.items() if key != "Z"}), seed=0)
    assert found["beta_Y"][0].tolist() == pytest.approx([-1.0, 0.5], abs=0.05)


def test_an_exposure_is_positive_and_has_a_law() -> None:
    with pytest.raises(ValueError, match=r"column days: expected numbers > 0, got \[0.0\] in row\(s\) \[1\]"):
        EM().fit(VISITS, Data(T=[0, 1, 1], days=[1.0, 0.0, 2.0], Y=[1.0, 2.0, 3.0]), seed=0)
    with pytest.raises(ValueError, match=r"days in do\(...\): expected numbers > 0"):
        Fit.from_greeks(VISITS, PER_DAY).do(days=-1.0)
    with pytest.raises(ValueError, match="the exposure 'days' is a Gaussian, which may be 0 or negative; expected Log"):
        CausalMixture(1, {"T": Bernoulli(), "days": Gaussian(), "Y": PoissonRegression(["T"], exposure="days")})
    with pytest.raises(ValueError, match="the parent 'days' has no mechanism"):
        CausalMixture(1, {"T": Bernoulli(), "Y": NegativeBinomial(["T"], exposure="days")})


def test_an_exposure_may_be_a_covariate_and_must_be_positive_too() -> None:
    model = CausalMixture(1, {"T": Bernoulli(), "Y": PoissonRegression(["T"], exposure="days")}, covariates=["days"])
    greeks = {name: value for name, value in PER_DAY.items() if not name.endswith("days")}
    days = np.random.default_rng(0).uniform(5.0, 60.0, 2000)
    rows = model.simulate(2000, greeks, seed=0, covariates={"days": days})
    data = Data({key: value for key, value in rows.items() if key != "Z"})
    t, y = (rows[name].numpy() for name in "TY")
    expected = stats.poisson.logpmf(y, days * np.exp(-1.0 + 0.5 * t)) + np.log(0.5)
    np.testing.assert_allclose(model.marginal(data).pointwise(model.check_greeks(greeks)), expected, rtol=1e-12)
    fit = EM().fit(model, data, seed=0)
    # Rates per day by class of T are counts over days.
    rates = [y[t == level].sum() / days[t == level].sum() for level in (0, 1)]
    np.testing.assert_allclose(fit["beta_Y"][0], [np.log(rates[0]), np.log(rates[1] / rates[0])], rtol=1e-6)
    assert float(fit.do(T=1, days=30.0).mean("Y").value) == pytest.approx(30.0 * rates[1], rel=1e-6)
    assert float(fit.do(T=1).mean("Y").value) == pytest.approx(days.mean() * rates[1], rel=1e-6)
    for days_of_row in (0.0, -2.0):
        with pytest.raises(ValueError, match=r"column days: expected numbers > 0, got \[-?\d.0\] in row\(s\) \[1\]"):
            EM().fit(model, Data(T=[0, 1, 1], days=[1.0, days_of_row, 2.0], Y=[1.0, 2.0, 3.0]), seed=0)
    with pytest.raises(ValueError, match=r"days in do\(...\): expected numbers > 0"):
        fit.do(T=1, days=-1.0)
    with pytest.raises(ValueError, match="column days: expected numbers > 0"):
        model.simulate(3, greeks, covariates={"days": -1.0})
    with pytest.raises(ValueError, match="the exposure 'days' is a Covariate, which may be 0"):
        CausalMixture(1, {"T": Bernoulli(), "Y": PoissonRegression(["T"], exposure="days")}, covariates={"days": 3})


# ------------------------------------------------------------------------------------------------ bad input, digits


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: OrderedLogistic(2), "num_levels: expected .* 3"),
        (lambda: MultinomialLogit(1), "num_levels: expected .* 2"),
        (lambda: NegativeBinomial(dispersion=-1.0), "dispersion"),
        (lambda: StudentT(df=0.0), "df"),
        (lambda: LogNormal(scale=-1.0), "scale"),
        (lambda: CausalMixture(1, {"Y": OrderedLogistic(4, gaps=[1.0])}), "gaps: expected one value, or shape"),
        (lambda: CausalMixture(1, {"Y": LogNormal()}).check(Data(Y=[1.0, -1.0])), r"column Y: expected numbers > 0"),
        (lambda: CausalMixture(1, {"Y": NegativeBinomial()}).check(Data(Y=[0.5])), "column Y: expected whole numbers"),
        (lambda: CausalMixture(1, {"Y": OrderedLogistic(3)}).check(Data(Y=[3.0])), "whole numbers from 0 to 2"),
    ],
)
def test_bad_input_is_named(make: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()  # type: ignore[operator]


@pytest.mark.parametrize("r", [1e-6, 0.3, 5.0, 29.0, 31.0, 1e4, 1e9, 1e14])
def test_ratios_of_gamma_functions_keep_their_digits_by_both_ways(r: float) -> None:
    """Against products, which have no differences."""
    for y in (0, 1, 5, 40):
        exact = np.log(r + np.arange(y)).sum()
        slope = (1.0 / (r + np.arange(y))).sum()
        at = torch.tensor(r, dtype=torch.float64), torch.tensor(float(y), dtype=torch.float64)
        assert log_rising(r, float(y)) == pytest.approx(exact, rel=1e-13, abs=1e-13)
        assert float(log_ratio(*at)) == pytest.approx(exact, rel=1e-12, abs=1e-12)
        assert rising_slope(r, float(y)) == pytest.approx(slope, rel=1e-9, abs=1e-18)
        assert float(ratio_slope(*at)) == pytest.approx(slope, rel=1e-9, abs=1e-18)
