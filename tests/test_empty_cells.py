"""A class that has no rows of one level of a cause: what it is there is nobody's to say, and no end, nor a collapse."""

import re
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch

from estimators import EM, MAP, CausalMixture, Data, Status
from estimators.contract import Objective, log_likelihood
from estimators.mechanisms import (
    Bernoulli,
    Categorical,
    Gaussian,
    LinearGaussian,
    Logistic,
    LogNormal,
    Mechanism,
    Poisson,
    PoissonRegression,
)
from estimators.modes.mode import is_curvature_affordable
from estimators.optimise.ascent import ascend
from tests.models import fit_quietly

# Of each family the mechanism, values of Y by class and treatment, and the entries that a class without rows leaves
# open; of two whose sum is told, both.
FAMILIES: dict[str, tuple[Mechanism, Any, set[str]]] = {
    "Bernoulli": (
        Bernoulli(parents=["T"]),
        lambda eta, rng: 1.0 * (rng.random(len(eta)) < 0.3 + 0.3 * eta),
        {"p_Y[k, 0]"},
    ),
    "Categorical": (
        Categorical(3, parents=["T"]),
        lambda eta, rng: 1.0 * rng.binomial(2, 0.5 + 0.1 * eta),
        {"p_Y[k, 0, 0]", "p_Y[k, 0, 1]", "p_Y[k, 0, 2]"},
    ),
    "Poisson": (Poisson(parents=["T"]), lambda eta, rng: 1.0 * rng.poisson(2.0 + eta), {"rate_Y[k, 0]"}),
    "Gaussian, one scale": (
        Gaussian(parents=["T"], shared=["scale"]),
        lambda eta, rng: rng.normal(eta, 1.0),
        {"mu_Y[k, 0]"},
    ),
    "Gaussian": (Gaussian(parents=["T"]), lambda eta, rng: rng.normal(eta, 1.0), {"mu_Y[k, 0]", "sigma_Y[k, 0]"}),
    "LinearGaussian": (
        LinearGaussian(parents=["T"]),
        lambda eta, rng: rng.normal(eta, 1.0),
        {"beta_Y[k, intercept]", "beta_Y[k, T]"},
    ),
    "LogNormal": (
        LogNormal(parents=["T"]),
        lambda eta, rng: np.exp(rng.normal(eta, 1.0)),
        {"beta_Y[k, intercept]", "beta_Y[k, T]"},
    ),
    "Logistic": (
        Logistic(parents=["T"]),
        lambda eta, rng: 1.0 * (rng.random(len(eta)) < 0.3 + 0.3 * eta),
        {"beta_Y[k, intercept]", "beta_Y[k, T]"},
    ),
    "PoissonRegression": (
        PoissonRegression(parents=["T"]),
        lambda eta, rng: 1.0 * rng.poisson(2.0 + eta),
        {"beta_Y[k, intercept]", "beta_Y[k, T]"},
    ),
}


def rows_of(family: str, num_rows: int, seed: int, untreated: float = 0.0) -> Data:
    """T → Y and Z → T, M, Y: of the second class, which M tells, so few are untreated."""
    rng = np.random.default_rng(seed)
    z = rng.random(num_rows) < 0.4
    t = 1.0 * (rng.random(num_rows) < np.where(z, 1.0 - untreated, 0.5))
    return Data(T=t, M=rng.normal(8.0 * z, 1.0), Y=FAMILIES[family][1](z - 0.5 * t, rng))


def model_of(family: str) -> CausalMixture:
    return CausalMixture(2, {"T": Bernoulli(), "M": Gaussian(), "Y": FAMILIES[family][0]})


def entries_in(sentences: list[str]) -> set[str]:
    return set(re.findall(r"\w+\[[^\]]+\]", " ".join(sentences)))


# Of a scale for each cell some start of a few ends at a spike, which is said.
WITH_SEARCH = [(family, search) for family in FAMILIES for search in (True, False) if search or family != "Gaussian"]


@pytest.mark.parametrize(("family", "search"), WITH_SEARCH)
@pytest.mark.parametrize("estimator", [EM(), MAP()], ids=["EM", "MAP"])
def test_what_a_class_without_rows_leaves_open_is_named(family: str, estimator: Any, search: bool) -> None:
    num_rows, seed = (60, 3) if family == "Gaussian" else (60, 0)
    options = {} if search else {"search": None}
    fit = fit_quietly(estimator, model_of(family), rows_of(family, num_rows, seed), seed=0, **options)
    k = int(fit["mu_M"].argmax())
    expected = {entry.replace("k", str(k), 1) for entry in FAMILIES[family][2]}
    said = [sentence for sentence in fit.advice if "these data" in sentence]
    assert entries_in(said) == expected
    if isinstance(estimator, EM):
        assert fit.status is Status.NOT_IDENTIFIED
    else:
        # Where the rows leave it open the status says so, and no prior's remark again.
        is_said = fit.status is Status.NOT_IDENTIFIED
        assert any("a prior answers" in sentence for sentence in said) is not is_said
    (end,) = [sentence for sentence in fit.advice if sentence.startswith("At the end")]
    assert entries_in([end]) == {f"p_T[{k}]"}
    # And what it answers of the effect says so, too.
    effect = fit.contrast("Y", do={"T": 1}, versus={"T": 0})
    assert "Greeks are open at this mode" in repr(effect) or not search


