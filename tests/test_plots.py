"""Plots of a fit: what is drawn is what the fit says, for every kind of fit; nothing of the caller's is changed."""

import itertools
import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from estimators import (
    EM,
    MAP,
    NUTS,
    CausalMixture,
    Data,
    EstimationWarning,
    Fit,
    GaussianMixture,
    PyroModel,
    plot_compare,
)
from estimators.fits import notebook
from estimators.mechanisms import (
    Bernoulli,
    Categorical,
    DiagonalGaussian,
    FullGaussian,
    Gaussian,
    LinearGaussian,
    Poisson,
)
from estimators.plots import effect as effects
from estimators.plots import style
from estimators.queries.estimate import Estimate

# Two effects have one law of T and Y: -1 and 0.8.
MODEL = CausalMixture(2, {"T": Bernoulli(), "Y": LinearGaussian(parents=["T"])}, concentration=2.0)
TRUTH = {"theta": [0.4, 0.6], "p_T": [0.2, 0.8], "beta_Y": [[0.0, -1.0], [3.0, -1.0]], "sigma_Y": [0.7, 0.7]}
ESTIMATORS = {"EM": EM(), "MAP": MAP(), "NUTS": NUTS(num_samples=20, warmup_steps=60, num_chains=2)}
KINDS = (*ESTIMATORS, "known")


def rows_of(model: Any, truth: Any, num_rows: int) -> dict[str, Any]:
    return {name: column for name, column in model.simulate(num_rows, truth, seed=0).items() if name != "Z"}


@cache
def fitted(kind: str) -> Fit:
    if kind == "known":
        return Fit.from_greeks(MODEL, TRUTH)
    rows = rows_of(MODEL, TRUTH, 400)
    treated = np.where(rows["T"].numpy() > 0, "treated", "control")
    with pytest.warns(UserWarning):
        return ESTIMATORS[kind].fit(MODEL, Data(T=treated, Y=rows["Y"]), seed=0)


@cache
def mixture(K: int, estimator: str = "EM") -> Fit:
    model = GaussianMixture(K)
    truth = {"theta": np.full(K, 1.0 / K), "mu_X": 6.0 * np.arange(K)}
    # A sampler's draws are as few as a plot needs, which is said.
    with warnings.catch_warnings(action="ignore", category=EstimationWarning):
        return ESTIMATORS[estimator].fit(model, rows_of(model, truth, 100 * K), seed=0)


def clinic(N: int) -> None:
    theta = pyro.sample("theta", dist.Dirichlet(torch.ones(2)))
    with pyro.plate("severities", 2):
        mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
    with pyro.plate("rows", N):
        severity = pyro.sample("severity", dist.Categorical(theta))
        pyro.sample("Y", dist.Normal(mu[severity], 0.7))


@cache
def program() -> Fit:
    model = PyroModel(clinic, order_by="mu")
    rows = model.simulate(200, {"theta": [0.4, 0.6], "mu": [0.0, 3.0]}, seed=0)
    return EM().fit(model, {"Y": rows["Y"]}, seed=0)


@cache
def all_families() -> Fit:
    """One of every kind of variable, at known Greeks, so that it takes no fit."""
    model = CausalMixture(
        2, {"C": Poisson(), "G": Categorical(3), "V": FullGaussian(2), "W": DiagonalGaussian(3), "X": Gaussian()}
    )
    torch.manual_seed(0)
    return Fit.from_greeks(model, model.prior_greeks(seed=1))


@pytest.fixture(autouse=True)
def _figures_are_closed() -> Iterator[None]:
    yield
    plt.close("all")


def drawn(ax: Axes, gid: str) -> Any:
    (found,) = [artist for artist in ax.get_children() if artist.get_gid() == gid]
    return found


def numbers(ax: Axes, gid: str) -> Any:
    return np.asarray(drawn(ax, gid).get_ydata(), dtype=np.float64)


# ------------------------------------------------------------------ densities


