"""One Newton step towards the M-step of a general term, in the unconstrained coordinates of its Greeks.

Source: Lange (1995), "A gradient algorithm locally equivalent to the EM algorithm". The numbers C of a family are as a
rule affine in the coordinates (a scale enters C as its log), so that ``J' H J`` is the curvature in these.
"""

from collections.abc import Sequence

import numpy as np

from estimators.estep.term import Columns, General
from estimators.mechanisms.protocol import Greeks, Reference
from estimators.optimise.arrays import Array
from estimators.parameters.block import Block
from estimators.parameters.transforms import Transform

MOST_HALVINGS = 50
# A step from which so small a share of the value, or so little by row, is expected, and which lowers it, is no step:
# that is rounding.
ROUNDING = 1e-15
# Directions whose curvature is below this share of the largest are left alone.
FLAT = 1e-13
# Responsibilities that are held at one time.
MOST_NUMBERS = 2_000_000


def newton_step(
    term: General,
    transforms: Sequence[tuple[Block, Transform]],
    greeks: Greeks,
    columns: Columns,
    shares: Array,
    reference: Reference,
) -> dict[str, Array]:
    """The Greeks [..., *shape] after a step from Greeks [S, *shape], for R [..., K, N]: the EM gradient."""
    if not greeks:
        return {}
    sets = shares.reshape(-1, *shares.shape[-2:])
    # Few at a time where there are many rows.
    part = max(MOST_NUMBERS // max(sets[0].size, 1), 1)
    found = []
    for start in range(0, len(sets), part):
        which = slice(start, start + part)
        step = NewtonStep(term, transforms, columns, sets[which])
        found.append(step.from_greeks({name: value[which] for name, value in greeks.items()}, reference))
    return {
        name: np.concatenate([one[name] for one in found]).reshape((*shares.shape[:-2], *value.shape[1:]))
        for name, value in greeks.items()
    }


class NewtonStep:
    """A step of each parameter set, halved until its value does not fall; ``shares`` are R [S, K, N]."""

    def __init__(
        self, term: General, transforms: Sequence[tuple[Block, Transform]], columns: Columns, shares: Array
    ) -> None:
        self._term, self._transforms, self._columns, self._shares = term, transforms, columns, shares

    def from_greeks(self, greeks: Greeks, reference: Reference) -> dict[str, Array]:
        """The Greeks [S, *shape] after the step."""
        found = {name: np.array(value) for name, value in greeks.items()}
        left, weight = np.arange(len(self._shares)), self._shares.sum((-1, -2))
        with np.errstate(all="ignore"):
            before, (step, gain) = self._value(greeks, reference, left), self._step(greeks, reference)
            for _ in range(MOST_HALVINGS):
                moved = self._moved({name: value[left] for name, value in greeks.items()}, step[left])
                is_better = self._value(moved, reference, left) >= before[left]
                for name, value in found.items():
                    value[left[is_better]] = moved[name][is_better]
                step, gain = 0.5 * step, 0.5 * gain
                left = left[~is_better & (gain[left] > ROUNDING * (np.abs(before) + weight)[left])]
                if not len(left):
                    break
        return found

    def information(self, greeks: Greeks, reference: Reference) -> Array:
        """-d²J/dv² in coordinates, [S, D, D]."""
        numbers = self._term.coefficients(greeks, reference)
        return self._term.curvature(
            numbers, self._columns, self._shares, self._jacobian(greeks, numbers.shape, reference)
        )

    def _value(self, greeks: Greeks, reference: Reference, sets: np.ndarray) -> Array:
        """J of some sets, at their Greeks."""
        return self._term.complete(self._term.coefficients(greeks, reference), self._columns, self._shares[sets])

    def _step(self, greeks: Greeks, reference: Reference) -> tuple[Array, Array]:
        """The steps [S, D] in coordinates, and what the slope promises of them [S]."""
        numbers = self._term.coefficients(greeks, reference)
        slope = self._term.pullback(numbers, self._columns, self._shares)
        chain = self._jacobian(greeks, slope.shape, reference)
        hessian = self._term.curvature(numbers, self._columns, self._shares, chain)
        gradient = np.einsum("skp,skpi->si", slope, chain)
        is_finite = np.isfinite(hessian).all((-1, -2)) & np.isfinite(gradient).all(-1)
        values, vectors = np.linalg.eigh(np.where(is_finite[:, None, None], hessian, 0.0))
        # Where the value is not concave, the step still goes up.
        size = np.abs(values)
        usable = size > FLAT * size.max(-1, initial=0.0, keepdims=True)
        gradient = np.where(is_finite[:, None], gradient, 0.0)
        along = np.einsum("sij,si->sj", vectors, gradient)
        along = np.where(usable, along / np.where(usable, size, 1.0), 0.0)
        step = np.einsum("sij,sj->si", vectors, along)
        return step, (step * gradient).sum(-1)

    def _jacobian(self, greeks: Greeks, shape: tuple[int, ...], reference: Reference) -> Array:
        """dC/dv [S, K, width, D]: the chain rule, once for each of the numbers."""
        sets, *own = shape
        count = int(np.prod(own))
        each = np.broadcast_to(np.eye(count).reshape(count, 1, *own), (count, *shape))
        slopes = self._term.gradient(greeks, each, reference)
        apart = {name: slope.reshape(count, sets, *greeks[name].shape[1:]) for name, slope in slopes.items()}
        pulled = [transform.pull_back(block.flat(greeks), block.flat(apart)) for block, transform in self._transforms]
        return np.moveaxis(np.concatenate(pulled, -1), 0, 1).reshape(*shape, -1)

    def _moved(self, greeks: Greeks, step: Array) -> dict[str, Array]:
        """The Greeks after a step [S, D]."""
        moved, start = dict[str, Array](), 0
        for block, transform in self._transforms:
            at = transform.inverse(block.flat(greeks))
            moved |= block.apart(transform.forward(at + step[:, start : start + at.shape[-1]]))
            start += at.shape[-1]
        return moved
