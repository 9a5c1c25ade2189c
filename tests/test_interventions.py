"""Interventional predictions in closed form: SciPy for one draw, brute force over many, and identities."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import norm

from estimators import CausalMixture, Data, Fit, GaussianMixture, Status
from estimators.mechanisms import Gaussian, LinearGaussian

PAIR = CausalMixture(3, {"X": Gaussian(), "Y": Gaussian(shared=["scale"])})
GREEKS: dict[str, Any] = {
    "theta": [0.2, 0.5, 0.3],
    "mu_X": [-4.0, 0.5, 3.0],
    "sigma_X": [0.5, 2.0, 1.0],
    "mu_Y": [1.0, -1.0, 10.0],
    "sigma_Y": 0.7,
}
POINT = Fit.from_greeks(PAIR, GREEKS)
POINTS = np.array([-9.0, -4.0, -0.3, 0.0, 1.7, 3.0, 12.5])
LEVELS = np.array([1e-6, 0.01, 0.25, 0.5, 0.9, 1 - 1e-6])


def component(name: str, k: int, greeks: dict[str, Any] | None = None) -> Any:
    values = greeks or GREEKS
    return norm(values[f"mu_{name}"][k], np.broadcast_to(values[f"sigma_{name}"], 3)[k])


def drawn(num_draws: int = 40, seed: int = 0) -> Fit:
    """A fit whose draws scatter about GREEKS."""
    rng = np.random.default_rng(seed)
    draws = {
        "theta": torch.from_numpy(rng.dirichlet(20 * np.array(GREEKS["theta"]), num_draws)),
        **{
            name: torch.from_numpy(np.array(GREEKS[name]) + 0.5 * rng.standard_normal((num_draws, 3)))
            for name in ("mu_X", "mu_Y")
        },
        "sigma_X": torch.from_numpy(np.array(GREEKS["sigma_X"]) * rng.uniform(0.5, 2.0, (num_draws, 3))),
        "sigma_Y": torch.from_numpy(GREEKS["sigma_Y"] * rng.uniform(0.5, 2.0, num_draws)),
    }
    return Fit(PAIR, "exact", draws, 1, Status.CONVERGED, {})


MANY = drawn()


def of_draw(fit: Fit, s: int) -> dict[str, Any]:
    return {name: value[s].numpy() for name, value in fit.draws.items()}


# ------------------------------------------------------------------ one draw, against SciPy


@pytest.mark.parametrize(("name", "k"), list(itertools.product("XY", range(3))))
def test_do_z_is_the_component(name: str, k: int) -> None:
    query, expected = POINT.do(Z=k), component(name, k)
    assert query.mean(name).value.item() == expected.mean()
    np.testing.assert_allclose(query.log_density(name, POINTS), expected.logpdf(POINTS), rtol=1e-12)
    np.testing.assert_allclose(query.cdf(name, POINTS), expected.cdf(POINTS), rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(query.quantile(name, LEVELS), expected.ppf(LEVELS), rtol=1e-9)


@pytest.mark.parametrize("x", [-7.0, 0.0, 3.0])
def test_do_x_leaves_z_and_what_does_not_depend_on_x_alone(x: float) -> None:
    """Z causes X, not the other way round: p(y | do(X = x)) = Σ_k theta_k p(y | Z = k), whatever x."""
    query, theta = POINT.do(X=x), np.array(GREEKS["theta"])
    parts = [component("Y", k) for k in range(3)]
    assert query.mean("X").value.item() == x
    assert query.mean("Y").value.item() == pytest.approx(float(theta @ GREEKS["mu_Y"]), rel=1e-12)
    density = theta @ np.array([part.pdf(POINTS) for part in parts])
    below = theta @ np.array([part.cdf(POINTS) for part in parts])
    np.testing.assert_allclose(query.log_density("Y", POINTS), np.log(density), rtol=1e-9)
    np.testing.assert_allclose(query.cdf("Y", POINTS), below, rtol=1e-9, atol=1e-15)


def test_do_z_and_x_together() -> None:
    query = POINT.do(Z=2, X=-5.0)
    assert query.mean("X").value.item() == -5.0
    assert query.mean("Y").value.item() == 10.0
    assert query.cdf("Y", 10.0).item() == pytest.approx(0.5, abs=1e-15)


def test_far_tails_keep_their_digits() -> None:
    """At 60 sd a density underflows and its logarithm does not."""
    far = GREEKS["mu_X"][0] + GREEKS["sigma_X"][0] * np.array([-60.0, 40.0, 60.0])
    np.testing.assert_allclose(POINT.do(Z=0).log_density("X", far), component("X", 0).logpdf(far), rtol=1e-12)
    terms = [np.log(GREEKS["theta"][k]) + component("Y", k).logpdf(far * 10) for k in range(3)]
    np.testing.assert_allclose(POINT.do(X=0.0).log_density("Y", far * 10), logsumexp(terms, axis=0), rtol=1e-12)


@pytest.mark.parametrize("level", [1e-300, 1e-20, 1e-12])
def test_extreme_quantiles_keep_their_digits(level: float) -> None:
    found = POINT.do(Z=1).quantile("X", level).item()
    assert found == pytest.approx(component("X", 1).ppf(level), rel=1e-6)


def test_known_means_and_scales() -> None:
    model = CausalMixture(2, {"X": Gaussian(loc=[1.0, 5.0], scale=[0.5, 2.0]), "Y": Gaussian(loc=3.0, scale=1.0)})
    fit = Fit.from_greeks(model, {"theta": [0.3, 0.7]})
    assert fit.do(Z=1).mean("X").value.item() == 5.0
    assert fit.do(Z=0).mean("Y").value.item() == 3.0
    assert fit.do(Z=0).cdf("X", 1.5).item() == pytest.approx(norm.cdf(1.0), rel=1e-12)
    assert fit.do(Y=0.0).mean("X").value.item() == pytest.approx(0.3 * 1 + 0.7 * 5, rel=1e-12)


def test_one_known_coefficient_serves_intercept_and_slope() -> None:
    mechanisms = {"X": Gaussian(), "Y": LinearGaussian(parents=["X"], coefficients=0.5, scale=2.0)}
    fit = Fit.from_greeks(
        CausalMixture(2, mechanisms), {"theta": [0.3, 0.7], "mu_X": [1.0, 5.0], "sigma_X": [3.0, 1.0]}
    )
    assert fit.do(Z=1).mean("Y").value.item() == pytest.approx(0.5 + 0.5 * 5.0, rel=1e-12)
    assert fit.do(Z=0).cdf("Y", 2.0).item() == pytest.approx(norm.cdf(1.0 / 2.5), rel=1e-12)


# ------------------------------------------------------------------ many draws, by brute force


@pytest.mark.parametrize(
    ("settings", "name"), [({"Z": 1}, "X"), ({"Z": 1}, "Y"), ({"Z": 2}, "X"), ({"Y": 2.0}, "X"), ({"X": 2.0}, "Y")]
)
def test_predictions_are_mixtures_over_draws(settings: dict[str, Any], name: str) -> None:
    means, densities, below = [], [], []
    for s in range(MANY.num_draws):
        greeks = of_draw(MANY, s)
        weights = np.eye(3)[settings["Z"]] if "Z" in settings else greeks["theta"]
        parts = [component(name, k, greeks) for k in range(3)]
        means.append(weights @ [part.mean() for part in parts])
        densities.append(weights @ np.array([part.pdf(POINTS) for part in parts]))
        below.append(weights @ np.array([part.cdf(POINTS) for part in parts]))
    query = MANY.do(**settings)
    np.testing.assert_allclose(query.mean(name).draws, means, rtol=1e-12)
    np.testing.assert_allclose(query.log_density(name, POINTS), np.log(np.mean(densities, 0)), rtol=1e-9)
    np.testing.assert_allclose(query.cdf(name, POINTS), np.mean(below, 0), rtol=1e-9, atol=1e-15)


QUERIES = [
    pytest.param(fit, settings, name, id=f"{kind}, {settings}, {name}")
    for kind, fit in {"point": POINT, "draws": MANY}.items()
    for settings, name in (({"Z": 0}, "X"), ({"Z": 1}, "X"), ({"Z": 2}, "Y"), ({"X": 0.0}, "Y"), ({"Y": 0.0}, "X"))
]


@pytest.mark.parametrize(("fit", "settings", "name"), QUERIES)
def test_quantile_inverts_cdf(fit: Fit, settings: dict[str, Any], name: str) -> None:
    query = fit.do(**settings)
    found = query.quantile(name, LEVELS)
    np.testing.assert_allclose(query.cdf(name, found), LEVELS, rtol=1e-8, atol=1e-10)
    assert bool((found.diff() > 0).all())


@pytest.mark.parametrize(("fit", "settings", "name"), QUERIES)
def test_density_integrates_to_one_and_to_the_mean_and_the_cdf(fit: Fit, settings: dict[str, Any], name: str) -> None:
    """The trapezoid rule on a grid of a tenth of the smallest scale is exact to rounding for Gaussians."""
    query = fit.do(**settings)
    grid = np.arange(-60.0, 60.0, 0.02)
    density = query.log_density(name, grid).exp().numpy()
    assert 0.02 * density.sum() == pytest.approx(1.0, abs=1e-10)
    assert 0.02 * (grid @ density) == pytest.approx(query.mean(name).value.item(), abs=1e-9)
    middle = np.array([grid[3100] - 0.01])
    assert 0.02 * density[:3100].sum() == pytest.approx(query.cdf(name, middle).item(), abs=1e-5)


def test_draws_that_agree_to_rounding_have_a_quantile() -> None:
    """The ends of the bracket are then equal, or wrong by a rounding error."""
    mu = 3.0 + 4e-16 * torch.arange(9, dtype=torch.float64)[:, None]
    draws = {"theta": torch.ones(9, 1).double(), "mu_X": mu}
    fit = Fit(GaussianMixture(K=1), "exact", draws, 1, Status.CONVERGED, {})
    for level in (0.01, 0.5, 0.9):
        assert fit.do(Z=0).quantile("X", level).item() == pytest.approx(norm.ppf(level, 3.0), rel=1e-12)


# ------------------------------------------------------------------ shapes, settings per row


@pytest.mark.parametrize("at", [0.5, [0.5], [[0.5, 1.0, 2.0]], np.zeros((2, 0))], ids=str)
def test_answers_have_the_shape_of_the_question(at: Any) -> None:
    shape = np.shape(at)
    assert MANY.do(Z=1).log_density("X", at).shape == shape
    assert MANY.do(Z=1).cdf("X", at).shape == shape
    assert MANY.do(X=1.0).quantile("Y", np.clip(at, 0.1, 0.9)).shape == shape


def test_settings_per_row() -> None:
    query = MANY.do(Z=[2, 0, 0, 1])
    assert query.mean("X").draws.shape == (40, 4)
    for row, k in enumerate([2, 0, 0, 1]):
        assert torch.equal(query.mean("X").draws[:, row], MANY.do(Z=k).mean("X").draws)
    levels = MANY.do(X=[1.0, 2.0]).mean("X")
    assert levels.draws.shape == (40, 2)
    assert levels.value.tolist() == [1.0, 2.0]
    assert query.sample(4, seed=0)["X"].shape == (4,)


def test_contrasts_are_differences_draw_by_draw() -> None:
    contrast = MANY.contrast("X", do={"Z": 2}, versus={"Z": 0})
    expected = MANY.draws["mu_X"][:, 2] - MANY.draws["mu_X"][:, 0]
    assert torch.equal(contrast.draws, expected)
    assert torch.equal(MANY.contrast("X", do={"Z": 0}, versus={"Z": 2}).draws, -expected)
    assert torch.equal(MANY.contrast("Y", do={"X": 1.0}, versus={"X": 0.0}).draws, torch.zeros(40).double())
    assert POINT.contrast("Y", do={"Z": 2}, versus={"Z": 0}).value.item() == 9.0


# ------------------------------------------------------------------ what labels may not change


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_queries_that_do_not_name_z_do_not_know_labels(order: tuple[int, ...]) -> None:
    other = MANY.relabel(order)
    close = {"rtol": 1e-12, "atol": 1e-12}
    for settings, name in (({"X": 1.0}, "Y"), ({"Y": 1.0}, "X")):
        before, after = MANY.do(**settings), other.do(**settings)
        np.testing.assert_allclose(after.mean(name).draws, before.mean(name).draws, **close)
        np.testing.assert_allclose(after.log_density(name, POINTS), before.log_density(name, POINTS), **close)
        np.testing.assert_allclose(after.cdf(name, POINTS), before.cdf(name, POINTS), **close)
        # A root is found to 1e-12 of its bracket, and no better than the CDF's rounding over the density there.
        np.testing.assert_allclose(after.quantile(name, LEVELS[1:5]), before.quantile(name, LEVELS[1:5]), rtol=1e-10)
    rows = Data(X=POINTS, Y=POINTS[::-1].copy())
    np.testing.assert_allclose(other.log_density(rows), MANY.log_density(rows), **close)
    np.testing.assert_allclose(other.responsibilities(rows), MANY.responsibilities(rows)[:, list(order)], **close)
    for k in range(3):
        assert torch.equal(other.do(Z=k).mean("X").draws, MANY.do(Z=order[k]).mean("X").draws)
