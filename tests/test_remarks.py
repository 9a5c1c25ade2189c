"""What rows say by themselves is named as such, and not taken for too many classes."""

import re
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pyro
import pyro.distributions as dist
import pytest
import torch

from estimators import EM, MAP, CausalMixture, Data, EstimationWarning, GaussianMixture, PyroModel, Status
from estimators.contract import Model
from estimators.data.remarks import Remark, collinear, point_mass
from estimators.fits.edge_words import words_at_ends
from estimators.mechanisms import (
    Bernoulli,
    Categorical,
    DiagonalGaussian,
    FullGaussian,
    Gaussian,
    LinearGaussian,
    Logistic,
    NegativeBinomial,
    Poisson,
)
from tests.mechanism_models import MODELS, drawn_rows, random_greeks
from tests.models import fit_quietly

RNG = np.random.default_rng(0)
Y = RNG.normal(np.where(RNG.random(200) < 0.5, 3.0, -3.0), 1.0)
T = RNG.normal(size=200)
ZEROS = np.where(RNG.random(200) < 0.3, 0.0, Y)
SIDE = (T > 0) * 1
QUICK = EM(num_starts=3)


def pair(mechanism: Any) -> CausalMixture:
    return CausalMixture(2, {"T": mechanism, "Y": Gaussian()})


def line(**parents: Any) -> CausalMixture:
    return CausalMixture(2, {**parents, "Y": LinearGaussian(parents=list(parents))})


CASES: dict[str, tuple[Model, dict[str, Any], str]] = {
    "an unused level": (pair(Categorical(3)), {"T": SIDE, "Y": Y}, "column T has no row with level 2: leave it out"),
    "unused levels": (
        pair(Categorical(9)),
        {"T": SIDE, "Y": Y},
        "no row with levels 2, 3, 4, 5 and 3 more: leave them",
    ),
    "one level": (pair(Categorical(3)), {"T": 0 * SIDE + 1, "Y": Y}, "column T has the value 1 in every row"),
    "a coin": (pair(Bernoulli()), {"T": 0 * SIDE, "Y": Y}, "column T has the value 0 in every row: it tells nothing"),
    "a count": (pair(Poisson()), {"T": 0 * SIDE, "Y": Y}, "column T has the value 0 in every row: it tells nothing"),
    "a constant": (pair(Gaussian()), {"T": 0 * T + 1, "Y": Y}, "column T has the value 1 in every row: .* its scale"),
    "a constant place": (
        CausalMixture(2, {"X": DiagonalGaussian(2)}),
        {"X": np.c_[Y, 0 * Y + 5]},
        "column X at place 1 has the value 5 in every row",
    ),
    "a point mass": (CausalMixture(2, {"Y": Gaussian()}), {"Y": ZEROS}, "column Y has the value 0 in 3.% of the rows"),
    "collinear columns": (
        CausalMixture(2, {"X": FullGaussian(3)}),
        {"X": np.c_[Y, T, 2 * Y + 1]},
        "column X has collinear columns, numbers 0, 2: their covariance is singular",
    ),
    "few rows": (CausalMixture(1, {"X": FullGaussian(3)}), {"X": np.c_[Y, T, Y * T][:3]}, "has 3 rows of 3 columns"),
    "collinear inputs": (
        line(T=Gaussian(), W=Gaussian()),
        {"T": T, "W": 3 - T, "Y": Y},
        "column Y has collinear inputs, T, W: only a combination",
    ),
    "a constant input": (
        line(T=Gaussian()),
        {"T": 0 * T + 2, "Y": Y},
        "column Y has an input T that is 2 in every row",
    ),
    "an unused input": (line(T=Categorical(3)), {"T": SIDE, "Y": Y}, r"input T=2 that is 0 in every row"),
    "an interaction that no row has": (
        CausalMixture(2, {"T": Bernoulli(), "W": Bernoulli(), "Y": LinearGaussian(["T", "W", "T:W"])}),
        {"T": SIDE, "W": 1 - SIDE, "Y": Y},
        "column Y has an input T:W that is 0 in every row: its coefficient is open; leave it out",
    ),
    "an interaction that is another": (
        CausalMixture(2, {"T": Bernoulli(), "A": Gaussian(), "Y": Logistic(["T", "A", "T:A"])}),
        {"T": SIDE, "A": T * SIDE, "Y": SIDE},
        "column Y has collinear inputs, A, T:A: only a combination of their coefficients is determined; leave one",
    ),
    "an exact copy": (
        CausalMixture(2, {"T": Gaussian(), "W": Gaussian(), "Y": Poisson(), "C": NegativeBinomial(["T", "W"])}),
        {"T": T, "W": T, "Y": SIDE, "C": SIDE},
        "column C has collinear inputs, T, W: only a combination",
    ),
    "an unseen level with a name": (
        line(T=Categorical(3)),
        {"T": pd.Categorical(["a", "b"] * 100, ["a", "b", "c"]), "Y": Y},
        "column Y has an input T=c that is 0 in every row",
    ),
    "a line": (line(T=Gaussian()), {"T": T, "Y": 2 * T + 3}, "column Y is a line of T without noise"),
    "more classes than rows": (GaussianMixture(4), {"X": [1.0, 2.0, 2.0]}, "4 components for 2 distinct rows"),
}


