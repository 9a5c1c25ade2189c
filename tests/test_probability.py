"""The probability of a level, a label or a count under every draw: against sums by hand, means, and the other route."""

import pickle
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from scipy.special import expit, softmax
from scipy.stats import norm, poisson

from estimators import EM, CausalMixture, Data, Fit, GaussianMixture, OddsRatio, Ratio, plot_compare
from estimators.mechanisms import (
    Bernoulli,
    Categorical,
    DiagonalGaussian,
    Gaussian,
    LinearGaussian,
    Logistic,
    MultinomialLogit,
    OrderedLogistic,
    PoissonRegression,
)
from tests.models import fit_quietly
from tests.refusals import case, refused
from tests.test_query_contract import MIXTURE, PROGRAM, SITUATIONS, fit_of

# Three draws of two classes: Z causes T and Y, T causes Y, a table of three levels.
THETA = np.array([[0.4, 0.6], [0.3, 0.7], [0.5, 0.5]])
P_T = np.array([[0.2, 0.7], [0.3, 0.6], [0.25, 0.8]])
P_Y = softmax(np.random.default_rng(0).normal(size=(3, 2, 2, 3)), -1)


def draws_of(**greeks: Any) -> dict[str, torch.Tensor]:
    return {name: torch.as_tensor(np.asarray(value, dtype=float)) for name, value in greeks.items()}


TABLES = fit_of(
    CausalMixture(2, {"T": Bernoulli(), "Y": Categorical(3, parents=["T"])}),
    draws_of(theta=THETA, p_T=P_T, p_Y=P_Y),
)
SEEN_T = THETA * P_T / (THETA * P_T).sum(1, keepdims=True)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (TABLES.do(T=1), np.einsum("sz,szy->sy", THETA, P_Y[:, :, 1])),
        (TABLES.do(T=0), np.einsum("sz,szy->sy", THETA, P_Y[:, :, 0])),
        (TABLES.given(T=1), np.einsum("sz,szy->sy", SEEN_T, P_Y[:, :, 1])),
        (TABLES.do(Z=1, T=1), P_Y[:, 1, 1]),
        (
            TABLES.do(T=dist.Bernoulli(torch.tensor(0.3, dtype=torch.float64))),
            np.einsum("sz,szty,t->sy", THETA, P_Y, [0.7, 0.3]),
        ),
        (TABLES.do(Y=2), np.tile([0.0, 0.0, 1.0], (3, 1))),
        (TABLES.do(Y=dist.Categorical(torch.tensor([0.2, 0.3, 0.5]))), np.tile([0.2, 0.3, 0.5], (3, 1))),
    ],
    ids=["set", "set to the other", "seen", "class and cause set", "set at random", "itself set", "itself at random"],
)
def test_sums_over_classes_by_hand(query: Any, expected: np.ndarray) -> None:
    found = np.stack([query.probability("Y", level).draws.numpy() for level in range(3)], 1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7 if "Y" in query.asked else 1e-14)
    assert query.probability("Y", 2).error is None


def test_one_for_each_row() -> None:
    found = TABLES.do(T=[1.0, 0.0, 1.0]).probability("Y", 2).draws
    by_level = [TABLES.do(T=level).probability("Y", 2).draws for level in (1.0, 0.0, 1.0)]
    np.testing.assert_array_equal(found, torch.stack(by_level, 1))
    seen = TABLES.given(Y=[2.0, 0.0]).probability("Y", 2).draws
    np.testing.assert_array_equal(seen, torch.tensor([[1.0, 0.0]]).expand(3, 2))


@pytest.mark.parametrize("name", SITUATIONS)
def test_of_two_levels_it_is_the_mean_and_both_routes_agree(name: str) -> None:
    query = SITUATIONS[name](MIXTURE)
    for variable in ("T", "Z"):
        np.testing.assert_allclose(query.probability(variable, 1).draws, query.mean(variable).draws, atol=1e-14)
        total = query.probability(variable, 0).draws + query.probability(variable, 1).draws
        np.testing.assert_allclose(total, 1.0, rtol=1e-14)
    if name in ("a cause set", "a cause set at random", "an effect seen"):
        other = SITUATIONS[name](PROGRAM).probability("Z", 1).draws
        np.testing.assert_allclose(other, query.probability("Z", 1).draws, rtol=1e-9)


def test_its_average_is_the_predictive_density() -> None:
    query = TABLES.do(T=1)
    found = [float(query.probability("Y", level).value) for level in range(3)]
    np.testing.assert_allclose(found, query.log_density("Y", [0.0, 1.0, 2.0]).exp(), rtol=1e-14)


