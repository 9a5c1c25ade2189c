"""The modes that draws of a posterior are of, which no search has found, and what answers say of them."""

from pathlib import Path

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch

from estimators import EM, SMC, Data, Exact, Fit, GaussianMixture, PyroModel, Status
from estimators.diagnostics import mean_error
from estimators.modes.draw_modes import divided
from estimators.queries.effect_table import EffectTable
from estimators.queries.scales import Ratio
from tests.causal_models import CONFOUNDER
from tests.models import fit_quietly
from tests.test_nuts_modes import MODEL, THREE
from validation.testing import Stat


def share_by_sums() -> float:
    """The probability that the five rows in the middle are with the first five: a sum over allocations to classes."""
    number = np.arange(2**15)
    log_joint = MODEL.conjugate(MODEL.check(THREE)).log_joint(number)
    probability = np.exp(log_joint - log_joint.max())
    clusters = ((number[:, None] >> np.arange(15)) & 1).reshape(-1, 3, 5)
    low, middle, high = (clusters[:, own].mean(1) for own in range(3))
    is_told = np.isin(low, (0, 1)) & np.isin(middle, (0, 1)) & (high == 1 - low)
    # In next to no other allocation is a cluster divided, or a class without one.
    assert probability[is_told].sum() > 0.99 * probability.sum()
    return float(probability[is_told & (middle == low)].sum() / probability[is_told].sum())


@pytest.fixture(scope="module")
def by_smc() -> Fit:
    return fit_quietly(SMC(num_particles=400), MODEL, THREE, seed=0)


@pytest.mark.statistical(checks=2, min_effect=8.0)
def test_shares_are_those_of_the_sum_over_allocations(stat: Stat) -> None:
    share = share_by_sums()
    exact = Exact(num_draws=2000).fit(MODEL, THREE, seed=stat.seed)
    smc = fit_quietly(SMC(num_particles=400), MODEL, THREE, seed=stat.seed)
    for fit in (smc, exact):
        low = int(np.argmax(fit.modes.table()["mu_X[1]"]))
        inside = (fit.info["mode"] == low).double()
        stat.estimate(float(inside.mean()), mean_error(inside, fit.num_chains), share)
    with stat.control():  # as if the middle were with the last five
        stat.estimate(float(inside.mean()), mean_error(inside, fit.num_chains), 1.0 - share)


def test_draws_say_their_modes_wherever_a_user_looks(by_smc: Fit, tmp_path: Path) -> None:
    """As those of NUTS do: in print, advice and HTML, in each answer, and in a file."""
    assert len(by_smc.modes) == 2 and Status.RIVAL_MODES not in by_smc.findings
    share = float(by_smc.modes.weights[1])
    (said,) = (sentence for sentence in by_smc.advice if "1 other mode" in sentence)
    assert f"the first and 1 other mode, of {share:.0%} of the posterior" in said
    assert "in proportion" in said or Status.CHAINS_DISAGREE in by_smc.findings
    for shown in (str(by_smc), by_smc._repr_html_()):
        assert f"rival fit.modes[1]: weight {share:.2f}" in shown
    by_smc.save(tmp_path / "fit")
    for fit in (by_smc, Fit.load(tmp_path / "fit"), by_smc.relabel([1, 0]).relabel([1, 0])):
        mean = fit.do(Z=0).mean("X")
        parts = dict(zip(("first", "second"), mean.by_mode, strict=True))
        assert sum(own for own, _ in mean.by_mode) == pytest.approx(1.0)
        assert sum(own * part.value for own, part in mean.by_mode) == pytest.approx(float(mean.value))
        assert sorted(round(float(part.value)) for _, part in parts.values()) == [-6, -3]
        assert "; by mode " in repr(mean)
    # Of one mode nothing is said.
    one = fit_quietly(Exact(num_draws=100), MODEL, Data(X=[0.0, 0.5, 9.0, 9.5]), seed=0)
    assert len(one.modes) == 1 and "by mode" not in repr(one.do(Z=0).mean("X"))
    assert not any("mode" in sentence for sentence in one.advice)


