"""Names of labels: in questions, tables and files, along with their components; and labels that are not sure."""

import copy
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch

from estimators import EM, MAP, CausalMixture, Data, EstimationWarning, Exact, Fit, GaussianMixture, PyroModel, Status
from estimators.fits.label_doubt import CERTAIN
from estimators.mechanisms import Bernoulli, Gaussian
from tests.models import rows_of

MODEL = GaussianMixture(K=2, concentration=2.0)
GREEKS = {"theta": [0.25, 0.75], "mu_X": [-2.0, 3.0]}
TRUTH = Fit.from_greeks(MODEL, GREEKS)
NAMES = {"high": 1, "low": 0}
NAMED = TRUTH.relabel(NAMES)
ROWS = rows_of(MODEL, 60, separation=8.0)
POINT = EM(num_starts=3).fit(MODEL, ROWS, seed=0)
DRAWS = Exact(num_draws=40).fit(MODEL, Data(X=[-4.0, -3.0, 3.0, 4.0]), seed=0)


# ------------------------------------------------------------------ questions


@pytest.mark.parametrize("fit", [TRUTH, POINT, DRAWS], ids=["known", "point", "draws"])
def test_a_name_asks_what_its_number_does(fit: Fit) -> None:
    named = fit.relabel(NAMES)
    for name, number in NAMES.items():
        expected = fit.do(Z=number).mean("X").draws
        assert not torch.equal(expected, fit.do(Z=1 - number).mean("X").draws), "else the test could not fail"
        assert torch.equal(named.do(Z=name).mean("X").draws, expected)
        assert torch.equal(named.do(Z=number).mean("X").draws, expected)
        assert torch.equal(named.given(Z=name).mean("X").draws, expected)


def test_contrasts_take_names() -> None:
    expected = TRUTH.contrast("X", do={"Z": 1}, versus={"Z": 0}).value
    assert NAMED.contrast("X", do={"Z": "high"}, versus={"Z": "low"}).value == expected == 5.0


@pytest.mark.parametrize(
    "per_row",
    [
        ["high", "low", "low"],
        ("high", "low", "low"),
        np.array(["high", "low", "low"]),
        np.array(["high", "low", "low"], dtype=object),
        ["high", 0, "low"],
    ],
    ids=["list", "tuple", "text array", "object array", "names and numbers"],
)
def test_names_per_row(per_row: Any) -> None:
    assert NAMED.do(Z=per_row).mean("X").value.tolist() == [3.0, -2.0, -2.0]


@pytest.mark.parametrize("numbers", [1, [1, 0], np.array([1, 0]), torch.tensor([1, 0]), torch.tensor(1)])
def test_numbers_are_left_as_they_are(numbers: Any) -> None:
    assert torch.equal(NAMED.do(Z=numbers).mean("X").draws, TRUTH.do(Z=numbers).mean("X").draws)


@pytest.mark.parametrize("asked", ["middle", ["low", "middle"]])
def test_an_unknown_name_is_answered_with_the_known_ones(asked: Any) -> None:
    for what in (NAMED.do, NAMED.given):
        with pytest.raises(ValueError, match=r"Z has no label 'middle'; it has \['low', 'high'\]"):
            what(Z=asked)


def test_names_are_those_of_the_hidden_cause_alone() -> None:
    model = CausalMixture(2, {"T": Bernoulli(), "X": Gaussian(scale=1.0)})
    fit = Fit.from_greeks(model, {"theta": [0.5, 0.5], "p_T": [0.1, 0.9], "mu_X": [0.0, 1.0]}).relabel(NAMES)
    with pytest.raises(TypeError, match="T expects"):
        fit.do(T="high")


def test_a_fit_without_names_takes_none() -> None:
    with pytest.raises(TypeError, match="Z expects a label from 0 to 1"):
        TRUTH.do(Z="high")


# ------------------------------------------------------------------ what may be a name


@pytest.mark.parametrize(
    ("names", "error"),
    [
        pytest.param({"low": 0}, ValueError, id="one is missing"),
        pytest.param({}, ValueError, id="all are missing"),
        pytest.param({"low": 0, "high": 0}, ValueError, id="a label twice"),
        pytest.param({"low": 0, "high": 2}, ValueError, id="outside"),
        pytest.param({"low": 0, "high": 1, "top": 2}, ValueError, id="one too many"),
        pytest.param({0: 0, 1: 1}, TypeError, id="numbers as names"),
        pytest.param({"": 0, "high": 1}, TypeError, id="an empty name"),
        pytest.param({"low": False, "high": True}, TypeError, id="booleans"),
        pytest.param({"low": "0", "high": "1"}, TypeError, id="text"),
        pytest.param({"low": 0.0, "high": 1.0}, TypeError, id="fractions"),
    ],
)
def test_what_was_expected_is_said(names: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r'relabel: expected .*"name 0": 0, "name 1": 1'):
        TRUTH.relabel(names)


