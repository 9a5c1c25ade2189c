"""Prior against data: a fit warns where they disagree, and says of which Greeks the rows tell nothing."""

from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy.stats import chi2, norm

from estimators import (
    EM,
    MAP,
    NUTS,
    CausalMixture,
    Data,
    EstimationError,
    EstimationWarning,
    Exact,
    Fit,
    GaussianMixture,
    PyroModel,
    Status,
)
from estimators.algorithms.prior_remarks import conflict_at
from estimators.contract import Model
from estimators.fits.left_to_priors import untold_entries
from estimators.mechanisms import Bernoulli, Gaussian, LinearGaussian
from tests.models import fit_quietly, quiet
from tests.test_scaled_priors import GALAXIES, THREE

SHORT = MAP(num_starts=10, num_steps=5)
RNG = np.random.default_rng(0)
NOISE = RNG.normal(0.0, 5.0, size=30)


def said(fit: Fit, words: str) -> list[str]:
    return [sentence for sentence in fit.advice if words in sentence]


# ---------------------------------------------------------------- the measure


@pytest.mark.parametrize(
    ("width", "scale", "num_rows"), [(10.0, 1.0, 30), (1.0, 30.0, 20), (2.0, 2.0, 1)], ids=["data", "prior", "neither"]
)
@pytest.mark.parametrize("distance", [1.0, 5.0, 40.0])
def test_of_a_gaussian_it_is_boxs_chi_square(width: float, scale: float, num_rows: int, distance: float) -> None:
    """2 D = x̄² / (τ² + s²/n), but for the median of the prior's density, whichever of the two wins."""
    predictive = np.sqrt(width**2 + scale**2 / num_rows)
    x = distance * predictive + (NOISE[:num_rows] - NOISE[:num_rows].mean())
    model = CausalMixture(1, {"X": Gaussian(loc=dist.Normal(0.0, width), scale=scale)})
    density = model.density(Data(X=x))
    mean = x.mean() * width**2 / predictive**2
    at = density.unconstrain({"theta": np.ones(1), "mu_X": np.array([mean])})
    # Draws that have the prior's quantiles, so that the median is its own.
    of_prior = {"theta": np.ones((9999, 1)), "mu_X": width * norm.ppf(np.arange(1, 10_000) / 10_000)[:, None]}
    conflict = conflict_at(model, density, at[None], of_prior, np.random.default_rng(0))
    lost = (x.mean() - mean) ** 2 * num_rows / (2.0 * scale**2)
    given_up = max(0.0, (mean / width) ** 2 / 2.0 - chi2.median(1) / 2.0)
    assert conflict.nats == pytest.approx(lost + given_up, abs=1e-4, rel=1e-6)
    if given_up:
        assert conflict.nats + chi2.median(1) / 2.0 == pytest.approx(distance**2 / 2.0, abs=1e-4, rel=1e-6)
    assert conflict.limit == pytest.approx(chi2.isf(1e-3, 1) / 2.0)
    # The prior is to blame where the rows' own answer is outside of it.
    is_outside = (x.mean() / width) ** 2 / 2.0 - chi2.median(1) / 2.0 > 5.0
    assert conflict.culprits == (["mu_X"] if conflict.nats > conflict.limit and is_outside else [])


def test_labels_do_not_matter() -> None:
    model = GaussianMixture(2)
    density, found = model.density(Data(X=[0.0, 1.0, 90.0, 91.0])), []
    for means in ([0.5, 88.0], [88.0, 0.5]):
        at = density.unconstrain({"theta": np.array([0.5, 0.5]), "mu_X": np.array(means)})
        of_prior = density.constrain(density.draw_prior(100, np.random.default_rng(0)))
        found.append(conflict_at(model, density, at[None], of_prior, np.random.default_rng(0)).nats)
    assert found[0] == pytest.approx(found[1], rel=1e-9)


# ---------------------------------------------------------------- in a fit's advice


def test_galaxies_under_the_default_prior() -> None:
    with pytest.warns(EstimationWarning, match="PRIOR_CONFLICT"):
        fit = SHORT.fit(THREE, {"X": GALAXIES}, seed=0)
    (sentence,) = said(fit, "disagree")
    assert "prior of mu_X, sigma_X" in sentence and "scaled_to(data)" in sentence
    # The controls: in other units, under priors in the data's units, and without priors, there is nothing to say.
    for model, x in ((THREE, GALAXIES / 1e3), (THREE.scaled_to({"X": GALAXIES}), GALAXIES)):
        assert not said(SHORT.fit(model, {"X": x}, seed=0, search=None), "disagree")
    assert not said(EM(num_starts=3).fit(THREE, {"X": GALAXIES}, seed=0), "disagree")


