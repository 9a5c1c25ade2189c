"""Scenarios: what is simulated has the law it says, and what is true of it is true by independent computation."""

import math
import pickle
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
from pyro.distributions import HalfNormal, Normal
from scipy import stats

from estimators import EM, CausalMixture, Data, Fit, GaussianMixture, PyroModel
from estimators.mechanisms import Bernoulli, Gaussian, LinearGaussian
from tests.validation.studies import SCENARIOS
from validation.scenarios import (
    STANDARD_SCENARIOS,
    Contrast,
    Design,
    Intervention,
    OtherNoise,
    Partly,
    PriorTruth,
    Role,
    Scenario,
    Seeds,
    Truth,
    contrasts,
    do_each,
)
from validation.scenarios.asymptotics import quantities
from validation.scenarios.misspecified import MISSPECIFIED
from validation.scenarios.outcomes import Predicted
from validation.study.measure import target_of

SEEDS = Seeds(1, 2, 3, 4, 5, 6)


def seeds(n, root):
    """`n` sets of independent seeds."""
    state = np.random.SeedSequence(root).generate_state(n * len(Seeds._fields)).reshape(n, -1)
    return [Seeds(*map(int, row)) for row in state]


# ---------------------------------------------------------------- all of them


def test_what_is_asked_for_is_there():
    sources = {scenario.source.truth for scenario in STANDARD_SCENARIOS}
    assert sources == set(Truth) - {Truth.POSTERIOR}  # which needs a fit to somebody's rows
    assert {s.model.hidden["Z"] for s in STANDARD_SCENARIOS if "Z" in s.model.hidden} >= {2, 5}
    assert len(SCENARIOS) == len(STANDARD_SCENARIOS), "names are unique"
    grid = {f"{kind}_{n}" for kind in ("separated", "overlapping", "separated_unbalanced") for n in (100, 300, 1000)}
    assert grid <= set(SCENARIOS)
    assert SCENARIOS["tutorial_prior"].role is SCENARIOS["few_rows"].role is Role.HARD


@pytest.mark.parametrize("name", SCENARIOS)
def test_each_can_be_sent_drawn_and_asked(name):
    scenario = pickle.loads(pickle.dumps(SCENARIOS[name]))
    drawn, again = scenario.source.draw(scenario, SEEDS), scenario.source.draw(scenario, SEEDS)
    assert drawn.data.num_rows == scenario.num_rows
    for column in drawn.data.columns:
        assert torch.equal(drawn.data.columns[column], again.data.columns[column])
    assert scenario.sentence.endswith(".")
    if not scenario.source.truth.is_posterior:
        other = scenario.source.draw(scenario, Seeds(7, 8, 9, 10, 11, 12))
        there = other.data.columns
        assert any(c not in there or not torch.equal(drawn.data.columns[c], there[c]) for c in drawn.data.columns)
    scenario = scenario.of(drawn)
    if drawn.greeks is not None:
        known = scenario.model.check_greeks(drawn.greeks)
        found = quantities(scenario, Fit.from_greeks(scenario.model, known))
        assert all(math.isfinite(value) for value in found.values())
        assert {each.name for each in contrasts(scenario.interventions)} <= set(found)


def test_a_scenario_is_frozen():
    with pytest.raises(FrozenInstanceError):
        SCENARIOS["five_points"].num_rows = 3


# ---------------------------------------------------------------- truths by independent computation


def hidden_confounder_law(t):
    """p(Y | do(T=t)) of the hidden confounder, as SciPy has it: Z keeps its own weights."""
    scenario = SCENARIOS["hidden_confounder"]
    greeks = {name: np.asarray(value) for name, value in scenario.source.greeks.items()}
    return [
        (weight, stats.norm(beta[0] + beta[1] * t, sigma))
        for weight, beta, sigma in zip(greeks["theta"], greeks["beta_Y"], greeks["sigma_Y"], strict=True)
    ]