def test_names_may_be_given_anew() -> None:
    again = NAMED.relabel({"small": 0, "large": 1})
    assert again.label_names == ("small", "large")
    assert NAMED.label_names == ("low", "high"), "a fit does not change"


# ------------------------------------------------------------------ tables, and names that go along


def test_the_summary_has_names_on_the_axes_of_components_alone() -> None:
    assert list(NAMED.summary().index) == ["theta[low]", "theta[high]", "mu_X[low]", "mu_X[high]"]
    model = CausalMixture(2, {"X": Gaussian(scale=dist.HalfNormal(1.0), shared=["scale"])})
    fit = Fit.from_greeks(model, model.prior_greeks(seed=0)).relabel(NAMES)
    assert "sigma_X" in fit.summary().index
    assert list(TRUTH.summary().index) == ["theta[0]", "theta[1]", "mu_X[0]", "mu_X[1]"]


def test_weights_by_level_of_an_observed_cause_have_numbers_and_names() -> None:
    model = CausalMixture(2, {"W": Bernoulli(), "X": Gaussian(scale=1.0)}, latent_parents=["W"])
    fit = Fit.from_greeks(model, model.prior_greeks(seed=0)).relabel(NAMES)
    assert list(fit.summary().index) == [
        *("theta[0, low]", "theta[0, high]", "theta[1, low]", "theta[1, high]"),
        *("p_W", "mu_X[low]", "mu_X[high]"),
    ]


def test_names_go_along_with_their_components() -> None:
    swapped = NAMED.relabel([1, 0])
    assert swapped.label_names == ("high", "low")
    for name in NAMES:
        assert torch.equal(swapped.do(Z=name).mean("X").draws, NAMED.do(Z=name).mean("X").draws)
        assert swapped.summary().loc[f"mu_X[{name}]", "mean"] == NAMED.summary().loc[f"mu_X[{name}]", "mean"]
    assert swapped.do(Z=0).mean("X").value == 3.0, "the numbers did change"
    model = GaussianMixture(K=3)
    three = Fit.from_greeks(model, {"theta": [0.2, 0.3, 0.5], "mu_X": [0.0, 1.0, 2.0]})
    turned = three.relabel({"a": 0, "b": 1, "c": 2}).relabel([2, 0, 1])
    assert turned.label_names == ("c", "a", "b")
    assert [turned.do(Z=name).mean("X").value.item() for name in "abc"] == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("fit", [TRUTH, POINT, DRAWS], ids=["known", "point", "draws"])
def test_names_survive_the_file_and_copies(fit: Fit, tmp_path: Path) -> None:
    named = fit.relabel(NAMES)
    named.save(tmp_path / "fit.npz")
    for other in (
        Fit.load(tmp_path / "fit.npz"),
        pickle.loads(pickle.dumps(named)),
        copy.copy(named),
        copy.deepcopy(named),
    ):
        assert other.label_names == ("low", "high")
        assert torch.equal(other.do(Z="high").mean("X").draws, named.do(Z="high").mean("X").draws)
        assert list(other.summary().index) == list(named.summary().index)
    fit.save(tmp_path / "plain.npz")
    assert Fit.load(tmp_path / "plain.npz").label_names == ()


def test_names_survive_laplace() -> None:
    spread = POINT.relabel(NAMES).relabel([1, 0]).laplace(50, seed=0)
    assert spread.label_names == ("high", "low")
    low, high = spread.do(Z="low").mean("X").interval(0.9), spread.do(Z="high").mean("X").interval(0.9)
    assert low[1] < high[0]


def test_names_are_the_coordinates_of_components_in_arviz() -> None:
    posterior = DRAWS.relabel(NAMES).to_arviz()["posterior"]
    assert posterior["Z_class"].values.tolist() == ["low", "high"]
    found = posterior["mu_X"].sel(Z_class="high").values.reshape(-1)
    assert np.array_equal(found, DRAWS.draws["mu_X"][:, 1].numpy())
    assert DRAWS.to_arviz()["posterior"]["Z_class"].values.tolist() == [0, 1]


