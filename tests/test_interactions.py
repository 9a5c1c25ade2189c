"""Interactions ``T:A`` in lines, in the fit and in every question. Z → all, A → B, (T, A, B) → Y."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pyro.distributions as dist
import pytest
import torch
from scipy import integrate, optimize, special, stats

from estimators import EM, MAP, NUTS, CausalMixture, Data, Fit, PyroModel
from estimators.contract import log_joint
from estimators.mechanisms import (
    Bernoulli,
    Categorical,
    DiagonalGaussian,
    Gate,
    Gaussian,
    LinearGaussian,
    Logistic,
    LogNormal,
    MultinomialLogit,
    PoissonRegression,
)
from tests.mechanism_models import MODELS, hidden_rows, random_greeks
from tests.objectives import by_differences, objective_of
from tests.refusals import refused

# A and B are Gaussian: A:B is no line in both.
MODEL = CausalMixture(
    2,
    {
        "A": Gaussian(),
        "B": LinearGaussian(["A"]),
        "T": Bernoulli(),
        "Y": LinearGaussian(["T", "A", "B", "A:B", "T:A"]),
    },
)
TRUTH = {
    "theta": [0.4, 0.6],
    "mu_A": [0.0, 1.0],
    "sigma_A": [1.0, 0.7],
    "beta_B": [[0.5, 0.8], [-1.0, 0.3]],
    "sigma_B": [0.6, 1.2],
    "p_T": [0.3, 0.6],
    "beta_Y": [[1.0, 2.0, 0.5, -0.4, 0.7, 0.3], [0.0, 1.0, -0.5, 0.4, -0.9, 0.2]],
    "sigma_Y": [0.5, 0.8],
}
# B is all but a line in A, and Y all but a parabola: two narrow peaks.
SHARP = {**TRUTH, "sigma_B": [0.01, 0.02], "sigma_Y": [0.01, 0.02]}
# Y is the product and noise: its sign tells nothing of A's.
PRODUCT = {
    **TRUTH,
    "beta_B": [[0.0, 0.0]] * 2,
    "beta_Y": [[0.0, 0.0, 0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0, -2.0, 0.0]],
}
POINTS, WEIGHTS = np.polynomial.legendre.leggauss(8)


def over_age(greeks, function, t):
    """Σ_k theta_k ∫ function(a, E[Y | a], sd[Y | a]) p(a | k) da, B integrated out by hand, on 20,000 panels."""
    g, total = {name: np.array(value) for name, value in greeks.items()}, 0.0
    for k, share in enumerate(g["theta"]):
        law, beta, (constant, slope) = stats.norm(g["mu_A"][k], g["sigma_A"][k]), g["beta_Y"][k], g["beta_B"][k]
        edges = law.mean() + law.std() * np.linspace(-13.0, 13.0, 20_001)
        half = 0.5 * (edges[1] - edges[0])
        a = ((edges[1:] + edges[:-1])[:, None] * 0.5 + half * POINTS).reshape(-1)
        of_b = beta[3] + beta[4] * a
        mean = beta[0] + beta[1] * t + (beta[2] + beta[5] * t) * a + of_b * (constant + slope * a)
        spread = np.hypot(g["sigma_Y"][k], of_b * g["sigma_B"][k])
        total += share * (function(a, mean, spread) * law.pdf(a) * np.tile(half * WEIGHTS, 20_000)).sum()
    return total


@pytest.mark.parametrize("greeks", [TRUTH, SHARP, PRODUCT], ids=["smooth", "sharp", "product"])
def test_a_product_of_two_gaussian_causes_is_integrated(greeks):
    fit = Fit.from_greeks(MODEL, greeks)
    query = fit.do(T=1)
    mean = query.mean("Y")
    assert mean.error is None
    assert float(mean.value) == pytest.approx(over_age(greeks, lambda a, m, s: m, 1), rel=1e-10)
    for y in (-3.0, 0.5, 4.0):
        density = over_age(greeks, lambda a, m, s, y=y: stats.norm.pdf(y, m, s), 1)
        assert float(query.log_density("Y", y)) == pytest.approx(np.log(density), rel=1e-9, abs=1e-9)
        below = over_age(greeks, lambda a, m, s, y=y: stats.norm.cdf(y, m, s), 1)
        assert float(query.cdf("Y", y)) == pytest.approx(below, rel=1e-8, abs=1e-12)
        seen = fit.do(T=1).given(Y=y).mean("A")
        assert seen.error is None
        weighed = over_age(greeks, lambda a, m, s, y=y: a * stats.norm.pdf(y, m, s), 1)
        assert float(seen.value) == pytest.approx(weighed / density, rel=1e-9, abs=1e-9)


def test_what_is_set_or_seen_leaves_a_line():
    fit, beta = Fit.from_greeks(MODEL, TRUTH), np.array(TRUTH["beta_Y"])
    for t, a, b in ((0, -1.0, 2.0), (1, 0.5, -0.3)):
        expected = np.array(TRUTH["theta"]) @ beta @ [1.0, t, a, b, a * b, t * a]
        assert float(fit.do(T=t, A=a, B=b).mean("Y").value) == pytest.approx(expected, rel=1e-12)
    # Seen, they inform on Z too; one of them alone leaves a line in the other.
    a, t, k = 0.7, 1, np.arange(2)
    own = stats.norm.pdf(a, TRUTH["mu_A"], TRUTH["sigma_A"]) * np.abs(np.array(TRUTH["p_T"])) * TRUTH["theta"]
    line = np.array(TRUTH["beta_B"]) @ [1.0, a]
    means = [beta[c] @ [1.0, t, a, line[c], a * line[c], t * a] for c in k]
    found = fit.given(A=a, T=t).mean("Y")
    assert found.error is None
    assert float(found.value) == pytest.approx(own @ means / own.sum(), rel=1e-12)
    of_b = beta[:, 3] + beta[:, 4] * a
    spread = np.hypot(TRUTH["sigma_Y"], of_b * TRUTH["sigma_B"])
    seen = own * stats.norm.pdf(2.0, means, spread)
    gain = of_b * np.square(TRUTH["sigma_B"]) / spread**2
    expected = seen @ (line + gain * (2.0 - np.array(means))) / seen.sum()
    assert float(fit.given(A=a, T=t, Y=2.0).mean("B").value) == pytest.approx(expected, rel=1e-10)


def test_draws_follow_the_product():
    fit = Fit.from_greeks(MODEL, TRUTH)
    drawn = fit.do(T=1).sample(40_000, seed=1)["Y"]
    expected = over_age(TRUTH, lambda a, m, s: m, 1)
    assert abs(float(drawn.mean()) - expected) < 5 * float(drawn.std()) / 200.0
    seen = fit.do(T=1).given(Y=4.0).sample(40_000, seed=1)["A"]
    density = over_age(TRUTH, lambda a, m, s: stats.norm.pdf(4.0, m, s), 1)
    expected = over_age(TRUTH, lambda a, m, s: a * stats.norm.pdf(4.0, m, s), 1) / density
    assert abs(float(seen.mean()) - expected) < 5 * float(seen.std()) / 200.0


def test_more_products_are_simulated_with_an_error():
    """Three Gaussian causes in one product: two of them are drawn."""
    names = ["A", "B", "C"]
    model = CausalMixture(
        1, {**dict.fromkeys(names, Gaussian()), "Y": LinearGaussian([*names, "A:B:C"])}, latent_parents=()
    )
    greeks = {"theta": [1.0], "beta_Y": [[0.0, 1.0, 0.0, 0.0, 2.0]], "sigma_Y": [1.0]}
    for name, mu in zip(names, (1.0, 2.0, 0.5), strict=True):
        greeks |= {f"mu_{name}": [mu], f"sigma_{name}": [1.0]}
    found = Fit.from_greeks(model, greeks).do(Z=0).mean("Y")
    assert found.error is not None
    assert abs(float(found.value) - 3.0) < 5.0 * float(found.error)


def test_a_logistic_below_a_product_is_simulated_or_integrated():
    """A:T → L, where A is one Gaussian cause."""
    model = CausalMixture(2, {"A": Gaussian(), "T": Bernoulli(), "L": Logistic(["T", "A", "T:A"])})
    beta = np.array([[0.2, 0.5, 1.0, -3.0], [-1.0, 0.4, 0.3, 2.0]])
    greeks = {"theta": [0.4, 0.6], "mu_A": [0.0, 1.0], "sigma_A": [1.0, 0.7], "p_T": [0.3, 0.6], "beta_L": beta}
    total = 0.0
    for k, share in enumerate(greeks["theta"]):
        law = stats.norm(greeks["mu_A"][k], greeks["sigma_A"][k])
        for low, high in pairwise(law.mean() + law.std() * np.linspace(-12, 12, 25)):
            curve = lambda a, k=k, law=law: special.expit(beta[k] @ [1.0, 1.0, a, a]) * law.pdf(a)  # noqa: E731
            total += share * integrate.quad(curve, low, high, epsabs=0, epsrel=1e-12)[0]
    assert float(Fit.from_greeks(model, greeks).do(T=1).mean("L").value) == pytest.approx(total, rel=1e-10)


def test_setting_a_cause_moves_its_products_in_counterfactuals():
    fit, beta = Fit.from_greeks(MODEL, TRUTH), np.array(TRUTH["beta_Y"])
    data = Data(A=[0.5, -1.0], B=[1.0, 0.2], T=[0, 1], Y=[2.0, 0.0])
    shares = fit.responsibilities(data).numpy()
    changed = fit.counterfactual(data, do={"A": [1.5, 1.5]}).mean("Y").value.numpy()
    slope_b = np.array(TRUTH["beta_B"])[:, 1]
    for n, (a, b, t, y) in enumerate(zip([0.5, -1.0], [1.0, 0.2], [0, 1], [2.0, 0.0], strict=True)):
        moved = b + slope_b * (1.5 - a)
        after = [beta[k] @ [1.0, t, 1.5, moved[k], 1.5 * moved[k], t * 1.5] for k in (0, 1)]
        before = beta @ [1.0, t, a, b, a * b, t * a]
        assert changed[n] == pytest.approx(y + shares[n] @ (after - before), rel=1e-10)


def count_of(parts, line, slopes, **options):
    """A fit of one class in which a count has a log-linear rate; causes are standard, in logs where positive."""
    model = CausalMixture(1, {**parts, "Y": PoissonRegression(line)}, **options)
    greeks = {name: value * 0.0 for name, value in random_greeks(model, 0).items()}
    ones = {name: value + 1.0 for name, value in greeks.items() if name == "theta" or name.startswith("sigma")}
    halves = {"p_T": [0.5]} if "T" in parts else {}
    return Fit.from_greeks(model, {**greeks, **ones, **halves, "beta_Y": [slopes]})


LONG = {"A": LogNormal(), "T": Bernoulli()}
BESIDE = ["A", "T", "T:A"]
FACTORS = {"A": LogNormal(), "B": Gaussian()}
GAUSSIAN = {"A": Gaussian(), "B": Gaussian()}


@pytest.mark.parametrize(
    "fit, settings",
    [
        (count_of(LONG, BESIDE, [0.0, 0.0, 0.0, 0.5]), {}),
        (count_of(LONG, BESIDE, [0.0, -0.5, 0.0, 1.0]), {}),
        (count_of(LONG, BESIDE, [0.0, -0.5, 0.0, 1.0]), {"T": dist.Bernoulli(torch.tensor(0.3))}),
        (count_of(LONG, BESIDE, [0.0, -0.5, 0.0, 1.0]), {"T": [0.0, 1.0]}),
        (count_of(FACTORS, ["A", "B", "A:B"], [0.0, -1.0, 0.0, 0.5]), {}),
        (count_of(FACTORS, ["A", "B", "A:B"], [0.0, -1.0, 0.0, -0.5]), {"B": dist.Uniform(-4.0, 0.0)}),
        # E exp(b A B) is 1 / sqrt(1 - b²), next to its end, and beyond.
        (count_of(GAUSSIAN, ["A", "B", "A:B"], [0.0, 0.0, 0.0, 0.98]), {}),
        (count_of(GAUSSIAN, ["A", "B", "A:B"], [0.0, 0.0, 0.0, 1.5]), {}),
    ],
)
def test_a_mean_that_an_interaction_makes_infinite_is_refused(fit, settings):
    with refused(ValueError, "no finite mean"):
        fit.do(**(settings or {"Z": 0})).mean("Y")


def test_a_mean_that_it_leaves_finite_is_answered():
    long = count_of(LONG, BESIDE, [0.0, -0.5, 0.0, 1.0])
    expected = integrate.quad(lambda x: np.exp(-0.5 * np.exp(x)) * stats.norm.pdf(x), -12, 12)[0]
    found = long.do(T=0).mean("Y")
    assert abs(float(found.value) - expected) < 4.0 * float(found.error)
    bounded = count_of(FACTORS, ["A", "B", "A:B"], [0.0, -1.0, 0.0, 0.5]).do(B=dist.Uniform(-1.0, 1.0)).mean("Y")
    assert 0.2 < float(bounded.value) < 0.6
    product = count_of(GAUSSIAN, ["A", "B", "A:B"], [0.0, 0.0, 0.0, 0.4]).do(Z=0).mean("Y")
    assert abs(float(product.value) - (1.0 - 0.4**2) ** -0.5) < 4.0 * float(product.error)
    # A mean that is a product of lines in a long tail grows, but no faster than a power.
    model = CausalMixture(1, {"A": LogNormal(), "B": LinearGaussian(["A"]), "Y": LinearGaussian(["A", "B", "A:B"])})
    greeks = {"theta": [1.0], "beta_A": [[0.0]], "sigma_A": [0.5], "beta_B": [[0.0, 1.0]], "sigma_B": [1.0]}
    square = Fit.from_greeks(model, {**greeks, "beta_Y": [[0.0, 0.0, 0.0, 1.0]], "sigma_Y": [1.0]}).do(Z=0).mean("Y")
    assert abs(float(square.value) - np.exp(0.5)) < 4.0 * float(square.error)


@pytest.mark.parametrize("values, is_finite", [([-1.0, 0.5], True), ([0.5, 2.0], False)])
def test_the_rows_covariates_say_whether_a_mean_is_finite(values, is_finite):
    fit = count_of({"A": LogNormal()}, ["A", "B", "A:B"], [0.0, -1.0, 0.0, 1.0], covariates=["B"])
    query = replace(fit, data=Data(A=[1.0, 1.0], Y=[1.0, 1.0], B=values)).do(Z=0)
    if is_finite:
        assert 0.2 < float(query.mean("Y").value) < 0.6
    else:
        with refused(ValueError, "no finite mean"):
            query.mean("Y")


# ------------------------------------------------------------------ missing entries


def test_a_missing_level_of_an_interaction_is_summed_and_a_missing_number_of_one_integrated():
    model = CausalMixture(
        2, {"C": Categorical(3), "A": Gaussian(), "Y": LinearGaussian(["C", "A", "C:A"]), "X": Gaussian()}
    )
    greeks = random_greeks(model, 3)
    drawn = {name: column.double() for name, column in model.simulate(30, greeks, seed=0).items() if name != "Z"}
    gone = torch.arange(30) % 2 == 0
    summed = model.marginal(Data({**drawn, "C": torch.where(gone, torch.nan, drawn["C"])}, missing="marginalize"))
    levels = [
        model.marginal(Data({**drawn, "C": torch.where(gone, c, drawn["C"])})).pointwise(greeks) for c in range(3)
    ]
    expected = torch.where(gone, torch.stack(levels).logsumexp(0), levels[0])
    torch.testing.assert_close(summed.pointwise(greeks)[gone], expected[gone], rtol=1e-11, atol=1e-11)
    # A missing: Y is Gaussian about a line whose slope is the level's.
    g = {name: value.numpy() for name, value in greeks.items()}
    data = Data({**drawn, "A": torch.where(gone, torch.nan, drawn["A"])}, missing="marginalize")
    found = model.marginal(data).pointwise(greeks).numpy()
    for n in np.flatnonzero(gone.numpy()):
        c, y, x = (drawn[name][n].numpy() for name in "CYX")
        parts = []
        for k in range(2):
            at = [float(c == 1), float(c == 2)]
            constant = g["beta_Y"][k][:3] @ [1.0, *at]
            slope = g["beta_Y"][k][3:] @ [1.0, *at]
            spread = np.hypot(g["sigma_Y"][k], slope * g["sigma_A"][k])
            own = stats.norm.logpdf(y, constant + slope * g["mu_A"][k], spread)
            own += stats.norm.logpdf(x, g["mu_X"][k], g["sigma_X"][k]) + np.log(g["p_C"][k][int(c)])
            parts.append(own + np.log(g["theta"][k]))
        assert found[n] == pytest.approx(special.logsumexp(parts), rel=1e-11)


def gaps(name, rows):
    drawn = {key: column.double() for key, column in MODEL.simulate(40, TRUTH, seed=0).items() if key != "Z"}
    return Data({**drawn, name: torch.where(rows, torch.nan, drawn[name])}, missing="marginalize")


def test_a_product_of_known_numbers_is_known_where_another_entry_is_missing():
    """T missing, and Y missing where a child of it is known; a missing factor is refused."""
    greeks = MODEL.check_greeks(TRUTH)
    some = torch.arange(40) % 2 == 0
    marginal = MODEL.marginal(gaps("T", some))
    levels = []
    for t in (0.0, 1.0):
        columns = {name: column.clone() for name, column in gaps("T", some).columns.items()}
        columns["T"] = torch.where(some, t, columns["T"])
        levels.append(MODEL.marginal(Data(columns)).pointwise(greeks))
    expected = torch.where(some, torch.stack(levels).logsumexp(0), levels[0])
    torch.testing.assert_close(marginal.pointwise(greeks), expected, rtol=1e-11, atol=1e-11)
    at = {name: value.numpy() for name, value in greeks.items()}
    slopes = marginal.gradient(at, marginal.statistics(at))["beta_Y"]
    for place in np.ndindex(slopes.shape):
        ends = []
        for side in (1e-5, -1e-5):
            moved = at["beta_Y"].copy()
            moved[place] += side
            ends.append(float(marginal.statistics({**at, "beta_Y": moved}).log_likelihood))
        assert slopes[place] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5, abs=1e-5)
    with refused(ValueError, "column A", "missing in row 0", "where Y is known", "A:B", "drop these rows"):
        MODEL.marginal(gaps("A", some))


def test_a_mean_with_a_product_is_integrated_over_the_outcome():
    model = CausalMixture(
        2, {"A": Gaussian(), "B": Gaussian(), "Y": LinearGaussian(["A", "B", "A:B"]), "W": LinearGaussian(["Y"])}
    )
    greeks = random_greeks(model, 1)
    drawn = {name: column.double() for name, column in model.simulate(9, greeks, seed=0).items() if name != "Z"}
    gone = torch.arange(9) % 2 == 0
    data = Data({**drawn, "Y": torch.where(gone, torch.nan, drawn["Y"])}, missing="marginalize")
    found, g = model.marginal(data).pointwise(greeks).numpy(), {n: v.numpy() for n, v in greeks.items()}
    for n in np.flatnonzero(gone.numpy()):
        a, b, w = (float(drawn[name][n]) for name in "ABW")
        parts = []
        for k in range(2):
            (constant, slope), mean = g["beta_W"][k], g["beta_Y"][k] @ [1.0, a, b, a * b]
            own = stats.norm.logpdf(w, constant + slope * mean, np.hypot(g["sigma_W"][k], slope * g["sigma_Y"][k]))
            own += sum(stats.norm.logpdf(x, g[f"mu_{v}"][k], g[f"sigma_{v}"][k]) for v, x in (("A", a), ("B", b)))
            parts.append(own + np.log(g["theta"][k]))
        assert found[n] == pytest.approx(special.logsumexp(parts), rel=1e-10)


# ------------------------------------------------------------------ fits


def test_of_one_class_the_line_is_that_of_a_regression():
    """SciPy's maximum with the same design, far from 0, in units of its own; least squares for a Gaussian."""
    rng = np.random.default_rng(0)
    t, age, kind = rng.integers(0, 2, 600), rng.normal(60.0, 9.0, 600), rng.integers(0, 3, 600)
    levels = np.stack([kind == 1, kind == 2], 1) * 1.0
    design = np.column_stack([np.ones(600), t, age, levels, t * age, t[:, None] * levels, levels * age[:, None]])
    eta = design @ [-1.4, 0.4, 0.02, 0.5, -0.5, -0.01, 0.3, -0.2, -0.01, 0.01]
    count, y = rng.poisson(np.exp(eta)).astype(float), eta + rng.normal(size=600)
    terms = ["T", "age", "kind", "T:age", "T:kind", "kind:age"]
    model = CausalMixture(
        1,
        {
            "T": Bernoulli(),
            "age": Gaussian(),
            "kind": Categorical(3),
            "N": PoissonRegression(terms),
            "Y": LinearGaussian(terms),
        },
    )
    fit = EM().fit(model, Data(T=t, age=age, kind=kind, N=count, Y=y), seed=0)
    best = np.linalg.lstsq(design, y, rcond=None)[0]
    np.testing.assert_allclose(fit["beta_Y"][0], best, rtol=1e-6, atol=1e-9)
    units = np.where(design.std(0) > 0, design.std(0), 1.0)

    def value(b):
        rate = np.exp(design @ (b / units))
        return (rate - count * (design @ (b / units))).sum(), (design / units).T @ (rate - count)

    other = optimize.minimize(value, np.zeros(10), jac=True, method="BFGS", options={"gtol": 1e-7, "maxiter": 5000})
    reached = value(fit["beta_N"][0].numpy() * units)[0]
    assert reached <= other.fun + 1e-7 * abs(other.fun)


