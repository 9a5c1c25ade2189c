"""One Newton step towards the M-step of a general term, in the unconstrained coordinates of its Greeks.

Source: Lange (1995), "A gradient algorithm locally equivalent to the EM algorithm". The numbers C of a family are as a
rule affine in the coordinates (a scale enters C as its log), so that ``J' H J`` is the curvature in these.
"""

from collections.abc import Mapping

import numpy as np

from estimators.estep.term import Columns, General
from estimators.mechanisms.protocol import Greeks, Reference
from estimators.parameters.parameter import Array
from estimators.parameters.transforms import Transform

MOST_HALVINGS = 50
# Directions whose curvature is below this share of the largest are left alone.
FLAT = 1e-13


class NewtonStep:
    """A step of one parameter set, halved until the value does not fall; ``shares`` are R [K, N]."""

    def __init__(self, term: General, transforms: Mapping[str, Transform], columns: Columns, shares: Array) -> None:
        self._term, self._transforms, self._columns, self._shares = term, transforms, columns, shares[None]

    def from_greeks(self, greeks: Greeks, reference: Reference) -> dict[str, Array]:
        """The Greeks after the step."""
        with np.errstate(all="ignore"):
            before, step = self._value(greeks, reference), self._step(greeks, reference)
            for _ in range(MOST_HALVINGS):
                moved = self._moved(greeks, step)
                if self._value(moved, reference) >= before:
                    return moved
                step = {name: 0.5 * part for name, part in step.items()}
        return dict(greeks)

    def _value(self, greeks: Greeks, reference: Reference) -> float:
        numbers = self._term.coefficients(greeks, reference)[None]
        return float(self._term.complete(numbers, self._columns, self._shares)[0])

    def _step(self, greeks: Greeks, reference: Reference) -> dict[str, Array]:
        numbers = self._term.coefficients(greeks, reference)[None]
        slope = self._term.pullback(numbers, self._columns, self._shares)[0]
        curvature = self._term.curvature(numbers, self._columns, self._shares)[0]
        chain = self._jacobian(greeks, slope.shape, reference)
        by_class = chain.reshape(*slope.shape, -1)
        hessian = np.einsum("kpi,kpq,kqj->ij", by_class, curvature, by_class)
        values, vectors = np.linalg.eigh(hessian)
        # Where the value is not concave, the step still goes up.
        size = np.abs(values)
        usable = size > FLAT * size.max(initial=0.0)
        along = np.where(usable, vectors.T @ (slope.reshape(-1) @ chain) / np.where(usable, size, 1.0), 0.0)
        ends = np.cumsum([self._transforms[name].size(value.shape) for name, value in greeks.items()])
        return dict(zip(greeks, np.split(vectors @ along, ends[:-1]), strict=True))

    def _jacobian(self, greeks: Greeks, shape: tuple[int, ...], reference: Reference) -> Array:
        """dC/dv [K · width, coordinates]: the chain rule, once for each of the numbers."""
        count = int(np.prod(shape))
        slopes = self._term.gradient(greeks, np.eye(count).reshape(count, *shape), reference)
        rows = []
        for number in range(count):
            by_name = ((name, slopes[name][number].reshape(-1)) for name in greeks)
            rows.append([self._transforms[n].pull_back(greeks[n].reshape(-1), slope) for n, slope in by_name])
        return np.stack([np.concatenate(row) for row in rows])

    def _moved(self, greeks: Greeks, step: Mapping[str, Array]) -> dict[str, Array]:
        moved = {}
        for name, value in greeks.items():
            transform = self._transforms[name]
            moved[name] = transform.forward(transform.inverse(value.reshape(-1)) + step[name]).reshape(value.shape)
        return moved