def test_a_file_with_names_that_do_not_fit_is_damaged(tmp_path: Path) -> None:
    Fit(**{**_fields(TRUTH), "label_names": ("low", "high", "top")}).save(tmp_path / "fit.npz")
    with pytest.raises(ValueError, match="damaged"):
        Fit.load(tmp_path / "fit.npz")


def _fields(fit: Fit) -> dict[str, Any]:
    return {name: getattr(fit, name) for name in ("model", "kind", "draws", "num_chains", "status", "stats")}


# ------------------------------------------------------------------ programs


def clinic(N: int) -> None:
    theta = pyro.sample("theta", dist.Dirichlet(2.0 * torch.ones(2)))
    with pyro.plate("severities", 2):
        mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
    with pyro.plate("rows", N):
        severity = pyro.sample("severity", dist.Categorical(theta))
        pyro.sample("X", dist.Normal(mu[severity], 1.0))


def test_the_labels_of_a_program_have_names_where_they_are_known() -> None:
    fit = EM(num_starts=3).fit(PyroModel(clinic, order_by="mu"), {"X": ROWS.columns["X"]}, seed=0)
    named = fit.relabel({"mild": 0, "severe": 1})
    for name, number in (("mild", 0), ("severe", 1)):
        assert torch.equal(named.do(severity=name).mean("X").draws, fit.do(severity=number).mean("X").draws)
    assert set(named.summary().index) == {"theta[mild]", "theta[severe]", "mu[mild]", "mu[severe]"}
    swapped = named.relabel([1, 0])
    assert torch.equal(swapped.do(severity="mild").mean("X").draws, named.do(severity="mild").mean("X").draws)
    spread = named.laplace(20, seed=0).to_arviz()["posterior"]
    assert spread["severity_class"].values.tolist() == ["mild", "severe"]
    with pytest.raises(ValueError, match="severity has no label 'dire'"):
        named.do(severity="dire")


def test_where_a_programs_labels_are_not_known_a_name_is_refused() -> None:
    draws = {"theta": torch.tensor([[0.4, 0.6]]).double(), "mu": torch.tensor([[0.0, 3.0]]).double()}
    fit = Fit(PyroModel(clinic), "ml", draws, 1, Status.CONVERGED, {}, data=Data(X=ROWS.columns["X"]))
    with pytest.raises(ValueError, match=r"labels of this program cannot be named.*order_by"):
        fit.relabel({"mild": 0, "severe": 1})


# ------------------------------------------------------------------ labels nobody can be sure of


def unsure(certainty: float) -> Fit:
    """A fit whose labels have this certainty."""
    return Fit(**{**_fields(POINT), "stats": {"label_certainty": certainty}}, data=ROWS)


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(lambda fit: fit.do(Z=1), id="do"),
        pytest.param(lambda fit: fit.given(Z=1), id="given"),
        pytest.param(lambda fit: fit.contrast("X", do={"Z": 1}, versus={"Z": 0}), id="contrast"),
        pytest.param(lambda fit: fit.relabel(NAMES).do(Z="high"), id="by name"),
    ],
)
def test_a_question_that_names_unsure_labels_warns(asked: Any) -> None:
    with pytest.warns(EstimationWarning, match=r"Z: .*label_certainty 0\.6.* more rows.* fewer components"):
        asked(unsure(0.6))


def test_it_warns_once_per_fit() -> None:
    fit = unsure(CERTAIN / 2)
    with pytest.warns(EstimationWarning) as caught:
        fit.do(Z=1)
        fit.do(Z=0)
        fit.contrast("X", do={"Z": 1}, versus={"Z": 0})
    assert len(caught) == 1
    assert caught[0].filename == __file__, "it points at the caller's line"


def test_sure_labels_and_other_questions_do_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        unsure(CERTAIN).do(Z=1)
        unsure(CERTAIN / 2).do(X=1.0)
        unsure(CERTAIN / 2).given(X=1.0)
        unsure(CERTAIN / 2).summary()
        TRUTH.do(Z=1)


def test_one_cluster_fitted_with_two_components_warns() -> None:
    """The mode has two components in one place, so that nothing tells their labels apart."""
    fit = MAP(num_starts=10, num_steps=20).fit(MODEL, {"X": np.linspace(-1.0, 1.0, 40)}, seed=0)
    assert fit.stats["label_certainty"] < CERTAIN <= DRAWS.stats["label_certainty"]
    with pytest.warns(EstimationWarning, match="label_certainty"):
        fit.do(Z=1)
