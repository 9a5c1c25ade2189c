"""What is compiled is kept on disk, by the sources of all of it; where it cannot be kept, it works and says so once."""

import io
import sys
import warnings
from typing import Any

import pytest
from numba import types

from estimators.mechanisms.compiled import jit


def plus_one(x: Any) -> Any:
    return x + 1.0


def refused(function: Any) -> Any:
    raise RuntimeError("cannot cache function: no locator available")


def test_without_a_folder_it_works_and_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jit, "_Cache", refused)
    monkeypatch.setattr(jit, "_WARNED", [])
    with pytest.warns(UserWarning, match="no folder to keep compiled code in.*NUMBA_CACHE_DIR") as caught:
        first, second = (jit.compiled(**jit.EXACT)(plus_one) for _ in range(2))
    assert len(caught) == 1
    assert first(1.0) == second(1.0) == 2.0


def test_other_sources_have_another_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numba's own key is the file of a function; ours holds all files, as code calls from one into another."""

    class Codegen:
        @staticmethod
        def magic_tuple() -> tuple[str, ...]:
            return ("a processor",)

    cache, keys = jit._Cache(plus_one), []
    for sources in ("one", "two", "one"):
        monkeypatch.setattr(jit, "_FINGERPRINTS", [sources])
        keys.append(cache._index_key((types.float64,), Codegen()))
    assert keys[0] == keys[2] != keys[1]


@pytest.mark.parametrize(("is_watched", "lines"), [(True, 1), (False, 0)])
def test_what_is_waited_for_is_said_once_at_a_terminal(
    is_watched: bool, lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: is_watched)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(jit, "_SAID", [])
    for _ in range(2):
        jit._say_once()
    assert stream.getvalue().count("\n") == lines


def test_nothing_is_said_where_it_can_be_kept() -> None:
    with warnings.catch_warnings(action="error"):
        assert jit.compiled(**jit.EXACT)(plus_one)(2.0) == 3.0