REGRESSIONS = fit_of(
    CausalMixture(
        2,
        {
            "X": Gaussian(),
            "O": OrderedLogistic(3, parents=["X"]),
            "M": MultinomialLogit(3, parents=["X"]),
            "C": PoissonRegression(parents=["X"]),
        },
    ),
    draws_of(
        theta=THETA[:1],
        mu_X=[[0.0, 1.0]],
        sigma_X=[[1.0, 0.5]],
        beta_O=[[[1.0, 0.8], [0.5, -0.5]]],
        gap_O=[[[2.0], [2.5]]],
        beta_M=[[[[0.2, 0.5], [-0.3, 1.0]], [[0.1, -0.4], [0.6, 0.3]]]],
        beta_C=[[[0.2, 0.5], [0.4, -0.6]]],
    ),
)


def by_integration(of: Any) -> float:
    """Σ_z θ_z ∫ of(z, x) N(x; μ_z, σ_z) dx."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    total = 0.0
    for z, (mu, sigma) in enumerate(((0.0, 1.0), (1.0, 0.5))):
        total += THETA[0, z] * float((weights * of(z, mu + sigma * nodes)).sum() / np.sqrt(2.0 * np.pi))
    return total


def test_below_a_continuous_cause_by_integration() -> None:
    query = REGRESSIONS.do(Z=dist.Categorical(torch.as_tensor(THETA[0])))
    line, gap = np.array([[1.0, 0.8], [0.5, -0.5]]), np.array([2.0, 2.5])
    middle = by_integration(
        lambda z, x: expit(gap[z] - line[z, 0] - line[z, 1] * x) - expit(-line[z, 0] - line[z, 1] * x)
    )
    assert float(query.probability("O", 1)) == pytest.approx(middle, abs=1e-9)
    beta = np.array([[[0.2, 0.5], [-0.3, 1.0]], [[0.1, -0.4], [0.6, 0.3]]])

    def last(z: int, x: np.ndarray) -> np.ndarray:
        scores = [np.zeros_like(x), *(row[0] + row[1] * x for row in beta[z])]
        return np.asarray(softmax(np.array(scores), 0)[2])

    assert float(query.probability("M", 2)) == pytest.approx(by_integration(last), abs=1e-9)
    lines = np.array([[0.2, 0.5], [0.4, -0.6]])
    twice = by_integration(lambda z, x: poisson.pmf(2, np.exp(lines[z, 0] + lines[z, 1] * x)))
    assert float(query.probability("C", 2)) == pytest.approx(twice, abs=1e-9)
    for name, levels in (("O", range(3)), ("M", range(3)), ("C", range(60))):
        total = sum(float(query.probability(name, level)) for level in levels)
        assert total == pytest.approx(1.0, abs=1e-9)
    ranks = sum(level * float(query.probability("O", level)) for level in range(3))
    assert ranks == pytest.approx(float(query.mean("O")), abs=1e-9)


def test_what_is_simulated_states_its_error() -> None:
    both = fit_of(
        CausalMixture(1, {"A": Gaussian(), "B": Gaussian(), "T": Logistic(parents=["A", "B"])}),
        draws_of(
            theta=[[1.0]], mu_A=[[0.0]], sigma_A=[[1.0]], mu_B=[[0.0]], sigma_B=[[1.0]], beta_T=[[[0.3, 1.0, 1.0]]]
        ),
    )
    answer = both.do(Z=0).probability("T", 1)
    nodes, weights = np.polynomial.hermite_e.hermegauss(200)
    truth = float((weights * expit(0.3 + np.sqrt(2.0) * nodes)).sum() / weights.sum())
    assert answer.error is not None
    assert abs(float(answer) - truth) < 5.0 * float(answer.error.max()) < 0.1


# ---------------------------------------------------------------- fits, names, effects


ROWS = np.random.default_rng(3)
Z = ROWS.random(600) < 0.45
T = (ROWS.random(600) < np.where(Z, 0.75, 0.25)) * 1.0
W = np.where(Z, 3.0, 0.0) + ROWS.normal(size=600)
CHANCES = softmax(np.stack([np.zeros(600), 0.4 * T + Z, -0.5 + T - Z], 1), 1)
Y = (ROWS.random(600)[:, None] > np.cumsum(CHANCES, 1)[:, :2]).sum(1)
NAMES = np.array(["home", "ward", "death"])
FRAME = {"T": np.where(T > 0, "treated", "control"), "W": W, "Y": NAMES[Y]}
MODEL = CausalMixture(2, {"T": Bernoulli(), "W": Gaussian(shared=["scale"]), "Y": Categorical(3, parents=["T"])})


@pytest.fixture(scope="module")
def fit() -> Fit:
    return EM(progress_bar=False).fit(MODEL, Data(**FRAME), seed=0)


def test_by_name_and_by_number(fit: Fit) -> None:
    query = fit.do(T="treated")
    found = {name: float(query.probability("Y", name)) for name in NAMES}
    assert sum(found.values()) == pytest.approx(1.0)
    # Levels of text are numbered in the order of the alphabet.
    assert [float(query.probability("Y", k)) for k in range(3)] == [found[name] for name in sorted(NAMES)]
    under_treatment = softmax(np.stack([np.zeros(600), 0.4 + Z, 0.5 - Z], 1), 1)
    truth = dict(zip(NAMES, under_treatment.mean(0), strict=True))
    assert all(abs(found[name] - truth[name]) < 0.12 for name in NAMES)


def test_effects_on_an_event(fit: Fit) -> None:
    one, other = (float(fit.do(T=level).probability("Y", "death")) for level in ("treated", "control"))
    of = {"of": "T", "levels": ("control", "treated"), "event": "death"}
    assert float(fit.effect("Y", **of)) == pytest.approx(one - other, rel=1e-12)
    assert float(fit.effect("Y", **of, scale=Ratio())) == pytest.approx(one / other, rel=1e-12)
    odds = one / (1 - one) / (other / (1 - other))
    assert float(fit.effect("Y", **of, scale=OddsRatio())) == pytest.approx(odds, rel=1e-12)
    contrast = fit.contrast("Y", do={"T": "treated"}, versus={"T": "control"}, event="death")
    assert float(contrast) == pytest.approx(one - other, rel=1e-12)
    by_event = [float(fit.effect("Y", of="T", levels=(0, 1), event=name)) for name in NAMES]
    assert sum(by_event) == pytest.approx(0.0, abs=1e-12)
    by_class = fit.effect("Y", of="T", levels=(0, 1), event="death", within="Z")
    p = fit["p_Y"].numpy()
    np.testing.assert_allclose(by_class.draws[0], p[:, 1, 0] - p[:, 0, 0], rtol=1e-12)


def test_pictures_of_an_event(fit: Fit) -> None:
    ax = fit.plot.effect("Y", of="T", event="death")
    expected = [float(fit.do(T=level).probability("Y", "death")) for level in ("control", "treated")]
    (line,) = [line for line in ax.get_lines() if line.get_gid() == "set"]
    np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-12)
    assert ax.get_ylabel() == "P(Y = death)" and "on P(Y = death)" in ax.get_title(loc="left")
    *_, panel = plot_compare([fit, fit], greeks="theta", effect={"name": "Y", "of": "T", "event": "death"})
    assert panel.get_title(loc="left") == "effect of T on P(Y = death)"


def test_on_the_treated_by_sums(fit: Fit) -> None:
    found = fit.effect("Y", of="T", levels=(0, 1), event="death", given={"T": 1})
    theta, p_T, p = (fit[name].numpy() for name in ("theta", "p_T", "p_Y"))
    shares = theta * p_T / (theta * p_T).sum()
    assert float(found) == pytest.approx(float(shares @ (p[:, 1, 0] - p[:, 0, 0])), abs=1e-12)


def test_of_two_levels_its_profile_is_that_of_the_mean() -> None:
    model = CausalMixture(1, {"T": Bernoulli(), "Y": Bernoulli(parents=["T"])})
    rows = {"T": [0.0, 0, 0, 0, 1, 1, 1, 1, 1], "Y": [0.0, 1, 0, 0, 1, 1, 0, 1, 1]}
    two = EM(progress_bar=False).fit(model, rows, seed=0)
    plain, event = two.effect("Y", of="T"), two.effect("Y", of="T", event=1)
    np.testing.assert_allclose(event.profile(0.9), plain.profile(0.9), rtol=1e-9)
    minus = two.effect("Y", of="T", event=0).profile(0.9)
    np.testing.assert_allclose(minus, [[-high, -low] for low, high in plain.profile(0.9)], rtol=1e-6)


def test_rivals_answer_too_and_a_question_is_stored() -> None:
    """Two answers of one likelihood: a class of another size."""
    rng = np.random.default_rng(0)
    z = rng.random(400) < 0.5
    t = (rng.random(400) < np.where(z, 0.8, 0.2)) * 1.0
    model = CausalMixture(2, {"T": Bernoulli(), "Y": LinearGaussian(parents=["T"])})
    two = fit_quietly(EM(), model, Data(T=t, Y=3.0 * z - t + rng.normal(size=400)), 0)
    answer, mean = (getattr(two.given(T=1), ask)("Z", *at) for ask, at in (("probability", [1]), ("mean", [])))
    assert len(answer.rivals) == 1
    np.testing.assert_allclose(answer.rivals, mean.rivals, rtol=1e-12)
    copy = pickle.loads(pickle.dumps(two.given(T=1))).probability("Z", 1)
    np.testing.assert_array_equal(copy.draws, answer.draws)


def test_labels_have_a_probability_each() -> None:
    found = [float(THREE.given(X=1.0).probability("Z", k)) for k in range(3)]
    weights = np.array([0.2, 0.3, 0.5]) * norm.pdf(1.0, [0.0, 1.0, 5.0])
    np.testing.assert_allclose(found, weights / weights.sum(), rtol=1e-12)
    assert float(NAMED.given(X=1.0).probability("Z", "b")) == found[1]
    # What is set has its value with certainty, also where it is continuous.
    assert [float(THREE.do(X=5.0).probability("X", value)) for value in (5.0, 4.0)] == [1.0, 0.0]


THREE = Fit.from_greeks(GaussianMixture(3), {"theta": [0.2, 0.3, 0.5], "mu_X": [0.0, 1.0, 5.0]})
NAMED = THREE.relabel({"a": 0, "b": 1, "c": 2})
VECTORS = Fit.from_greeks(
    CausalMixture(1, {"V": DiagonalGaussian(2)}), {"theta": [1.0], "mu_V": [[0.0, 0.0]], "sigma_V": [[1.0, 1.0]]}
)


@pytest.mark.parametrize(
    ("call", "error", "parts"),
    [
        case("continuous", lambda: MIXTURE.do(T=1).probability("Y", 0.0), ValueError, "Y is continuous"),
        case("of a program", lambda: PROGRAM.do(T=1).probability("Y", 0.0), ValueError, "Y is continuous"),
        case("vectors", lambda: VECTORS.do(Z=0).probability("V", [0.0, 0.0]), ValueError, "V is a column of vectors"),
        case("no level", lambda: TABLES.do(T=1).probability("Y", 3), ValueError, "Y has [0.0, 1.0, 2.0]", "got 3"),
        case("no name", lambda: TABLES.do(T=1).probability("Y", "c"), TypeError, "probability: ", "'c'"),
        case("several", lambda: TABLES.do(T=1).probability("Y", [0, 1]), TypeError, "expected one value of Y"),
        case("shares", lambda: TABLES.effect("Y", of="T", event={"0": 1.0}), TypeError, "event: expected one value"),
        case("infinite", lambda: REGRESSIONS.do(Z=1).probability("C", np.inf), ValueError, "C has whole numbers"),
        case("no number", lambda: REGRESSIONS.do(Z=1).probability("C", np.nan), ValueError, "C has whole numbers"),
        case("text", lambda: REGRESSIONS.effect("C", of="Z", event="x"), TypeError, "event: expected one value of C"),
        case("no label", lambda: NAMED.do(X=1.0).probability("Z", 5), ValueError, "['a', 'b', 'c'], or 0 to 2,"),
        case("no variable", lambda: TABLES.do(T=1).probability("U", 1), ValueError, "expected a variable among"),
        case("half", lambda: REGRESSIONS.do(Z=1).probability("C", 0.5), ValueError, "C has whole numbers", "got 0.5"),
        case(
            "no event", lambda: TABLES.effect("Y", of="T", event=7), ValueError, "event: Y has [0.0, 1.0, 2.0]", "got 7"
        ),
        case("labels", lambda: THREE.do(Z=0).mean("Z"), ValueError, "Z has labels", ".probability('Z', 1)"),
        case("odds", lambda: TABLES.effect("Y", of="T", scale=OddsRatio()), ValueError, "name one of them, event="),
    ],
)
def test_what_has_no_probability(call: Any, error: type[Exception], parts: tuple[str, ...]) -> None:
    with refused(error, *parts):
        call()


def test_normal_tails_check_the_quadrature() -> None:
    """P(O = 0) of the first class by SciPy's integral."""
    query = REGRESSIONS.do(Z=0)
    average = norm.expect(lambda x: expit(-1.0 - 0.8 * x))
    assert float(query.probability("O", 0)) == pytest.approx(float(average), abs=1e-8)