@pytest.mark.parametrize("family", ["Bernoulli", "Gaussian", "LinearGaussian", "PoissonRegression"])
def test_few_rows_of_many_are_not_given_to_another_class(family: str) -> None:
    """Six of 8,000 in the second class, which is always treated among the rows that a search begins with."""
    for seed in (0, 1, 2):
        data = rows_of(family, 20_000, seed, untreated=4e-4)
        fit = fit_quietly(EM(), model_of(family), data, seed=0)
        density = fit.model.density(data).beyond_priors()
        of_second = data.columns["M"].numpy() > 4.0
        start = density.under(np.zeros((1, density.size)), np.stack([~of_second, of_second], 1)[None] * 1.0)[0]
        best = ascend(Objective(density, log_likelihood), start, 1e-9)
        assert fit.stats["log_likelihood"] >= best.value - 1e-3 and (fit["p_T"] < 1.0 - 1e-5).all()


@pytest.mark.parametrize("untreated", [0.0, 1e-3])
@pytest.mark.parametrize("estimator", [EM(), MAP(num_steps=50)], ids=["EM", "MAP"])
def test_of_many_rows_it_is_looked_for_among_some(estimator: Any, untreated: float) -> None:
    """What these say is open, all are asked for: of 70,000 rows of a class 70 are untreated, and tell its line."""
    model, data = model_of("LinearGaussian"), rows_of("LinearGaussian", 180_000, 0, untreated)
    assert not is_curvature_affordable(model.density(data))
    fit = fit_quietly(estimator, model, data, seed=0)
    said = [sentence for sentence in fit.advice if "these data" in sentence]
    k = int(fit["mu_M"].argmax())
    assert entries_in(said) == (set() if untreated else {f"beta_Y[{k}, intercept]", f"beta_Y[{k}, T]"})
    assert len(fit.modes) == 1 and (fit.status is Status.CONVERGED or not untreated)


@pytest.mark.parametrize("family", ["Bernoulli", "Poisson", "LinearGaussian"])
def test_what_few_of_many_rows_tell_is_not_named_beside_what_none_does(family: str) -> None:
    """Of the first class some fifty of 120,000 are untreated, and hardly any of the rows that are asked first."""
    rng = np.random.default_rng(1)
    z = rng.random(200_000) < 0.4
    t = 1.0 * (rng.random(len(z)) < np.where(z, 1.0, 1.0 - 5e-4))
    fit = fit_quietly(
        EM(), model_of(family), Data(T=t, M=rng.normal(8.0 * z), Y=FAMILIES[family][1](1.0 * z, rng)), seed=0
    )
    k = int(fit["mu_M"].argmax())
    said = [sentence for sentence in fit.advice if "these data" in sentence]
    assert entries_in(said) == {entry.replace("k", str(k), 1) for entry in FAMILIES[family][2]}


def test_a_level_of_which_a_sample_has_a_row_or_two_is_looked_for_among_all() -> None:
    """Cells with a scale each: the likelihood of the sample has a spike there, and no maximum near that of all rows."""
    model = CausalMixture(2, {"C": Categorical(3), "M": Gaussian(), "Y": Gaussian(parents=["C"])})
    for seed in (1, 2):
        rng = np.random.default_rng(seed)
        z = rng.random(200_000) < 0.4
        c = rng.choice(3, len(z), p=[0.6, 0.398, 0.002])
        data = Data(C=np.where(z, np.minimum(c, 1), c), M=rng.normal(8.0 * z), Y=rng.normal(1.0 * z))
        fit = fit_quietly(EM(), model, data, seed=0)
        k = int(fit["mu_M"].argmax())
        said = [sentence for sentence in fit.advice if "these data" in sentence]
        assert entries_in(said) == {f"mu_Y[{k}, 2]", f"sigma_Y[{k}, 2]"}


@pytest.mark.parametrize("weight", [1e-9, 1e6])
def test_what_rows_tell_does_not_hang_on_the_unit_of_their_weights(weight: float) -> None:
    """Items that all or none of a class have are at their ends, and a line is identified."""
    data = rows_of("LinearGaussian", 300, 0, untreated=0.2)
    weighted = Data(**data.columns, weights=np.full(300, weight))
    one, other = (fit_quietly(EM(), model_of("LinearGaussian"), rows, seed=0) for rows in (data, weighted))
    assert one.status is other.status is Status.CONVERGED and torch.allclose(one["beta_Y"], other["beta_Y"], atol=1e-6)
    rng = np.random.default_rng(1)
    z = rng.random(300) < 0.4
    shares = np.where(z[:, None], [0.9, 1.0, 0.8, 0.95, 0.0], [0.2, 0.1, 0.0, 0.3, 0.6])
    items = {f"I{j}": 1.0 * (rng.random(300) < shares[:, j]) for j in range(5)}
    model = CausalMixture(2, {name: Bernoulli() for name in items})
    fit = fit_quietly(EM(), model, Data(**items, weights=np.full(300, weight)), seed=0)
    assert fit.status is Status.CONVERGED and fit["p_I1"].max() > 1.0 - 1e-6 and fit["p_I4"].min() < 1e-6


def test_a_pole_of_a_prior_is_named_at_what_has_no_rows() -> None:
    mechanisms = {"T": Bernoulli(), "M": Gaussian(), "Y": Bernoulli(dist.Beta(0.5, 0.5), parents=["T"])}
    fit = fit_quietly(MAP(), CausalMixture(2, mechanisms), rows_of("Bernoulli", 120, 0), seed=0)
    (boundary,) = [sentence for sentence in fit.advice if sentence.startswith("BOUNDARY")]
    assert "the prior is infinite there" in boundary and entries_in([boundary]) == {
        f"p_Y[{int(fit['mu_M'].argmax())}, 0]"
    }
