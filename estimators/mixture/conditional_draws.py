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
from estimators.mixture.averages import MAX_ELEMENTS
from estimators.mixture.integration import SIMULATED, weigh
from estimators.mixture.joint import joint_of
from estimators.mixture.quadrature import Nodes
from estimators.mixture.situation import Situation, along
from estimators.parameters.laws import LOG_NODE_WEIGHTS, NUM_NODES

HALVINGS = 48
# Nodes of one draw of the Greeks that are resampled.
MOST_DRAWN = 100_000
# A row's draw of the Greeks, its node (or panel) and its configuration.
Chosen = tuple[Tensor, Tensor, Tensor]


def draw_rows(situation: Situation, which: Tensor, seed: int, *, is_per_row: bool) -> dict[str, Tensor]:
    """Values [N] of all that what is seen informs about, for rows of the given draws of the situation's Greeks [N].

    Random numbers are torch's, but for the nodes of integrals, which are those of ``seed``.
    """
    by_row = situation.at_draws(which)
    if is_per_row:
        drawn_open = _draw_open(by_row, torch.arange(len(which)), seed)
    else:
        distinct, index = which.unique(return_inverse=True)
        drawn_open = _draw_open(situation.at_draws(distinct), index, seed)
    known = {name: along(value, 0, 0) for name, value in drawn_open.items()}
    settings = situation.settings
    is_set = {name: value for name, value in known.items() if name in settings}
    is_seen = {name: value for name, value in known.items() if name not in settings}
    rest = replace(by_row, settings={**settings, **is_set}, seen={**situation.seen, **is_seen})
    drawn = joint_of(rest, rest.above(list(rest.seen)), {}).draw()
    return {name: value.long() if name == LATENT else value for name, value in drawn.items()}


def _draw_open(situation: Situation, which: Tensor, seed: int) -> dict[str, Tensor]:
    """Values [N] of the open variables above what is seen, for rows of the given draws of the Greeks [N].

    Draws lie along the first axis of the situation, which has one row (M = 1). Random numbers are torch's, but for the
    nodes, which are those of ``seed``.
    """
    size = MAX_ELEMENTS // (situation.num_draws * 4 * situation.model.K * situation.num_averaged)
    weighed = weigh(situation, None, None, seed, num_drawn=min(max(size, SIMULATED), MOST_DRAWN))
    if weighed.nodes is None:
        return {}
    nodes = weighed.nodes
    shares = weighed.log_weights[:, 0].exp()
    if nodes.edges is None:
        chosen = _choose(shares, which)
        return {name: value[:, 0].expand(shares.shape)[chosen] for name, value in nodes.values.items()}
    return _from_panels(shares, nodes, nodes.edges[:, 0], which)


def _choose(shares: Tensor, which: Tensor) -> Chosen:
    """A node and a configuration for each row, in proportion to the shares [S, Q, C] at the row's draw."""
    counts = torch.bincount(which, minlength=len(shares))
    picked = torch.multinomial(shares.flatten(1), int(counts.max()), replacement=True)
    order = which.argsort(stable=True)
    rank = torch.empty_like(which)
    rank[order] = torch.arange(len(which)) - (counts.cumsum(0) - counts)[which[order]]
    flat = picked[which, rank]
    return which, flat // shares.shape[2], flat % shares.shape[2]


def _from_panels(shares: Tensor, nodes: Nodes, edges: Tensor, which: Tensor) -> dict[str, Tensor]:
    """Values [N] of the one variable that is integrated on panels: a panel or an atom, and where on the panel."""
    (name, values), size = next(iter(nodes.values.items())), edges.shape[1] - 1
    by_panel = shares[:, : size * NUM_NODES].unflatten(1, (size, NUM_NODES))
    draw, panel, configuration = _choose(torch.cat([by_panel.sum(2), shares[:, size * NUM_NODES :]], 1), which)
    is_atom = panel >= size
    atom = values[:, 0].expand(shares.shape)[draw, panel + size * (NUM_NODES - 1), configuration]
    panel = panel.clamp_max(size - 1)
    density = by_panel[draw, panel, :, configuration] / LOG_NODE_WEIGHTS.exp()
    density[is_atom] = 1.0
    edges = edges.expand(len(shares), -1, shares.shape[2])
    low, high = (edges[draw, panel + step, configuration] for step in (0, 1))
    inside = low + (high - low) * _inverse(density, torch.rand(len(draw), dtype=torch.float64))
    return {name: torch.where(is_atom, atom, inside)}


def _inverse(density: Tensor, level: Tensor) -> Tensor:
    """Where on [0, 1] the polynomial through values at the nodes [N, n] has a share of its integral to the left."""
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
