"""Effects against potential outcomes that are enumerated, closed forms, and what must not change them."""

import pickle
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy.optimize import brentq, minimize_scalar
from scipy.special import expit, xlogy
from scipy.stats import chi2, norm

from estimators import (
    EM,
    CausalMixture,
    Data,
    Difference,
    Fit,
    OddsRatio,
    PyroModel,
    Ratio,
    identifiability,
    modes,
)
from estimators.mechanisms import (
    Bernoulli,
    Categorical,
    DiagonalGaussian,
    Gaussian,
    LinearGaussian,
    Logistic,
    Poisson,
    PoissonRegression,
)
from estimators.mixture.predictive import MixturePredictive
from estimators.queries.effect_table import EffectTable
from estimators.queries.estimate import combined
from estimators.queries.scales import Scale
from tests.causal_models import CONFOUNDER, known, posterior_of
from tests.models import fit_quietly
from tests.refusals import case, refused
from tests.test_next_row import of_draws
from tests.test_query_contract import MIXTURE, PROGRAM, fit_of, noisy

EFFECT: dict[str, Any] = {"do": {"T": 1}, "versus": {"T": 0}}
SCALES: dict[str, tuple[Scale, Callable[[Any, Any], Any]]] = {
    "difference": (Difference(), lambda one, other: one - other),
    "ratio": (Ratio(), lambda one, other: one / other),
    "odds ratio": (OddsRatio(), lambda one, other: one / (1 - one) / (other / (1 - other))),
}
every_scale = pytest.mark.parametrize(("scale", "compared"), SCALES.values(), ids=SCALES)

# ---------------------------------------------------------------- coins, by all ways in which rows may respond

# The causes of each variable, causes first, in the order of the axes of its table.
GRAPHS: dict[str, dict[str, list[str]]] = {
    "a confounder": {"Z": [], "T": ["Z"], "Y": ["Z", "T"]},
    "observed parents": {"Z": [], "W": ["Z"], "T": ["Z", "W"], "Y": ["Z", "W", "T"]},
    "a mediator": {"Z": [], "T": ["Z"], "M": ["Z", "T"], "Y": ["Z", "M", "T"]},
    "causes of the class": {"W": [], "Z": ["W"], "T": ["Z", "W"], "M": ["Z", "T"], "Y": ["Z", "M", "T"]},
    "the class a mediator": {"W": [], "T": ["W"], "Z": ["W", "T"], "Y": ["Z", "W", "T"]},
}
every_graph = pytest.mark.parametrize("graph", GRAPHS)
World = Mapping[str, int]


@cache
def coins(graph: str) -> Fit:
    """A graph of coins at two draws of its Greeks."""
    causes = GRAPHS[graph]
    mechanisms = {name: Bernoulli(parents=[c for c in own if c != "Z"]) for name, own in causes.items() if name != "Z"}
    model = CausalMixture(2, mechanisms, latent_parents=causes["Z"])
    draws = [model.prior_greeks(seed=seed) for seed in (1, 2)]
    return fit_of(model, {name: torch.stack([draw[name] for draw in draws]) for name in draws[0]})


@cache
def responses(graph: str, draw: int) -> list[tuple[float, World, list[float]]]:
    """Types of rows: their share, what is seen of them, and their mean of Y had T been 0, or 1.

    A type says what each variable would be whatever its causes are: a coin is tossed for each of their values.
    """
    causes, draws = GRAPHS[graph], coins(graph).draws
    tables = {name: draws["theta" if name == "Z" else f"p_{name}"][draw].numpy() for name in causes}
    tables["Z"] = tables["Z"][..., 1]
    arguments = {name: list(product((0, 1), repeat=len(own))) for name, own in causes.items() if name != "Y"}

    def argument(name: str, values: World) -> tuple[int, ...]:
        return tuple(values[cause] for cause in causes[name])

    found = []
    for coin in product(*(product((0, 1), repeat=len(each)) for each in arguments.values())):
        response = {n: dict(zip(arguments[n], values, strict=True)) for n, values in zip(arguments, coin, strict=True)}
        share = np.prod(
            [tables[n][a] if v else 1 - tables[n][a] for n, each in response.items() for a, v in each.items()]
        )
        worlds: list[dict[str, int]] = []
        for setting in ({}, {"T": 0}, {"T": 1}):
            values: dict[str, int] = {}
            for name in response:
                values[name] = setting.get(name, response[name][argument(name, values)])
            worlds.append(values)
        found.append((float(share), worlds[0], [float(tables["Y"][argument("Y", world)]) for world in worlds[1:]]))
    return found


