"""The rows that inform a variable's mechanism, as arrays, and those that tell classes apart."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from estimators.data.data import LATENT, Data
from estimators.estep.units import above_latent
from estimators.estep.variable import Node
from estimators.estep.weights import Weights
from estimators.optimise.arrays import Array


def informing(
    weights: Weights, nodes: Mapping[str, Node], data: Data
) -> Iterator[tuple[str, tuple[Array, dict[str, Array]]]]:
    """Each variable's column and a regression's inputs [N] by name, of rows in which it is not set, nor any missing.

    Of variables above Z a unit has one value, which counts once.
    """
    above = above_latent(weights, nodes)
    for variable, node in nodes.items():
        columns = _columns(data, (variable, *node.parents), _informs(data, variable, is_of_unit=variable in above))
        yield variable, (columns[variable], node.design.named(columns, data.levels))


def num_informing(nodes: Mapping[str, Node], weights: Weights, data: Data) -> dict[str, float]:
    """How many entries of each variable's column, by their weights, are observed and not set."""
    above, counted = above_latent(weights, nodes), data.weights
    found = {}
    for name in nodes:
        keep = _informs(data, name, is_of_unit=name in above)
        observed = ~data.is_missing(name).reshape(data.num_rows, -1) & keep[:, None]
        # Torch would make whole numbers of all entries to count them.
        of_ones = np.count_nonzero(observed.numpy()) if counted is None else (observed.sum(1) * counted).sum()
        found[name] = float(of_ones)
    return found


def informing_weights(weights: Weights, data: Data) -> dict[str, Array]:
    """The numbers [N] that causes of Z enter its weights as, by name, of rows in which it is not set, nor any missing.

    None where causes are levels of a table.
    """
    columns = _columns(data, weights.parents, _informs(data, LATENT, is_of_unit=True))
    return weights.design.named(columns, data.levels)


def _informs(data: Data, name: str, *, is_of_unit: bool) -> Tensor:
    """The mask [N] of rows that count in which a variable, or Z, is not set; one of a unit that has one value of it."""
    keep = ~data.is_set(name) & data.counts()
    return keep & once(data) if is_of_unit else keep


def _columns(data: Data, names: Sequence[str], keep: Tensor) -> dict[str, Array]:
    """The numbers of columns in rows that are kept and lack none of them; no copy where all are."""
    for name in names:
        keep = keep & ~data.is_missing(name).reshape(data.num_rows, -1).any(1)
    columns = {name: data.columns[name].double().numpy() for name in names}
    return columns if bool(keep.all()) else {name: numbers[keep.numpy()] for name, numbers in columns.items()}


def once(data: Data) -> Tensor:
    """The mask [N] of rows in which what is one value a unit counts."""
    return torch.ones(data.num_rows, dtype=torch.bool) if data.unit is None else torch.from_numpy(data.unit.is_first)


def tells_classes_apart(nodes: Mapping[str, Node], data: Data) -> Tensor:
    """The mask [N] of rows in which some variable is observed, and not set, of which the law differs by class."""
    tells = torch.zeros(data.num_rows, dtype=torch.bool)
    for name, node in nodes.items():
        differs = any(parameter.component_axis is not None for parameter in node.parameters)
        if node.is_effect and (differs or len(set(node.mechanism.exchangeable(node.K, uses_prior=False))) > 1):
            tells |= ~data.is_missing(name).reshape(data.num_rows, -1).all(1) & ~data.is_set(name)
    return tells


def pinned_labels(nodes: Mapping[str, Node], data: Data) -> set[int]:
    """The values of Z that are known in some row which counts and tells something of the class.

    Where Z is set, and no variable that depends on it is observed and left alone, a row tells nothing.
    """
    if LATENT not in data.columns:
        return set()
    latent = data.latent()
    informs = ~data.is_set(LATENT) | data.spread(data.any_row(tells_classes_apart(nodes, data)))
    return set(latent[(latent >= 0) & data.counts() & informs].tolist())