@pytest.mark.parametrize("t", [0, 1])
def test_do_of_the_hidden_confounder_is_not_what_is_seen(t):
    scenario = SCENARIOS["hidden_confounder"]
    drawn = scenario.source.draw(scenario, SEEDS)
    target = target_of(scenario, drawn, None, SEEDS)
    law = hidden_confounder_law(t)
    y = np.linspace(-6, 10, 81)
    assert target.outcomes[t].law.logpdf(y) == pytest.approx(np.log(sum(w * p.pdf(y) for w, p in law)), abs=1e-9)
    assert target.outcomes[t].law.cdf(y) == pytest.approx(sum(w * p.cdf(y) for w, p in law), abs=1e-9)
    mean = sum(w * p.mean() for w, p in law)
    assert target.quantities[f"E[Y | do(T={t})]"] == pytest.approx(mean, abs=1e-9)
    p_t = np.asarray(scenario.source.greeks["p_T"])
    seen = np.array([w for w, _ in law]) * (p_t if t else 1 - p_t)
    conditional = sum(w * p.mean() for w, (_, p) in zip(seen / seen.sum(), law, strict=True))
    assert abs(conditional - mean) > 0.5, "or there would be nothing to get wrong"


@pytest.mark.statistical(min_effect=0.06)
def test_a_fresh_experiment_has_the_interventional_law(stat):
    scenario = SCENARIOS["hidden_confounder"]
    target = target_of(scenario, scenario.source.draw(scenario, SEEDS), None, SEEDS)
    y = target.outcomes[1].law.draw(4000, seed=stat.seed)
    law = hidden_confounder_law(1)
    stat.cdf(y, lambda v: sum(w * p.cdf(v) for w, p in law))
    with stat.control():
        stat.cdf(y - 0.4, lambda v: sum(w * p.cdf(v) for w, p in law))


@pytest.mark.parametrize("name", ["hidden_confounder", "partly_seen", "partly_set", "unknown_scales"])
@pytest.mark.statistical(min_effect=0.08)
def test_rows_have_the_law_of_the_model(stat, name):
    """Many rows: class sizes among rows that nobody set, and the law of a column, against SciPy's."""
    scenario = SCENARIOS[name]
    greeks = {key: np.asarray(value) for key, value in scenario.source.greeks.items()}
    draws = [scenario.source.draw(scenario, each).data for each in seeds(20, stat.seed)]
    if name == "hidden_confounder":
        treated = int(sum(float(data.columns["T"].sum()) for data in draws))
        rows = sum(data.num_rows for data in draws)
        expected = float(greeks["theta"] @ greeks["p_T"])
        stat.proportion(treated, rows, expected)
        return
    outcome = np.concatenate([np.asarray(data.columns["X"])[~np.asarray(data.is_set("Z"))] for data in draws])
    sigma = greeks.get("sigma_X", np.ones(2))

    def cdf(x):
        parts = zip(greeks["theta"], greeks["mu_X"], sigma, strict=True)
        return sum(weight * stats.norm.cdf(x, mu, s) for weight, mu, s in parts)

    stat.cdf(outcome, cdf)
    with stat.control():
        stat.cdf(outcome + 0.5, cdf)


@pytest.mark.statistical(checks=2, min_effect=0.08)
def test_what_is_seen_and_set(stat):
    seen = SCENARIOS["partly_seen"].source.draw(SCENARIOS["partly_seen"], SEEDS).data
    assert int((seen.latent() >= 0).sum()) == 100 and not seen.is_set("Z").any()
    told = [int((each.latent()[each.latent() >= 0] == 1).sum()) for each in many("partly_seen", stat.seed)]
    stat.proportion(sum(told), 100 * len(told), 0.6)  # seen labels follow the weights
    with stat.control():
        stat.proportion(sum(told), 100 * len(told), 0.5)
    partly_set = SCENARIOS["partly_set"].source.draw(SCENARIOS["partly_set"], SEEDS).data
    is_set = partly_set.is_set("Z")
    assert int(is_set.sum()) == 100 and torch.equal(is_set, partly_set.latent() >= 0)
    assert int(partly_set.latent()[is_set].sum()) == 50, "set to each label in turn"
    means = np.array(
        [
            float(each.columns["X"][each.is_set("Z") & (each.latent() == 1)].mean())
            for each in many("partly_set", stat.seed)
        ]
    )
    stat.mean(means, 1.25, min_effect=0.3, skewness=0.0)
    with stat.control():
        stat.mean(means, 0.95, skewness=0.0)


