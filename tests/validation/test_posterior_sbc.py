"""Posterior SBC: calibration around one's own rows, which are kept as they are."""

import importlib
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from estimators import EM, MAP, NUTS, CausalMixture, Data, Exact, Fit, GaussianMixture
from estimators.mechanisms import Bernoulli, Gaussian, LinearGaussian
from tests.models import fit_quietly
from tests.validation.studies import judged, replicated
from validation.scenarios import Scenario, Seeds, Truth
from validation.statistics.check import Verdict
from validation.study.row import RANKED

ONE = CausalMixture(1, {"X": Gaussian(scale=1.0)})
SEEDS = Seeds(1, 2, 3, 4, 5, 6)
MIXTURE = CausalMixture(2, {"X": Gaussian()}, concentration=3.0)
CONFOUNDER = CausalMixture(2, {"T": Bernoulli(), "Y": LinearGaussian(parents=["T"], scale=1.0)}, concentration=3.0)


@pytest.fixture(scope="module")
def controls():
    """The module of controls, under a name that a spawned process can import too."""
    folder = str(Path(__file__).parent)
    sys.path.insert(0, folder)
    yield importlib.import_module("posterior_sbc_controls")
    sys.path.remove(folder)


def test_rows_are_kept_and_rows_of_one_draw_are_added():
    Z = torch.tensor([0, 1, -1, -1, 1, -1])
    data = Data(
        X=[0.1, 5.2, 4.7, -0.3, 4.1, 5.5], Z=Z, weights=[1, 1, 2, 1, 3, 1], intervened={"Z": [1, 1, 0, 0, 0, 0]}
    )
    model = GaussianMixture(2)
    fit = Exact(num_draws=50).fit(model, data.replace(weights=None), seed=0)
    fit = Fit(model, fit.kind, fit.draws, 1, fit.status, fit.stats, data=data)
    scenario = pickle.loads(pickle.dumps(Scenario.around_posterior(fit)))
    assert scenario.source.truth is Truth.POSTERIOR
    assert scenario.sort_by is None  # Z is seen and set, so that labels are pinned
    drawn = scenario.source.draw(scenario, SEEDS)
    assert drawn.data.num_rows == scenario.num_rows == 12
    for own, added in ((slice(0, 6), data), (slice(6, 12), data)):
        assert drawn.data.is_set("Z")[own].tolist() == added.is_set("Z").tolist()
        assert drawn.data.weights[own].tolist() == added.weights.tolist()
        assert (drawn.data.latent()[own] >= 0).tolist() == (added.latent() >= 0).tolist()
    assert torch.equal(drawn.data.columns["X"][:6], data.columns["X"])
    assert torch.equal(drawn.data.latent()[:6], data.latent())
    assert not torch.equal(drawn.data.columns["X"][6:], data.columns["X"])
    among = (fit.draws["mu_X"].numpy() == drawn.greeks["mu_X"]).all(1)
    assert (fit.draws["theta"].numpy()[among] == drawn.greeks["theta"]).all() and among.any()
    assert np.array_equal(scenario.source.draw(scenario, SEEDS).greeks["mu_X"], drawn.greeks["mu_X"])


def test_free_labels_are_sorted_alike():
    fit = Exact(num_draws=200).fit(GaussianMixture(2), Data(X=[-0.4, 0.2, 0.9, 1.4, 0.1]), seed=0)
    scenario = Scenario.around_posterior(fit)
    assert scenario.sort_by == "mu_X" and scenario.sorts
    for number in range(8):
        mu = scenario.source.draw(scenario, SEEDS._replace(truth=number)).greeks["mu_X"]
        assert mu[0] <= mu[1]
    rows = CONFOUNDER.simulate(40, {"theta": [0.4, 0.6], "p_T": [0.2, 0.8], "beta_Y": [[0, -1], [4, -1]]}, seed=0)
    confounded = fit_quietly(MAP(), CONFOUNDER, Data(T=rows["T"], Y=rows["Y"]), seed=0).laplace(50, seed=0)
    assert Scenario.around_posterior(confounded).sort_by == "p_T"