@pytest.mark.parametrize(("K", "estimator"), [(1, "EM"), (2, "EM"), (8, "EM"), (1, "NUTS"), (2, "NUTS")])
def test_densities_are_those_of_the_fit(K: int, estimator: str) -> None:
    fit = mixture(K, estimator)
    (ax,) = fit.plot.density()
    x, density = drawn(ax, "predicted").get_data()
    np.testing.assert_allclose(density, np.exp(fit.log_density({"X": x}).numpy()), rtol=1e-9)
    assert np.trapezoid(density, x) == pytest.approx(1.0, abs=0.03), "but for what is beyond the view"
    if K > 1:
        parts = sum(numbers(ax, f"class {k}") for k in range(K))
        # Of 40 draws, all have a part.
        np.testing.assert_allclose(parts, density, rtol=1e-9)
    heights, edges, _ = drawn(ax, "rows").get_data()
    values = fit.data.columns["X"].numpy()  # type: ignore[union-attr]
    share = np.mean((values >= edges[0]) & (values <= edges[-1]))
    assert np.sum(heights * np.diff(edges)) == pytest.approx(share)
    assert bool([artist for artist in ax.get_children() if artist.get_gid() == "band"]) == (estimator == "NUTS")


def test_of_many_draws_as_many_are_drawn_as_a_picture_needs() -> None:
    fit = mixture(2, "NUTS")
    many = replace(fit, draws={name: torch.cat([draws, draws, draws]) for name, draws in fit.draws.items()}, info={})
    (ax,) = many.plot.density()
    x, density = drawn(ax, "predicted").get_data()
    np.testing.assert_allclose(numbers(ax, "class 0") + numbers(ax, "class 1"), density, rtol=1e-9)
    chosen = np.linspace(0, 119, 40).round().astype(int)
    few = replace(many, draws={name: draws[chosen] for name, draws in many.draws.items()})
    np.testing.assert_allclose(density, np.exp(few.log_density({"X": x}).numpy()), rtol=1e-9)


def test_classes_are_those_of_the_heaviest_mode() -> None:
    fit = fitted("NUTS")
    heaviest = fit.info["mode"] == fit.info["mode"].bincount().argmax()
    own = replace(fit, draws={name: draws[heaviest] for name, draws in fit.draws.items()}, info={}, num_chains=1)
    outcome, expected = fit.plot.density(names="Y")[0], own.plot.density(names="Y")[0]
    for k in (0, 1):
        np.testing.assert_allclose(numbers(outcome, f"class {k}"), numbers(expected, f"class {k}"), rtol=1e-9)
    (legend,) = outcome.get_figure(root=True).legends  # type: ignore[union-attr]
    assert "Classes as in the heaviest of 2 modes (50% of draws)" in legend.get_title().get_text()


def test_bars_are_frequencies_beside_probabilities() -> None:
    fit = fitted("EM")
    ax, _ = fit.plot.density()
    bars = [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in ax.patches]
    treated = fit.data.columns["T"].double().mean().item()  # type: ignore[union-attr]
    assert [height for _, height in bars[:2]] == pytest.approx([1.0 - treated, treated])
    expected = fit["theta"][:, None] * torch.stack([1.0 - fit["p_T"], fit["p_T"]], -1).reshape(2, 2)
    assert [height for _, height in bars[2:]] == pytest.approx(expected.reshape(-1).tolist())
    assert [text.get_text() for text in ax.get_xticklabels()] == ["control", "treated"]


def test_rows_in_which_something_was_set_are_left_out() -> None:
    model = GaussianMixture(2)
    x = np.concatenate([np.linspace(-1, 1, 30), np.linspace(-1, 1, 10), np.linspace(9, 11, 30)])
    fit = EM().fit(model, Data(X=x, Z=[0] * 30 + [-1] * 40, intervened={"Z": [True] * 30 + [False] * 40}), seed=0)
    (ax,) = fit.plot.density()
    heights, edges, _ = drawn(ax, "rows").get_data()
    assert (heights * np.diff(edges))[edges[:-1] < 5.0].sum() == pytest.approx(0.25)


