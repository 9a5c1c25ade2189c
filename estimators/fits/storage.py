"""Saving and loading a fit: one archive of arrays with a JSON document. No pickle, so a file cannot run code."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from estimators.data.data import Data
from estimators.estep.weights import WEIGHTS
from estimators.fits.any_model import Model
from estimators.fits.archive import VERSION, Arrays, VersionError, packed, unpacked
from estimators.fits.atomic_file import write_atomically
from estimators.fits.labels import symmetry
from estimators.mixture.description import described, model_from
from estimators.mixture.model import CausalMixture
from estimators.programs.call import describe
from estimators.programs.model import PyroModel
from estimators.queries.label_names import names_of
from estimators.status import Status

POINT_KINDS = ("map", "ml", "known")
KINDS = (*POINT_KINDS, "posterior", "laplace", "exact")
# The arrays of a file by the first part of their names, and the types that each may have.
GROUPS = {
    "draws": (torch.float64,),
    "info": (torch.float64, torch.float32, torch.int64, torch.int32, torch.bool),
    "columns": (torch.float64, torch.int64),
    "intervened": (torch.bool,),
    "weights": (torch.float64,),
}

Support = tuple[tuple[int, ...], Any]


def save(fit: Any, path: Path) -> None:
    """Write the archive, whole or not at all.

    Raises TypeError for a model that cannot be written as data (a mechanism of one's own), ValueError for draws that no
    fit has, and OSError where the file cannot be written.
    """
    document = {
        "kind": fit.kind,
        "num_chains": fit.num_chains,
        "status": fit.status.name,
        "stats": dict(fit.stats),
        "label_names": list(fit.label_names),
        "model": _described_model(fit),
        "missing": None if fit.data is None else fit.data.missing,
        "scalars": {} if fit.data is None else dict(fit.data.scalars),
    }
    arrays = {f"draws/{name}": value.numpy() for name, value in fit.draws.items()}
    arrays |= {f"info/{name}": value.numpy() for name, value in fit.info.items()}
    if fit.data is not None:
        arrays |= {f"columns/{name}": column.numpy() for name, column in fit.data.columns.items()}
        arrays |= {f"intervened/{name}": mask.numpy() for name, mask in fit.data.intervened.items()}
        if fit.data.weights is not None:
            arrays["weights/"] = fit.data.weights.numpy()
    write_atomically(path, packed(document, arrays))


def load(path: Path, model: PyroModel | None = None) -> dict[str, Any]:
    """Read the archive back into the fields of a fit; a program, which is code, comes from the caller."""
    if model is not None and not isinstance(model, PyroModel):
        raise TypeError(f"load: model expects the PyroModel that was fitted, got {model!r}")
    try:
        document, arrays = unpacked(path)
        if "program" in document["model"]:
            _need_program(path, document["model"], model)
        return _read(document, arrays, model)
    except (FileNotFoundError, MemoryError, _NeedsProgramError):
        raise
    except OSError as error:
        raise ValueError(f"load: {path} cannot be read ({error.strerror or error})") from None
    except VersionError as error:
        raise ValueError(
            f"load: {path} was saved in format version {error}, this package reads version {VERSION}; "
            "fit again, or use the version of the package that wrote it"
        ) from None
    except Exception as error:  # whatever data, mechanisms and Pyro say of values that no fit has
        raise ValueError(
            f"load: {path} is not a saved fit, is damaged, or was saved by an older version "
            f"({type(error).__name__}: {error}); restore a copy, or fit again"
        ) from None


class _NeedsProgramError(ValueError):
    """The file is of a Pyro program, which the caller has to give."""


def _need_program(path: Path, description: dict[str, Any], model: PyroModel | None) -> None:
    name = description["program"]
    if model is None:
        raise _NeedsProgramError(
            f"load: {path} is a fit of the Pyro program {name!r}, which is code and not in the file; "
            f"use Fit.load(path, model=PyroModel({name}))"
        )
    if description["order_by"] != model.order_by:
        raise _NeedsProgramError(
            f"load: the fit was made with order_by={description['order_by']!r}, not {model.order_by!r}"
        )


def _read(document: dict[str, Any], arrays: Arrays, program: PyroModel | None) -> dict[str, Any]:
    groups = _grouped(arrays)
    draws, data = groups["draws"], _read_data(document, groups)
    if "program" in document["model"] and program is not None:
        model: Model = program
        _check_program(document["model"], program, data, draws)
    else:
        model = _read_mixture(document["model"], data, draws)
    _check_number_of_draws(document["kind"], document["num_chains"], draws)
    if not isinstance(document["stats"], dict):
        raise ValueError(f"stats {document['stats']!r}")
    return {
        "model": model,
        "kind": document["kind"],
        "num_chains": document["num_chains"],
        "status": Status[document["status"]],
        "stats": document["stats"],
        "draws": draws,
        "info": groups["info"],
        "data": data,
        "label_names": _read_label_names(document["label_names"], model, data, draws),
    }


def _grouped(arrays: Arrays) -> dict[str, dict[str, Tensor]]:
    groups: dict[str, dict[str, Tensor]] = {group: {} for group in GROUPS}
    for name, array in arrays.items():
        group, _, key = name.partition("/")
        value = torch.from_numpy(array)
        if value.dtype not in GROUPS.get(group, ()):
            raise ValueError(f"an array {name!r} of {value.dtype}")
        groups[group][key] = value
    return groups


def _read_data(document: dict[str, Any], groups: Mapping[str, Mapping[str, Tensor]]) -> Data | None:
    if not groups["columns"]:
        return None
    return Data(
        {**groups["columns"], **document["scalars"]},
        intervened=groups["intervened"],
        weights=groups["weights"].get(""),
        missing=document["missing"],
    )


def _check_draws(draws: Mapping[str, Tensor], expected: Mapping[str, Support]) -> None:
    """Raise unless there are draws of every Greek, of its shape and in its support."""
    if {name: tuple(value.shape[1:]) for name, value in draws.items()} != {
        n: shape for n, (shape, _) in expected.items()
    }:
        raise ValueError(f"draws of {sorted(draws)} where the model has {sorted(expected)}")
    for name, (_, support) in expected.items():
        inside = torch.as_tensor(support.check(draws[name]))
        if not bool(torch.isfinite(draws[name]).all()) or not bool(inside.all()):
            raise ValueError(f"draws of {name} that are not finite values in {support}")


def _check_number_of_draws(kind: Any, num_chains: Any, draws: Mapping[str, Tensor]) -> None:
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r}")
    if type(num_chains) is not int or num_chains < 1:
        raise ValueError(f"num_chains {num_chains!r}")
    numbers = {len(value) for value in draws.values()}
    num_draws = numbers.pop()
    if numbers or not num_draws or num_draws % num_chains or (kind in POINT_KINDS and num_draws > 1):
        raise ValueError(f"draws of kind {kind!r} that do not make {num_chains} chains")


def _read_label_names(names: Any, model: Model, data: Data | None, draws: Mapping[str, Tensor]) -> tuple[str, ...]:
    if not isinstance(names, list) or len(set(names)) < len(names):
        raise ValueError(f"label names {names!r}")
    if not names:
        return ()
    return names_of({name: k for k, name in enumerate(names)}, symmetry(model, data, dict(draws)).num_labels)


def _read_mixture(description: dict[str, Any], data: Data | None, draws: Mapping[str, Tensor]) -> CausalMixture:
    # Before anything of that size is made.
    if description["K"] != draws[WEIGHTS].shape[-1]:
        raise ValueError(f"K = {description['K']!r} where the draws have {draws[WEIGHTS].shape[-1]} weights")
    model = model_from(description)
    _check_draws(draws, {p.name: (p.shape, p.support) for p in model.parameters})
    if data is not None:
        model.check(data)
    return model


def _check_program(
    description: dict[str, Any], program: PyroModel, data: Data | None, draws: dict[str, Tensor]
) -> None:
    """Raise where the draws are not of this program's Greeks, or the rows have another likelihood than they had."""
    other = "load: the fit is of the program {!r}, and the one given is not the same program: {}"
    name = description["program"]
    try:
        greeks = [greek for greek in program.structure(data).greeks if greek.name in draws]
        shapes = {greek.name: greek.shape for greek in greeks}
        found = {greek: tuple(value.shape[1:]) for greek, value in draws.items()}
        if shapes != found:
            raise ValueError(f"its Greeks are {shapes}, those in the file {found}")
        expected: dict[str, Support] = {greek.name: (greek.shape, greek.support) for greek in greeks}
        _check_draws(draws, expected)
        value = _first_log_likelihood(program, data, draws)
    except Exception as error:  # whatever a program says of rows that are not its own
        raise _NeedsProgramError(other.format(name, error)) from None
    saved = description["log_likelihood"]
    if (value is None) != (saved is None) or (value is not None and not np.isclose(value, saved, rtol=1e-6)):
        reason = f"at the first draw the saved rows have log-likelihood {value}, and had {saved}"
        raise _NeedsProgramError(other.format(name, reason))


def _first_log_likelihood(model: PyroModel, data: Data | None, draws: Mapping[str, Tensor]) -> float | None:
    if data is None:
        return None
    return float(model.marginal(data).log_likelihood({name: value[0] for name, value in draws.items()}))


def _described_model(fit: Any) -> dict[str, Any]:
    model: Model = fit.model
    if isinstance(model, PyroModel):
        # What tells this program from another with the same Greeks, as far as the rows do.
        check = _first_log_likelihood(model, fit.data, fit.draws)
        return {"program": describe(model.fn), "order_by": model.order_by, "log_likelihood": check}
    try:
        _check_draws(fit.draws, {p.name: (p.shape, p.support) for p in model.parameters})
    except ValueError as error:
        raise ValueError(f"save: {error}; what cannot be loaded again is not written") from None
    return described(model)
