"""Where a prior alone answers at a mode is said: such an estimate goes wherever the prior is put."""

import re
from pathlib import Path

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from numpy.typing import NDArray

from estimators import MAP, CausalMixture, Data, Fit, GaussianMixture, Status
from estimators.contract import Objective, log_joint
from estimators.mechanisms import Bernoulli, Gaussian, LinearGaussian, Logistic, Mechanism, PoissonRegression
from estimators.optimise.ascent import ascend
from tests.models import TUTORIAL_ROWS, fit_quietly

# How far a prior is put elsewhere, and its sd. By more than the first share of it an estimate goes along where a prior
# answers alone; by half where only the sum of two is told; by less than the other where rows tell.
STEP, SD = 0.5, 5.0
FOLLOWS, STAYS = 0.75, 0.3


def model_of(
    mechanism: type[Mechanism], intercept: float = 0.0, effect: float = 0.0, **others: Mechanism
) -> CausalMixture:
    """T → Y, and Z → T, Y, with coefficients of Y under a prior Normal((intercept, effect), SD)."""
    prior = dist.Normal(torch.tensor([intercept, effect], dtype=torch.float64), SD)
    outcome = mechanism(parents=["T"], coefficients=prior)
    return CausalMixture(2, {"T": Bernoulli(), **others, "Y": outcome})


def rows_of(treated: float, noise: float, num_rows: int = 200) -> Data:
    """Rows of two classes, of the second of which so many are treated; M tells them apart."""
    rng = np.random.default_rng(0)
    z = rng.random(num_rows) < 0.5
    t = 1.0 * (rng.random(num_rows) < np.where(z, treated, 0.5))
    y = 1.0 * (rng.random(num_rows) < np.where(t, 0.7, 0.4) - 0.2 * z)
    return Data(T=t, M=rng.normal(8.0 * z, 1.0), Y=y + noise * rng.normal(size=num_rows))


def of_two_columns(mechanism: type[Mechanism], seed: int) -> Data:
    """T and Y alone, which leave several modes, with classes that are seldom, or nearly always, treated."""
    rng = np.random.default_rng(seed)
    z = rng.random(30) < 0.5
    t = 1.0 * (rng.random(30) < np.where(z, 0.9, 0.08))
    y = 2.0 * z - 0.5 * t
    return Data(T=t, Y=y + rng.normal(0.0, 0.7, 30) if mechanism is LinearGaussian else rng.poisson(np.exp(y)))


def named(words: str) -> set[str]:
    """The coefficients that a sentence names."""
    return set(re.findall(r"beta_Y\[\d, \w+\]", words))


def said(fit: Fit) -> str:
    return " ".join(sentence for sentence in fit.advice if "a prior answers" in sentence)


@pytest.mark.parametrize(("mechanism", "noise"), [(LinearGaussian, 0.5), (Logistic, 0.0), (PoissonRegression, 0.0)])
@pytest.mark.parametrize(("treated", "moved"), [(0.0, (0.0, 1.0)), (1.0, (-0.5, 0.5)), (0.5, (0.0, 0.0))])
def test_what_follows_its_prior_is_named_and_nothing_else(
    mechanism: type[Mechanism], noise: float, treated: float, moved: tuple[float, float]
) -> None:
    """Of a class that is never treated its effect, and of one that always is all but its mean under treatment."""
    data = rows_of(treated, noise)
    first, other = (
        fit_quietly(MAP(), model_of(mechanism, effect=effect, M=Gaussian()), data, seed=0) for effect in (0.0, STEP)
    )
    shares = (other["beta_Y"] - first["beta_Y"]) / STEP
    k = int(first["mu_M"].argmax())
    assert shares[k].tolist() == pytest.approx(moved, abs=0.03) and shares[1 - k].abs().max() < 0.03
    expected = {f"beta_Y[{k}, {name}]" for name, share in zip(("intercept", "T"), moved, strict=True) if share}
    assert named(said(first)) == expected and not re.findall("theta|p_T|mu_M", said(first))
    unsearched = fit_quietly(MAP(), model_of(mechanism, M=Gaussian()), data, seed=0, search=None)
    assert said(unsearched) == said(first)
    effect = first.contrast("Y", do={"T": 1}, versus={"T": 0})
    assert ("Greeks are open at this mode" in repr(effect)) is bool(expected)