def remarks(model: Model, rows: dict[str, Any], **options: Any) -> list[Remark]:
    return model.density(Data(rows, **options)).remarks()


@pytest.mark.parametrize(("model", "rows", "words"), CASES.values(), ids=CASES)
def test_what_is_the_matter_is_named(model: Model, rows: dict[str, Any], words: str) -> None:
    assert re.search(words, "\n".join(map(str, remarks(model, rows))))


@pytest.mark.parametrize("name", MODELS)
def test_nothing_is_the_matter_with_ordinary_rows(name: str) -> None:
    """The control: rows of every family, at Greeks at which no level is rare, of which there is nothing to say."""
    model = MODELS[name]
    drawn = drawn_rows(model, 2_000, random_greeks(model, 0), 0)
    assert not remarks(model, {column: drawn[column] for column in model.mechanisms})


def test_rounded_rows_are_no_point_mass() -> None:
    assert not point_mass(np.round(Y), is_scaled=True)
    assert not point_mass(np.array([0.0, 0.0, 0.0, 0.0, 9.0]), is_scaled=True), "too few to say"
    assert point_mass(np.where(RNG.random(200) < 0.2, 99.0, np.round(Y, 1)), is_scaled=True)


def test_a_point_mass_of_every_second_row_is_found_among_many() -> None:
    """Rows that are looked at are drawn: every second one of these is another number."""
    values = np.random.default_rng(0).normal(size=400_000)
    values[1::2] = 0.0
    assert point_mass(values, is_scaled=True)[0].what.startswith("has the value 0 in 50")


def test_nearly_collinear_is_not_collinear() -> None:
    columns = np.c_[Y, 1e6 + 2 * Y + 1e-3 * RNG.normal(size=200), np.full(200, 7.0), T]
    assert collinear(columns) == []
    columns[:, 1] = 1e6 + 2 * Y
    assert collinear(columns) == [0, 1]
    assert collinear(1e-90 * columns) == [0, 1]


def test_set_and_missing_entries_say_nothing_of_a_column() -> None:
    set_in_all = {"T": np.ones(200), "Y": Y}
    assert not remarks(pair(Gaussian()), set_in_all, intervened={"T": True})
    gaps = np.where(RNG.random(200) < 0.5, np.nan, 1.0)
    said = remarks(pair(Gaussian()), {"T": gaps, "Y": Y}, missing="marginalize")
    assert [remark.what for remark in said] == ["column T has the value 1 in every row"]


def test_a_program_says_it_of_its_sites() -> None:
    def program(N: int) -> None:
        mean = pyro.sample("mean", dist.Normal(0.0, 10.0).expand([2]).to_event(1))
        scale = pyro.sample("scale", dist.HalfNormal(5.0))
        with pyro.plate("rows", N):
            z = pyro.sample("z", dist.Bernoulli(0.5))
            pyro.sample("x", dist.Normal(mean[z.long()], 1.0))
            pyro.sample("c", dist.Normal(0.0, scale))
            pyro.sample("y", dist.Normal(0.0, 1.0))

    said = remarks(PyroModel(program), {"x": ZEROS, "c": np.ones(200), "y": T})
    assert [remark.what[:12] for remark in said] == ["column x has", "column c has"]


# ---------------------------------------------------------------- in a fit's advice


@pytest.mark.parametrize("case", ["a constant", "a constant place", "collinear columns", "a line"])
def test_a_collapse_has_its_cause(case: str) -> None:
    model, rows, words = CASES[case]
    fit = fit_quietly(QUICK, model, rows)
    assert fit.status is Status.COMPONENT_COLLAPSED
    (sentence,) = fit.advice
    assert re.search(words, sentence) and "fewer components" not in sentence