def outcomes(graph: str, group: World) -> tuple[Any, Any]:
    """E[Y had T been 1] and E[Y had T been 0] among the rows of a group, at every draw."""
    means = []
    for draw in range(coins(graph).num_draws):
        rows = [(share, means) for share, seen, means in responses(graph, draw) if group.items() <= seen.items()]
        shares = np.array([share for share, _ in rows])
        means.append(shares @ np.array([means for _, means in rows]) / shares.sum())
    return np.array(means)[:, 1], np.array(means)[:, 0]


def groups(graph: str) -> list[World]:
    names = [name for name in GRAPHS[graph] if name in ("W", "T") or (name == "Z" and "T" not in GRAPHS[graph]["Z"])]
    return [{}, *({name: level} for name in names for level in (0, 1)), dict.fromkeys(names, 1)]


@every_graph
@every_scale
def test_effects_are_those_of_enumerated_potential_outcomes(
    graph: str, scale: Scale, compared: Callable[[Any, Any], Any]
) -> None:
    for group in groups(graph):
        found = coins(graph).effect("Y", of="T", given=group, scale=scale)
        np.testing.assert_allclose(found.draws, compared(*outcomes(graph, group)), rtol=1e-9, err_msg=str(group))
        back = coins(graph).effect("Y", of="T", levels=(1, 0), given=group, scale=scale)
        np.testing.assert_allclose(back.draws, compared(*reversed(outcomes(graph, group))), rtol=1e-9)


@every_graph
def test_these_groups_differ(graph: str) -> None:
    """The control: neither everyone's effect nor what is seen would have passed for that on the treated."""
    fit = coins(graph)
    treated = fit.effect("Y", of="T", given={"T": 1}).draws
    assert (abs(treated - fit.effect("Y", of="T").draws) > 1e-4).all()
    if graph != "the class a mediator":
        seen = fit.given(T=1).mean("Y").draws - fit.given(T=0).mean("Y").draws
        assert (abs(treated - seen) > 1e-3).all()


@every_graph
def test_everyones_effect_is_the_average_of_those_of_the_treated_and_the_untreated(graph: str) -> None:
    fit = coins(graph)
    share, table = fit.do(Y=0).mean("T").draws, fit.effect("Y", of="T", within="T").draws
    np.testing.assert_allclose(
        (1 - share) * table[:, 0] + share * table[:, 1], fit.effect("Y", of="T").draws, atol=1e-12
    )


# ---------------------------------------------------------------- lines, in closed form


def test_on_the_treated_of_lines_the_slopes_are_weighed_by_who_is_treated() -> None:
    fit = posterior_of("mediated")
    draws = {name: value.numpy() for name, value in fit.draws.items()}
    p_W = np.stack([1 - draws["p_W"], draws["p_W"]], -1)
    slopes = draws["beta_Y"][..., 2] + draws["beta_Y"][..., 1] * draws["beta_M"][..., 1]
    for level in (0, 1):
        p_T = draws["p_T"] if level else 1 - draws["p_T"]
        # theta [S, W, Z], p_T [S, Z, W].
        joint = p_W[:, :, None] * draws["theta"] * p_T.swapaxes(1, 2)
        shares = joint.sum(1) / joint.sum((1, 2))[:, None]
        found = fit.effect("Y", of="T", given={"T": level})
        np.testing.assert_allclose(found.draws, (shares * slopes).sum(1), atol=1e-12)
    found = fit.effect("Y", of="T", within=["Z", "W"], given={"T": 1})
    np.testing.assert_allclose(found.draws, np.stack([slopes, slopes], -1), atol=1e-12)


