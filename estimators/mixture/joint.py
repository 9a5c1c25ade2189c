"""p(x | do(...), seen ...) in closed form: a mixture over Z and the discrete causes, linear-Gaussian given these.

Every answer is for all draws of the Greeks, rows of settings and *configurations* (Z and the levels of every unset
discrete cause) at once: arrays [S, M, C]. Given a configuration the continuous variables are jointly Gaussian,
``x = mean + W ε`` with W lower triangular along the causal order, so that what is seen of them conditions the rest by
the rules for a normal distribution. A count that causes something is summed over all values that have any probability
to speak of, given what is seen. What has no closed form enters by its value at nodes (`integration`).
"""

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Any, cast

import numpy as np
import pyro.distributions as dist
import torch
from torch import Tensor

from estimators.data.data import LATENT
from estimators.estep.design import Factor
from estimators.mechanisms.protocol import JointlyGaussian, Turn
from estimators.mixture.observed import ROWS
from estimators.mixture.situation import Situation, all_draws, pick
from estimators.parameters.distributions import StableNormal
from estimators.parameters.laws import MISSED, is_integer, log_mass, log_prob_of
from estimators.parameters.parameter import HALF_LOG_2PI, LOG_ZERO

# Beyond this many configurations an answer in closed form is not attempted.
MOST_CONFIGURATIONS = 20_000
# What probability the last quarter of the values of a count that are summed over may have, given what is seen.
TAIL = 1e-15
# Values of the other variables whose share of p(what is seen) is below this have no say in how many these are.
NEGLIGIBLE = 1e-30
# Values of a count to begin with; they are doubled until the last ones have no probability.
FIRST_COUNTS = 32
# Log probabilities below this are known to no more than 1e-5, and by their own sizes to ROUNDING; what is so many nats
# below another has no share whatever the rounding.
FARTHEST, ROUNDING, APART = -1e11, 1e-14, 50.0