def shares_of_priors(fit: Fit, mechanism: type[Mechanism], at: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """How far each coefficient [K, 2] goes along with its prior, from a mode of one prior to that of another."""
    shares = np.zeros((2, 2))
    for column in (0, 1):
        density = model_of(mechanism, *(STEP * (np.arange(2) == column))).density(fit.data)
        end = ascend(Objective(density, log_joint), density.unconstrain(at), 1e-10).coordinates
        shares[:, column] = (density.constrain(end)["beta_Y"] - at["beta_Y"])[:, column] / STEP
    return shares


def test_every_mode_says_of_which_coefficients_its_prior_answers() -> None:
    num_named = num_others = 0
    for mechanism in (LinearGaussian, PoissonRegression):
        for seed in range(5):
            fit = fit_quietly(MAP(), model_of(mechanism), of_two_columns(mechanism, seed), seed=0)
            assert fit.found is not None
            for number, mode in enumerate(fit.modes):
                words = fit.found.left_to_priors[number]
                assert named(said(mode)) == {
                    entry.replace(", 0]", ", intercept]").replace(", 1]", ", T]") for entry in named(words)
                }
                at = {name: value[0].numpy() for name, value in mode.draws.items()}
                for entry, share in np.ndenumerate(shares_of_priors(fit, mechanism, at)):
                    is_named = f"beta_Y[{entry[0]}, {entry[1]}]" in words
                    assert share > STAYS if is_named else share < FOLLOWS, (mechanism, seed, number, entry)
                    num_named, num_others = num_named + is_named, num_others + (not is_named)
    assert num_named > 10 and num_others > 50


def test_rivals_say_so_as_well(tmp_path: Path) -> None:
    """In every place where a mode that is open says so, of all labels, and after the fit was saved and read."""
    fit = fit_quietly(MAP(), model_of(LinearGaussian), of_two_columns(LinearGaussian, 1), seed=0)
    assert fit.found is not None
    open_ones = [number for number in fit.found.rivals if fit.found.left_to_priors[number]]
    assert open_ones and f"at {len(open_ones)} of them the rows leave Greeks open" in fit.advice[0] and not said(fit)
    effect = fit.contrast("Y", do={"T": 1}, versus={"T": 0})
    assert effect.at_rivals.are_open == tuple(number in open_ones for number in fit.found.rivals)
    assert not effect.at_rivals.is_open and fit.modes[open_ones[0]].effect("Y", of="T").at_rivals.is_open
    assert "open, theta=" in str(fit) and fit.modes.table()["open"].astype(bool).tolist() == list(fit.found.are_open)
    fit.save(tmp_path / "fit")
    assert Fit.load(tmp_path / "fit").found.left_to_priors == fit.found.left_to_priors
    turned = fit.relabel([1, 0]).found.left_to_priors
    assert turned == tuple(
        words.replace("Y[0", "Y[k").replace("Y[1", "Y[0").replace("Y[k", "Y[1") for words in fit.found.left_to_priors
    )


def test_a_slope_that_its_prior_holds_from_infinity_is_told_by_rows() -> None:
    rng = np.random.default_rng(0)
    m = np.concatenate([rng.normal(0.0, 1.0, 100), rng.normal(8.0, 1.0, 100)])
    t = 1.0 * (rng.random(200) < 0.5)
    # Nobody is ill without treatment, and everyone with it.
    fit = fit_quietly(MAP(), model_of(Logistic, M=Gaussian()), Data(T=t, M=m, Y=t), seed=0)
    assert fit["beta_Y"].abs().min() > 2.0 and not said(fit)


def test_the_tutorials_fit_says_nothing_of_it() -> None:
    assert not said(fit_quietly(MAP(), GaussianMixture(K=2), {"X": TUTORIAL_ROWS}, seed=0))


def test_what_a_status_leaves_open_is_not_said_again() -> None:
    """A line through a constant input: the rows leave it open, and so the prior answers it."""
    rng = np.random.default_rng(0)
    y = np.where(rng.random(100) < 0.5, 0.0, 6.0) + rng.normal(size=100)
    model = CausalMixture(2, {"T": Bernoulli(), "Y": LinearGaussian(parents=["T"])})
    fit = fit_quietly(MAP(), model, Data(T=np.ones(100), Y=y))
    assert fit.found is not None
    open_line = "beta_Y[0, 0] and beta_Y[0, 1] cannot be told apart"
    assert open_line in fit.findings[Status.NOT_IDENTIFIED] and open_line in fit.found.left_to_priors[0]
    assert sum("beta_Y[0, intercept] and beta_Y[0, T]" in sentence for sentence in fit.advice) == 1
