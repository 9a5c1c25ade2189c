"""SMC: the evidence and the whole posterior, every mode in proportion, against what is known exactly."""

import math
import warnings
from dataclasses import replace

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy import stats
from torch.distributions import constraints

from estimators import (
    SMC,
    CausalMixture,
    Data,
    EstimationError,
    EstimationWarning,
    Exact,
    Fit,
    GaussianMixture,
    PyroModel,
)
from estimators.algorithms.smc import cloud as cloud_module
from estimators.algorithms.smc.cloud import posterior_cloud
from estimators.algorithms.smc.moves import (
    DifferentialEvolution,
    Independent,
    Jump,
    Langevin,
    Move,
    Snooker,
    Surroundings,
)
from estimators.algorithms.smc.mutation import Mutation
from estimators.algorithms.smc.particles import Particles, evaluate
from estimators.algorithms.smc.shape import cluster_proposals
from estimators.algorithms.smc.tempering import effective_size, next_temperature, systematic
from estimators.mechanisms import Gaussian
from estimators.mixture.density import Density
from tests.models import TUTORIAL_ROWS, fit_quietly
from tests.posteriors import check_other_posterior, check_same_posterior
from validation.testing import Stat

# Three clusters and two classes: the middle one goes with either of the others.
THREE_CLUSTERS = [-0.6, 0.4, 5.2, 6.1, 10.9, 11.5]
CLUSTERED = GaussianMixture(K=2, concentration=2.0)
OVERLAPPING = [-2.0, -1.4, -0.4, 0.2, 0.5, 1.1, 2.2, 2.6]
SMALL = SMC(num_particles=600, max_sweeps=4)


def density_of(model: CausalMixture, rows: list[float]) -> Density:
    density = model.density(model.check(Data(X=rows)))
    assert isinstance(density, Density)
    return density


# ---------------------------------------------------------------- tempering


def test_the_next_temperature_has_the_share_that_was_asked_for() -> None:
    log_likelihood = 100.0 * np.random.default_rng(0).standard_normal(300)
    for share in (0.3, 0.9):
        step = next_temperature(log_likelihood, 0.25, share) - 0.25
        assert effective_size(step * log_likelihood) == pytest.approx(share * 300, rel=1e-6)
    assert next_temperature(np.zeros(300), 0.25, 0.9) == 1.0
    # Relative to where it is, and to a constant that all have.
    moved = next_temperature(log_likelihood - 1e3, 0.25, 0.5)
    assert moved == pytest.approx(next_temperature(log_likelihood, 0.25, 0.5), rel=1e-6)
    with pytest.raises(EstimationError, match=r"nats apart, and their numbers .* rescale the columns"):
        next_temperature(1e60 * log_likelihood, 0.25, 0.5)
    with pytest.raises(EstimationError, match="none can be told to be better"):
        next_temperature(np.full(300, -1e100), 0.25, 0.5)


def test_systematic_resampling_rounds_every_weight_and_keeps_the_order() -> None:
    rng = np.random.default_rng(1)
    log_weights = 2.0 * rng.standard_normal(50)
    expected = 50 * np.exp(log_weights) / np.exp(log_weights).sum()
    for _ in range(20):
        ancestors = systematic(log_weights, rng)
        copies = np.bincount(ancestors, minlength=50)
        assert (np.diff(ancestors) >= 0).all()
        assert (copies >= np.floor(expected - 1e-9)).all() and (copies <= np.ceil(expected + 1e-9)).all()


# ---------------------------------------------------------------- moves


def particles_at(points: np.ndarray, slopes: np.ndarray) -> Particles:
    zero = np.zeros(len(points))
    return Particles(points, zero, zero, slopes, np.zeros_like(slopes))


def test_the_langevin_ratio_is_that_of_the_normal_laws_of_both_ways() -> None:
    rng = np.random.default_rng(2)
    factor, scale = np.array([[1.0, 0.0], [0.5, 2.0]]), 0.3
    before = particles_at(rng.standard_normal((1, 2)), 0.1 * rng.standard_normal((1, 2)))
    around = Surroundings(np.zeros((0, 2)), 1.0, scale, np.random.default_rng(3))
    proposal = Langevin(factor).propose(before, around)
    after = particles_at(proposal.points, 0.1 * rng.standard_normal((1, 2)))
    h, A = scale * 10.0 ** -np.random.default_rng(3).random(), factor @ factor.T

    def log_q(start: Particles, end: Particles) -> float:
        mean = start.coordinates[0] + 0.5 * h**2 * A @ start.prior_slopes[0]
        return float(stats.multivariate_normal.logpdf(end.coordinates[0], mean, h**2 * A))

    assert proposal.log_ratio(after)[0] == pytest.approx(log_q(after, before) - log_q(before, after), rel=1e-9)