class Joint:
    """Weights of the configurations and the Gaussian variables given each, for some variables of a situation."""

    def __init__(self, situation: Situation, names: Sequence[str], num_counts: Mapping[str, int]) -> None:
        self._situation = situation
        roles = {name: role_of(situation, name, names) for name in names if name not in situation.nodes}
        self.discrete = [name for name, role in roles.items() if role == "discrete"]
        self.gaussian = [name for name, role in roles.items() if role == "gaussian"]
        self._others = [name for name, role in roles.items() if role == "other"]
        # Positions of the Gaussian variables that are seen.
        self._seen = [index for index, name in enumerate(self.gaussian) if name in situation.seen]
        self.grid, on_grid, self._log_shares = configurations(situation, names, self.discrete, num_counts)
        self.num_configurations = int(np.prod([len(level) for level in self.grid.values()]))
        self.values: dict[str, Tensor] = {**on_grid, **situation.values, **situation.seen, **situation.nodes}
        self._mean, self._loadings = self._linear()
        self.log_joint = self._weigh()

    @cached_property
    def log_weights(self) -> Tensor:
        """log p(configuration | what is seen) as [S, M, C]."""
        return torch.log_softmax(check_possible(self.log_joint, self._situation.seen), -1)

    def _linear(self) -> tuple[Tensor, Tensor]:
        """Mean [S, M, C, d] and loadings W [S, M, C, d, d] of the Gaussian variables on independent noise."""
        means: list[Tensor] = []
        loadings: list[Tensor] = []
        size = len(self.gaussian)
        for name, noise in zip(self.gaussian, torch.eye(size, dtype=torch.float64), strict=True):
            mean, slopes, scale = self._line(name)
            loading = scale[..., None] * noise
            for parent, slope in slopes.items():
                index = self.gaussian.index(parent)
                mean = mean + slope * means[index]
                loading = loading + slope[..., None] * loadings[index]
            means.append(mean)
            loadings.append(loading)
        if not size:
            return torch.zeros(1, 1, 1, 0, dtype=torch.float64), torch.zeros(1, 1, 1, 0, 0, dtype=torch.float64)
        return torch.stack(torch.broadcast_tensors(*means), -1), torch.stack(torch.broadcast_tensors(*loadings), -2)

    def _line(self, name: str) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """A Gaussian variable's mean without its Gaussian causes, its slopes on these, and its scale [S, M, C]."""
        situation, law = self._situation, self._situation.laws.get(name)
        if law is not None:
            return law.loc.double().reshape(1, 1, 1), {}, law.scale.double().reshape(1, 1, 1)
        node, num_draws = situation.model.nodes[name], situation.num_draws
        cell = situation.cell(name, self.values)
        greeks = {symbol: value.numpy() for symbol, value in node.local(situation.draws).items()}
        equation = cast(JointlyGaussian, node.mechanism).equation(greeks, node.num_inputs)
        intercept, lines, spread = (
            torch.from_numpy(np.array(numbers))
            for numbers in (equation.intercept[..., 0], equation.slopes[..., 0, :], equation.factor[..., 0, 0])
        )
        mean, scale = (pick(all_draws(values, num_draws, 1), cell) for values in (intercept, spread))
        coefficients = pick(all_draws(lines, num_draws, 2), cell)
        slopes = dict[str, Tensor]()
        for place, factors in enumerate(node.design.inputs):
            causes = free_factors(situation, factors, self.gaussian)
            known = [factor for factor in factors if factor.variable not in causes]
            slope = coefficients[..., place] * node.design.tensor_product(known, self.values)
            if not causes:
                mean = mean + slope
                continue
            # A product of two would not be Gaussian: `integration` has all but one of these at nodes.
            (cause,) = causes
            slopes[cause] = slopes[cause] + slope if cause in slopes else slope
        return mean, slopes, scale

    def _weigh(self) -> Tensor:
        """log p(configuration, what is seen) as [S, M, C]."""
        situation = self._situation
        total = self._log_shares.expand(situation.num_draws, 1, -1)
        for name in self.discrete:
            total = total + self.log_mass(name)
        for name in self._others:
            if name in situation.seen:
                total = total + log_prob_of(situation.distribution(name, self.values), situation.seen[name])
        if self._seen:
            residual, factor = self._residual
            total = total + dist.MultivariateNormal(torch.zeros_like(residual), scale_tril=factor).log_prob(residual)
        total = total.clamp_min(LOG_ZERO)
        return total.expand(*np.broadcast_shapes(total.shape, (1, 1, self.num_configurations)))

    def log_mass(self, name: str) -> Tensor:
        """log p(name | its causes) of a discrete variable, [S | 1, M | 1, C | 1]."""
        situation, value = self._situation, self.values[name]
        if name in situation.laws:
            return log_mass(situation.laws[name], value)
        if not situation.has_table(name):
            return log_prob_of(situation.distribution(name, self.values), value)
        masses = pick(situation.log_masses(name), situation.cell(name, self.values))
        shape = np.broadcast_shapes(masses.shape[:-1], value.shape)
        index = value.long().expand(shape)[..., None]
        return torch.gather(masses.expand(*shape, masses.shape[-1]), -1, index)[..., 0]

    @cached_property
    def _residual(self) -> tuple[Tensor, Tensor]:
        """Residuals [S, M, C, d'] of the Gaussian variables that are seen, and the factor of their covariance."""
        seen = self._situation.seen
        errors = [seen[self.gaussian[index]] - self._mean[..., index] for index in self._seen]
        residual = torch.stack(torch.broadcast_tensors(*errors), -1)
        loadings = self._loadings[..., self._seen, :]
        return residual, torch.linalg.cholesky(loadings @ loadings.mT)

    @property
    def standardised_errors(self) -> Tensor | None:
        """What is seen of the Gaussian variables less its mean, as independent standard normals [S, M, C, d'].

        None where no Gaussian variable is seen.
        """
        if not self._seen:
            return None
        residual, factor = self._residual
        factor = factor.expand(*residual.shape, -1)
        errors: Tensor = torch.linalg.solve_triangular(factor, residual[..., None], upper=False)[..., 0]
        return errors

    def log_most_without(self, name: str) -> Tensor:
        """An upper bound of log p(configuration, what is seen), a discrete variable apart, as [S, M, C]."""
        total = self._log_shares.expand(self._situation.num_draws, 1, -1)
        for other in self.discrete:
            total = total + (self.log_mass(other) if other != name else 0.0)
        if self._seen:
            residual, factor = self._residual
            total = total - factor.diagonal(dim1=-2, dim2=-1).log().sum(-1) - residual.shape[-1] * HALF_LOG_2PI
        # A mass is at most 1; of a density that is not Gaussian no bound is known.
        seen = [other for other in self._others if other in self._situation.seen]
        is_bounded = all(self._situation.is_integer_valued(other) for other in seen)
        return total if is_bounded else torch.full_like(total, torch.inf)

    def moments(self, name: str) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation [S, M, C] of a Gaussian variable, given the configuration and what is seen."""
        index = self.gaussian.index(name)
        mean, loading = self._mean[..., index], self._loadings[..., index, :]
        variance = loading.square().sum(-1)
        if not self._seen:
            return mean, variance.sqrt()
        residual, factor = self._residual
        covariance = self._loadings[..., self._seen, :] @ loading[..., None]
        weights = torch.cholesky_solve(covariance.expand(*residual.shape, 1), factor)[..., 0]
        variance = variance - (weights * covariance[..., 0]).sum(-1)
        return mean + (weights * residual).sum(-1), variance.clamp_min(0.0).sqrt()

    def component(self, name: str) -> Any:
        """p(name | configuration, seen) with batch shape [S, M, C]."""
        if name in self.gaussian and name not in self._situation.seen:
            return StableNormal(*self.moments(name), validate_args=False)
        if name in self.values:
            return dist.Delta(self.values[name])
        return self._situation.distribution(name, self.values)

    def turning(self, name: str, value: Tensor | None) -> Sequence[Turn]:
        """Where a regression's density of a value turns in its predictor, [S, M, C]."""
        return self._situation.turning(name, self.values, value)

    def draw(self) -> dict[str, Tensor]:
        """One value [S] of every variable for each draw of the Greeks (M = 1), given what is seen."""
        shares = self.log_weights[:, 0].exp()
        chosen = torch.multinomial(shares, 1)[:, 0]
        drawn = {}
        for name, value in self.values.items():
            whole = value.expand(len(chosen), 1, self.num_configurations, *value.shape[3:])
            drawn[name] = whole[torch.arange(len(chosen)), 0, chosen]
        return drawn | self._draw_gaussian(chosen) if self.gaussian else drawn

    def _draw_gaussian(self, chosen: Tensor) -> dict[str, Tensor]:
        """A joint draw without what is seen, moved by what its error says of the rest (Matheron's rule)."""
        rows = torch.arange(len(chosen))
        size = len(self.gaussian)
        shape = (len(chosen), 1, self.num_configurations)
        mean = self._mean.expand(*shape, size)[rows, 0, chosen]
        loadings = self._loadings.expand(*shape, size, size)[rows, 0, chosen]
        drawn = mean + (loadings @ torch.randn(len(chosen), size, 1, dtype=torch.float64))[..., 0]
        if seen := self._seen:
            values = [self._situation.seen[self.gaussian[index]].expand(len(chosen), 1, 1)[:, 0, 0] for index in seen]
            error = torch.stack(values, -1) - drawn[:, seen]
            seen_loadings = loadings[:, seen]
            weighted = torch.linalg.solve(seen_loadings @ seen_loadings.mT, error[..., None])
            drawn = drawn + (loadings @ seen_loadings.mT @ weighted)[..., 0]
            drawn[:, seen] = torch.stack(values, -1)
        return dict(zip(self.gaussian, drawn.unbind(-1), strict=True))


