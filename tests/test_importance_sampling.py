"""Importance sampling from t's about modes: exact identities of its proposals, and masses that `Exact` knows."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_t, t

from estimators import NUTS, CausalMixture, Data, Exact, GaussianMixture
from estimators.algorithms.protocol import begin
from estimators.contract import Objective, log_posterior, log_prior
from estimators.diagnostics import importance
from estimators.mechanisms import Bernoulli
from estimators.mixture.density import Density
from estimators.modes import Search, importance_sampling
from estimators.modes.importance_sampling import fitted_to, weighed_in_turns
from estimators.modes.posterior_modes import PosteriorModes, posterior_modes
from estimators.modes.student import DEGREES, Student
from estimators.modes.weighed import Weighed
from tests.models import fit_quietly
from tests.prior_draws import drawn_from_prior
from validation.testing import Stat

THREE = [-6.0, -5.6, -5.5, 0.1, 0.3, 5.9, 6.1, 6.4]


def modes_of(model: GaussianMixture, data: Data, seed: int = 0) -> tuple[Density, PosteriorModes]:
    task = begin(model, data, seed, False)
    density = model.density(task.data)
    assert isinstance(density, Density)
    modes = posterior_modes(Search(), task.model, density, np.random.default_rng(seed))
    assert modes is not None
    return density, modes


def test_the_t_is_scipy_s() -> None:
    rng = np.random.default_rng(0)
    root = rng.standard_normal((3, 3))
    covariance = root @ root.T + np.eye(3)
    student = Student.of(np.array([1.0, -2.0, 0.5]), covariance)
    points = 3.0 * rng.standard_normal((20, 3))
    expected = multivariate_t(student.location, covariance, df=DEGREES).logpdf(points)
    np.testing.assert_allclose(student.log_density(points), expected, rtol=1e-10)
    assert student.log_volume == pytest.approx(0.5 * np.linalg.slogdet(covariance)[1])
    assert student.log_density(np.array([[np.inf, 0.0, 0.0], [np.inf, -np.inf, 1.0]])).tolist() == [-np.inf, -np.inf]


@pytest.mark.parametrize(("num_classes", "num_items", "num_rows", "seed"), [(3, 5, 15, 0), (2, 4, 9, 10)])
def test_points_at_infinity_spoil_no_others(num_classes: int, num_items: int, num_rows: int, seed: int) -> None:
    """A few rows of coins: a probability next to 1 is 1 in another labelling, and has an infinite logit."""
    items = {f"X{number}": Bernoulli() for number in range(num_items)}
    model = CausalMixture(num_classes, items, concentration=float(num_classes == 2) + 1.0)
    rows = model.simulate(num_rows, model.prior_greeks(seed=seed), seed=1000 + seed)
    short = NUTS(num_samples=150, warmup_steps=200, num_chains=2)
    fit = fit_quietly(short, model, Data(**{name: rows[name] for name in items}), seed)
    assert fit.stats["pareto_k"] < 0.7


@pytest.mark.statistical(min_effect=0.03)
def test_its_draws_have_its_law(stat: Stat) -> None:
    student = Student.of(np.zeros(2), np.array([[2.0, 1.0], [1.0, 3.0]]))
    draws = student.draws(20_000, np.random.default_rng(stat.seed))
    law = t(DEGREES, scale=np.sqrt(2.0))
    stat.cdf(draws[:, 0], law.cdf)
    with stat.control():
        stat.cdf(1.2 * draws[:, 0], law.cdf)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_a_proposal_is_as_likely_under_any_labels(num_classes: int) -> None:
    """As a density of the Greeks: q(v) / |dφ/dv| is the same at all images; so are regions."""
    density, modes = modes_of(GaussianMixture(num_classes), Data(X=THREE))
    proposals = replace(modes.proposals, of_prior=0.1)
    points = proposals.draws(50, np.random.default_rng(0))
    images = modes.regions.images(points)
    assert len(images) == (2 if num_classes == 2 else 6)
    of_greeks, regions = [], []
    for image in images:
        parts, everywhere = density.values(image), modes.regions.images(image)
        of_greeks.append(proposals.log_density(everywhere, log_prior(parts)) - parts.jacobian)
        regions.append(modes.regions.of(image)[0])
    for own, region in zip(of_greeks, regions, strict=True):
        np.testing.assert_allclose(own, of_greeks[0], rtol=1e-8, atol=1e-8)
        assert (region == regions[0]).all()


@pytest.mark.statistical(checks=2, min_effect=8.0)
def test_proposals_and_prior_are_densities(stat: Stat) -> None:
    """Ratios of the posterior to the proposals have the evidence for a mean, with draws of the prior and without."""
    model, rng = GaussianMixture(2, concentration=2.0), np.random.default_rng(stat.seed)
    density, modes = modes_of(model, Data(X=THREE))
    evidence = Exact(num_draws=2).fit(model, {"X": THREE}, seed=0).stats["log_evidence"]
    for of_prior in (0.0, 0.3):
        proposals = replace(modes.proposals, of_prior=of_prior)
        points = proposals.draws(20_000, rng)
        parts = density.values(points)
        of_proposals = proposals.log_density(modes.regions.images(points), log_prior(parts))
        logs = Objective(density, log_posterior).value(points) - of_proposals
        ratios = np.exp(logs - evidence)
        stat.estimate(float(ratios.mean()), float(ratios.std() / np.sqrt(len(ratios))), 1.0)
    with stat.control():  # labels counted once, and not twice
        stat.estimate(float(ratios.mean()), float(ratios.std() / np.sqrt(len(ratios))), 0.5)


def test_proposals_fitted_to_draws_keep_what_modes_weigh() -> None:
    """Draws of one mode alone, most of them repeated, as of chains that stand still or never left it."""
    _, modes = modes_of(GaussianMixture(2), Data(X=THREE))
    assert len(modes) == 2
    rng = np.random.default_rng(0)
    moved, stood = modes.parts[0].draws(500, rng), np.tile(modes.parts[0].location, (3000, 1))
    drawn = np.concatenate([moved, stood])
    fitted = fitted_to(modes.proposals, modes.regions, *modes.regions.of(drawn), rng)
    assert fitted.shares.sum() == pytest.approx(1.0) and len(fitted.parts) > 2
    # The mode without draws has its own t alone, and no less in proportion; those of the other are about its draws.
    assert fitted.shares[1] / (1.0 - fitted.shares[1]) > 0.5 * modes.proposals.shares[1] / modes.proposals.shares[0]
    means = np.array([part.location for part in fitted.parts[2:]])
    assert (modes.regions.of(means)[0] == 0).all()
    only_stood = fitted_to(modes.proposals, modes.regions, *modes.regions.of(stood), rng)
    assert len(only_stood.parts) == 2
    np.testing.assert_allclose(only_stood.shares, modes.proposals.shares)


@pytest.mark.slow
@pytest.mark.statistical(min_effect=8.0)
def test_masses_are_those_of_exact(stat: Stat) -> None:
    """Three clusters and two classes; the Laplace approximation is the control where it is far off."""
    model = GaussianMixture(3)
    data = drawn_from_prior(model, 9, 7)
    density, modes = modes_of(model, data)
    exact = Exact(num_draws=20_000).fit(model, data, seed=stat.seed)
    drawn = density.unconstrain({name: value.numpy() for name, value in exact.draws.items()})
    at, _ = modes.regions.of(drawn)
    share = float((at == 0).mean())
    found = weighed_in_turns(log_posterior, modes.proposals, modes.regions, np.random.default_rng(stat.seed))
    masses, errors = found.masses(len(modes))
    assert found.is_trusted and masses.sum() == pytest.approx(1.0) and len(masses) == 2
    error = float(np.hypot(errors[0], np.sqrt(share * (1 - share) / 20_000)))
    stat.estimate(float(masses[0]), error, share)
    with stat.control():
        stat.estimate(float(modes.weights[0]), error, share)


def test_masses_and_their_errors_by_hand() -> None:
    weights, at = np.array([0.5, 0.25, 0.25]), np.array([0, 1, 1])
    weighed = Weighed(np.zeros((3, 1)), np.log(weights), at, np.zeros((3, 1)), weights, 0.1, 2.0)
    masses, errors = weighed.masses(3)
    assert masses.tolist() == [0.5, 0.5, 0.0]
    expected = np.sqrt(((weights * ((at == 0) - 0.5)) ** 2).sum())
    assert errors.tolist() == pytest.approx([expected, expected, 0.0])
    taken = weighed.resampled(8, np.random.default_rng(0))
    assert sorted(taken) == [0, 0, 0, 0, 1, 1, 2, 2]
    # What comes up more than once is next to itself.
    assert (np.diff(taken) != 0).sum() == 2
    assert set(weighed.resampled(5, np.random.default_rng(0), mode=1)) == {1, 2}


def test_more_points_are_weighed_with_those_that_were_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """As all are in one go; where they show that none can be trusted, all is tried again, once, with more."""
    _, modes = modes_of(GaussianMixture(2), Data(X=THREE))
    asked: list[int] = []

    def heavy(combination: object, proposals: object, regions: object, count: int, rng: np.random.Generator) -> Weighed:
        """Few effective points, which look sound, and then some that have all the weight."""
        asked.append(count)
        logs = np.full(count, -np.inf)
        fit = 1500 if len(asked) < 3 else count
        logs[:fit] = 0.1 * rng.standard_normal(fit)
        logs[0] += 30.0 * (len(asked) == 2)
        return Weighed.of(rng.standard_normal((count, 3)), logs, np.zeros(count, dtype=int), np.zeros((count, 3)))

    rng = np.random.default_rng(0)
    one, two = (heavy(0, 0, 0, 2000, rng) for _ in range(2))
    both, at_once = one.with_more(two), importance(np.concatenate([one.log_weights, two.log_weights]))
    assert (both.weights == at_once.weights).all() and both.ess == at_once.ess and len(both.points) == 4000
    assert (both.points[2000:] == two.points).all()
    asked.clear()
    monkeypatch.setattr(importance_sampling, "weighed", heavy)
    monkeypatch.setattr(importance_sampling, "EVEN_SHARE", 0.1)
    found = weighed_in_turns(log_posterior, modes.proposals, modes.regions, rng)
    # The second try has points enough.
    first, more, again = asked
    assert first == importance_sampling.Effort().points and again == importance_sampling.MORE.points
    assert more == pytest.approx(
        (importance_sampling.BEYOND * importance_sampling.ENOUGH / 1485.0 - 1.0) * first, rel=0.01
    )
    assert found.is_trusted and len(found.points) == again
