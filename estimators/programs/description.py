"""What a file says of a Pyro program, which is code and not in it: enough to tell another one."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from estimators.contract import WrongModelError
from estimators.data.data import Data
from estimators.parameters.parameter import check_draws
from estimators.programs.call import describe

if TYPE_CHECKING:
    from estimators.programs.model import PyroModel

CLASS = "program"


def described(model: "PyroModel", data: Data | None, draws: Mapping[str, Tensor]) -> dict[str, Any]:
    """The program's name, how labels are ordered, and the log-likelihood of the rows at the first draw."""
    value = _first_log_likelihood(model, data, draws)
    return {"class": CLASS, "program": describe(model.fn), "order_by": model.order_by, "log_likelihood": value}


def program_needed(description: Mapping[str, Any]) -> str:
    """The error where a file is read without its program."""
    name = description["program"]
    return (
        f"it is a fit of the Pyro program {name!r}, which is code and not in the file; "
        f"use Fit.load(path, model=PyroModel({name}))"
    )


def check_described(
    model: "PyroModel", description: Mapping[str, Any], data: Data | None, draws: Mapping[str, Tensor]
) -> None:
    """Raise WrongModelError where the draws are not of this program's Greeks, or the rows had another likelihood."""
    if description["order_by"] != model.order_by:
        raise WrongModelError(f"the fit was made with order_by={description['order_by']!r}, not {model.order_by!r}")
    other = f"the fit is of the program {description['program']!r}, and the one given is not the same program: "
    try:
        greeks = [greek for greek in model.structure(data).greeks if greek.name in draws]
        shapes = {greek.name: greek.shape for greek in greeks}
        saved_shapes = {greek: tuple(value.shape[1:]) for greek, value in draws.items()}
        if shapes != saved_shapes:
            raise ValueError(f"its Greeks are {shapes}, those in the file {saved_shapes}")
        check_draws(draws, {greek.name: (greek.shape, greek.support) for greek in greeks})
        value = _first_log_likelihood(model, data, draws)
    except Exception as error:  # whatever a program says of rows that are not its own
        raise WrongModelError(f"{other}{error}") from None
    saved = description["log_likelihood"]
    if (value is None) != (saved is None) or (value is not None and not np.isclose(value, saved, rtol=1e-6)):
        raise WrongModelError(f"{other}at the first draw the saved rows have log-likelihood {value}, and had {saved}")


def _first_log_likelihood(model: "PyroModel", data: Data | None, draws: Mapping[str, Tensor]) -> float | None:
    if data is None:
        return None
    return float(model.marginal(data).log_likelihood({name: value[0] for name, value in draws.items()}))