def joint_of(
    situation: Situation, names: Sequence[str], num_counts: Mapping[str, int], averaged: str | None = None
) -> Joint:
    """The joint distribution, with as many values of every count as have probability given what is seen."""
    joint = Joint(situation, names, num_counts)
    more = more_counts(situation, joint, joint.log_joint[:, :, None], averaged)
    return joint if not more else joint_of(situation, names, {**num_counts, **more}, averaged)


def more_counts(situation: Situation, joint: Joint, log_joint: Tensor, averaged: str | None) -> dict[str, int]:
    """Twice as many values of every count that is cut off where it still has probability.

    ``log_joint`` is log p(node, configuration, seen) [S, R, Q, C]. Nodes are summed over first: one far out in the tail
    of a setting, where what is seen would ask for ever larger counts, has as little to say here as in the answer. Or
    where it still has a part in the mean of what is ``averaged``, which may grow faster than probabilities fall.
    """
    counts = [name for name in joint.grid if name != ROWS and is_count(situation, name)]
    log_parts = [log_joint.logsumexp(2)]
    if counts and averaged is not None and averaged not in situation.seen:
        sizes = joint.component(averaged).mean.abs().log()
        if sizes.ndim == 3:
            # What is set row by row may leave the weights of all rows alike.
            sizes = sizes.unflatten(1, (-1, log_joint.shape[2]) if sizes.shape[1] > 1 else (1, 1))
            log_parts.append((log_joint + sizes).logsumexp(2))
    return {name: 2 * len(joint.grid[name]) for name in counts if _is_cut(situation, joint, log_parts, name)}


