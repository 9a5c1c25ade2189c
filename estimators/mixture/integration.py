"""Joint distributions where something has no closed form: it is integrated over nodes, which enter as its values.

*Open* is what causes something in question and has no closed form there: a variable set to an Exponential, say, or a
Gaussian one below which a regression is not linear. One is integrated by quadrature, on panels of its law, of what is
seen below it and of the answer; several are drawn from their laws. Either way a node weighs as much as p(what is seen |
node) says. A node of a variable with a law that is set is a value in its place, and one of a Gaussian variable is seen
there, so that its law weighs it with all that is Gaussian. A mean with the product of two Gaussian variables is a line
in one of them given the other, which is open, too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from estimators.isolation import isolated, without_validation
from estimators.mixture.joint import (
    Joint,
    check_possible,
    configurations,
    free_factors,
    is_count,
    joint_of,
    more_counts,
    role_of,
)
from estimators.mixture.quadrature import (
    COARSE,
    FINE,
    LAST_ORDERS,
    ROUGH,
    Nodes,
    Question,
    Rule,
    over_gaussian,
    over_law,
    situation_at,
)
from estimators.mixture.situation import Situation
from estimators.parameters.laws import (
    NUM_NODES,
    has_cdf,
    is_finite,
    is_integer,
    is_small,
    panels_of,
)
from estimators.parameters.parameter import LOG_ZERO
from estimators.parameters.sparse import in_logs

# A panel of which everything is so many nats below the most of any has no part in a mean.
NEGLIGIBLE = 70.0
# Draws of what is open, where there are several or the law's density cannot be integrated.
SIMULATED = 2_000


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

    def by_node(self, values: Tensor, event_dim: int) -> Tensor:
        """A function of the components, whose rows and nodes are one axis, as [S, R, Q, C, ...]."""
        while values.ndim < 3 + event_dim:
            values = values[None]
        event, (_, num_rows, num_nodes, _) = values.shape[values.ndim - event_dim :], self.log_joint.shape
        num_rows = max(num_rows, values.shape[1] // num_nodes)
        values = values.expand(-1, num_rows * num_nodes, -1, *event)
        return values.reshape(len(values), num_rows, num_nodes, -1, *event)


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
    law, is_in_product = situation.laws.get(integrated[0]), _in_product(situation, names, integrated[0])
    is_one = len(integrated) == 1
    panels = panels_of(law) if is_one and law is not None and not is_integer(law) else None
    is_line = is_one and law is None and role_of(situation, integrated[0], names) == "gaussian"

    def nodes_of(num_counts: Mapping[str, int], rule: Rule) -> Nodes:
        question = Question(situation, names, integrated[0], num_counts, target, points)
        if is_line:
            return over_gaussian(question, rule, is_in_product=is_in_product)
        if panels is not None:
            return over_law(question, panels, rule)
        return drawn(num_counts, max(num_drawn * len(rule.points) // NUM_NODES, 1))

    def drawn(num_counts: Mapping[str, int], size: int) -> Nodes:
        with isolated(seed):
            return _drawn(situation, names, is_open, num_counts, size)

    num_counts: dict[str, int] = {}
    # All of a line's panels, of which a mean asks few, are looked at by a node each.
    panels_asked, is_asked_in_part = None, for_mean and is_line and not is_in_product
    has_counts = any(is_count(situation, name) for name in names if name not in situation.seen)
    for rule in (COARSE, FINE) if has_counts or is_asked_in_part else (FINE,):
        while True:
            nodes = nodes_of(num_counts, rule)
            nodes = nodes if panels_asked is None else nodes.on_panels(*panels_asked)
            weighed = _at_nodes(situation, names, nodes, num_counts)
            more = more_counts(situation, weighed.joint, weighed.log_joint, target if for_mean else None)
            if not more:
                break
            num_counts |= more
        if is_asked_in_part and rule is COARSE and target is not None:
            panels_asked = _panels_with_a_part(weighed, target)
    if is_in_product and not weighed.is_simulated and _is_rough(weighed, integrated[0], target, points):
        weighed = _at_nodes(situation, names, drawn(num_counts, num_drawn), num_counts)
    check_possible(weighed.log_joint, situation.seen)
    return weighed


def _panels_with_a_part(weighed: Weighed, target: str) -> tuple[int, int]:
    """The first of the panels that have a part in a probability or in the target's mean, and the one after the last.

    By the nodes of `COARSE`, one on each; a panel more on both sides.
    """
    component = weighed.joint.component(target)
    means = weighed.by_node(component.mean.double().abs().log(), len(component.event_shape))
    means = means.reshape(*means.shape[:4], -1).amax(-1).nan_to_num(torch.inf)
    has_part = torch.zeros(weighed.log_joint.shape[2], dtype=torch.bool)
    for log in (weighed.log_weights, weighed.log_weights + means):
        has_part |= (log >= log.amax((2, 3), keepdim=True) - NEGLIGIBLE).any(3).flatten(0, 1).any(0)
    panels = has_part.nonzero()
    return max(int(panels[0]) - 1, 0), min(int(panels[-1]) + 2, len(has_part))


def _is_rough(weighed: Weighed, name: str, target: str | None, points: Tensor | None) -> bool:
    """Whether a density along some panel, with a share of the whole, is no polynomial that the nodes tell."""
    log, joint, nodes = weighed.log_joint, weighed.joint, weighed.nodes
    assert nodes is not None and nodes.edges is not None
    num_nodes, num_panels = log.shape[2], nodes.edges.shape[2] - 1
    if points is not None and target in joint.gaussian and target != name and log.shape[1] == len(points):
        at = points.repeat_interleave(num_nodes).reshape(1, -1, 1)
        log = log + joint.component(target).log_prob(at).reshape(-1, len(points), num_nodes, log.shape[-1])
    shares = (log - log.flatten(2).logsumexp(-1)[..., None, None]).exp()[:, :, : num_panels * NUM_NODES]
    last = torch.einsum("srpqc,qd->srpcd", shares.unflatten(2, (num_panels, NUM_NODES)), LAST_ORDERS)
    return bool((last.abs().sum((2, 3, 4)) > ROUGH).any())


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
    joint = Joint(situation_at(situation.repeated(num_nodes), flat, are_drawn=nodes.edges is None), names, num_counts)
    log = joint.log_joint.expand(-1, num_rows * num_nodes, -1)
    log = log.reshape(len(log), num_rows, num_nodes, -1) + nodes.log_weights
    return Weighed(joint, log.clamp_min(LOG_ZERO), nodes)


def has_open(situation: Situation) -> bool:
    """Whether anything in a situation may have to be integrated numerically."""
    return bool(open_variables(situation, situation.above(list(situation.model.mechanisms)), None))


def is_evidence(situation: Situation, names: Sequence[str], target: str) -> bool:
    """Whether a density is found as p(value, seen) / p(seen): of an open variable, and of a Gaussian below products."""
    if target in open_variables(situation, names, target):
        return True
    return role_of(situation, target, names) == "gaussian" and bool(_products(situation, names))


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
    # Of a product of Gaussian causes, all but one: given these, it is a line in that.
    while left := [rest for product in _products(situation, names) if len(rest := product - found) > 1]:
        found.add(max(names, key=lambda name: sum(name in rest for rest in left)))
    return [name for name in names if name in found]


def _products(situation: Situation, names: Sequence[str]) -> list[set[str]]:
    """The Gaussian causes that are neither set to a value nor seen, where a mean has a product of two or more."""
    gaussian = {name for name in names if role_of(situation, name, names) == "gaussian"}
    designs = [situation.model.nodes[name].design for name in gaussian - set(situation.laws)]
    products = [set(free_factors(situation, factors, gaussian)) for design in designs for factors in design.inputs]
    return [product for product in products if len(product) > 1]


def _in_product(situation: Situation, names: Sequence[str], name: str) -> bool:
    return any(name in product for product in _products(situation, names))


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
