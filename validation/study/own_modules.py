"""Scenarios and estimators of a user's own, by references: the name or path of a module, or either with ``:name``."""

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


def scenarios_in(reference: str) -> tuple[Scenario, ...]:
    """Return the scenarios of a module: its ``SCENARIOS``, or else every `Scenario` among its names."""
    module = load(reference)
    scenarios = getattr(module, "SCENARIOS", None)
    if scenarios is None:
        scenarios = [value for value in vars(module).values() if isinstance(value, Scenario)]
    is_list = isinstance(scenarios, list | tuple) and bool(scenarios)
    if not is_list or not all(isinstance(scenario, Scenario) for scenario in scenarios):
        raise ModuleError(
            f"{reference}: expected scenarios, as SCENARIOS = (Scenario(name=...), ...), found {scenarios!r}"
        )
    return tuple(scenarios)


def contender_in(reference: str) -> Contender:
    """Return the estimator that ``module:name`` says: a `Contender`, or an object or class with a method ``fit``.

    Only a `Contender` can claim that its draws come from the posterior.
    """
    module_name, _, name = reference.rpartition(":")
    if not module_name or not name:
        raise ModuleError(f"{reference}: expected module:name or file.py:name, as in my_module:MyEstimator")
    module = load(module_name)
    if not hasattr(module, name):
        public = [name for name in vars(module) if not name.startswith("_")]
        raise ModuleError(f"{reference}: {module_name} has no {name!r}; it has {', '.join(public) or 'nothing'}")
    estimator: Any = getattr(module, name)
    if isinstance(estimator, type):
        try:
            estimator = estimator()
        except Exception as problem:
            raise ModuleError(
                f"{reference}: the class cannot be made without arguments ({type(problem).__name__}: {problem}); "
                "name an instance instead"
            ) from problem
    if isinstance(estimator, Contender):
        return estimator
    if not callable(getattr(estimator, "fit", None)):
        raise ModuleError(f"{reference}: expected an object with fit(model, data, *, seed=None), got {estimator!r}")
    return Contender(name, estimator)


def load(reference: str) -> ModuleType:
    """Import a module by its name, or by the path of its file, under the name of the file.

    The file's folder is put first on the path of this process, and with it of the processes it spawns.
    """
    if reference.endswith(".py"):
        path = Path(os.path.realpath(reference))
        if not os.path.isfile(path):
            raise ModuleError(f"{reference}: there is no such file")
        known = getattr(sys.modules.get(path.stem), "__file__", None)
        if path.stem in sys.modules and (known is None or Path(known).resolve() != path):
            raise ModuleError(
                f"{reference}: a module called {path.stem!r} is loaded already; give the file another name"
            )
        if str(path.parent) not in sys.path:
            sys.path.insert(0, str(path.parent))
            importlib.invalidate_caches()
    try:
        return importlib.import_module(name_of(reference))
    except (Exception, SystemExit) as problem:
        line = _failing_line(problem)
        raise ModuleError(f"{reference}: cannot be imported: {type(problem).__name__}: {problem}{line}") from problem


def name_of(reference: str) -> str:
    """Return the name under which the module of ``module``, ``file.py`` or either with ``:name`` is imported."""
    module = reference.rpartition(":")[0] or reference
    return Path(module).stem if module.endswith(".py") else module


def absolute(reference: str) -> str:
    """Return a reference that means the same in another working folder."""
    module, colon, name = reference.rpartition(":") if ":" in reference else (reference, "", "")
    return f"{os.path.realpath(module)}{colon}{name}" if module.endswith(".py") else reference


def fingerprint(reference: str) -> str:
    """Return the hash of the file that a module (or ``module:name``) was loaded from, "" where there is no file."""
    file = load(reference.rpartition(":")[0] or reference).__file__
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""


def _failing_line(problem: BaseException) -> str:
    """Say which line of the user's module failed, not of what it called; of bad syntax Python's message says it."""
    lines = [line for line in traceback.extract_tb(problem.__traceback__)[1:] if "importlib" not in line.filename]
    users = [line for line in lines if Path(line.filename).parent == Path(lines[0].filename).parent]
    return f" ({Path(users[-1].filename).name}, line {users[-1].lineno})" if users else ""
