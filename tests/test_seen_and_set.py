"""Seen Z informs theta and the mechanisms; set Z, chosen by an experimenter, informs the mechanisms only."""

import numpy as np
import pytest
import torch
from scipy.stats import norm

from estimators import EM, MAP, NUTS, Data, GaussianMixture
from estimators.algorithms.protocol import Estimator
from estimators.contract import log_posterior
from tests.models import fit_quietly
from tests.objectives import objective_of
from tests.posteriors import independent
from validation.testing import Stat

MODEL = GaussianMixture(K=2, concentration=2.0)
# Classes 12 standard deviations apart, so that no hidden row is unsure of its class.
HIDDEN = Data(X=MODEL.simulate(60, {"theta": [0.3, 0.7], "mu_X": [-6.0, 6.0]}, seed=1)["X"])
POINT = {"EM": EM(num_starts=5), "MAP": MAP(num_starts=10, num_steps=20)}
SAMPLER = NUTS(num_samples=500, warmup_steps=300)


def known_rows(count: int, *, is_set: bool) -> Data:
    """Rows all of class 1: seen ones would move theta far."""
    columns = MODEL.simulate(count, {"theta": [0.0, 1.0], "mu_X": [-6.0, 6.0]}, seed=2)
    return Data(X=columns["X"], Z=[1] * count, intervened={"Z": is_set})


def with_rows(count: int, *, is_set: bool) -> Data:
    return Data.concat([HIDDEN, known_rows(count, is_set=is_set)]) if count else HIDDEN


@pytest.mark.parametrize(
    ("count", "estimator"),
    [
        # By default every count, and each estimator, but not every pair.
        pytest.param(count, each, id=f"{count}-{name}", marks=[pytest.mark.slow] * ((name == "MAP") != (count == 20)))
        for count in (1, 20, 300)
        for name, each in POINT.items()
    ],
)
@pytest.mark.statistical(checks=2, min_effect=0.06)
def test_set_rows_leave_theta_and_sharpen_mu(stat: Stat, estimator: Estimator, count: int) -> None:
    before = estimator.fit(MODEL, HIDDEN, seed=0)
    after = estimator.fit(MODEL, with_rows(count, is_set=True), seed=0)
    torch.testing.assert_close(after["theta"], before["theta"], rtol=0, atol=1e-6)
    for fit, known in ((before, 0), (after, count)):
        scores = (fit.laplace(4000, seed=stat.seed).draws["mu_X"][:, 1] - fit["mu_X"][1]) * sharpness(estimator, known)
        stat.cdf(scores, norm.cdf)
        with stat.control():
            stat.cdf(scores * 1.5, norm.cdf)


@pytest.mark.parametrize("estimator", POINT.values(), ids=POINT)
@pytest.mark.statistical(min_effect=0.06)
def test_seen_rows_move_both(stat: Stat, estimator: Estimator) -> None:
    before = estimator.fit(MODEL, HIDDEN, seed=0)
    after = estimator.fit(MODEL, with_rows(100, is_set=False), seed=0)
    assert float(after["theta"][1] - before["theta"][1]) > 0.1
    assert abs(float(after["mu_X"][1] - before["mu_X"][1])) > 1e-4
    scores = (after.laplace(4000, seed=stat.seed).draws["mu_X"][:, 1] - after["mu_X"][1]) * sharpness(estimator, 100)
    stat.cdf(scores, norm.cdf)
    with stat.control():
        stat.cdf(scores * 1.5, norm.cdf)


def sharpness(estimator: Estimator, known: int) -> float:
    """1/sd of mu[1]: the root of its rows, those of the prior included, which are worth a hundredth of one."""
    rows = int((HIDDEN.columns["X"] > 0).sum()) + known
    return float((rows + (0.0 if isinstance(estimator, EM) else 0.01)) ** 0.5)


@pytest.mark.parametrize("count", [1, 20, 300])
def test_set_rows_leave_the_posterior_of_theta_that_nuts_samples(count: int) -> None:
    """The slope of the sampled density in theta's coordinate is the same function, whatever rows are set."""
    models = [objective_of(MODEL, data, log_posterior) for data in (HIDDEN, with_rows(count, is_set=True))]
    for theta in (0.05, 0.3, 0.9):
        greeks = {"theta": np.array([theta, 1 - theta]), "mu_X": np.array([-6.0, 6.0])}
        slopes = [model.value_and_gradient(model.density.unconstrain(greeks))[1][0] for model in models]
        assert slopes[1] == pytest.approx(slopes[0], abs=1e-6)
    seen = objective_of(MODEL, with_rows(count, is_set=False), log_posterior)
    moved = seen.value_and_gradient(seen.density.unconstrain(greeks))[1][0]
    assert abs(moved - slopes[0]) > 0.05


