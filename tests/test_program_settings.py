"""Questions that set and see, settings at random, rows weighed by what is seen, and errors of simulated answers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy import stats
from torch import Tensor

from estimators import Data, EstimationError, Fit, PyroModel, Status
from estimators.programs import predictive as program_predictive
from estimators.programs.answers import average, over_draws
from tests.refusals import case, refused

AGE = torch.tensor([-1.5, 0.0, 0.4, 2.0], dtype=torch.float64)
THETA, MU, LOGIT = np.array([0.4, 0.6]), np.array([0.0, 4.0]), np.array([-1.0, 1.0])
W = 0.25


def treated(age: Tensor, n: int) -> None:
    """Z → T → Y, Z → Y, U → Y, and a covariate that drives T and Y; Z and U hidden."""
    theta = pyro.sample("theta", dist.Dirichlet(torch.ones(2)))
    with pyro.plate("classes", 2):
        mu, a = pyro.sample("mu", dist.Normal(0.0, 5.0)), pyro.sample("a", dist.Normal(0.0, 2.0))
    b, w = pyro.sample("b", dist.Normal(0.0, 1.0)), pyro.sample("w", dist.Beta(1.0, 1.0))
    with pyro.plate("rows", n):
        Z = pyro.sample("Z", dist.Categorical(theta))
        U = pyro.sample("U", dist.Bernoulli(w))
        t = pyro.sample("T", dist.Bernoulli(logits=a[Z] + b * age))
        pyro.sample("Y", dist.Normal(mu[Z] - t + 0.3 * age + 2 * U, 0.7))


def known(fn: Callable[..., None], greeks: dict[str, Any], data: Data | None = None) -> Fit:
    draws = {name: torch.as_tensor(np.array(value)).double() for name, value in greeks.items()}
    return Fit(PyroModel(fn), "known", draws, 1, Status.CONVERGED, {"labels": "as given"}, data=data)


SLOPES = [1.0, -0.5]
FIT = known(
    treated,
    {"theta": [THETA] * 2, "mu": [MU] * 2, "a": [LOGIT] * 2, "b": SLOPES, "w": [W] * 2},
    Data(age=AGE, T=[0, 1, 1, 0], Y=[0.0, 1.0, 4.0, 5.0]),
)


def expected(of: str, slope: float, law: Callable[[float, int], float], seen: dict[str, float]) -> float:
    """E[of | seen] by the sum over rows, Z, U and T; ``law(age, z)`` is P(T = 1)."""
    top, bottom = 0.0, 0.0
    for age in AGE.tolist():
        for z, u, t in np.ndindex(2, 2, 2):
            p1 = law(slope * age, z)
            mean = MU[z] - t + 0.3 * age + 2 * u
            p = THETA[z] * (W if u else 1 - W) * (p1 if t else 1 - p1)
            if "Y" in seen:
                p *= stats.norm.pdf(seen["Y"], mean, 0.7)
            for name, value in (("U", u), ("Z", z), ("T", t)):
                p *= seen.get(name, value) == value
            top, bottom = top + p * {"Y": mean, "U": u, "Z": z, "T": t}[of], bottom + p
    return top / bottom


def own(age: float, z: int) -> float:
    return float(1 / (1 + np.exp(-LOGIT[z] - age)))


@pytest.mark.parametrize(
    ("setting", "law"),
    [
        pytest.param(None, own, id="seen alone", marks=pytest.mark.slow),
        pytest.param(1, lambda age, z: 1.0, id="set and seen", marks=pytest.mark.slow),
        pytest.param(dist.Bernoulli(torch.tensor(0.25).double()), lambda age, z: 0.25, id="set at random and seen"),
    ],
)
def test_what_is_seen_is_seen_after_what_is_set(setting: Any, law: Any) -> None:
    for seen, of in (({"Y": 3.0}, "U"), ({"Z": 1}, "Y")):
        query = FIT.given(**seen) if setting is None else FIT.do(T=setting).given(**seen)
        answer = query.mean(of).draws
        np.testing.assert_allclose(answer, [expected(of, slope, law, seen) for slope in SLOPES], rtol=1e-10)
    if setting is not None:
        one = FIT.contrast("Y", do={"T": setting}, versus={"T": 0}, given={"U": 1}).draws
        other = [expected("Y", b, law, {"U": 1}) - expected("Y", b, lambda age, z: 0.0, {"U": 1}) for b in SLOPES]
        np.testing.assert_allclose(one, other, rtol=1e-10)


def test_a_distribution_takes_the_place_of_the_sites_own() -> None:
    law = dist.Normal(torch.tensor(2.0).double(), 3.0)
    query = FIT.do(Y=law)
    assert float(query.quantile("Y", 0.975)) == pytest.approx(float(stats.norm.ppf(0.975, 2.0, 3.0)), abs=1e-9)
    np.testing.assert_allclose(query.mean("Y").draws, [2.0, 2.0], rtol=1e-12)
    np.testing.assert_allclose(query.mean("T").draws, [expected("T", slope, own, {}) for slope in SLOPES], rtol=1e-10)
    drawn = FIT.do(T=dist.Bernoulli(1.0)).sample(20, seed=0)
    assert set(drawn["T"].tolist()) == {1.0}


CHOICES = [
    case("do: unknown", lambda: FIT.do(T=1).given(W=1), ValueError, "given", "'W'"),
    case("set and seen", lambda: FIT.do(T=1).given(T=1), ValueError, "given: T is set by do"),
    case("set and seen at once", lambda: FIT.contrast("Y", do={"T": 1}, versus={"T": 0}, given={"T": 1}), ValueError),
    case("other values", lambda: FIT.do(T=dist.Normal(0.0, 1.0)), ValueError, "do: T", "[0.0, 1.0]"),
    case("a table's index", lambda: FIT.do(Z=dist.Bernoulli(0.5)), ValueError, "Categorical"),
    case("one for each row", lambda: FIT.do(Y=dist.Normal(torch.zeros(4), 1.0)), ValueError, "same for all rows"),
    case(
        "masked", lambda: FIT.do(Y=dist.Normal(0.0, 1.0).mask(False)), ValueError, "do: Y is set to a masked", ".mask"
    ),
    case("masked levels", lambda: FIT.do(T=dist.Bernoulli(0.5).mask(torch.tensor(True))), ValueError, "do: T", ".mask"),
    case("seen at random", lambda: FIT.given(Y=dist.Normal(0.0, 1.0)), ValueError, "given: Y expects a value"),
]


@pytest.mark.parametrize(("call", "error", "parts"), CHOICES)
def test_refused(call: Any, error: type[Exception], parts: tuple[str, ...]) -> None:
    with refused(error, *parts):
        call()


# ------------------------------------------------------------------ the rows of the columns that a program takes


def sorted_by_column(x: Tensor, p: Tensor, n: int) -> None:
    """T is 1 where p is, and Y shows which row's columns were taken."""
    theta = pyro.sample("theta", dist.Dirichlet(torch.ones(2)))
    with pyro.plate("rows", n):
        z = pyro.sample("z", dist.Categorical(theta))
        t = pyro.sample("T", dist.Bernoulli(p))
        pyro.sample("Y", dist.Normal(1000.0 * x + 0.1 * z + t, 1.0))