def test_rows_with_covariates_are_drawn_whatever_these_are() -> None:
    model = CausalMixture(1, {"Y": LinearGaussian(parents=["age"])}, covariates=["age"])
    age = np.linspace(0.0, 1.0, 40)
    (ax,) = EM().fit(model, Data(Y=np.sin(9.0 * age) + age, age=age), seed=0).plot.density()
    heights, edges, _ = drawn(ax, "rows").get_data()
    assert np.sum(heights * np.diff(edges)) == pytest.approx(1.0)


def test_variables_of_every_kind_are_drawn() -> None:
    fit = all_families()
    axes = fit.plot.density()
    assert [ax.get_xlabel() for ax in axes] == ["C", "G", "V[0]", "columns of W", "X"]
    assert len(fit.plot.profiles()) == 6
    rows = fit.model.simulate(50, {name: fit[name] for name in fit.draws}, seed=3)
    assert len(fit.plot.density({name: column for name, column in rows.items() if name != "Z"})) == 5


# ------------------------------------------------------------------ effects


@pytest.mark.parametrize("kind", KINDS)
def test_an_effect_is_drawn_as_the_fit_answers(kind: str) -> None:
    fit = fitted(kind)
    ax = fit.plot.effect("Y", of="T")
    set_, seen = ([ask(T=t).mean("Y") for t in (0, 1)] for ask in (fit.do, fit.given))
    np.testing.assert_allclose(numbers(ax, "seen"), [float(one.value) for one in seen])
    effect = fit.contrast("Y", do={"T": 1}, versus={"T": 0})
    assert f"{float(effect.value):.3g}".replace("-", "−") in ax.get_title(loc="left")
    # A mean over modes, which is the answer of none, does not head the picture.
    head, _, below = " ".join(ax.get_title(loc="left").split()).partition("interval")
    is_of_several = fit.num_draws > 1 and len(effect.by_mode) > 1
    assert (" or " in head) == is_of_several and ("The mean of these is" in below) == is_of_several
    bars = {tuple(line.get_ydata()) for line in ax.lines if line.get_gid() == "interval"}
    if fit.num_draws == 1:
        np.testing.assert_allclose(numbers(ax, "set"), [float(one.value) for one in set_])
    if kind == "known":
        assert not bars
    elif kind != "NUTS":
        assert len(effect.rivals) == 1
        np.testing.assert_allclose(numbers(ax, "rival 0"), [float(one.rivals[0]) for one in set_])
        assert f"({fit.modes.weights[1]:.0%})" in ax.get_title(loc="left")
        assert bars == {tuple(bar) for one in (*set_, *seen) for bar in one.profile(0.9)}
        # A rival's bars stand at its marks, and hold them.
        for x, y in zip(*drawn(ax, "rival 0").get_data(), strict=True):
            ((low, high),) = [
                bar.get_ydata() for bar in ax.lines if bar.get_gid() == "interval" and x in bar.get_xdata()
            ]
            assert low < y < high
    else:
        modes = fit.info["mode"]
        heaviest = int(modes.bincount().argmax())
        means = [float(one.draws[modes == heaviest].mean()) for one in set_]
        np.testing.assert_allclose(numbers(ax, "set"), means)
        assert {tuple(map(float, one.interval(0.9))) for one in seen} <= bars


def test_a_cause_of_numbers_stands_where_its_levels_are() -> None:
    model = CausalMixture(1, {"A": Gaussian(), "Y": LinearGaussian(parents=["A"])})
    greeks = {"theta": [1.0], "mu_A": [0.0], "sigma_A": [1.0], "beta_Y": [[0.0, 2.0]], "sigma_Y": [1.0]}
    ax = Fit.from_greeks(model, greeks).plot.effect("Y", of="A", levels=(-1.0, 0.0, 3.0))
    np.testing.assert_allclose(ax.get_xticks(), [-1.0, 0.0, 3.0])
    np.testing.assert_allclose(numbers(ax, "set"), [-2.0, 0.0, 6.0])
    assert "3 against −1: 8" in ax.get_title(loc="left")