def test_a_continuous_confounder_is_integrated_over_who_is_treated() -> None:
    model = CausalMixture(
        2, {"W": Gaussian(), "T": Logistic(parents=["W"]), "Y": PoissonRegression(parents=["T", "W"])}
    )
    greeks: dict[str, Any] = {"theta": [0.4, 0.6], "mu_W": [0.0, 1.0], "sigma_W": [1.0, 0.7]}
    greeks |= {"beta_T": [[-1.0, 1.0], [0.5, -0.5]], "beta_Y": [[0.2, 0.5, 0.3], [1.0, -0.4, 0.2]]}
    fit, (theta, mu, sigma, t, y) = Fit.from_greeks(model, greeks), (np.array(value).T for value in greeks.values())
    w = np.linspace(-12.0, 12.0, 20_001)[:, None]
    density, p = theta * norm.pdf(w, mu, sigma), expit(t[0] + t[1] * w)
    means = [np.exp(y[0] + y[1] * level + y[2] * w) for level in (1, 0)]
    for given, weights in (({}, density), ({"T": 1}, density * p), ({"T": 0}, density * (1.0 - p))):
        one, other = ((weights * mean).sum() / weights.sum() for mean in means)
        for scale, compared in SCALES.values():
            if not isinstance(scale, OddsRatio):
                found = fit.effect("Y", of="T", given=given, scale=scale)
                assert float(found.value) == pytest.approx(compared(one, other), rel=1e-9) and found.error is None


def test_of_a_continuous_cause_two_values_are_compared() -> None:
    fit = posterior_of("mediated")
    found = fit.effect("Y", of="M", levels=(-1.0, 2.5), within="Z")
    np.testing.assert_allclose(found.draws, 3.5 * fit.draws["beta_Y"][..., 1], atol=1e-12)
    given = fit.effect("V", of="T", given={"W": [0, 1, 1]})
    np.testing.assert_allclose(given.draws[:, 2], fit.effect("V", of="T", given={"W": 1}).draws, atol=1e-12)
    treated = fit.effect("V", of="T", given={"W": [0, 1, 1], "T": 1})
    np.testing.assert_allclose(treated.draws[:, 2], fit.effect("V", of="T", given={"W": 1, "T": 1}).draws, atol=1e-12)


# ---------------------------------------------------------------- the same as other questions


@pytest.mark.parametrize("name", ["confounder", "mediated"])
def test_a_difference_is_the_contrast(name: str) -> None:
    fit = posterior_of(name)
    for given in ({}, {"Z": 1}):
        found, expected = fit.effect("Y", of="T", given=given), fit.contrast("Y", **EFFECT, given=given)
        assert torch.equal(found.draws, expected.draws) and found.error is None


def test_of_a_class_it_is_a_contrast_of_classes() -> None:
    fit = posterior_of("confounder")
    expected = fit.contrast("Y", do={"Z": 1}, versus={"Z": 0}).draws
    assert torch.equal(fit.effect("Y", of="Z").draws, expected)
    on_one = fit.effect("Y", of="Z", given={"Z": 1}).draws
    shares = fit.draws["p_T"][:, 1]
    slope = fit.draws["beta_Y"]
    by_hand = slope[:, 1, 0] - slope[:, 0, 0] + (slope[:, 1, 1] * shares - slope[:, 0, 1] * fit.draws["p_T"][:, 0])
    np.testing.assert_allclose(on_one, by_hand, atol=1e-12)


@pytest.mark.parametrize("given", [{}, {"T": 1}, {"Z": 0}, {"T": 0, "Z": 1}], ids=str)
def test_a_program_says_the_same(given: dict[str, int]) -> None:
    found, expected = (fit.effect("Y", of="T", given=given).draws for fit in (PROGRAM, MIXTURE))
    np.testing.assert_allclose(found, expected, atol=1e-9)


def advised(W: torch.Tensor) -> None:
    """A covariate that the program takes drives what it does to T and Y."""
    theta = pyro.sample("theta", dist.Dirichlet(torch.ones(2, dtype=torch.float64)))
    with pyro.plate("rows", len(W)):
        z = pyro.sample("Z", dist.Categorical(theta))
        t = pyro.sample("T", dist.Bernoulli(torch.sigmoid(W + z - 1.0)))
        pyro.sample("Y", dist.Normal((1.0 + z) * W * t, 1.0))