COLUMNS = Data(x=[0.0, 1.0, 2.0, 3.0], p=[0.0, 1.0, 0.0, 1.0], T=[0, 1, 0, 1], Y=[0.0] * 4)
ROWS = known(sorted_by_column, {"theta": [[0.5, 0.5]]}, COLUMNS)


def rows_of(drawn: dict[str, Tensor]) -> list[int]:
    return (drawn["Y"] / 1000.0).round().int().tolist()


def test_samples_are_of_rows_in_which_what_is_seen_can_be() -> None:
    """p(T = 1 | row) is 0 in rows 0 and 2, which no sample may come from; with nothing seen, all may."""
    assert set(rows_of(ROWS.given(T=1).sample(40, seed=0))) == {1, 3}
    assert set(rows_of(ROWS.given(T=0).sample(40, seed=0))) == {0, 2}
    assert set(rows_of(ROWS.do(T=1).sample(40, seed=0))) == {0, 1, 2, 3}
    # After an intervention on T, what p says of T no longer tells the rows apart.
    assert set(rows_of(ROWS.do(T=1).given(z=1).sample(40, seed=0))) == {0, 1, 2, 3}
    near = ROWS.do(T=1).given(Y=2001.0)
    assert set(near.sample(20, seed=0)) == {"z", "T", "Y"}
    assert float(near.mean("z").value) == pytest.approx(0.5, abs=0.05)