def many(name, root):
    return [SCENARIOS[name].source.draw(SCENARIOS[name], each).data for each in seeds(30, root)]


# ---------------------------------------------------------------- truths from the prior


@pytest.mark.slow
@pytest.mark.statistical(checks=2, min_effect=0.15)
def test_truths_have_the_prior(stat):
    scenario = SCENARIOS["prior_truths"]
    greeks = [PriorTruth().draw(replace(scenario, num_rows=1), each).greeks for each in seeds(800, stat.seed)]
    mu = np.array([each["mu_X"] for each in greeks])
    theta = np.array([each["theta"] for each in greeks])
    assert (mu[:, 0] <= mu[:, 1]).all(), "labels are free, so truths are sorted"
    # The larger of two normals, and a weight of Dirichlet(5, 5), which does not know which mean is larger.
    stat.cdf(mu[:, 1], lambda x: stats.norm.cdf(x, 0, 10) ** 2)
    stat.cdf(theta[:, 0], stats.beta(5, 5).cdf)
    with stat.control():
        stat.cdf(mu[:, 1], lambda x: stats.norm.cdf(x, 0, 10))
        stat.cdf(theta[:, 0], stats.beta(1, 1).cdf)


@pytest.mark.statistical(min_effect=0.3)
def test_truths_of_pinned_labels_are_not_sorted(stat):
    scenario = SCENARIOS["prior_truths_set"]
    mu = np.array([scenario.source.draw(scenario, each).greeks["mu_X"] for each in seeds(200, stat.seed)])
    stat.proportion(int((mu[:, 0] < mu[:, 1]).sum()), len(mu), 0.5)
    mu.sort(axis=1)
    with stat.control():
        stat.proportion(int((mu[:, 0] < mu[:, 1]).sum()), len(mu), 0.5)


# ---------------------------------------------------------------- noise that is not the model's


@pytest.mark.parametrize("scenario", MISSPECIFIED, ids=lambda scenario: scenario.name)
@pytest.mark.statistical(checks=2, min_effect=0.07)
def test_other_noise(stat, scenario):
    source = scenario.source
    assert isinstance(source, OtherNoise)
    assert source.noise.stats() == pytest.approx((0.0, 1.0)), "of mean 0 and standard deviation 1"
    drawn = scenario.source.draw(scenario, SEEDS)
    assert drawn.greeks is None
    target = target_of(scenario, drawn, None, SEEDS)
    assert target.quantities["E[X | do(Z=1)] − E[X | do(Z=0)]"] == 6.0
    outcome = target.outcomes[1].law
    x = np.linspace(-1, 9, 11)
    assert outcome.cdf(x) == pytest.approx(source.noise.cdf(x - 3.0))
    stat.cdf(outcome.draw(4000, seed=stat.seed), outcome.cdf)
    rows = np.concatenate(
        [np.asarray(scenario.source.draw(scenario, each).data.columns["X"]) for each in seeds(8, stat.seed)]
    )
    cdf = lambda v: 0.4 * source.noise.cdf(v + 3.0) + 0.6 * source.noise.cdf(v - 3.0)  # noqa: E731
    stat.cdf(rows, cdf)
    with stat.control():
        stat.cdf(rows, lambda v: 0.4 * stats.norm.cdf(v + 3) + 0.6 * stats.norm.cdf(v - 3))


# ---------------------------------------------------------------- one's own


def graph():
    outcome = LinearGaussian(parents=["T"], coefficients=Normal(0, 10), scale=HalfNormal(5))
    return CausalMixture(2, {"T": Bernoulli(), "Y": outcome}, concentration=1.0)


GREEKS = {"theta": (0.4, 0.6), "p_T": (0.2, 0.8), "beta_Y": ((0.0, -1.0), (5.0, -1.5)), "sigma_Y": (0.7, 1.4)}


