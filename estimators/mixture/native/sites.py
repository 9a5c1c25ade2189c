"""The table of sites: where each Greek stands among the coordinates, by which map it is made, and its prior's law."""

from collections.abc import Mapping, Sequence

import numpy as np

from estimators.estep.compiled.layout import Whole
from estimators.optimise.arrays import Array
from estimators.parameters.parameter import Parameter
from estimators.parameters.tabulated_priors import tabulated_prior
from estimators.parameters.transforms import Transform

# The columns of the table. COPIES maps of LENGTH numbers each; MAP_AT and LAW_AT are places among the laws' numbers.
MAP, COPIES, LENGTH, COORDINATE, GREEK, MAP_AT, LAW, LAW_AT, CONSTANT_AT = range(9)


def tabulated_sites(
    parameters: Sequence[Parameter], transforms: Mapping[str, Transform], places: Mapping[str, slice]
) -> tuple[Whole, Array] | None:
    """The table and its numbers; None where a map or a prior has none."""
    rows, numbers, coordinate = [], list[Array](), 0
    size = 0

    def add(part: Array) -> int:
        nonlocal size
        numbers.append(np.asarray(part, dtype=np.float64).reshape(-1))
        size += numbers[-1].size
        return size - numbers[-1].size

    for parameter in parameters:
        transform = transforms[parameter.name]
        mapped, prior = transform.tabulated(parameter.shape), tabulated_prior(parameter.prior)
        if mapped is None or prior is None:
            return None
        own = mapped.kind, mapped.copies, mapped.length, coordinate, places[parameter.name].start
        constants = (
            add(mapped.numbers),
            int(prior.law),
            add(prior.numbers),
            add(np.array([prior.constant, mapped.log_jacobian])),
        )
        rows.append([*own, *constants])
        coordinate += transform.size(parameter.shape)
    return np.array(rows, dtype=np.int64), np.concatenate(numbers)
