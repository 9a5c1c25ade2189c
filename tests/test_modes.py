"""Every mode that the data allow: against brute force on a grid, published maxima, and known rivals."""

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from estimators import EM, MAP, SMC, CausalMixture, Data, EstimationWarning, Fit, GaussianMixture, Status, modes
from estimators.algorithms import progress
from estimators.contract import Objective, log_likelihood
from estimators.data.working_rows import working_rows
from estimators.mechanisms import Bernoulli, FullGaussian, Gaussian, LinearGaussian, PoissonRegression
from estimators.modes import climb, mode_search
from estimators.modes.found import Found
from estimators.modes.labelling import Labelling
from estimators.modes.mode import law_at
from estimators.optimise import ascent
from tests.models import fit_quietly, quiet
from validation.scenarios.random_graphs import random_graph

CONFOUNDER = CausalMixture(2, {"T": Bernoulli(), "Y": LinearGaussian(parents=["T"])}, concentration=2.0)
TRUTH = {"theta": [0.4, 0.6], "p_T": [0.2, 0.8], "beta_Y": [[0.0, -1.0], [3.0, -1.0]], "sigma_Y": [0.7, 0.7]}
# The same law of T and Y.
RIVAL = {"theta": [0.8, 0.2], "p_T": [0.6, 0.4], "beta_Y": [[0.0, 2.0], [3.0, -4.0]], "sigma_Y": [0.7, 0.7]}
# Two means 5.7 above and below a third cluster: a class takes the middle one with either of them.
THREE = np.r_[np.random.default_rng(0).normal(0, 0.3, 5) - 5.7, np.random.default_rng(1).normal(0, 0.3, 5)]
THREE = np.r_[THREE, np.random.default_rng(2).normal(0, 0.3, 5) + 6.0]


def searched(model: CausalMixture, data: Data, seed: int = 0, **settings: float) -> Found:
    return modes.search(model, data, settings=modes.Search(**settings), seed=seed)  # type: ignore[arg-type]


def effects(fit: Fit) -> list[float]:
    return [float(mode.contrast("Y", do={"T": 1}, versus={"T": 0}).value) for mode in fit.modes]


def fit_searched(estimator: EM | MAP, model: CausalMixture, data: Data, seed: int = 0) -> Fit:
    return fit_quietly(estimator, model, data, seed, search=modes.Search())


@pytest.mark.parametrize("weights", [None, np.random.default_rng(3).integers(1, 4, 1_500).astype(float)])
def test_starts_are_climbed_from_on_few_rows_to_the_modes_of_all(weights: Any, monkeypatch: Any) -> None:
    rows = CONFOUNDER.simulate(1_500, TRUTH, seed=0)
    data = Data(T=rows["T"], Y=rows["Y"], weights=weights)
    by_few = searched(CONFOUNDER, data)
    monkeypatch.setattr(mode_search, "FEW_ROWS", 10_000)
    by_all = searched(CONFOUNDER, data)
    assert len(by_few.modes) == len(by_all.modes) == 2
    for one, other in zip(by_few.modes, by_all.modes, strict=True):
        assert one.value == pytest.approx(other.value, abs=1e-8)
        assert sum(one.hits.values()) > 0.5 * sum(other.hits.values())