def test_a_location_that_stays_as_the_scale_gives_way() -> None:
    """The mean is where the prior has it, and the wide scale allows for that: only the likelihood shows it."""
    model = CausalMixture(1, {"X": Gaussian(loc=dist.Normal(0.0, 1.0), scale=dist.HalfCauchy(100.0))})
    with pytest.warns(EstimationWarning, match="PRIOR_CONFLICT: .* nats"):
        fit = SHORT.fit(model, {"X": 300.0 + NOISE}, seed=0)
    assert fit.status is Status.PRIOR_CONFLICT
    assert abs(float(fit["mu_X"])) < 1.0
    (sentence,) = said(fit, "disagree")
    assert "prior of mu_X hardly" in sentence


def test_exact_and_nuts_say_it_too() -> None:
    rows = {"X": [50.0, 51.0, 52.0, 60.0, 61.0]}
    model = GaussianMixture(2, loc_scale=1.0)
    for estimator in (Exact(num_draws=200), NUTS(num_samples=100, warmup_steps=100, num_chains=2)):
        assert said(fit_quietly(estimator, model, rows), "disagree")


def test_of_other_units_it_is_said_before_what_follows_from_them() -> None:
    """Days in millionths: a class is lost to the prior's units, not to the rows."""
    model = CausalMixture(2, {"T": Bernoulli(), "Y": LinearGaussian(parents=["T"])})
    columns = {"T": (NOISE > 0.0).astype(float), "Y": 10.0 + NOISE}
    own, small = (fit_quietly(SHORT, model, {**columns, "Y": unit * columns["Y"]}, search=None) for unit in (1.0, 1e6))
    assert Status.PRIOR_CONFLICT not in own.findings
    assert small.status is Status.PRIOR_CONFLICT and {Status.COMPONENT_COLLAPSED, Status.BOUNDARY} & {*small.findings}
    assert small.advice[0].startswith("PRIOR_CONFLICT") and "units of the columns" in " ".join(str(small).split())
    # What holds of the end of the climb holds although it is not the status.
    with pytest.raises(EstimationError, match=r"no interior mode.*PRIOR_CONFLICT"):
        small.laplace(10, seed=0)


def test_a_program_says_it_of_its_priors() -> None:
    def program(N: int) -> None:
        mean = pyro.sample("mean", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        with pyro.plate("rows", N):
            z = pyro.sample("z", dist.Bernoulli(0.5))
            pyro.sample("x", dist.Normal(mean[z.long()], 5.0))

    for shift, expected in ((0.0, 0), (300.0, 1)):
        fit = fit_quietly(SHORT, PyroModel(program), {"x": shift + NOISE})
        assert len(said(fit, "disagree")) == expected


# ---------------------------------------------------------------- of what the rows tell nothing


def test_entries_without_rows_are_named() -> None:
    model = CausalMixture(1, {"T": Bernoulli(), "Y": Gaussian(scale=5.0, parents=["T"])})
    fit = Exact(num_draws=2000).fit(model, {"T": [0] * 15 + [1], "Y": NOISE[:16]}, seed=0)
    assert not said(fit, "tell next to nothing")
    fit = Exact(num_draws=2000).fit(model, {"T": [0] * 16, "Y": NOISE[:16]}, seed=0)
    (sentence,) = said(fit, "tell next to nothing")
    assert "of mu_Y[0, 1]:" in sentence


def test_another_spread_or_place_is_not_the_priors() -> None:
    of_prior = {"a": RNG.normal(size=(1000, 1))}
    draws = RNG.normal(size=(1000, 1))
    assert untold_entries({"a": draws}, of_prior) == ["a[0]"]
    for other in (0.6 * draws, 1.6 * draws, draws + 0.4, np.sign(draws)):
        assert untold_entries({"a": other}, of_prior) == []
    assert untold_entries({"a": np.ones((100, 1))}, {"a": np.ones((100, 1))}) == [], "a constant is not told"


# ---------------------------------------------------------------- false alarms

WORLDS: dict[str, tuple[Model, int]] = {
    "tutorial": (GaussianMixture(2), 10),
    "free spreads": (CausalMixture(2, {"X": Gaussian()}), 50),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.statistical(min_effect=0.07)
def test_rows_from_the_prior_raise_no_alarm(name: str, stat: Any) -> None:
    """At most one data set in a hundred; rows in a unit a hundred times smaller are the control."""
    model, num_rows = WORLDS[name]
    alarms = np.zeros(2, dtype=int)
    with quiet():
        for seed in range(stat.seed, stat.seed + 300):
            x = model.simulate(num_rows, seed=seed)["X"]
            fits = [SHORT.fit(model, {"X": unit * x}, seed=seed) for unit in (1.0, 100.0)]
            alarms += [len(said(fit, "disagree")) for fit in fits]
    stat.proportion(int(alarms[0]), 300, 0.01, alternative="greater")
    with stat.control():
        stat.proportion(int(alarms[1]), 300, 0.01, alternative="greater")