def test_what_is_simulated_is_recovered_and_without_the_interaction_it_is_not():
    model = CausalMixture(
        2,
        {"A": Gaussian(), "T": Logistic(["A"]), "X": Gaussian(), "Y": LinearGaussian(["T", "A", "T:A"])},
        latent=Gate(["A"]),
    )
    truth = {
        "beta_Z": [[-39.7, 0.8], [39.7, -0.8]],
        **{"mu_A": 50.0, "sigma_A": 1.0, "beta_T": [[49.0, -1.0], [-51.0, 1.0]]},
        **{"mu_X": [-2.0, 2.0], "sigma_X": [0.7, 0.7]},
        **{"beta_Y": [[0.0, -99.0, 0.1, 2.0], [3.0, 51.0, 0.0, -1.0]], "sigma_Y": [0.5, 0.5]},
    }
    data = Data({name: column for name, column in model.simulate(1500, truth, seed=0).items() if name != "Z"})
    fit = EM().fit(model, data, seed=0)
    fit = fit if float(fit["mu_X"].diff()) > 0 else fit.relabel([1, 0])
    # Within a class the effect of T at an age is a line in it.
    for k in (0, 1):
        effect = fit.contrast("Y", do={"T": 1, "A": 51.0, "Z": k}, versus={"T": 0, "A": 51.0, "Z": k})
        expected = truth["beta_Y"][k][1] + 51.0 * truth["beta_Y"][k][3]
        assert float(effect.value) == pytest.approx(expected, abs=0.25)
    plain = CausalMixture(2, {**model.mechanisms, "Y": LinearGaussian(["T", "A"])}, latent=Gate(["A"]))
    other = EM().fit(plain, data, seed=0)
    gain = fit.stats["log_likelihood"] - other.stats["log_likelihood"]
    assert gain > 50.0