@pytest.mark.slow
@pytest.mark.statistical(checks=4, min_effect=0.25)
def test_nuts_with_set_and_with_seen_rows(stat: Stat) -> None:
    data_sets = (HIDDEN, with_rows(100, is_set=True), with_rows(100, is_set=False))
    fits = [fit_quietly(SAMPLER, MODEL, data, seed=stat.seed + n) for n, data in enumerate(data_sets)]
    for fit, data, known in zip(fits, data_sets, (0, 100, 100), strict=True):
        column = data.columns["X"]
        mean = float(column[column > 0].sum()) / sharpness(SAMPLER, known) ** 2
        scores = independent(fit, (fit.draws["mu_X"][:, 1].numpy() - mean) * sharpness(SAMPLER, known))
        stat.cdf(scores, norm.cdf)
    with stat.control():
        stat.cdf(scores * (sharpness(SAMPLER, 0) / sharpness(SAMPLER, 100)) ** 2, norm.cdf)
    shares = [independent(fit, fit.draws["theta"][:, 1].numpy()) for fit in fits]
    stat.same_distribution(shares[0], shares[1])
    with stat.control():
        stat.same_distribution(shares[0], shares[2])


def test_partly_seen_labels_keep_their_names() -> None:
    """Rows seen with Z = 0 on the right make class 0 the right one, against the order of the means."""
    data = Data.concat([HIDDEN, Data(X=[6.1, 5.9, 6.0], Z=[0, 0, 0])])
    for estimator in (*POINT.values(), NUTS(num_samples=50, warmup_steps=100)):
        fit = fit_quietly(estimator, MODEL, data, seed=4)
        assert float(fit["mu_X"][0]) > 5.0
        assert float(fit["mu_X"][1]) < -5.0
        assert "known Z" in fit.stats["labels"]


def test_all_rows_seen_is_counting() -> None:
    data = Data(X=[0.0, 1.0, 10.0], Z=[0, 0, 1])
    fit = EM().fit(MODEL, data, seed=0)
    torch.testing.assert_close(fit["theta"], torch.tensor([2 / 3, 1 / 3], dtype=torch.float64), rtol=0, atol=1e-7)
    torch.testing.assert_close(fit["mu_X"], torch.tensor([0.5, 10.0]).double(), rtol=0, atol=1e-7)


# The bias of theta that the test below has to see, and the power that it has to see it with.
MIN_EFFECT, POWER = 0.03, 0.99
REPLICATES = 120
# Of a maximum-likelihood estimate from 300 rows, at most: that of a proportion of .3, (1 - 2p)/sqrt(n p (1 - p)).
SKEWNESS = 0.06


def errors_of_theta(seeds: range, *, as_set: bool) -> list[float]:
    """Errors of theta[1], over data sets of 300 rows with Z hidden and 200 with Z put to 1."""
    truth = {"theta": [0.7, 0.3], "mu_X": [0.0, 4.0]}
    model, errors = GaussianMixture(K=2), []
    for seed in seeds:
        seen = model.simulate(300, truth, seed)["X"]
        experiment = 4.0 + torch.randn(200, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        labels = torch.cat([torch.full((300,), -1), torch.ones(200, dtype=torch.long)])
        intervened = {"Z": labels == 1} if as_set else None
        data = Data(X=torch.cat([seen, experiment]), Z=labels, intervened=intervened)
        errors.append(float(EM(num_starts=3).fit(model, data, seed=0, search=None)["theta"][1]) - 0.3)
    return errors


@pytest.mark.statistical(min_effect=MIN_EFFECT, power=POWER)
def test_theta_is_unbiased_with_set_rows_and_would_not_be_with_seen_ones(stat: Stat) -> None:
    """The bias is smaller than a mean of REPLICATES errors shows; set rows treated as seen fail."""
    seeds = range(stat.seed, stat.seed + REPLICATES)
    stat.mean(errors_of_theta(seeds, as_set=True), 0.0, skewness=SKEWNESS)
    with stat.control():
        stat.mean(errors_of_theta(seeds, as_set=False), 0.0, skewness=SKEWNESS)
