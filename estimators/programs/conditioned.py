"""A program on data, as Pyro's own inference runs it."""

from collections.abc import Callable, Sequence
from typing import Any

import pyro.distributions as dist
from pyro import poutine
from pyro.distributions import constraints
from torch import Tensor

from estimators.programs.call import arguments, passed
from estimators.programs.handlers import Observing
from estimators.programs.marginal import ProgramMarginal
from estimators.programs.sites import Greek


def conditioned(marginal: ProgramMarginal) -> tuple[Callable[[], None], int]:
    """The program on its rows, hidden sites marked for enumeration, and how deep its plates are nested."""
    structure = marginal.structure
    program = Observing(marginal.evidence)(marginal.fn)
    flat: dict[str, Any] = {greek.name: _Flat(greek) for greek in structure.greeks if greek.initial is not None}
    if flat:
        program = poutine.lift(program, prior=flat)
    given = passed(marginal.fn, marginal.data, structure.names)
    positional, named = arguments(marginal.fn, given, marginal.num_rows)

    def conditioned_program() -> None:
        program(*positional, **named)

    return conditioned_program, structure.num_plate_dims


class _Flat(dist.ImproperUniform):
    """A prior that changes nothing, over a parameter's support; run without inference, the parameter's own value."""

    def __init__(self, greek: Greek) -> None:
        batch = len(greek.shape) - greek.event_dim if greek.plate_axes else 0
        support = constraints.independent(greek.support, len(greek.shape) - batch - greek.event_dim)
        super().__init__(support, greek.shape[:batch], greek.shape[batch:])  # type: ignore[no-untyped-call]
        self._initial = greek.initial

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        assert self._initial is not None
        return self._initial