def test_a_program_is_the_same_model():
    model = MODELS["interactions"]
    data = hidden_rows(model, 30)
    slow, fast = (objective_of(one, data, log_joint) for one in (PyroModel(model, order_by="beta_X"), model))
    greeks = {name: value.numpy() for name, value in random_greeks(model, 2).items()}
    at, there = fast.density.unconstrain(greeks), slow.density.unconstrain(greeks)
    assert float(fast.value(at)) == pytest.approx(float(slow.value(there)), rel=1e-9)


def test_a_fit_with_interactions_is_saved_and_read(tmp_path):
    model = MODELS["shared interactions of odds and counts"]
    fit = Fit.from_greeks(model, random_greeks(model, 0))
    fit.save(tmp_path / "fit")
    data = hidden_rows(model, 20)
    assert torch.equal(Fit.load(tmp_path / "fit").log_density(data), fit.log_density(data))
    gated = Fit.from_greeks(MODELS["interactions"], random_greeks(MODELS["interactions"], 0))
    gated.save(tmp_path / "gated")
    assert tuple(Fit.load(tmp_path / "gated").model.latent.parents) == ("A", "W", "W:A")


@pytest.mark.parametrize("estimator", [EM(), MAP(), NUTS(num_samples=200, warmup_steps=200)])
def test_a_whole_analysis_of_an_effect_that_an_age_moves(estimator):
    """The effect of T is 1 + 2 (age - 40) / 10 in every class: on average over the rows' ages, at one, as profiled."""
    parts = {"T": Bernoulli(), "X": Gaussian(), "Y": LinearGaussian(["T", "age", "T:age"], shared=["T", "T:age"])}
    model = CausalMixture(2, parts, covariates=["age"])
    rng = np.random.default_rng(0)
    z, age = rng.integers(0, 2, 800), rng.normal(50.0, 10.0, 800)
    t = (rng.random(800) < np.where(z == 1, 0.8, 0.2)).astype(float)
    y = 6.0 * z + 0.05 * age + t * (1.0 + 0.2 * (age - 40.0)) + 0.8 * rng.standard_normal(800)
    data = Data(T=t, age=age, X=5.0 * z + rng.standard_normal(800), Y=y)
    model = model.scaled_to(data)
    fit = estimator.fit(model, data, seed=0)
    slopes = fit.draws["shared_beta_Y"]
    for found, at in ((fit.effect("Y", of="T"), age.mean()), (fit.effect("Y", of="T", given={"age": 60.0}), 60.0)):
        np.testing.assert_allclose(found.draws.reshape(-1), slopes[:, 0] + at * slopes[:, 1], rtol=1e-9)
        assert float(found.value) == pytest.approx(1.0 + 0.2 * (at - 40.0), abs=0.4)
    if not fit.kind.has_chains:
        contrast = fit.contrast("Y", do={"T": 1, "age": 60.0}, versus={"T": 0, "age": 60.0})
        ((low, high),) = contrast.profile(0.999)
        assert low < 5.0 < high and high - low < 1.5
        spread = fit.laplace(num_draws=300, seed=0).draws["shared_beta_Y"] @ torch.tensor([1.0, 60.0]).double()
        assert 0.5 < float(spread.std()) * 2 * 3.3 / (high - low) < 2.0


