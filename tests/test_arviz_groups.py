"""The groups of an export beyond the draws: rows drawn anew, priors, constants, and what ArviZ makes of them."""

import warnings
from dataclasses import replace
from functools import cache
from typing import Any

import arviz
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import dirichlet, norm
from torch import Tensor

from estimators import EM, CausalMixture, Data, EstimationWarning, Fit, GaussianMixture, PyroModel, Status
from estimators.contract import Model
from estimators.fits import arviz_bridge
from estimators.mechanisms import Bernoulli, Categorical, FullGaussian, Gaussian, LinearGaussian, Poisson
from tests import mechanism_models
from tests.gallery import EXAMPLES
from tests.models import quiet

CONFOUNDER = CausalMixture(2, {"T": Bernoulli(), "Y": LinearGaussian(parents=["T"])}, concentration=2.0)
TRUTH = {"theta": [0.4, 0.6], "p_T": [0.2, 0.8], "beta_Y": [[0.0, -1.0], [3.0, -1.0]], "sigma_Y": [0.5, 1.0]}


def drawn(model: Model, greeks: dict[str, Tensor], data: Data, num_draws: int = 4) -> Fit:
    """A fit of so many equal draws."""
    draws = {name: torch.stack([value] * num_draws) for name, value in greeks.items()}
    return Fit(model, "exact", draws, 1, Status.CONVERGED, {}, data=model.check(data))


def of_truth(model: CausalMixture, truth: dict[str, Any], data: Data, num_draws: int = 4) -> Fit:
    return drawn(model, model.check_greeks(truth), data, num_draws)


ROWS_ALONE = ["observed_data", "posterior_predictive", "constant_data"]


def check_rows(export: Any, data: Data, num_draws: int) -> None:
    """The same variables, axes and gaps in both groups, and what was set in a row as it was set."""
    observed, predicted = export["observed_data"], export["posterior_predictive"]
    assert set(observed.data_vars) == set(predicted.data_vars) and len(observed.data_vars)
    assert predicted.sizes["chain"] == 1 and predicted.sizes["draw"] == num_draws
    for name in observed.data_vars:
        seen, rows = observed[name], predicted[name]
        assert rows.dims == ("chain", "draw", *seen.dims) and rows.shape[2:] == seen.shape
        gaps = np.isnan(seen.values)
        assert np.array_equal(np.isnan(rows.values), np.broadcast_to(gaps, rows.shape))
        if name in data.intervened:
            is_set = export["constant_data"][f"intervened_{name}"].values
            assert np.array_equal(rows.values[0][:, is_set], np.stack([seen.values[is_set]] * num_draws))
            assert not np.array_equal(rows.values[0][:, ~is_set], np.stack([seen.values[~is_set]] * num_draws))


@pytest.mark.parametrize("name", mechanism_models.MODELS)
def test_rows_of_a_mixture_are_as_those_observed(name: str) -> None:
    model = mechanism_models.MODELS[name]
    data = mechanism_models.any_rows(model)
    fit = drawn(model, mechanism_models.random_greeks(model, 0), data)
    export = fit.to_arviz(ROWS_ALONE, seed=0)
    check_rows(export, data, 4)
    # Rows are there as often as they count, so they have no weights.
    assert export["observed_data"].sizes["row"] == int(data.weights.sum())
    assert "weights" not in export["constant_data"]
    # Z is not there where it is not seen.
    assert (export["posterior_predictive"]["Z"].values[0, 0] == -1).sum() == (export["observed_data"]["Z"] == -1).sum()


@pytest.mark.parametrize("name", EXAMPLES)
def test_rows_of_a_program_are_as_those_observed(name: str) -> None:
    example = EXAMPLES[name]
    data = example.data(12, partly_seen=example.seen is not None)
    export = drawn(PyroModel(example.fn, order_by=example.order_by), example.truth, data).to_arviz(ROWS_ALONE, seed=0)
    check_rows(export, data, 4)
    for passed, value in example.passed.items():
        if value == "covariate":
            assert np.array_equal(export["constant_data"][passed], data.columns[passed])


