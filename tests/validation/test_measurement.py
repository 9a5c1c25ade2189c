"""One fit measured against its target: every number of a row, by independent code."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from pyro.distributions import Normal
from scipy import stats

from estimators import EM, NUTS, CausalMixture, Data, Exact, Fit
from estimators.mechanisms import Bernoulli, Categorical, Gaussian, Poisson
from tests.models import quiet
from tests.validation.studies import SCENARIOS
from validation.scenarios import Draw, FixedTruth, Seeds, do_each
from validation.scenarios.outcomes import Predicted
from validation.scenarios.quantities import LOG_LIKELIHOOD
from validation.scenarios.scenario import BuiltModel
from validation.study.measure import EXPERIMENT_ROWS, arranged, measure, shared_truth, summarised, target_of
from validation.study.row import LEVEL, RANKED

SEEDS = Seeds(1, 2, 3, 4, 5, 6)
CONTRAST = "E[X | do(Z=1)] − E[X | do(Z=0)]"


@pytest.fixture(scope="module")
def drawn():
    """A truth from the prior, its data, and a posterior of 2 × 50 draws."""
    scenario = SCENARIOS["prior_truths"]
    found = scenario.source.draw(scenario, SEEDS)
    nuts = NUTS(num_samples=50, warmup_steps=200, num_chains=2, progress_bar=False)
    # of so few draws
    with quiet():
        fit = nuts.fit(scenario.model, found.data, seed=3)
    return scenario, found, fit


def poisson(rate):
    return {"X": Poisson()}, {"rate_X": [rate]}, stats.poisson(rate)


def categorical(*p):
    return {"X": Categorical(len(p))}, {"p_X": [list(p)]}, stats.rv_discrete(values=(range(len(p)), p))


def bernoulli(p):
    return {"X": Bernoulli()}, {"p_X": [p]}, stats.bernoulli(p)


def normal(mean, sd):
    return {"X": Gaussian()}, {"mu_X": [mean], "sigma_X": [sd]}, stats.norm(mean, sd)


@pytest.mark.parametrize(
    ("truth", "estimate", "distance", "kl"),
    [
        (poisson(1.0), poisson(30.0), 29.0, 29.0 - math.log(30.0)),
        (poisson(2.0), poisson(200.0), 198.0, 198.0 - 2.0 * math.log(100.0)),
        (poisson(200.0), poisson(2.0), 198.0, 200.0 * math.log(100.0) - 198.0),
        (poisson(1.0), poisson(3.0), 2.0, 2.0 - math.log(3.0)),
        (categorical(1.0, 0.0, 0.0, 0.0), categorical(0.2, 0.3, 0.1, 0.4), 0.3 + 0.2 + 1.2, math.log(5.0)),
        (bernoulli(0.0), bernoulli(0.3), 0.3, -math.log(0.7)),
        (normal(0.0, 1.0), normal(1000.0, 1e-2), None, math.log(1e-2) + (1.0 + 1e6) / 2e-4 - 0.5),
        (normal(5.0, 1e-3), normal(0.0, 3.0), None, math.log(3e3) + (1e-6 + 25.0) / 18.0 - 0.5),
    ],
)
def test_distances_to_an_estimate_that_lies_elsewhere(truth, estimate, distance, kl):
    """Both laws count to their ends, whichever reaches farther."""
    mechanisms, greeks, law = truth
    _, others, other = estimate
    model = CausalMixture(1, mechanisms)
    scenario = replace(
        SCENARIOS["separated_300"],
        make_model=BuiltModel(model),
        source=FixedTruth({"theta": [1.0], **greeks}),
        num_rows=10,
        interventions=do_each(1),
        sort_by=None,
    )
    target = target_of(scenario, Draw(Data(X=np.zeros(3)), {"theta": [1.0], **greeks}), None, SEEDS)
    fit = Fit.from_greeks(model, {"theta": [1.0], **others})
    (found,) = measure(scenario, fit, target, Data(X=np.zeros(3)), SEEDS, keep_curves=False).predictions
    if distance is None:
        # W1 is the mean distance of quantiles: by the midpoint rule on 1e5 of them.
        shares = (np.arange(1e5) + 0.5) / 1e5
        distance = np.abs(law.ppf(shares) - other.ppf(shares)).mean()
        assert found.wasserstein == pytest.approx(distance, rel=1e-4)
    else:
        assert found.wasserstein == pytest.approx(distance, rel=1e-6)
    assert found.kl == pytest.approx(kl, rel=1e-6)


def test_counts_too_many_to_sum_over_are_refused():
    model = CausalMixture(1, {"X": Poisson()})
    fit = Fit.from_greeks(model, {"theta": [1.0], "rate_X": [1e12]})
    with pytest.raises(
        ValueError, match=r"outcome X: its predicted counts reach 1e\+12, .* measure it in a larger unit"
    ):
        Predicted(fit, "X", {"Z": 0}).points(np.zeros(3))


def test_a_point_estimate_of_normals():
    """Distances between two normals of scale 1 are closed forms of the difference of their means."""
    scenario = SCENARIOS["separated_300"]
    replicate = scenario.source.draw(scenario, SEEDS)
    target = target_of(scenario, replicate, None, SEEDS)
    fit = EM(progress_bar=False).fit(scenario.model, replicate.data, seed=0)
    measured = measure(scenario, fit, target, replicate.data, SEEDS, keep_curves=True)
    mu = np.asarray(fit["mu_X"])
    assert measured.intervals == {} and measured.exactness == {}
    assert measured.estimate["mu_X[0]"] == mu[0]
    assert measured.estimate[CONTRAST] == pytest.approx(mu[1] - mu[0])
    assert target.quantities[CONTRAST] == 6.0
    for z, each in enumerate(measured.predictions):
        off = mu[z] - (-3.0, 3.0)[z]
        assert each.of == f"X | do(Z={z})"
        assert each.kl == pytest.approx(off**2 / 2, rel=1e-5)
        assert each.wasserstein == pytest.approx(abs(off), rel=1e-3)
        x, rows = np.asarray(each.curve.x), target.outcomes[z].experiment
        assert len(rows) == EXPERIMENT_ROWS
        assert each.regret == pytest.approx(
            np.mean(stats.norm.logpdf(rows - (-3.0, 3.0)[z]) - stats.norm.logpdf(rows - mu[z]))
        )
        assert each.curve.true == pytest.approx(stats.norm.pdf(x, (-3.0, 3.0)[z]), rel=1e-3, abs=1e-12)
        assert each.curve.predicted == pytest.approx(stats.norm.pdf(x, mu[z]), rel=1e-3, abs=1e-12)
    bare = measure(scenario, fit, target, replicate.data, SEEDS, keep_curves=False)
    assert [replace(each, curve=None) for each in measured.predictions] == list(bare.predictions)


@pytest.mark.parametrize("name", ["hidden_confounder", "student_noise"])
def test_what_replicates_share_is_what_each_would_find(name):
    """The truth's numbers and knots, found for one replicate, give another the same measures to the last bit."""
    scenario, other = SCENARIOS[name], Seeds(*(seed + 10 for seed in SEEDS))
    replicate = scenario.source.draw(scenario, SEEDS)
    fit = EM(progress_bar=False).fit(scenario.model, replicate.data, seed=0, search=None)
    own = target_of(scenario, replicate, None, SEEDS)
    shared = target_of(scenario, replicate, None, SEEDS, shared_truth(scenario, other))
    assert own.quantities == shared.quantities
    assert all(one.knots is not its.knots for one, its in zip(own.outcomes, shared.outcomes, strict=True))
    measured = [measure(scenario, fit, target, replicate.data, SEEDS, keep_curves=True) for target in (own, shared)]
    assert measured[0] == measured[1]