# ------------------------------------------------------------------ what is refused


def test_what_is_wrong_is_said():
    parts = {"T": Bernoulli(), "A": Gaussian()}

    def line(*parents, **options):
        return CausalMixture(2, {**parts, "Y": PoissonRegression(list(parents), **options)})

    with refused(ValueError, "mechanisms['Y']", "'T:A'", "'A'", "no parent by itself", "['T', 'T:A', 'A']"):
        line("T", "T:A")
    with refused(ValueError, "'A:T'", "there already"):
        line("T", "A", "T:A", "A:T")
    with refused(ValueError, "'A:A'", "twice", "a square is a column of its own"):
        line("A", "A:A")
    with refused(ValueError, "the parent 'B' has no mechanism"):
        line("T", "T:B")
    with refused(ValueError, "'T:days'", "has no slope as the exposure"):
        parts["days"] = LogNormal()
        line("T", "T:days", exposure="days")
    with refused(ValueError, "'T:A' is an interaction, which a table has by itself"):
        CausalMixture(2, {"T": Bernoulli(), "A": Bernoulli(), "Y": Bernoulli(parents=["T", "A", "T:A"])})
    with refused(ValueError, "latent_parents", "'T:A' is an interaction", "latent=Gate(['T', 'A', 'T:A'])"):
        CausalMixture(2, parts, latent_parents=["T", "A", "T:A"])
    with refused(ValueError, "latent", "'T:A'", "no parent by itself"):
        CausalMixture(2, {**parts, "X": Gaussian()}, latent=Gate(["T", "T:A"]))
    with refused(ValueError, "'a:b' has a colon"):
        CausalMixture(2, {"a:b": Gaussian()})
    with refused(ValueError, "the parent 'V' is a column of vectors"):
        CausalMixture(2, {"V": DiagonalGaussian(2), "T": Bernoulli(), "Y": LinearGaussian(["T", "V", "T:V"])})