def test_refusals():
    point = EM().fit(ONE, Data(X=[0.0, 1.0, 3.0]), seed=0)
    with pytest.raises(ValueError, match="around_posterior: expected a fit with draws of the posterior"):
        Scenario.around_posterior(point)
    with pytest.raises(ValueError, match="around_posterior: expected a fit to data"):
        Scenario.around_posterior(Fit.from_greeks(ONE, {"theta": [1.0], "mu_X": [0.0]}))


@pytest.mark.statistical(checks=1, min_effect=1.0)
def test_a_known_posterior_is_calibrated_around_its_data_and_distorted_ones_are_not(stat):
    """One normal mean under its prior Normal(0, 10), whose posterior given all rows is known."""
    fit = Exact(num_draws=2000, progress_bar=False).fit(ONE, Data(X=[0.3, 1.9, -0.8, 1.1, 0.6]), seed=stat.seed)
    scenario = Scenario.around_posterior(fit)
    distortions = {"right": (0.0, 1.0), "narrow": (0.0, 0.75), "beside": (0.3, 1.0)}
    rng, ranks = np.random.default_rng(stat.seed), {name: [] for name in distortions}
    for number in range(700):
        drawn = scenario.source.draw(scenario, SEEDS._replace(truth=stat.seed + number, data=stat.seed + number))
        x = drawn.data.columns["X"].numpy()
        precision = len(x) + 0.01
        for name, (shift, width) in distortions.items():
            draws = x.sum() / precision + (shift + width * rng.normal(size=RANKED)) / np.sqrt(precision)
            ranks[name].append(int((draws < drawn.greeks["mu_X"][0]).sum()))
    stat.uniform_ranks(ranks["right"], RANKED)
    for name in ("narrow", "beside"):
        with stat.control():
            stat.uniform_ranks(ranks[name], RANKED)


# A model, its Greeks, and the quantity by which wrong posteriors are seen best.
WORLDS = {
    "a mixture": (MIXTURE, {"theta": [0.4, 0.6], "mu_X": [0.0, 4.0], "sigma_X": [1.0, 1.5]}, "mu_X[0]"),
    "a confounder": (
        CONFOUNDER,
        {"theta": [0.4, 0.6], "p_T": [0.2, 0.8], "beta_Y": [[0.0, -1.0], [4.0, -1.0]]},
        "log p(data)",
    ),
}


@pytest.mark.slow
@pytest.mark.statistical(checks=2, min_effect=1.0)
@pytest.mark.parametrize("world", WORLDS)
def test_nuts_is_calibrated_around_its_data_and_wrong_posteriors_are_found_out(stat, controls, world):
    model, truth, quantity = WORLDS[world]
    rows = model.simulate(60, truth, seed=stat.seed)
    data = Data({name: column for name, column in rows.items() if name != "Z"})
    fit = fit_quietly(NUTS(num_samples=1000, progress_bar=False), model, data, seed=stat.seed)
    scenario = Scenario.around_posterior(fit)
    contenders = controls.contenders(controls.FAST)
    found, described = replicated(scenario, contenders["right"], 200, seed=stat.seed, workers=2)
    for name in (quantity, "theta[0]"):
        stat.uniform_ranks([row.intervals[name].rank for row in found], RANKED)
    assert judged(found, described, "calibration", stat.alpha).verdict is not Verdict.FAIL
    for name in ("narrow", "beside"):
        wrong, _ = replicated(scenario, contenders[name], 600, seed=stat.seed, workers=2)
        with stat.control():
            stat.uniform_ranks([row.intervals[quantity].rank for row in wrong], RANKED)
        assert judged(wrong, described, "calibration", 1e-4).verdict is not Verdict.PASS
