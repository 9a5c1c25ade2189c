"""Draws given what is seen: first of what has no closed form, then of the rest, which has one given that.

What has none is drawn by the inverse CDF on its panels, or by resampling draws. On a panel the density is the
polynomial through its values at the nodes, whose integral is inverted by bisection: a draw is exact to the quadrature.
Where nodes were drawn, they are resampled by p(seen | node), which is exact as their number grows
(sampling-importance resampling; Rubin 1988).
"""

from dataclasses import replace

import numpy as np
import torch
from numpy.polynomial import legendre
from torch import Tensor

from estimators.data.data import LATENT
from estimators.mixture.integration import SIMULATED, Nodes, weigh
from estimators.mixture.joint import joint_of
from estimators.mixture.situation import Situation, along
from estimators.parameters.laws import LOG_NODE_WEIGHTS, NUM_NODES

HALVINGS = 48
# Nodes that are resampled, of all draws of the Greeks together, and of one.
MAX_ELEMENTS, MOST_DRAWN = 4_000_000, 100_000


def draw_rows(situation: Situation, which: Tensor, seed: int, *, is_per_row: bool) -> dict[str, Tensor]:
    """Values [N] of all that what is seen informs about, for rows of the given draws of the situation's Greeks [N].

    Random numbers are torch's, but for the nodes of integrals, which are those of ``seed``.
    """
    draws = situation.draws
    own = replace(situation, draws={name: value[which] for name, value in draws.items()})
    if is_per_row:
        opened = _draw_open(own, torch.arange(len(which)), seed)
    else:
        distinct, place = which.unique(return_inverse=True)
        greeks = {name: value[distinct] for name, value in draws.items()}
        opened = _draw_open(replace(situation, draws=greeks), place, seed)
    known = {name: along(value, 0, 0) for name, value in opened.items()}
    settings = situation.settings
    is_set = {name: value for name, value in known.items() if name in settings}
    is_seen = {name: value for name, value in known.items() if name not in settings}
    rest = replace(own, settings={**settings, **is_set}, seen={**situation.seen, **is_seen})
    drawn = joint_of(rest, rest.above(list(rest.seen)), {}).draw()
    return {name: value.long() if name == LATENT else value for name, value in drawn.items()}


def _draw_open(situation: Situation, which: Tensor, seed: int) -> dict[str, Tensor]:
    """Values [N] of the open variables above what is seen, for rows of the given draws of the Greeks [N].

    Draws lie along the first axis of the situation, which has one row (M = 1). Random numbers are torch's, but for the
    nodes, which are those of ``seed``.
    """
    size = MAX_ELEMENTS // (situation.num_draws * 4 * situation.model.K)
    weighed = weigh(situation, None, None, seed, num_drawn=min(max(size, SIMULATED), MOST_DRAWN))
    if weighed.nodes is None:
        return {}
    nodes = weighed.nodes
    shares = weighed.log_weights[:, 0].exp()
    if nodes.edges is None:
        row, node, configuration = _chosen(shares, which)
        return {name: _at(value[:, 0], row, node, configuration) for name, value in nodes.values.items()}
    return _from_panels(shares, nodes, nodes.edges[:, 0], which)


def _chosen(shares: Tensor, which: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For each row a draw, a node and a configuration, from shares [S, Q, C] of the rows' draws."""
    counts = torch.bincount(which, minlength=len(shares))
    picked = torch.multinomial(shares.flatten(1), int(counts.max()), replacement=True)
    order = which.argsort(stable=True)
    rank = torch.empty_like(which)
    rank[order] = torch.arange(len(which)) - (counts.cumsum(0) - counts)[which[order]]
    flat = picked[which, rank]
    return which, flat // shares.shape[2], flat % shares.shape[2]


def _at(value: Tensor, row: Tensor, node: Tensor, configuration: Tensor) -> Tensor:
    """Values [S | 1, Q, C | 1] at a draw, a node and a configuration each."""
    one = torch.zeros_like(row)
    return value[row if len(value) > 1 else one, node, configuration if value.shape[2] > 1 else one]


def _from_panels(shares: Tensor, nodes: Nodes, edges: Tensor, which: Tensor) -> dict[str, Tensor]:
    (name, values), size = next(iter(nodes.values.items())), edges.shape[1] - 1
    smooth = shares[:, : size * NUM_NODES].unflatten(1, (size, NUM_NODES))
    row, panel, configuration = _chosen(torch.cat([smooth.sum(2), shares[:, size * NUM_NODES :]], 1), which)
    is_atom = panel >= size
    inside = panel.clamp_max(size - 1)
    density = smooth[row, inside, :, configuration] / LOG_NODE_WEIGHTS.exp()
    density[is_atom] = 1.0
    low, high = (_at(edges, row, inside + step, configuration) for step in (0, 1))
    found = low + (high - low) * _inverse(density, torch.rand(len(row), dtype=torch.float64))
    atoms = _at(values[:, 0], row, (panel - size).clamp_min(0) + size * NUM_NODES - (~is_atom).long(), configuration)
    return {name: torch.where(is_atom, atoms, found)}


def _inverse(density: Tensor, level: Tensor) -> Tensor:
    """Where on [0, 1] the polynomial through values at the nodes [N, n] has a share of its integral on one side."""
    points, weights = legendre.leggauss(NUM_NODES)
    orders = np.arange(NUM_NODES)
    to_series = (orders[:, None] + 0.5) * legendre.legvander(points, NUM_NODES - 1).T * weights
    integral = legendre.legint(to_series, lbnd=-1)
    series = integral @ density.T.numpy()
    target = level.numpy() * legendre.legval(np.ones(len(density)), series, tensor=False)
    low, high = -np.ones(len(density)), np.ones(len(density))
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        is_below = legendre.legval(middle, series, tensor=False) < target
        low, high = np.where(is_below, middle, low), np.where(is_below, high, middle)
    return torch.from_numpy(0.25 * (low + high) + 0.5)
