"""Nodes of one variable that is integrated: on panels of its law, of what is seen below it, and of the answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.polynomial import legendre
from torch import Tensor

from estimators.mixture.joint import Joint
from estimators.mixture.situation import Situation
from estimators.parameters.laws import LOG_NODE_WEIGHTS, NODES, NUM_NODES, Panels
from estimators.parameters.parameter import LOG_ZERO

# Panels about a peak end so many of its standard deviations from it.
PEAK = torch.tensor(
    [-12.0, -9.0, -7.0, -5.0, -3.5, -2.0, -1.0, 0.0, 1.0, 2.0, 3.5, 5.0, 7.0, 9.0, 12.0], dtype=torch.float64
)
# Those of a Gaussian variable reach as far as its density is a number.
REACH = torch.arange(-38.0, 39.0, 2.0).double()
# Those about where a regression turns, whose tails in its predictor are exponential.
TURN = torch.cat([PEAK, torch.tensor([-100.0, -50.0, -30.0, -18.0, 18.0, 30.0, 50.0, 100.0]).double()]).sort().values
# Where a Gaussian variable is found from any two of its values; the second look is from nearby.
LOOKS = 3
# Where looks begin, in sds of the variable's own law, if it is in a product: what is seen may then have several peaks.
STARTS = (-4.0, -2.0, 0.0, 2.0, 4.0)
# The last orders of the polynomial on a panel, from what its nodes weigh; a density with a larger share of these is not
# resolved.
LAST_ORDERS = torch.from_numpy(
    legendre.legvander(2.0 * NODES.numpy() - 1.0, NUM_NODES - 1) * np.arange(1, 2 * NUM_NODES, 2)
)[:, -2:]
ROUGH = 1e-4


@dataclass(frozen=True, eq=False)
class Rule:
    """Nodes of a panel, on [0, 1], and their weights."""

    points: Tensor
    log_weights: Tensor


FINE = Rule(NODES, LOG_NODE_WEIGHTS)
# How many values a count needs is first asked of few nodes: a table of all of them is large for many values.
COARSE = Rule(torch.tensor([0.5], dtype=torch.float64), torch.zeros(1, dtype=torch.float64))

# The centre and the width of what panels must resolve, [S | 1, R, C], and where their edges are in such widths.
Peak = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Nodes:
    """Values [S | 1, R, Q, C | 1] of the open variables, with the logarithm of what each node weighs before seeing.

    ``edges`` [S | 1, R, E + 1, C | 1] are those of the panels that they lie on, in order; atoms come last. None where
    the nodes were drawn.
    """

    values: Mapping[str, Tensor]
    log_weights: Tensor
    edges: Tensor | None = None

    def on_panels(self, first: int, stop: int) -> "Nodes":
        """Those on some panels that lie side by side."""
        assert self.edges is not None
        own = slice(first * NUM_NODES, stop * NUM_NODES)
        values = {name: value[:, :, own] for name, value in self.values.items()}
        return Nodes(values, self.log_weights[:, :, own], self.edges[:, :, first : stop + 1])


def situation_at(situation: Situation, values: Mapping[str, Tensor], *, are_drawn: bool = False) -> Situation:
    """The situation at values of the open variables."""
    are_set = are_drawn or any(name in situation.laws for name in values)
    return replace(situation, nodes=values) if are_set else replace(situation, seen={**situation.seen, **values})


@dataclass(frozen=True, eq=False)
class Question:
    """One variable to integrate, and what is asked: a target, perhaps at points [P] with panels of their own."""

    situation: Situation
    names: Sequence[str]
    name: str
    num_counts: Mapping[str, int]
    target: str | None
    points: Tensor | None

    def probe(self, location: Tensor, scale: Tensor) -> Joint:
        """The joint at the two values `location` and `location + scale` [S | 1, R | 1, C | 1] of each row."""
        shape = np.broadcast_shapes(location.shape, scale.shape, (1, self.situation.num_rows, 1))
        values = torch.stack([location.expand(shape), (location + scale).expand(shape)], 2).flatten(1, 2)
        return Joint(situation_at(self.situation.repeated(2), {self.name: values}), self.names, self.num_counts)


def over_gaussian(question: Question, rule: Rule, *, is_in_product: bool) -> Nodes:
    """Nodes of a Gaussian variable, in each configuration where its law and what is Gaussian and seen put it."""
    zero, one = (torch.full((1, 1, 1), number, dtype=torch.float64) for number in (0.0, 1.0))
    location, scale = _found(question, zero, one)
    joint = question.probe(location, scale)
    peaks = [(zero, one, REACH), *_peaks_of_answer(joint, question, location, scale), *_turns(joint, question)]
    found = [location[:, :, None] + scale[:, :, None] * marks for marks in _marks(peaks)]
    if is_in_product:
        found += _edges_of_product(question)
    edges = torch.cat(_expanded(found), 2).sort(2).values
    values, log = _nodes_on(edges, rule)
    return Nodes({question.name: values}, log, edges)


def _found(question: Question, location: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Where what is Gaussian and seen puts a Gaussian variable, looked for from somewhere."""
    for _ in range(LOOKS):
        centre, width, _ = _peak_of_seen(question.probe(location, scale), question.situation.num_rows)
        location, scale = location + scale * centre, scale * width
    return location, scale