def test_on_the_treated_of_a_program_is_averaged_over_those_rows_that_are_likely_treated() -> None:
    w = torch.tensor([-1.0, 0.0, 0.5, 2.0], dtype=torch.float64)
    data = Data(W=w, T=[0, 1, 0, 1], Y=[0.0, 1.0, 2.0, 3.0])
    theta = torch.tensor([[0.3, 0.7]]).double()
    fit = replace(fit_of(PyroModel(advised), {"theta": theta}), data=data)
    z = torch.arange(2).double()
    slopes, p = (1 + z) * w[:, None], torch.sigmoid(w[:, None] + z - 1)
    for given, weights in (({}, theta), ({"T": 1}, theta * p), ({"T": 0}, theta * (1 - p))):
        weights = weights.expand(4, 2)
        expected = (weights * slopes).sum() / weights.sum()
        np.testing.assert_allclose(fit.effect("Y", of="T", given=given).draws, [expected], atol=1e-9)


def test_what_does_not_name_the_class_does_not_depend_on_labels() -> None:
    fit = known("mediated")
    for given in ({}, {"T": 1}, {"W": 1, "T": 0}):
        found = fit.relabel([1, 0]).effect("Y", of="T", given=given)
        np.testing.assert_allclose(found.draws, fit.effect("Y", of="T", given=given).draws, atol=1e-12)
    by_class, swapped = (of.effect("Y", of="T", within="Z").draws for of in (fit, fit.relabel([1, 0])))
    np.testing.assert_allclose(swapped, by_class.flip(1), atol=1e-12)
    # The control.
    assert not np.allclose(swapped, by_class, atol=0.1)


# ---------------------------------------------------------------- intervals, errors, rivals