class Normal:
    """A density known in closed form: ``Normal(0, 1)`` in three coordinates, with no rows."""

    size, row_size = 3, 1

    def evaluate(self, v: np.ndarray) -> tuple[object, object]:
        from estimators.contract import Parts

        zero, none = np.zeros(len(v)), np.zeros_like(v)
        return Parts(zero, -0.5 * (v**2).sum(-1), zero), Parts(none, -v, none)


@pytest.mark.parametrize(
    "move",
    [
        DifferentialEvolution(acceptance=None),
        Jump(),
        Snooker(np.ones(3)),
        Langevin(np.diag([1.0, 0.5, 2.0]), None),
        # About clusters of other points, which are elsewhere and narrower than the target is.
        Independent(
            cluster_proposals(
                Normal(), 0.3 + 0.7 * np.random.default_rng(1).standard_normal((60, 3)), np.random.default_rng(2)
            )  # type: ignore[arg-type]
        ),
    ],
    ids=lambda move: type(move).__name__,
)
@pytest.mark.statistical(min_effect=0.05)
def test_every_move_leaves_its_target_as_it_is(stat: Stat, move: Move, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the target to the target; squares, as a wrong ratio changes the spread first."""
    rng = np.random.default_rng(stat.seed)
    density = Normal()
    points = evaluate(density, rng.standard_normal((8000, 3)))  # type: ignore[arg-type]
    monkeypatch.setattr(Mutation, "_moves", lambda *_: [move])
    moved = Mutation(density, rng, 8).decorrelated(points, 1.0)  # type: ignore[arg-type]
    radius = (moved.coordinates**2).sum(-1)
    stat.cdf(radius, stats.chi2(3).cdf)
    assert (moved.coordinates != points.coordinates).any(-1).mean() > 0.5
    with stat.control():
        stat.cdf(1.2 * radius, stats.chi2(3).cdf)


# ---------------------------------------------------------------- the evidence


@pytest.mark.statistical(min_effect=8.0)
def test_the_evidence_of_one_component_is_the_closed_form(stat: Stat) -> None:
    rows = [1.0, 3.0, 5.5]
    fit = fit_quietly(SMALL, GaussianMixture(K=1, concentration=1.0), {"X": rows}, seed=stat.seed)
    expected = stats.multivariate_normal.logpdf(rows, np.zeros(3), np.eye(3) + 100.0)
    stat.estimate(fit.stats["log_evidence"], fit.stats["log_evidence_error"], expected)
    with stat.control():  # one row less
        stat.estimate(
            fit.stats["log_evidence"],
            fit.stats["log_evidence_error"],
            stats.multivariate_normal.logpdf(rows[:2], np.zeros(2), np.eye(2) + 100.0),
        )


@pytest.mark.parametrize(
    ("model", "data"),
    [
        (GaussianMixture(K=2), Data(X=TUTORIAL_ROWS)),
        (GaussianMixture(K=2, concentration=2.0, loc_scale=3.0), Data(X=[0.0, 2.0, 4.0], Z=[-1, 0, 1])),
        (GaussianMixture(K=3), Data(X=THREE_CLUSTERS)),
        pytest.param(GaussianMixture(K=2, concentration=0.05), Data(X=TUTORIAL_ROWS), marks=pytest.mark.slow),
    ],
    ids=["concentration .5", "seen", "three components", "concentration .05"],
)
@pytest.mark.statistical(min_effect=8.0)
def test_the_evidence_is_that_of_exact(stat: Stat, model: GaussianMixture, data: Data) -> None:
    exact = Exact(num_draws=2).fit(model, data, seed=0).stats["log_evidence"]
    fit = fit_quietly(SMALL, model, data, seed=stat.seed)
    stat.estimate(fit.stats["log_evidence"], fit.stats["log_evidence_error"], exact)
    assert fit.stats["log_evidence_error"] < 0.4
    with stat.control():  # the constant of labels that can be named in two ways
        stat.estimate(fit.stats["log_evidence"], fit.stats["log_evidence_error"], exact + 3 * math.log(2))


def test_rows_that_say_nothing_have_no_evidence() -> None:
    rows = Data(X=TUTORIAL_ROWS, intervened={"X": True})
    fit = fit_quietly(SMC(num_particles=40, max_sweeps=1), GaussianMixture(K=2), rows, seed=0)
    assert fit.stats["log_evidence"] == pytest.approx(0.0, abs=1e-12)
    assert fit.stats["num_temperatures"] == 1


# ---------------------------------------------------------------- the posterior


def begin_in_one_mode(patch: pytest.MonkeyPatch) -> None:
    """Clouds that begin near one mode, under both names of the labels, and stay where they are."""
    means = np.array([[0.0, 8.4], [8.4, 0.0]])

    def drawn(self: Density, count: int, rng: np.random.Generator) -> np.ndarray:
        mu = np.resize(means, (count, 2)) + 0.1 * rng.standard_normal((count, 2))
        theta = np.where(mu < 4.0, 1 / 3, 2 / 3) + 0.01 * rng.standard_normal((count, 1)) * [1.0, -1.0]
        return self.unconstrain({"theta": theta, "mu_X": mu})

    patch.setattr(Density, "draw_prior", drawn)
    patch.setattr(Mutation, "decorrelated", lambda self, particles, temperature: particles)


@pytest.mark.statistical(checks=3, min_effect=0.3)
def test_modes_are_in_proportion(stat: Stat, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = Exact(num_draws=20_000).fit(CLUSTERED, {"X": THREE_CLUSTERS}, seed=stat.seed)
    fit = fit_quietly(SMC(num_particles=1200, max_sweeps=8), CLUSTERED, {"X": THREE_CLUSTERS}, seed=stat.seed)
    check_same_posterior(stat, fit, exact)
    # Both modes have a good part: the middle cluster belongs to the first class, or not.
    assert 0.2 < float((exact.draws["theta"][:, 0] > 0.5).double().mean()) < 0.8
    begin_in_one_mode(monkeypatch)
    stuck = fit_quietly(SMALL, CLUSTERED, {"X": THREE_CLUSTERS}, seed=stat.seed)
    check_other_posterior(stat, stuck, exact, "mu_X[0]")


def by_mean(fit: Fit) -> Fit:
    """The same draws, in each of them the class of smallest mean first."""
    order = fit.draws["mu_X"].argsort(1)
    return replace(fit, draws={name: value.gather(1, order) for name, value in fit.draws.items()})


@pytest.mark.parametrize(
    ("model", "rows"),
    [(GaussianMixture(K=2, concentration=0.5), OVERLAPPING), (GaussianMixture(K=3, concentration=0.5), TUTORIAL_ROWS)],
    ids=["K=2", "K=3"],
)
@pytest.mark.slow
@pytest.mark.statistical(checks=5, min_effect=0.3)
def test_draws_are_those_of_the_exact_posterior(stat: Stat, model: GaussianMixture, rows: list[float]) -> None:
    """Labels by one fixed rule: which class an empty one is next to depends on the draws that are aligned."""
    exact = Exact(num_draws=20_000).fit(model, {"X": rows}, seed=stat.seed)
    check_same_posterior(stat, by_mean(fit_quietly(SMC(), model, {"X": rows}, seed=stat.seed)), by_mean(exact))


@pytest.mark.statistical(min_effect=0.4)
def test_both_names_of_two_classes_are_as_likely(stat: Stat) -> None:
    """Before labels are put in order: the mean of class 0 in some clouds is as that of class 1 in others."""
    density = density_of(GaussianMixture(K=2), TUTORIAL_ROWS)

    def means(component: int) -> np.ndarray:
        """Of four clouds of their own."""
        generators = [np.random.default_rng([stat.seed, component, cloud]) for cloud in range(4)]
        clouds = [posterior_cloud(density, 250, rng, ess_share=0.5, max_sweeps=4) for rng in generators]
        points = np.concatenate([cloud.particles.coordinates for cloud in clouds])
        return Stat.thinned(density.constrain(points)["mu_X"][:, component].reshape(4, -1))

    one, other = means(0), means(1)
    stat.same_distribution(one, other)
    with stat.control():
        stat.same_distribution(np.abs(one), -np.abs(other))


def tutorial(N: int) -> None:
    theta = pyro.sample("theta", dist.Dirichlet(torch.full((2,), 0.5)))
    with pyro.plate("components", 2):
        mu_X = pyro.sample("mu_X", dist.Normal(0.0, 10.0))
    with pyro.plate("rows", N):
        Z = pyro.sample("Z", dist.Categorical(theta))
        pyro.sample("X", dist.Normal(mu_X[Z], 1.0))


@pytest.mark.slow
@pytest.mark.statistical(checks=4, min_effect=0.4)
def test_a_program_has_the_posterior_of_its_mixture(stat: Stat) -> None:
    small, rows = SMC(num_particles=800, max_sweeps=8), {"X": TUTORIAL_ROWS}
    of_program = fit_quietly(small, PyroModel(tutorial, order_by="mu_X"), rows, seed=stat.seed)
    of_mixture = fit_quietly(SMC(), GaussianMixture(K=2), rows, seed=stat.seed + 1)
    error = math.hypot(*(fit.stats["log_evidence_error"] for fit in (of_program, of_mixture)))
    stat.estimate(of_program.stats["log_evidence"], error, of_mixture.stats["log_evidence"], min_effect=8.0)
    check_same_posterior(stat, of_program, of_mixture)


# ---------------------------------------------------------------- what it says


def test_a_greek_without_a_prior_is_refused() -> None:
    def with_parameter(N: int) -> None:
        share = pyro.param("share", torch.tensor(0.5), constraint=constraints.unit_interval)
        mu = pyro.sample("mu", dist.Normal(0.0, 10.0))
        with pyro.plate("rows", N):
            Z = pyro.sample("Z", dist.Bernoulli(share))
            pyro.sample("X", dist.Normal(mu + 3.0 * Z, 1.0))

    with pytest.raises(ValueError, match=r"SMC: expected a prior for every Greek.*or use EM or MAP"):
        SMC().fit(PyroModel(with_parameter), {"X": TUTORIAL_ROWS}, seed=0)


def test_priors_under_which_the_data_are_impossible_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Density.evaluate

    def impossible(self: Density, v: np.ndarray) -> tuple[object, object]:
        values, slopes = original(self, v)
        return values._replace(likelihood=np.full(len(v), np.nan)), slopes

    monkeypatch.setattr(Density, "evaluate", impossible)
    with pytest.raises(EstimationError, match="the data are possible at 0 of 1,000 draws of the Greeks"):
        SMC(num_particles=20, num_clouds=2).fit(GaussianMixture(K=2), {"X": TUTORIAL_ROWS}, seed=0)


def test_a_prior_far_from_the_data_is_not_followed_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud_module, "MOST_TEMPERATURES", 3)
    with pytest.raises(EstimationError, match=r"after 3 temperatures .* far out in the tails of the priors"):
        SMC(num_particles=40, max_sweeps=1).fit(GaussianMixture(K=2), {"X": [1e3, 1e3 + 1.0]}, seed=0)


def test_draws_at_which_the_data_are_impossible_count_in_the_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the prior is cut off, and the rest is where all of the posterior is."""
    model, original = CausalMixture(1, {"X": Gaussian(scale=1.0)}, concentration=1.0), Density.evaluate

    def halved(self: Density, v: np.ndarray) -> tuple[object, object]:
        values, slopes = original(self, v)
        is_cut = self.constrain(v)["mu_X"][..., 0] < 0
        return values._replace(likelihood=np.where(is_cut, -np.inf, values.likelihood)), slopes

    whole = fit_quietly(SMC(num_particles=200, max_sweeps=2), model, {"X": [30.0, 31.0]}, seed=0)
    monkeypatch.setattr(Density, "evaluate", halved)
    half = fit_quietly(SMC(num_particles=200, max_sweeps=2), model, {"X": [30.0, 31.0]}, seed=0)
    assert bool((half.draws["mu_X"] > 0).all())
    assert half.stats["log_evidence"] == pytest.approx(whole.stats["log_evidence"], abs=0.7)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_particles": 2001}, "expected a multiple of num_clouds=4, got 2001"),
        ({"num_particles": 31}, "num_particles: expected at least 32"),
        ({"num_clouds": 1}, "num_clouds: expected at least 2"),
        ({"ess_share": 1.0}, "ess_share: expected a number above 0 and below 1"),
        ({"max_sweeps": 0}, "max_sweeps: expected at least 1"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SMC(**settings)  # type: ignore[arg-type]


def test_clouds_in_different_modes_are_said_to_disagree() -> None:
    """Without moves: each cloud ends as copies of a few of its draws."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", EstimationWarning)
        patch.setattr(Mutation, "decorrelated", lambda self, particles, temperature: particles)
        fit: Fit = SMC(num_particles=400).fit(CLUSTERED, {"X": THREE_CLUSTERS}, seed=0)
    assert fit.status.name in ("CHAINS_DISAGREE", "LOW_ESS")
    assert fit.stats["min_ess"] < 100
