"""One model as a mixture and as a Pyro program: the same questions, the same answers, the same refusals."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor

from estimators import CausalMixture, Data, EstimationWarning, Fit, PyroModel, Query, Status
from estimators.mechanisms import Bernoulli, DiagonalGaussian, LinearGaussian
from tests.refusals import case, refused

GREEKS: dict[str, Any] = {
    "theta": [[0.4, 0.6], [0.3, 0.7], [0.5, 0.5]],
    "p_T": [[0.2, 0.7], [0.3, 0.6], [0.25, 0.8]],
    # Intercept and slope of each class.
    "beta_Y": [[[-1.0, 0.5], [3.0, 1.5]], [[-1.2, 0.4], [2.8, 1.6]], [[-0.9, 0.6], [3.1, 1.4]]],
    "sigma_Y": [[1.0, 2.0], [0.9, 2.1], [1.1, 1.9]],
}
DRAWS = {name: torch.tensor(value, dtype=torch.float64) for name, value in GREEKS.items()}


def confounder(N: int) -> None:
    theta = pyro.sample("theta", dist.Dirichlet(torch.ones(2, dtype=torch.float64)))
    with pyro.plate("components", 2):
        p_T = pyro.sample("p_T", dist.Beta(1.0, 1.0))
        beta = pyro.sample("beta_Y", dist.Normal(torch.zeros(2), 10.0).to_event(1))
        sigma = pyro.sample("sigma_Y", dist.LogNormal(0.0, 1.0))
    with pyro.plate("rows", N):
        z = pyro.sample("Z", dist.Categorical(theta))
        t = pyro.sample("T", dist.Bernoulli(p_T[z]))
        pyro.sample("Y", dist.Normal(beta[z][..., 0] + beta[z][..., 1] * t, sigma[z]))


def fit_of(model: Any, draws: dict[str, Tensor] = DRAWS) -> Fit:
    return Fit(model, "posterior", draws, 1, Status.CONVERGED, {})


MIXTURE = fit_of(CausalMixture(2, {"T": Bernoulli(), "Y": LinearGaussian(parents=["T"])}))
PROGRAM = fit_of(PyroModel(confounder))
SHARE = dist.Bernoulli(torch.tensor(0.3, dtype=torch.float64))
SPREAD = dist.Normal(torch.tensor(0.5, dtype=torch.float64), torch.tensor(2.0, dtype=torch.float64))

SITUATIONS: dict[str, Callable[[Fit], Query]] = {
    "a cause set": lambda fit: fit.do(T=1),
    "a cause set at random": lambda fit: fit.do(T=SHARE),
    "the class set": lambda fit: fit.do(Z=0),
    "an effect seen": lambda fit: fit.given(Y=1.5),
    "an effect seen after a cause is set": lambda fit: fit.do(T=1).given(Y=1.5),
    "an effect seen after a cause is set at random": lambda fit: fit.do(T=SHARE).given(Y=1.5),
    "an effect set": lambda fit: fit.do(Y=0.0),
    "an effect set at random": lambda fit: fit.do(Y=SPREAD),
    "all but the class seen": lambda fit: fit.given(T=0).given(Y=-1.0),
}
POINTS = [-1.0, 0.0, 0.5, 1.0, 4.0]
QUESTIONS: dict[str, Callable[[Query], Any]] = {
    "means": lambda query: torch.stack([query.mean("Z").draws, query.mean("Y").draws]),
    "mean of the cause": lambda query: query.mean("T").draws,
    "density": lambda query: query.log_density("Y", [[0.0, 1.0]]),
    "mass": lambda query: query.log_density("Z", [0, 1]),
    "cdf": lambda query: query.cdf("Y", [[-np.inf, *POINTS, np.inf]]),
    "quantile": lambda query: query.quantile("Y", [[0.1, 0.5], [0.9, 0.99]]),
    "quantile of the cause": lambda query: query.quantile("T", [0.1, 0.9]),
}
OFTEN = ("means", "density")
RARELY = ("a cause set at random", "all but the class seen", "an effect seen after a cause is set")
# By default every situation, and every question, but not every pair.
PAIRS = [(name, asked) for name in SITUATIONS for asked in QUESTIONS if asked in OFTEN or name in RARELY]


@cache
def of_program(name: str) -> Query:
    """Captured once for all questions."""
    return SITUATIONS[name](PROGRAM)


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        pytest.param(
            name,
            asked,
            id=f"{name}, {asked}",
            marks=[pytest.mark.slow] * (asked != "means" and name != RARELY[0]),
        )
        for name, asked in PAIRS
    ],
)
def test_the_same_answers(name: str, asked: str) -> None:
    question = QUESTIONS[asked]
    (found, error), (expected, refusal) = (
        answered(question, query) for query in (SITUATIONS[name](MIXTURE), of_program(name))
    )
    assert (type(error), str(error)) == (type(refusal), str(refusal))
    if error is None:
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def answered(question: Callable[[Query], Any], query: Query) -> tuple[Any, Exception | None]:
    try:
        return question(query), None
    except (ValueError, NotImplementedError) as error:
        return None, error


# A program captures its graphs anew in each copy: one situation stands for the others by default.
COPIED = [
    pytest.param(fit, situation, id=f"{name}-{kind}", marks=pytest.mark.slow if kind == "program" and index else ())
    for index, (name, situation) in enumerate(SITUATIONS.items())
    for kind, fit in (("mixture", MIXTURE), ("program", PROGRAM))
]


@pytest.mark.parametrize(("fit", "situation"), COPIED)
def test_a_question_survives_pickling(fit: Fit, situation: Callable[[Fit], Query]) -> None:
    query = situation(fit)
    fresh = pickle.loads(pickle.dumps(query))
    expected = query.mean("Z").draws
    asked = pickle.loads(pickle.dumps(query))
    for copy in (fresh, asked):
        assert torch.equal(copy.mean("Z").draws, expected)
        assert copy.labels.sites() == query.labels.sites()


def test_a_counterfactual_survives_pickling() -> None:
    worlds = MIXTURE.counterfactual({"T": [0, 1], "Y": [0.0, 3.0]}, do={"T": 1}, seed=0)
    expected = worlds.mean("Y").draws
    assert torch.equal(pickle.loads(pickle.dumps(worlds)).mean("Y").draws, expected)


def test_values_per_row_have_answers_per_row() -> None:
    means = [fit.do(T=[0.0, 1.0, 1.0]).given(Y=[1.0, 2.0, -3.0]).mean("Z").draws for fit in (MIXTURE, PROGRAM)]
    assert means[0].shape == (3, 3)
    np.testing.assert_allclose(*means, atol=1e-9)


def test_the_mean_of_the_class_is_its_probability() -> None:
    theta = DRAWS["theta"]
    np.testing.assert_allclose(MIXTURE.do(T=1).mean("Z").draws, theta[:, 1], atol=1e-15)
    seen = theta * DRAWS["p_T"]
    np.testing.assert_allclose(MIXTURE.given(T=1).mean("Z").draws, (seen / seen.sum(1, keepdim=True))[:, 1], atol=1e-14)


def test_contrasts_are_the_same() -> None:
    asked: dict[str, Any] = {"do": {"T": 1}, "versus": {"T": 0}, "given": {"Z": 1}}
    found, expected = (fit.contrast("Y", **asked).draws for fit in (MIXTURE, PROGRAM))
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=SITUATIONS)
def test_samples_have_the_same_columns(situation: Callable[[Fit], Query]) -> None:
    one, other = (situation(fit).sample(4, seed=0) for fit in (MIXTURE, PROGRAM))
    # A program without data does not say which of its sites will be hidden.
    assert set(one) <= set(other)
    assert {name: column.shape for name, column in one.items()} == {name: other[name].shape for name in one}


REFUSED = [
    case("nothing is set", lambda fit: fit.do(), ValueError, "do: expected at least one setting"),
    case("nothing is seen", lambda fit: fit.given(), ValueError, "given: expected at least one setting"),
    case("no such variable", lambda fit: fit.do(W=1), ValueError, "do: ", "no", "'W'"),
    case("a question about none", lambda fit: fit.do(T=1).mean("W"), ValueError, "expected a variable among", "'W'"),
    case("seen twice", lambda fit: fit.given(T=0).given(T=1), ValueError, "given: T is seen already"),
    case("a list of names", lambda fit: fit.do(T=1).mean(["Y"]), ValueError, "expected a variable among", "['Y']"),
    case("names that are none", lambda fit: fit.given(T=1).where({1: 2}), ValueError, "given: ", "1"),
    case("set and seen", lambda fit: fit.do(T=1).given(T=1), ValueError, "given: T is set by do(...)"),
    case("no level", lambda fit: fit.do(T=0.5), ValueError, "do", "T", "0.5"),
    case("no class", lambda fit: fit.do(Z=2), ValueError, "do: Z expects", "2"),
    case("a complex number", lambda fit: fit.do(Z=1 + 0j), TypeError, "do: Z expects", "1+0j"),
    case("not a number", lambda fit: fit.do(Y=np.nan), ValueError, "do: Y expects a finite number"),
    case("text", lambda fit: fit.given(Y="high"), TypeError, "given: Y expects a finite number", "'high'"),
    case("no law of levels", lambda fit: fit.do(T=SPREAD), ValueError, "do: T expects a distribution over"),
    case("a law is not seen", lambda fit: fit.given(Y=SPREAD), ValueError, "given: Y expects a"),
    case(
        "rows of two lengths",
        lambda fit: fit.do(T=[0, 1], Y=[0.0] * 3),
        ValueError,
        "as many values",
        "'T': 2",
        "'Y': 3",
    ),
    case("density of what is set", lambda fit: fit.do(T=1).log_density("T", 1), ValueError, "log_density: T is set"),
    case("cdf of what is seen", lambda fit: fit.given(T=1).cdf("T", 1), ValueError, "cdf: T is seen"),
    case("quantile per row", lambda fit: fit.do(T=[0, 1]).quantile("Y", 0.5), ValueError, "one value of T"),
    case("cdf at NaN", lambda fit: fit.do(T=1).cdf("Y", np.nan), ValueError, "cdf: expected finite values"),
    case("density at inf", lambda fit: fit.do(T=1).log_density("Y", np.inf), ValueError, "expected finite"),
    case("no level of a quantile", lambda fit: fit.do(T=1).quantile("Y", 1.0), ValueError, "level", "1.0"),
    case("no rows", lambda fit: fit.do(T=1).sample(0), ValueError, "sample: expected a positive number of rows"),
    case("rows set", lambda fit: fit.do(T=[0, 1]).sample(3), ValueError, "sample: do(T=...) has 2 values", "3 rows"),
    case("rows seen", lambda fit: fit.given(T=[0, 1]).sample(3), ValueError, "sample: given(T=...) has 2 values"),
    case("versus nothing", lambda fit: fit.contrast("Y", do={"T": 1}, versus={}), ValueError, "versus: expected"),
]


@pytest.mark.parametrize("fit", [MIXTURE, PROGRAM], ids=["mixture", "program"])
@pytest.mark.parametrize(("ask", "error", "parts"), REFUSED)
def test_the_same_refusals(fit: Fit, ask: Callable[[Fit], Any], error: type[Exception], parts: tuple[str, ...]) -> None:
    with refused(error, *parts):
        ask(fit)


@pytest.mark.parametrize("model", [MIXTURE.model, PROGRAM.model], ids=["mixture", "program"])
def test_a_question_about_labels_in_doubt_is_warned_of_once_at_the_callers_line(model: Any) -> None:
    query = doubtful(model).do(T=1)
    with pytest.warns(EstimationWarning, match="Z: they mean nothing") as caught:
        query.mean("Z")
        query.given(Z=1)
    assert [warning.filename for warning in caught] == [__file__]


def doubtful(model: Any) -> Fit:
    data = {name: column for name, column in MIXTURE.model.simulate(20, first(), seed=0).items() if name != "Z"}
    stats = {"label_certainty": 0.4, "labels_unfixed": ["Z"], "labels": "they mean nothing"}
    return Fit(model, "posterior", DRAWS, 1, Status.CONVERGED, stats, data=Data(**data))


def test_a_warning_needs_no_named_module() -> None:
    with pytest.warns(EstimationWarning, match="they mean nothing"):
        exec("fit.do(Z=1)", {"fit": doubtful(MIXTURE.model)})


def test_which_labels_are_in_doubt_is_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    symmetry = CausalMixture.symmetry

    def counted(*args: Any, **options: Any) -> Any:
        made.append(1)
        return symmetry(*args, **options)

    monkeypatch.setattr(CausalMixture, "symmetry", counted)
    fit = doubtful(MIXTURE.model)
    query = replace(fit, stats={"label_certainty": fit.stats["label_certainty"]}).do(T=1)
    for _ in range(3):
        query.mean("Y")
    assert len(made) == 1


def noisy(N: int) -> None:
    theta = pyro.sample("theta", dist.Dirichlet(torch.ones(2, dtype=torch.float64)))
    with pyro.plate("rows", N):
        z = pyro.sample("Z", dist.Categorical(theta))
        w = pyro.sample("W", dist.Bernoulli(0.5))
        u = pyro.sample("U", dist.Normal(5.0 * z, 1.0))
        pyro.sample("Y", dist.Normal(u + 2.0 * w, 1.0))
        pyro.sample("V", dist.Normal(u * (1.0 - 2.0 * w), 1.0))


def not_captured(N: int) -> None:
    theta = pyro.sample("theta", dist.Dirichlet(torch.ones(2, dtype=torch.float64)))
    # Python that looks at a Greek.
    assert float(theta.sum()) > 0
    with pyro.plate("rows", N):
        z = pyro.sample("Z", dist.Categorical(theta))
        w = pyro.sample("W", dist.Bernoulli(0.5))
        u = pyro.sample("U", dist.Normal(5.0 * z, 1.0))
        pyro.sample("V", dist.Normal(u * (1.0 - 2.0 * w), 1.0))


def test_what_is_simulated_cancels_in_a_contrast() -> None:
    fit = fit_of(PyroModel(noisy), {"theta": DRAWS["theta"][:1].expand(20, 2)})
    np.testing.assert_allclose(fit.contrast("Y", do={"W": 1}, versus={"W": 0}).draws, 2.0, atol=1e-12)
    assert float(fit.do(W=1).mean("Y").sd) > 1e-3


@pytest.mark.parametrize("program", [noisy, not_captured])
def test_the_error_of_a_contrast_is_right_where_its_sides_are_opposite(program: Callable[[int], None]) -> None:
    fit = fit_of(PyroModel(program), {"theta": DRAWS["theta"][:1]})
    error, of_one = fit.contrast("V", do={"W": 1}, versus={"W": 0}).error, fit.do(W=1).mean("V").error
    assert error is not None and of_one is not None
    assert float(error) == pytest.approx(2.0 * float(of_one), rel=1e-3)


def test_classes_are_asked_about_by_name() -> None:
    named = MIXTURE.relabel({"low": 0, "high": 1})
    assert float(named.do(T=1).log_density("Z", "high")) == float(MIXTURE.do(T=1).log_density("Z", 1))
    with pytest.raises(ValueError, match="log_density: Z has no label 'mid'"):
        named.do(T=1).log_density("Z", "mid")


def test_rows_of_vectors_are_compared_too() -> None:
    model = CausalMixture(1, {"W": Bernoulli(), "V": DiagonalGaussian(2, parents=["W"])})
    fit = Fit.from_greeks(model, model.prior_greeks(seed=0))
    with pytest.raises(ValueError, match="contrast: do has 2 rows and versus 3"):
        fit.contrast("V", do={"W": [0, 1]}, versus={"W": [0, 1, 1]})


def vectors(N: int) -> None:
    theta = pyro.sample("theta", dist.Dirichlet(torch.ones(2, dtype=torch.float64)))
    with pyro.plate("rows", N):
        z = pyro.sample("Z", dist.Categorical(theta))
        pyro.sample("V", dist.Normal(torch.stack([5.0 * z, -5.0 * z], -1), 1.0).to_event(1))


def test_a_vector_that_is_set_has_all_its_columns() -> None:
    """Rows of one side of a contrast must not meet columns of the other."""
    fit = fit_of(PyroModel(vectors))
    assert fit.do(V=1.0).mean("V").draws.shape == fit.do(Z=1).mean("V").draws.shape == (3, 2)
    assert fit.do(V=[1.0, 20.0]).mean("V").draws.shape == (3, 2, 2)
    found = fit.contrast("V", do={"Z": 1}, versus={"V": [1.0, 20.0]}).draws
    np.testing.assert_allclose(found[0], [[4.0, -6.0], [-15.0, -25.0]], atol=1e-12)


def first() -> dict[str, Tensor]:
    return {name: value[0] for name, value in DRAWS.items()}
