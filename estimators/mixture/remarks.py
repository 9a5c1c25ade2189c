"""What the rows of a mixture say by themselves, variable by variable, and of the number of components."""

from collections.abc import Mapping
from dataclasses import replace

from estimators.data.data import LATENT, Data
from estimators.data.remarks import Remark, of_inputs
from estimators.estep.variable import Node
from estimators.estep.weights import Weights
from estimators.mixture.arguments import num_distinct_rows
from estimators.mixture.informing import informing, informing_weights, num_informing

# Entries for each free number of a variable's Greeks, below which a maximum follows their noise.
FEWEST_ENTRIES = 2


def remarks_of(weights: Weights, nodes: Mapping[str, Node], data: Data, num_components: int) -> list[Remark]:
    """Remarks on the causes of Z and on each variable, by the rows that inform their laws, and on K."""
    inputs = informing_weights(weights, data)
    found = [replace(remark, what=f"{LATENT} {remark.what}") for remark in of_inputs(inputs)]
    for name, (column, inputs) in informing(weights, nodes, data):
        if len(column) < 2:
            continue
        for remark in nodes[name].mechanism.remarks(column, inputs):
            remark = remark.naming(data.levels[name]) if name in data.levels else remark
            greek = f"{remark.greek}_{name}" if remark.greek else ""
            found.append(replace(remark, what=f"column {name} {remark.what}", greek=greek))
    distinct = num_distinct_rows(data, list(nodes), num_components)
    if distinct < num_components:
        kind = "row" if data.unit is None else "unit"
        what = f"there are {num_components} components for {distinct} distinct {kind}{'s' if distinct > 1 else ''}"
        found.append(Remark(what, "some of them rest on their priors alone; lower K", collapses=True))
    return found


def few_rows(weights: Weights, nodes: Mapping[str, Node], data: Data, sizes: Mapping[str, int]) -> list[Remark]:
    """Variables with hardly more observed entries than free numbers in their Greeks, of which each has its size."""
    found = []
    for name, entries in num_informing(nodes, weights, data).items():
        node = nodes[name]
        size = sum(sizes.get(parameter.name, 0) for parameter in node.parameters)
        if not 0.0 < entries < FEWEST_ENTRIES * size:
            continue
        number = f"{entries:g} observed entr{'y' if entries == 1.0 else 'ies'}"
        if data.weights is not None:
            number = f"entries that weigh {entries:.3g} together"
        what = f"column {name} has {number} for {size} free numbers in its Greeks"
        fewer = "lower K, let classes share Greeks, or " if node.K > 1 and node.is_effect else ""
        advice = f"a maximum of the likelihood follows the noise of so few; {fewer}use priors (MAP, NUTS)"
        found.append(Remark(what, advice))
    return found