def test_a_rival_out_of_all_proportion_leaves_the_answers_in_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a class never has T = 0 no row says where its mean is."""
    fit, far = fitted("EM"), Estimate(torch.tensor([2.4e8]))
    (_, near), *others = [(weight, rival) for weight, rival in effects.by_mode(fit, fit.do(T=0).mean("Y"))]
    assert len(others) == 1
    limits = fit.plot.effect("Y", of="T").get_ylim()
    monkeypatch.setattr(effects, "by_mode", lambda fit, one: [(0.9, one), (0.1, far)])
    monkeypatch.setattr(effects, "intervals_by_mode", lambda fit, one, level: [[], [], []])
    ax = fit.plot.effect("Y", of="T")
    low, high = ax.get_ylim()
    assert numbers(ax, "rival 0").tolist() == [2.4e8, 2.4e8]
    assert low <= float(near.value) <= high < low + 10.0 * (limits[1] - limits[0])


def test_an_interval_without_an_end_goes_to_the_edge_and_says_so() -> None:
    from estimators.modes.profile import Interval
    from estimators.plots.intervals import Bar, draw_bars

    ax = Figure().subplots()
    ax.set_ylim(0.0, 1.0)
    draw_bars(ax, [Bar(0.0, Interval(0.5, float("inf")), "red")])
    assert [line.get_marker() for line in ax.lines if line.get_gid() == "open"] == ["^"]
    assert np.isfinite(numbers(ax, "interval")).all()


# ------------------------------------------------------------------ the other plots


@pytest.mark.parametrize("kind", KINDS)
def test_profiles_are_means_in_each_class(kind: str) -> None:
    fit = fitted(kind)
    shares, treated, outcome = fit.plot.profiles(level=0.8)
    around = fit.laplace(400, seed=0) if kind in ("EM", "MAP") else fit
    for k in (0, 1):
        for ax, mean, drawn_mean in (
            (treated, fit.given(Z=k).mean("T"), around.given(Z=k).mean("T")),
            (outcome, fit.given(Z=k).mean("Y"), around.given(Z=k).mean("Y")),
        ):
            if kind == "known":
                assert numbers(ax, f"class {k} 0")[0] == pytest.approx(float(mean.value))
                continue
            # Of the mode that is the point's own, or the heaviest.
            own = drawn_mean.draws[around.info["mode"] == 0] if fit.num_draws == 1 else mean.by_mode[0][1].draws
            middle = mean.value if fit.num_draws == 1 else own.mean()
            assert numbers(ax, f"class {k} 0")[0] == pytest.approx(float(middle))
            ((_, low), (_, high)) = drawn(ax, f"interval {k} 0").get_segments()[0]
            assert (low, high) == pytest.approx(tuple(np.quantile(own, [0.1, 0.9])))
        if fit.num_draws == 1:
            assert numbers(shares, f"class {k} 0")[0] == pytest.approx(float(fit["theta"][k]))
        else:
            assert numbers(shares, f"class {k} 1")[0] == pytest.approx(1.0 - numbers(shares, f"class {1 - k} 1")[0])


def test_where_there_is_no_normal_approximation_profiles_say_so() -> None:
    flat = CausalMixture(2, {"T": Bernoulli(), "Y": Bernoulli(parents=["T"])})
    rows = {"T": [0, 0, 0, 1, 1, 1] * 10, "Y": [0, 1, 1, 0, 0, 1] * 10}
    with pytest.warns(EstimationWarning):
        fit = EM().fit(flat, rows, seed=0)
    axes = fit.plot.profiles()
    assert not [artist for ax in axes for artist in ax.get_children() if str(artist.get_gid()).startswith("interval")]
    (legend,) = axes[0].get_figure(root=True).legends  # type: ignore[union-attr]
    assert "No intervals: the maximum is at a boundary" in legend.get_title().get_text()


@pytest.mark.parametrize("K", [1, 2, pytest.param(8, marks=pytest.mark.slow)])
def test_each_class_has_its_share_of_the_area(K: int) -> None:
    fit = mixture(K)
    ax = fit.plot.responsibilities()
    shares = fit.responsibilities(fit.data)
    for k in range(K):
        heights, _, base = drawn(ax, f"class {k}").get_data()
        assert np.mean(heights - base) == pytest.approx(float(shares[:, k].mean()), abs=1e-9)
    assert len(ax.get_figure(root=True).legends[0].get_texts()) == K  # type: ignore[union-attr]


def test_a_trace_is_of_steps_or_of_chains() -> None:
    fit = fitted("NUTS")
    axes = fit.plot.trace(names=["theta[0]"])
    chains = np.array([numbers(axes[0], f"chain {chain}") for chain in (0, 1)])
    np.testing.assert_allclose(chains.reshape(-1), fit.draws["theta"][:, 0])
    (losses,) = fitted("MAP").plot.trace()
    own = fitted("MAP").info["losses"].numpy()
    best = own[own[:, -1].argmin()]
    np.testing.assert_allclose(numbers(losses, "best"), best - own.min())
    assert losses.get_title(loc="left") == "150 steps" and list(drawn(losses, "best").get_xdata())[-1] == 150
    (hits,) = fitted("EM").plot.trace()
    np.testing.assert_allclose(numbers(hits, "hits"), fitted("EM").modes.table()["hits"])
    unsearched = EM().fit(GaussianMixture(2), {"X": [0.0, 1.0, 10.0, 11.0, 12.0]}, seed=0, search=None)
    (steps,) = unsearched.plot.trace()
    assert len(numbers(steps, "best")) == len(unsearched.info["log_likelihoods"])


def test_bars_of_few_rows_end_within_the_view() -> None:
    rows = {"X": [0.0, 1.0, 10.0, 11.0, 12.0]}
    (ax,) = MAP().fit(GaussianMixture(2), rows, seed=0).plot.density()
    heights, edges, _ = drawn(ax, "rows").get_data()
    assert (edges[0], edges[-1]) == (0.0, 12.0)
    assert ax.get_xlim()[0] < 0.0 and ax.get_xlim()[1] > 12.0
    assert float((heights * np.diff(edges)).sum()) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_modes_lie_as_far_below_the_best_as_they_do(kind: str) -> None:
    fit = fitted(kind)
    axes = fit.plot.modes()
    table = fit.modes.table()
    assert len(axes) == len(fit.draws)
    points = drawn(axes[1], "p_T[0]").get_offsets()
    np.testing.assert_allclose(points, table[["p_T[0]", "below"]].to_numpy())
    sizes = drawn(axes[1], "p_T[0]").get_sizes()
    np.testing.assert_allclose(np.diff(sizes) / style_of_sizes(), np.diff(table["weight"]))


def style_of_sizes() -> float:
    from estimators.plots.modes import MORE

    return MORE


def test_estimators_stand_side_by_side() -> None:
    fits = [fitted(kind) for kind in KINDS]
    axes = plot_compare(fits, effect={"name": "Y", "of": "T"})
    assert [ax.get_title(loc="left") for ax in axes] == [*MODEL_GREEKS, "effect of T on Y"]
    for number, fit in enumerate(fits):
        effect = fit.contrast("Y", do={"T": 1}, versus={"T": 0})
        if fit.num_draws > 1:
            (share, heaviest), *others = effect.by_mode
            values, rivals = heaviest.value, [float(other.value) for _, other in others]
            assert len(others) == 1
        else:
            share, values, rivals = (
                1.0 if fit.found is None else fit.modes.weights[0],
                effect.value,
                effect.rivals.tolist(),
            )
            np.testing.assert_allclose(drawn(axes[1], f"fit {number} 0").get_xdata(), fit["p_T"].reshape(-1))
        assert drawn(axes[-1], f"fit {number} 0").get_xdata()[0] == pytest.approx(float(values))
        assert [drawn(axes[-1], f"fit {number} {rank}").get_xdata()[0] for rank, _ in enumerate(rivals, 1)] == rivals
        assert f"{share:.0%}, open {1 - share:.0%}" in legend_of(axes)[number] or not rivals
    p_T, modes = fitted("NUTS").draws["p_T"].numpy(), fitted("NUTS").info["mode"].numpy()
    for rank, mode in enumerate(np.argsort(-np.bincount(modes), kind="stable")):
        np.testing.assert_allclose(drawn(axes[1], f"fit 2 {rank}").get_xdata(), p_T[modes == mode].mean(0).reshape(-1))
        ends = np.array(drawn(axes[1], f"interval 2 {rank}").get_segments())[:, :, 0]
        np.testing.assert_allclose(ends.T, np.quantile(p_T[modes == mode], [0.05, 0.95], axis=0).reshape(2, -1))
    assert [word.split(":")[0] for word in legend_of(axes)] == ["EM", "MAP", "NUTS", "known Greeks"]


def legend_of(axes: list[Axes]) -> list[str]:
    return [text.get_text() for text in axes[0].get_figure(root=True).legends[0].get_texts()]  # type: ignore[union-attr]


MODEL_GREEKS = ["theta", "p_T", "beta_Y", "sigma_Y"]


def test_a_program_has_the_same_pictures() -> None:
    fit = program()
    (ax,) = fit.plot.density()
    x, density = drawn(ax, "predicted").get_data()
    np.testing.assert_allclose(density, np.exp(fit.log_density({"Y": x}).numpy()), rtol=1e-6)
    shares, _ = fit.plot.profiles()
    assert numbers(shares, "class 0 0")[0] == pytest.approx(float(fit["theta"][0]))
    assert fit.plot.responsibilities().get_xlabel() == "200 rows, sorted"
    known = Fit.from_greeks(fit.model, {name: fit[name] for name in fit.draws})
    np.testing.assert_allclose(numbers(known.plot.effect("Y", of="severity"), "set"), fit["mu"])
    assert len(plot_compare([fit, fit])) == 2


# ------------------------------------------------------------------ the caller's matplotlib


PLOTS = {
    "density": lambda fit, axes: fit.plot.density(axes=axes),
    "profiles": lambda fit, axes: fit.plot.profiles(axes=axes),
    "trace": lambda fit, axes: fit.plot.trace(axes=axes),
    "modes": lambda fit, axes: fit.plot.modes(axes=axes),
    "effect": lambda fit, axes: [fit.plot.effect("Y", of="T", ax=axes[0] if axes else None)],
    "responsibilities": lambda fit, axes: [fit.plot.responsibilities(ax=axes[0] if axes else None)],
    "compare": lambda fit, axes: plot_compare([fit], axes=axes),
}


@pytest.mark.parametrize("name", PLOTS)
def test_axes_go_in_and_come_out_and_nothing_else_changes(name: str) -> None:
    fit = fitted("MAP")
    before, backend = dict(matplotlib.rcParams), matplotlib.get_backend()
    own = PLOTS[name](fit, None)
    figures = plt.get_fignums()
    given = Figure().subplots(2, len(own), squeeze=False)[1].tolist()
    assert PLOTS[name](fit, given) == given
    assert all(ax.has_data() for ax in given)
    assert (dict(matplotlib.rcParams), matplotlib.get_backend(), plt.get_fignums()) == (before, backend, figures)


@pytest.mark.parametrize("name", PLOTS)
def test_text_has_the_ink_of_the_style(name: str) -> None:
    with plt.style.context("dark_background"):
        axes = PLOTS[name](fitted("MAP"), None)
    figure = axes[0].get_figure(root=True)
    figure.canvas.draw()
    inks = {text.get_color() for ax in axes for text in (ax.xaxis.label, ax.title, *ax.get_xticklabels())}
    inks |= {text.get_color() for legend in figure.legends for text in legend.get_texts()}
    assert {matplotlib.colors.to_hex(one) for one in inks} == {"#ffffff"}


LINEAR = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
# Machado, Oliveira & Fernandes (2009): full protanopia, deuteranopia and tritanopia, on linear RGB.
EYES = (
    np.eye(3),
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
)


def linear(colour: str) -> Any:
    c = np.array(matplotlib.colors.to_rgb(colour))
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def contrast(colour: str, page: str) -> float:
    light = sorted(float(LINEAR[1] @ linear(one)) + 0.05 for one in (colour, page))
    return light[1] / light[0]


def distance(one: str, other: str) -> float:
    """ΔE 1976 as the eye that tells them apart least sees it."""

    def lab(rgb: Any) -> Any:
        x, y, z = np.cbrt(np.clip(LINEAR @ np.clip(rgb, 0, 1) / [0.9505, 1.0, 1.089], 1e-6, None))
        return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])

    return min(float(np.linalg.norm(lab(eye @ linear(one)) - lab(eye @ linear(other)))) for eye in map(np.array, EYES))


def test_the_palette_is_told_apart_by_colour_blind_eyes_on_light_and_dark() -> None:
    assert min(contrast(colour, page) for colour in style.PALETTE for page in ("#ffffff", "#1e1e1e")) > 2.3
    assert min(itertools.starmap(distance, itertools.combinations(style.PALETTE, 2))) > 15.0
    # The measures can fail: yellow on white, and red beside green.
    assert contrast("#F0E442", "#ffffff") < 2.3
    assert distance("#cc0000", "#556600") < 15.0


# ------------------------------------------------------------------ what cannot be drawn


@pytest.mark.parametrize(
    ("draw", "error", "words"),
    [
        (lambda fit: fit.plot.density(names="W"), ValueError, r"expected variables among \['T', 'Y'\], got 'W'"),
        (lambda fit: fit.plot.density(site="U"), ValueError, r"hidden site among \['Z'\], got 'U'"),
        (
            lambda fit: fit.plot.density(axes=Figure().subplots()),
            ValueError,
            "expected 2 Axes, one for each panel, got 1",
        ),
        (lambda fit: fit.plot.effect("Y", of="T", ax=Figure()), TypeError, "expected matplotlib Axes"),
        (lambda fit: fit.plot.effect("W", of="T"), ValueError, "expected a variable among .*, got 'W'"),
        (lambda fit: fit.plot.effect("Y", of="Y"), ValueError, "expected two variables"),
        (
            lambda fit: fit.plot.effect("T", of="Y"),
            ValueError,
            "levels: expected two or more values of Y, which has no",
        ),
        (lambda fit: fit.plot.effect("Y", of="T", level=2), ValueError, "strictly between 0 and 1"),
        (lambda fit: fit.plot.responsibilities(), ValueError, "holds no data; give rows"),
        (lambda fit: fit.plot.trace(), ValueError, "neither steps nor draws"),
        (lambda fit: fit.plot.modes(), ValueError, "without a search"),
        (lambda fit: plot_compare([]), ValueError, "at least one fit"),
        (lambda fit: plot_compare(fit), TypeError, r"plot_compare: expected a list of fits, .*, got Fit"),
        (lambda fit: plot_compare([fit, fit.model]), TypeError, "plot_compare: expected fits, .*, got CausalMixture"),
        (lambda fit: plot_compare([fit], greeks="mu_Y"), ValueError, "expected Greeks among .*, got 'mu_Y'"),
        (lambda fit: plot_compare([fit], effect={"of": "T"}), ValueError, "effect: expected name, of"),
        (lambda fit: plot_compare([fit, mixture(2)]), ValueError, "fits of one model"),
    ],
)
def test_errors_say_what_was_expected(draw: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        draw(fitted("known"))


# ------------------------------------------------------------------ a notebook


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_a_notebook_shows_words_table_and_picture(kind: str) -> None:
    fit = fitted(kind)
    before, figures = dict(matplotlib.rcParams), plt.get_fignums()
    page = fit._repr_html_()
    assert page.startswith(f"<div><p><b>{kind}: ") and "Data(400 rows" in page
    assert all(status.name in page for status in fit.findings)
    assert page.count("<li>") == len(fit.advice)
    assert "<td>" in page
    assert "<svg" in page and "currentColor" in page and notebook.INK not in page
    assert (dict(matplotlib.rcParams), plt.get_fignums()) == (before, figures)


def test_a_notebook_escapes_names_and_needs_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    fit = fitted("known").relabel({"<b>low</b>": 0, "high": 1})
    page = fit._repr_html_()
    assert "<svg" not in page
    assert "&lt;b&gt;low" in page and "<b>low" not in page

    def fails(*_: Any) -> None:
        raise NotImplementedError

    monkeypatch.setattr(notebook, "draw_density", fails)
    assert "<svg" not in mixture(2)._repr_html_()