def test_settings_per_row_meet_the_columns_of_their_rows() -> None:
    assert rows_of(ROWS.do(T=[0, 1, 0, 1]).sample(4, seed=0)) == [0, 1, 2, 3]
    answer = ROWS.do(T=[0, 1, 0, 1]).mean("Y").draws[0]
    np.testing.assert_allclose(answer, [0.05, 1001.05, 2000.05, 3001.05], rtol=1e-12)


def weighed(N: int) -> None:
    theta = pyro.sample("theta", dist.Dirichlet(torch.ones(2)))
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Categorical(theta))
        pyro.factor("tilt", 1.0 * z)
        pyro.sample("x", dist.Normal(1.0 * z, 1.0))


def test_a_program_with_factors_answers_by_them_and_is_not_run_for_samples() -> None:
    fit = known(weighed, {"theta": [[0.5, 0.5]]})
    assert float(fit.do(x=0.0).mean("z").value) == pytest.approx(float(np.e / (1 + np.e)), rel=1e-12)
    for call in (lambda: fit.do(x=0.0).sample(3), lambda: PyroModel(weighed).simulate(3)):
        with pytest.raises(NotImplementedError, match=r"pyro\.factor \(\['tilt'\]\)"):
            call()


# ------------------------------------------------------------------ simulated answers, and supports


def test_the_error_of_an_average_is_that_of_what_was_simulated() -> None:
    generator = torch.Generator().manual_seed(0)
    values = (
        torch.randn(2, 1, 3, 50, dtype=torch.float64, generator=generator) + torch.tensor([0.0, 100.0, 7.0])[:, None]
    )
    plain = average(values, torch.zeros(2, 3, 50).double(), is_log=False, per_row=False, is_simulated=True)
    # Rows that differ are no error: each row's mean has one, and the answer is the mean of these.
    by_row = values[:, 0].var(-1, correction=0) / 50
    torch.testing.assert_close(plain.error, (by_row.sum(1, keepdim=True)).sqrt() / 3)
    torch.testing.assert_close(plain.values, values.mean((2, 3)))
    # Of logarithms, the relative error.
    logs = average(values.abs().log(), torch.zeros(2, 3, 50).double(), is_log=True, per_row=False, is_simulated=True)
    same = average(values.abs(), torch.zeros(2, 3, 50).double(), is_log=False, per_row=False, is_simulated=True)
    torch.testing.assert_close(logs.values.exp(), same.values)
    assert logs.error is not None
    assert same.error is not None
    torch.testing.assert_close(logs.error, same.error / same.values)
    total, error = over_draws(logs, are_independent=True)
    torch.testing.assert_close(total.exp(), same.values.mean(0))
    torch.testing.assert_close(error, (same.error**2).sum(0).sqrt() / 2 / same.values.mean(0))
    assert (
        average(values, torch.zeros(2, 3, 50).double(), is_log=False, per_row=False, is_simulated=False).error is None
    )


def above_and_below(N: int) -> None:
    theta = pyro.sample("theta", dist.Dirichlet(torch.ones(2)))
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Categorical(theta))
        w = pyro.sample("w", dist.Normal(1.0 * z, 1.0))
        pyro.sample("y", dist.Normal(w, 1.0))


