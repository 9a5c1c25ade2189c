"""How a user's Pyro program is called: columns and scalars by name, and the number of rows."""

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from estimators.data.data import Data

Program = Callable[..., Any]
NAMED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def parameters_of(fn: Program) -> dict[str, inspect.Parameter]:
    """The named parameters of a program, in order."""
    try:
        # The __call__ of an nn.Module takes (*args, **kwargs) for any model: its `forward` has the parameters.
        parameters = inspect.signature(fn.forward if isinstance(fn, nn.Module) else fn).parameters
    except (TypeError, ValueError):
        raise TypeError(f"PyroModel: expected a function whose parameters can be read, got {fn!r}") from None
    return {name: parameter for name, parameter in parameters.items() if parameter.kind in NAMED}


def required(fn: Program) -> list[str]:
    """The parameters without a default."""
    return [name for name, parameter in parameters_of(fn).items() if parameter.default is inspect.Parameter.empty]


def arguments(fn: Program, data: Data, sites: Collection[str]) -> tuple[list[Any], dict[str, Any]]:
    """The call's arguments: what is passed by name, and the number of rows for the first other parameter.

    The first other parameter is the first without a default; where every one has a default and no column is passed,
    the first whose default is not None. Raises TypeError for a parameter that nothing in the data answers to.
    """
    given, parameters = passed(fn, data, sites), parameters_of(fn)
    others = [name for name in parameters if name not in given]
    unanswered = [name for name in others if parameters[name].default is inspect.Parameter.empty]
    if not unanswered and not any(isinstance(value, Tensor) for value in given.values()):
        # A parameter whose default is None is meant for a column, so the number of rows is for another.
        unanswered = [name for name in others if parameters[name].default is not None][:1] or others[:1]
    if len(unanswered) > 1:
        raise TypeError(
            f"PyroModel: {describe(fn)} has the parameter {unanswered[1]!r}, for which the data have no column and no "
            f"scalar (the first such parameter, {unanswered[0]!r}, is the number of rows); give it in the data"
        )
    positional, named = [], {}
    for name, parameter in parameters.items():
        if name not in given and name not in unanswered:
            continue
        value = given.get(name, data.num_rows)
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            positional.append(value)
        else:
            named[name] = value
    return positional, named


def passed(fn: Program, data: Data, sites: Collection[str]) -> dict[str, Any]:
    """Columns and scalars named like parameters; one named like a site, which it conditions, only where needed."""
    needed, known = required(fn), parameters_of(fn)
    left_out = {name: known[name].default for name in sites if name in known and name not in needed}
    columns = {
        name: column for name, column in data.columns.items() if name in known and (name in needed or name not in sites)
    }
    return left_out | columns | {name: value for name, value in data.scalars.items() if name in known}


def rows_alone(num_rows: int) -> Data:
    """So many rows without a column, for a program that takes their number alone."""
    # No parameter of a program can have this name.
    return Data({"number of rows": torch.zeros(num_rows, dtype=torch.float64)})


def rows_to_simulate(fn: Program, num_rows: int, columns: Mapping[str, Any]) -> Data:
    """So many rows with the columns and numbers that a program takes; a TypeError where more than one is not given."""
    parameters = parameters_of(fn)
    if unknown := [name for name in columns if name not in parameters]:
        raise ValueError(f"columns: {describe(fn)} has no parameter {unknown[0]!r}; it has {list(parameters)}")
    missing = [name for name in required(fn) if name not in columns]
    if len(missing) > 1:
        raise TypeError(
            f"simulate: {describe(fn)} takes {missing[1]!r} beside the number of rows ({missing[0]!r}); give it: "
            f"simulate({num_rows}, greeks, columns={{{missing[1]!r}: ...}})"
        )
    return Data({**rows_alone(num_rows).columns, **columns})


def describe(fn: Program) -> str:
    """The name of a program in an error."""
    return str(getattr(fn, "__name__", type(fn).__name__))


def first_line(error: Exception) -> str:
    """The first line of an error's message, which may be empty."""
    return next(iter(str(error).strip().splitlines()), "")