def _edges_of_product(question: Question) -> list[Tensor]:
    """The edges of panels for a variable in a product: about its law without what it causes, and what there is near."""
    zero, one = (torch.full((1, 1, 1), number, dtype=torch.float64) for number in (0.0, 1.0))
    alone = replace(question, names=question.situation.above([question.name]))
    of_classes, widths = _found(alone, zero, one)
    location = of_classes.mean(-1, keepdim=True)
    scale = (widths + (of_classes - location).abs()).amax(-1, keepdim=True)
    found = [location[:, :, None] + scale[:, :, None] * REACH[:, None]]
    for start in STARTS:
        at, width = location + start * scale, scale
        peaks = [_found(question, at, width)]
        for _ in range(2 * LOOKS if question.points is not None else 0):
            answer = _peaks_of_answer(question.probe(at, width), question, at, width)
            for centre, ratio, _ in answer:
                is_there = torch.isfinite(centre) & torch.isfinite(ratio) & (ratio > 0)
                at, width = torch.where(is_there, at + width * centre, at), torch.where(is_there, width * ratio, width)
        peaks.append((at, width))
        found += [centre[:, :, None] + spread[:, :, None] * PEAK[:, None] for centre, spread in peaks]
    return found


def over_law(question: Question, panels: Panels, rule: Rule) -> Nodes:
    """Nodes on the panels of a law, split where what is seen and what is asked have their peaks."""
    name, situation = question.name, question.situation
    law = situation.laws[name]
    location, scale = (torch.tensor([[[number]]], dtype=torch.float64) for number in (panels.location, panels.scale))
    joint = question.probe(location, scale)
    edges = panels.edges.reshape(1, 1, -1, 1)
    # What lies between the last panel and a bound is an atom, and counts once.
    ends = [e if np.isfinite(bound) else bound for e, bound in zip(edges.aminmax(), panels.bounds, strict=True)]
    peaks = [*_peaks_of_answer(joint, question, location, scale), *_turns(joint, question)]
    if joint.standardised_errors is not None:
        peaks.append(_peak_of_seen(joint, situation.num_rows))
    near = [(panels.location + panels.scale * marks).clamp(*map(float, ends)) for marks in _marks(peaks)]
    edges = torch.cat(_expanded([edges, *near]), 2).sort(2).values
    values, log = _nodes_on(edges, rule)
    inside = (log > LOG_ZERO) & (values > panels.bounds[0]) & (values < panels.bounds[1])
    density = law.log_prob(torch.where(inside, values, panels.location))
    if bool((is_lost := torch.isnan(density)).any()):
        raise ValueError(
            f"{name} is set to {law}, whose log_prob is expected to be a number all over its support, and is not at "
            f"{float(torch.where(inside, values, panels.location)[is_lost][0])}; set it to values, or to another "
            "distribution"
        )
    log = torch.where(inside, log + density, LOG_ZERO)
    shape = (*values.shape[:2], -1, values.shape[3])
    atoms, masses = (column.reshape(1, 1, -1, 1).expand(shape) for column in panels.atoms.T)
    values, log = torch.cat([values, atoms], 2), torch.cat([log, masses], 2)
    # Where no peak tells rows apart, settings may.
    num_rows = max(situation.num_rows, values.shape[1])
    values, log, edges = (by_row.expand(-1, num_rows, -1, -1) for by_row in (values, log, edges))
    return Nodes({name: values}, log, edges)