def test_a_design_is_read_off_the_data_and_made_again():
    n = 12
    t = np.array([0.0, 1.0] * 6)
    y = np.linspace(0, 1, n)
    y[[2, 5]] = np.nan
    z = np.array([0, 1, -1, -1, 0, 1, -1, -1, -1, -1, -1, -1])
    data = Data(
        T=t,
        Y=y,
        Z=z,
        intervened={"T": np.arange(n) % 3 == 0, "Z": np.arange(n) < 2},
        weights=np.linspace(1, 2, n),
        missing="marginalize",
    )
    made = Design.of(data).simulate(graph(), {k: np.asarray(v) for k, v in GREEKS.items()}, hidden=("Z",), seed=3)
    for name in ("T", "Z"):
        assert torch.equal(made.is_set(name), data.is_set(name))
    assert torch.equal(made.columns["T"][made.is_set("T")], data.columns["T"][data.is_set("T")])
    assert torch.equal(made.latent() >= 0, data.latent() >= 0)
    assert torch.equal(made.latent()[:2], data.latent()[:2]), "what was set keeps its value"
    assert torch.equal(made.is_missing("Y"), data.is_missing("Y"))
    assert torch.equal(made.weights, data.weights)
    doubled = Design.of(data).repeated(2)
    assert doubled.num_rows == 2 * n and int(doubled.missing["Y"].sum()) == 4


@pytest.mark.statistical(checks=2, min_effect=0.05)
def test_rows_under_settings_follow_the_truncated_factorisation(stat):
    """T set in half of the rows: in these Z keeps its weights and Y follows from the T that was set."""
    design = Design(20_000, {"T": np.where(np.arange(20_000) % 2 == 0, 1.0, np.nan)})
    greeks = {name: np.asarray(value) for name, value in GREEKS.items()}
    data = design.simulate(graph(), greeks, hidden=("Z",), seed=stat.seed)
    is_set = np.asarray(data.is_set("T"))
    y = np.asarray(data.columns["Y"])[is_set]

    def cdf(v, weights=(0.4, 0.6)):
        return weights[0] * stats.norm.cdf(v, -1.0, 0.7) + weights[1] * stats.norm.cdf(v, 3.5, 1.4)

    stat.cdf(y, cdf)
    seen = np.array([0.4 * 0.2, 0.6 * 0.8])
    with stat.control():  # as if T=1 had been seen
        stat.cdf(y, lambda v: cdf(v, seen / seen.sum()))
    free = np.asarray(data.columns["T"])[~is_set]
    stat.proportion(int(free.sum()), len(free), 0.4 * 0.2 + 0.6 * 0.8)


@pytest.mark.parametrize(("seen", "chosen"), [(0.8, 0.3), (-0.1, 0.0), (0.0, 1.2)])
def test_shares_that_cannot_be(seen, chosen):
    with pytest.raises(ValueError, match="seen, set: expected shares that add up to at most 1"):
        Design.partly(100, K=2, seen=seen, set=chosen)


def test_from_fit_keeps_the_fit_and_the_pattern():
    data = Data(
        X=[0.0, 1.0, 10.0, 11.0, 12.0], Z=[0, -1, -1, 1, -1], intervened={"Z": [True, False, False, False, False]}
    )
    fit = EM(progress_bar=False).fit(GaussianMixture(K=2), data, seed=0)
    scenario = Scenario.from_fit(fit)
    assert scenario.source.greeks["mu_X"] == fit["mu_X"].tolist()
    assert scenario.num_rows == 5 and scenario.name == "mine" and not scenario.sorts
    assert scenario.interventions == do_each(2)
    made = scenario.source.draw(scenario, SEEDS).data
    assert torch.equal(made.is_set("Z"), data.is_set("Z"))
    assert torch.equal(made.latent() >= 0, data.latent() >= 0)
    assert pickle.loads(pickle.dumps(scenario)).source.greeks == scenario.source.greeks


