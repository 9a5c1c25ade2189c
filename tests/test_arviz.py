"""The bridge to ArviZ: groups, dimensions, the Z-marginalised log-likelihood, and ArviZ's functions on the export."""

import warnings
from functools import cache
from pathlib import Path
from typing import Any

import arviz
import numpy as np
import pytest
import torch
import xarray
from scipy.signal import lfilter
from scipy.special import logsumexp
from scipy.stats import norm

from estimators import EM, NUTS, CausalMixture, Data, Estimate, EstimationWarning, Exact, Fit, GaussianMixture, Status
from estimators.diagnostics import chain_status, diagnostics
from estimators.fits.datasets import dataset
from estimators.fits.summary import summary_table
from estimators.mechanisms import Gaussian
from tests.models import quiet

ROWS = [0.1, -0.7, 0.4, 1.2, 8.9, 10.3, 9.6, 10.9, 11.4, 10.0, -0.2, 9.1]
DATA = Data(
    X=[*ROWS, 0.5, 10.2],
    Z=[-1] * 12 + [0, 1],
    intervened={"Z": [False] * 13 + [True], "X": [False] * 3 + [True] + [False] * 10},
)
SAMPLER = NUTS(num_samples=100, warmup_steps=100, num_chains=2)


def fitted(kind: str, K: int = 2, data: Data = DATA) -> Fit:
    with quiet():
        if kind == "posterior":
            return SAMPLER.fit(GaussianMixture(K=K, concentration=2.0), data, seed=0)
        if kind == "exact":
            return Exact(num_draws=200).fit(GaussianMixture(K=K, concentration=2.0), data, seed=0)
        return EM(num_starts=3).fit(GaussianMixture(K=K), data, seed=0).laplace(200, seed=1)


@cache
def fit_of(kind: str) -> Fit:
    return fitted(kind)


@cache
def export_of(kind: str) -> Any:
    return fit_of(kind).to_arviz()


KINDS = ("posterior", "laplace", "exact")
IS_OLD = "InferenceData" in vars(arviz)


def elpd_of(loo: Any) -> tuple[float, float]:
    """The expected log predictive density and the effective number of parameters, as either ArviZ calls them."""
    return (float(loo.elpd_loo), float(loo.p_loo)) if IS_OLD else (float(loo.elpd), float(loo.p))


@pytest.mark.parametrize("kind", KINDS)
def test_groups_and_dimensions(kind: str) -> None:
    fit, export = fit_of(kind), export_of(kind)
    chains, draws = fit.num_chains, fit.num_draws // fit.num_chains
    assert dict(export["posterior"].sizes) == {"chain": chains, "draw": draws, "Z_class": 2}
    for name in ("theta", "mu_X"):
        assert export["posterior"][name].dims == ("chain", "draw", "Z_class")
    assert export["log_likelihood"]["rows"].dims == ("chain", "draw", "row")
    # Row 3, of which all was set, says nothing.
    assert export["log_likelihood"]["rows"]["row"].values.tolist() == [*range(3), *range(4, 14)]
    assert np.array_equal(export["observed_data"]["X"].values, fit.data.columns["X"])
    assert np.array_equal(export["observed_data"]["Z"].values, fit.data.latent())
    assert export["observed_data"]["X"].dims == ("row",)


@pytest.mark.parametrize("kind", KINDS)
def test_draws_are_in_the_order_of_the_fit_chain_by_chain(kind: str) -> None:
    fit, posterior = fit_of(kind), export_of(kind)["posterior"]
    per_chain = fit.num_draws // fit.num_chains
    for name, value in fit.draws.items():
        for chain in range(fit.num_chains):
            expected = value[chain * per_chain : (chain + 1) * per_chain].numpy()
            assert np.array_equal(posterior[name].values[chain], expected)


@pytest.mark.parametrize("kind", KINDS)
def test_the_log_likelihood_is_the_marginal_by_brute_force(kind: str) -> None:
    """log Σ_k theta_k N(x; mu_k, 1) where Z is hidden; one term where it is known; no theta where it was set."""
    fit = fit_of(kind)
    theta, mu = fit.draws["theta"].numpy(), fit.draws["mu_X"].numpy()
    x, z = fit.data.columns["X"].numpy(), fit.data.latent().numpy()
    terms = norm.logpdf(x[None, :, None], mu[:, None, :], 1.0)
    expected = logsumexp(np.log(theta)[:, None, :] + terms, axis=2)
    expected[:, 12] = np.log(theta)[:, 0] + terms[:, 12, 0]
    expected[:, 13] = terms[:, 13, 1]
    assert z[12:].tolist() == [0, 1]
    found = export_of(kind)["log_likelihood"]["rows"].values.reshape(fit.num_draws, -1)
    np.testing.assert_allclose(found, np.delete(expected, 3, axis=1), rtol=1e-10, atol=1e-10)