def _nodes_on(edges: Tensor, rule: Rule) -> tuple[Tensor, Tensor]:
    """Nodes on panels [S | 1, R, E + 1, C | 1], and the logs of their weights; LOG_ZERO on a panel without a width."""
    start, size = edges[:, :, :-1, None], edges.diff(dim=2)[:, :, :, None]
    values = (start + size * rule.points[:, None]).flatten(2, 3)
    log = torch.where(size > 0, size.log(), LOG_ZERO) + rule.log_weights[:, None]
    return values, log.flatten(2, 3).clamp_min(LOG_ZERO)


def _marks(peaks: Sequence[Peak]) -> list[Tensor]:
    """The edges of panels about peaks, each [S | 1, R, E, C]."""
    finite = [(_finite(centre, width), marks) for centre, width, marks in peaks]
    return [peak[0][:, :, None] + peak[1][:, :, None] * marks[:, None] for peak, marks in finite if peak is not None]


def _expanded(edges: Sequence[Tensor]) -> list[Tensor]:
    """Edges [S | 1, R | 1, E, C | 1] with the same axes but for E."""
    shape = np.broadcast_shapes(*(marks[:, :, :1].shape for marks in edges))
    return [marks.expand(shape[0], shape[1], -1, shape[3]) for marks in edges]


def _peak_of_seen(joint: Joint, num_rows: int) -> Peak:
    """Where p(Gaussian variables that are seen | value) peaks, in units of the probe."""
    errors = joint.standardised_errors
    assert errors is not None
    # The errors are lines in the value: two values of it tell all.
    first, slope = _line(errors, num_rows)
    squares = slope.square().sum(-1)
    return -(first * slope).sum(-1) / squares, squares.rsqrt(), PEAK


def _peaks_of_answer(joint: Joint, question: Question, location: Tensor, scale: Tensor) -> list[Peak]:
    """Where the answer as a function of the value changes: at a point, or as a Gaussian variable below it does."""
    if question.points is None or question.target is None:
        return []
    points = question.points.reshape(1, -1, 1)
    if question.target == question.name:
        return [((points - location) / scale, torch.zeros(1, 1, 1, dtype=torch.float64), PEAK[:1])]
    if question.target not in joint.gaussian:
        return []
    mean, spread = joint.moments(question.target)
    first, slope = _line(mean, location.shape[1])
    own = spread[:, 0::2] if spread.shape[1] > 1 else spread
    return [((points - first) / slope, own / slope.abs(), PEAK)]


def _turns(joint: Joint, question: Question) -> list[Peak]:
    """Where the regressions turn that the value is a cause of."""
    situation, peaks = question.situation, []
    for name in question.names:
        if question.name in situation.edges[name] and name not in joint.gaussian:
            asked = question.points if name == question.target else None
            value = joint.values.get(name, None if asked is None else asked.reshape(1, -1, 1))
            for turn in joint.turning(name, value):
                first, slope = _line(turn.predictor, situation.num_rows)
                # Of what is seen by row, every row is there twice.
                step = 2 if situation.num_rows > 1 and turn.centre.shape[1] > 1 else 1
                centre, width = turn.centre[:, ::step], turn.width[:, ::step]
                peaks.append(((centre - first) / slope, width / slope.abs(), TURN))
    return peaks


def _line(values: Tensor, num_rows: int) -> tuple[Tensor, Tensor]:
    """Values [S, R, C, ...] at the first of two neighbouring rows, and how much more they are at the second."""
    values = values.expand(-1, 2 * num_rows, *values.shape[2:])
    return values[:, 0::2], values[:, 1::2] - values[:, 0::2]


def _finite(centre: Tensor, width: Tensor) -> tuple[Tensor, Tensor] | None:
    """The peak of each row and configuration, the law's location where it is not finite; None where no peak is."""
    is_peak = torch.isfinite(centre) & torch.isfinite(width)
    if not bool(is_peak.any()):
        return None
    return torch.where(is_peak, centre, 0.0), torch.where(is_peak, width, 0.0)
