"""Data: columns from every source, which entries are seen, set or hidden, stacking, and no hold on callers' arrays."""

from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray

from estimators import EM, Data, GaussianMixture
from estimators.data.data import as_data

NUMBERS = [0.5, -1.25, 3.0]  # exact in bfloat16, too
LABELS = [0, -1, 1]
NAN = float("nan")


def polars_series(values: list[Any]) -> Any:
    return pytest.importorskip("polars").Series(values)


SOURCES: dict[str, Callable[[list[Any]], Any]] = {
    "list": list,
    "tuple": tuple,
    "NumPy": np.array,
    "NumPy float32": lambda values: np.array(values, dtype=np.float32),
    "NumPy, big-endian": lambda values: np.array(values, dtype=">f8"),
    "NumPy, reversed view": lambda values: np.array(values[::-1])[::-1],
    "NumPy, every second": lambda values: np.repeat(values, 2)[::2],
    "NumPy, read-only": lambda values: np.frombuffer(np.array(values, dtype=np.float64).tobytes()),
    "NumPy objects": lambda values: np.array(values, dtype=object),
    "masked array, nothing masked": np.ma.array,
    "torch": torch.tensor,
    "torch float32": lambda values: torch.tensor(values, dtype=torch.float32),
    "torch bfloat16": lambda values: torch.tensor(values, dtype=torch.bfloat16),
    "torch with a gradient": lambda values: torch.tensor(values, dtype=torch.float64, requires_grad=True),
    "pandas": lambda values: pd.Series(values, index=[7, 7, 3]),
    "pandas nullable": lambda values: pd.Series(values).convert_dtypes(),
    "polars": polars_series,
    "xarray": lambda values: xarray.DataArray(values, dims="row"),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_a_column_comes_from_any_source(source: Callable[[list[Any]], Any]) -> None:
    data = Data(X=source(NUMBERS))
    assert data.columns["X"].dtype == torch.float64
    assert data.columns["X"].tolist() == NUMBERS
    assert not data.columns["X"].requires_grad
    assert len(data) == data.num_rows == 3


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_labels_come_from_any_source(source: Callable[[list[Any]], Any]) -> None:
    data = Data(X=NUMBERS, Z=source(LABELS))
    assert data.columns["Z"].dtype == torch.int64
    assert data.latent().tolist() == LABELS


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int32, np.uint64, np.int64, bool])
def test_whole_numbers_and_booleans_are_kept_as_int64(kind: type) -> None:
    column = Data(X=np.array([0, 1, 1], dtype=kind)).columns["X"]
    assert column.dtype == torch.int64
    assert column.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param([0, -1, 1], id="-1"),
        pytest.param([0.0, NAN, 1.0], id="NaN"),
        pytest.param([0, None, 1], id="None"),
        pytest.param(np.ma.array([0, 5, 1], mask=[False, True, False]), id="masked"),
        pytest.param(np.ma.array([0.0, NAN, 1.0], mask=[False, True, False]), id="masked NaN"),
        pytest.param(torch.tensor([0.0, NAN, 1.0], dtype=torch.float32), id="torch NaN"),
        pytest.param(pd.Series([0, None, 1], dtype="Int64"), id="pandas Int64 with NA"),
        pytest.param(pd.Series([0, None, 1], dtype="Float64"), id="pandas Float64 with NA"),
        pytest.param(pd.Series([False, None, True], dtype="boolean"), id="pandas boolean with NA"),
        pytest.param(xarray.DataArray([0.0, NAN, 1.0]), id="xarray NaN"),
    ],
)
def test_not_seen_in_every_spelling(labels: Any) -> None:
    assert Data(X=NUMBERS, Z=labels).latent().tolist() == [0, -1, 1]


def test_not_seen_in_polars() -> None:
    polars = pytest.importorskip("polars")
    for kind in (polars.Int64, polars.Float64, polars.Boolean):
        assert Data(X=NUMBERS, Z=polars.Series([0, None, 1]).cast(kind)).latent().tolist() == [0, -1, 1]


def test_without_a_column_z_nothing_is_seen() -> None:
    data = Data(X=NUMBERS)
    assert data.latent().tolist() == [-1, -1, -1]
    assert data.is_set("Z").tolist() == [False] * 3
    assert data.weights is None


@pytest.mark.parametrize(
    "mask",
    [
        [True, False, True],
        [1, 0, 1],
        np.array([True, False, True]),
        torch.tensor([True, False, True]),
        pd.Series([True, False, True]),
        xarray.DataArray([True, False, True]),
    ],
    ids=lambda mask: type(mask).__module__,
)
def test_masks_come_from_any_source(mask: Any) -> None:
    data = Data(X=NUMBERS, Z=[0, 1, 1], intervened={"Z": mask})
    assert data.is_set("Z").dtype == torch.bool
    assert data.is_set("Z").tolist() == [True, False, True]
    assert data.is_set("X").tolist() == [False] * 3


@pytest.mark.parametrize("true", [True, np.True_])
def test_true_sets_every_row(true: Any) -> None:
    assert Data(X=NUMBERS, intervened={"X": true}).is_set("X").tolist() == [True] * 3


