"""Greeks of regressions that ran to a limit: no finite value is best, and nothing is left that the rows tell of them.

Where parents tell the outcomes of a class apart, a logistic regression is the steeper the better: complete separation
(Albert & Anderson 1984, "On the existence of maximum likelihood estimates in logistic regression models"). There the
likelihood is at its supremum to the last digit, and the information about these coefficients has gone as well.
"""

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from estimators.estep.marginal import MixtureMarginal
from estimators.estep.newton import NewtonStep
from estimators.optimise.arrays import Array
from estimators.parameters.edges import Edge, End, edges_where
from estimators.parameters.transforms import Real, Transform

# In units of the column and the inputs, or of a log.
FAR = 8.0


def edges_at_limits(marginal: MixtureMarginal, greeks: Mapping[str, Array], least: float) -> list[Edge]:
    """The entries that are far out, where less than `least` of a row informs about them, the others held."""
    found = list[Edge]()
    statistics = marginal.statistics(greeks)
    for name, term, columns, shares in marginal.general(statistics):
        # The weights of Z say their own.
        if name not in marginal.nodes or not marginal.nodes[name].parameters:
            continue
        node, reference = marginal.nodes[name], statistics.references[name]
        # A line's entries one by one, not the line in standardised inputs: a level may be separated by itself.
        blocks = [
            (block, transform if transform.bounded else _entries(transform, prod(block.joint.shape)))
            for block, transform in node.greeks.transforms(reference)
        ]
        step, own = NewtonStep(term, blocks, columns, shares[None]), [p.name for p in node.parameters]
        with np.errstate(all="ignore"):
            information = step.information({key: greeks[key][None] for key in own}, reference)[0]
            # Rows of the class, if there are any, tell of a line that is level.
            lines = {p.name for block, transform in blocks if not transform.bounded for p in block.parameters}
            level = {key: np.where(key in lines, 0.0, greeks[key])[None] for key in own}
            has_rows = ~(np.diagonal(step.information(level, reference)[0]) < least)
        start = 0
        for block, transform in blocks:
            far = transform.inverse(block.flat(greeks))
            own_part = slice(start, start + far.shape[-1])
            start = own_part.stop
            is_at_limit = np.diagonal(information)[own_part] < least
            if not transform.bounded:
                # A coefficient of no rows is where a climb happened to leave it.
                is_at_limit = is_at_limit & has_rows[own_part]
            marked = block.apart(is_at_limit)
            kind, low = (End.SIMPLER, "0") if transform.bounded else (End.SEPARATED, "-infinity")
            for key, at in block.apart(far).items():
                found += edges_where(key, marked[key] & (at < -FAR), low, kind)
                found += edges_where(key, marked[key] & (at > FAR), "infinity", kind)
    return found


def _entries(transform: Transform, size: int) -> Transform:
    """The entries of what is affine in its coordinates, in units of the column and of their inputs."""
    units: Any = np.diagonal(transform.forward(np.eye(size)) - transform.forward(np.zeros(size)))
    return Real(0.0, units)