def test_gaps_units_levels_vectors_and_covariates() -> None:
    frame = pd.DataFrame(
        {
            "who": ["a", "a", "b", "c", "c", "c"],
            "T": ["no", "no", "yes", "no", "yes", "yes"],
            "age": [30.0, 30.0, 40.0, 50.0, 50.0, 50.0],
            "Y": [0.0, np.nan, 2.0, 3.0, 4.0, 5.0],
        }
    )
    mechanisms = {"T": Bernoulli(), "Y": LinearGaussian(parents=["T", "age"])}
    model = CausalMixture(2, mechanisms, latent_parents=["age"], covariates=["age"])
    data = Data(frame, unit="who", missing="marginalize")
    fit = drawn(model, mechanism_models.random_greeks(model, 0), data)
    export = fit.to_arviz(seed=0)
    check_rows(export, data, 4)
    assert list(export["observed_data"].data_vars) == ["T", "Y"] and list(export["constant_data"].data_vars) == ["age"]
    assert export["observed_data"]["T"].attrs["levels"] == ["no", "yes"]
    assert export["posterior_predictive"]["unit"].values.tolist() == frame["who"].tolist()
    assert export["log_likelihood"]["units"]["unit"].values.tolist() == ["a", "b", "c"]


def test_rows_of_one_unit_share_their_class() -> None:
    model = CausalMixture(2, {"X": Gaussian(scale=1.0)})
    data = Data(X=[0.0, 100.0] * 3, unit=[0, 0, 1, 1, 2, 2])
    fit = of_truth(model, {"theta": [0.5, 0.5], "mu_X": [0.0, 100.0]}, data, num_draws=50)
    is_high = fit.to_arviz(ROWS_ALONE, seed=0)["posterior_predictive"]["X"].values[0].reshape(50, 3, 2) > 50.0
    assert np.array_equal(is_high[..., 0], is_high[..., 1]) and 0 < is_high.sum() < is_high.size
    apart = of_truth(model, {"theta": [0.5, 0.5], "mu_X": [0.0, 100.0]}, Data(X=data.columns["X"]), num_draws=50)
    is_high = apart.to_arviz(ROWS_ALONE, seed=0)["posterior_predictive"]["X"].values[0].reshape(50, 3, 2) > 50.0
    assert not np.array_equal(is_high[..., 0], is_high[..., 1])


def test_axes_are_called_by_class_and_level() -> None:
    mechanisms = {"W": Categorical(3), "V": FullGaussian(2), "C": Poisson(parents=["W"])}
    model = CausalMixture(2, mechanisms)
    data = Data(W=[0, 1, 2, 1], V=np.eye(4)[:, :2], C=[0, 1, 2, 3])
    export = drawn(model, mechanism_models.random_greeks(model, 0), data).to_arviz(["posterior", "prior"], seed=0)
    for group in ("posterior", "prior"):
        assert export[group]["rate_C"].dims == ("chain", "draw", "Z_class", "W_level")
        assert export[group]["p_W"].dims == ("chain", "draw", "Z_class", "W_level")
        assert export[group]["W_level"].values.tolist() == [0, 1, 2]
    assert export["prior"].sizes["draw"] == 500