# ------------------------------------------------------------------ names of coefficients


def named_fit(num_draws=1):
    parts = {
        "C": Categorical(3),
        "T": Bernoulli(),
        "A": Gaussian(),
        "Y": LinearGaussian(["T", "A", "T:A", "C", "C:A"], shared=["A", "T:A"]),
        "M": MultinomialLogit(3, ["T"]),
        "X": LogNormal(),
    }
    model = CausalMixture(2, parts, latent=Gate(["A", "T", "T:A"]))
    known = Fit.from_greeks(model, random_greeks(model, 0))
    draws = {name: value.expand(num_draws, *value.shape[1:]).clone() for name, value in known.draws.items()}
    columns = {"C": pd.Categorical(["low", "mid", "high"] * 4, ["low", "mid", "high"]), "T": ["no", "yes"] * 6}
    ages, outcome = np.linspace(0.0, 1.0, 12), pd.Categorical(["a", "b", "c"] * 4)
    data = Data(pd.DataFrame({**columns, "A": ages, "Y": ages, "M": outcome, "X": ages + 1.0}))
    return replace(known, draws=draws, data=data)


def test_coefficients_are_called_by_what_they_are_of():
    entries = list(named_fit().summary().index)
    own = ["intercept", "T=yes", "C=mid", "C=high", "C=mid:A", "C=high:A"]
    for k in (0, 1):
        assert [e for e in entries if e.startswith(f"beta_Y[{k}")] == [f"beta_Y[{k}, {name}]" for name in own]
        of_z = ["intercept", "A", "T=yes", "T=yes:A"]
        assert [e for e in entries if e.startswith(f"beta_Z[{k}")] == [f"beta_Z[{k}, {name}]" for name in of_z]
    assert [e for e in entries if e.startswith("shared_")] == ["shared_beta_Y[A]", "shared_beta_Y[T=yes:A]"]
    assert [e for e in entries if e.startswith("beta_M[0")] == [
        f"beta_M[0, {level}, {name}]" for level in "bc" for name in ("intercept", "T=yes")
    ]
    assert "beta_X[0, intercept]" in entries
    # Without names levels are numbers, and a variable of two is itself.
    plain = Fit.from_greeks(named_fit().model, random_greeks(named_fit().model, 0)).summary().index
    assert {"beta_Y[0, T]", "beta_Y[0, C=2:A]", "shared_beta_Y[T:A]", "beta_M[1, 0, T]"} <= {*plain}


