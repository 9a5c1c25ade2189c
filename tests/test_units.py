"""Several rows a unit: the rows of one unit share one Z, and everything that is said of rows is said of units."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy import stats
from scipy.special import gammaln, logsumexp
from torch import Tensor

from estimators import EM, MAP, NUTS, SMC, CausalMixture, Data, Exact, Fit, GaussianMixture, PyroModel, identifiability
from estimators.contract import Density, Objective, log_likelihood
from estimators.data.working_rows import working_rows
from estimators.estep.units import above_latent
from estimators.mechanisms import Bernoulli, Categorical, Gate, Gaussian, LinearGaussian, Logistic, Poisson
from estimators.modes.law_rows import design_of
from tests.expectations import log_likelihood_of
from tests.mechanism_models import enumerated, random_greeks
from tests.objectives import by_differences
from tests.refusals import case, refused
from validation.testing.stat import Stat

TREATED = {"T": Bernoulli(), "Y": LinearGaussian(parents=["T"])}
MODELS = {
    "theta": CausalMixture(2, TREATED),
    "a table of causes": CausalMixture(2, {"W": Bernoulli(), **TREATED}, latent_parents=["W"]),
    "a gate": CausalMixture(
        2,
        {"A": Gaussian(dist.Normal(0.0, 1.0), 1.0), "T": Logistic(["A", "B"]), "Y": Poisson(parents=["V"])},
        latent=Gate(["A"]),
        covariates={"B": None, "V": 2},
    ),
}
ABOVE = CausalMixture(2, {"X": Gaussian()}, latent=Gate(["B"]), covariates=["B"])
# Of columns that are noise, or few draws, a fit has a status.
NOISE = pytest.mark.filterwarnings("ignore::estimators.EstimationWarning")
EVERY_MODEL = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def visits(model: CausalMixture, num_units: int, seed: int, most: int = 4, **options: Any) -> Data:
    """Rows of units with up to so many each, in any order, under labels of text; causes of Z are one value a unit."""
    rng = np.random.default_rng(seed)
    unit = rng.permutation(np.repeat(np.arange(num_units), rng.integers(1, most + 1, num_units)))
    first = np.unique(unit, return_index=True)[1][unit]
    columns: dict[str, Any] = {}
    for name, mechanism in model.mechanisms.items():
        levels = mechanism.num_levels
        values = rng.normal(size=len(unit)) if levels is None else rng.integers(0, levels, len(unit)) * 1.0
        if isinstance(mechanism, Poisson | Logistic):
            values = rng.integers(0, 2, len(unit)) * 1.0
        columns[name] = values[first] if name in above_latent(model.weights, model.nodes) else values
    return Data(columns, unit=[f"patient {number}" for number in unit], **options)


def by_allocations(model: CausalMixture, data: Data, greeks: dict[str, Tensor]) -> float:
    """log p(rows | φ), the sum over every allocation of the units to classes; what is above Z counts once a unit."""
    given = model.check(data)
    assert given.unit is not None
    of_row, first = given.unit.of_row, given.unit.first
    columns = {name: given.columns[name] for name in model.nodes}
    above, latent = above_latent(model.weights, model.nodes), given.latent()
    logs = []
    for allocation in product(range(model.K), repeat=given.num_units):
        z = torch.tensor(allocation)
        if bool(((latent >= 0) & (latent != z[of_row])).any()):
            continue
        weights = model.weights.distribution(greeks, columns)
        chosen = weights.expand([given.num_rows]).log_prob(z[of_row])[first]
        total = float(chosen[~given.is_set("Z")[first]].sum())
        for name, node in model.nodes.items():
            if node.mechanism.is_covariate:
                continue
            by_row = node.distribution(greeks, z[of_row], columns).log_prob(columns[name])
            by_row = torch.where(given.is_set(name), 0.0, by_row)
            total += float((by_row[first] if name in above else by_row).sum())
        logs.append(total)
    return float(logsumexp(logs))


@EVERY_MODEL
def test_the_likelihood_is_the_sum_over_every_allocation_of_units(model: CausalMixture) -> None:
    data, greeks = visits(model, 6, 1), random_greeks(model, 2)
    found = float(log_likelihood_of(model.marginal(data), greeks))
    assert found == pytest.approx(by_allocations(model, data, greeks), rel=1e-12)
    # Not that of rows that have a Z each.
    apart = float(log_likelihood_of(model.marginal(Data(dict(data.columns))), greeks))
    assert abs(found - apart) > 0.1


@EVERY_MODEL
def test_so_it_is_where_z_is_seen_or_set_in_some_units(model: CausalMixture) -> None:
    data, greeks = visits(model, 6, 3), random_greeks(model, 4)
    assert data.unit is not None
    by_unit = torch.tensor([-1, 0, 1, 1, -1, 0])
    is_set = torch.tensor([False, False, True, False, False, True])
    known = data.replace(Z=data.spread(by_unit)).replace(intervened={"Z": data.spread(is_set)})
    found = float(log_likelihood_of(model.marginal(known), greeks))
    assert found == pytest.approx(by_allocations(model, known, greeks), rel=1e-12)


@EVERY_MODEL
def test_responsibilities_are_of_units(model: CausalMixture) -> None:
    data, greeks = visits(model, 5, 5), random_greeks(model, 6)
    shares = model.marginal(data).responsibilities(greeks)
    assert shares.shape == (5, 2) and torch.allclose(shares.sum(1), torch.ones(5, dtype=torch.float64))
    rows = data.spread(shares)
    assert rows.shape == (data.num_rows, 2)
    assert data.unit is not None
    torch.testing.assert_close(rows, shares[data.unit.of_row])
    # Each unit by itself says the same of it, whatever else there is.
    for number in range(5):
        alone = data.units_at(torch.tensor([number]))
        torch.testing.assert_close(model.marginal(alone).responsibilities(greeks)[0], shares[number])


@EVERY_MODEL
def test_the_gradient_is_that_of_differences(model: CausalMixture) -> None:
    density = model.density(visits(model, 30, 7))
    at = np.random.default_rng(0).normal(size=density.size) * 0.3
    np.testing.assert_allclose(
        density.evaluate(at)[1].likelihood, by_differences(density, at).likelihood, rtol=1e-6, atol=1e-6
    )


@NOISE
@EVERY_MODEL
def test_em_never_falls_and_ends_where_the_gradient_is_nothing(model: CausalMixture) -> None:
    data = visits(model, 40, 8)
    density = model.density(data)
    point = density.draw_prior(3, np.random.default_rng(1)) * 0.3
    values = []
    for _ in range(60):
        value, point = density.em_steps(point)
        values.append(value)
    assert (np.diff(np.array(values), axis=0) > -1e-9).all()
    fit = EM(progress_bar=False).fit(model, data, seed=0)
    assert fit.stats["log_likelihood"] >= values[-1].max() - 1e-6


# ---------------------------------------------------------------- what changes nothing


@EVERY_MODEL
def test_the_order_of_rows_and_of_units_and_their_names_change_nothing(model: CausalMixture) -> None:
    data, greeks = visits(model, 8, 9), random_greeks(model, 1)
    expected = dict(zip(data.unit_labels, model.marginal(data).pointwise(greeks).tolist(), strict=True))
    shuffled = data.rows(torch.from_numpy(np.random.default_rng(0).permutation(data.num_rows)))
    found = dict(zip(shuffled.unit_labels, model.marginal(shuffled).pointwise(greeks).tolist(), strict=True))
    assert found.keys() == expected.keys() and found == pytest.approx(expected, rel=1e-12)
    backwards = data.units_at(torch.arange(7, -1, -1))
    assert backwards.unit_labels == data.unit_labels[::-1]
    values = model.marginal(backwards).pointwise(greeks).flip(0)
    torch.testing.assert_close(values, model.marginal(data).pointwise(greeks), rtol=1e-12, atol=1e-12)
    assert data.unit is not None
    named = Data(dict(data.columns), unit=[(0, number) for number in data.unit.of_row.tolist()])
    assert torch.equal(model.marginal(named).pointwise(greeks), model.marginal(data).pointwise(greeks))


@NOISE
@EVERY_MODEL
def test_units_of_one_row_are_rows_to_the_last_bit(model: CausalMixture) -> None:
    data, greeks = visits(model, 40, 11, most=1), random_greeks(model, 3)
    rows = Data(dict(data.columns))
    assert torch.equal(model.marginal(data).pointwise(greeks), model.marginal(rows).pointwise(greeks))
    own, plain = (EM(num_starts=5, progress_bar=False).fit(model, each, seed=1, search=None) for each in (data, rows))
    assert own.summary().equals(plain.summary())


@EVERY_MODEL
def test_a_weight_of_two_is_the_unit_twice(model: CausalMixture) -> None:
    data, greeks = visits(model, 10, 12), random_greeks(model, 3)
    arrays = {name: value.numpy() for name, value in greeks.items()}
    twice = data.units_at(torch.arange(10).repeat_interleave(2))
    assert twice.num_units == 20 and len(set(twice.unit_labels)) == 20
    weighed = model.marginal(data.replace(weights=[2.0] * data.num_rows))
    one, other = weighed.statistics(arrays), model.marginal(twice).statistics(arrays)
    np.testing.assert_allclose(one.log_likelihood, other.log_likelihood, rtol=1e-12)
    for name, slope in weighed.gradient(arrays, one).items():
        expected = model.marginal(twice).gradient(arrays, other)[name]
        np.testing.assert_allclose(slope, expected, rtol=1e-9, atol=1e-9, err_msg=name)
    # Not that of one unit with twice the rows.
    longer = data.rows(torch.arange(data.num_rows).repeat_interleave(2))
    assert longer.num_units == 10
    assert abs(float(one.log_likelihood - model.marginal(longer).statistics(arrays).log_likelihood)) > 0.01


def test_two_rows_of_one_variable_are_two_variables_of_one_law() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 2, (2, 50)) * 1.0
    one = CausalMixture(3, {"X": Bernoulli()})
    two = CausalMixture(3, {"A": Bernoulli(), "B": Bernoulli()})
    theta, p = torch.tensor([0.2, 0.3, 0.5]).double(), torch.tensor([0.1, 0.5, 0.7]).double()
    long = Data(X=np.concatenate([first, second]), unit=[*range(50), *range(50)])
    found = one.marginal(long).pointwise({"theta": theta, "p_X": p})
    expected = two.marginal(Data(A=first, B=second)).pointwise({"theta": theta, "p_A": p, "p_B": p})
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("num_rows, is_identified", [(1, False), (2, False), (3, True)])
def test_as_many_rows_a_unit_identify_two_classes_of_one_variable_as_theory_says(
    num_rows: int, is_identified: bool
) -> None:
    """A mixture of K binomials of m trials is identified where m >= 2 K - 1 (Teicher 1961, Ann. Math. Stat. 32)."""
    model, truth = CausalMixture(2, {"X": Bernoulli()}), {"theta": [0.4, 0.6], "p_X": [0.2, 0.7]}
    unit = np.repeat(np.arange(200), num_rows)
    data = Data(X=model.simulate(len(unit), truth, seed=1, unit=unit)["X"], unit=unit)
    found = identifiability(model, truth, data=data)
    assert all(verdict.is_identified for verdict in found.verdicts.values()) == is_identified


# ---------------------------------------------------------------- Pyro says the same


@EVERY_MODEL
def test_pyro_enumerates_the_same_with_z_in_a_plate_of_units(model: CausalMixture) -> None:
    data, greeks = visits(model, 7, 13), random_greeks(model, 5)
    greeks = {name: value.requires_grad_() for name, value in greeks.items()}
    expected = log_likelihood_of(model.marginal(data), greeks)
    torch.testing.assert_close(enumerated(model, model.check(data), greeks), expected, rtol=1e-9, atol=1e-9)
    # Rows that have a Z each are another law.
    apart = enumerated(model, model.check(Data(dict(data.columns))), greeks)
    assert float((apart - expected).abs().detach()) > 0.1


def test_a_program_with_a_plate_over_the_rows_of_a_unit_is_the_same() -> None:
    def program(X: Tensor) -> None:
        theta = pyro.sample("theta", dist.Dirichlet(torch.ones(2)))
        with pyro.plate("components", 2):
            mu = pyro.sample("mu_X", dist.Normal(0.0, 10.0))
        with pyro.plate("units", len(X), dim=-2):
            z = pyro.sample("Z", dist.Categorical(theta), infer={"enumerate": "parallel"})
            with pyro.plate("visits", 3, dim=-1):
                pyro.sample("X", dist.Normal(mu[z], 1.0), obs=X)

    columns = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)).double()
    model = CausalMixture(2, {"X": Gaussian(loc=dist.Normal(0.0, 10.0), scale=1.0)})
    greeks = {"theta": torch.tensor([0.3, 0.7]).double(), "mu_X": torch.tensor([-1.0, 1.0]).double()}
    data = Data(X=columns.reshape(-1), unit=np.repeat(np.arange(6), 3))
    found = PyroModel(program).density(Data(X=columns)).pointwise(greeks)
    torch.testing.assert_close(found, model.marginal(data).pointwise(greeks), rtol=1e-9, atol=1e-9)


# ---------------------------------------------------------------- entries that are missing


def test_missing_levels_are_summed_row_by_row_within_their_unit() -> None:
    model = CausalMixture(2, {"T": Categorical(3), "V": Gaussian(), "Y": LinearGaussian(parents=["T", "V"])})
    data, greeks = visits(model, 5, 14, most=3), random_greeks(model, 7)
    gaps = np.zeros(data.num_rows, dtype=bool)
    gaps[[0, 3, 4]] = True
    whole = dict(data.columns)
    holes = Data({**whole, "T": np.where(gaps, np.nan, whole["T"])}, missing="marginalize", unit=data.unit)
    completions = [
        log_likelihood_of(model.marginal(Data({**whole, "T": _put(whole["T"], gaps, levels)}, unit=data.unit)), greeks)
        for levels in product(range(3), repeat=3)
    ]
    marginal = model.marginal(holes)
    found, expected = log_likelihood_of(marginal, greeks), torch.logsumexp(torch.stack(completions), 0)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)
    # Responsibilities of a unit rest on all of its rows, those without gaps too.
    assert marginal.responsibilities(greeks).shape == (5, 2)
    torch.testing.assert_close(marginal.pointwise(greeks).sum(), found)
    slopes_and_steps_are_right(model.density(holes))


def slopes_and_steps_are_right(density: Density) -> None:
    """The gradient is that of differences, and EM never falls."""
    at = np.random.default_rng(0).normal(size=density.size) * 0.3
    np.testing.assert_allclose(
        density.evaluate(at)[1].likelihood, by_differences(density, at).likelihood, rtol=1e-6, atol=1e-6
    )
    rising, point = [], at[None]
    for _ in range(20):
        value, point = density.em_steps(point)
        rising.append(value)
    assert (np.diff(np.array(rising), axis=0) > -1e-9).all()


def _put(column: Tensor, gaps: np.ndarray, levels: Any) -> np.ndarray:
    filled = column.numpy().copy()
    filled[gaps] = levels
    return filled


SHARED_GAPS = {
    "a table of causes": CausalMixture(
        2,
        {"V": Bernoulli(), "W": Categorical(3, parents=["V"]), "T": Bernoulli(), "Y": LinearGaussian(["T", "W"])},
        latent_parents=["V", "W"],
    ),
    "a gate": CausalMixture(
        2,
        {"V": Bernoulli(), "W": Logistic(["V"]), "T": Bernoulli(), "Y": Logistic(["T", "W"]), "X": Gaussian()},
        latent=Gate(["W", "V"]),
    ),
}
# Of each column, the rows where it is missing; a, b and c are units of three, two and one rows.
ROWS_OF = {"a": [0, 2, 5], "b": [1, 4], "c": [3]}
SHARED_HOLES = {
    "one cause": {"W": ["a"]},
    "both, in different units": {"W": ["a"], "V": ["b"]},
    "both together, and one alone": {"W": ["a", "b"], "V": ["a", "c"]},
    "rows' own too": {"W": ["a", "b"], "V": ["a"], "T": [0, 2, 1, 3], "Y": [5]},
    "where nothing is below it in one row": {"W": ["a", "b"], "Y": [0, 1, 4]},
}


@pytest.mark.parametrize("known", ["hidden", "seen", "set"])
@pytest.mark.parametrize("holes", SHARED_HOLES.values(), ids=SHARED_HOLES)
@pytest.mark.parametrize("model", SHARED_GAPS.values(), ids=SHARED_GAPS)
def test_missing_causes_of_z_are_summed_once_a_unit(
    model: CausalMixture, holes: dict[str, list[Any]], known: str
) -> None:
    unit, greeks = list("abacba"), random_greeks(model, 8)
    rng = np.random.default_rng(3)
    whole = {name: rng.integers(0, model.variables[name].num_levels or 2, 6) * 1.0 for name in model.mechanisms}
    whole["Y"] = rng.normal(size=6) if model.variables["Y"].num_levels is None else whole["Y"]
    for name in ("V", "W"):
        whole[name] = whole[name][[0, 1, 0, 3, 1, 0]]
    options: dict[str, Any] = {"unit": unit}
    if known != "hidden":
        whole["Z"] = np.array([-1, 1, -1, -1, 1, -1])
        options["intervened"] = {"Z": (whole["Z"] >= 0) & (known == "set")}
    gone = {name: np.zeros(6, dtype=bool) for name in holes}
    for name, places in holes.items():
        gone[name][[row for place in places for row in (ROWS_OF[place] if isinstance(place, str) else [place])]] = True
    data = Data(
        {name: np.where(gone[name], np.nan, column) if name in gone else column for name, column in whole.items()},
        missing="marginalize",
        **options,
    )
    # Every completion: one value a unit of what causes Z, one a row of the rest; a Y that is missing integrates to 1.
    places = [(name, ROWS_OF[at]) for name in ("V", "W") for at in holes.get(name, [])]
    places += [("T", [row]) for row in holes.get("T", [])]
    completions = []
    for levels in product(*(range(model.variables[name].num_levels or 0) for name, _ in places)):
        filled = {name: column.copy() for name, column in whole.items()}
        for (name, rows), level in zip(places, levels, strict=True):
            filled[name][rows] = level
        filled["Y"][gone.get("Y", np.zeros(6, dtype=bool))] = np.nan
        one = Data(filled, missing="marginalize", **options)
        completions.append(log_likelihood_of(model.marginal(one), greeks))
    marginal = model.marginal(data)
    expected = torch.logsumexp(torch.stack(completions), 0)
    torch.testing.assert_close(log_likelihood_of(marginal, greeks), expected, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(marginal.pointwise(greeks).sum(), expected, rtol=1e-11, atol=1e-11)
    slopes_and_steps_are_right(model.density(data))


def test_a_missing_number_that_rows_share_as_a_cause_of_z_is_refused() -> None:
    model = CausalMixture(
        2,
        {"V": Gaussian(caused_by_latent=False), "W": LinearGaussian(["V"], caused_by_latent=False), "X": Gaussian()},
        latent=Gate(["W"]),
    )
    rows = Data(V=[np.nan, 1.0, np.nan], W=[0.0, 1.0, 0.0], X=[0.0, 1.0, 2.0], unit=list("aba"), missing="marginalize")
    with refused(ValueError, "column V: missing in unit 'a', which has several rows", "drop the unit"):
        model.marginal(rows)
    # Of a unit of one row it is integrated out.
    one = rows.units_at(torch.tensor([0])).rows(torch.tensor([0]))
    greeks = random_greeks(model, 2)
    found = log_likelihood_of(model.marginal(one), greeks)
    at = [log_likelihood_of(model.marginal(one.replace(V=[value])), greeks) for value in np.linspace(-30, 30, 301)]
    torch.testing.assert_close(found, torch.logsumexp(torch.stack(at), 0) + np.log(0.2), rtol=1e-9, atol=1e-9)


def test_a_missing_number_that_causes_what_is_known_is_integrated_out() -> None:
    """Its unit's law is a Gaussian of the row's sum; an entry that causes nothing is as if it were set."""
    model = CausalMixture(2, {"V": Gaussian(), "Y": LinearGaussian(parents=["V"])})
    greeks = {
        "theta": [0.4, 0.6],
        "mu_V": [0.0, 1.0],
        "sigma_V": [1.0, 0.5],
        "beta_Y": [[0.0, 1.0], [1.0, -1.0]],
        "sigma_Y": [1.0, 2.0],
    }
    data = Data(V=[0.5, np.nan, 0.2], Y=[1.0, 0.3, np.nan], unit=["a", "a", "b"], missing="marginalize")
    logs = []
    for k, (mu, s, (b0, b1), noise) in enumerate(zip(*list(greeks.values())[1:], strict=True)):
        first = stats.norm(mu, s).logpdf(0.5) + stats.norm(b0 + b1 * 0.5, noise).logpdf(1.0)
        second = stats.norm(b0 + b1 * mu, np.hypot(b1 * s, noise)).logpdf(0.3)
        logs.append(np.log([0.4, 0.6][k]) + np.array([first + second, stats.norm(mu, s).logpdf(0.2)]))
    found = model.marginal(data).pointwise(model.check_greeks(greeks))
    np.testing.assert_allclose(found, logsumexp(logs, axis=0), rtol=1e-12)


# ---------------------------------------------------------------- every estimator and every answer

CLINIC = CausalMixture(
    2,
    {
        "W": Bernoulli(),
        "T": Logistic(["W"], coefficients=dist.Normal(0.0, 2.0)),
        "Y": LinearGaussian(parents=["T"], coefficients=dist.Normal(0.0, 5.0)),
    },
    latent_parents=["W"],
)
TRUTH = {
    "theta": [[0.7, 0.3], [0.2, 0.8]],
    "p_W": 0.4,
    "beta_T": [[-1.0, 0.5], [1.0, 0.5]],
    "beta_Y": [[0.0, 1.0], [2.0, 3.0]],
    "sigma_Y": [1.0, 1.0],
}


def clinic(num_units: int, seed: int) -> tuple[Data, Tensor]:
    """Visits of patients, as a frame has them, and the class of each patient."""
    rng = np.random.default_rng(seed)
    unit = rng.permutation(np.repeat(np.arange(num_units), rng.integers(2, 7, num_units)))
    rows = CLINIC.simulate(len(unit), TRUTH, seed=seed, unit=unit)
    frame = pd.DataFrame({name: rows[name].numpy() for name in CLINIC.mechanisms})
    data = Data(frame.assign(patient=[f"patient {number}" for number in unit]), unit="patient")
    return data, data.of_units(rows["Z"])


@pytest.fixture(scope="module")
def fitted() -> Fit:
    return EM(progress_bar=False).fit(CLINIC, clinic(60, 1)[0], seed=0)


def test_simulated_rows_of_a_unit_share_z_and_its_causes() -> None:
    unit = np.arange(300) // 3
    rows = CLINIC.simulate(300, TRUTH, seed=1, unit=unit)
    by_unit = {name: column.reshape(100, 3) for name, column in rows.items()}
    assert all(bool((by_unit[name] == by_unit[name][:, :1]).all()) for name in ("Z", "W"))
    assert all(bool((by_unit[name] != by_unit[name][:, :1]).any()) for name in ("T", "Y"))
    apart = CLINIC.simulate(300, TRUTH, seed=1)["Z"].reshape(100, 3)
    assert bool((apart != apart[:, :1]).any())


ESTIMATORS = {
    "EM": EM(progress_bar=False),
    "MAP": MAP(progress_bar=False),
    "NUTS": NUTS(num_samples=300, warmup_steps=300, num_chains=2, progress_bar=False),
    "SMC": SMC(num_particles=200, progress_bar=False),
}


@NOISE
@pytest.mark.parametrize(
    "estimator",
    [pytest.param(one, id=name, marks=[pytest.mark.slow] * (name == "SMC")) for name, one in ESTIMATORS.items()],
)
def test_every_estimator_finds_the_greeks_of_many_units(estimator: Any) -> None:
    data, latent = clinic(300, 2)
    fit = estimator.fit(CLINIC, data, seed=0)
    np.testing.assert_allclose(fit["beta_Y"], TRUTH["beta_Y"], atol=0.35)
    np.testing.assert_allclose(fit["theta"], TRUTH["theta"], atol=0.2)
    # Several visits tell the classes better apart than each by itself.
    agrees = (fit.responsibilities(data).argmax(1) == latent).double().mean()
    naive = EM(progress_bar=False).fit(CLINIC, Data(dict(data.columns)), seed=0)
    alone = (naive.responsibilities(Data(dict(data.columns))).argmax(1) == data.spread(latent)).double().mean()
    assert agrees > max(alone, 1 - alone) + 0.02


def test_the_evidence_of_exact_is_the_sum_over_every_allocation_of_units() -> None:
    X, unit = [0.0, 1.0, 0.4, 3.0, 2.0, -1.0], list("aabccb")
    fit = Exact(num_draws=2000).fit(GaussianMixture(2, concentration=0.5), Data(X=X, unit=unit), seed=0)
    logs = []
    for z in product(range(2), repeat=3):
        of_row = np.array([z["abc".index(label)] for label in unit])
        counts = np.bincount(z, minlength=2)
        value = gammaln(1.0) - gammaln(1.0 + 3) + (gammaln(0.5 + counts) - gammaln(0.5)).sum()
        for k in range(2):
            own = np.array(X)[of_row == k]
            covariance = np.eye(len(own)) + 100.0
            value += stats.multivariate_normal(np.zeros(len(own)), covariance).logpdf(own) if len(own) else 0.0
        logs.append(value)
    assert fit.stats["log_evidence"] == pytest.approx(logsumexp(logs), rel=1e-10)
    assert fit.stats["num_allocations"] == 8


def test_laplace_and_profile_are_of_units(fitted: Fit) -> None:
    """The share of a class rests on 60 patients: an interval as wide as of as many labels that are all but seen."""
    contrast = fitted.contrast("Y", do={"T": 1}, versus={"T": 0})
    ((low, high),) = contrast.profile(0.9)
    assert low < float(contrast.value) < high
    draws = fitted.laplace(1000, seed=0)
    assert float(draws.stats["pareto_k"]) < 0.7
    share = float(fitted["theta"][0, 0])
    assert fitted.data is not None
    without_w = int((fitted.data.of_units(fitted.data.columns["W"]) == 0).sum())
    binomial = float(np.sqrt(share * (1 - share) / without_w))
    assert 0.8 * binomial < float(draws.draws["theta"][:, 0, 0].std()) < 1.5 * binomial


def test_responsibilities_and_densities_of_a_frame_are_of_its_units(fitted: Fit) -> None:
    data = fitted.data
    assert data is not None and data.unit is not None
    frame = pd.DataFrame({name: column.numpy() for name, column in data.columns.items()})
    frame["patient"] = [data.unit_labels[number] for number in data.unit.of_row]
    torch.testing.assert_close(fitted.responsibilities(frame), fitted.responsibilities(data))
    assert fitted.log_density(frame).shape == (60,)
    assert float(fitted.log_density(data).sum()) == pytest.approx(fitted.stats["log_likelihood"], rel=1e-9)


def test_a_question_is_about_a_new_unit_of_one_row(fitted: Fit) -> None:
    """So that do and given are as for a fit to rows with the same Greeks."""
    alone = Fit.from_greeks(CLINIC, {name: fitted[name] for name in fitted.draws})
    for query in (lambda fit: fit.do(T=1), lambda fit: fit.given(T=1, Y=0.3), lambda fit: fit.do(W=1).given(Y=1.0)):
        assert float(query(fitted).mean("Y").value) == pytest.approx(float(query(alone).mean("Y").value), rel=1e-12)
    assert float(fitted.given(Y=0.3, T=1).mean("Z").value) == pytest.approx(
        float(fitted.responsibilities(Data(W=[0.0, 1.0], T=[1.0, 1.0], Y=[0.3, 0.3]))[:, 1] @ _share_of_w(fitted)),
        rel=1e-9,
    )


def _share_of_w(fit: Fit) -> Tensor:
    """p(W | T = 1, Y = .3)."""
    return torch.softmax(fit.log_density(Data(W=[0.0, 1.0], T=[1.0, 1.0], Y=[0.3, 0.3])), 0)


def test_counterfactuals_abduct_z_from_all_rows_of_a_unit(fitted: Fit) -> None:
    data = fitted.data
    assert data is not None
    shares = data.spread(fitted.responsibilities(data))
    slopes = fitted["beta_Y"][:, 1]
    T, Y = data.columns["T"].double(), data.columns["Y"]
    expected = Y + (1.0 - T) * (shares @ slopes)
    found = fitted.counterfactual(data, do={"T": 1}).mean("Y").value
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    # From the row alone it is another.
    alone = fitted.counterfactual(Data(dict(data.columns)), do={"T": 1}).mean("Y").value
    assert float((found - alone).abs().max()) > 0.05
    # A world in which the cause of Z was another has one Z for each unit.
    world = fitted.counterfactual(data, do={"W": 1}, seed=0).sample()
    assert data.unit is not None
    data.unit.need_one(world["Z"], "Z", "")
    assert bool((world["Z"] != fitted.counterfactual(data, do={"T": 1}, seed=0).sample()["Z"]).any())


def test_a_fit_is_saved_with_its_units(fitted: Fit, tmp_path: Path) -> None:
    fitted.save(tmp_path / "fit")
    loaded = Fit.load(tmp_path / "fit")
    assert loaded.data is not None and fitted.data is not None
    assert loaded.data.unit_labels == fitted.data.unit_labels and loaded.data.unit is not None
    assert loaded.data.unit.name == "patient"
    torch.testing.assert_close(loaded.responsibilities(loaded.data), fitted.responsibilities(fitted.data))


def test_arviz_leaves_out_units(fitted: Fit) -> None:
    draws = fitted.laplace(100, seed=0)
    export = draws.to_arviz()
    assert fitted.data is not None
    likelihood = export["log_likelihood"]["units"]
    assert likelihood.shape == (1, 100, 60)
    assert likelihood["unit"].values.tolist() == list(fitted.data.unit_labels)
    assert export["observed_data"]["unit"].shape == (fitted.data.num_rows,)


def test_labels_of_one_text_are_told_apart_in_an_export() -> None:
    model = CausalMixture(1, {"X": Gaussian(scale=1.0)})
    known = Fit.from_greeks(model, {"theta": [1.0], "mu_X": [0.0]})
    data = Data(X=[0.0, 1.0, 2.0, 3.0], unit=[1, "1", (1,), 1])
    draws = {name: value.expand(8, *value.shape[1:]).clone() for name, value in known.draws.items()}
    export = replace(known, draws=draws, data=data).to_arviz()
    labels = export["log_likelihood"]["unit"].values.tolist()
    assert labels == ["0: 1", "1: 1", "2: (1,)"]
    assert export["observed_data"]["unit"].values.tolist() == [*labels, labels[0]]


def test_some_rows_of_many_are_whole_units() -> None:
    data, _ = clinic(200, 5)
    part, scale = working_rows(data, 100, np.random.default_rng(0))
    assert part.unit is not None and data.unit is not None
    sizes = dict(zip(data.unit_labels, data.unit.sizes.tolist(), strict=True))
    own = dict(zip(part.unit_labels, part.unit.sizes.tolist(), strict=True))
    assert own.items() <= sizes.items() and part.num_units * scale == pytest.approx(200)
    design = design_of(CLINIC, {name: torch.as_tensor(v)[None].double() for name, v in TRUTH.items()}, data)
    assert design.rows(0).words == "200 of the fitted units"


# ---------------------------------------------------------------- what is refused

X3 = [0.0, 1.0, 9.0]
W = CausalMixture(2, {"W": Bernoulli(), "X": Gaussian()}, latent_parents=["W"])


@pytest.mark.parametrize(
    "call, error, parts",
    [
        case("unknown column", lambda: Data(X=X3, unit="patient"), ValueError, "no column 'patient'", "['X']"),
        case("labels of None", lambda: Data(X=X3, unit=["a", None, "b"]), ValueError, "unit is missing in row(s) 1"),
        case(
            "labels of NaN",
            lambda: Data({"X": X3, "patient": [1.0, np.nan, 2.0]}, unit="patient"),
            ValueError,
            "patient is missing in row(s) 1",
        ),
        case("wrong length", lambda: Data(X=X3, unit=[1, 2]), ValueError, "expected 3 labels", "got 2"),
        case("no labels", lambda: Data(X=X3, unit=3), TypeError, "a label for each row, got 3"),
        case("lists for labels", lambda: Data(X=X3, unit=[[1], [2], [1]]), TypeError, "got [1] in row 0"),
        case("Z for the unit", lambda: Data(X=X3, Z=[0, 1, 0], unit="Z"), ValueError, "hidden cause"),
        case("nothing else", lambda: Data({"patient": [1, 2]}, unit="patient"), ValueError, "the only column"),
        case(
            "split over weights",
            lambda: Data(X=X3, unit=list("aba"), weights=[1.0, 1.0, 2.0]),
            ValueError,
            "weights: differ within unit 'a', 1 in row 0 and 2 in row 2",
        ),
        case(
            "split over Z",
            lambda: Data(X=X3, unit=list("aba"), Z=[-1, 0, 1]),
            ValueError,
            "column Z: differs within unit 'a', -1 in row 0 and 1 in row 2",
        ),
        case(
            "split over what is set",
            lambda: Data(X=X3, unit=list("aba"), Z=[1, 0, 1], intervened={"Z": [True, True, False]}),
            ValueError,
            "intervened Z: differs within unit 'a'",
        ),
        case(
            "weights that are given later",
            lambda: Data(X=X3, unit=list("aba")).replace(weights=[1.0, 2.0, 3.0]),
            ValueError,
            "weights: differ within unit 'a'",
        ),
        case(
            "split over a cause of Z",
            lambda: EM().fit(W, Data(X=X3, W=[0.0, 1.0, 1.0], unit=list("aba"))),
            ValueError,
            "column W: differs within unit 'a', 0 in row 0 and 1 in row 2",
        ),
        case(
            "a cause of Z that is missing in part",
            lambda: EM().fit(W, Data(X=X3, W=[np.nan, 1.0, 1.0], unit=list("aba"), missing="marginalize")),
            ValueError,
            "column W: differs within unit 'a', nan in row 0 and 1 in row 2",
        ),
        case(
            "the unit for a variable",
            lambda: EM().fit(W, Data(X=X3, W=[0.0, 1.0, 0.0], unit="W")),
            ValueError,
            "unit: 'W' is a variable of the model",
        ),
        case(
            "too few units",
            lambda: EM().fit(GaussianMixture(2), Data(X=X3, unit=list("aaa"))),
            ValueError,
            "K=2 distinct units",
            "got 1",
        ),
        case("a variable called unit", lambda: CausalMixture(2, {"unit": Gaussian()}), ValueError, "argument of Data"),
        case(
            "rows of one unit in two parts",
            lambda: Data.concat([Data(X=X3, unit=list("abc")), Data(X=X3, unit=list("cde"))]),
            ValueError,
            "unit 'c' is in two parts",
        ),
        case(
            "a program",
            lambda: EM().fit(PyroModel(lambda X: None), Data(X=X3, unit=list("aba"))),
            ValueError,
            "unit: a PyroModel says by its plates",
        ),
        case(
            "simulated labels of another number",
            lambda: GaussianMixture(2).simulate(3, unit=[1, 2]),
            ValueError,
            "expected 3 labels",
        ),
        case(
            "a simulated cause of Z that differs within a unit",
            lambda: ABOVE.simulate(3, covariates={"B": X3}, unit=list("aab"), seed=0),
            ValueError,
            "covariates: B differs within unit 'a', 0 in row 0 and 1 in row 1",
        ),
        case(
            "several rows in a question",
            lambda: Fit.from_greeks(CLINIC, TRUTH).given(Y=[0.0, 1.0], unit=["a", "a"]),
            TypeError,
            "given: unit is the earlier rows of a unit",
            "expected Data(X=...)",
        ),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(
    call: Callable[[], Any], error: type[Exception], parts: tuple[str, ...]
) -> None:
    with refused(error, *parts):
        call()


def test_what_is_one_value_a_unit_counts_once_where_priors_are_put_in_units_of_the_data() -> None:
    model = CausalMixture(2, {"A": Gaussian(), "X": Gaussian()}, latent=Gate(["A"]))
    rows = {"A": [0.0, 1.0, 1.0, 1.0, 1.0], "X": [0.0, 1.0, 2.0, 3.0, 4.0]}
    scaled = model.scaled_to(Data(rows, unit=list("abbbb")))
    once = model.scaled_to(Data(A=[0.0, 1.0], X=[0.0, 1.0]))
    assert float(scaled.mechanisms["A"].loc.loc) == pytest.approx(float(once.mechanisms["A"].loc.loc))
    assert float(scaled.mechanisms["X"].loc.loc) == pytest.approx(2.0)


@pytest.mark.parametrize(
    "labels, expected",
    [
        (["b", "a", "b"], ("b", "a")),
        (np.array(["b", "a", "b"]), ("b", "a")),
        (torch.tensor([7, 3, 7]), (7, 3)),
        (np.ma.MaskedArray([7, 3, 7], mask=[False, False, False]), (7, 3)),
        (pd.Series([7, 3, 7], dtype="Int64"), (7, 3)),
        (pd.Series(["b", "a", "b"], dtype="category"), ("b", "a")),
        ([("clinic", 1), ("clinic", 2), ("clinic", 1)], (("clinic", 1), ("clinic", 2))),
        (pd.to_datetime(["2020-01-02", "2020-01-01", "2020-01-02"]), pd.to_datetime(["2020-01-02", "2020-01-01"])),
    ],
    ids=["list", "NumPy", "torch", "masked", "nullable", "categories", "pairs", "dates"],
)
def test_labels_are_whatever_tells_units_apart(labels: Any, expected: Any) -> None:
    data = Data(X=X3, unit=labels)
    assert data.unit_labels == tuple(expected) and data.unit is not None
    assert data.unit.of_row.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    "labels",
    [
        pd.Series([7, pd.NA, 7], dtype="Int64"),
        pd.to_datetime(["2020-01-02", None, "2020-01-02"]),
        np.ma.MaskedArray([7, 3, 7], mask=[False, True, False]),
        pd.Series(["b", None, "b"], dtype="category"),
    ],
    ids=["nullable", "dates", "masked", "categories"],
)
def test_labels_that_are_missing_are_refused(labels: Any) -> None:
    with refused(ValueError, "unit is missing in row(s) 1"):
        Data(X=X3, unit=labels)


def test_a_column_called_unit_is_a_column() -> None:
    data = Data({"X": X3, "unit": [1.0, 2.0, 1.0]})
    assert data.unit is None and list(data.columns) == ["X", "unit"]
    assert Data({"X": X3, "unit": [1.0, 2.0, 1.0]}, unit="unit").unit_labels == (1.0, 2.0)


def test_data_sets_with_units_are_stacked() -> None:
    parts = [Data(X=X3, unit=list("aba")), Data(X=[5.0]), Data(X=X3, unit=[1, 1, 2])]
    data = Data.concat(parts)
    assert data.num_units == 5 and data.unit_labels[:2] == ("a", "b") and data.unit_labels[3:] == (1, 2)
    assert data.unit is not None and data.unit.of_row.tolist() == [0, 1, 0, 2, 3, 3, 4]


# ---------------------------------------------------------------- simulate, recover


@pytest.mark.statistical(min_effect=0.1)
def test_intervals_of_units_cover_and_those_of_rows_taken_for_independent_are_too_narrow(stat: Stat) -> None:
    model = CausalMixture(2, {"X": Bernoulli(), "Y": Gaussian(scale=1.0)})
    greeks = {"theta": [0.4, 0.6], "p_X": [0.3, 0.7], "mu_Y": [0.0, 3.0]}
    unit = np.repeat(np.arange(60), 5)
    by_unit, by_row = [], []
    for seed in range(500):
        rows = model.simulate(len(unit), greeks, seed=seed, unit=unit)
        columns = {name: rows[name] for name in model.mechanisms}
        by_unit.append(_score(model, greeks, Data(columns, unit=unit)))
        by_row.append(_score(model, greeks, Data(columns)))
    stat.coverage(_intervals(by_unit), 0.0, 0.9)
    with stat.control():
        stat.coverage(_intervals(by_row), 0.0, 0.9)


def _intervals(scores: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Intervals [n, 2] for the error of theta_0, by one Newton step from the truth."""
    covariance = np.linalg.inv(np.mean([information for _, information in scores], axis=0))
    errors = np.array([(covariance @ score)[0] for score, _ in scores])
    half = stats.norm.ppf(0.95) * np.sqrt(covariance[0, 0])
    return np.stack([errors - half, errors + half], 1)


def _score(model: CausalMixture, greeks: dict[str, Any], data: Data) -> tuple[np.ndarray, np.ndarray]:
    """The gradient of the log-likelihood at the truth, and its observed information there."""
    density = model.density(data)
    at = density.unconstrain({name: np.array(value) for name, value in greeks.items()})
    _, gradient = Objective(density, log_likelihood).value_and_gradient(at)
    # In coordinates of one unit for all data sets: those of the standardised columns differ.
    chain = np.array([(one - other) / 2e-6 for one, other in _moved(density, at)])
    return chain @ gradient, chain @ density.information(at) @ chain.T


def _moved(density: Any, at: np.ndarray) -> Any:
    """Coordinates where each free Greek is a little more, and a little less: logit theta_0, p_X, mu_Y."""
    greeks = density.constrain(at)
    for name, place in (("theta", 0), ("p_X", 0), ("p_X", 1), ("mu_Y", 0), ("mu_Y", 1)):
        sides = []
        for step in (1e-6, -1e-6):
            own = {key: np.array(value) for key, value in greeks.items()}
            own[name][place] += step
            if name == "theta":
                own[name][1] -= step
            sides.append(density.unconstrain(own))
        yield sides[0], sides[1]
