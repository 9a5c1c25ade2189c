"""Maxima that chance makes: a class on a few rows that happen to lie close together.

Where classes have spreads of their own the likelihood has a maximum at nearly every handful of close rows (McLachlan &
Peel 2000, "Finite mixture models", section 3.10). Of N rows, m lie within a window that a row falls into with chance c
around some A of them in about ``C(N, A) C(N, m - A) c^(m - A)`` places, A the rows that settle where the window is. The
class gains m log(m / (N c)) nats there, by which c is known.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import gammaln

from estimators.optimise.arrays import Array
from estimators.optimise.ascent import LEAST_ROWS

if TYPE_CHECKING:
    from estimators.mixture.density import Density

# A class is narrow if a spread is so small a share of the widest class's, and small on so many rows for each anchor.
NARROW, FEW = 0.2, 10
# Places like it that chance is expected to make, above which a class is taken for one of them.
EXPECTED = 0.05
# EM steps of the other classes once it is left out.
STEPS = 3
LEFT = 1e-9


def is_spurious(density: "Density", coordinates: Array) -> bool:
    """Whether a narrow class on few rows is one that chance makes somewhere."""
    marginal, greeks = density.marginal, density.constrain(coordinates)
    if marginal.K == 1:
        return False
    shares, weights = None, 1.0 if marginal.data.unit_weights is None else marginal.data.unit_weights.numpy()
    for name, node in marginal.nodes.items():
        spreads = node.mechanism.own_spreads(node.local(greeks), marginal.references[name])
        if spreads is None or not node.is_effect:
            continue
        by_class = spreads.reshape(marginal.K, -1, spreads.shape[-1])
        narrow = (by_class < NARROW * by_class.max((0, 1))).any((1, 2))
        anchors = 1 + max(node.num_inputs, (node.mechanism.num_columns or 1) - 1)
        for k in np.flatnonzero(narrow):
            if shares is None:
                shares = density.responsibilities(density.draws(coordinates[None]))[0].numpy()
            rows = float((weights * shares[:, k]).sum())
            if not LEAST_ROWS <= rows < FEW * anchors:
                continue
            if _expected_places(rows, _gain(density, coordinates, shares, k), anchors, density.count) > EXPECTED:
                return True
    return False


def _gain(density: "Density", coordinates: Array, shares: Array, k: Any) -> float:
    """The log-likelihood over that without class k."""
    others = np.where(np.arange(shares.shape[1]) == k, 0.0, shares + 1e-12)
    others /= others.sum(1, keepdims=True)
    others = np.where(np.arange(shares.shape[1]) == k, LEFT, (1.0 - LEFT) * others)
    point, value = density.under(coordinates[None], others[None]), -np.inf
    for _ in range(STEPS):
        (value,), point = density.em_steps(point)
    return float(density.values(coordinates).likelihood - value)


def _expected_places(rows: float, gain: float, anchors: int, N: float) -> float:
    """How many such classes chance makes."""
    free = max(rows - anchors, 0.0)
    log_chance = np.log(rows / N) - gain / rows
    return float(np.exp(min(_log_choose(N, anchors) + _log_choose(N, free) + free * min(log_chance, 0.0), 50.0)))


def _log_choose(n: float, k: float) -> float:
    return float(gammaln(n + 1) - gammaln(k + 1) - gammaln(max(n - k, 0.0) + 1))
