"""Levels by name: text, categories and booleans in a data frame, and their names in all that is asked of a fit."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow
import pyro.distributions as dist
import pytest
import torch
import xarray

from estimators import EM, CausalMixture, Data, Fit
from estimators.data.data import as_data
from estimators.mechanisms import Bernoulli, Categorical, Gaussian, LinearGaussian
from tests.refusals import case, refused

TEXT = ["treated", "control", "treated"]
SORTED = ("control", "treated")
SOURCES: dict[str, Callable[[list[Any]], Any]] = {
    "a list": list,
    "NumPy objects": lambda rows: np.array(rows, dtype=object),
    "pandas text": pd.Series,
    "pandas string": lambda rows: pd.Series(rows, dtype="string"),
    "pandas objects": lambda rows: pd.Series(rows, dtype=object),
    "pandas of pyarrow": lambda rows: pd.Series(rows, dtype=pd.ArrowDtype(pyarrow.string())),
    "categories": lambda rows: pd.Series(pd.Categorical(rows)),
    "categories without a Series": pd.Categorical,
    "polars text": pl.Series,
    "polars Categorical": lambda rows: pl.Series(rows, dtype=pl.Categorical),
    "pyarrow": lambda rows: pyarrow.chunked_array([rows]),
    "masked": lambda rows: np.ma.MaskedArray([str(row) for row in rows], mask=[row is None for row in rows]),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_text_of_any_source_becomes_levels_in_sorted_order(source: Callable[[list[Any]], Any]) -> None:
    data = Data(T=source(TEXT))
    assert data.columns["T"].dtype == torch.int64
    assert data.columns["T"].tolist() == [1, 0, 1]
    assert dict(data.levels) == {"T": SORTED}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_missing_text_follows_the_rule_of_missing_numbers(source: Callable[[list[Any]], Any]) -> None:
    with refused(ValueError, "column T", "missing", "row(s) 1", "marginalize"):
        Data(T=source(["treated", None, "control"]))
    data = Data(T=source(["treated", None, "control"]), missing="marginalize")
    assert data.is_missing("T").tolist() == [False, True, False]
    assert data.columns["T"][[0, 2]].tolist() == [1.0, 0.0]
    assert dict(data.levels) == {"T": SORTED}


@pytest.mark.parametrize("array", [np.array, xarray.DataArray], ids=["NumPy text", "xarray"])
def test_arrays_of_text_become_levels(array: Callable[[list[str]], Any]) -> None:
    assert Data(T=array(TEXT)).columns["T"].tolist() == [1, 0, 1]


DECLARED: dict[str, Any] = {
    "pandas": pd.Categorical(["high", "low"], categories=["low", "middle", "high"]),
    "pandas, in order": pd.Categorical(["high", "low"], categories=["low", "middle", "high"], ordered=True),
    "polars": pl.Series(["high", "low"], dtype=pl.Enum(["low", "middle", "high"])),
    "pyarrow": pyarrow.DictionaryArray.from_arrays([2, 0], ["low", "middle", "high"]),
}


@pytest.mark.parametrize("column", DECLARED.values(), ids=DECLARED)
def test_categories_keep_their_own_order_and_those_without_rows(column: Any) -> None:
    data = Data(T=column)
    assert data.columns["T"].tolist() == [2, 0]
    assert data.levels["T"] == ("low", "middle", "high")


def test_a_missing_entry_of_a_dictionary_of_pyarrows_is_missing() -> None:
    column = pyarrow.array(["b", None, "a"]).dictionary_encode()
    assert Data(T=column, missing="marginalize").is_missing("T").tolist() == [False, True, False]


def test_bins_are_named_by_their_interval() -> None:
    assert Data(T=pd.cut(pd.Series([1.0, 2.0, 3.0]), [0.0, 1.5, 3.0])).levels["T"] == ("(0.0, 1.5]", "(1.5, 3.0]")


BOOLEANS: dict[str, Any] = {
    "a list": [True, True],
    "NumPy": np.array([True, True]),
    "torch": torch.tensor([True, True]),
    "pandas": pd.Series([True, True]),
    "pandas boolean": pd.Series([True, True], dtype="boolean"),
    "objects": pd.Series([True, True], dtype=object),
    "categories": pd.Categorical([True, True]),
    "polars": pl.Series([True, True]),
}


@pytest.mark.parametrize("column", BOOLEANS.values(), ids=BOOLEANS)
def test_booleans_are_zeros_and_ones_called_false_and_true(column: Any) -> None:
    data = Data(T=column)
    assert data.columns["T"].tolist() == [1, 1]
    assert data.levels["T"] == ("False", "True")


NUMBERS: dict[str, Any] = {
    "nullable": pd.Series([1, 0], dtype="Int64"),
    "objects": pd.Series([1, 0.0], dtype=object),
    "categories of numbers": pd.Categorical([1, 0]),
    "rows of booleans": torch.tensor([[True], [False]]),
}


@pytest.mark.parametrize("column", NUMBERS.values(), ids=NUMBERS)
def test_numbers_are_no_names(column: Any) -> None:
    data = Data(T=column)
    assert data.columns["T"].reshape(-1).tolist() == [1, 0]
    assert not data.levels


DATES = pd.to_datetime(["2020-01-01", "2020-01-03"])
NO_LEVELS = [
    case("dates", lambda: Data(D=DATES), TypeError, "column D", "dates", "datetime64", "D.min()).dt.days", "frame[["),
    case("dates with a zone", lambda: Data(D=DATES.tz_localize("UTC")), TypeError, "column D", "dates", "Timestamp"),
    case("durations", lambda: Data(D=DATES - DATES[0]), TypeError, "column D", "durations", "timedelta64"),
    case("Python's dates", lambda: Data(D=list(DATES.date)), TypeError, "column D", "dates", "date"),
    case("periods", lambda: Data(D=DATES.to_period("D")), TypeError, "column D", "dates", "Period"),
    case("categories of dates", lambda: Data(D=pd.Categorical(DATES)), TypeError, "column D", "dates"),
    case("text and numbers", lambda: Data(T=["a", 1.0]), TypeError, "column T", "'a' and 1.0", "to_numeric"),
    case("numbers as text", lambda: Data(T=["1", "2"]), TypeError, "column T", "a number: '1'", "to_numeric"),
    case("categories of such", lambda: Data(T=pd.Categorical(["1", "2"])), TypeError, "column T", "'1'", "to_numeric"),
    case("NaN as text", lambda: Data(T=["a", "nan"]), TypeError, "column T", "a number: 'nan'"),
    case("no name", lambda: Data(T=["a", " "]), ValueError, "column T", "empty name", "None where it is missing"),
    case("half a character", lambda: Data(T=["a", "\ud800"]), ValueError, "column T", "Unicode"),
    case("one name twice", lambda: Data(T=pd.Categorical([True, "True"])), ValueError, "column T", "'True'", "rename"),
    case("text in two dimensions", lambda: Data(T=[["a", "b"]]), TypeError, "column T", "2 dimensions", "'a'"),
    case("labels of text", lambda: Data(Z=["low", "high"]), TypeError, "column Z", "'high', 'low'", "fit.relabel({"),
]


@pytest.mark.parametrize(("call", "error", "parts"), NO_LEVELS)
def test_what_is_neither_numbers_nor_levels_is_refused(
    call: Callable[[], Any], error: type[Exception], parts: tuple[str, ...]
) -> None:
    with refused(error, *parts):
        call()


def test_names_stay_with_their_column() -> None:
    data = Data(T=TEXT, W=[True, False, True], X=[0.0, 1.0, 2.0], weights=[1, 2, 1])
    for other in (data.rows(torch.tensor([0, 2])), data.replace(X=[1.0, 1.0, 2.0]), pickle.loads(pickle.dumps(data))):
        assert dict(other.levels) == {"T": SORTED, "W": ("False", "True")}
    assert dict(data.replace(T=[0.0, 0.5, 1.0]).levels) == {"W": ("False", "True")}
    assert data.replace(T=["a", "b", "a"]).levels["T"] == ("a", "b")
    with pytest.raises(TypeError):
        data.levels["T"] = ("a", "b")  # type: ignore[index]


def test_parts_are_joined_by_the_names_of_their_levels() -> None:
    declared = pd.Categorical(["treated"], categories=["treated", "control", "placebo"])
    for parts, codes, names in (
        ((["treated"], ["control", "placebo"]), [2, 0, 1], ("control", "placebo", "treated")),
        ((["control", "treated"], declared), [1, 0, 0], ("treated", "control", "placebo")),
        (([True], [0, 1]), [1, 0, 1], ("False", "True")),
    ):
        data = Data.concat([Data(T=part) for part in parts])
        assert data.columns["T"].tolist() == codes
        assert data.levels["T"] == names
    with refused(ValueError, "column T", "'a', 'b'", "numbers in another"):
        Data.concat([Data(T=["a", "b"]), Data(T=[0, 1])])


# ------------------------------------------------------------------- a model and its data frame

MODEL = CausalMixture(
    2, {"W": Categorical(3), "T": Bernoulli(parents=["W"]), "Y": LinearGaussian(parents=["T"])}, concentration=2.0
)
TRUTH = {
    "theta": [0.4, 0.6],
    "p_W": [[0.2, 0.3, 0.5], [0.5, 0.3, 0.2]],
    "p_T": [[0.2, 0.3, 0.4], [0.6, 0.7, 0.8]],
    "beta_Y": [[0.0, -1.0], [3.0, -1.0]],
    "sigma_Y": [0.5, 1.0],
}
ROWS = {name: column for name, column in MODEL.simulate(300, TRUTH, seed=0).items() if name != "Z"}
AGES = ["young", "middle", "old"]
FRAME = pd.DataFrame(
    {
        "W": pd.Categorical.from_codes(ROWS["W"].numpy().astype(int), AGES, ordered=True),
        "T": np.where(ROWS["T"].numpy() == 1, "treated", "control"),
        "Y": ROWS["Y"].numpy(),
    },
    index=np.arange(300)[::-1],
)
NAMED, CODED = (EM(num_starts=2).fit(MODEL, rows, seed=0) for rows in (FRAME, ROWS))


def test_a_fit_to_names_is_the_fit_to_their_numbers_bit_for_bit() -> None:
    for name, value in CODED.draws.items():
        assert torch.equal(NAMED.draws[name], value), name
    assert torch.equal(NAMED.log_density(FRAME), CODED.log_density(ROWS))
    assert NAMED.data is not None
    assert dict(NAMED.data.levels) == {"W": tuple(AGES), "T": SORTED}


QUESTIONS: list[tuple[Callable[[Fit], Any], Callable[[Fit], Any]]] = [
    (lambda fit: fit.do(T="treated").mean("Y").draws, lambda fit: fit.do(T=1).mean("Y").draws),
    (lambda fit: fit.given(T="treated", W="old").mean("Y").draws, lambda fit: fit.given(T=1, W=2).mean("Y").draws),
    (
        lambda fit: fit.do(W="old").given(T="control").mean("Y").draws,
        lambda fit: fit.do(W=2).given(T=0).mean("Y").draws,
    ),
    (
        lambda fit: fit.contrast("Y", do={"T": "treated"}, versus={"T": "control"}, given={"W": "young"}).draws,
        lambda fit: fit.contrast("Y", do={"T": 1}, versus={"T": 0}, given={"W": 0}).draws,
    ),
    (lambda fit: fit.do(T=["treated", "control"]).mean("Y").draws, lambda fit: fit.do(T=[1, 0]).mean("Y").draws),
    (lambda fit: fit.do(T=FRAME["T"]).mean("Y").draws, lambda fit: fit.do(T=ROWS["T"]).mean("Y").draws),
    (lambda fit: fit.do(W=FRAME["W"]).mean("T").draws, lambda fit: fit.do(W=ROWS["W"]).mean("T").draws),
    (
        lambda fit: fit.do(T={"treated": 0.3, "control": 0.7}).mean("Y").draws,
        lambda fit: fit.do(T=dist.Bernoulli(torch.tensor(0.3, dtype=torch.float64))).mean("Y").draws,
    ),
    (
        lambda fit: fit.do(W={"young": 0.25, "old": 0.75}).mean("Y").draws,
        lambda fit: fit.do(W=dist.Categorical(torch.tensor([0.25, 0.0, 0.75]))).mean("Y").draws,
    ),
    (lambda fit: fit.do(W="old").log_density("T", "treated"), lambda fit: fit.do(W=2).log_density("T", 1)),
    (lambda fit: fit.given(T="treated").log_density("W", AGES), lambda fit: fit.given(T=1).log_density("W", [0, 1, 2])),
    (lambda fit: fit.given(Y=1.0).cdf("W", "middle"), lambda fit: fit.given(Y=1.0).cdf("W", 1)),
    (lambda fit: fit.do(T="treated").sample(5, seed=0)["Y"], lambda fit: fit.do(T=1).sample(5, seed=0)["Y"]),
    (
        lambda fit: fit.counterfactual(fit.data, do={"T": "treated"}, seed=0).mean("Y").draws,
        lambda fit: fit.counterfactual(fit.data, do={"T": 1}, seed=0).mean("Y").draws,
    ),
]


@pytest.mark.parametrize(("by_name", "by_number"), QUESTIONS)
def test_a_question_by_names_is_the_question_by_numbers(
    by_name: Callable[[Fit], Any], by_number: Callable[[Fit], Any]
) -> None:
    answer = by_number(CODED)
    assert torch.equal(by_name(NAMED), answer)
    assert torch.equal(by_number(NAMED), answer)


# The same rows as the first of the frame, with names numbered otherwise, or by their numbers.
AGAIN: dict[str, Any] = {
    "the frame": FRAME[:9],
    "one row": FRAME[:1],
    "other order": FRAME[:9].assign(
        W=pd.Categorical(FRAME["W"][:9].astype(str), categories=["old", "gone", *AGES[:2]])
    ),
    "text": FRAME[:9].assign(W=FRAME["W"][:9].astype(str)),
    "Data": Data(FRAME).rows(torch.arange(9)),
    "numbers": {name: column[:9] for name, column in ROWS.items()},
}


@pytest.mark.parametrize("rows", AGAIN.values(), ids=AGAIN)
def test_levels_of_other_rows_are_matched_by_name(rows: Any) -> None:
    number = len(as_data(rows))
    same = Data(ROWS).rows(torch.arange(number))
    assert torch.equal(NAMED.responsibilities(rows), CODED.responsibilities(same))
    assert torch.equal(NAMED.log_density(rows), CODED.log_density(same))
    assert torch.equal(
        NAMED.counterfactual(rows, do={"T": "treated"}, seed=0).mean("Y").draws,
        CODED.counterfactual(same, do={"T": 1}, seed=0).mean("Y").draws,
    )


def test_missing_entries_of_other_rows_stay_missing() -> None:
    rows = FRAME[:4].assign(T=["treated", None, "treated", "treated"])
    codes = {name: column[:4].double().clone() for name, column in ROWS.items()}
    codes["T"] = torch.tensor([1.0, torch.nan, 1.0, 1.0])
    expected = CODED.responsibilities(Data(codes, missing="marginalize"))
    assert torch.equal(NAMED.responsibilities(Data(rows, missing="marginalize")), expected)


UNSEEN = FRAME[:2].assign(T=["treated", "placebo"])
WRONG = [
    case("do", lambda: NAMED.do(T="placebo"), ValueError, "do: T", "'placebo'", "['control', 'treated']"),
    case("given", lambda: NAMED.given(W="Old"), ValueError, "given: W", "'Old'", str(AGES)),
    case("given after do", lambda: NAMED.do(T="treated").given(W="Old"), ValueError, "given: W", "'Old'", str(AGES)),
    case(
        "contrast",
        lambda: NAMED.contrast("Y", do={"T": "treated"}, versus={"T": "none"}),
        *(ValueError, "versus: T", "'none'", "['control', 'treated']"),
    ),
    case("at random", lambda: NAMED.do(T={"placebo": 1.0}), ValueError, "do: T", "'placebo'", "['control', 'treated']"),
    case("shares", lambda: NAMED.do(T={"treated": 0.3}), ValueError, "do: T", "probabilities that sum to 1", "0.3"),
    case("negative", lambda: NAMED.do(T={"treated": 2, "control": -1}), ValueError, "do: T", "probabilities", "-1"),
    case("shares of text", lambda: NAMED.do(T={"treated": "all"}), TypeError, "do: T", "expected numbers", "'all'"),
    case("seen at random", lambda: NAMED.given(T={"treated": 1.0}), ValueError, "given", "T expects a value"),
    case("a distribution of what has no names", lambda: CODED.do(T={"treated": 1.0}), TypeError, "do: T", "treated"),
    case("one of several rows", lambda: NAMED.do(T=["treated", "x"]), ValueError, "do: T", "'x'"),
    case("a point", lambda: NAMED.do(W="old").log_density("T", "x"), ValueError, "log_density: T", "'x'"),
    case("responsibilities", lambda: NAMED.responsibilities(UNSEEN), ValueError, "column T", "'placebo'", "row(s) 1"),
    case("log_density", lambda: NAMED.log_density(UNSEEN), ValueError, "column T", "'control', 'treated'"),
    case("rows", lambda: NAMED.counterfactual(UNSEEN, do={"T": 1}), ValueError, "column T", "'placebo'"),
    case(
        "counterfactual",
        lambda: NAMED.counterfactual(FRAME, do={"T": "placebo"}),
        *(ValueError, "counterfactual do: T", "'placebo'", "['control', 'treated']"),
    ),
    case("names of what has none", lambda: CODED.do(T="treated"), TypeError, "do: T", "'treated'"),
    case("rows where it has none", lambda: CODED.log_density(FRAME), ValueError, "column W", "numbers, 0 to 2"),
]


@pytest.mark.parametrize(("call", "error", "parts"), WRONG)
def test_a_name_that_no_level_has_is_refused_with_those_that_there_are(
    call: Callable[[], Any], error: type[Exception], parts: tuple[str, ...]
) -> None:
    with refused(error, *parts):
        call()


def test_booleans_and_zeros_and_ones_are_the_same_levels() -> None:
    flags = ROWS["T"] == 1
    by_flag = EM(num_starts=1).fit(MODEL, {**ROWS, "T": flags}, seed=0)
    assert torch.equal(by_flag.do(T=True).mean("Y").draws, by_flag.do(T="True").mean("Y").draws)
    assert torch.equal(by_flag.log_density(ROWS), by_flag.log_density({**ROWS, "T": flags}))
    assert torch.equal(CODED.log_density({**ROWS, "T": flags}), CODED.log_density(ROWS))
    with refused(ValueError, "column T", "'True'", "'control', 'treated'"):
        NAMED.log_density({**ROWS, "T": flags})


IDENTIFIERS = [f"patient {row}" for row in range(300)]
TEXT_DATES = ("column Y", "numbers for LinearGaussian", "days since the first", "pandas.to_datetime(Y)")
NOT_OF_THE_MODEL = [
    case("an identifier", {"T": IDENTIFIERS}, ValueError, "column T", "2 levels for Bernoulli", "300", "identifier"),
    case("one level", {"T": ["treated"] * 300}, ValueError, "column T", "2 levels", "got 1: 'treated'", "categories="),
    case(
        "a level too few", {"W": FRAME["T"]}, ValueError, "column W", "3 levels for Categorical", "got 2", "categories"
    ),
    case("text for a number", {"Y": IDENTIFIERS}, TypeError, "column Y", "numbers for LinearGaussian", "'patient 0'"),
    case("dates in text", {"Y": ["2023-01-03", "2023-02-01"] * 150}, TypeError, *TEXT_DATES),
    case("a date and a time", {"Y": ["2023-01-03 10:00", "2023-01-04 09:30"] * 150}, TypeError, *TEXT_DATES),
    case("days first", {"Y": ["3/1/2023", "31/1/2023"] * 150}, TypeError, *TEXT_DATES),
    case("months by name", {"Y": ["3 Jan 2023", "4 Jan 2023"] * 150}, TypeError, *TEXT_DATES),
    case(
        "others", {"a": 1.0, "b": ROWS["Y"]}, ValueError, "'b', 'a'", "['T', 'W', 'Y', 'Z']", 'frame[["W", "T", "Y"]]'
    ),
]


@pytest.mark.parametrize(("columns", "error", "parts"), NOT_OF_THE_MODEL)
def test_a_frame_that_does_not_fit_the_model_is_refused(
    columns: Any, error: type[Exception], parts: tuple[str, ...]
) -> None:
    with refused(error, *parts):
        EM().fit(MODEL, {**FRAME, **columns}, seed=0)


def test_levels_to_compare_are_asked_for_by_name() -> None:
    example = ("W, which has 3 levels", "such as ('young', 'middle')")
    with refused(ValueError, *example):
        NAMED.effect("Y", of="W")
    with refused(ValueError, *example):
        NAMED.plot.effect("Y", of="W", levels=["old"])


@pytest.mark.parametrize("text", ["patient 0", "control", "1 to 5", "10-20", "may"])
def test_other_text_is_not_taken_for_dates(text: str) -> None:
    with pytest.raises(TypeError, match="takes levels with names") as caught:
        EM().fit(MODEL, {**FRAME, "Y": [text] * 300}, seed=0)
    assert "dates" not in str(caught.value)


def test_the_family_that_takes_levels_is_named_by_their_number() -> None:
    for names, way_out in ((["a", "b"], r"Bernoulli\(\)"), (["a", "b", "c"], r"Categorical\(3\)")):
        with pytest.raises(TypeError, match=f"; {way_out} takes levels with names"):
            EM().fit(MODEL, {**FRAME, "Y": (names * 300)[:300]}, seed=0)
    with pytest.raises(ValueError, match=r"expected 2 levels for Bernoulli, got 3.*; Categorical\(3\) takes"):
        EM().fit(CausalMixture(2, {"A": Bernoulli()}), {"A": ["a", "b", "c"] * 10}, seed=0)


def test_numbers_with_a_decimal_comma_are_said_to_be_that() -> None:
    with pytest.raises(TypeError, match=r"a comma for a decimal point is read by pandas.read_csv\(..., decimal=','\)"):
        EM().fit(MODEL, {**FRAME, "Y": ["10,33", "9,5", "-1,25"] * 100}, seed=0)


def test_entries_of_the_greeks_are_called_by_the_names_of_levels() -> None:
    assert list(NAMED.summary().index) == [
        *("theta[0]", "theta[1]"),
        *(f"p_W[{k}, {age}]" for k in range(2) for age in AGES),
        *(f"p_T[{k}, {age}]" for k in range(2) for age in AGES),
        *(f"beta_Y[{k}, {name}]" for k in range(2) for name in ("intercept", "T=treated")),
        *("sigma_Y[0]", "sigma_Y[1]"),
    ]
    named = NAMED.relabel({"low": 0, "high": 1}).relabel([1, 0])
    assert list(named.summary().index[2:4]) == ["p_W[high, young]", "p_W[high, middle]"]


def test_questions_and_fits_with_names_can_be_pickled() -> None:
    expected = NAMED.do(T="treated").given(W="old").mean("Y").draws
    for one in (NAMED, NAMED.do(T="treated")):
        copied = pickle.loads(pickle.dumps(one))
        query = copied.do(T="treated") if isinstance(copied, Fit) else copied
        assert torch.equal(query.given(W="old").mean("Y").draws, expected)


def test_booleans_are_numbers_where_numbers_are_due() -> None:
    rows = {"X": [True, False, True, True]}
    fit = EM(num_starts=2).fit(CausalMixture(1, {"X": Gaussian(scale=1.0)}), rows, seed=0)
    assert fit["mu_X"].tolist() == [0.75]
    assert fit.data is not None and not fit.data.levels
    assert fit.log_density(rows).shape == (4,)


def test_names_of_the_causes_of_z_are_those_of_its_weights() -> None:
    model = CausalMixture(2, {"W": Bernoulli(), "X": Gaussian(scale=1.0)}, latent_parents=["W"])
    known = Fit.from_greeks(model, {"theta": [[0.2, 0.8], [0.5, 0.5]], "p_W": 0.5, "mu_X": [0.0, 1.0]})
    fit = replace(known, data=Data(W=TEXT, X=[0.0, 1.0, 2.0]))
    assert list(fit.summary().index[:3]) == ["theta[control, 0]", "theta[control, 1]", "theta[treated, 0]"]


def test_a_saved_fit_keeps_the_names(tmp_path: Path) -> None:
    gaps = FRAME.assign(T=FRAME["T"].where(np.arange(300) > 1))
    for fit in (NAMED, EM(num_starts=1).fit(MODEL, Data(gaps, missing="marginalize"), seed=0)):
        fit.save(tmp_path / "fit")
        loaded = Fit.load(tmp_path / "fit")
        assert loaded.data is not None and fit.data is not None
        assert dict(loaded.data.levels) == {"W": tuple(AGES), "T": SORTED}
        for name, column in fit.data.columns.items():
            assert loaded.data.columns[name].dtype == column.dtype
            torch.testing.assert_close(loaded.data.columns[name], column, rtol=0, atol=0, equal_nan=True)
        assert torch.equal(loaded.do(T="treated").mean("Y").draws, fit.do(T="treated").mean("Y").draws)
        assert loaded.summary().equals(fit.summary())