def test_all_rows_are_climbed_where_few_would_leave_few_units_or_entries() -> None:
    """Of 8 units of 300 rows one was left for four classes, of 40 entries in 2,000 rows ten: modes were missed."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=2_400), rng.normal(size=2_400)
    v = np.where(np.arange(2_400) < 40, y, np.nan)
    model = CausalMixture(2, {"X": Gaussian(), "V": Gaussian()})
    weights = np.where(np.arange(2_400) < 24, 1e4, 1.0)
    cases = {
        "plain": Data(X=x, V=y),
        "units": Data(X=x, V=y, unit=np.arange(2_400) // 300),
        "entries": Data(X=x, V=v, missing="marginalize"),
        "weights": Data(X=x, V=y, weights=weights),
    }
    few = {name: mode_search._with_few_rows(model.density(data), rng) for name, data in cases.items()}
    assert few["plain"] is not None and few["plain"].data.num_rows == 500
    assert [few[name] for name in ("units", "entries", "weights")] == [None] * 3
    part, _ = working_rows(cases["entries"], 100, rng)
    assert (~part.is_missing("V")).sum() >= 20, "25 times as many rows"


def test_each_start_is_led_on_from_few_rows_to_all() -> None:
    """What became of a start is near what EM steps on all rows make of it, or it has met another on the way."""
    rows = CONFOUNDER.simulate(1_500, TRUTH, seed=0)
    density = CONFOUNDER.density(CONFOUNDER.check(Data(T=rows["T"], Y=rows["Y"]))).beyond_priors()
    labelling = Labelling.of(CONFOUNDER, density, uses_prior=False)
    starts = density.draw_prior(30, np.random.default_rng(0))
    starts[3] = np.nan
    met = climb.em_climb_by_few(density.of(density.data.rows(torch.arange(0, 1_500, 3))), density, labelling, starts)
    assert met.group[3] == -1 and set(met.group[np.arange(30) != 3]) == set(range(len(met.points)))
    ends = climb.climb(Objective(density, log_likelihood), density, labelling, met.points)
    best = searched(CONFOUNDER, density.data).modes[0].value
    reached = [ends.values[ends.at[group]] for group in met.group if group >= 0 and ends.at[group] >= 0]
    assert max(reached) == pytest.approx(best, abs=1e-8) and np.isclose(reached, best, atol=1e-6).sum() > 5


@pytest.mark.parametrize("truth", [TRUTH, RIVAL], ids=["one", "the other"])
@pytest.mark.parametrize("seed", range(3))
def test_both_effects_of_a_confounder_are_found(truth: dict[str, object], seed: int) -> None:
    rows = CONFOUNDER.simulate(1000, truth, seed=seed)
    fit = fit_searched(EM(), CONFOUNDER, Data(T=rows["T"], Y=rows["Y"]), seed=seed)
    assert fit.status is Status.RIVAL_MODES and "1 other mode with 1%" in fit.advice[0]
    assert sorted(effects(fit)) == pytest.approx([-1.0, 0.8], abs=0.35)
    assert fit.modes[0].draws["theta"].equal(fit.draws["theta"]) and len(fit.modes) == 2
    # A density that its likeliest point gives to within rounding at every mode.
    density = CONFOUNDER.density(fit.data).beyond_priors()
    for mode in fit.modes:
        point = density.unconstrain({name: value[0].numpy() for name, value in mode.draws.items()})
        value, slope = Objective(density, log_likelihood).value_and_gradient(point)
        assert value == pytest.approx(mode.stats["log_likelihood"], abs=1e-6) and np.abs(slope).max() < 1e-3


def test_each_mode_says_what_the_rows_leave_open(tmp_path: Path) -> None:
    """One of a mode whose class 0 is never treated: its line is open, and what it answers any number."""
    model = CausalMixture(2, {"T": Bernoulli(), "Y": PoissonRegression(parents=["T"])})
    rng = np.random.default_rng(3)
    z = rng.random(24) < 0.5
    treated = 1 * (rng.random(24) < np.where(z, 0.85, 0.1))
    fit = fit_searched(EM(), model, Data(T=treated, Y=rng.poisson(np.exp(z - 0.5 * treated + 0.5))))
    are_open = [bool(words) for words in fit.found.opens]
    assert fit.status is Status.RIVAL_MODES and not are_open[0] and any(are_open)
    rivals = [are_open[number] for number in fit.found.rivals]
    assert any(rivals) and f"at {sum(rivals)} of them the rows leave Greeks open" in fit.advice[0]
    for number, mode in enumerate(fit.modes):
        findings = {Status.RIVAL_MODES: fit.findings[Status.RIVAL_MODES] if number == 0 else ""}
        if are_open[number]:
            # The class is the one that has no rows of one treatment, whatever it is called.
            share = mode["p_T"]
            (k,) = torch.where((share < 1e-6) | (share > 1.0 - 1e-6))[0].tolist()
            always = f"beta_Y[{k}, 0] and beta_Y[{k}, 1] cannot be told apart from these data"
            sentence = always if share[k] > 0.5 else f"beta_Y[{k}, 1] is not informed by these data"
            findings = {Status.NOT_IDENTIFIED: sentence, **findings}
        assert dict(mode.findings) == findings
    effect = fit.contrast("Y", do={"T": 1}, versus={"T": 0})
    assert effect.at_rivals.are_open == tuple(rivals)
    numbers = [str(number) for number, is_open in enumerate(rivals, 1) if is_open]
    said = f"Greeks are open at rival{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}, and"
    assert said in repr(effect) and said in repr(fit.do(T=1).cdf("Y", 1.0))
    own = fit.modes[are_open.index(True)].effect("Y", of="T")
    assert own.at_rivals.is_open and "Greeks are open at this mode" in repr(own)
    assert "weight" in str(fit) and "open, theta=" in str(fit) and "open" in fit.modes.table()
    # A mode at which nothing is open is told, beside an open one.
    told = fit.modes[are_open.index(True)].modes[1 + are_open.index(False)]
    assert Status.NOT_IDENTIFIED not in told.findings
    fit.save(tmp_path / "fit")
    assert Fit.load(tmp_path / "fit").found.opens == fit.found.opens
    turned = fit.relabel([1, 0])
    for words, other in zip(
        (*fit.found.opens, *fit.found.ends), (*turned.found.opens, *turned.found.ends), strict=True
    ):
        assert other == words.replace("[0", "[k").replace("[1", "[0").replace("[k", "[1")


def test_of_a_class_that_is_never_treated_the_slope_is_open_and_nothing_else() -> None:
    """And of one that always is, its line but for its mean there: at all modes of six fits to thirty rows."""
    model = CausalMixture(2, {"T": Bernoulli(), "Y": LinearGaussian(parents=["T"])})
    num_seen = 0
    for seed in (1, 2, 3, 4, 7, 8):
        rng = np.random.default_rng(seed)
        z = rng.random(30) < 0.5
        treated = 1.0 * (rng.random(30) < np.where(z, 0.9, 0.08))
        fit = fit_searched(EM(), model, Data(T=treated, Y=2.0 * z - 0.5 * treated + rng.normal(0, 0.7, 30)))
        for number, words in enumerate(fit.found.opens):
            shares = fit.found.greeks["p_T"][number].tolist()
            never = [f"beta_Y[{k}, 1] is not informed by these data" for k in (0, 1) if shares[k] < 1e-7]
            always = [f"beta_Y[{k}, 0] and beta_Y[{k}, 1] cannot be told apart" for k in (0, 1) if shares[k] > 1 - 1e-7]
            assert all(sentence in words for sentence in (*never, *always))
            assert len(words.split("; ")) == len([*never, *always]) or not words
            num_seen += len([*never, *always])
    assert num_seen > 10


def test_each_mode_of_a_posterior_says_what_is_open_and_of_its_priors() -> None:
    rows = CONFOUNDER.simulate(1000, TRUTH, seed=0)
    fit = fit_searched(MAP(), CONFOUNDER, Data(T=rows["T"], Y=rows["Y"]))
    assert list(fit.modes[1].findings) == [Status.RIVAL_MODES]
    opened = replace(fit, status=Status.NOT_IDENTIFIED, findings={Status.NOT_IDENTIFIED: "p_T[0]", **fit.findings})
    for mode in opened.modes:
        assert mode.status is Status.NOT_IDENTIFIED and mode.findings[Status.NOT_IDENTIFIED] == "p_T[0]"
        assert Status.RIVAL_MODES in mode.findings
    # Where the first mode is flat, and said so of itself, it is not said of others.
    assert opened.found is not None
    of_first = replace(opened, found=replace(opened.found, opens=("p_T[0] is not informed by these data", "")))
    assert list(of_first.modes[1].findings) == [Status.RIVAL_MODES]
    # So it says of its priors.
    at_odds = replace(fit, findings={**fit.findings, Status.PRIOR_CONFLICT: "9 nats"})
    assert at_odds.modes[1].findings[Status.PRIOR_CONFLICT] == "9 nats"


def test_an_answer_shows_its_rivals_and_its_profile_has_an_interval_for_each() -> None:
    rows = CONFOUNDER.simulate(800, TRUTH, seed=1)
    fit = fit_searched(EM(), CONFOUNDER, Data(T=rows["T"], Y=rows["Y"]))
    answer = fit.contrast("Y", do={"T": 1}, versus={"T": 0})
    assert answer.rivals.tolist() == pytest.approx(effects(fit)[1:], abs=1e-9) and len(answer.rivals) == 1
    assert f"rivals [{answer.rivals.tolist()[0]:.4g}]" in repr(answer)
    intervals = answer.profile(0.9)
    assert len(intervals) == 2
    for effect, (low, high) in zip(sorted(effects(fit)), intervals, strict=True):
        assert low < effect < high
    swapped = fit.relabel([1, 0]).contrast("Y", do={"T": 1}, versus={"T": 0})
    assert swapped.rivals.tolist() == pytest.approx(answer.rivals.tolist(), abs=1e-9)
    # A question to one of its modes has the others beside it; one to a fit without a search has none.
    assert fit.modes[1].contrast("Y", do={"T": 1}, versus={"T": 0}).rivals.tolist() == pytest.approx(effects(fit)[:1])
    alone = EM().fit(CONFOUNDER, fit.data, seed=0, search=None).contrast("Y", do={"T": 1}, versus={"T": 0})
    assert not len(alone.rivals) and "rivals" not in repr(alone)


def test_a_third_variable_that_tells_the_effects_apart_leaves_one() -> None:
    mechanisms = {**CONFOUNDER.mechanisms, "W": Gaussian(scale=1.0)}
    model = CausalMixture(2, mechanisms, concentration=2.0)
    rows = model.simulate(1000, {**TRUTH, "mu_W": [0.0, 3.0]}, seed=0)
    fit = EM().fit(model, Data(**{name: rows[name] for name in "TYW"}), seed=0, search=modes.Search())
    assert fit.status is Status.CONVERGED and effects(fit)[0] == pytest.approx(-1.0, abs=0.3)


def test_the_modes_of_two_means_are_those_on_a_grid() -> None:
    """Known scales, and weights maximised over, leave two means: every local maximum on a fine grid, and no other."""
    model = CausalMixture(2, {"X": Gaussian(scale=1.0)})
    found = searched(model, Data(X=THREE), reach=30.0)
    points = np.linspace(-7.0, 7.0, 141)
    logs = -0.5 * (THREE[:, None] - points) ** 2

    def best_over_weights(one: int, other: int) -> float:
        shares = np.linspace(0.005, 0.995, 100)
        both = np.stack([logs[:, one, None] + np.log(shares), logs[:, other, None] + np.log(1 - shares)])
        return float(logsumexp(both, 0).sum(0).max())

    grid = np.array([[best_over_weights(i, j) for j in range(141)] for i in range(141)])
    inner = grid[1:-1, 1:-1]
    neighbours = [grid[1 + a : 140 + a, 1 + b : 140 + b] for a, b in product((-1, 0, 1), repeat=2) if (a, b) != (0, 0)]
    peaks = np.argwhere((inner > np.max(neighbours, 0)) & (inner > inner.max() - 20.0)) + 1
    expected = sorted({(round(points[i], 1), round(points[j], 1)) for i, j in peaks if i < j})
    have = [np.sort(found.density.constrain(mode.point)["mu_X"]) for mode in found.modes]
    have = [means for means, mode in zip(have, found.modes, strict=True) if mode.value > found.modes[0].value - 20.0]
    assert len(have) == len(expected) == 2
    for means in have:
        assert min(np.abs(means - np.array(pair)).max() for pair in expected) < 0.11


def test_the_better_value_wins_at_a_boundary() -> None:
    """Three items separate two groups without exception: six probabilities are 0 or 1, 273 nats above the inside."""
    rng = np.random.default_rng(0)
    a, b = rng.random(300) < 0.5, rng.random(300) < 0.5
    noisy = [rng.random(300) < np.where(b, 0.8, 0.2) for _ in range(6)]
    rows = Data(**{f"x{j}": column.astype(int) for j, column in enumerate([a, a, a, *noisy])})
    model = CausalMixture(2, {name: Bernoulli() for name in rows.columns})
    split = 0.0
    for k in (False, True):
        split += (a == k).sum() * np.log((a == k).mean())
        for p in (column[a == k].mean() for column in noisy):
            split += (a == k).sum() * (p * np.log(p) + (1 - p) * np.log1p(-p))
    for estimator in (EM(), MAP(num_steps=5)):
        fit = estimator.fit(model, rows, seed=0, search=modes.Search())
        assert fit.status is Status.CONVERGED
        value = fit.stats["log_likelihood" if "log_likelihood" in fit.stats else "log_joint"]
        assert value >= split - 1e-6


def test_a_spike_on_a_few_rows_is_no_rival() -> None:
    """Every handful of close rows has a maximum of its own; of 100 rows of two wide classes none is reported."""
    model = CausalMixture(2, {"X": Gaussian()})
    rows = model.simulate(100, {"theta": [0.4, 0.6], "mu_X": [0.0, 4.0], "sigma_X": [1.0, 1.5]}, seed=0)
    found = searched(model, Data(X=rows["X"]))
    assert found.spurious and len(found.modes) >= 1
    for mode in found.modes[:1]:
        assert found.density.constrain(mode.point)["sigma_X"].min() > 0.3


def test_narrow_classes_of_their_own_are_kept() -> None:
    rng = np.random.default_rng(3)
    rows = np.r_[rng.normal(0.0, 1.0, 100), rng.normal(2.0, 0.01, 12)]
    found = searched(CausalMixture(2, {"X": Gaussian()}), Data(X=rows))
    assert found.density.constrain(found.modes[0].point)["sigma_X"].min() == pytest.approx(0.01, rel=0.5)


def test_ends_are_told_apart_modulo_labels_and_not_by_value() -> None:
    rows = CONFOUNDER.simulate(400, TRUTH, seed=1)
    found = searched(CONFOUNDER, Data(T=rows["T"], Y=rows["Y"]))
    labelling = Labelling.of(CONFOUNDER, found.density, uses_prior=False)
    for mode in found.modes:
        images = labelling.images(mode.point[None])[:, 0]
        assert len(images) == 2
        swapped = max(images, key=lambda image: np.abs(image - mode.point).max())
        assert np.allclose(labelling.nearest(swapped, mode.point), mode.point, atol=1e-9)
        others = [other for other in found.modes if other is not mode]
        assert all(labelling.distances(other.point[None], images)[0] > 0.1 for other in others)


def test_what_the_rows_leave_open_is_named() -> None:
    """T and Y binary: seven Greeks, three free cells."""
    rng = np.random.default_rng(0)
    T = (rng.random(500) < 0.5).astype(int)
    Y = (rng.random(500) < np.where(T == 1, 0.6, 0.3)).astype(int)
    fit = fit_searched(EM(), CausalMixture(2, {"T": Bernoulli(), "Y": Bernoulli(parents=["T"])}), Data(T=T, Y=Y))
    assert fit.status is Status.NOT_IDENTIFIED and "p_T[0]" in fit.findings[Status.NOT_IDENTIFIED]
    identified = EM().fit(GaussianMixture(2), {"X": [0.0, 1.0, 10.0, 11.0]}, seed=0, search=modes.Search())
    assert identified.status is Status.CONVERGED and identified.modes.is_settled


def test_a_search_serves_several_estimators() -> None:
    rows = CONFOUNDER.simulate(800, TRUTH, seed=2)
    data = Data(T=rows["T"], Y=rows["Y"])
    found = modes.search(CONFOUNDER, data, seed=0)
    with pytest.warns(EstimationWarning, match="RIVAL_MODES"):
        ml = EM().fit(CONFOUNDER, data, seed=5, search=found)
    with pytest.warns(EstimationWarning, match="RIVAL_MODES"):
        mode = MAP(num_steps=10).fit(CONFOUNDER, data, seed=5, search=found)
    for fit in (ml, mode):
        assert sorted(effects(fit)) == pytest.approx([-1.0, 0.8], abs=0.4)
    assert ml.modes.weights.sum() == pytest.approx(1.0) and mode.modes.weights.sum() == pytest.approx(1.0)


def test_modes_of_the_same_rows_in_another_order_are_met_again() -> None:
    """log p of every row, by which modes are told apart, is then in another order too."""
    data = Data(**{name: value for name, value in CONFOUNDER.simulate(300, TRUTH, seed=3).items() if name != "Z"})
    order = np.random.default_rng(0).permutation(300)
    turned = Data(**{name: value[order] for name, value in data.columns.items()})
    found = searched(CONFOUNDER, data)
    for rows in (data, turned):
        adapted = found.on(CONFOUNDER, CONFOUNDER.density(rows).beyond_priors(), log_likelihood)
        assert len(adapted.modes) == len(found.modes)
        again = adapted.including(CONFOUNDER, log_likelihood, adapted.modes[0].point)
        assert len(again.modes) == len(found.modes)


def test_modes_are_kept_with_the_fit(tmp_path: Path) -> None:
    rows = CONFOUNDER.simulate(300, TRUTH, seed=0)
    fit = fit_searched(EM(), CONFOUNDER, Data(T=rows["T"], Y=rows["Y"]))
    fit.save(tmp_path / "fit")
    again = Fit.load(tmp_path / "fit")
    assert again.modes.table().equals(fit.modes.table()) and repr(again.modes) == repr(fit.modes)
    renamed = fit.relabel([1, 0])
    assert renamed.modes[1]["theta"].equal(fit.modes[1]["theta"].flip(0))
    with pytest.raises(IndexError, match="numbered from 0"):
        fit.modes[len(fit.modes)]
    plain = EM().fit(GaussianMixture(2), {"X": [0.0, 1.0, 10.0]}, seed=0, search=None)
    with pytest.raises(ValueError, match="without a search"):
        plain.modes  # noqa: B018


@pytest.mark.parametrize("estimator", [EM(num_starts=5), MAP(num_starts=5, num_steps=5)])
def test_a_fit_without_a_search_says_that_it_did_not_look(estimator: EM | MAP) -> None:
    short = modes.Search(least=5, most=10)
    with quiet():
        without, with_one = (
            estimator.fit(GaussianMixture(2), {"X": [0.0, 1.0, 10.0, 11.0, 12.0]}, seed=0, search=search)
            for search in (None, short)
        )
    assert any(sentence.startswith("No search") for sentence in without.advice) and "No search" in str(without)
    assert not any("No search" in sentence for sentence in with_one.advice)


def test_a_search_that_found_no_maximum_is_said_to_have_run() -> None:
    fit = fit_searched(MAP(), GaussianMixture(3), Data(X=[0.0, 1.0, 10.0, 11.0, 12.0]))
    assert fit.status is Status.BOUNDARY and fit.stats["search_starts"] > 0
    with pytest.raises(ValueError, match=f"of {fit.stats['search_starts']} starts, found no maximum .* BOUNDARY"):
        fit.modes  # noqa: B018


def test_draws_that_were_made_without_a_search_are_divided_over_the_modes() -> None:
    """Of SMC, which needs no search: each mode has the draws of its own effect, and all of them together are there."""
    rows = CONFOUNDER.simulate(150, TRUTH, seed=3)
    fit = fit_quietly(SMC(num_particles=400), CONFOUNDER, Data(T=rows["T"], Y=rows["Y"]), seed=0)
    asked = {"do": {"T": 1}, "versus": {"T": 0}}
    effect = fit.contrast("Y", **asked).draws
    assert len(fit.modes) == 2
    parts = [part.contrast("Y", **asked).draws for part in fit.modes]
    assert sorted(torch.cat(parts).tolist()) == sorted(effect.tolist())
    low, high = sorted(parts, key=lambda part: float(part.mean()))
    assert bool((low < -0.2).all()) and bool((high > -0.2).all())
    shares = [len(part) / len(effect) for part in parts]
    assert fit.modes.weights.tolist() == pytest.approx(shares) and min(shares) > 0.05
    assert all(part.status is Status.RIVAL_MODES for part in fit.modes)


def test_the_same_seed_finds_the_same() -> None:
    rows = CONFOUNDER.simulate(200, TRUTH, seed=0)
    data = Data(T=rows["T"], Y=rows["Y"])
    one, other = (modes.search(CONFOUNDER, data, seed=3) for _ in range(2))
    assert one.num_starts == other.num_starts and one.chance == other.chance
    for mine, yours in zip(one.modes, other.modes, strict=True):
        assert np.array_equal(mine.point, yours.point) and mine.hits == yours.hits


def test_on_many_rows_the_modes_of_some_lead_to_those_of_all() -> None:
    rows = CONFOUNDER.simulate(6000, TRUTH, seed=0)
    fit = fit_searched(EM(), CONFOUNDER, Data(T=rows["T"], Y=rows["Y"]))
    assert sorted(effects(fit)) == pytest.approx([-1.0, 0.8], abs=0.2)
    density = CONFOUNDER.density(fit.data).beyond_priors()
    for mode in fit.modes:
        point = density.unconstrain({name: value[0].numpy() for name, value in mode.draws.items()})
        assert np.abs(Objective(density, log_likelihood).value_and_gradient(point)[1]).max() < 1e-2


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="least"):
        modes.Search(least=0)
    with pytest.raises(ValueError, match="most"):
        modes.Search(least=100, most=50)
    with pytest.raises(ValueError, match="chance"):
        modes.Search(chance=1.5)


@pytest.mark.slow
def test_on_random_graphs_hardly_any_best_value_is_missed() -> None:
    """Against three times as many random starts run to the end, and a search of few starts, which misses more."""
    lower = {"search": 0, "few starts": 0}
    for seed in range(24):
        drawn = random_graph(seed)
        every = searched(drawn.model, drawn.data, seed=2, least=300, most=300)
        best = max(mode.value for mode in every.modes)
        for name, settings in (("search", {}), ("few starts", {"least": 1, "most": 1})):
            found = searched(drawn.model, drawn.data, seed=1, **settings).modes
            lower[name] += max((mode.value for mode in found), default=-np.inf) < best - 1e-6
    assert lower["search"] <= 1 < lower["few starts"]


def test_a_class_without_rows_is_no_rival() -> None:
    rows = np.random.default_rng(0).normal(size=200)
    fit = fit_searched(EM(), CausalMixture(2, {"X": Gaussian()}), Data(X=rows))
    assert all(float(mode["theta"].min()) > 1e-3 for mode in fit.modes)


def test_what_is_set_is_all_that_is_not_identified() -> None:
    rng = np.random.default_rng(0)
    T = rng.integers(0, 2, 300)
    Y = np.where(rng.random(300) < 0.4, 3, 0) - T + rng.normal(size=300) * 0.7
    fit = fit_searched(EM(), CONFOUNDER, Data(T=T, Y=Y, intervened={"T": True}))
    about = fit.findings[Status.NOT_IDENTIFIED]
    assert "p_T[0]" in about and "p_T[1]" in about and "beta_Y" not in about and "theta" not in about


@pytest.mark.parametrize("estimator", [EM(), MAP(num_steps=5)], ids=["EM", "MAP"])
def test_a_ridge_is_one_mode(estimator: EM | MAP) -> None:
    rng = np.random.default_rng(0)
    T = (rng.random(500) < 0.5).astype(int)
    Y = (rng.random(500) < np.where(T == 1, 0.6, 0.3)).astype(int)
    fit = fit_searched(estimator, CausalMixture(2, {"T": Bernoulli(), "Y": Bernoulli(parents=["T"])}), Data(T=T, Y=Y))
    assert len(fit.modes) == 1 and Status.RIVAL_MODES not in fit.findings


@pytest.mark.parametrize(
    ("rows_of", "seed"), [(3, 1), *(pytest.param(*one, marks=pytest.mark.slow) for one in ((1, 0), (6, 1), (7, 0)))]
)
def test_a_ridge_of_fewer_classes_is_no_rival(rows_of: int, seed: int) -> None:
    """Two classes as one: the likelihood rises with the weight of a class where the third of the best mode is."""
    rows = GaussianMixture(2).simulate(60, {"theta": [0.4, 0.6], "mu_X": [0.0, 4.0]}, seed=rows_of)
    found = modes.search(GaussianMixture(3), {"X": rows["X"]}, seed=seed)
    assert len(found.modes) == 1 and not found.modes[0].is_flat
    # The ridge is the maximum with two classes; beside it the best of three is higher.
    two = modes.search(GaussianMixture(2), {"X": rows["X"]}, seed=0)
    three = found.density.constrain(found.modes[0].point)
    best = two.density.constrain(two.modes[0].point)
    logs = -0.5 * (rows["X"].numpy()[:, None] - best["mu_X"]) ** 2
    new = -0.5 * (rows["X"].numpy()[:, None] - three["mu_X"]) ** 2
    gains = np.exp(new) / (np.exp(logs) @ best["theta"])[:, None]
    assert two.modes[0].value < found.modes[0].value and gains.mean(0).max() > 1.0


def test_the_control_a_ridge_that_is_the_best_stays() -> None:
    rows = GaussianMixture(2).simulate(60, {"theta": [0.4, 0.6], "mu_X": [0.0, 4.0]}, seed=5)
    found = modes.search(GaussianMixture(3), {"X": rows["X"]}, seed=0)
    assert len(found.modes) == 1 and found.modes[0].is_flat


def test_a_search_of_another_model_is_refused() -> None:
    rows = {"X": [0.0, 1.0, 10.0, 11.0, 12.0]}
    found = modes.search(GaussianMixture(2), rows, seed=0)
    with pytest.raises(ValueError, match="search: expected the modes of a model with the Greeks"):
        EM().fit(GaussianMixture(3), rows, seed=0, search=found)
    with pytest.raises(TypeError, match="expected modes"):
        EM().fit(GaussianMixture(2), rows, seed=0, search=5)  # type: ignore[arg-type]


@pytest.mark.slow
def test_models_of_many_coordinates_have_their_rivals() -> None:
    """39 of them: L-BFGS came to no end from most starts, and the best of five modes was said to be the answer."""
    rng = np.random.default_rng([300, 3, 4, 10])
    centres, label = rng.normal(size=(4, 3)), rng.integers(0, 4, 300)
    factors = np.tril(rng.normal(size=(4, 3, 3)) * 0.3) + np.eye(3)
    rows = Data(X=centres[label] + np.einsum("nij,nj->ni", factors[label], rng.normal(size=(300, 3))))
    model = CausalMixture(4, {"X": FullGaussian(3)})
    fit = fit_searched(EM(), model, rows)
    assert fit.status is Status.RIVAL_MODES and len(fit.modes) > 5
    plain = [EM().fit(model, rows, seed=seed, search=None) for seed in range(3)]
    assert fit.stats["log_likelihood"] > max(one.stats["log_likelihood"] for one in plain) - 1e-6


def test_hopeless_climbs_of_many_coordinates_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four classes far apart in eight dimensions: beside the best, starts are hundreds of nats below."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 4, 300)
    rows = Data(X=(8.0 * rng.normal(size=(4, 8)))[label] + rng.normal(size=(300, 8)))
    model, counts = CausalMixture(4, {"X": FullGaussian(8)}), []
    for nats in (climb.HOPELESS, np.inf):
        monkeypatch.setattr(climb, "HOPELESS", nats)
        calls: list[int] = []

        def counted(*args: Any, calls: list[int] = calls, **options: Any) -> Any:
            calls.append(1)
            return ascent.climb(*args, **options)

        monkeypatch.setattr(climb, "lbfgs", counted)
        fit = EM().fit(model, rows, seed=0, search=modes.Search(least=40, most=40))
        counts.append((len(calls), fit.stats["log_likelihood"]))
    (few, best), (many, same) = counts
    assert few < many / 2 and best == pytest.approx(same, abs=1e-6)


@pytest.mark.slow
def test_spikes_on_their_way_up_do_not_hide_the_modes_below() -> None:
    """Full covariances of overlapping classes: most starts rise into spikes, beyond every maximum."""
    rng = np.random.default_rng(0)
    z = rng.integers(0, 3, 1000)
    data = Data(X=rng.normal(size=(1000, 3)) + z[:, None])
    found = modes.search(CausalMixture(3, {"X": FullGaussian(3)}), data, seed=0)
    assert found.modes
    assert not any(mode.is_spurious for mode in found.modes)


def test_a_search_tells_of_every_start_and_is_seen_where_progress_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model, data = GaussianMixture(2), Data(X=[0.0, 1.0, 10.0, 11.0, 12.0])
    density, told = model.density(data).beyond_priors(), list[int]()
    found = modes.Search(least=12).found(model, density, log_likelihood, np.random.default_rng(0), told.append)
    assert found is not None and sum(told) == found.num_starts and len(told) > 1
    EM(progress_bar=True).fit(model, data, seed=0, search=found)
    assert "modes" not in capsys.readouterr().err
    monkeypatch.setattr(progress, "DELAY", 0.0)
    for bar in (True, False):
        EM(progress_bar=bar).fit(model, data, seed=0, search=modes.Search(least=12))
        assert ("EM, modes: " in capsys.readouterr().err) == bar


def test_the_law_of_many_rows_is_that_of_some_which_count_as_often() -> None:
    """Of 250,000 rows, where log p of each would be a column a mode; differences of laws are in nats over all rows."""
    model = GaussianMixture(2)
    columns = model.simulate(250_000, {"theta": [0.4, 0.6], "mu_X": [0.0, 3.0]}, seed=0)
    density = model.density(Data(X=columns["X"]))
    points = np.random.default_rng(0).normal(size=(2, density.size))
    law, weights = law_at(density, points)
    assert law.shape == (2, 100_000) and weights.sum() == pytest.approx(250_000)
    every = density.pointwise(density.draws(points)).numpy()
    of_some, of_all = (np.sqrt((w * (one[1] - one[0]) ** 2).sum()) for one, w in ((law, weights), (every, 1.0)))
    assert of_some == pytest.approx(of_all, rel=0.01)
    # Rows in a period: every other one says nothing.
    alternating = np.where(np.arange(200_000) % 2 == 1, columns["X"][:200_000].numpy(), np.nan)
    density = model.density(Data(X=alternating, missing="marginalize"))
    (law, weights), every = law_at(density, points), density.pointwise(density.draws(points)).numpy()
    of_some, of_all = (np.sqrt((w * (one[1] - one[0]) ** 2).sum()) for one, w in ((law, weights), (every, 1.0)))
    assert of_some == pytest.approx(of_all, rel=0.02)
    few = model.density(Data(X=columns["X"][:50], weights=np.arange(1.0, 51.0)))
    law, weights = law_at(few, points)
    assert (law == few.pointwise(few.draws(points)).numpy()).all() and weights.tolist() == list(range(1, 51))
