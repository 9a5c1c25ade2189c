"""Missing entries: the marginal equals a sum and an integral over them by brute force, and so does its gradient."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from estimators import EM, MAP, NUTS, CausalMixture, Data, Fit, Status
from estimators.algorithms.nuts import nuts as nuts_module
from estimators.contract import log_joint, log_likelihood, log_posterior
from estimators.mechanisms import (
    Bernoulli,
    Categorical,
    DiagonalGaussian,
    FullGaussian,
    Gaussian,
    LinearGaussian,
    Logistic,
    Mechanism,
    Poisson,
    PoissonRegression,
)
from tests.causal_models import CONFOUNDER, MEDIATED, MIXED, WORLDS
from tests.expectations import log_likelihood_of
from tests.mechanism_models import enumerated, random_greeks
from tests.models import fit_quietly
from tests.objectives import objective_of
from validation.testing import Stat

CHAIN = CausalMixture(
    2,
    {
        "A": Gaussian(),
        "B": LinearGaussian(parents=["A"]),
        "C": LinearGaussian(parents=["A", "B"]),
        "D": LinearGaussian(parents=["B"]),
    },
    concentration=2.0,
)
CHAIN_GREEKS = {
    "theta": [0.3, 0.7],
    "mu_A": [0.0, 1.0],
    "sigma_A": [1.0, 0.7],
    "beta_B": [[0.0, 0.5], [1.0, -0.5]],
    "sigma_B": [0.8, 1.1],
    "beta_C": [[0.0, 1.0, 0.3], [0.5, -0.2, 0.6]],
    "sigma_C": [0.9, 0.6],
    "beta_D": [[0.0, 0.4], [0.2, 0.9]],
    "sigma_D": [0.7, 1.0],
}
VECTORS = CausalMixture(2, {"X": DiagonalGaussian(2), "Y": FullGaussian(3)}, concentration=2.0)
VECTOR_GREEKS = {
    "theta": [0.3, 0.7],
    "mu_X": [[0.0, 1.0], [2.0, -1.0]],
    "sigma_X": [[1.0, 0.5], [0.7, 1.2]],
    "mu_Y": [[0.0, 1.0, 2.0], [1.0, 0.0, -1.0]],
    "sigma_Y": [[1.0, 0.8, 1.2], [0.6, 1.0, 0.9]],
    "corr_Y": torch.linalg.cholesky(
        torch.tensor(
            [
                [[1.0, 0.5, 0.2], [0.5, 1.0, -0.3], [0.2, -0.3, 1.0]],
                [[1.0, -0.4, 0.1], [-0.4, 1.0, 0.6], [0.1, 0.6, 1.0]],
            ],
            dtype=torch.float64,
        )
    ),
}
CASES = {**WORLDS, "chain": (CHAIN, CHAIN_GREEKS), "vectors": (VECTORS, VECTOR_GREEKS)}
# A trapezoid rule on a smooth function that vanishes at both ends has no error but rounding.
GRID = np.linspace(-24.0, 24.0, 321)


def rows_with_gaps(name: str, num_rows: int = 18) -> Data:
    """Rows with a quarter of the entries missing, Z hidden, seen and set, set entries and weights."""
    model, greeks = CASES[name]
    rng = np.random.default_rng(5)
    drawn = model.simulate(num_rows, greeks, seed=2)
    columns = {}
    for key in model.mechanisms:
        column = drawn[key].double().numpy().copy()
        gaps = rng.random(column.shape) < 0.25
        if key == "P":  # A count that causes something known has no closed form: refused, see below.
            gaps[:] = False
        column[gaps] = np.nan
        columns[key] = column
    latent = np.where(np.arange(num_rows) % 3 == 0, -1, rng.integers(0, model.K, num_rows))
    first = next(iter(model.mechanisms))
    intact = ~np.isnan(columns[first].reshape(num_rows, -1)).any(1)
    intervened = {"Z": np.arange(num_rows) % 3 == 2, first: intact & (np.arange(num_rows) % 5 == 4)}
    return Data(**columns, Z=latent, intervened=intervened, weights=rng.integers(1, 4, num_rows), missing="marginalize")


def brute_force(model: CausalMixture, greeks: dict[str, Tensor], data: Data, n: int) -> Tensor:
    """log p(row n), by trying every Z, every level and every point of a grid for what is missing."""
    entries = []
    for name, mechanism in model.mechanisms.items():
        gone = data.is_missing(name)[n].reshape(-1).nonzero()[:, 0].tolist()
        for place in gone:
            levels = mechanism.num_levels
            entries.append((name, place, GRID if levels is None else np.arange(float(levels)), levels is None))
    grids = [torch.as_tensor(values) for _, _, values, _ in entries]
    points = torch.cartesian_prod(*grids).reshape(-1, len(grids)) if grids else torch.zeros(1, 0)
    cell = float(np.prod([GRID[1] - GRID[0] for *_, is_continuous in entries if is_continuous]))
    columns = {}
    for name in model.mechanisms:
        columns[name] = data.columns[name][n].double().expand(len(points), *data.columns[name].shape[1:]).clone()
    for position, (name, place, _, _) in enumerate(entries):
        if columns[name].ndim == 1:
            columns[name] = points[:, position].double()
        else:
            columns[name][:, place] = points[:, position].double()
    latent, total = int(data.latent()[n]), []
    for k in range(model.K) if latent < 0 else [latent]:
        value = torch.zeros(len(points), dtype=torch.float64)
        if not bool(data.is_set("Z")[n]):
            value = value + model.weights.distribution(greeks, columns).log_prob(torch.tensor(k))
        for name, node in model.nodes.items():
            if not bool(data.is_set(name)[n]):
                given = node.distribution(greeks, torch.full((len(points),), k), columns)
                value = value + given.log_prob(columns[name])
        total.append(value)
    return torch.logsumexp(torch.cat(total), 0) + np.log(cell)


@pytest.mark.parametrize("name", CASES)
def test_missing_entries_are_summed_and_integrated_out(name: str) -> None:
    model, values = CASES[name]
    greeks, data = model.check_greeks(values), rows_with_gaps(name)
    assert data.has_missing
    for n in range(data.num_rows):
        if int(sum(data.is_missing(key)[n].sum() for key in model.mechanisms)) > 2:
            continue
        row = data.rows(torch.tensor([n]))
        found = model.marginal(data).pointwise(greeks)[n]
        torch.testing.assert_close(found, brute_force(model, greeks, data, n), rtol=1e-9, atol=1e-9)
        # A row's own references give the same.
        torch.testing.assert_close(model.marginal(row).pointwise(greeks)[0], found, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_with_missing_entries_is_exact(name: str) -> None:
    model, values = CASES[name]
    arrays = {key: value.numpy() for key, value in model.check_greeks(values).items()}
    marginal = model.marginal(rows_with_gaps(name))
    statistics = marginal.statistics(arrays)
    slopes = marginal.gradient(arrays, statistics)
    for key, value in arrays.items():
        for place in np.ndindex(value.shape):
            if key.startswith("corr") and place[-1] > place[-2]:
                continue
            sides = []
            for sign in (1.0, -1.0):
                moved = {other: np.array(part) for other, part in arrays.items()}
                moved[key][place] += sign * 1e-6
                sides.append(float(marginal.statistics(moved).log_likelihood))
            assert slopes[key][place] == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_em_never_falls_with_missing_entries(name: str) -> None:
    model, values = CASES[name]
    marginal = model.marginal(rows_with_gaps(name, 40))
    greeks = {key: value.numpy() for key, value in model.check_greeks(values).items()}
    before = -np.inf
    for _ in range(15):
        statistics = marginal.statistics(greeks)
        assert float(statistics.log_likelihood) >= before - 1e-9 * abs(before if np.isfinite(before) else 0.0)
        before = float(statistics.log_likelihood)
        greeks = marginal.argmax(greeks, statistics)


@pytest.mark.parametrize("name", CASES)
def test_a_batch_of_greeks_equals_one_at_a_time(name: str) -> None:
    model, values = CASES[name]
    data, greeks = rows_with_gaps(name), model.check_greeks(values)
    batch = {key: torch.stack([value, value]) for key, value in greeks.items()}
    marginal = model.marginal(data)
    for both, alone in (
        (marginal.pointwise(batch), marginal.pointwise(greeks)),
        (marginal.responsibilities(batch), marginal.responsibilities(greeks)),
    ):
        for part in both:
            torch.testing.assert_close(part, alone, rtol=1e-12, atol=1e-12)
    shares = marginal.responsibilities(greeks)
    torch.testing.assert_close(shares.sum(-1), torch.ones(data.num_rows, dtype=torch.float64))


def test_a_column_that_causes_nothing_may_be_missing_for_any_mechanism() -> None:
    model = CausalMixture(2, {"T": Bernoulli(), "P": Poisson(parents=["T"])})
    data = Data(T=[0, 1, 1], P=[3.0, np.nan, 1.0], missing="marginalize")
    greeks = model.check_greeks({"theta": [0.5, 0.5], "p_T": [0.2, 0.6], "rate_P": [[1.0, 2.0], [3.0, 4.0]]})
    found = model.marginal(data).pointwise(greeks)[1].exp()
    assert float(found) == pytest.approx(0.5 * 0.2 + 0.5 * 0.6)


FULL = CONFOUNDER.simulate(300, WORLDS["confounder"][1], seed=0)
IS_GONE = np.random.default_rng(0).random(300) < 0.2
WITH_GAPS = Data(T=np.where(IS_GONE, np.nan, FULL["T"].numpy()), Y=FULL["Y"], missing="marginalize")
COMPLETE = Data(T=FULL["T"], Y=FULL["Y"])
WITHOUT_GAPS = Data(T=FULL["T"][~IS_GONE], Y=FULL["Y"][~IS_GONE])
SLOPES = CONFOUNDER.density(COMPLETE).size


@pytest.mark.parametrize("estimator", [EM(num_starts=5), MAP(num_starts=20, num_steps=5)])
def test_a_point_fit_to_missing_entries_is_the_maximum(estimator: EM | MAP) -> None:
    objective = objective_of(CONFOUNDER, WITH_GAPS, log_joint if isinstance(estimator, MAP) else log_likelihood)

    def height(fit: Fit) -> float:
        at = objective.density.unconstrain({name: v.numpy() for name, v in fit.draws.items()})
        return float(objective.value(at).item())

    best = height(fit_quietly(estimator, CONFOUNDER, WITH_GAPS, seed=0, search=None))
    others = [fit_quietly(estimator, CONFOUNDER, data, seed=0) for data in (COMPLETE, WITHOUT_GAPS)]
    assert best > max(height(fit) for fit in [*others, Fit.from_greeks(CONFOUNDER, WORLDS["confounder"][1])])


@pytest.mark.slow
@pytest.mark.statistical(checks=SLOPES, power=0.8)
def test_nuts_draws_from_the_posterior_given_missing_entries(stat: Stat) -> None:
    """E[∇ log p(v | data)] = 0 over draws of the posterior; of rows without gaps it is another posterior."""
    fit = fit_quietly(NUTS(num_samples=600, warmup_steps=300, num_chains=2), CONFOUNDER, WITH_GAPS, seed=stat.seed)
    greeks = {name: value.numpy() for name, value in fit.draws.items()}

    def slopes(data: Data) -> np.ndarray:
        """[D, chains, draws]"""
        objective = objective_of(CONFOUNDER, data, log_posterior)
        points = objective.density.unconstrain(greeks)
        found = np.stack([objective.value_and_gradient(v)[1] for v in points])
        return found.T.reshape(-1, fit.num_chains, len(found) // fit.num_chains)

    for slope in slopes(WITH_GAPS):
        stat.mean(slope, 0.0, chains=True, min_effect=0.5 * float(slope.std()))
    with stat.control():
        farthest = max(slopes(WITHOUT_GAPS), key=lambda slope: abs(float(slope.mean() / slope.std())))
        stat.mean(farthest, 0.0, chains=True)


@pytest.mark.slow
def test_both_nuts_engines_have_one_posterior_with_a_missing_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pyro's enumeration of the missing levels gives the likelihood of the E-step; to take them for 0 does not."""
    data = Data(T=[0.0, 1.0, np.nan, np.nan], Y=[0.3, 3.0, 2.0, -1.0], Z=[-1, 1, -1, 0], missing="marginalize")
    filled, differences = data.replace(T=[0.0, 1.0, 0.0, 0.0]), []
    for seed in range(5):
        greeks = {name: value.requires_grad_() for name, value in random_greeks(CONFOUNDER, seed).items()}
        slow = enumerated(CONFOUNDER, data, greeks)
        torch.testing.assert_close(log_likelihood_of(CONFOUNDER.marginal(data), greeks), slow, rtol=1e-9, atol=1e-9)
        differences.append(float((log_likelihood_of(CONFOUNDER.marginal(filled), greeks) - slow).detach()))
    assert max(map(abs, differences)) > 0.5, differences
    # Away from the spike that is the mode of so few rows, where steps are tiny.
    monkeypatch.setattr(nuts_module, "chain_starts", lambda task, density, count: np.zeros((count, density.size)))
    fit = fit_quietly(NUTS(3, 2, 1, engine="pyro"), CONFOUNDER, data, seed=0, search=None)
    assert fit.num_draws == 3
    chain = CausalMixture(2, {"A": Gaussian(), "B": LinearGaussian(parents=["A"])})
    gaps = Data(A=[0.0, np.nan, 1.0], B=[1.0, 2.0, 3.0], missing="marginalize")
    with pytest.raises(NotImplementedError, match="column A"):
        NUTS(20, 20, 1, engine="pyro").fit(chain, gaps, seed=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Data(X=[1.0, np.nan]), "column X: NaN or infinite in row.*missing='marginalize'"),
        (lambda: Data(X=[1.0, 2.0], missing="drop"), "missing: expected None or 'marginalize'"),
        (lambda: Data(X=[1.0, np.inf], missing="marginalize"), "column X: NaN or infinite"),
        (
            lambda: Data(X=[1.0, np.nan], intervened={"X": True}, missing="marginalize"),
            "intervened X: set but without a value",
        ),
        (
            lambda: MIXED.marginal(
                Data(C=[0, 1], P=[np.nan, 1.0], Y=[0.0, 1.0], X=[[0.0, 1.0]] * 2, missing="marginalize")
            ),
            "column P: missing in row 0.*Poisson",
        ),
        (
            lambda: EM().fit(
                MEDIATED,
                Data(W=[np.nan] * 9, **{k: [0.0, 1.0, 0.5] * 3 for k in "MYV"}, T=[0, 1, 0] * 3, missing="marginalize"),
            ),
            "column W: every entry is missing",
        ),
    ],
)
def test_what_cannot_be_marginalised_is_refused(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        make()


def test_combinations_of_missing_levels_are_bounded() -> None:
    parents = [f"T{i}" for i in range(13)]
    model = CausalMixture(2, {**{name: Bernoulli() for name in parents}, "Y": LinearGaussian(parents=parents)})
    columns = {name: [np.nan, 1.0] for name in parents}
    with pytest.raises(ValueError, match="combinations"):
        model.marginal(Data(**columns, Y=[0.0, 1.0], missing="marginalize"))


@pytest.mark.parametrize("child", [Bernoulli(parents=["T"]), Categorical(3, parents=["T"]), Poisson(parents=["T"])])
def test_a_missing_cause_is_summed_out_where_no_column_is_a_number(child: Mechanism) -> None:
    """By hand: p(X) = Σ_t p(t) p(X | t) within each class."""
    model = CausalMixture(2, {"T": Bernoulli(), "X": child})
    data = Data(T=[0.0, 1.0, np.nan, 1.0], X=[0.0, 1.0, 1.0, 0.0], missing="marginalize")
    greeks = model.prior_greeks(0)
    fit = Fit.from_greeks(model, greeks)
    both = [fit.log_density(Data(T=[t], X=[1.0])) for t in (0.0, 1.0)]
    assert float(fit.log_density(data)[2]) == pytest.approx(float(torch.logsumexp(torch.stack(both), 0)), rel=1e-12)
    assert fit_quietly(EM(num_starts=2), model, data, seed=0, search=None).stats["evaluations"] > 0


#   W → T → Y and Z: levels and counts, of which nothing is integrated; numbers that are, and counts about each's rate.
LEVELS = {"W": Categorical(3), "T": Logistic(parents=["W"]), "Y": PoissonRegression(parents=["T", "W"])}
NUMBERS = {
    "W": Gaussian(),
    "T": Bernoulli(),
    "Y": Poisson(parents=["T"]),
    "X": LinearGaussian(parents=["W", "T"], shared=["T"]),
}


@pytest.mark.parametrize("unit", [None, np.arange(60) // 2 * 2 % 40], ids=["rows", "units"])
@pytest.mark.parametrize("mechanisms", [LEVELS, NUMBERS], ids=["levels", "numbers"])
def test_parameter_sets_are_summed_together_as_they_are_alone(
    mechanisms: Mapping[str, Any], unit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = CausalMixture(2, mechanisms)
    rows = model.simulate(60, seed=0)
    gone = np.random.default_rng(0).random((len(mechanisms), 60)) < 0.3
    columns = {name: np.where(lost, np.nan, rows[name]) for name, lost in zip(mechanisms, gone, strict=True)}
    of = np.arange(60) if unit is None else unit
    latent, weights = np.where(of % 5, -1, 1), of % 3 * 1.0
    data = Data(columns, Z=latent, weights=weights, missing="marginalize", unit=unit)
    drawn = [model.prior_greeks(seed=seed) for seed in range(5)]
    greeks = {name: np.stack([one[name].numpy() for one in drawn]) for name in drawn[0]}
    monkeypatch.setattr("estimators.estep.incomplete.MOST_NUMBERS", 500)
    marginal = model.marginal(data)
    together = marginal.statistics(greeks)
    pointwise = marginal.pointwise({name: torch.from_numpy(value) for name, value in greeks.items()}).numpy()
    of_units = np.asarray(data.unit_weights)
    np.testing.assert_allclose(together.log_likelihood, pointwise @ of_units, rtol=1e-12)
    for s in range(5):
        alone = marginal.statistics({name: value[s] for name, value in greeks.items()})
        for name, sums in alone.sums.items():
            np.testing.assert_allclose(together.sums[name][s], sums, rtol=1e-10, atol=1e-12)


def test_a_search_of_rows_with_gaps_passes_by_starts_that_are_all_hopeless() -> None:
    rng = np.random.default_rng(1)
    latent = rng.random(400) < 0.4
    treated = rng.random(400) < np.where(latent, 0.8, 0.2)
    response, count = rng.normal(2.0 * latent + treated, 1.0), rng.poisson(np.where(latent, 4.0, 1.0))
    model = CausalMixture(2, {"T": Bernoulli(), "Y": LinearGaussian(parents=["T"]), "C": Poisson()})
    data = Data(T=np.where(np.arange(400) % 40, treated, np.nan), Y=response, C=count, missing="marginalize")
    searched, plain = EM().fit(model, data, seed=0), EM().fit(model, data, seed=0, search=None)
    assert searched.status is Status.CONVERGED
    assert searched.stats["log_likelihood"] == pytest.approx(plain.stats["log_likelihood"], abs=1e-6)