@pytest.mark.statistical(checks=3, min_effect=0.2)
def test_predicted_rows_have_the_means_that_the_fit_states(stat: Any) -> None:
    """Some rows with T set: there the mean is under do(T), elsewhere that of the rows as they come."""
    is_set = np.arange(40) % 2 == 1
    data = Data(T=is_set, Y=np.zeros(40), intervened={"T": is_set})
    fit = of_truth(CONFOUNDER, TRUTH, data, num_draws=200)
    rows = fit.to_arviz(ROWS_ALONE, seed=stat.seed)["posterior_predictive"]
    set_to_1, free = rows["Y"].values[..., is_set].ravel(), rows["Y"].values[..., ~is_set].ravel()
    stat.mean(set_to_1, float(fit.do(T=1).mean("Y").value))
    stat.mean(free, sum(TRUTH["theta"][k] * float(fit.do(Z=k).mean("Y").value) for k in (0, 1)))
    stat.mean(rows["T"].values[..., ~is_set].ravel(), 0.4 * 0.2 + 0.6 * 0.8)
    with stat.control():
        stat.mean(set_to_1, float(fit.given(T=1).mean("Y").value))


@pytest.mark.statistical(min_effect=0.2)
def test_rows_of_a_program_have_the_means_that_the_fit_states(stat: Any) -> None:
    example = EXAMPLES["confounder"]
    is_set = np.arange(40) % 2 == 1
    columns = example.data(40).columns
    data = Data(T=np.where(is_set, 1.0, columns["T"]), Y=columns["Y"], intervened={"T": is_set})
    fit = drawn(PyroModel(example.fn, order_by="a"), example.truth, data, num_draws=200)
    rows = fit.to_arviz(ROWS_ALONE, seed=stat.seed)["posterior_predictive"]["Y"].values[..., is_set].ravel()
    stat.mean(rows, float(fit.do(T=1).mean("Y").value))
    with stat.control():
        stat.mean(rows, float(fit.given(T=1).mean("Y").value))


def test_the_same_seed_draws_the_same_rows() -> None:
    fit = of_truth(CONFOUNDER, TRUTH, Data(T=[0, 1, 1], Y=[0.0, 1.0, 2.0]))
    one, same, other = (fit.to_arviz(seed=seed) for seed in (0, 0, 1))
    for group in ("posterior_predictive", "prior", "prior_predictive"):
        assert one[group].equals(same[group]) and not one[group].equals(other[group])
    assert one["posterior_predictive"].attrs["seed"] == 0


ROWS = [0.1, -0.7, 0.4, 1.2, 8.9, 10.3, 9.6, 10.9, 11.4, 10.0, -0.2, 9.1]


@cache
def conjugate(prior_sd: float, num_draws: int = 4000) -> Fit:
    """Draws of the exact posterior of one class: mu ~ N(0, prior_sd), X ~ N(mu, 1)."""
    model = GaussianMixture(K=1, loc_scale=prior_sd)
    precision = len(ROWS) + prior_sd**-2.0
    normal = np.random.default_rng(0).standard_normal((num_draws, 1))
    mu = torch.from_numpy(sum(ROWS) / precision + normal / np.sqrt(precision))
    draws = {"theta": torch.ones(num_draws, 1, dtype=torch.float64), "mu_X": mu}
    return Fit(model, "exact", draws, 1, Status.CONVERGED, {}, data=Data(X=ROWS))