def test_an_export_has_the_coefficients_for_coordinates():
    posterior = named_fit(num_draws=8).to_arviz().posterior
    assert posterior["beta_Y"].dims == ("chain", "draw", "Z_class", "beta_Y_coefficient")
    assert posterior["beta_Y_coefficient"].values.tolist()[:2] == ["intercept", "T=yes"]
    assert posterior["shared_beta_Y"].sel(shared_beta_Y_coefficient="T=yes:A").shape == (1, 8)
    assert posterior["beta_M"].sel(M_odds="b", beta_M_coefficient="T=yes").shape == (1, 8, 2)


# ------------------------------------------------------------------ coordinates


@pytest.mark.parametrize("family", [LinearGaussian, Logistic, LogNormal])
def test_coordinates_of_an_interaction_far_from_0_are_next_to_independent(family):
    """Age is far from 0: as columns T and T:age are all but one; the fit is the same at any origin."""
    rng = np.random.default_rng(0)
    age, t = rng.normal(0.0, 9.0, 500), np.arange(500) % 2
    y = rng.integers(0, 2, 500) if family is Logistic else np.exp(rng.normal(size=500))
    model = CausalMixture(1, {"T": Bernoulli(), "A": Gaussian(), "Y": family(["T", "A", "T:A"])})
    values = []
    for origin in (0.0, 3000.0):
        data = Data(T=t, A=age + origin, Y=y)
        density = model.density(data)
        fit = EM().fit(model, data, seed=0)
        at = density.unconstrain({name: value.numpy()[0] for name, value in fit.draws.items()})
        information = density.information(at)
        assert np.linalg.cond(information / np.sqrt(np.outer(*[np.diag(information)] * 2))) < 10.0
        values.append(float(density.values(at).likelihood))
    assert values[0] == pytest.approx(values[1], rel=1e-9)
    design = np.column_stack([np.ones(500), t, age + 3000.0, t * (age + 3000.0)])
    scaled = design / design.std(0).clip(1.0)
    assert np.linalg.cond(scaled.T @ scaled) > 1e5


@pytest.mark.parametrize("name", ["interactions", "shared interactions of odds and counts"])
def test_slopes_in_coordinates_are_those_of_differences_at_any_origin(name):
    model = MODELS[name]
    data = hidden_rows(model, 60, seed=1)
    number = "A" if "A" in data.columns else "X"
    data = Data({**data.columns, number: data.columns[number] + 4.0})
    density = model.density(data)
    at = density.unconstrain({name: value.numpy() for name, value in random_greeks(model, 1).items()})
    greeks = density.constrain(at)
    np.testing.assert_allclose(density.unconstrain(greeks), at, rtol=1e-7, atol=1e-8)
    for gradient, expected in zip(density.evaluate(at)[1], by_differences(density, at), strict=True):
        assert gradient == pytest.approx(expected, rel=1e-5, abs=1e-3)
