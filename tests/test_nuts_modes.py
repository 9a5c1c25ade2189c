"""The modes of a posterior in NUTS: draws in their proportion, or a status that says that they are not."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy.stats import norm

from estimators import (
    NUTS,
    SMC,
    CausalMixture,
    Data,
    EstimationWarning,
    Exact,
    Fit,
    GaussianMixture,
    PyroModel,
    Status,
    modes,
)
from estimators.algorithms.nuts.chain_starts import starts_off
from estimators.algorithms.nuts.proportions import _meeting
from estimators.algorithms.nuts.resampled import resampled
from estimators.algorithms.protocol import Estimator, begin
from estimators.mechanisms import Bernoulli, LinearGaussian
from estimators.modes import importance_sampling, weighed
from estimators.modes.posterior_modes import PosteriorModes, posterior_modes
from estimators.modes.weighed import Weighed
from tests.models import TUTORIAL_ROWS, fit_quietly
from tests.posteriors import check_other_posterior, check_same_posterior
from tests.prior_draws import drawn_from_prior, exact_of, scores
from validation.testing import Stat

MODEL = GaussianMixture(K=2, concentration=2.0)
SMALL = NUTS(num_samples=250, warmup_steps=250)
FAR = 4.0
RNG = np.random.default_rng(0)
# K = 2 on three clusters: the middle one goes with either of the others.
THREE = Data(X=np.r_[RNG.normal(0, 0.3, 5) - 5.7, RNG.normal(0, 0.3, 5), RNG.normal(0, 0.3, 5) + 6.0])


def modes_of(model: Any, data: Data) -> PosteriorModes:
    task = begin(model, data, 0, False)
    found = posterior_modes(modes.Search(), model, model.density(task.data), np.random.default_rng(0))
    assert found is not None
    return found


@pytest.mark.statistical(checks=4, min_effect=0.3)
def test_draws_of_modes_that_no_chain_connects_are_in_proportion(stat: Stat) -> None:
    """The control is of chains that are all in one mode."""
    exact = Exact(num_draws=20_000).fit(MODEL, THREE, seed=stat.seed)
    fit = SMALL.fit(MODEL, THREE, seed=stat.seed)
    check_same_posterior(stat, fit, exact)
    assert fit.status is Status.CONVERGED and Status.RIVAL_MODES not in fit.findings
    assert "all modes in proportion: the first and 1 other" in fit.advice[1]
    assert "resampled to masses by importance sampling" in fit.advice[2]
    share = float((exact.draws["mu_X"].min(1).values < -4.0).double().mean())
    low = int(np.argmin([mode["mu_X"].min() for mode in fit.modes]))
    error = float(np.hypot(fit.stats["mode_mass_errors"][low], np.sqrt(share * (1 - share) / 20_000)))
    stat.estimate(fit.stats["mode_masses"][low], error, share, min_effect=8.0)
    assert sum(fit.stats["mode_masses"]) == pytest.approx(1.0) and fit.stats["pareto_k"] < 0.7
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("estimators.algorithms.nuts.chain_starts._few_modes", _in_one_mode)
        patch.setattr("estimators.algorithms.nuts.chain_starts.DISPERSION", 0.2)
        stuck = SMALL.fit(MODEL, THREE, seed=stat.seed, search=None)
    assert stuck.status is Status.CONVERGED
    check_other_posterior(stat, stuck, exact, "mu_X[0]")


def _in_one_mode(task: Any, density: Any, num_chains: int) -> np.ndarray:
    return np.repeat(modes_of(task.model, task.data).parts[0].location[None], num_chains, 0)


def test_chains_are_dealt_by_weight() -> None:
    found = modes_of(MODEL, THREE)
    assert len(found) == 2 and found.weights.sum() == pytest.approx(1.0)
    for num_chains, expected in ((1, [1, 0]), (2, [1, 1]), (4, [2, 2]), (9, [5, 4])):
        dealt = found.dealt(num_chains)
        assert [int((dealt == part.location).all(1).sum()) for part in found.parts] == expected
    task = begin(MODEL, THREE, 0, False)
    starts = starts_off(task, MODEL.density(task.data), found.dealt(4))
    assert found.regions.of(starts)[0].tolist() == [0, 0, 1, 1]


def test_new_chains_hold_every_mode_in_proportion_and_in_the_order_of_the_draws() -> None:
    rng = np.random.default_rng(0)
    at = np.repeat([0, 0, 0, 1], 100)
    points = Weighed(
        np.zeros((50, 1)),
        np.zeros(50),
        np.repeat([0, 1, 2], [20, 20, 10]),
        np.zeros((50, 1)),
        np.full(50, 0.02),
        0.1,
        50.0,
    )
    chosen = resampled(at, points, np.array([0.5, 0.3, 0.2]), 4, rng)
    chains = chosen.places.reshape(4, 100)
    assert chosen.num_of_sampler == 1
    modes_at = np.r_[at, points.modes][chains]
    for mode, count in enumerate((50, 30, 20)):
        assert ((modes_at == mode).sum(1) == count).all()
    for number, (chain, own) in enumerate(zip(chains, modes_at, strict=True)):
        # A stretch of each mode's draws, one after the other; of the third mode, the sampler's.
        assert (np.diff(chain[own == 0]) > 0).all() and (np.diff(chain[own == 1]) >= 0).all()
        assert (chain[own == 0] // 75 == number).all() and ((chain[own == 1] - 300) // 25 == number).all()
        assert (chain[own == 2] >= 440).all()


def test_chains_that_go_to_and_fro_have_met_and_others_have_not() -> None:
    rng = np.random.default_rng(0)
    weights = np.array([0.6, 0.4])
    mixed = (rng.random(4000) < 0.4).astype(int)
    have_met, shares, errors = _meeting(mixed, weights, 4)
    assert have_met and shares[1] == pytest.approx(0.4, abs=0.05) and errors[1] == pytest.approx(0.0077, rel=0.2)
    assert not _meeting(np.repeat([0, 0, 1, 1], 1000), weights, 4)[0]
    assert not _meeting(np.zeros(4000, dtype=int), weights, 4)[0]
    assert not _meeting(np.repeat([0, 1], 2000), weights, 1)[0]
    assert _meeting(np.zeros(4000, dtype=int), np.array([0.9999, 0.0001]), 4)[0]


def no_trust(patch: pytest.MonkeyPatch) -> None:
    """Nothing that is weighed is trusted, and more of it is not tried."""
    patch.setattr(weighed, "PARETO_LIMIT", -9.0)
    patch.setattr(importance_sampling, "MORE", importance_sampling.Effort())


def test_weights_without_a_tail_to_trust_leave_a_status(monkeypatch: pytest.MonkeyPatch) -> None:
    no_trust(monkeypatch)
    with pytest.warns(EstimationWarning, match=r"cannot tell their shares .* not in proportion; use SMC\(\)"):
        fit = SMALL.fit(MODEL, THREE, seed=0)
    assert fit.status is Status.CHAINS_DISAGREE and Status.RIVAL_MODES not in fit.findings


def test_one_chain_is_not_converged_over_a_rival_that_it_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = NUTS(num_samples=1000, warmup_steps=250, num_chains=1)
    fit = alone.fit(MODEL, THREE, seed=0)
    held = np.bincount(fit.info["mode"].numpy(), minlength=2) / 1000
    assert fit.status is Status.CONVERGED and held.tolist() == pytest.approx(fit.stats["mode_masses"], abs=1e-3)
    assert "r_hat" in fit.summary() and fit.stats["max_r_hat"] < 1.01
    no_trust(monkeypatch)
    assert fit_quietly(alone, MODEL, THREE, seed=0).status is Status.CHAINS_DISAGREE


def test_each_mode_is_a_fit_of_its_draws(tmp_path: Path) -> None:
    fit = SMALL.fit(MODEL, THREE, seed=0)
    parts = list(fit.modes)
    assert sum(part.num_draws for part in parts) == fit.num_draws and len(parts) == 2
    for part, mass in zip(parts, fit.stats["mode_masses"], strict=True):
        assert part.num_draws == pytest.approx(1000 * mass, abs=1.0)
        assert float(part.draws["mu_X"].std(0).max()) < 1.0 < float(fit.draws["mu_X"].std(0).max())
        assert part.do(Z=0).mean("X").interval(0.9)
    assert fit.modes.weights.tolist() == fit.stats["mode_masses"]
    # A mean is of all modes, and what none of them says is said with what each does.
    mean = fit.contrast("X", do={"Z": 1}, versus={"Z": 0})
    (share, own), (less, other) = mean.by_mode
    assert share == pytest.approx(fit.stats["mode_masses"][0], abs=2e-3) and share + less == pytest.approx(1.0)
    assert own.draws.equal(fit.modes[0].contrast("X", do={"Z": 1}, versus={"Z": 0}).draws)
    assert share * own.value + less * other.value == pytest.approx(float(mean.value))
    assert f"by mode {own.value:.4g} ({share:.0%}), {other.value:.4g} ({less:.0%})" in repr(mean)
    assert [part.by_mode[0][0] for part in (own, other, parts[0].do(Z=0).mean("X"))] == [1.0, 1.0, 1.0]
    opened = replace(fit, status=Status.NOT_IDENTIFIED, findings={Status.NOT_IDENTIFIED: "mu_X[0]"})
    assert [list(part.findings) for part in opened.modes] == 2 * [[Status.NOT_IDENTIFIED, Status.RIVAL_MODES]]
    fit.save(tmp_path / "fit")
    again = Fit.load(tmp_path / "fit")
    assert again.modes[1].draws["mu_X"].equal(fit.modes[1].draws["mu_X"])
    assert again.stats["mode_masses"] == fit.stats["mode_masses"]
    exported = fit.to_arviz()
    assert "mode" in exported["sample_stats"] and "energy" not in exported["sample_stats"]


def test_what_chains_hold_by_themselves_is_left_as_it_is() -> None:
    """One mode: the draws are those of the chains."""
    model, data = GaussianMixture(2, concentration=2.0), Data(X=TUTORIAL_ROWS * 3)
    fit = SMALL.fit(model, data, seed=0)
    assert fit.status is Status.CONVERGED and "pareto_k" not in fit.stats and "energy" in fit.info
    assert fit.stats["mode_masses"] == [1.0] and len(fit.modes) == 1


def test_a_mirror_of_weak_pins_is_in_proportion() -> None:
    """One seen row in the middle of two clusters: `Exact` says how sure the labels are."""
    rng = np.random.default_rng(3)
    data = Data(X=np.r_[rng.normal(-5, 1, 8), rng.normal(5, 1, 8), -0.25], Z=np.r_[-np.ones(16), 0].astype(int))
    exact = Exact(num_draws=20_000).fit(MODEL, data, seed=0)
    fit = SMALL.fit(MODEL, data, seed=0, search=modes.Search())
    share = float((exact.draws["mu_X"][:, 0] < 0).double().mean())
    assert 0.4 < share < 0.7
    error = float(np.hypot(max(fit.stats["mode_mass_errors"]), np.sqrt(share * (1 - share) / 20_000)))
    assert abs(float((fit.draws["mu_X"][:, 0] < 0).double().mean()) - share) < 5 * error


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_both_effects_of_a_confounder_are_in_proportion(seed: int) -> None:
    model = CausalMixture(2, {"T": Bernoulli(), "Y": LinearGaussian(parents=["T"])}, concentration=2.0)
    truth = {"theta": [0.4, 0.6], "p_T": [0.2, 0.8], "beta_Y": [[0.0, -1.0], [3.0, -1.0]], "sigma_Y": [0.7, 0.7]}
    rows = model.simulate(2000, truth, seed=seed)
    fit = SMALL.fit(model, Data(T=rows["T"], Y=rows["Y"]), seed=0)
    effects = fit.contrast("Y", do={"T": 1}, versus={"T": 0}).draws.numpy()
    assert fit.status is Status.CONVERGED and 0.1 < (effects < 0).mean() < 0.9
    assert (effects < 0).mean() == pytest.approx((0.28, 0.56)[seed], abs=0.04)


@pytest.mark.slow
@pytest.mark.statistical(checks=3, min_effect=0.4)
def test_programs_and_pyro_s_chains_are_dealt_and_weighed_alike(stat: Stat) -> None:
    def clusters(N: int) -> None:
        theta = pyro.sample("theta", dist.Dirichlet(torch.full((2,), 2.0)))
        with pyro.plate("components", 2):
            mu_X = pyro.sample("mu_X", dist.Normal(0.0, 10.0))
        with pyro.plate("rows", N):
            Z = pyro.sample("Z", dist.Categorical(theta))
            pyro.sample("X", dist.Normal(mu_X[Z], 1.0))

    exact = Exact(num_draws=20_000).fit(MODEL, THREE, seed=stat.seed)
    program = fit_quietly(SMALL, PyroModel(clusters, order_by="mu_X"), THREE, stat.seed, search=modes.Search())
    check_same_posterior(stat, program, exact)
    assert program.stats["pareto_k"] < 0.7
    chains = NUTS(num_samples=40, warmup_steps=60, num_chains=2, engine="pyro")
    by_pyro = fit_quietly(chains, MODEL, THREE, stat.seed)
    assert by_pyro.stats["mode_masses"] == pytest.approx(program.stats["mode_masses"], abs=0.05)


def far_off(fit: Fit, exact: Fit) -> bool:
    """Whether some mean or mean square is further than FAR standard errors from the exact one."""
    return max(map(abs, scores(fit, exact))) > FAR


def with_rows_in_every_class(fit: Fit, num_rows: int) -> Fit:
    """As of chains that never leave the part where every class has some of the rows."""
    kept = fit.draws["theta"].min(1).values > 0.5 / num_rows
    chosen = kept.nonzero()[:, 0]
    index = chosen[torch.linspace(0, len(chosen) - 1, fit.num_draws).round().long()]
    info = {name: value[index] for name, value in fit.info.items() if len(value) == fit.num_draws}
    return replace(fit, draws={name: value[index] for name, value in fit.draws.items()}, info=info)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", [NUTS(), SMC()], ids=["NUTS", "SMC"])
@pytest.mark.parametrize(("num_classes", "num_rows", "num_sets"), [(2, 10, 200), (3, 9, 100)], ids=["K=2", "K=3"])
@pytest.mark.statistical(checks=2, min_effect=0.1)
def test_on_data_sets_of_the_prior_draws_are_those_of_exact(
    stat: Stat, sampler: Estimator, num_classes: int, num_rows: int, num_sets: int
) -> None:
    """Half of these posteriors have a class that may be without rows, in which chains alone do not mix.

    The share of data sets in which a score is far off is at most that of as many normal numbers.
    """
    model, total, off, off_in_part = GaussianMixture(num_classes), 0, 0, 0
    for seed in range(num_sets):
        data = drawn_from_prior(model, num_rows, seed)
        fit = fit_quietly(sampler, model, data, seed)
        if fit.status is Status.CONVERGED:
            exact = exact_of(model, data, stat.seed + seed)
            total += 1
            off += far_off(fit, exact)
            off_in_part += far_off(with_rows_in_every_class(fit, num_rows), exact)
    name = type(sampler).__name__
    print(f"{name}, K={num_classes}: {total} of {num_sets} converged, {off} far off, the control {off_in_part}")
    num_scores = 2 * (2 * num_classes - 1)
    stat.proportion(off, total, num_scores * 2 * norm.sf(FAR), alternative="greater")
    stat.proportion(num_sets - total, num_sets, 0.05, alternative="greater", min_effect=0.2)
    with stat.control():
        stat.proportion(off_in_part, total, num_scores * 2 * norm.sf(FAR), alternative="greater")


@pytest.mark.parametrize("seed", [5, 28], ids=["a funnel", "two modes"])
@pytest.mark.statistical(checks=6, min_effect=12.0)
def test_draws_are_those_of_exact_where_chains_do_not_mix(stat: Stat, seed: int) -> None:
    """Two of those data sets. The control is of chains that keep to one part of it."""
    model = GaussianMixture(2)
    data = drawn_from_prior(model, 10, seed)
    fit, exact = fit_quietly(NUTS(num_samples=500, warmup_steps=250), model, data, seed), exact_of(model, data, seed)
    assert fit.status is Status.CONVERGED and len(fit.modes) == 2
    assert any("importance sampling" in sentence for sentence in fit.advice)
    for score in scores(fit, exact):
        stat.estimate(score, 1.0, 0.0)
    with stat.control():
        worst = max(scores(with_rows_in_every_class(fit, 10), exact), key=abs)
        stat.estimate(worst, 1.0, 0.0)


def test_a_draw_at_infinity_leaves_proposals_their_scale() -> None:
    """A prior's draw of a probability may round to 1: its logit is infinite."""
    found, rng = modes_of(MODEL, THREE), np.random.default_rng(0)
    images = found.parts[0].location + 0.3 * rng.standard_normal((400, len(found.parts[0].location)))
    images[7, 0] = np.inf
    fitted = importance_sampling.fitted_to(found.proposals, found.regions, np.zeros(400, dtype=int), images, rng)
    assert len(fitted.parts) > len(found.parts)
    assert all(np.isfinite(part.location).all() and np.isfinite(part.values).all() for part in fitted.parts)


