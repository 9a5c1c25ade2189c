"""Joint distributions where something has no closed form: it is integrated over nodes, which enter as its values.

*Open* is what causes something in question and has no closed form there: a variable set to an Exponential, say, or a
Gaussian one below which a regression is not linear. One is integrated by quadrature, on panels of its law, of what is
seen below it and of the answer; several are drawn from their laws. Either way a node weighs as much as p(what is seen |
node) says. A node of a variable with a law that is set is a value in its place, and one of a Gaussian variable is seen
there, so that its law weighs it with all that is Gaussian.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from estimators.isolation import isolated, without_validation
from estimators.mixture.joint import (
    Joint,
    check_possible,
    configurations,
    is_count,
    joint_of,
    more_counts,
    role_of,
)
from estimators.mixture.situation import Situation
from estimators.parameters.laws import (
    LOG_NODE_WEIGHTS,
    NODES,
    NUM_NODES,
    Panels,
    has_cdf,
    is_finite,
    is_integer,
    is_small,
    panels_of,
)
from estimators.parameters.parameter import LOG_ZERO
from estimators.parameters.sparse import in_logs

# Draws of what is open, where there are several or the law's density cannot be integrated.
SIMULATED = 2_000
# Panels about a peak end so many of its standard deviations from it.
PEAK = torch.tensor(
    [-12.0, -9.0, -7.0, -5.0, -3.5, -2.0, -1.0, 0.0, 1.0, 2.0, 3.5, 5.0, 7.0, 9.0, 12.0], dtype=torch.float64
)
# Those of a Gaussian variable reach as far as its density is a number.
REACH = torch.cat([torch.arange(-38.0, -10.0, 2.0), torch.arange(-10.0, 11.0), torch.arange(12.0, 39.0, 2.0)]).double()
# Those about where a regression turns, whose tails in its predictor are exponential.
TURN = torch.cat([PEAK, torch.tensor([-100.0, -50.0, -30.0, -18.0, 18.0, 30.0, 50.0, 100.0]).double()]).sort().values
# Where a Gaussian variable is found from any two of its values; the second look is from nearby.
LOOKS = 3


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


@dataclass(frozen=True, eq=False)
class Weighed:
    """A joint whose M axis holds R rows with Q nodes each, and log p(node, configuration, seen) [S, R, Q, C]."""

    joint: Joint
    log_joint: Tensor
    nodes: Nodes | None = None

    @property
    def is_simulated(self) -> bool:
        """Whether the nodes were drawn."""
        return self.nodes is not None and self.nodes.edges is None

    @property
    def log_evidence(self) -> Tensor:
        """log p(seen) as [S, R, 1, 1]."""
        return self.log_joint.flatten(2).logsumexp(-1)[..., None, None]

    @property
    def log_weights(self) -> Tensor:
        """log p(node, configuration | seen) as [S, R, Q, C]."""
        return self.log_joint - self.log_evidence


@without_validation()
def weigh(
    situation: Situation,
    target: str | None,
    points: Tensor | None = None,
    seed: int = 0,
    *,
    num_drawn: int = SIMULATED,
    for_mean: bool = False,
) -> Weighed:
    """The joint of a target and all it depends on; with ``points`` [P] R is P where panels differ between them.

    ``for_mean`` counts reach as far as the target's mean asks.

    Raises ValueError where what is seen has probability 0.
    """
    names = situation.above([*([] if target is None else [target]), *situation.seen])
    is_open = open_variables(situation, names, target)
    if not is_open:
        joint = _closed(situation, tuple(names), target if for_mean else None)
        return Weighed(joint, joint.log_joint[:, :, None])
    integrated = _integrated(situation, names, target)
    law = situation.laws.get(integrated[0])
    is_one = len(integrated) == 1
    panels = panels_of(law) if is_one and law is not None and not is_integer(law) else None
    is_line = is_one and law is None and role_of(situation, integrated[0], names) == "gaussian"

    def nodes_of(num_counts: Mapping[str, int], rule: Rule) -> Nodes:
        question = Question(situation, names, integrated[0], num_counts, target, points)
        if is_line:
            return _over_gaussian(question, rule)
        if panels is not None:
            return _over_law(question, panels, rule)
        with isolated(seed):
            return _drawn(situation, names, is_open, num_counts, max(num_drawn * len(rule.points) // NUM_NODES, 1))

    num_counts: dict[str, int] = {}
    has_counts = any(is_count(situation, name) for name in names if name not in situation.seen)
    for rule in (COARSE, FINE) if has_counts else (FINE,):
        while True:
            weighed = _at_nodes(situation, names, nodes_of(num_counts, rule), num_counts)
            more = more_counts(situation, weighed.joint, weighed.log_joint, target if for_mean else None)
            if not more:
                break
            num_counts |= more
    check_possible(weighed.log_joint, situation.seen)
    return weighed


def _closed(situation: Situation, names: tuple[str, ...], averaged: str | None) -> Joint:
    """The joint of variables that all have closed forms, made once."""
    known, key = situation.joints, (names, averaged)
    if key not in known:
        joint = joint_of(situation, names, {}, averaged)
        check_possible(joint.log_joint, situation.seen)
        known[key] = joint
    found: Joint = known[key]
    return found


def _at_nodes(situation: Situation, names: Sequence[str], nodes: Nodes, num_counts: Mapping[str, int]) -> Weighed:
    """The joint of some variables at the nodes of others, with so many values of each count."""
    _, num_rows, num_nodes, _ = nodes.log_weights.shape
    flat = {name: value.flatten(1, 2) for name, value in nodes.values.items()}
    joint = Joint(_at(situation.repeated(num_nodes), flat, are_drawn=nodes.edges is None), names, num_counts)
    log = joint.log_joint.expand(-1, num_rows * num_nodes, -1)
    log = log.reshape(len(log), num_rows, num_nodes, -1) + nodes.log_weights
    return Weighed(joint, log.clamp_min(LOG_ZERO), nodes)


def _at(situation: Situation, values: Mapping[str, Tensor], *, are_drawn: bool = False) -> Situation:
    """The situation at values of the open variables."""
    are_set = are_drawn or any(name in situation.laws for name in values)
    return replace(situation, nodes=values) if are_set else replace(situation, seen={**situation.seen, **values})


def has_open(situation: Situation) -> bool:
    """Whether anything in a situation may have to be integrated numerically."""
    return bool(open_variables(situation, situation.above(list(situation.model.mechanisms)), None))


def open_variables(situation: Situation, names: Sequence[str], target: str | None) -> tuple[str, ...]:
    """What is integrated, and the Gaussian causes of that, which have to be drawn before it."""
    is_open = set(_integrated(situation, names, target))
    for name in reversed(names):
        if name in is_open:
            is_open |= _gaussian_causes(situation, name, names)
    return tuple(name for name in names if name in is_open)


def _integrated(situation: Situation, names: Sequence[str], target: str | None) -> list[str]:
    """What has no closed form, with every Gaussian cause of what is not Gaussian."""
    found = {
        name for name in names if name not in situation.seen and _has_no_closed_form(situation, name, names, target)
    }
    for name in names:
        if role_of(situation, name, names) != "gaussian":
            found |= _gaussian_causes(situation, name, names)
    return [name for name in names if name in found]


def _gaussian_causes(situation: Situation, name: str, names: Sequence[str]) -> set[str]:
    causes = set(situation.edges[name]).intersection(names) - set(situation.seen)
    return {cause for cause in causes if role_of(situation, cause, names) == "gaussian"}


def _has_no_closed_form(situation: Situation, name: str, names: Sequence[str], target: str | None) -> bool:
    law, role = situation.laws.get(name), role_of(situation, name, names)
    if role == "gaussian":
        return False
    if role == "discrete":
        return law is not None and not is_finite(law) and not is_small(law)
    is_asked = name == target and law is not None and not is_integer(law) and not has_cdf(law)
    return is_asked or situation.is_cause(name, names)


def _drawn(
    situation: Situation, names: Sequence[str], is_open: Sequence[str], num_counts: Mapping[str, int], size: int
) -> Nodes:
    """Draws of the open variables from their laws, in every configuration; random numbers are torch's."""
    discrete = [name for name in names if name not in is_open and role_of(situation, name, names) == "discrete"]
    rows = situation.repeated(size)
    values = {**configurations(situation, names, discrete, num_counts)[1], **rows.values, **rows.seen}
    drawn: dict[str, Tensor] = {}
    for name in is_open:
        law = in_logs(rows.distribution(name, {**values, **drawn}))
        if law.batch_shape:
            shape = np.broadcast_shapes(law.batch_shape, (1, situation.num_rows * size, 1))
            drawn[name] = law.expand(shape).sample().double()
        else:
            drawn[name] = law.sample(torch.Size([1, size, 1])).double().repeat(1, situation.num_rows, 1)
    drawn = {name: value.reshape(len(value), situation.num_rows, size, -1) for name, value in drawn.items()}
    return Nodes(drawn, torch.full((1, situation.num_rows, size, 1), -np.log(size), dtype=torch.float64))


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
        return Joint(_at(self.situation.repeated(2), {self.name: values}), self.names, self.num_counts)


def _over_gaussian(question: Question, rule: Rule) -> Nodes:
    """Nodes of a Gaussian variable, in each configuration where its law and what is Gaussian and seen put it."""
    zero, one = (torch.full((1, 1, 1), number, dtype=torch.float64) for number in (0.0, 1.0))
    location, scale = zero, one
    for _ in range(LOOKS):
        found = _peak_of_seen(question.probe(location, scale), question.situation.num_rows)
        location, scale = location + scale * found[0], scale * found[1]
    joint = question.probe(location, scale)
    peaks = [(zero, one, REACH), *_peaks_of_answer(joint, question, location, scale), *_turns(joint, question)]
    edges = torch.cat(_expanded([location[:, :, None] + scale[:, :, None] * marks for marks in _marks(peaks)]), 2)
    edges = edges.sort(2).values
    values, log = _nodes_on(edges, rule)
    return Nodes({question.name: values}, log, edges)


def _over_law(question: Question, panels: Panels, rule: Rule) -> Nodes:
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
    first, slope = _line(mean, 1)
    return [((points - first) / slope, spread[:, :1] / slope.abs(), PEAK)]


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
