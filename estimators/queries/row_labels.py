"""Which rows the values of a question belong to, where they say so by an index of their own."""

from collections.abc import Mapping
from typing import Any

from estimators.data.columns import check_same_index, index_of

# The index of each value that has one, by the name of its variable.
Indices = Mapping[str, Any]


def joined_indices(what: str, known: Indices, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The indices of a question with those of more values, or a ValueError that names two that differ."""
    found = {name: index_of(value) for name, value in asked.items()}
    joined = {**known, **{name: index for name, index in found.items() if index is not None}}
    check_same_index(joined.items(), what)
    return joined