def test_a_collapse_of_too_many_classes_has_its_advice() -> None:
    fit = fit_quietly(QUICK, CausalMixture(2, {"X": Gaussian()}), {"X": [0.0, 0.0, 0.0, 0.0, 9.0]})
    collapsed, few = fit.advice
    assert collapsed == str(Status.COMPONENT_COLLAPSED) and "fewer components" in collapsed
    assert "has 5 observed entries for 4 free numbers" in few


def test_an_unused_level_explains_its_edge_alone() -> None:
    """Level 2 is in no row, level 1 in none of class 1."""
    rows = Data(X=[0, 1, 1, 0, 0, 0], Z=[0, 0, 0, 1, 1, 1])
    density = CausalMixture(2, {"X": Categorical(3)}).density(rows).beyond_priors()
    at = torch.tensor([[0.34, 0.66, 0.0], [1.0, 0.0, 0.0]]).double()
    about = words_at_ends(density, {"theta": torch.tensor([[0.5, 0.5]]).double(), "p_X": at[None]}, density.remarks())
    assert "p_X[0, 2] at 0, p_X[1, 2] at 0 (column X has no row with level 2: leave it out" in about
    assert "p_X[1, 1] at 0 (the rows show no other case" in about


def said_of_few(model: Model, rows: Data) -> list[str]:
    found = model.density(rows).beyond_priors().remarks()
    return [remark.what for remark in found if "free numbers" in remark.what]


def test_hardly_more_rows_than_greeks_are_said() -> None:
    """Two classes of a mean and a spread each take four numbers, of a line and a spread six."""
    few = {"T": T[:7], "Y": Y[:7]}
    said = fit_quietly(QUICK, line(T=Gaussian()), few).advice
    for words in ("Column T has 7 observed entries for 4 free", "Column Y has 7 observed entries for 6 free"):
        assert any(words in sentence for sentence in said), said
    assert not any("free numbers" in sentence for sentence in fit_quietly(MAP(), line(T=Gaussian()), few).advice)


def test_rows_for_each_greek_are_counted_by_weight_and_where_they_inform() -> None:
    normal = CausalMixture(2, {"X": Gaussian()})
    assert said_of_few(normal, Data(X=Y[:7])) == ["column X has 7 observed entries for 4 free numbers in its Greeks"]
    assert not said_of_few(normal, Data(X=Y[:8]))
    assert not said_of_few(normal, Data(X=Y[:4], weights=[2.0] * 4))
    is_set = np.arange(10) < 4
    assert said_of_few(normal, Data(X=Y[:10], intervened={"X": is_set}))[0].startswith("column X has 6 observed")
    gaps = np.where(is_set, np.nan, Y[:10])
    assert said_of_few(normal, Data(X=gaps, missing="marginalize"))[0].startswith("column X has 6 observed")
    assert not said_of_few(CausalMixture(2, {"X": Gaussian(scale=1.0)}), Data(X=Y[:4])), "known numbers are not free"
    assert said_of_few(normal, Data(X=Y[:30], weights=np.full(30, 0.1)))[0].startswith(
        "column X has entries that weigh 3"
    )
    vectors = CausalMixture(2, {"X": DiagonalGaussian(20)})
    assert not said_of_few(vectors, Data(X=RNG.normal(size=(40, 20)))), "every entry of a vector tells something"
    gaps = np.where(RNG.random((300, 3)) < 0.5, np.nan, RNG.normal(size=(300, 3)))
    assert not said_of_few(CausalMixture(2, {"X": FullGaussian(3)}), Data(X=gaps, missing="marginalize"))
    (alone,) = CausalMixture(1, {"X": Gaussian()}).density(Data(X=Y[:3])).beyond_priors().remarks()
    assert "lower K" not in alone.advice and "priors" in alone.advice
    shared = CausalMixture(2, {"T": Gaussian(), "Y": LinearGaussian(["T"], shared=["T"], scale=1.0)})
    assert len(said_of_few(shared, Data(T=T[:6], Y=Y[:6]))) == 1, "three numbers in Y, as classes share one"


def test_a_remark_is_said_once_and_without_a_warning() -> None:
    fit = fit_quietly(QUICK, *CASES["collinear inputs"][:2])
    assert sum("collinear" in sentence for sentence in fit.advice) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error", EstimationWarning)
        fit = MAP(num_starts=3, num_steps=5).fit(CausalMixture(2, {"Y": Gaussian()}), {"Y": ZEROS}, seed=0)
    assert fit.status is Status.CONVERGED
    assert fit.advice[1].startswith("Column Y has the value 0 in 3")
