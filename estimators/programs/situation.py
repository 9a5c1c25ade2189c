"""What a program says about one site when others are set or seen: a mixture over its enumerated hidden sites.

Under enumeration every discrete site is summed out, so the distribution of a site in a row is ``Σ_z w_z p(x | z)`` with
w the exact weights given what is seen. Continuous sites on which it or what is seen depends, and that are neither set
nor seen, are simulated, once for each hidden configuration and each of `repeats` copies of a row; then the answer has a
stated error. What depends on what is the program's arithmetic (`causes`), and not the order of its statements.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.ops.packed import pack
from torch import Tensor

from estimators.data.data import Data
from estimators.isolation import program_mode
from estimators.parameters.parameter import LOG_ZERO
from estimators.programs.call import Program
from estimators.programs.captured import Graph
from estimators.programs.causes import Causes
from estimators.programs.elimination import Label
from estimators.programs.factors import Factors, by_value, collect, posterior, row_weights
from estimators.programs.handlers import Evidence, Observing, Replacing, Substituting
from estimators.programs.questions import DiscreteLaw, Functional, mean_of
from estimators.programs.sites import Structure
from estimators.programs.structure import run
from estimators.programs.supports import ends_of


@dataclass(frozen=True, eq=False)
class Situation:
    """A program with sites set (`pyro.do`), given other distributions, and seen, on rows of its other arguments."""

    fn: Program
    structure: Structure
    settings: Mapping[str, Tensor]
    replaced: Mapping[str, Any]
    seen: Mapping[str, Tensor]
    rows: Data
    causes: Causes

    @property
    def enumerated(self) -> tuple[str, ...]:
        """Discrete sites that are summed out."""
        return tuple(
            name
            for name, site in self.structure.sites.items()
            if site.is_discrete and name not in self.settings and name not in self.seen
        )

    @property
    def program(self) -> Program:
        """The program with the distributions of stochastic settings."""
        return Replacing(self.replaced, self.structure.num_plate_dims)(self.fn) if self.replaced else self.fn

    @property
    def evidence(self) -> tuple[str, ...]:
        """What weighs the values of a row: sites that are seen, and the program's own factors."""
        return (*self.seen, *self.structure.factors)

    def above(self, *names: str) -> frozenset[str]:
        """The sites that those named depend on; what is set depends on none."""
        return self.causes.above(names, {*self.settings, *self.replaced})

    def simulated_for(self, target: str) -> list[str]:
        """Sites that are simulated: neither set, seen nor discrete, on which the target or what is seen depends."""
        free = [
            name
            for name in self.structure.sites
            if name not in self.settings and name not in self.seen and name not in self.enumerated and name != target
        ]
        reached = self.above(target, *self.evidence) if free else frozenset()
        return [name for name in free if name in reached]

    def is_seen_below(self, target: str) -> bool:
        """Whether something that is seen depends on the target."""
        return bool(self.evidence) and target in self.above(*self.evidence)

    def repeated(self, index: Tensor) -> "Situation":
        """The situation of other rows: an index [M] into its rows."""
        settings, seen = (
            {name: value[index] if value.ndim else value for name, value in values.items()}
            for values in (self.settings, self.seen)
        )
        return replace(self, rows=self.rows.rows(index), settings=settings, seen=seen)


def predict(
    situation: Situation, target: str, greeks: Mapping[str, Tensor], functional: Functional, at: Tensor
) -> tuple[Tensor, Tensor]:
    """A functional of the target's distribution in each row at points [P]: [P, M, ...]; and log p(what is seen) [M].

    Averaged over hidden configurations: the logarithm of the average, where it is a logarithm (all but `mean_of`). To
    be called in `program_mode`.
    """
    simulated = {*situation.simulated_for(target), *([target] if situation.is_seen_below(target) else [])}
    factors, trace = _enumerated(situation, greeks, simulated)
    log_seen = factors.pointwise()
    node, site = trace.nodes[target], situation.structure.sites[target]
    if target in situation.enumerated:
        shares = by_value(factors, posterior(factors), target)
        law = DiscreteLaw(shares, site.values.double())
        return functional(law, at.reshape((-1, *[1] * (shares.ndim - 1)))), log_seen
    own: Any = dist.Delta(node["value"].double()) if situation.is_seen_below(target) else node["fn"]
    dims = len(node["fn"].batch_shape) + len(node["fn"].event_shape)
    answers = functional(own, at.reshape((-1, *[1] * dims)))
    return _averaged(answers, factors, trace, target, is_log=functional is not mean_of), log_seen