def log_ratio(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return one.log() - other.log()


CELLS = {"T": [0.0, 0.0, 1.0, 1.0], "Y": [0.0, 1.0, 0.0, 1.0]}


def tossed(weights: list[float]) -> Fit:
    """T and Y of one class, so many rows in each of four cells."""
    model = CausalMixture(1, {"T": Bernoulli(), "Y": Bernoulli(parents=["T"])})
    return EM().fit(model, Data(**CELLS, weights=weights), seed=0)


def binomial_interval(compared: Callable[[Any, Any], Any], level: float) -> list[float]:
    """The likelihood interval for 9 of 15 against 4 of 17, by searches in one dimension along the region's edge."""

    def lost(p: float, successes: int, trials: int) -> float:
        best = xlogy(successes, successes / trials) + xlogy(trials - successes, 1 - successes / trials)
        return float(best - xlogy(successes, p) - xlogy(trials - successes, 1 - p))

    cut, ends = 0.5 * float(chi2.ppf(level, 1)), []
    for side in (-1.0, 1.0):

        def farthest(p: float, side: float = side) -> float:
            """The treated's mean as far to one side as the untreated's leaves room for, against that."""
            room = cut - lost(p, 4, 17)
            end = 1e-9 if side < 0 else 1 - 1e-9
            return side * float(np.log(compared(brentq(lambda q: lost(q, 9, 15) - room, 9 / 15, end), p)))

        low, high = (brentq(lambda p: lost(p, 4, 17) - cut * (1 - 1e-9), 4 / 17, end) for end in (1e-9, 1 - 1e-9))
        found = minimize_scalar(lambda p, of=farthest: -of(p), bounds=(low, high), method="bounded")
        ends.append(float(np.exp(-side * found.fun)))
    return ends


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("name", ["ratio", "odds ratio"])
def test_the_likelihood_interval_of_a_ratio(name: str, level: float) -> None:
    """Against searches by hand, and that of the logarithm, exponentiated."""
    scale, compared = SCALES[name]
    fit = tossed([13.0, 4.0, 6.0, 9.0])
    effect = fit.effect("Y", of="T", scale=scale)
    assert float(effect.value) == pytest.approx(compared(9 / 15, 4 / 17), rel=1e-6)
    (found,) = effect.profile(level)
    np.testing.assert_allclose(found, binomial_interval(compared, level), rtol=1e-5)
    if name == "ratio":
        means = [fit.do(T=1).mean("Y"), fit.do(T=0).mean("Y")]
        (logs,) = combined(log_ratio, means, are_independent=True).profile(level)
        np.testing.assert_allclose(np.exp(logs), found, rtol=1e-5)


def test_a_ratio_over_what_may_be_0_has_no_end_and_one_of_it_begins_at_0() -> None:
    """Of lines, whose means may be below 0: from the level on at which the interval of the one below reaches 0."""
    rng, t = np.random.default_rng(1), np.arange(30) % 2
    model = CausalMixture(1, {"T": Bernoulli(), "Y": LinearGaussian(parents=["T"])})
    fit = EM().fit(model, {"T": t, "Y": 0.4 + t + rng.normal(0.0, 1.0, 30)}, seed=0)
    over, under = (fit.effect("Y", of="T", levels=levels, scale=Ratio()) for levels in ((0, 1), (1, 0)))
    for level, has_end in ((0.5, True), (0.9, False)):
        assert (fit.do(T=0).mean("Y").profile(level)[0].low > 0.0) == has_end
        ((low, high),), ((other_low, other_high),) = over.profile(level), under.profile(level)
        assert (high < np.inf) == (other_low > 0.0) == has_end
        np.testing.assert_allclose([other_low, other_high], [1 / high, 1 / low], rtol=1e-5)


def test_the_likelihood_interval_of_a_ratio_begins_at_0_where_the_estimate_is() -> None:
    effect = tossed([13.0, 4.0, 15.0, 0.0]).effect("Y", of="T", scale=Ratio())
    (interval,) = effect.profile()
    assert float(effect.value) == pytest.approx(0.0, abs=1e-9) and interval.low == pytest.approx(0.0, abs=1e-9)
    assert 0.1 < interval.high < 1.0


def test_quantiles_of_a_ratio_are_those_of_its_logarithm() -> None:
    """At order statistics, where nothing is interpolated."""
    fit = posterior_of("confounder", num_draws=11)
    logs = combined(log_ratio, [fit.do(T=t).mean("Y") for t in (1, 0)], are_independent=True)
    found, expected = fit.effect("Y", of="T", scale=Ratio()).interval(0.8), logs.interval(0.8)
    np.testing.assert_allclose(found, [end.exp() for end in expected], rtol=1e-12)


def test_the_error_of_a_ratio_is_by_the_delta_method() -> None:
    fit = fit_of(PyroModel(noisy), {"theta": torch.tensor([[0.4, 0.6]]).double()})
    one, other = fit.do(W=1).mean("Y"), fit.do(W=0).mean("Y")
    assert one.error is not None and other.error is not None
    effect = fit.effect("Y", of="W", scale=Ratio())
    # Simulations that share random numbers: the sum, which the error is at most.
    expected = one.error / other.draws + one.draws * other.error / other.draws.square()
    np.testing.assert_allclose(effect.error, expected, rtol=1e-12)
    table = fit.effect("Y", of="W", within="Z")
    assert isinstance(table, EffectTable) and "error" in table.table()


BY_NUMBER = CausalMixture(2, {"V": Gaussian(), "T": Bernoulli(), "Y": LinearGaussian(["T", "V", "T:V"])})
BY_QUADRATURE = CausalMixture(2, {"V": Gaussian(), "T": Bernoulli(), "Y": Logistic(["T", "V"])})


@pytest.mark.parametrize("model", [BY_NUMBER, BY_QUADRATURE, CONFOUNDER], ids=["a number", "quadrature", "levels"])
def test_two_means_are_one_question_of_two_rows(model: CausalMixture, monkeypatch: pytest.MonkeyPatch) -> None:
    fit = of_draws(model, 5)
    one, other = (fit.do(T=level).mean("Y") for level in (1, 0))
    asked = []
    mean = MixturePredictive.mean
    monkeypatch.setattr(MixturePredictive, "mean", lambda self, name: asked.append(name) or mean(self, name))
    found = fit.effect("Y", of="T", scale=Ratio() if model is BY_QUADRATURE else Difference())
    expected = one.draws / other.draws if model is BY_QUADRATURE else one.draws - other.draws
    torch.testing.assert_close(found.draws, expected, rtol=1e-10, atol=1e-10)
    assert asked == ["Y"] and found.num_chains == one.num_chains
    # At other Greeks, too: the question is asked once for both means, and what was kept of it is not pickled.
    greeks = dict(of_draws(model, 3).draws)
    assert found.source is not None
    again = pickle.loads(pickle.dumps(found.source)).values(greeks).values
    assert len(asked) == 2
    there = replace(fit, draws=greeks, num_chains=1)
    one, other = (there.do(T=level).mean("Y") for level in (1, 0))
    expected = one.draws / other.draws if model is BY_QUADRATURE else one.draws - other.draws
    torch.testing.assert_close(again, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "do, versus",
    [
        ({"T": 1}, {"T": dist.Bernoulli(torch.tensor(0.3))}),
        ({"T": [1, 0, 1]}, {"T": 0}),
        ({"T": 1, "V": 0.5}, {"T": 0}),
        ({"T": 1, "V": dist.Exponential(torch.tensor(1.0))}, {"T": 0, "V": 2.0}),
    ],
    ids=["a law", "values per row", "other variables", "an open law"],
)
def test_other_contrasts_are_two_questions(do: Any, versus: Any) -> None:
    fit = of_draws(BY_QUADRATURE, 3)
    found = fit.contrast("Y", do=do, versus=versus).draws
    one, other = (fit.do(**settings).mean("Y").draws for settings in (do, versus))
    expected = one - (other[:, None] if one.ndim > other.ndim else other)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


KNOWN = CausalMixture(
    2,
    {"T": Bernoulli(), "C": Poisson(), "W": Bernoulli(caused_by_latent=False), "Y": Gaussian()},
    latent_parents=["W"],
    covariates={"A": None},
)


def test_what_is_known_is_the_same_under_both() -> None:
    fit = of_draws(KNOWN, 3)
    rows = {name: [1.0, 1.0] for name in ("T", "C", "W", "Y", "A")}
    for name, given in (
        ("Y", {"Y": 0.3}),
        ("C", {"C": 3}),
        ("W", {"unit": rows}),
        ("A", {"A": 0.0}),
    ):
        found = fit.contrast(name, **EFFECT, given=given).draws
        assert found.shape == (3,) and bool((found == 0.0).all())
    assert bool((fit.contrast("C", **EFFECT, given={"C": 3}, event=3).draws == 0.0).all())
    assert bool((fit.effect("Y", of="T", given={"Y": 0.3}).draws == 0.0).all())
    assert fit.contrast("T", **EFFECT).draws.tolist() == [1.0, 1.0, 1.0]
    vectors = CausalMixture(2, {"V": DiagonalGaussian(2), "T": Bernoulli()})
    greeks = {"theta": [0.4, 0.6], "mu_V": [[0.0, 1.0], [2.0, 3.0]], "sigma_V": [[1.0, 1.0]] * 2, "p_T": [0.3, 0.6]}
    known = Fit.from_greeks(vectors, greeks)
    assert known.contrast("V", **EFFECT, given={"V": [0.3, 0.1]}).draws.tolist() == [[0.0, 0.0]]


# Equal spreads: the effects -1 and .8 have one law of the rows.
PAIRED = {"theta": [0.4, 0.6], "p_T": [0.2, 0.8], "beta_Y": [[0.0, -1.0], [3.0, -1.0]], "sigma_Y": [0.7, 0.7]}


@pytest.fixture(scope="module")
def paired() -> Fit:
    rows = CONFOUNDER.simulate(1000, PAIRED, seed=0)
    return fit_quietly(EM(), CONFOUNDER, Data(T=rows["T"], Y=rows["Y"]), seed=0, search=modes.Search())


def test_rivals_are_those_of_the_effect(paired: Fit) -> None:
    everyone, treated = (paired.effect("Y", of="T", given=given) for given in ({}, {"T": 1}))
    assert sorted([float(everyone.value), *everyone.rivals.tolist()]) == pytest.approx([-1.0, 0.8], abs=0.35)
    # Of the treated, 6/7 are in the second class of the one; in the other, as many have the second line.
    assert float(treated.rivals) == float(paired.modes[1].effect("Y", of="T", given={"T": 1}).value)
    assert len(everyone.profile()) == len(treated.profile()) == 2
    table = paired.effect("Y", of="T", within="T")
    assert isinstance(table, EffectTable) and list(table.table().columns) == ["value", "rival 1"]
    np.testing.assert_allclose(table.rivals[:, 1], treated.rivals, atol=1e-12)
    assert "rival 1" in repr(table)


def test_an_effect_survives_pickling_with_its_interval(paired: Fit) -> None:
    for scale in (Difference(), Ratio()):
        effect = paired.effect("Y", of="T", given={"T": 1}, scale=scale)
        assert pickle.loads(pickle.dumps(effect)).profile() == effect.profile()
    table = paired.effect("Y", of="T", within="Z")
    assert repr(pickle.loads(pickle.dumps(table))) == repr(table)


def test_what_the_law_leaves_open_of_an_effect_is_said() -> None:
    found = identifiability(CONFOUNDER, PAIRED, query=lambda fit: fit.effect("Y", of="T", within="T"))
    assert "the answer[0]: one of -1, 0.36" in str(found)
    assert "the answer[1]: one of -1, 1.14" in str(found)


# ---------------------------------------------------------------- names, and what is refused


@cache
def named() -> Fit:
    rows = CONFOUNDER.simulate(
        60, {"theta": [0.4, 0.6], "p_T": [0.2, 0.8], "beta_Y": [[1.0, 2.0], [9.0, 1.0]], "sigma_Y": [0.5, 1.0]}, seed=0
    )
    frame = pd.DataFrame({"T": np.where(rows["T"] == 1, "treated", "control"), "Y": rows["Y"]})
    return EM().fit(CONFOUNDER, frame, seed=0).relabel({"mild": 0, "severe": 1})


def test_levels_and_labels_are_named() -> None:
    fit = named()
    effect = fit.effect("Y", of="T", levels=("control", "treated"), given={"T": "treated", "Z": "severe"})
    assert torch.equal(effect.draws, fit.effect("Y", of="T", given={"T": 1, "Z": 1}).draws)
    table = fit.effect("Y", of="T", within=["Z", "T"])
    assert isinstance(table, EffectTable)
    frame = table.table()
    assert table.value.shape == (2, 2) and list(frame.index.names) == ["Z", "T"]
    assert frame.loc[("severe", "treated"), "value"] == pytest.approx(float(effect.value), abs=1e-12)
    one = fit.effect("Y", of="T", within="Z")
    assert [row.split()[0] for row in repr(one).splitlines()[1:]] == ["mild", "severe"]


@pytest.mark.parametrize("level", [True, np.True_, np.int64(1), 1.0, torch.tensor(1), torch.tensor(True)])
def test_a_level_is_a_number_of_any_type(level: Any) -> None:
    expected = PLAIN.effect("Y", of="T", given={"T": 1}).draws
    assert torch.equal(PLAIN.effect("Y", of="T", given={"T": level}).draws, expected)
    assert torch.equal(PLAIN.effect("Y", of="T", levels=(False, level), given={"T": 1}).draws, expected)


THREE = CausalMixture(2, {"C": Categorical(3), "Y": LinearGaussian(parents=["C"]), "X": DiagonalGaussian(2)})
LEVELS = Fit.from_greeks(THREE, THREE.prior_greeks(seed=0))
PLAIN, COINS = known("mediated"), coins("a mediator")
REFUSED = [
    case("no such outcome", lambda: PLAIN.effect("Q", of="T"), ValueError, "effect: expected a variable", "'Q'"),
    case("no such cause", lambda: PLAIN.effect("Y", of="Q"), ValueError, "effect: expected a variable", "'Q'"),
    case("no such group", lambda: PLAIN.effect("Y", of="T", within="Q"), ValueError, "expected a variable", "'Q'"),
    case(
        "vectors", lambda: LEVELS.effect("X", of="C", levels=(0, 1)), ValueError, "X is a column of vectors", "contrast"
    ),
    case(
        "three levels", lambda: LEVELS.effect("Y", of="C"), ValueError, "levels: expected two values of C", "3 levels"
    ),
    case("no levels", lambda: PLAIN.effect("Y", of="M"), ValueError, "levels: expected two", "M, which has no levels"),
    case(
        "one level",
        lambda: PLAIN.effect("Y", of="T", levels="treated"),
        ValueError,
        "levels: expected two",
        "'treated'",
    ),
    case("a level it has not", lambda: PLAIN.effect("Y", of="T", levels=(0, 7)), ValueError, "T in do(...)", "[7.0]"),
    case(
        "a name it has not",
        lambda: named().effect("Y", of="T", levels=("a", "b")),
        ValueError,
        "levels: T has no level 'a'",
    ),
    case(
        "a mediator",
        lambda: PLAIN.effect("Y", of="T", within="M"),
        ValueError,
        "M depends on T",
        "cross-world",
        "contrast",
    ),
    case("an effect of it", lambda: PLAIN.effect("Y", of="T", given={"V": 0.5}), ValueError, "V depends on T"),
    case(
        "a class below it", lambda: PLAIN.effect("Y", of="W", within="Z"), ValueError, "Z depends on W", "cross-world"
    ),
    case("below it in a program", lambda: PROGRAM.effect("Z", of="T", given={"Y": 1.0}), ValueError, "Y depends on T"),
    case(
        "one of three levels",
        lambda: LEVELS.effect("Y", of="C", levels=(0, 1), given={"C": 1}),
        ValueError,
        "C",
        "two levels",
        "counterfactual",
    ),
    case(
        "a value of a line",
        lambda: PLAIN.effect("Y", of="M", levels=(0, 1), given={"M": 1}),
        ValueError,
        "M may be given",
        "two levels",
    ),
    case(
        "no level of what was",
        lambda: PLAIN.effect("Y", of="T", given={"T": 2}),
        ValueError,
        "T expects a level of [0.0, 1.0]",
        "2",
    ),
    case("what was, by row", lambda: PLAIN.effect("Y", of="T", given={"T": [0, 1]}), ValueError, "T expects a level"),
    case("no levels within", lambda: PLAIN.effect("V", of="T", within="M"), ValueError, "M depends on T"),
    case("nothing to list", lambda: PLAIN.effect("V", of="Z", within="V"), ValueError, "V depends on Z"),
    case("no list of values", lambda: LEVELS.effect("C", of="Z", within="Y"), ValueError, "Y depends on Z"),
    case(
        "odds of a number",
        lambda: PLAIN.effect("Y", of="T", scale=OddsRatio()),
        ValueError,
        "OddsRatio",
        "Y has no levels",
    ),
    case(
        "odds of three",
        lambda: LEVELS.effect("C", of="Z", scale=OddsRatio()),
        ValueError,
        "OddsRatio",
        "C has 3 levels",
    ),
    case(
        "a class of scales",
        lambda: PLAIN.effect("Y", of="T", scale=Ratio),
        TypeError,
        "scale: expected Difference()",
        "Ratio",
    ),
    case("a scale by name", lambda: PLAIN.effect("Y", of="T", scale="ratio"), TypeError, "scale: expected", "'ratio'"),
    case(
        "a ratio of what is below 0",
        lambda: PLAIN.effect("M", of="T", scale=Ratio(), given={"Z": 0, "W": 0}),
        ValueError,
        "Ratio",
    ),
    case(
        "odds of never",
        lambda: tossed([17.0, 0.0, 6.0, 9.0]).effect("Y", of="T", scale=OddsRatio()),
        *(ValueError, "OddsRatio", "for Y", "Difference()"),
    ),
    case(
        "a table by row", lambda: PLAIN.effect("V", of="T", within="Z", given={"W": [0, 1]}), ValueError, "within", "2"
    ),
]


@pytest.mark.parametrize(("call", "error", "parts"), REFUSED)
def test_what_has_no_answer_is_refused(call: Callable[[], Any], error: type[Exception], parts: tuple[str, ...]) -> None:
    with refused(error, *parts):
        call()
