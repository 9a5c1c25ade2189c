"""A fit at the boundary says what is at which end of its support, and what to do about that kind of end."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch

from estimators import (
    EM,
    MAP,
    CausalMixture,
    Data,
    EstimationError,
    EstimationWarning,
    Fit,
    GaussianMixture,
    PyroModel,
    Status,
    modes,
)
from estimators.algorithms.protocol import Estimator
from estimators.mechanisms import Bernoulli, Categorical, Gaussian, LinearGaussian, Logistic, NegativeBinomial, Poisson
from estimators.modes.mode_search import Search
from estimators.parameters.edges import End
from tests.expectations import log_likelihood_of
from tests.models import fit_quietly

X = [0.0, 1.0, 3.0, 10.0, 11.0, 12.0]
SHORT = MAP(num_steps=5, num_starts=5)
FEWER = "the data support fewer components; lower K"


def of_x(K: int = 1, **priors: Any) -> CausalMixture:
    return CausalMixture(K, {"X": Gaussian(**priors)}, concentration=2.0)


CASES: dict[str, tuple[Estimator, Any, dict[str, Any], str, bool]] = {
    "a mean": (
        SHORT,
        of_x(loc=dist.Uniform(-1.0, 5.0), scale=1.0),
        {"X": X},
        "mu_X[0] at the upper end of its prior, 5 (",
        False,
    ),
    "a mean below": (
        SHORT,
        of_x(loc=dist.Uniform(9.0, 50.0), scale=1.0),
        {"X": X},
        "mu_X[0] at the lower end of its prior, 9 (",
        False,
    ),
    "a scale": (
        SHORT,
        of_x(loc=6.0, scale=dist.Uniform(0.01, 0.3)),
        {"X": X},
        "sigma_X[0] at the upper end of its prior, 0.3 (",
        False,
    ),
    "a scale from a half-line": (
        SHORT,
        of_x(loc=6.0, scale=dist.Pareto(9.0, 1.0)),
        {"X": X},
        "sigma_X[0] at the lower end of its prior, 9 (",
        False,
    ),
    "one of two": (
        SHORT,
        of_x(2, loc=dist.Uniform(torch.tensor([-5.0, 4.0]), torch.tensor([5.0, 9.0])), scale=1.0),
        {"X": X},
        "mu_X[1] at the upper end of its prior, 9 (",
        False,
    ),
    "a weight": (SHORT, GaussianMixture(2), {"X": [3.0, 3.0, 3.0]}, " at 0 (", True),
}


IN_CONFLICT = ("mu_X[0] at the lower", "sigma_X[0] at the upper")
MAXIMA: dict[str, tuple[Any, dict[str, Any], str]] = {
    "a level": (CausalMixture(1, {"X": Categorical(3)}), {"X": [0, 1, 1]}, "p_X[0, 2] at 0 ("),
    "a coin": (CausalMixture(1, {"T": Bernoulli()}), {"T": [1, 1, 1]}, "p_T[0] at 1 ("),
    "a rate": (CausalMixture(1, {"C": Poisson()}), {"C": [0, 0, 0]}, "rate_C[0] at 0 ("),
    "more than a few": (CausalMixture(1, {"X": Categorical(10)}), {"X": [0, 1, 2, 1, 0]}, " and 3 more ("),
}


@pytest.mark.parametrize("estimator", [EM(num_starts=2), SHORT], ids=["EM", "MAP"])
@pytest.mark.parametrize("search", [Search(), None], ids=["searched", "not searched"])
@pytest.mark.parametrize(("model", "rows", "words"), MAXIMA.values(), ids=MAXIMA)
def test_a_probability_at_its_end_is_a_maximum_and_is_named(
    model: Any, rows: dict[str, Any], words: str, search: Any, estimator: EM | MAP
) -> None:
    fit = estimator.fit(model, rows, seed=0, strict=True, search=search)
    assert fit.status is Status.CONVERGED
    assert sum(words in remark for remark in fit.remarks) == 1 and FEWER not in " ".join(fit.advice)


@pytest.mark.parametrize(("estimator", "model", "rows", "words", "is_weight"), CASES.values(), ids=CASES)
def test_what_is_at_the_edge_is_named(
    estimator: Estimator, model: Any, rows: dict[str, Any], words: str, is_weight: bool, tmp_path: Path
) -> None:
    with pytest.warns(EstimationWarning, match="BOUNDARY") as warned:
        fit = estimator.fit(model, rows, seed=0)
    with pytest.raises(EstimationError, match="BOUNDARY") as strict:
        estimator.fit(model, rows, seed=0, strict=True)
    with pytest.raises(EstimationError, match="laplace") as refused:
        fit.laplace()
    said = [str(warned[0].message), str(strict.value), str(refused.value), str(fit.identifiability())]
    # Of a prior that ends where the rows have no answer to speak of, the conflict comes first.
    assert fit.status is (Status.PRIOR_CONFLICT if words.startswith(IN_CONFLICT) else Status.BOUNDARY)
    for text in said:
        assert words in text
        assert (FEWER in text) == is_weight
        assert fit.findings[Status.BOUNDARY] in text
    fit.save(tmp_path / "fit")
    assert Fit.load(tmp_path / "fit").advice == fit.advice
    # What is not at an end is not named: one Greek of those that there are.
    assert fit.findings[Status.BOUNDARY].count(" at ") == 1


def test_the_generic_words_advise_no_number_of_components() -> None:
    assert "lower K" not in Status.BOUNDARY.value and "fewer" not in Status.BOUNDARY.value
    inside = SHORT.fit(of_x(loc=dist.Uniform(-1.0, 50.0), scale=1.0), {"X": X}, seed=0)
    assert inside.status is Status.CONVERGED
    assert inside.advice == (str(Status.CONVERGED),)


def test_names_of_edges_move_with_the_labels() -> None:
    model = of_x(2, loc=dist.Uniform(torch.tensor([-5.0, 4.0]), torch.tensor([5.0, 9.0])), scale=1.0)
    fit = fit_quietly(SHORT, model, {"X": X}, seed=0)
    about = fit.relabel([1, 0]).findings[Status.BOUNDARY]
    assert about.startswith("mu_X[0] at the upper end of its prior, 9 (")


def coins(N: int) -> None:
    theta = pyro.sample("theta", dist.Dirichlet(torch.ones(2)))
    q = pyro.sample("q", dist.Uniform(0.0, torch.tensor(0.5)))
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Categorical(theta))
        pyro.sample("t", dist.Bernoulli(q))
        pyro.sample("x", dist.Normal(20.0 * z, 1.0))


def test_a_program_names_its_greeks() -> None:
    rows = Data(x=[0.0, 20.0, 19.0, 1.0], t=[1.0, 1.0, 1.0, 1.0])
    with pytest.warns(EstimationWarning, match=r"q at the end of its support, 0\.5 \("):
        EM(num_starts=2).fit(PyroModel(coins), rows, seed=0)
    with pytest.warns(EstimationWarning, match=r"theta\[1\] at 0 \("):
        EM(num_starts=2).fit(PyroModel(coins), Data(x=[0.0, 0.5, -0.5], t=[1.0, 0.0, 0.0]), seed=0)


ABSENT = CausalMixture(
    2,
    {"W": Categorical(3, caused_by_latent=False), "T": Bernoulli(), "Y": LinearGaussian(["T"])},
    latent_parents=["W"],
)
ABSENT_TRUTH = {
    "theta": [[0.8, 0.2], [0.5, 0.5], [0.001, 0.999]],
    "p_W": [0.3, 0.3, 0.4],
    "p_T": [0.3, 0.7],
    "beta_Y": [[0.0, 1.0], [4.0, 2.0]],
    "sigma_Y": [1.0, 1.0],
}


@pytest.mark.parametrize("estimator", [EM(), MAP()], ids=["EM", "MAP"])
@pytest.mark.parametrize("seed", range(4))
def test_a_class_absent_at_one_level_of_a_cause_is_not_lost(estimator: Estimator, seed: int) -> None:
    """Its weight there is at an end, as a maximum may be: another answer, 10 nats below the truth, was preferred."""
    rows = ABSENT.simulate(60, ABSENT_TRUTH, seed=seed)
    data = Data(W=rows["W"], T=rows["T"], Y=rows["Y"])
    fit = estimator.fit(ABSENT, data, seed=0)
    assert fit.status is Status.CONVERGED and "theta[2, 0] at 0" in " ".join(fit.advice)
    marginal = ABSENT.marginal(data)
    truth = float(log_likelihood_of(marginal, ABSENT.check_greeks(ABSENT_TRUTH)))
    assert float(log_likelihood_of(marginal, {name: value[0] for name, value in fit.draws.items()})) > truth + 2.0
    assert float(fit.effect("Y", of="T").value) == pytest.approx(1.61, abs=0.6)


@pytest.mark.parametrize("seed", range(3))
def test_an_answer_below_a_pole_of_the_prior_says_so(seed: int) -> None:
    """Where the prior is infinite is no maximum; the best one inside, 14 nats worse, was CONVERGED without a word."""
    model = CausalMixture(2, ABSENT.mechanisms, 0.5, ["W"])
    rows = model.simulate(60, ABSENT_TRUTH, seed=seed)
    data = Data(W=rows["W"], T=rows["T"], Y=rows["Y"])
    said = r"PRIOR_POLE: with theta\[.* at 0.* nats better"
    with pytest.warns(EstimationWarning, match=said):
        fit = MAP().fit(model, data, seed=0)
    marginal = model.marginal(data)
    truth = float(log_likelihood_of(marginal, model.check_greeks(ABSENT_TRUTH)))
    assert float(log_likelihood_of(marginal, {name: value[0] for name, value in fit.draws.items()})) < truth - 10.0
    # What a search of the likelihood has found leads to no maximum inside: it is there itself, and says why.
    with pytest.warns(EstimationWarning, match=r"theta\[.* at 0 \(the prior is infinite there"):
        there = MAP().fit(model, data, seed=0, search=modes.search(model, data, seed=0))
    assert float(log_likelihood_of(marginal, {name: value[0] for name, value in there.draws.items()})) > truth
    # Nothing is to be said without a pole, nor of a class that the rows do not need.
    plain = CausalMixture(2, {name: ABSENT.mechanisms[name] for name in ("T", "Y")}, concentration=0.5)
    for one in (ABSENT, plain):
        own = Data(**{name: rows[name] for name in one.variables if name != "Z"})
        without = fit_quietly(MAP(), one, own, seed=0)
        assert not any("PRIOR_POLE" in sentence for sentence in without.advice)


HALVES = dist.Dirichlet(torch.full((3,), 0.5))


@pytest.mark.parametrize(
    ("mechanism", "column", "said"),
    [
        (Bernoulli(prior=dist.Beta(0.5, 0.5), parents=["W"]), [0, 1, 0, 1, 1], "p_V[0, 1] at 1"),
        (Bernoulli(prior=dist.Beta(0.5, 2.0), parents=["W"]), [0, 1, 1, 0, 0], "p_V[0, 1] at 0"),
        (Categorical(3, prior=HALVES, parents=["W"]), [2, 1, 0, 0, 1], "p_V[0, 1, 2] at 0"),
        (Poisson(prior=dist.Gamma(0.5, 1.0), parents=["W"]), [2, 1, 0, 0, 0], "rate_V[0, 1] at 0"),
    ],
    ids=["1", "0", "a level", "a rate"],
)
def test_a_prior_that_pushes_to_an_end_is_not_advised_against_it(mechanism: Any, column: list[int], said: str) -> None:
    """It is MAP with a prior already: "a prior keeps it off its end (MAP, NUTS)" was the advice."""
    model = CausalMixture(1, {"W": Bernoulli(), "V": mechanism}, concentration=2.0)
    with pytest.warns(EstimationWarning) as warned:
        MAP().fit(model, {"W": [0, 0, 0, 1, 1], "V": column}, seed=0)
    assert f"{said} (the prior is infinite there" in str(warned[0].message)


def test_a_pole_on_many_rows_is_no_class_on_one_value() -> None:
    """What the rows still say of a weight of e^-13 is in proportion to their number, and was taken for a collapse."""
    model = CausalMixture(2, ABSENT.mechanisms, 0.5, ["W"])
    rows = model.simulate(3000, ABSENT_TRUTH, seed=101)
    with pytest.warns(EstimationWarning, match="PRIOR_POLE: .* nats better"):
        MAP().fit(model, Data(W=rows["W"], T=rows["T"], Y=rows["Y"]), seed=0)


def test_weights_that_vanish_together_are_no_better_for_it() -> None:
    """Where one weight was at 0 and another on its way, the infinite factor of the other counted: 7.7 nats better."""
    x = [0.36, -0.17, -1.29, 2.72, -0.95, -0.56, -0.03, 1.58, 1.75, 0.56]
    x += [0.31, -2.01, 0.42, -1.69, 1.2, -2.47, 1.08, -0.08, 0.57, 1.4]
    fit = MAP().fit(GaussianMixture(3, scale=dist.Gamma(2.0, 2.0)), {"X": x}, seed=0, strict=True)
    assert fit.status is Status.CONVERGED


def test_a_profile_at_an_end_warns_of_nothing() -> None:
    """Slopes far out were too long to be squared, and NumPy said so."""
    rows = ABSENT.simulate(60, ABSENT_TRUTH, seed=1)
    fit = MAP().fit(ABSENT, Data(W=rows["W"], T=rows["T"], Y=rows["Y"]), seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ((low, high),) = fit.given(W=2).probability("Z", 0).profile(0.9)
    assert low < 1e-9 and high == pytest.approx(0.048, abs=0.002)


def test_laplace_names_what_is_at_an_end() -> None:
    rows = ABSENT.simulate(60, ABSENT_TRUTH, seed=0)
    fit = EM().fit(ABSENT, Data(W=rows["W"], T=rows["T"], Y=rows["Y"]), seed=0)
    with pytest.raises(EstimationError, match=r"no approximation at an end: theta\[2, 0\] at 0 .*use NUTS") as refused:
        fit.laplace(seed=0)
    assert "undetermined" not in str(refused.value)


def test_a_class_absent_at_every_level_with_rows_is_lost() -> None:
    density = ABSENT.density(Data(W=[0.0, 1.0, 1.0, 0.0] * 5, T=[0.0, 1.0] * 10, Y=[float(y) for y in range(20)]))
    beyond = density.beyond_priors()

    def status_at(*weights: float) -> bool:
        theta = torch.tensor([[1.0 - weight, weight] for weight in weights])
        greeks = {**ABSENT.check_greeks(ABSENT_TRUTH), "theta": theta.double()}
        coordinates = beyond.unconstrain({name: value.numpy() for name, value in greeks.items()})
        assert beyond.at_boundary(coordinates) == density.at_boundary(coordinates)
        return beyond.at_boundary(coordinates)

    assert status_at(1e-9, 1e-9, 0.5)  # no row has the third level
    assert not status_at(1e-9, 0.3, 1e-9)
    # Of concentration below 1 the posterior density grows without end towards such a weight.
    sparse = CausalMixture(2, dict(ABSENT.mechanisms), 0.5, ["W"]).density(density.data)
    theta = torch.tensor([[0.5, 0.5], [0.5, 0.5], [1e-9, 1.0]]).double()
    greeks = {**ABSENT.check_greeks(ABSENT_TRUTH), "theta": theta}
    at = sparse.unconstrain({name: value.numpy() for name, value in greeks.items()})
    assert sparse.at_boundary(at) and not sparse.beyond_priors().at_boundary(at)


def test_a_coefficient_is_at_a_limit_where_rows_would_tell_of_it() -> None:
    """Of a level that a class does not have, it is where a climb left it; the control has the level."""
    model = CausalMixture(2, {"T": Categorical(3), "Y": Logistic(parents=["T"])})
    data = Data(T=[0, 1, 2, 0, 1, 2] * 5, Y=[0, 1, 1, 1, 0, 1] * 5)
    greeks = {"theta": np.array([0.5, 0.5]), "beta_Y": np.array([[0.0, 0.0, 0.5], [0.0, 0.0, 18.0]])}
    for share, marked in ((1e-14, []), (0.3, ["beta_Y[1, 2]"])):
        shares = np.array([[0.3, 0.3, 0.4], [0.5, 0.5 - share, share]])
        edges = model.density(data).beyond_priors().edges({**greeks, "p_T": shares})
        assert [edge.entry for edge in edges if edge.kind is End.SEPARATED] == marked


def test_counts_without_dispersion_say_that_they_are_at_the_simpler_law() -> None:
    rng = np.random.default_rng(0)
    z = rng.random(300) < 0.5
    model = CausalMixture(2, {"X": Gaussian(), "Y": NegativeBinomial()})
    fit = fit_quietly(EM(), model, Data(X=rng.normal(4.0 * z), Y=rng.poisson(np.exp(1.0 + z))), 0)
    assert fit.found is not None and "alpha_Y" in fit.found.ends[0] and "simpler law" in " ".join(fit.advice)
