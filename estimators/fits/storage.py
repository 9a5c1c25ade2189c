"""Saving and loading a fit: one archive of arrays with a JSON document. No pickle, so a file cannot run code."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from estimators.contract import Model, WrongModelError
from estimators.data.data import Data
from estimators.data.levels import from_numbers, is_in_order
from estimators.data.units import Units
from estimators.fits.archive import VERSION, Arrays, VersionError, packed, unpacked
from estimators.fits.atomic_file import write_atomically
from estimators.fits.kind import Kind
from estimators.modes.table import SENTENCES, Modes
from estimators.queries.labels import names_of
from estimators.status import Status

# The groups of arrays in a file, named before the slash, and the types that their arrays may have.
GROUPS = {
    "draws": (torch.float64,),
    "info": (torch.float64, torch.float32, torch.int64, torch.int32, torch.bool),
    "columns": (torch.float64, torch.int64),
    "intervened": (torch.bool,),
    "weights": (torch.float64,),
    "units": (torch.int64,),
    "modes": (torch.float64,),
    "of modes": (torch.float64, torch.int64),
}

# How a model is read back, by the name of its class: see `Model.describe`.
Restore = Callable[[Mapping[str, Any], Data | None, dict[str, Tensor], Model | None], Model]
RESTORERS: dict[str, Restore] = {}


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
        "uses_prior": fit.uses_prior,
        "findings": {status.name: about for status, about in fit.findings.items()},
        "remarks": list(fit.remarks),
        "modes": None if fit.found is None else fit.found.words,
        "model": fit.model.describe(fit.data, fit.draws),
        "missing": None if fit.data is None else fit.data.missing,
        "scalars": {} if fit.data is None else dict(fit.data.scalars),
        "levels": {} if fit.data is None else dict(fit.data.levels),
        "in order": [] if fit.data is None else [*map(is_in_order, fit.data.levels.values())],
        "units": None if fit.data is None or fit.data.unit is None else fit.data.unit.words,
    }
    arrays = {f"draws/{name}": value.numpy() for name, value in fit.draws.items()}
    arrays |= {f"info/{name}": value.numpy() for name, value in fit.info.items()}
    if fit.found is not None:
        arrays |= {f"modes/{name}": value.numpy() for name, value in fit.found.greeks.items()}
        arrays |= {f"of modes/{name}": value for name, value in fit.found.numbers.items()}
    if fit.data is not None:
        arrays |= {f"columns/{name}": column.numpy() for name, column in fit.data.columns.items()}
        arrays |= {f"intervened/{name}": mask.numpy() for name, mask in fit.data.intervened.items()}
        if fit.data.weights is not None:
            arrays["weights/"] = fit.data.weights.numpy()
        if fit.data.unit is not None:
            arrays["units/"] = fit.data.unit.of_row.numpy()
    write_atomically(path, packed(document, arrays))


def load(path: Path, model: Model | None = None) -> dict[str, Any]:
    """Read the archive back into the fields of a fit; a program, which is code, comes from the caller."""
    if model is not None and not isinstance(model, Model):
        raise TypeError(f"load: model expects the PyroModel that was fitted, got {model!r}")
    try:
        document, arrays = unpacked(path)
        return _read(document, arrays, model)
    except (FileNotFoundError, MemoryError):
        raise
    except WrongModelError as error:
        raise type(error)(f"load: {path}: {error}") from None
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


def _read(document: dict[str, Any], arrays: Arrays, given: Model | None) -> dict[str, Any]:
    groups = _grouped(arrays)
    draws, data = groups["draws"], _read_data(document, groups)
    model = RESTORERS[document["model"]["class"]](document["model"], data, draws, given)
    _check_number_of_draws(document["kind"], document["num_chains"], draws)
    for name, kind in (("stats", dict), ("uses_prior", bool), ("findings", dict), ("remarks", list)):
        if not isinstance(document[name], kind):
            raise ValueError(f"{name} {document[name]!r}")
    for words in (*document["findings"].values(), *document["remarks"]):
        if not isinstance(words, str):
            raise ValueError(f"advice {words!r}")
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
        "uses_prior": document["uses_prior"],
        "findings": {Status[name]: about for name, about in document["findings"].items()},
        "remarks": tuple(document["remarks"]),
        "found": _read_modes(document["modes"], groups),
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


def _read_modes(words: Any, groups: Mapping[str, Mapping[str, Tensor]]) -> Modes | None:
    if words is None:
        return None
    numbers: dict[str, Any] = {name: value.numpy() for name, value in groups["of modes"].items()}
    listed = {name: tuple(words[name]) for name in SENTENCES}
    modes = Modes(greeks=groups["modes"], **numbers, **{**words, **listed})
    lengths = {*map(len, modes.greeks.values()), *map(len, modes.numbers.values()), *map(len, listed.values())}
    if lengths != {len(modes)} or modes.greeks.keys() != groups["draws"].keys():
        raise ValueError("modes that are no modes of these draws")
    return modes


def _read_data(document: dict[str, Any], groups: Mapping[str, Mapping[str, Tensor]]) -> Data | None:
    if not groups["columns"]:
        return None
    # Files that were written before order was declared say nothing of it.
    in_order = document.get("in order") or [False] * len(document["levels"])
    named = {
        name: from_numbers(groups["columns"][name], names, is_ordered=is_ordered)
        for (name, names), is_ordered in zip(document["levels"].items(), in_order, strict=True)
    }
    return Data(
        {**groups["columns"], **named, **document["scalars"]},
        intervened=groups["intervened"],
        weights=groups["weights"].get(""),
        missing=document["missing"],
        # Files that were written before there were units have none.
        unit=None if not groups["units"] else Units.read(document["units"], groups["units"][""]),
    )


def _check_number_of_draws(kind: Any, num_chains: Any, draws: Mapping[str, Tensor]) -> None:
    if kind not in list(Kind):
        raise ValueError(f"kind {kind!r}")
    if type(num_chains) is not int or num_chains < 1:
        raise ValueError(f"num_chains {num_chains!r}")
    numbers = {len(value) for value in draws.values()}
    num_draws = numbers.pop()
    if numbers or not num_draws or num_draws % num_chains or (Kind(kind).is_point and num_draws > 1):
        raise ValueError(f"draws of kind {kind!r} that do not make {num_chains} chains")


def _read_label_names(names: Any, model: Model, data: Data | None, draws: Mapping[str, Tensor]) -> tuple[str, ...]:
    if not isinstance(names, list) or len(set(names)) < len(names):
        raise ValueError(f"label names {names!r}")
    if not names:
        return ()
    free = model.symmetry(data, {name: value[0] for name, value in draws.items()})
    return names_of({name: k for k, name in enumerate(names)}, free.num_labels)