def of_chains_alone(model: GaussianMixture, data: Data, seed: int) -> Fit:
    """The control: chains at their word."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("estimators.algorithms.nuts.proportions._chance_of_no_rows", lambda density, drawn: 0.0)
        return fit_quietly(NUTS(), model, data, seed)


def test_a_class_without_rows_at_an_ordinary_weight_is_a_funnel_too() -> None:
    """Under a concentration of 5 no weight comes near 0, and a class may have no rows: chains said .65 of sd .83.

    Of chance .003, so that how far chains are off hangs on their stream, and with it on the processor: of 30 seeds the
    median is 4.0 standard errors of chains alone and 1.7 as it comes, and 24 and 3 of them are beyond 3.
    """
    model = GaussianMixture(2, concentration=5.0)
    data = drawn_from_prior(model, 10, 11)
    exact, num_seeds = exact_of(model, data, 0), 8
    off, off_alone = np.zeros((2, num_seeds))
    for seed in range(num_seeds):
        fit, alone = fit_quietly(NUTS(), model, data, seed), of_chains_alone(model, data, seed)
        assert fit.status is Status.CONVERGED and len(fit.modes) == 1
        assert any("a class may have no rows" in sentence for sentence in fit.advice)
        off[seed], off_alone[seed] = (max(map(abs, scores(one, exact))) for one in (fit, alone))
    assert (off > FAR).sum() <= 2 and (off > 0.75 * FAR).sum() < (off_alone > 0.75 * FAR).sum()


def test_of_classes_that_are_known_chains_are_taken_at_their_word() -> None:
    """That one of them has no rows is known too, and no funnel."""
    rows = np.random.default_rng(0).normal(size=10)
    fit = fit_quietly(SMALL, MODEL, Data(X=rows, Z=[0] * 10), seed=0)
    assert "pareto_k" not in fit.stats and not any("importance sampling" in sentence for sentence in fit.advice)
    fit = fit_quietly(SMALL, MODEL, Data(X=rows[:1]), seed=0)
    assert "pareto_k" in fit.stats and not any("different modes" in sentence for sentence in fit.advice)


def test_a_plain_fit_searches() -> None:
    few = NUTS(num_samples=20, warmup_steps=20)
    assert len(fit_quietly(few, MODEL, THREE, seed=0).modes) == 2
    assert "mode_masses" not in fit_quietly(few, MODEL, THREE, seed=0, search=None).stats


def test_a_search_is_handed_on_or_refused() -> None:
    with pytest.raises(TypeError, match=r"search: expected modes\.Search\(\)"):
        NUTS().fit(MODEL, THREE, search=3)  # type: ignore[arg-type]
    found = modes.search(MODEL, THREE, seed=0)
    fit = SMALL.fit(MODEL, THREE, seed=0, search=found)
    assert len(fit.modes) == 2 and sum(fit.stats["mode_masses"]) == pytest.approx(1.0)