def test_from_fit_of_several_columns_asks_each():
    model = CausalMixture(2, dict.fromkeys(("A", "B"), Gaussian(loc=Normal(0, 10), scale=1.0)))
    greeks = {"theta": (0.5, 0.5), "mu_A": (0.0, 1.0), "mu_B": (2.0, 3.0)}
    fit = replace(Fit.from_greeks(model, greeks), data=Data(A=[0.0, 1.0], B=[2.0, 3.0]))
    assert Scenario.from_fit(fit).interventions == (*do_each(2, "A"), *do_each(2, "B"))
    asked = (Intervention("B", {"A": 1}),)
    assert Scenario.from_fit(fit, interventions=asked).interventions == asked
    with pytest.raises(ValueError, match="nowhere"):
        Scenario.from_fit(fit, interventions=(Intervention("A", {"nowhere": 1}),))
    with pytest.raises(ValueError, match="expected a fit to data, got one of kind"):
        Scenario.from_fit(Fit.from_greeks(model, greeks))


def program(N=1):
    import pyro
    from pyro.distributions import Categorical, Dirichlet

    theta = pyro.sample("theta", Dirichlet(torch.ones(2, dtype=torch.float64)))
    mu = pyro.sample("mu", Normal(torch.zeros(2, dtype=torch.float64), 10.0).to_event(1))
    with pyro.plate("rows", N):
        z = pyro.sample("regime", Categorical(theta), infer={"enumerate": "parallel"})
        return pyro.sample("X", Normal(mu[z], 1.0))


def test_data_sets_like_rows_with_names_have_the_names():
    model = CausalMixture(2, {"T": Bernoulli(), "Y": LinearGaussian(parents=["T"])})
    greeks = {"theta": [0.4, 0.6], "p_T": [0.2, 0.8], "beta_Y": [[0.0, -1.0], [3.0, -1.0]], "sigma_Y": [0.5, 1.0]}
    rows = model.simulate(60, greeks, seed=0)
    data = Data(T=np.array(["control", "treated"])[rows["T"].long()], Y=rows["Y"])
    known = Fit.from_greeks(model, greeks)
    several = {name: value.expand(2, *value.shape[1:]) for name, value in known.draws.items()}
    asked = (Intervention("Y", {"T": "control"}), Intervention("Y", {"T": 1}))
    for make, fit in (
        (Scenario.from_fit, replace(known, data=data)),
        (Scenario.from_fit, replace(known, data=data.replace(weights=[2.0] * 60))),
        (Scenario.around_posterior, replace(known, data=data, draws=several)),
    ):
        scenario = pickle.loads(pickle.dumps(make(fit, interventions=asked)))
        assert [one.name for one in scenario.interventions] == ["Y | do(T=control)", "Y | do(T=treated)"]
        assert [one.settings for one in scenario.interventions] == [{"T": 0}, {"T": 1}]
        drawn = scenario.source.draw(scenario, SEEDS).data
        assert dict(drawn.levels) == {"T": ("control", "treated")}
        with pytest.raises(ValueError, match=r"do: T has no level 'placebo'; it has \['control', 'treated'\]"):
            make(fit, interventions=(Intervention("Y", {"T": "placebo"}),))


def test_from_fit_of_a_program():
    model = PyroModel(program)
    fit = replace(Fit.from_greeks(model, {"theta": (0.3, 0.7), "mu": (-4.0, 4.0)}), data=Data(X=[0.0, 1.0, 2.0]))
    with pytest.raises(ValueError, match="say what is asked of a Pyro program"):
        Scenario.from_fit(fit)
    scenario = Scenario.from_fit(fit, interventions=(Intervention("X", {"regime": 1}),))
    drawn = scenario.source.draw(scenario, SEEDS).data
    assert set(drawn.columns) == {"X"} and drawn.num_rows == 3
    weighted = replace(fit, data=Data(X=[0.0, 1.0, 2.0], weights=[1.0, 2.0, 1.0]))
    with pytest.raises(ValueError, match="only where nothing is set or seen"):
        Scenario.from_fit(weighted, interventions=(Intervention("X", {"regime": 1}),))