@pytest.mark.parametrize("name", ["prior_truths", "five_points", "random_graphs"])
def test_a_truth_that_varies_is_not_shared(name):
    assert shared_truth(SCENARIOS[name], SEEDS) is None


def test_labels_of_a_fixed_truth_are_not_mended():
    """A fit with its labels the other way round predicts the wrong intervention, and is measured as it is."""
    scenario = SCENARIOS["separated_300"]
    replicate = scenario.source.draw(scenario, SEEDS)
    target = target_of(scenario, replicate, None, SEEDS)
    swapped = Fit.from_greeks(scenario.model, {"theta": (0.6, 0.4), "mu_X": (3.0, -3.0)})
    measured = measure(scenario, swapped, target, replicate.data, SEEDS, keep_curves=False)
    assert [each.kl for each in measured.predictions] == pytest.approx([18.0, 18.0], rel=1e-5)
    assert measured.estimate[CONTRAST] == -6.0


def test_intervals_ranks_and_the_log_likelihood(drawn):
    scenario, replicate, fit = drawn
    target = target_of(scenario, replicate, None, SEEDS)
    measured = measure(scenario, fit, target, replicate.data, SEEDS, keep_curves=False)
    theta, mu = (np.asarray(fit.draws[name]) for name in ("theta", "mu_X"))
    order = np.argsort(mu, axis=1)
    mu, theta = np.take_along_axis(mu, order, 1), np.take_along_axis(theta, order, 1)
    x = np.asarray(replicate.data.columns["X"])

    def log_likelihood(weights, means):
        return np.log((weights * stats.norm.pdf(x[:, None], means)).sum(1)).sum()

    by_hand = {
        "theta[0]": theta[:, 0],
        "mu_X[1]": mu[:, 1],
        CONTRAST: mu[:, 1] - mu[:, 0],
        LOG_LIKELIHOOD: np.array([log_likelihood(w, m) for w, m in zip(theta, mu, strict=True)]),
    }
    for name, values in by_hand.items():
        interval = measured.intervals[name]
        assert (interval.sd, interval.lower, interval.upper) == pytest.approx(
            (values.std(ddof=1), *np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
        )
        assert interval.ess > 0
        below = (values < target.quantities[name]).mean()
        kept = min(RANKED, int(interval.ess))
        assert abs(interval.rank / RANKED - below) < 4 * math.sqrt(max(below * (1 - below), 1 / kept) / kept)
    assert target.quantities[LOG_LIKELIHOOD] == pytest.approx(
        log_likelihood(replicate.greeks["theta"], replicate.greeks["mu_X"])
    )
    assert LOG_LIKELIHOOD not in measured.estimate
    assert set(measured.diagnostics) <= {"min_ess", "max_r_hat", "num_divergences", "label_certainty"}
    again = measure(scenario, fit, target, replicate.data, SEEDS, keep_curves=False)
    assert again == measured, "ranks are of the replicate's own seed"


def test_one_map_sorts_truth_and_draws(drawn):
    """Whatever labels the draws came with, what is measured is the same."""
    scenario, replicate, fit = drawn
    target = target_of(scenario, replicate, None, SEEDS)
    flip = torch.arange(fit.num_draws) % 3 == 0
    mixed = {
        name: torch.where(flip[:, None], value.flip(1), value) if value.ndim == 2 else value
        for name, value in fit.draws.items()
    }
    labelled = arranged(scenario, replace(fit, draws=mixed))
    assert all(torch.equal(labelled.draws[name], arranged(scenario, fit).draws[name]) for name in fit.draws)
    ours, theirs = (
        measure(scenario, each, target, replicate.data, SEEDS, keep_curves=False)
        for each in (fit, replace(fit, draws=mixed))
    )
    assert ours.estimate == theirs.estimate and ours.predictions == theirs.predictions
    assert (np.diff(np.asarray(replicate.greeks["mu_X"])) > 0).all()


def test_distance_to_the_exact_posterior():
    scenario = SCENARIOS["few_rows"]
    replicate = scenario.source.draw(scenario, SEEDS)
    exact = Exact(num_draws=2000).fit(scenario.model, replicate.data, seed=4)
    target = target_of(scenario, replicate, exact, SEEDS)
    itself = measure(scenario, exact, target, replicate.data, SEEDS, keep_curves=False)
    queries = {"E[X | do(Z=0)]", "E[X | do(Z=1)]", CONTRAST}
    assert set(itself.exactness) == {"theta[0]", "theta[1]", "mu_X[0]", "mu_X[1]"} | queries
    for each in itself.exactness.values():
        assert each.wasserstein == 0.0
        assert each.gaps == pytest.approx([0.0] * 7, abs=1 / 2001)
    moved = replace(exact, draws={name: value + (name == "mu_X") * 0.5 for name, value in exact.draws.items()})
    away = measure(scenario, moved, target, replicate.data, SEEDS, keep_curves=False)
    assert away.exactness["mu_X[0]"].wasserstein > 0.1
    assert away.exactness["E[X | do(Z=0)]"].wasserstein == pytest.approx(away.exactness["mu_X[0]"].wasserstein)
    assert away.exactness[CONTRAST].wasserstein == pytest.approx(0.0, abs=1e-9), "both means were moved alike"
    assert away.exactness["theta[0]"].wasserstein == pytest.approx(0.0, abs=1e-12)
    fresh = SCENARIOS["five_points"]
    points = fresh.source.draw(fresh, SEEDS)
    with pytest.raises(ValueError, match="five_points: neither a truth nor an exact posterior to compare with"):
        target_of(fresh, points, None, SEEDS)


def test_a_prediction_that_is_no_distribution_is_refused():
    """A mechanism whose density is not a number leaves no row with NaN in it."""
    scenario = SCENARIOS["separated_300"]
    replicate = scenario.source.draw(scenario, SEEDS)
    target = target_of(scenario, replicate, None, SEEDS)
    good = Fit.from_greeks(scenario.model, {"theta": (0.4, 0.6), "mu_X": (-3.0, 3.0)})
    with pytest.raises(ValueError):
        nothing = replace(good, draws={name: torch.full_like(value, math.nan) for name, value in good.draws.items()})
        measure(scenario, nothing, target, replicate.data, SEEDS, keep_curves=False)


def test_what_a_fit_says_in_words_of_its_quantities():
    scenario = SCENARIOS["separated_300"]
    point = Fit.from_greeks(scenario.model, {"theta": (0.4, 0.6), "mu_X": (-2.0, 3.5)})
    told = summarised(scenario, point)
    assert told[CONTRAST] == {"value": 5.5, "lower": None, "upper": None}
    spread = replace(
        point,
        kind="laplace",
        draws={
            "theta": torch.tensor([[0.4, 0.6]] * 11),
            "mu_X": torch.stack([torch.arange(11.0), torch.arange(11.0) + 5], 1),
        },
    )
    told = summarised(scenario, spread)
    assert told["mu_X[0]"]["value"] == pytest.approx(5.0)
    assert (told["mu_X[0]"]["lower"], told["mu_X[0]"]["upper"]) == pytest.approx((0.5, 9.5))
    assert told[CONTRAST]["lower"] == pytest.approx(5.0)


def test_weights_count_in_the_log_likelihood():
    scenario = SCENARIOS["prior_truths"]
    greeks = {"theta": np.array([0.4, 0.6]), "mu_X": np.array([-3.0, 3.0])}
    model = CausalMixture(2, {"X": Gaussian(loc=Normal(0, 10), scale=1.0)}, concentration=5.0)
    once = Data(X=[-3.0, -2.0, -2.0, 3.5])
    twice = Data(X=[-3.0, -2.0, 3.5], weights=[1.0, 2.0, 1.0])
    both = replace(scenario, make_model=lambda: model)
    values = [target_of(both, Draw(each, greeks), None, SEEDS).quantities[LOG_LIKELIHOOD] for each in (once, twice)]
    assert values[0] == pytest.approx(values[1])