def test_chains_that_disagree_say_that_shares_are_uncertain(by_smc: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("estimators.algorithms.finish.chain_status", lambda *_: ({Status.CHAINS_DISAGREE: "mu_X"}, {}))
    fit = fit_quietly(SMC(num_particles=80, max_sweeps=2), MODEL, THREE, seed=0)
    assert any("in shares of which the chains disagree: the first and" in sentence for sentence in fit.advice)


def program(N: int) -> None:
    """MODEL as a program, of which nobody says what its labels mean."""
    theta = pyro.sample("theta", dist.Dirichlet(torch.full((2,), 2.0)))
    with pyro.plate("components", 2):
        mu = pyro.sample("mu_X", dist.Normal(0.0, 10.0))
    with pyro.plate("rows", N):
        Z = pyro.sample("Z", dist.Categorical(theta))
        pyro.sample("X", dist.Normal(mu[Z], 1.0))


def test_mirror_images_under_labels_that_nobody_names_are_one_mode() -> None:
    """Draws in both labellings: each is of the mode that it is of in a model whose labels are known to be free."""
    exact = Exact(num_draws=200).fit(MODEL, THREE, seed=0)
    is_swapped = torch.from_numpy(np.random.default_rng(0).random(200) < 0.5)
    draws = {name: torch.where(is_swapped[:, None], v.flip(1), v).numpy() for name, v in exact.draws.items()}
    model = PyroModel(program)
    density = model.density(model.check(THREE))
    division = divided(model, density, density.unconstrain(draws))
    assert division is not None and len(division.found.modes) == 2
    assert division.at.tolist() == exact.info["mode"].tolist()
    assert division.shares.tolist() == pytest.approx(exact.modes.weights.tolist())


def test_what_has_no_maximum_has_no_modes() -> None:
    density = GaussianMixture(2).density(GaussianMixture(2).check(Data(X=[0.0, 1.0, 9.0])))
    assert divided(GaussianMixture(2), density, np.full((4, density.size), np.nan)) is None


# ------------------------------------------------------------------ answers of several entries


@pytest.fixture(scope="module")
def two_answers() -> tuple[Fit, Fit]:
    """A point fit with a rival, and draws of both."""
    greeks = {"theta": [0.4, 0.6], "p_T": [0.2, 0.8], "beta_Y": [[0.0, -1.0], [3.0, -1.0]], "sigma_Y": [0.7, 0.7]}
    rows = CONFOUNDER.simulate(150, greeks, seed=3)
    point = fit_quietly(EM(), CONFOUNDER, Data(T=rows["T"], Y=rows["Y"]), seed=0)
    return point, point.laplace(400, seed=0)


def test_answers_of_several_entries_say_what_each_mode_answers(two_answers: tuple[Fit, Fit]) -> None:
    _, fit = two_answers
    several = {
        "rows": fit.do(T=torch.tensor([0.0, 1.0])).mean("Y"),
        "ratio": fit.contrast("Y", do={"T": [1, 1]}, versus={"T": [0, 1]}),
        "seen": fit.given(T=torch.tensor([0.0, 1.0])).mean("Y"),
        "counterfactual": fit.counterfactual(fit.data.rows([0, 1, 2]), do={"T": 1}, seed=0).mean("Y"),
    }
    for mean in several.values():
        assert len(mean.by_mode) == 2 and "; by mode [" in repr(mean)
        for mode, (_, part) in zip(sorted(fit.modes, key=lambda mode: -mode.num_draws), mean.by_mode, strict=False):
            assert len(part.draws) == mode.num_draws
        both = sum(share * part.value for share, part in mean.by_mode)
        torch.testing.assert_close(both, mean.value)
    assert len(fit.effect("Y", of="T", scale=Ratio()).by_mode) == 2
    table = fit.effect("Y", of="T", within="T")
    assert isinstance(table, EffectTable)
    shares = [f"by mode {number} ({share:.0%})" for number, (share, _) in enumerate(table.by_mode)]
    assert list(table.table().columns)[-2:] == shares
    assert all(isinstance(part, EffectTable) and len(part.table()) == 2 for _, part in table.by_mode)


def test_a_counterfactual_of_a_point_has_rivals(two_answers: tuple[Fit, Fit]) -> None:
    fit, _ = two_answers
    rows = fit.data.rows([0, 1, 2])
    answer = fit.counterfactual(rows, do={"T": 1}, seed=0).mean("Y")
    other = fit.modes[1].counterfactual(rows, do={"T": 1}, seed=0).mean("Y")
    torch.testing.assert_close(answer.rivals, other.draws)
    assert float((answer.rivals - answer.draws).abs().max()) > 1.0 and "rivals [[" in repr(answer)