def test_log_priors_are_those_of_the_greeks() -> None:
    model = GaussianMixture(K=2, concentration=2.0, loc_scale=10.0)
    rng = np.random.default_rng(0)
    theta, mu = rng.dirichlet([2.0, 2.0], 20), rng.normal(0.0, 10.0, (20, 2))
    draws = {"theta": torch.from_numpy(theta), "mu_X": torch.from_numpy(mu)}
    fit = Fit(model, "exact", draws, 1, Status.CONVERGED, {}, data=Data(X=ROWS))
    export = fit.to_arviz(["log_prior"])
    expected = {
        "theta": [dirichlet.logpdf(row, [2.0, 2.0]) for row in theta],
        "mu_X": norm.logpdf(mu, 0.0, 10.0).sum(1),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(export["log_prior"][name].values[0], values, rtol=1e-10)


def test_log_priors_of_a_program_are_one() -> None:
    example = EXAMPLES["confounder"]
    fit = drawn(PyroModel(example.fn, order_by="a"), example.truth, example.data(12))
    logs = fit.to_arviz(["log_prior"])["log_prior"]
    (name,) = logs.data_vars
    point = {greek: value.numpy()[None] for greek, value in example.truth.items()}
    expected = sum(float(value[0]) for value in fit.model.density(fit.data).log_priors(point).values())
    np.testing.assert_allclose(logs[name].values[0], expected, rtol=1e-12)


OF_PRIORS = ("log_prior", "prior", "prior_predictive")


def test_a_fit_that_rests_on_no_prior_exports_none() -> None:
    with quiet():
        by_likelihood = EM(num_starts=3).fit(GaussianMixture(K=2), Data(X=ROWS), seed=0).laplace(50, seed=1)
    export = by_likelihood.to_arviz(seed=0)
    assert "posterior_predictive" in export
    assert not [name for name in OF_PRIORS if name in export]
    improper = EXAMPLES["parameters"]
    fit = drawn(PyroModel(improper.fn, order_by="loc"), improper.truth, improper.data(12))
    export = fit.to_arviz(seed=0)
    assert not [name for name in OF_PRIORS if name in export]


def test_what_would_take_long_is_left_out_but_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    fit = of_truth(CONFOUNDER, TRUTH, Data(T=[0, 1, 1], Y=[0.0, 1.0, 2.0]))
    monkeypatch.setattr(arviz_bridge, "MOST_DRAWN", 20)
    with pytest.warns(EstimationWarning) as said:
        export = fit.to_arviz(seed=0)
    assert "posterior_predictive" not in export and "prior_predictive" not in export
    assert [str(warning.message) for warning in said] == [
        f"to_arviz: {group}_predictive would have {size} numbers, over 20, and is left out; ask for it, "
        f"groups=[..., '{group}_predictive']"
        for group, size in (("posterior", 24), ("prior", "3e+03"))
    ]
    assert "posterior_predictive" in fit.to_arviz(["posterior_predictive"], seed=0)
    monkeypatch.setattr(arviz_bridge, "MOST_ELEMENTS", 20)
    with pytest.warns(EstimationWarning, match="export fewer draws"):
        assert "posterior_predictive" not in fit.to_arviz(["posterior_predictive"], seed=0)


def test_an_unknown_group_is_refused() -> None:
    with pytest.raises(ValueError, match="no group 'predictions'; there are posterior, posterior_predictive, "):
        conjugate(1.0).to_arviz(["predictions"])


# ------------------------------------------------------------------ ArviZ itself

IS_OLD = "InferenceData" in vars(arviz)


@cache
def export_of(prior_sd: float) -> Any:
    return conjugate(prior_sd).to_arviz(seed=0)


def exact_sensitivity(prior_sd: float, delta: float) -> float:
    """The power-scaling sensitivity of mu to its prior by the normal distributions themselves (Kallioinen et al.).

    The posterior with the prior to the power a has precision n + a / prior_sd²; the distance is the cumulative
    Jensen-Shannon one, from the draws' smallest to their largest value as ArviZ has it.
    """
    draws = conjugate(prior_sd).draws["mu_X"].numpy().ravel()
    grid = np.linspace(draws.min(), draws.max(), 20001)
    step = grid[1] - grid[0]

    def cdf(power: float) -> np.ndarray:
        precision = len(ROWS) + power * prior_sd**-2.0
        return norm.cdf(grid, sum(ROWS) / precision, precision**-0.5)

    def distance(p: np.ndarray, q: np.ndarray) -> float:
        def one_way(p: np.ndarray, q: np.ndarray) -> float:
            whole = np.sum(p * (np.log2(p) - np.log2(0.5 * (p + q)))) * step
            return max(0.0, float(whole + 0.5 / np.log(2.0) * (q - p).sum() * step))

        return float(np.sqrt((one_way(p, q) + one_way(q, p)) / ((p + q).sum() * step)))

    here = cdf(1.0)
    scaled = cdf(1.0 / (1.0 + delta)), cdf(1.0 + delta)
    total = sum(max(distance(here, there), distance(1.0 - here, 1.0 - there)) for there in scaled)
    return total / (2.0 * np.log2(1.0 + delta))


def sensitivity(export: Any) -> float:
    """ArviZ's, of mu_X to the prior, with the step of its default."""
    if IS_OLD:
        return float(np.ravel(arviz.psens(export, component="prior", var_names=["mu_X"]))[0])
    found = arviz.psense(export, group="prior", var_names=["mu_X"])
    return float(np.ravel(found["mu_X"].values)[0])


def test_the_log_likelihood_is_called_by_the_only_variable() -> None:
    assert list(export_of(30.0)["log_likelihood"].data_vars) == ["X"]
    two = of_truth(CONFOUNDER, TRUTH, Data(T=[0, 1, 1], Y=[0.0, 1.0, 2.0]))
    assert list(two.to_arviz(["log_likelihood"])["log_likelihood"].data_vars) == ["rows"]


def test_power_scaling_sees_a_prior_that_disagrees() -> None:
    strong, weak = sensitivity(export_of(1.0)), sensitivity(export_of(30.0))
    assert weak < 0.05 < strong
    # Draws of the posterior know it to a few per cent.
    assert strong == pytest.approx(exact_sensitivity(1.0, 0.01), rel=0.1)


# ArviZ 0.23 calls Matplotlib 3.11 as earlier ones.
@pytest.mark.filterwarnings("ignore::matplotlib.MatplotlibDeprecationWarning")
def test_plot_ppc_draws_the_rows() -> None:
    for group in ("posterior", "prior"):
        if IS_OLD:
            axes = arviz.plot_ppc(export_of(30.0), "cumulative", group=group, num_pp_samples=20, random_seed=0)
            assert len(np.ravel(axes)) == 1 and np.ravel(axes)[0].get_xlabel() == "X"
        else:
            plot = arviz.plot_ppc_dist(export_of(30.0), group=f"{group}_predictive", num_samples=20)
            assert "X" in plot.viz["plot"].data_vars
    plt.close("all")


@pytest.mark.filterwarnings("ignore::matplotlib.MatplotlibDeprecationWarning")
def test_loo_pit_is_that_of_the_normal_distribution() -> None:
    """With one row left out the posterior of mu is known, and so is the chance of a smaller X: a convolution."""
    found = arviz.loo_pit(export_of(30.0), y="X") if IS_OLD else arviz.loo_pit(export_of(30.0))["X"].values
    x, precision = np.array(ROWS), len(ROWS) - 1 + 30.0**-2.0
    expected = norm.cdf(x, (x.sum() - x) / precision, np.sqrt(1.0 + 1.0 / precision))
    np.testing.assert_allclose(np.ravel(found), expected, atol=0.05)
    plotted = arviz.plot_loo_pit(export_of(30.0), y="X") if IS_OLD else arviz.plot_loo_pit(export_of(30.0))
    assert plotted is not None
    plt.close("all")


def test_loo_and_compare_prefer_two_classes_for_two_clusters() -> None:
    theta, mu = [0.5, 0.5], [0.1, 10.0]
    two = of_truth(GaussianMixture(K=2), {"theta": theta, "mu_X": mu}, Data(X=ROWS), num_draws=400)
    noise = torch.from_numpy(np.random.default_rng(0).normal(0.0, 0.2, (400, 2)))
    two = replace(two, draws={**two.draws, "mu_X": two.draws["mu_X"] + noise})
    exports = {"one": export_of(30.0), "two": two.to_arviz(["posterior", "log_likelihood", "observed_data"])}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Estimated shape parameter of Pareto")
        assert arviz.loo(exports["one"]).n_data_points == len(ROWS)
        assert list(arviz.compare(exports).index) == ["two", "one"]