def test_densities_and_quantiles_state_their_error_where_they_are_simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program_predictive, "SIMULATED_ROWS", 10_000)
    fit = known(above_and_below, {"theta": [[0.5, 0.5]]})
    law = stats.norm(1.0, np.sqrt(2.0))
    query = fit.do(z=1)
    for answer, right in (
        (query.cdf("y", [0.0, 2.0]), law.cdf([0.0, 2.0])),
        (query.log_density("y", [0.0, 2.0]), law.logpdf([0.0, 2.0])),
        (query.quantile("y", [0.2, 0.9]), law.ppf([0.2, 0.9])),
    ):
        assert answer.error is not None
        assert answer.error.shape == answer.shape
        # The random numbers are always the same: these are no samples that a test might have bad luck with.
        assert bool(((answer - torch.tensor(right)).abs() < 6 * answer.error).all())
        assert bool((answer.error < 0.1).all())
    # What is simulated without reaching the answer leaves it exact.
    for exact in (fit.do(w=1.0).cdf("y", 0.0), fit.do(z=1).quantile("w", 0.3), fit.do(z=1).log_density("w", 0.0)):
        assert exact.error is None


BOUNDED: dict[str, Callable[[Tensor], Any]] = {
    "exponential": lambda scale: dist.Exponential(1 / scale),
    "half": lambda scale: dist.HalfNormal(scale),
    "lognormal": lambda scale: dist.LogNormal(0.0, scale),
    "uniform": lambda scale: dist.Uniform(scale, 2 * scale),
    "count": lambda scale: dist.Poisson(scale),
}


def bounded(*names: str) -> Callable[[int], None]:
    """Sites of supports with ends, in this order; each takes its part of the time to capture the program."""

    def program(N: int) -> None:
        theta = pyro.sample("theta", dist.Dirichlet(torch.ones(2)))
        with pyro.plate("rows", N):
            z = pyro.sample("z", dist.Categorical(theta))
            for name in names:
                pyro.sample(name, BOUNDED[name](1.0 + z))

    return program


def heavy(N: int) -> None:
    theta = pyro.sample("theta", dist.Dirichlet(torch.ones(2)))
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Categorical(theta))
        pyro.sample("x", dist.StudentT(3.0 + z, 0.0, 1.0))


@pytest.mark.parametrize(
    ("name", "law"),
    [
        pytest.param("exponential", stats.expon(scale=2.0), marks=pytest.mark.slow),
        pytest.param("half", stats.halfnorm(scale=2.0), marks=pytest.mark.slow),
        pytest.param("lognormal", stats.lognorm(2.0), marks=pytest.mark.slow),
        ("uniform", stats.uniform(2.0, 2.0)),
    ],
)
def test_outside_a_support_there_is_nothing(name: str, law: Any) -> None:
    query = known(bounded("count", name), {"theta": [[0.5, 0.5]]}).do(z=1)
    points = [-1.0, 0.5, 3.0, 5.0]
    np.testing.assert_allclose(query.cdf(name, points), law.cdf(points), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(query.log_density(name, points).exp(), law.pdf(points), rtol=1e-9)
    answer = query.quantile(name, 0.3)
    assert float(answer) == pytest.approx(law.ppf(0.3), rel=1e-9)
    # Sites before it were simulated, and do not reach it.
    assert answer.error is None


@pytest.mark.parametrize(
    "name", ["half", "z", *(pytest.param(name, marks=pytest.mark.slow) for name in ("lognormal", "uniform"))]
)
def test_a_cdf_ends_at_0_and_1(name: str) -> None:
    fit = known(bounded("exponential", "half" if name == "z" else name), {"theta": [[0.5, 0.5], [0.2, 0.8]]})
    query = fit.given(exponential=1.0)
    answer = query.cdf(name, [[-np.inf, 0.7], [3.0, np.inf]])
    assert answer.tolist() == [[0.0, float(query.cdf(name, 0.7))], [float(query.cdf(name, 3.0)), 1.0]]
    assert answer.error is None
    assert float(query.cdf(name, np.inf)) == 1.0
    for wrong in (lambda: query.cdf(name, np.nan), lambda: query.log_density(name, np.inf)):
        with refused(ValueError, "finite"):
            wrong()


def test_the_ends_of_a_simulated_cdf_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program_predictive, "SIMULATED_ROWS", 1_000)
    answer = known(above_and_below, {"theta": [[0.5, 0.5]]}).do(z=1).cdf("y", [-np.inf, 1.0, np.inf])
    assert [answer.tolist()[0], answer.tolist()[2]] == [0.0, 1.0]
    assert answer.error is not None
    assert answer.error.tolist()[::2] == [0.0, 0.0]
    assert float(answer.error[1]) > 0.0