def _is_cut(situation: Situation, joint: Joint, log_parts: Sequence[Tensor], name: str) -> bool:
    """Whether the last values of a count have probability, on its own or given what is seen, or a part in a mean.

    Asked of each configuration of everything else, unless all of its values together have a share below NEGLIGIBLE.
    """
    sizes = [len(level) for level in joint.grid.values()]
    axis = list(joint.grid).index(name)

    def by_count(values: Tensor) -> Tensor:
        whole = values.expand(*values.shape[:2], joint.num_configurations)
        return whole.reshape(*values.shape[:2], *sizes).movedim(2 + axis, -1)

    evidence = log_parts[0].flatten(2).logsumexp(-1).amin(1).reshape(-1, *[1] * len(sizes))
    bound = by_count(joint.log_most_without(name)).amax(-1).amax(1, keepdim=True)
    matters = bound - evidence > np.log(NEGLIGIBLE)
    masses = by_count(joint.log_mass(name))
    for table in (masses, *map(by_count, log_parts)):
        tail = torch.softmax(table, -1)[..., -(sizes[axis] // 4) :].sum(-1)
        if bool((matters & (table.amax(-1) > LOG_ZERO / 2) & (tail > TAIL)).any()):
            return True
    return bool((matters & (masses.exp().sum(-1) < 1.0 - MISSED)).any())


def free_factors(situation: Situation, factors: Sequence[Factor], gaussian: Collection[str]) -> list[str]:
    """The Gaussian variables in a product that are random; of a product of several, but for those that are seen."""
    causes = [factor.variable for factor in factors if factor.variable in gaussian]
    return causes if len(factors) == 1 else [cause for cause in causes if cause not in situation.seen]


def is_count(situation: Situation, name: str) -> bool:
    """Whether a variable has whole numbers without end for values."""
    return situation.levels(name) is None and situation.is_integer_valued(name)


def role_of(situation: Situation, name: str, names: Sequence[str]) -> str:
    """How a variable enters: summed over its levels, jointly Gaussian, or on its own (nothing in question is below)."""
    law = situation.laws.get(name)
    if isinstance(law, dist.Normal):
        return "gaussian"
    if situation.levels(name) is not None:
        return "discrete"
    if law is not None:
        return "discrete" if is_integer(law) else "other"
    mechanism = situation.model.nodes[name].mechanism
    if mechanism.is_gaussian and mechanism.num_columns is None:
        return "gaussian"
    is_cause = mechanism.num_columns is None and situation.is_cause(name, names)
    return "discrete" if is_cause and situation.is_integer_valued(name) else "other"


def configurations(
    situation: Situation, names: Sequence[str], discrete: Sequence[str], num_counts: Mapping[str, int]
) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
    """What is summed over: the levels of every discrete variable that is not seen, and rows of covariates of ``names``.

    Returns the levels, all of their combinations as columns [1, 1, C] of each variable, and the logs of the rows'
    shares [1, 1, C | 1]. Raises NotImplementedError where levels have too many combinations.
    """
    grid = _levels_of(situation, discrete, num_counts)
    rows = situation.averaged(names)
    if rows is None:
        return grid, columns_of(grid), torch.zeros(1, 1, 1, dtype=torch.float64)
    grid = {ROWS: torch.arange(len(rows.log_shares), dtype=torch.float64), **grid}
    columns = columns_of(grid)
    which = columns.pop(ROWS).long()
    free = {name: value[which] for name, value in rows.values.items() if name not in situation.settings}
    return grid, {**columns, **free}, rows.log_shares[which]


def _levels_of(situation: Situation, names: Sequence[str], num_counts: Mapping[str, int]) -> dict[str, Tensor]:
    grid = {}
    for name in names:
        if name not in situation.seen:
            levels = situation.levels(name)
            counts = torch.arange(num_counts.get(name, FIRST_COUNTS), dtype=torch.float64)
            grid[name] = counts if levels is None else levels
    size = int(np.prod([len(level) for level in grid.values()]))
    if size > MOST_CONFIGURATIONS:
        # Draws given what is seen need the same sum.
        sampling = "" if situation.seen else "use .sample(), or "
        endless = [name for name in grid if is_count(situation, name)] or [name for name in grid if name != LATENT]
        raise NotImplementedError(
            f"{size} configurations of {list(grid)} would have to be summed over, more than {MOST_CONFIGURATIONS}; "
            f"{sampling}give a value of {' and '.join(endless)}, seen or set"
        )
    return grid


def columns_of(grid: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every combination of levels, as one column [1, 1, C] of each variable."""
    if not grid:
        return {}
    combined = torch.cartesian_prod(*grid.values()).reshape(-1, len(grid))
    return {name: column.reshape(1, 1, -1) for name, column in zip(grid, combined.T, strict=True)}


def check_possible(log_joint: Tensor, seen: Mapping[str, Tensor]) -> Tensor:
    """log p(..., what is seen) [S, M, ...], or a ValueError where what is seen cannot be, as far as numbers tell."""
    logs = log_joint.flatten(2)
    highest = logs.amax(-1)
    if bool((highest <= LOG_ZERO / 2).any()):
        raise ValueError(f"what is given, {list(seen)}, has probability 0 under the fit and what is set")
    if bool((is_far := highest < FARTHEST).any()):
        top = highest[is_far][:, None]
        rivals = (logs[is_far] >= top - APART + ROUNDING * top).sum(-1) > 1
        if bool(rivals.any()):
            raise ValueError(
                f"what is given, {list(seen)}, has a log probability of {float(top[rivals].min()):.2g} under the fit "
                "and what is set: so far out rounding decides what it is a sign of; check the units of what is given"
            )
    return log_joint