@pytest.mark.slow
@pytest.mark.statistical(min_effect=0.35)
def test_a_program_s_truths_come_from_its_prior(stat):
    scenario = Scenario(
        name="program",
        sentence="A program.",
        make_model=lambda: PyroModel(program),
        source=PriorTruth(),
        num_rows=2,
        interventions=(Intervention("X", {"regime": 0}),),
        sort_by="mu",
        hidden=("regime",),
    )
    mu = np.array([scenario.source.draw(scenario, each).greeks["mu"] for each in seeds(150, stat.seed)])
    stat.cdf(mu[:, 0], lambda x: 1 - stats.norm.sf(x, 0, 10) ** 2)
    with stat.control():
        stat.cdf(-mu[:, 0], lambda x: 1 - stats.norm.sf(x, 0, 10) ** 2)
    with pytest.raises(ValueError, match="rows of a Pyro program are plain"):
        replace(scenario, source=PriorTruth(Partly(seen=0.5))).source.draw(
            replace(scenario, source=PriorTruth(Partly(seen=0.5))), SEEDS
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, "name: expected a word"),
        ({"name": "two words"}, "name: expected a word, as it is typed on the command line, got 'two words'"),
        ({"num_rows": 0}, "num_rows: expected at least 1, got 0"),
        ({"replicates": 0}, "replicates: expected at least 1, got 0"),
        ({"interventions": ()}, r"interventions: expected at least one, e.g. do_each\(2\)"),
    ],
)
def test_scenarios_that_make_no_sense(change, message):
    with pytest.raises(ValueError, match=message):
        replace(SCENARIOS["five_points"], **change)


def test_contrasts_are_against_the_first_of_each_outcome():
    asked = (*do_each(3), *do_each(2, "Y"))
    assert contrasts(asked) == (
        Contrast(asked[1], asked[0]),
        Contrast(asked[2], asked[0]),
        Contrast(asked[4], asked[3]),
    )
    assert contrasts(asked)[0].name == "E[X | do(Z=1)] − E[X | do(Z=0)]"


def test_a_discrete_outcome_has_points_and_a_continuous_one_has_none():
    fit = Fit.from_greeks(graph(), GREEKS)
    continuous, treated = Predicted(fit, "Y", {"Z": 1}), Predicted(fit, "T", {"Z": 1})
    assert continuous.points(continuous.draw(200, seed=0)) is None
    assert treated.points(treated.draw(200, seed=0))[:2].tolist() == [0.0, 1.0]
    assert np.exp(treated.logpdf(np.array([0.0, 1.0]))) == pytest.approx([0.2, 0.8])


def test_rows_like_those_of_units_are_of_units_of_their_own() -> None:
    model = GaussianMixture(K=2)
    greeks = {"theta": np.array([0.4, 0.6]), "mu_X": np.array([0.0, 50.0])}
    data = Data(X=np.arange(6.0), unit=["a", "b", "a", "a", "c", "c"])
    like = Design.of(data).repeated(2).simulate(model, greeks, hidden=("Z",), seed=0)
    assert like.unit is not None and like.unit.sizes.tolist() == [3, 1, 2, 3, 1, 2]
    # Rows of one unit are of one class.
    X = like.columns["X"].numpy()
    of_row = like.unit.of_row.numpy()
    assert all(np.ptp(X[of_row == number]) < 20.0 for number in range(6)) and np.ptp(X) > 20.0
    assert Data.concat([data, like]).num_units == 9


def test_rows_are_made_of_units_of_which_some_rows_alone_are_set() -> None:
    unit = np.repeat(np.arange(500), 2)
    is_set = np.tile([True, False], 500) & (unit < 400)
    data = Data(X=np.arange(1000.0), unit=unit, intervened={"X": is_set})
    greeks = {"theta": np.array([0.4, 0.6]), "mu_X": np.array([0.0, 50.0])}
    like = Design.of(data).simulate(GaussianMixture(K=2), greeks, hidden=("Z",), seed=0)
    X = like.columns["X"].numpy()
    assert (like.is_set("X").numpy() == is_set).all() and (X[is_set] == np.arange(1000.0)[is_set]).all()
    # What was set tells nothing of the other row, which is of either class; rows that were not share theirs.
    assert 0.4 < (X[~is_set] > 25.0).mean() < 0.8
    both = X[unit >= 400].reshape(-1, 2)
    assert (np.abs(both[:, 0] - both[:, 1]) < 20.0).all() and np.ptp(both) > 30.0
