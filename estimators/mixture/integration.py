"""Joint distributions where something has no closed form: it is integrated over nodes, which enter as its values.

*Open* is what causes something in question and is neither discrete nor Gaussian: a variable set to an Exponential, say.
One that is set is integrated by quadrature, on panels of its law, of what is seen below it and of the answer; several
are drawn from their laws. Either way a node weighs as much as p(what is seen | node) says.
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
    columns_of,
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


@dataclass(frozen=True, eq=False)
class Rule:
    """Nodes of a panel, on [0, 1], and their weights."""

    points: Tensor
    log_weights: Tensor


FINE = Rule(NODES, LOG_NODE_WEIGHTS)
# How many values a count needs is first asked of few nodes: a table of all of them is large for many values.
COARSE = Rule(torch.tensor([0.5], dtype=torch.float64), torch.zeros(1, dtype=torch.float64))

# The centre and the standard deviation of what a panel must resolve, [S | 1, R, C].
Peak = tuple[Tensor, Tensor]


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
) -> Weighed:
    """The joint of a target and all it depends on; with ``points`` [P] R is P where panels differ between them.

    Raises ValueError where what is seen has probability 0.
    """
    names = situation.above([*([] if target is None else [target]), *situation.seen])
    is_open = open_variables(situation, names, target)
    if not is_open:
        joint = _closed(situation, tuple(names))
        return Weighed(joint, joint.log_joint[:, :, None])
    law = situation.laws.get(is_open[0])
    panels = panels_of(law) if len(is_open) == 1 and law is not None and not is_integer(law) else None

    def nodes_of(num_counts: Mapping[str, int], rule: Rule) -> Nodes:
        if panels is None:
            with isolated(seed):
                return _drawn(situation, names, is_open, num_counts, max(num_drawn * len(rule.points) // NUM_NODES, 1))
        asked = None if target is None or points is None else (target, points)
        return _quadrature(situation, names, (is_open[0], panels), asked, num_counts, rule)

    num_counts: dict[str, int] = {}
    has_counts = any(is_count(situation, name) for name in names if name not in situation.seen)
    for rule in (COARSE, FINE) if has_counts else (FINE,):
        while True:
            weighed = _at_nodes(situation, names, nodes_of(num_counts, rule), num_counts)
            more = more_counts(situation, weighed.joint, weighed.log_joint)
            if not more:
                break
            num_counts |= more
    check_possible(weighed.log_joint, situation.seen)
    return weighed


def _closed(situation: Situation, names: tuple[str, ...]) -> Joint:
    """The joint of variables that all have closed forms, made once."""
    known: dict[tuple[str, ...], Joint] = situation.joints
    if names not in known:
        joint = joint_of(situation, names, {})
        check_possible(joint.log_joint, situation.seen)
        known[names] = joint
    return known[names]


def _at_nodes(situation: Situation, names: Sequence[str], nodes: Nodes, num_counts: Mapping[str, int]) -> Weighed:
    """The joint of some variables at the nodes of others, with so many values of each count."""
    _, num_rows, num_nodes, _ = nodes.log_weights.shape
    flat = {name: value.flatten(1, 2) for name, value in nodes.values.items()}
    joint = Joint(replace(situation.repeated(num_nodes), nodes=flat), names, num_counts)
    log = joint.log_joint.expand(-1, num_rows * num_nodes, -1)
    log = log.reshape(len(log), num_rows, num_nodes, -1) + nodes.log_weights
    return Weighed(joint, log.clamp_min(LOG_ZERO), nodes)


def has_open(situation: Situation) -> bool:
    """Whether anything in a situation may have to be integrated numerically."""
    return bool(open_variables(situation, situation.above(list(situation.model.mechanisms)), None))


def open_variables(situation: Situation, names: Sequence[str], target: str | None) -> tuple[str, ...]:
    """What has no closed form, with every Gaussian cause of what is not Gaussian."""
    is_open = {
        name for name in names if name not in situation.seen and _has_no_closed_form(situation, name, names, target)
    }
    for name in reversed(names):
        if name in is_open or role_of(situation, name, names) == "other":
            causes = set(situation.edges[name]).intersection(names) - set(situation.seen)
            is_open |= {cause for cause in causes if role_of(situation, cause, names) == "gaussian"}
    return tuple(name for name in names if name in is_open)


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
    values = {**rows.values, **rows.seen, **columns_of(configurations(situation, discrete, num_counts))}
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


def _quadrature(
    situation: Situation,
    names: Sequence[str],
    integrated: tuple[str, Panels],
    asked: tuple[str, Tensor] | None,
    num_counts: Mapping[str, int],
    rule: Rule,
) -> Nodes:
    """Nodes on the panels of a law, split where what is seen and what is asked have their peaks."""
    name, panels = integrated
    law = situation.laws[name]
    probe = torch.tensor([panels.location, panels.location + panels.scale], dtype=torch.float64)
    twice = replace(situation.repeated(2), nodes={name: probe.repeat(situation.num_rows).reshape(1, -1, 1)})
    joint = Joint(twice, names, num_counts)
    edges = panels.edges.reshape(1, 1, -1, 1)
    # What lies between the last panel and a bound is an atom, and counts once.
    ends = [e if np.isfinite(bound) else bound for e, bound in zip(edges.aminmax(), panels.bounds, strict=True)]
    for centre, width in _peaks(joint, situation, asked, name):
        near = centre[:, :, None] + width[:, :, None] * PEAK[:, None]
        near = (panels.location + panels.scale * near).clamp(*map(float, ends))
        shape = np.broadcast_shapes(near[:, :, :1].shape, edges[:, :, :1].shape)
        edges = torch.cat([marks.expand(shape[0], shape[1], -1, shape[3]) for marks in (edges, near)], 2)
    edges = edges.sort(2).values
    start, size = edges[:, :, :-1, None], edges.diff(dim=2)[:, :, :, None]
    values = (start + size * rule.points[:, None]).flatten(2, 3)
    inside = (size > 0).expand(-1, -1, -1, len(rule.points), -1).flatten(2, 3)
    inside = inside & (values > panels.bounds[0]) & (values < panels.bounds[1])
    log = (size.log() + rule.log_weights[:, None]).flatten(2, 3)
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


def _peaks(joint: Joint, situation: Situation, asked: tuple[str, Tensor] | None, name: str) -> list[Peak]:
    """Where p(seen | value), and the answer as a function of the value, change: in units of the law.

    Both are Gaussian in the value for Gaussian variables below it, whose means are lines: two values of it tell all.
    """
    peaks = []
    errors = joint.standardised_errors
    if errors is not None:
        first, slope = _line(errors, situation.num_rows)
        squares = slope.square().sum(-1)
        peaks.append((-(first * slope).sum(-1) / squares, squares.rsqrt()))
    if asked is not None:
        target, points = asked
        points = points.reshape(1, -1, 1)
        if target == name:
            probe = joint.values[name].reshape(-1)
            peaks.append(((points - probe[0]) / (probe[1] - probe[0]), torch.zeros(1, 1, 1, dtype=torch.float64)))
        elif target in joint.gaussian:
            mean, spread = joint.moments(target)
            first, slope = _line(mean, 1)
            peaks.append(((points - first) / slope, spread[:, :1] / slope.abs()))
    return [peak for centre, width in peaks if (peak := _finite(centre, width)) is not None]


def _line(values: Tensor, num_rows: int) -> tuple[Tensor, Tensor]:
    """Values [S, R, C, ...] at the first of two neighbouring rows, and how much more they are at the second."""
    values = values.expand(-1, 2 * num_rows, *values.shape[2:])
    return values[:, 0::2], values[:, 1::2] - values[:, 0::2]


def _finite(centre: Tensor, width: Tensor) -> Peak | None:
    """The peak of each row and configuration, the law's location where it is not finite; None where no peak is."""
    is_peak = torch.isfinite(centre) & torch.isfinite(width)
    if not bool(is_peak.any()):
        return None
    return torch.where(is_peak, centre, 0.0), torch.where(is_peak, width, 0.0)