def captured_prediction(
    situation: Situation,
    target: str,
    functional: Functional,
    at: Tensor,
    draws: Mapping[str, Tensor],
    shape: tuple[int, int],
) -> Graph:
    """``points, Greeks → `predict```, its rows as [B, R]: B of the program's other arguments, each repeated R times."""
    names = list(draws)

    def answer(points: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        answers, seen = predict(situation, target, dict(zip(names, values, strict=True)), functional, points)
        return answers.reshape((len(points), *shape, *answers.shape[2:])), seen.reshape(shape)

    first = [value[0] for value in draws.values()]
    examples, size = [at, *first], situation.rows.num_rows * len(at) * 8
    is_exact = not situation.simulated_for(target) and not situation.is_seen_below(target)
    return Graph(answer, examples, size, few=answer if is_exact else None)


def _enumerated(situation: Situation, greeks: Mapping[str, Tensor], simulated: Collection[str]) -> tuple[Factors, Any]:
    structure, fn, num_rows = situation.structure, situation.fn, situation.rows.num_rows
    # A set site has its value and no factor: the truncated factorisation. (`pyro.do` keeps the site as it would have
    # been beside it, for which a Markov chain has no dimension.)
    given = {**situation.seen, **situation.settings}
    values = {name: structure.sites[name].spread(value, num_rows) for name, value in given.items()}
    every = frozenset(structure.sites)
    free = every - set(values)
    idle = free - {*situation.enumerated, *simulated}
    # The program's masks say which entries of the fitted rows count; in a question every entry does.
    evidence = Evidence(situation.enumerated, values, free=free, idle=idle, unmasked=every)
    observed = Observing(evidence)(situation.program)
    program = Substituting({**greeks, **structure.fixed(situation.rows)})(
        poutine.enum(observed, first_available_dim=-1 - structure.num_plate_dims)
    )
    trace = run(program, fn, situation.rows, structure.names)
    trace = poutine.util.prune_subsample_sites(trace)
    # Factors of a row (`pyro.factor`) belong to its joint density too.
    extra = structure.names - set(structure.sites)
    return collect(trace, structure, greeks, num_rows, {*situation.enumerated, *situation.seen, *extra}), trace


def own_support(situation: Situation, name: str, greeks: Mapping[str, Tensor]) -> Any | None:
    """The support of a site's own distribution, whatever it is set to, for all hidden configurations and rows at once.

    None where a continuous site that is neither set nor seen says what the support is, or an improper one may.
    """
    settings, replaced = (
        {other: setting for other, setting in every.items() if other != name}
        for every in (situation.settings, situation.replaced)
    )
    own = replace(situation, settings=settings, replaced=replaced)
    simulated = set(situation.structure.sites) - {*settings, *own.seen, *own.enumerated, name}
    supports = []
    for seed in (0, 1):
        try:
            with program_mode(seed):
                trace = _enumerated(own, greeks, simulated)[1]
        except NotImplementedError:
            return None
        supports.append(trace.nodes[name]["fn"].support)
    ends, others = (ends_of(support) for support in supports)
    if ends is None or others is None or not all(map(torch.equal, ends, others)):
        return None
    return supports[0]


def _weighed(situation: Situation, greeks: Mapping[str, Tensor]) -> Factors:
    """The factors of what is seen, where nothing has to be simulated; a ValueError where it has probability 0."""
    factors, _ = _enumerated(situation, greeks, ())
    if not bool((factors.pointwise() > LOG_ZERO).all()):
        raise ValueError(f"given: what is seen, {list(situation.seen)}, has probability 0 under the fit")
    return factors


def forwards(situation: Situation, greeks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """One run of the program forwards: every site of a row as a column [M, ...]; to be called in `program_mode`."""
    structure, fn, num_rows = situation.structure, situation.fn, situation.rows.num_rows
    values = {name: structure.sites[name].spread(value, num_rows) for name, value in situation.seen.items()}
    evidence = Evidence(values=values, free=frozenset(structure.sites) - set(values))
    settings = {name: structure.sites[name].spread(value, num_rows) for name, value in situation.settings.items()}
    done = Observing(evidence)(pyro.do(situation.program, data=dict[str, Any](settings)))
    program = Substituting({**greeks, **structure.fixed(situation.rows)})(done)
    trace = run(program, fn, situation.rows, structure.names)
    columns = columns_of(trace, structure, num_rows)
    # A trace around `pyro.do` has the value that a site would have had, and not the one that it was set to.
    return columns | {name: value.movedim(structure.sites[name].axis, 0) for name, value in settings.items()}


def drawn(situation: Situation, greeks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """One draw of every row: hidden causes of what is seen from their exact posterior, one by one, the rest forwards.

    Given its causes, a site on which nothing that is seen depends has its own distribution.
    """
    if situation.seen:
        _weighed(situation, greeks)
        above = situation.above(*situation.evidence)
        for name in [name for name in situation.enumerated if name in above]:
            factors = _weighed(situation, greeks)
            shares = by_value(factors, posterior(factors), name)
            levels = torch.multinomial(shares.reshape(-1, shares.shape[-1]), 1)[:, 0].reshape(shares.shape[:-1])
            drawn_values = situation.structure.sites[name].values[levels]
            situation = replace(situation, seen={**situation.seen, name: drawn_values})
    return forwards(situation, greeks)


def check_samplable(situation: Situation) -> None:
    """Raise NotImplementedError where running the program forwards does not draw from its law."""
    if situation.structure.factors:
        raise NotImplementedError(
            f"sample: the program weighs rows by pyro.factor ({list(situation.structure.factors)}), so that running it "
            "does not draw from its law; ask for means, densities or quantiles"
        )
    for name in situation.seen:
        above = situation.simulated_for(name)
        if above:
            raise NotImplementedError(
                f"sample: {above} would have to be drawn given {name}, which is seen and may depend on it; "
                "ask for means, or give a value for them"
            )


def drawn_rows(situation: Situation, greeks: Mapping[str, Tensor], count: int) -> Tensor:
    """An index [count] into the rows, each drawn in proportion to p(what is seen | row)."""
    log_seen = _enumerated(situation, greeks, ())[0].pointwise()
    if not bool((log_seen > LOG_ZERO).any()):
        raise ValueError(f"given: what is seen, {list(situation.seen)}, has probability 0 under the fit")
    shares = torch.softmax(log_seen + row_weights(situation.rows).log(), 0)
    return torch.multinomial(shares, count, replacement=True)


def columns_of(trace: Any, structure: Structure, num_rows: int) -> dict[str, Tensor]:
    """The value of every site of a row in a trace, as columns; what `pyro.do` set in place of what was drawn."""
    columns = {}
    for name, site in structure.sites.items():
        node = trace.nodes.get(f"{name}__CF", trace.nodes.get(name))
        if node is not None:
            shape = list(site.rest)
            shape.insert(site.axis, num_rows)
            columns[name] = node["value"].detach().expand(shape).movedim(site.axis, 0)
    return columns


def _averaged(answers: Tensor, factors: Factors, trace: Any, target: str, *, is_log: bool) -> Tensor:
    """Values [P, *batch, *event] of the target's distribution, averaged over hidden configurations: [P, M, ...]."""
    node = trace.nodes[target]
    shape, num_points = node["fn"].batch_shape, len(answers)
    zero = pack(torch.zeros(shape, dtype=torch.float64), node["infer"]["_dim_to_symbol"])
    plates = frozenset(trace.plate_to_symbol[frame.name] for frame in node["cond_indep_stack"] if frame.vectorized)
    label = Label(target, zero._pyro_dims, plates, None)
    weight = posterior(factors.times(zero, label))[-1][0]
    event = answers.shape[1 + len(shape) :] if not is_log else torch.Size()
    # In a packed tensor dimensions of size 1 are left out.
    values = answers.expand(num_points, *shape, *event).reshape(num_points, *weight.shape, *event)
    spread = weight.reshape((*weight.shape, *[1] * len(event)))
    summed = [axis + 1 for axis, dim in enumerate(label.dims) if dim not in plates]
    if is_log:
        highest = values.amax(summed, keepdim=True) if summed else values
        highest = highest.clamp_min(torch.finfo(torch.float64).min)
        shares = ((values - highest).exp() * spread).sum(summed, keepdim=True) if summed else (values - highest).exp()
        total = shares.log() + highest
        total = total.squeeze(tuple(summed)) if summed else total
    else:
        total = (values * spread).sum(summed) if summed else values
    left = [dim for dim in label.dims if dim in plates]
    if factors.rows_symbol in left:
        return total.movedim(left.index(factors.rows_symbol) + 1, 1)
    return total.unsqueeze(1).expand(num_points, factors.num_rows, *total.shape[1:])