def test_what_holds_of_the_draws_is_kept_by_a_file(tmp_path: Path) -> None:
    fit = fit_of("posterior")
    assert fit.summary().attrs["advice"] == fit.advice and fit.summary().attrs["status"] == fit.status.name
    export_of("posterior").to_netcdf(tmp_path / "draws.nc")
    said = arviz.from_netcdf(tmp_path / "draws.nc")["posterior"].attrs
    assert said["status"] == fit.status.name and said["advice"].split("\n") == [*fit.advice]


def test_sampler_statistics() -> None:
    fit, statistics = fit_of("posterior"), export_of("posterior")["sample_stats"]
    assert {"diverging", "energy", "lp", "n_steps", "tree_depth"} <= set(statistics.data_vars)
    for name in statistics.data_vars:
        assert statistics[name].dims == ("chain", "draw")
        assert np.array_equal(statistics[name].values.reshape(-1), fit.info[name].numpy())
    assert statistics["diverging"].dtype == bool
    assert int(statistics["diverging"].sum()) == fit.stats["num_divergences"]
    bfmi = arviz.bfmi(export_of("posterior"))
    assert np.isfinite(np.asarray(bfmi["energy"] if hasattr(bfmi, "data_vars") else bfmi)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_arviz_summary_agrees_with_the_fits_own(kind: str) -> None:
    fit = fit_of(kind)
    table = arviz.summary(export_of(kind), round_to="none")
    own = fit.summary()
    assert list(table.index) == ["theta[0]", "theta[1]", "mu_X[0]", "mu_X[1]"] == list(own.index)
    np.testing.assert_allclose(table["mean"], own["mean"], rtol=1e-12)
    if kind == "posterior":
        np.testing.assert_allclose(table["ess_bulk"], own["ess"], rtol=1e-12)
        if IS_OLD:
            # ArviZ 1 takes the tails of an interval of .89.
            np.testing.assert_allclose(table["ess_tail"], own["ess_tail"], rtol=1e-12)
        np.testing.assert_allclose(table["r_hat"], own["r_hat"], rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_loo_is_finite_and_below_the_fit_at_its_own_rows(kind: str) -> None:
    """The harmonic mean of a row's likelihood over draws is below its arithmetic mean."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Estimated shape parameter of Pareto")
        loo = arviz.loo(export_of(kind), pointwise=True)
    assert loo.n_data_points == 13
    elpd = elpd_of(loo)[0]
    inside = float(fit_of(kind).log_density(DATA).sum())
    assert np.isfinite(elpd)
    assert elpd < inside


def test_compare_prefers_two_components_for_two_clusters() -> None:
    fits = {
        f"{kind}, K={K}": fitted(kind, K, Data(X=ROWS)).to_arviz() for kind in ("posterior", "laplace") for K in (1, 2)
    }
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Estimated shape parameter of Pareto")
        table = arviz.compare(fits)
    assert set(table.index[:2]) == {"posterior, K=2", "laplace, K=2"}
    assert set(table.index) == set(fits)


def test_greeks_without_a_component_axis_and_several_columns() -> None:
    pair = CausalMixture(2, {"X": Gaussian(scale=1.0), "Y": Gaussian(shared=["scale"])}, concentration=2.0)
    data = Data(X=ROWS, Y=[2.0 * x + 0.1 * (-1) ** n for n, x in enumerate(ROWS)])
    with quiet():
        export = NUTS(num_samples=20, warmup_steps=50, num_chains=2).fit(pair, data, seed=0).to_arviz()
    assert export["posterior"]["sigma_Y"].dims == ("chain", "draw")
    assert export["posterior"]["mu_Y"].dims == ("chain", "draw", "Z_class")
    assert set(export["observed_data"].data_vars) == {"X", "Y"}
    assert export["log_likelihood"]["rows"].shape == (2, 20, 12)


def test_one_component_has_finite_diagnostics() -> None:
    """theta is the constant 1 there, for which ArviZ divides 0 by 0."""
    table = fitted("posterior", 1, Data(X=ROWS)).summary()
    assert np.isfinite(table.to_numpy()).all()
    assert table.loc["theta[0]", ["mean", "sd", "ess", "r_hat"]].tolist() == [1.0, 0.0, 200.0, 1.0]


def test_diagnostics_see_chains_stuck_at_different_values() -> None:
    stuck = {"stuck": torch.tensor([0.0, 1.0], dtype=torch.float64).repeat_interleave(50)}
    r_hat, bulk, tail = diagnostics(stuck, 2)
    assert r_hat["stuck"] > 1.01
    assert 0.0 < bulk["stuck"] < 10.0
    assert 0.0 < tail["stuck"] < 10.0


def test_diagnostics_are_arviz_on_chains_laid_end_to_end() -> None:
    draws = torch.from_numpy(np.random.default_rng(0).standard_normal((200, 3)))
    r_hat, bulk, tail = diagnostics({"x": draws}, 4)
    cube = draws.numpy().reshape(4, 50, 3)
    for entry in range(3):
        assert bulk["x"][entry] == pytest.approx(float(arviz.ess(cube[..., entry], method="bulk")), rel=1e-12)
        assert tail["x"][entry] == pytest.approx(
            float(arviz.ess(cube[..., entry], method="tail", prob=(0.05, 0.95))), rel=1e-12
        )
        assert r_hat["x"][entry] == pytest.approx(float(arviz.rhat(cube[..., entry], method="rank")), rel=1e-12)
    assert dataset({"x": draws}, 4)["x"].shape == (4, 50, 3)


WEIGHTED = GaussianMixture(K=2, concentration=2.0)
COUNTS = [3, 1, 0, 2, 5, 1, 1, 1, 2, 1, 1, 4]


def draws_of(data: Data) -> Fit:
    """The same draws of the Greeks, whatever the rows."""
    rng = np.random.default_rng(0)
    means = torch.tensor([0.0, 10.0]) + torch.from_numpy(rng.normal(0.0, 0.3, (200, 2)))
    theta = torch.from_numpy(rng.dirichlet([6.0, 8.0], 200))
    return Fit(WEIGHTED, "exact", {"theta": theta, "mu_X": means}, 1, Status.CONVERGED, {}, data=data)


def test_rows_with_whole_weights_are_exported_as_the_repeated_rows() -> None:
    weighted = draws_of(Data(X=ROWS, weights=COUNTS)).to_arviz()
    repeated = draws_of(Data(X=np.repeat(ROWS, COUNTS))).to_arviz()
    xarray.testing.assert_allclose(weighted["log_likelihood"], repeated["log_likelihood"], rtol=1e-12)
    assert weighted["observed_data"].equals(repeated["observed_data"])
    with warnings.catch_warnings():
        # These draws are of no posterior.
        warnings.simplefilter("ignore", UserWarning)
        one, other = arviz.loo(weighted), arviz.loo(repeated)
    assert elpd_of(one) == pytest.approx(elpd_of(other), rel=1e-9)


@pytest.mark.parametrize(
    ("weights", "why"), [([0.5] * 12, "not whole numbers"), ([1.0] * 11 + [1e9], "more than 2e\\+08")]
)
def test_other_weights_leave_the_log_likelihood_out_and_say_why(weights: list[float], why: str) -> None:
    with pytest.warns(EstimationWarning, match=f"{why}.*log_likelihood group is left out"):
        export = draws_of(Data(X=ROWS, weights=weights)).to_arviz()
    assert "log_likelihood" not in export
    assert export["constant_data"]["weights"].values.tolist() == weights
    assert export["observed_data"]["X"].values.tolist() == ROWS


def volatile_chains() -> torch.Tensor:
    """Draws with independent signs whose size moves slowly: the mean mixes at once, the tails hardly."""
    rng = np.random.default_rng(0)
    log_size = lfilter([1.0], [1.0, -0.995], 0.15 * rng.standard_normal((4, 1000)))
    return torch.from_numpy((rng.standard_normal((4, 1000)) * np.exp(log_size)).reshape(-1))


def test_the_status_looks_at_the_tails_too() -> None:
    """Bulk ESS above 100 a chain, tail ESS below: the interval is not to be trusted, though the mean is."""
    draws = {"x": volatile_chains()}
    _, bulk, tail = diagnostics(draws, 4)
    assert float(tail["x"]) < 400.0 < float(bulk["x"])
    _, extra = chain_status(draws, 4, 0)
    assert extra["min_ess"] == float(tail["x"])
    assert Status.LOW_ESS in chain_status({"x": draws["x"]}, 4, 0)[0]


@pytest.mark.parametrize("per_chain", [1, 2, 3])
def test_few_draws_have_no_diagnostics_and_no_nan(per_chain: int) -> None:
    draws = {"x": torch.from_numpy(np.random.default_rng(0).standard_normal(2 * per_chain))}
    assert chain_status(draws, 2, 0) == ({Status.LOW_ESS: ""}, {})
    table = summary_table(["x"], draws, 0.9, 2)
    assert "ess" not in table and np.isfinite(table.to_numpy()).all()
    with pytest.raises(ValueError, match="mcse: expected at least 4 draws per chain, got"):
        _ = Estimate(draws["x"], num_chains=2).mcse


def test_the_halves_of_one_chain_are_compared() -> None:
    rng = np.random.default_rng(0)
    still = torch.from_numpy(rng.standard_normal(1000))
    moving = still + torch.linspace(0.0, 2.0, 1000, dtype=torch.float64)
    found = diagnostics({"still": still, "moving": moving}, 1)
    assert float(found.r_hat["still"]) < 1.01 < float(found.r_hat["moving"])
    assert not diagnostics({"few": still[:7]}, 1).r_hat