def test_a_refusal_names_the_method_and_the_argument_that_were_used() -> None:
    query = known(heavy, {"theta": [[0.5, 0.5]]}).do(z=1)
    refusals: dict[str, Callable[[], Any]] = {
        "quantile": lambda: query.quantile("x", 0.5),
        "cdf": lambda: query.cdf("x", 0.5),
        "given": lambda: FIT.contrast("Y", do={"T": 1}, versus={"T": 0}, given={"T2": 1}),
        "versus": lambda: FIT.contrast("Y", do={"T": 1}, versus={"T": 2}),
        "do": lambda: FIT.contrast("Y", do={"T": 2}, versus={"T": 0}),
    }
    for what, ask in refusals.items():
        with pytest.raises((NotImplementedError, ValueError), match=rf"^{what}: "):
            ask()


def test_a_quantile_that_cannot_be_found_says_so_in_words() -> None:
    query = known(bounded("count"), {"theta": [[0.5, 0.5]]}).do(z=1)
    assert float(query.log_density("count", 0.5)) == -np.inf

    def broken(N: int) -> None:
        theta = pyro.sample("theta", dist.Dirichlet(torch.ones(2)))
        with pyro.plate("rows", N):
            z = pyro.sample("z", dist.Categorical(theta))
            pyro.sample("x", dist.Normal(1.0 * z, torch.where(z == 1, torch.nan, 1.0)))

    with pytest.raises((ValueError, EstimationError), match="quantile: the CDF of x is not a number"):
        known(broken, {"theta": [[0.5, 0.5]]}).do(z=1).quantile("x", 0.5)


@pytest.mark.parametrize(
    "scale", [1e-90, 1e40, *(pytest.param(scale, marks=pytest.mark.slow) for scale in (1e-30, 1.0))]
)
def test_quantiles_at_any_scale(scale: float) -> None:
    """The search begins between -1 and 1, where a CDF of such a scale is a step, or flat."""

    def scaled(N: int) -> None:
        theta = pyro.sample("theta", dist.Dirichlet(torch.ones(2)))
        with pyro.plate("rows", N):
            z = pyro.sample("z", dist.Categorical(theta))
            pyro.sample("x", dist.Normal(scale * z, scale))

    answer = known(scaled, {"theta": [[0.4, 0.6]]}).do(z=1).quantile("x", [0.01, 0.3])
    np.testing.assert_allclose(answer, stats.norm.ppf([0.01, 0.3], scale, scale), rtol=1e-12)


def test_a_law_without_densities_is_refused_and_one_with_is_exact() -> None:
    query = known(bounded("exponential", "half"), {"theta": [[0.5, 0.5]]})
    with refused(ValueError, "do: half expects a distribution that draws", "ImproperUniform", "set it to values"):
        query.do(half=dist.ImproperUniform(dist.constraints.real, (), ()))
    at = np.array([1e-9, 0.3, 1.0 - 1e-9])
    answer = query.do(half=dist.Kumaraswamy(torch.tensor(0.5).double(), torch.tensor(0.5).double())).cdf("half", at)
    np.testing.assert_allclose(answer, 1.0 - np.sqrt(1.0 - np.sqrt(at)), rtol=1e-7)
