"""Scenarios and estimators from a user's own modules, by path or by name."""

import hashlib
import importlib
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from validation.scenarios import Scenario
from validation.study.contenders import Contender


class ModuleError(ValueError):
    """A user's module that cannot be used; the message says why."""


def scenarios_in(place: str) -> tuple[Scenario, ...]:
    """Return the scenarios of a module: its ``SCENARIOS``, or else every `Scenario` among its names."""
    module = load(place)
    found = getattr(module, "SCENARIOS", None)
    if found is None:
        found = [value for value in vars(module).values() if isinstance(value, Scenario)]
    if not isinstance(found, list | tuple) or not found or not all(isinstance(each, Scenario) for each in found):
        raise ModuleError(f"{place}: expected scenarios, as SCENARIOS = (Scenario(name=...), ...), found {found!r}")
    return tuple(found)


def contender_in(place: str) -> Contender:
    """Return the estimator that ``module:name`` says: a `Contender`, or an object or class with a method ``fit``.

    Only a `Contender` can claim that its draws come from the posterior.
    """
    where, _, name = place.rpartition(":")
    if not where or not name:
        raise ModuleError(f"{place}: expected module:name or file.py:name, as in my_module:MyEstimator")
    module = load(where)
    if not hasattr(module, name):
        raise ModuleError(f"{place}: {where} has no {name!r}; it has {', '.join(_public(module)) or 'nothing'}")
    found: Any = getattr(module, name)
    if isinstance(found, type):
        try:
            found = found()
        except Exception as problem:
            raise ModuleError(
                f"{place}: the class cannot be made without arguments ({type(problem).__name__}: {problem}); "
                "name an instance instead"
            ) from problem
    if isinstance(found, Contender):
        return found
    if not callable(getattr(found, "fit", None)):
        raise ModuleError(f"{place}: expected an object with fit(model, data, *, seed=None), got {found!r}")
    return Contender(name, found)


def load(place: str) -> ModuleType:
    """Import a module by its name, or by the path of its file, under the name of the file.

    The file's folder is put first on the path of this process, and with it of the processes it spawns.
    """
    if place.endswith(".py"):
        path = Path(os.path.realpath(place))
        if not os.path.isfile(path):
            raise ModuleError(f"{place}: there is no such file")
        known = getattr(sys.modules.get(path.stem), "__file__", None)
        if path.stem in sys.modules and (known is None or Path(known).resolve() != path):
            raise ModuleError(f"{place}: a module called {path.stem!r} is loaded already; give the file another name")
        if str(path.parent) not in sys.path:
            sys.path.insert(0, str(path.parent))
            importlib.invalidate_caches()
    try:
        return importlib.import_module(name_of(place))
    except (Exception, SystemExit) as problem:
        at = _where(problem)
        raise ModuleError(f"{place}: cannot be imported: {type(problem).__name__}: {problem}{at}") from problem


def name_of(place: str) -> str:
    """Return the name under which the module of ``module``, ``file.py`` or either with ``:name`` is imported."""
    where = place.rpartition(":")[0] or place
    return Path(where).stem if where.endswith(".py") else where


def absolute(place: str) -> str:
    """Return a place that means the same in another working folder."""
    where, colon, name = place.rpartition(":") if ":" in place else (place, "", "")
    return f"{os.path.realpath(where)}{colon}{name}" if where.endswith(".py") else place


def fingerprint(place: str) -> str:
    """Return the hash of the file that a module (or ``module:name``) was loaded from, "" where there is no file."""
    file = load(place.rpartition(":")[0] or place).__file__
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""


def _where(problem: BaseException) -> str:
    """The line of the user's own module that went wrong, not of what it called; of bad syntax Python says it itself."""
    lines = [line for line in traceback.extract_tb(problem.__traceback__)[1:] if "importlib" not in line.filename]
    own = [line for line in lines if Path(line.filename).parent == Path(lines[0].filename).parent]
    return f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""


def _public(module: ModuleType) -> list[str]:
    return [name for name in vars(module) if not name.startswith("_")]