def test_an_empty_mask_is_no_intervention() -> None:
    assert not Data(X=NUMBERS, intervened={"X": False, "Z": [False] * 3}, Z=LABELS).intervened


def test_rows_take_every_column_mask_and_weight_along() -> None:
    data = Data(X=NUMBERS, Z=[0, 1, 1], intervened={"Z": [False, False, True]}, weights=[1.0, 2.0, 0.0])
    part = data.rows(torch.tensor([2, 1]))
    assert part.columns["X"].tolist() == [3.0, -1.25]
    assert part.latent().tolist() == [1, 1]
    assert part.is_set("Z").tolist() == [True, False]
    assert part.weights is not None
    assert part.weights.tolist() == [0.0, 2.0]


def test_concat_fills_what_a_part_does_not_say() -> None:
    plain, seen = Data(X=[0.0, 1.0]), Data(X=[2], Z=[1])
    chosen = Data(X=[3.0, 4.0], Z=[0, 1], intervened={"Z": [True, False]}, weights=[2.0, 0.5])
    data = Data.concat([plain, seen, chosen])
    assert data.columns["X"].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert data.columns["X"].dtype == torch.float64
    assert data.latent().tolist() == [-1, -1, 1, 0, 1]
    assert data.is_set("Z").tolist() == [False, False, False, True, False]
    assert data.weights is not None
    assert data.weights.tolist() == [1.0, 1.0, 1.0, 2.0, 0.5]


def test_concat_invents_no_column_mask_or_weights() -> None:
    data = Data.concat([Data(X=[0.0]), Data(X=[1.0])])
    assert list(data.columns) == ["X"]
    assert not data.intervened
    assert data.weights is None


def frame(kind: str) -> Any:
    columns = {"X": NUMBERS, "Z": [0.0, NAN, 1.0]}
    if kind == "mapping":
        return columns
    if kind == "pandas":
        return pd.DataFrame(columns, index=["a", "b", "b"])
    if kind == "xarray":
        return xarray.Dataset({name: ("row", values) for name, values in columns.items()})
    return pytest.importorskip("polars").DataFrame(columns)


@pytest.mark.parametrize("kind", ["mapping", "pandas", "polars", "xarray"])
def test_a_mapping_and_every_data_frame_are_data(kind: str) -> None:
    data = as_data(frame(kind))
    assert data.columns["X"].tolist() == NUMBERS
    assert data.latent().tolist() == LABELS


def test_data_are_returned_as_they_are() -> None:
    data = Data(X=NUMBERS)
    assert as_data(data) is data


def test_data_are_frozen() -> None:
    data = Data(X=NUMBERS, Z=[0, 1, 1], intervened={"Z": True})
    with pytest.raises(FrozenInstanceError):
        data.weights = torch.ones(3)  # type: ignore[misc]
    for mapping in (data.columns, data.intervened):
        with pytest.raises(TypeError):
            mapping["X"] = torch.ones(3)  # type: ignore[index]


@pytest.mark.parametrize("wrap", [np.asarray, torch.from_numpy, np.ma.array, pd.Series, xarray.DataArray])
def test_the_callers_arrays_are_neither_kept_nor_changed(wrap: Callable[[Any], Any]) -> None:
    arrays = {
        "X": np.array([0.0, 1.0, 10.0, 11.0]),
        "Z": np.array([0, -1, -1, 1]),
        "mask": np.array([True, False, False, False]),
        "weights": np.array([1.0, 2.0, 1.0, 3.0]),
    }
    before = {name: array.copy() for name, array in arrays.items()}
    x, z, mask, weights = (wrap(array) for array in arrays.values())
    data = Data(X=x, Z=z, intervened={"Z": mask}, weights=weights)
    EM(num_starts=2).fit(GaussianMixture(K=2), data, seed=0)
    for name, array in arrays.items():
        assert np.array_equal(array, before[name])
        array[:] = array[::-1].copy()
    assert data.columns["X"].tolist() == before["X"].tolist()
    assert data.latent().tolist() == before["Z"].tolist()
    assert data.is_set("Z").tolist() == before["mask"].tolist()
    assert data.weights is not None
    assert data.weights.tolist() == before["weights"].tolist()


def test_the_text_of_data_says_what_is_in_it() -> None:
    data = Data(X=NUMBERS, Z=[0, 1, 1], intervened={"Z": True}, weights=[1, 2, 3])
    assert repr(data) == "Data(3 rows: X, Z, intervened Z, weights)"
    named = Data(T=["b", "a", "b"], id=pd.Categorical.from_codes([0, 1, 2], [f"row {k}" for k in range(9)]))
    assert repr(named) == "Data(3 rows: T (a, b), id (9 levels))"


def test_a_hidden_cause_of_several_columns_can_be_set() -> None:
    """One for each of several entries of a row, as a program with a plate inside a row has it."""
    labels = torch.tensor([[0, 1, 0], [1, -1, 0]])
    data = Data(X=[0.0, 1.0], Z=labels, intervened={"Z": [True, False]})
    assert data.is_set("Z").tolist() == [True, False]
    with pytest.raises(ValueError, match=r"intervened Z: set but without a value \(-1\) in row\(s\) 1;"):
        Data(X=[0.0, 1.0], Z=labels, intervened={"Z": True})
