"""Questions about the next row of a unit, whose earlier rows are given."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy import stats
from torch import Tensor

from estimators import EM, CausalMixture, Data, Fit, PyroModel
from estimators.estep.units import above_latent
from estimators.mechanisms import Bernoulli, Gaussian, LinearGaussian, Logistic
from tests.refusals import refused
from tests.test_units import MODELS, visits

BELOW_A_NUMBER = CausalMixture(2, {"T": Bernoulli(), "V": Gaussian(), "Y": Logistic(parents=["T", "V"])})
TABLE = MODELS["a table of causes"]


def of_draws(model: CausalMixture, num_draws: int) -> Fit:
    """A fit with draws under which classes overlap."""
    density, rng = model.density(visits(model, 3, 5)), np.random.default_rng(1)
    draws = density.draws(0.5 * rng.normal(size=(num_draws, density.size)))
    first = Fit.from_greeks(model, {name: value[0] for name, value in draws.items()})
    return Fit(model, "posterior", draws, 1, first.status, {"labels": "as given"})  # type: ignore[arg-type]


def causes_of(model: CausalMixture, data: Data) -> dict[str, Tensor]:
    return {name: data.of_units(data.columns[name]) for name in above_latent(model.weights, model.nodes)}


def by_responsibilities(fit: Fit, data: Data, do: dict[str, Any], name: str) -> Tensor:
    """E[name | do, earlier rows] [S, U], from that of each class and unit, by the responsibilities of its rows."""
    model = fit.model
    assert isinstance(model, CausalMixture)
    shares, total = model.marginal(data).responsibilities(dict(fit.draws)), torch.zeros(())
    for unit in range(data.num_units):
        own = {cause: float(column[unit]) for cause, column in causes_of(model, data).items()}
        of_class = [fit.do(**do).given(Z=k, **own).mean(name).draws for k in range(model.K)]
        one = (torch.stack(of_class, -1) * shares[:, unit]).sum(-1)
        total = torch.cat([total.reshape(fit.num_draws, -1), one[:, None]], 1) if unit else one[:, None]
    return total


CASES = [
    ("theta", MODELS["theta"], {"T": 1.0}, "Y"),
    ("a table of causes", TABLE, {"T": 1.0}, "Y"),
    ("what a unit shares is no cause of what is set", TABLE, {"Y": 1.0}, "T"),
    ("a gate", MODELS["a gate"], {"B": 0.5, "V": 1.0}, "Y"),
    ("a gate, of a regression", MODELS["a gate"], {"B": 0.5}, "T"),
    ("integrated over a number", BELOW_A_NUMBER, {"T": 1.0}, "Y"),
    ("a number set at random", MODELS["theta"], {"T": dist.Bernoulli(torch.tensor(0.3))}, "Y"),
]


@pytest.mark.parametrize("num_units", [1, 3])
@pytest.mark.parametrize("model, do, name", [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_it_is_that_of_each_class_by_the_responsibilities_of_the_rows(
    model: CausalMixture, do: dict[str, Any], name: str, num_units: int
) -> None:
    fit, data = of_draws(model, 3), visits(model, num_units, 5)
    found = fit.do(**do).given(unit=data).mean(name).draws
    expected = by_responsibilities(fit, data, do, name)
    assert found.shape == ((3,) if num_units == 1 else (3, 3))
    torch.testing.assert_close(found.reshape(3, -1), expected, rtol=1e-9, atol=1e-9)
    # Not that of anyone.
    own = {cause: float(column[0]) for cause, column in causes_of(model, data).items()}
    anyone = (fit.do(**do).given(**own) if own else fit.do(**do)).mean(name).draws
    assert float((found.reshape(3, -1)[:, 0] - anyone.reshape(3, -1)[:, 0]).abs().max()) > 1e-3


@pytest.mark.parametrize("is_set", [False, True])
def test_what_is_seen_of_the_next_row_is_as_if_it_was_one_of_the_rows(is_set: bool) -> None:
    fit, data = of_draws(TABLE, 4), visits(TABLE, 1, 5)
    assert data.num_rows > 1
    asked = fit.do(T=1.0).given(unit=data, Y=0.4) if is_set else fit.given(unit=data, T=1.0, Y=0.4)
    found = asked.probability("Z", 1).draws
    one = {name: torch.cat([column, column[:1]]) for name, column in data.columns.items()}
    one["T"][-1], one["Y"][-1] = 1.0, 0.4
    marks = {"T": torch.arange(data.num_rows + 1) == data.num_rows} if is_set else None
    longer = Data(one, unit=[0] * (data.num_rows + 1), intervened=marks)
    expected = TABLE.marginal(longer).responsibilities(dict(fit.draws))[:, 0, 1]
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_laws_are_mixtures_by_the_responsibilities() -> None:
    fit, data = of_draws(MODELS["theta"], 1), visits(MODELS["theta"], 1, 5)
    shares = fit.responsibilities(data)[0]
    asked, at = fit.do(T=1.0).given(unit=data), torch.tensor([-1.0, 0.0, 2.0]).double()
    of_class = [fit.do(T=1.0).given(Z=k) for k in range(2)]
    density = sum(shares[k] * of_class[k].log_density("Y", at).exp() for k in range(2))
    torch.testing.assert_close(torch.as_tensor(asked.log_density("Y", at)), density.log(), rtol=1e-10, atol=1e-10)
    cdf = sum(shares[k] * of_class[k].cdf("Y", at) for k in range(2))
    torch.testing.assert_close(torch.as_tensor(asked.cdf("Y", at)), cdf, rtol=1e-10, atol=1e-10)
    median = float(asked.quantile("Y", 0.5))
    assert float(asked.cdf("Y", median)) == pytest.approx(0.5, abs=1e-9)
    given_y = fit.do(T=1.0).given(unit=data, Y=float(at[0]))
    prior = np.array([float(shares[k] * of_class[k].log_density("Y", at[0]).exp()) for k in range(2)])
    assert float(given_y.probability("Z", 1).value) == pytest.approx(prior[1] / prior.sum(), rel=1e-9)


def test_entries_that_are_missing_and_a_z_that_is_seen_count_as_they_do_in_rows() -> None:
    fit, whole = of_draws(TABLE, 3), visits(TABLE, 3, 5)
    gaps = np.arange(whole.num_rows) % 2 == 0
    holes = Data(
        {**whole.columns, "T": np.where(gaps, np.nan, whole.columns["T"])}, unit=whole.unit, missing="marginalize"
    )
    found = fit.do(T=1.0).given(unit=holes).mean("Y").draws
    torch.testing.assert_close(found, by_responsibilities(fit, holes, {"T": 1.0}, "Y"), rtol=1e-9, atol=1e-9)
    seen = whole.replace(Z=whole.spread(torch.tensor([-1, 1, 0])))
    shares = torch.stack([fit.do(T=1.0).given(unit=seen).probability("Z", k).draws for k in range(2)], -1)
    torch.testing.assert_close(shares[:, 1:], torch.tensor([[[0.0, 1.0], [1.0, 0.0]]]).double().expand(3, 2, 2))
    assert 0.001 < float(shares[0, 0, 0]) < 0.999


@pytest.mark.parametrize("model, do", [(TABLE, {"T": 1.0}), (BELOW_A_NUMBER, {"T": 1.0})], ids=["table", "number"])
def test_rows_that_are_drawn_have_the_z_of_their_unit(model: CausalMixture, do: dict[str, Any]) -> None:
    fit = of_draws(model, 1)
    data = visits(model, 1, 5)
    share = float(fit.given(unit=data).probability("Z", 1).value)
    assert 0.01 < share < 0.99
    rows = fit.do(**do).given(unit=data).sample(2000, seed=0)
    assert all(bool((rows[cause] == column).all()) for cause, column in causes_of(model, data).items())
    assert stats.binomtest(int(rows["Z"].sum()), 2000, share).pvalue > 1e-4
    mean = float(fit.do(**do).given(unit=data).mean("Y").value)
    assert float(rows["Y"].double().mean()) == pytest.approx(
        mean, abs=4.5 * float(rows["Y"].double().std()) / 2000**0.5
    )
    # Given what is seen in the next row as well, and of several units, each its own.
    seen = {"Y": 1.0}
    share = float(fit.do(**do).given(unit=data, **seen).probability("Z", 1).value)
    rows = fit.do(**do).given(unit=data, **seen).sample(2000, seed=1)
    assert stats.binomtest(int(rows["Z"].sum()), 2000, share).pvalue > 1e-4
    many = data.units_at(torch.zeros(1000, dtype=torch.long))
    own = torch.arange(1000) % 2
    rows = fit.do(**do).given(unit=many.replace(Z=many.spread(own)), Y=1.0).sample(1000, seed=2)
    assert bool((rows["Z"] == own).all())


def test_covariates_are_those_of_the_unit_where_they_do_not_change_and_asked_for_where_they_do() -> None:
    model = CausalMixture(
        2,
        {"Y": LinearGaussian(parents=["sex", "dose"], caused_by_latent=True), "X": Gaussian()},
        covariates={"sex": 2, "dose": None},
    )
    greeks = {
        "theta": [0.4, 0.6],
        "beta_Y": [[0.0, 1.0, 2.0], [3.0, -1.0, 0.5]],
        "sigma_Y": [1.0, 1.0],
        "mu_X": [0.0, 1.0],
        "sigma_X": [1.0, 1.0],
    }
    unit = np.repeat(np.arange(40), 2)
    sex, dose = (unit % 2).astype(float), np.tile([0.0, 1.0], 40)
    rows = model.simulate(80, greeks, seed=0, covariates={"sex": sex, "dose": dose}, unit=unit)
    fit = Fit.from_greeks(model, greeks)
    data = Data(sex=sex, dose=dose, Y=rows["Y"], X=rows["X"], unit=unit)
    shares = fit.responsibilities(data)
    found = fit.do(dose=0.5).given(unit=data).mean("Y").draws[0]
    of_class = torch.stack([fit.do(dose=0.5, sex=sex[::2]).given(Z=k).mean("Y").draws[0] for k in range(2)], -1)
    torch.testing.assert_close(found, (shares * of_class).sum(-1))
    with refused(ValueError, "dose is a covariate, and there are no rows to average over", "give its value"):
        fit.given(unit=data).mean("Y")
    # Of one row nothing can be said to stay, but for what does not change in any unit that was fitted.
    one = {name: column[:1] for name, column in data.columns.items()}
    with refused(ValueError, "dose is a covariate", "give its value"):
        fit.given(unit=one).mean("Y")
    with refused(ValueError, "sex is a covariate"):
        fit.do(dose=0.5).given(unit=one).mean("Y")
    fitted = replace(fit, data=model.check(data))
    torch.testing.assert_close(fitted.do(dose=0.5).given(unit=one).mean("Y").draws.shape, torch.Size([1]))
    with refused(ValueError, "dose is a covariate"):
        fitted.given(unit=one).mean("Y")
    # What does not depend on it can be asked; the unit's sex may be another at the next row only where it is said.
    assert fit.given(unit=data).mean("X").draws.shape == (1, 40)
    other = fit.do(dose=0.5, sex=1.0).given(unit=data).mean("Y").draws[0]
    assert float((other - found)[0]) != 0.0 and float((other - found)[1]) == 0.0


def test_a_cause_that_was_set_in_the_rows_is_the_unit_s_however_improbable() -> None:
    greeks = {
        "theta": [[0.6, 0.4], [0.3, 0.7]],
        "p_W": 0.0,
        "p_T": [0.3, 0.6],
        "beta_Y": [[0.0, 1.0], [3.0, 2.0]],
        "sigma_Y": [1.0, 1.0],
    }
    model = CausalMixture(
        2,
        {"W": Bernoulli(caused_by_latent=False), "T": Bernoulli(), "Y": LinearGaussian(["T"])},
        latent_parents=["W"],
    )
    fit = Fit.from_greeks(model, greeks)
    rows = Data(W=[1.0, 1.0], T=[0.0, 1.0], Y=[2.0, 3.0], intervened={"W": True})
    share = float(fit.given(unit=rows).probability("Z", 1).value)
    assert share == pytest.approx(float(fit.responsibilities(rows.in_one_unit())[0, 1]), rel=1e-12)
    assert float(fit.do(T=1.0).given(unit=rows).mean("Y").value) == pytest.approx(1 - share + 5 * share, rel=1e-12)
    assert bool((fit.do(T=1.0).given(unit=rows).sample(5, seed=0)["W"] == 1.0).all())


def test_intervals_contrasts_and_effects_take_it_too() -> None:
    model = MODELS["theta"]
    truth = {"theta": [0.4, 0.6], "p_T": [0.3, 0.7], "beta_Y": [[0.0, 1.0], [3.0, 2.5]], "sigma_Y": [1.0, 1.0]}
    unit = np.repeat(np.arange(60), 3)
    rows = model.simulate(len(unit), truth, seed=1, unit=unit)
    fit = EM().fit(model, Data(T=rows["T"], Y=rows["Y"], unit=unit), seed=0)
    earlier = {"T": [0.0, 1.0], "Y": [2.6, 5.7]}
    effect = fit.effect("Y", of="T", given={"unit": earlier})
    parts = [fit.do(T=level).given(unit=earlier).mean("Y") for level in (1.0, 0.0)]
    assert float(effect.value) == pytest.approx(float(parts[0].value - parts[1].value), rel=1e-12)
    assert float(fit.contrast("Y", do={"T": 1.0}, versus={"T": 0.0}, given={"unit": earlier}).value) == pytest.approx(
        float(effect.value), rel=1e-12
    )
    assert float(effect.value) == pytest.approx(2.5, abs=0.6)
    ((low, high),) = effect.profile(0.9)
    assert low < float(effect.value) < high and high - low < 1.5
    assert fit.laplace(num_draws=50, seed=0).do(T=1.0).given(unit=earlier).mean("Y").draws.shape == (50,)


def test_a_frame_has_its_units_in_the_column_of_the_fitted_rows() -> None:
    model = CausalMixture(2, {"T": Bernoulli(), "X": Gaussian()})
    frame = pd.DataFrame(
        {"T": ["no", "yes", "no", "yes"] * 5, "X": np.linspace(-3, 3, 20) ** 3, "patient": np.repeat(np.arange(10), 2)}
    )
    fit = EM().fit(model, Data(frame, unit="patient"), seed=0, search=None)
    of_each = fit.given(unit=frame).mean("X").draws
    assert of_each.shape == (1, 10)
    # Rows that say nothing of units are those of one.
    one = fit.given(unit=frame[frame.patient == 3].drop(columns="patient")).mean("X").draws
    torch.testing.assert_close(one, of_each[:, 3])
    assert "given(unit=" in repr(fit.given(unit=frame))


def test_what_cannot_be_asked_is_said_in_a_sentence() -> None:
    fit, rows = of_draws(TABLE, 1), visits(TABLE, 2, 5)
    one = rows.units_at(torch.tensor([0]))
    for ask in (
        lambda: fit.do(W=1.0).given(unit=one),
        lambda: fit.given(W=1.0).given(unit=one),
        lambda: fit.given(Z=1, unit=one),
    ):
        with refused(ValueError, "one of all rows of a unit", "fit.counterfactual(rows"):
            ask()
    with refused(ValueError, "W is that of the unit whose rows are given"):
        fit.given(unit=one).given(W=1.0)
    with refused(ValueError, "given already", "all of them at once"):
        fit.given(unit=one).given(unit=one)
    with refused(ValueError, "do: earlier rows", "given(unit=rows)"):
        fit.do(unit=one)
    with refused(ValueError, "cdf: expected one value of unit, got one per row"):
        fit.given(unit=rows).cdf("Y", 0.0)
    with refused(ValueError, "sample: given(unit=...) has 2 values, but 3 rows"):
        fit.given(unit=rows).sample(3)
    with refused(ValueError, "column 'T' is missing"):
        fit.given(unit={"W": [1.0]})
    with refused(ValueError, "given: W is missing", "give it"):
        fit.given(unit=Data({**one.columns, "W": one.columns["W"] * np.nan}, unit=one.unit, missing="marginalize"))
    with refused(ValueError, "column W: differs within unit 'all'"):
        fit.given(unit={"W": [1.0, 0.0], "T": [1.0, 1.0], "Y": [0.0, 0.0]})
    never = CausalMixture(2, {"A": Bernoulli(), "X": Gaussian(scale=1.0)})
    sure = Fit.from_greeks(never, {"theta": [0.5, 0.5], "p_A": [0.0, 0.0], "mu_X": [0.0, 1.0]})
    with refused(ValueError, "the rows of unit 'all' have probability 0"):
        sure.given(unit={"A": [1.0], "X": [0.0]})
    program = Fit.from_greeks(PyroModel(_program), {"theta": torch.tensor([0.5, 0.5])})
    with refused(ValueError, "unit"):
        program.given(unit={"X": [0.0]})


def _program(N: int, X: Tensor | None = None) -> None:
    theta = pyro.sample("theta", dist.Dirichlet(torch.ones(2)))
    with pyro.plate("rows", N):
        z = pyro.sample("Z", dist.Categorical(theta), infer={"enumerate": "parallel"})
        pyro.sample("X", dist.Normal(z.double(), 1.0), obs=X)
