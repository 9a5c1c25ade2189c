"""Saving and loading a fit: one NumPy archive of arrays with a JSON header. No pickle, so a file cannot run code."""

import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import fields
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor

from estimators import mechanisms as families
from estimators.atomic_file import write_atomically
from estimators.data import Data
from estimators.model import CausalMixture
from estimators.models import Model
from estimators.priors import parameters_of
from estimators.programs.call import describe
from estimators.pyro_model import PyroModel
from estimators.status import Status

FORMAT = "exact-estimators fit"
VERSION = 1
KINDS = ("map", "ml", "posterior", "laplace", "exact", "known")


def save(fit: Any, path: Path) -> None:
    """Write the archive. Raises TypeError for a model that cannot be written as data (a mechanism of one's own)."""
    header = {
        "format": FORMAT,
        "version": VERSION,
        "kind": fit.kind,
        "num_chains": fit.num_chains,
        "status": fit.status.name,
        "stats": dict(fit.stats),
        "label_names": list(fit.label_names),
        "model": _write_model(fit),
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
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    buffer = BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_atomically(path, buffer.getbuffer())


def load(path: Path, model: PyroModel | None = None) -> dict[str, Any]:
    """Read the archive back into the fields of a fit; a program, which is code, comes from the caller."""
    if model is not None and not isinstance(model, PyroModel):
        raise TypeError(f"load: model expects the PyroModel that was fitted, got {model!r}")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        header = json.loads(bytes(arrays.pop("header")))
        if header["format"] != FORMAT:
            raise ValueError(f"format {header['format']!r}")
        if header["version"] == VERSION:
            if "program" in header["model"]:
                _need_program(path, header["model"], model)
            return _read(header, arrays, model)
    except (FileNotFoundError, _NeedsProgramError):
        raise
    except (
        OSError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise ValueError(f"load: {path} is not a saved fit, or is damaged ({type(error).__name__}: {error})") from None
    raise ValueError(
        f"load: {path} was saved in format version {header['version']!r}, this package reads version {VERSION}; "
        "fit again, or use the version of the package that wrote it"
    )


class _NeedsProgramError(ValueError):
    """The file is of a Pyro program, which the caller has to give."""


def _need_program(path: Path, described: dict[str, Any], model: PyroModel | None) -> None:
    name = described["program"]
    if model is None:
        raise _NeedsProgramError(
            f"load: {path} is a fit of the Pyro program {name!r}, which is code and not in the file; "
            f"use Fit.load(path, model=PyroModel({name}))"
        )
    if described["order_by"] != model.order_by:
        raise _NeedsProgramError(
            f"load: the fit was made with order_by={described['order_by']!r}, not {model.order_by!r}"
        )


def _read(header: dict[str, Any], arrays: dict[str, np.ndarray], program: PyroModel | None) -> dict[str, Any]:
    groups: dict[str, dict[str, Tensor]] = {"draws": {}, "info": {}, "columns": {}, "intervened": {}, "weights": {}}
    for name, array in arrays.items():
        group, _, key = name.partition("/")
        groups[group][key] = torch.from_numpy(array)
    data = None
    if groups["columns"]:
        data = Data(
            **groups["columns"],
            **header["scalars"],
            intervened=groups["intervened"],
            weights=groups["weights"].get(""),
            missing=header["missing"],
        )
    num_chains, draws = header["num_chains"], groups["draws"]
    if "program" in header["model"] and program is not None:
        model: Model = program
        expected = _check_program(header["model"], program, data, draws)
    else:
        model = _read_model(header["model"])
        expected = {parameter.name: parameter.shape for parameter in model.parameters}
    if {name: tuple(value.shape[1:]) for name, value in draws.items()} != expected:
        raise ValueError(f"draws of {sorted(draws)} where the model has {sorted(expected)}")
    if len({len(value) for value in draws.values()}) > 1 or len(next(iter(draws.values()))) % num_chains:
        raise ValueError(f"draws that do not make {num_chains} chains")
    if header["kind"] not in KINDS:
        raise ValueError(f"kind {header['kind']!r}")
    return {
        "model": model,
        "kind": header["kind"],
        "num_chains": num_chains,
        "status": Status[header["status"]],
        "stats": header["stats"],
        "draws": draws,
        "info": groups["info"],
        "data": data,
        "label_names": _read_label_names(header, model),
    }


def _read_label_names(header: dict[str, Any], model: Model) -> tuple[str, ...]:
    names = header.get("label_names", [])
    sizes = (0, model.K) if isinstance(model, CausalMixture) else (len(names),)
    if len(names) not in sizes or len(set(names)) < len(names) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"label names {names!r}")
    return tuple(names)


def _check_program(
    described: dict[str, Any], program: PyroModel, data: Data | None, draws: dict[str, Tensor]
) -> dict[str, tuple[int, ...]]:
    """The shapes of the Greeks, or an error where the program gives the saved rows another likelihood than it did."""
    other = "load: the fit is of the program {!r}, and the one given is not the same program: {}"
    name = described["program"]
    try:
        shapes = {greek.name: greek.shape for greek in program.structure(data).greeks if greek.name in draws}
        found = {greek: tuple(value.shape[1:]) for greek, value in draws.items()}
        if shapes != found:
            raise ValueError(f"its Greeks are {shapes}, those in the file {found}")
        value = _first_log_likelihood(program, data, draws)
    except (TypeError, ValueError) as error:
        raise _NeedsProgramError(other.format(name, error)) from None
    saved = described["log_likelihood"]
    if (value is None) != (saved is None) or (value is not None and not np.isclose(value, saved, rtol=1e-6)):
        reason = f"at the first draw the saved rows have log-likelihood {value}, and had {saved}"
        raise _NeedsProgramError(other.format(name, reason))
    return shapes


def _first_log_likelihood(model: PyroModel, data: Data | None, draws: Mapping[str, Tensor]) -> float | None:
    if data is None:
        return None
    return float(model.marginal(data).log_likelihood({name: value[0] for name, value in draws.items()}))


def _write_model(fit: Any) -> dict[str, Any]:
    model: Model = fit.model
    if isinstance(model, PyroModel):
        # What tells this program from another with the same Greeks, as far as the rows do.
        check = _first_log_likelihood(model, fit.data, fit.draws)
        return {"program": describe(model.fn), "order_by": model.order_by, "log_likelihood": check}
    described = {}
    for variable, mechanism in model.mechanisms.items():
        family = type(mechanism)
        if getattr(families, family.__name__, None) is not family:
            raise TypeError(f"save: mechanism {family.__name__} of {variable} is not one of this package's")
        settings: Any = mechanism
        described[variable] = {
            "family": family.__name__,
            "settings": {
                f.name: _write_value(variable, getattr(mechanism, f.name)) for f in fields(settings) if f.init
            },
        }
    return {
        "K": model.K,
        "concentration": model.concentration.tolist(),
        "mechanisms": described,
        "latent_parents": list(model.latent_parents),
    }


def _read_model(described: dict[str, Any]) -> CausalMixture:
    mechanisms = {}
    for variable, part in described["mechanisms"].items():
        if part["family"] not in families.__all__:
            raise ValueError(f"unknown mechanism {part['family']!r}")
        settings = {name: _read_value(value) for name, value in part["settings"].items()}
        mechanisms[variable] = getattr(families, part["family"])(**settings)
    return CausalMixture(described["K"], mechanisms, described["concentration"], described["latent_parents"])


def _write_value(variable: str, value: Any) -> Any:
    if isinstance(value, Tensor):
        return {"number": value.tolist()}
    if isinstance(value, TorchDistributionMixin):
        name, parameters = type(value).__name__, parameters_of(value)
        if not parameters or getattr(dist, name, None) is not type(value):
            raise TypeError(f"save: the prior {value} of {variable} cannot be written as data")
        return {"prior": name, "parameters": {key: part.tolist() for key, part in parameters.items()}}
    return value


def _read_value(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if "number" in value:
        return torch.tensor(value["number"], dtype=torch.float64)
    family = getattr(dist, value["prior"])
    if not issubclass(family, TorchDistributionMixin):
        raise ValueError(f"unknown prior {value['prior']!r}")
    return family(**{key: torch.tensor(part, dtype=torch.float64) for key, part in value["parameters"].items()})
