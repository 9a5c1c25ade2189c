"""A causal mixture as a Pyro program: Greeks from their priors, then rows; and on data, for Pyro's own inference."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pyro
import torch
from torch import Tensor

from estimators.data.data import LATENT, Data
from estimators.estep.variable import Node
from estimators.mixture.situation import Factorisation
from estimators.parameters.parameter import Parameter
from estimators.parameters.sparse import in_logs

if TYPE_CHECKING:
    from estimators.mixture.model import CausalMixture

# The plate over rows.
ROWS = "rows"
PARALLEL: Any = {"enumerate": "parallel"}


def sample_greeks(model: "CausalMixture") -> dict[str, Tensor]:
    """Every Greek from its prior, entries in plates of their own."""
    greeks = {}
    for parameter in model.parameters:
        batch = parameter.prior.batch_shape
        with ExitStack() as plates:
            for place, (name, size) in enumerate(zip(plates_of(parameter), batch, strict=True)):
                plates.enter_context(pyro.plate(name, size, dim=place - len(batch)))
            greeks[parameter.name] = pyro.sample(parameter.name, in_logs(parameter.prior))
    return greeks


def sample_rows(model: Factorisation, greeks: Mapping[str, Tensor], num_rows: int) -> dict[str, Tensor]:
    """Z and every variable for `num_rows` rows; a Greek may have one value per row, [N, K] instead of [K]."""
    columns: dict[str, Tensor] = {}
    with pyro.plate(ROWS, num_rows):
        for name, node in model.nodes.items():
            if not node.is_below:
                columns[name] = pyro.sample(name, node.distribution(greeks, torch.tensor(0), columns))
        latent = pyro.sample(LATENT, model.weights.distribution(greeks, columns), infer=PARALLEL)
        latent = torch.as_tensor(latent).long()
        for name, node in model.nodes.items():
            if node.is_below:
                columns[name] = pyro.sample(name, node.distribution(greeks, latent, columns))
    columns = {**{name: columns[name] for name in model.mechanisms}, LATENT: latent}
    return {name: _per_row(torch.as_tensor(columns[name]), num_rows) for name in columns}


def observe(model: "CausalMixture", greeks: Mapping[str, Tensor], data: Data, number: int) -> None:
    """Run the row program on observed rows alike in Z (all hidden, all seen, or all set) and in what is missing.

    Z is enumerated where hidden, observed where seen, and no random site at all where set; a set entry of another
    column is masked out; a missing discrete entry is enumerated, a missing continuous one that causes nothing known is
    left out. This is the truncated factorisation as Pyro states it, independent of the E-step.
    """
    latent, columns = data.latent(), dict[str, Tensor]()
    with pyro.plate(f"{number}_{ROWS}", data.num_rows):
        for name, node in model.nodes.items():
            if not node.is_below:
                columns[name] = _observe_one(model, node, greeks, torch.tensor(0), columns, data, number)
        if not bool(data.is_set(LATENT).all()):
            seen = latent if bool((latent >= 0).all()) else None
            infer = PARALLEL if seen is None else None
            given = model.weights.distribution(greeks, columns)
            latent = pyro.sample(f"{number}_{LATENT}", given, obs=seen, infer=infer)
        for name, node in model.nodes.items():
            if node.is_below:
                columns[name] = _observe_one(model, node, greeks, latent, columns, data, number)


def _observe_one(
    model: "CausalMixture",
    node: Node,
    greeks: Mapping[str, Tensor],
    latent: Tensor,
    columns: Mapping[str, Tensor],
    data: Data,
    number: int,
) -> Tensor:
    given = node.distribution(greeks, latent, columns)
    if not bool(data.is_missing(node.name).any()):
        column = node.mechanism.check(node.name, data.columns[node.name])
        pyro.sample(f"{number}_{node.name}", given.mask(~data.is_set(node.name)), obs=column)
        return column
    if node.mechanism.num_levels is not None:
        return torch.as_tensor(pyro.sample(f"{number}_{node.name}", given, infer=PARALLEL))
    used = [child.name for child in model.nodes.values() if node.name in child.parents]
    known = [child for child in used if not bool((data.is_set(child) | data.is_missing(child)).all())]
    if known or not bool(data.is_missing(node.name).all()):
        raise NotImplementedError(
            f"column {node.name}: has missing entries that have to be integrated out, which Pyro's enumeration "
            'does not do; use NUTS(engine="nutpie")'
        )
    return torch.full((data.num_rows,), torch.nan, dtype=torch.float64)


def conditioned(model: "CausalMixture", data: Data) -> tuple[Callable[[], None], int]:
    """The program on unweighted data for Pyro's own inference, and its plate nesting."""
    alike = blocks(model, data)
    nesting = max(1, *(len(parameter.prior.batch_shape) for parameter in model.parameters))

    def program() -> None:
        greeks = sample_greeks(model)
        for number, rows in enumerate(alike):
            observe(model, greeks, rows, number)

    return program, nesting


def blocks(model: "CausalMixture", data: Data) -> list[Data]:
    """The rows in parts that are alike in Z and, where entries are missing, in which are set or missing."""
    is_set = data.is_set(LATENT)
    marks = [is_set, (data.latent() >= 0) & ~is_set]
    if data.has_missing:
        for name in model.nodes:
            marks += [data.is_set(name), data.is_missing(name).reshape(data.num_rows, -1).any(1)]
    _, which = torch.stack(marks, 1).unique(dim=0, return_inverse=True)
    return [data.rows((which == part).nonzero()[:, 0]) for part in range(int(which.max()) + 1)]


def plates_of(parameter: Parameter) -> list[str]:
    """The names of the plates over a Greek's entries, one for each batch axis of its prior."""
    names = [f"entries_{axis}" for axis in range(len(parameter.prior.batch_shape))]
    if parameter.component_axis is not None and parameter.component_axis < len(names):
        names[parameter.component_axis] = "components"
    return [f"{name}_{parameter.name}" for name in names]


def _per_row(column: Tensor, num_rows: int) -> Tensor:
    return column if column.ndim else column.expand(num_rows)
