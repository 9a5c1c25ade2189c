"""p(x | do(...), seen ...) in closed form: a mixture over Z and the discrete causes, linear-Gaussian given these.

Every answer is for all draws of the Greeks, rows of settings and *configurations* (Z and the levels of every unset
discrete cause) at once: arrays [S, M, C]. Given a configuration the continuous variables are jointly Gaussian,
``x = mean + W ε`` with W lower triangular along the causal order, so that what is seen of them conditions the rest by
the rules for a normal distribution. A count that causes something is summed over all values that have any probability
to speak of, given what is seen. What has no closed form enters by its value at nodes (`integration`).
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, cast

import numpy as np
import pyro.distributions as dist
import torch
from torch import Tensor

from estimators.data.data import LATENT
from estimators.mechanisms.protocol import JointlyGaussian
from estimators.mixture.situation import Situation, all_draws, pick
from estimators.parameters.distributions import StableNormal
from estimators.parameters.laws import MISSED, is_finite, is_integer, levels, log_mass
from estimators.parameters.parameter import LOG_ZERO
from estimators.parameters.prior_densities import HALF_LOG_2PI

# Beyond this many configurations an answer in closed form is not attempted.
MOST_CONFIGURATIONS = 20_000
# The probability, given what is seen, of the last quarter of the values of a count that are summed over.
TAIL = 1e-15
# Classes, and levels of other causes, whose share of p(what is seen) is below this have no say in how many that are.
NEGLIGIBLE = 1e-30
# Values of a count to begin with; they are doubled until the last ones have no probability.
FIRST_COUNTS = 32


class Joint:
    """Weights of the configurations and the Gaussian variables given each, for some variables of a situation."""

    def __init__(self, situation: Situation, names: Sequence[str], num_counts: Mapping[str, int]) -> None:
        self._situation = situation
        kinds = {name: kind_of(situation, name, names) for name in names if name not in situation.nodes}
        self.discrete = [name for name, kind in kinds.items() if kind == "discrete"]
        self.gaussian = [name for name, kind in kinds.items() if kind == "gaussian"]
        self._others = [name for name, kind in kinds.items() if kind == "other"]
        self.grid = configurations(situation, self.discrete, num_counts)
        self.num_configurations = int(np.prod([len(level) for level in self.grid.values()]))
        self.values: dict[str, Tensor] = {
            **{name: value for name, value in situation.settings.items() if isinstance(value, Tensor)},
            **situation.seen,
            **situation.nodes,
            **columns_of(self.grid),
        }
        self._mean, self._loadings = self._linear()
        self.log_joint = self._weigh()

    @cached_property
    def log_weights(self) -> Tensor:
        """log p(configuration | what is seen) as [S, M, C]."""
        return torch.log_softmax(checked(self.log_joint, self._situation.seen), -1)

    def _linear(self) -> tuple[Tensor, Tensor]:
        """Mean [S, M, C, d] and loadings W [S, M, C, d, d] of the Gaussian variables on independent noise."""
        means: list[Tensor] = []
        loadings: list[Tensor] = []
        size = len(self.gaussian)
        for place, name in enumerate(self.gaussian):
            mean, slopes, scale = self._line(name)
            noise = torch.zeros(size, dtype=torch.float64)
            noise[place] = 1.0
            load = scale[..., None] * noise
            for parent, slope in slopes.items():
                at = self.gaussian.index(parent)
                mean = mean + slope * means[at]
                load = load + slope[..., None] * loadings[at]
            means.append(mean)
            loadings.append(load)
        if not size:
            return torch.zeros(1, 1, 1, 0, dtype=torch.float64), torch.zeros(1, 1, 1, 0, 0, dtype=torch.float64)
        return torch.stack(torch.broadcast_tensors(*means), -1), torch.stack(torch.broadcast_tensors(*loadings), -2)

    def _line(self, name: str) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """A Gaussian variable's mean without its Gaussian causes, its slopes on these, and its scale [S, M, C]."""
        situation, given = self._situation, self._situation.settings.get(name)
        if isinstance(given, dist.Normal):
            loc, scale = (part.double().reshape(1, 1, 1) for part in (given.loc, given.scale))
            return loc, {}, scale
        node = situation.node(name)
        local, cell = node.local(situation.draws), situation.cell(name, self.values)
        equation = cast(JointlyGaussian, node.mechanism).equation(
            {symbol: value.numpy() for symbol, value in local.items()}, node.num_inputs
        )
        intercept, lines, spread = (
            torch.from_numpy(np.array(part))
            for part in (equation.intercept[..., 0], equation.slopes[..., 0, :], equation.factor[..., 0, 0])
        )
        num_draws = situation.num_draws
        mean, scale = (pick(all_draws(part, num_draws, 1), cell) for part in (intercept, spread))
        slopes, place, found = pick(all_draws(lines, num_draws, 2), cell), 0, {}
        for parent, width in zip(node.parents, node.widths, strict=True) if node.widths else ():
            if parent in self.gaussian:
                found[parent] = slopes[..., place]
            else:
                values = self.values[parent]
                indicators = torch.arange(1.0, width + 1, dtype=torch.float64)
                entered = values[..., None] if width == 1 else (values[..., None] == indicators).double()
                mean = mean + (slopes[..., place : place + width] * entered).sum(-1)
            place += width
        return mean, found, scale

    def _weigh(self) -> Tensor:
        """log p(configuration, what is seen) as [S, M, C]."""
        situation = self._situation
        total = torch.zeros(situation.num_draws, 1, 1, dtype=torch.float64)
        for name in self.discrete:
            total = total + self.log_mass(name)
        for name in self._others:
            if name in situation.seen:
                total = total + situation.distribution(name, self.values).log_prob(situation.seen[name])
        if any(name in situation.seen for name in self.gaussian):
            total = total + self._log_density_of_seen()
        total = total.clamp_min(LOG_ZERO)
        return total.expand(*np.broadcast_shapes(total.shape, (1, 1, self.num_configurations)))

    def log_mass(self, name: str) -> Tensor:
        """log p(name | its causes) of a discrete variable, [S | 1, M | 1, C | 1]."""
        situation, value = self._situation, self.values[name]
        given = situation.settings.get(name)
        if given is not None:
            return log_mass(given, value)
        if name != LATENT and situation.node(name).mechanism.num_levels is None:
            return situation.distribution(name, self.values).log_prob(value)  # type: ignore[no-any-return]
        masses = pick(situation.log_masses(name), situation.cell(name, self.values))
        shape = np.broadcast_shapes(masses.shape[:-1], value.shape)
        index = value.long().expand(shape)[..., None]
        return torch.gather(masses.expand(*shape, masses.shape[-1]), -1, index)[..., 0]

    @cached_property
    def _split(self) -> tuple[list[int], list[int]]:
        seen = [place for place, name in enumerate(self.gaussian) if name in self._situation.seen]
        return seen, [place for place in range(len(self.gaussian)) if place not in seen]

    @cached_property
    def _seen_parts(self) -> tuple[Tensor, Tensor]:
        """Residuals [S, M, C, d'] of the Gaussian variables that are seen, and the factor of their covariance."""
        seen, _ = self._split
        values = [self._situation.seen[self.gaussian[place]] for place in seen]
        residual = torch.stack([v - self._mean[..., p] for v, p in zip(values, seen, strict=True)], -1)
        loadings = self._loadings[..., seen, :]
        return residual, torch.linalg.cholesky(loadings @ loadings.mT)

    @property
    def standardised_errors(self) -> Tensor | None:
        """What is seen of the Gaussian variables less its mean, as independent standard normals [S, M, C, d'].

        None where no Gaussian variable is seen.
        """
        if not self._split[0]:
            return None
        residual, factor = self._seen_parts
        factor = factor.expand(*residual.shape, -1)
        found: Tensor = torch.linalg.solve_triangular(factor, residual[..., None], upper=False)[..., 0]
        return found

    def _log_density_of_seen(self) -> Tensor:
        residual, factor = self._seen_parts
        return dist.MultivariateNormal(torch.zeros_like(residual), scale_tril=factor).log_prob(residual)  # type: ignore[no-any-return]

    def log_most_without(self, name: str) -> Tensor:
        """An upper bound of log p(configuration, what is seen), a discrete variable apart, as [S, M, C]."""
        total = torch.zeros(self._situation.num_draws, 1, 1, dtype=torch.float64)
        for other in self.discrete:
            total = total + (self.log_mass(other) if other != name else 0.0)
        if self._split[0]:
            residual, factor = self._seen_parts
            total = total - factor.diagonal(dim1=-2, dim2=-1).log().sum(-1) - residual.shape[-1] * HALF_LOG_2PI
        # A mass is at most 1; of a density that is not Gaussian no bound is known.
        seen = [other for other in self._others if other in self._situation.seen]
        is_bounded = all(self._situation.is_integer_valued(other) for other in seen)
        return total if is_bounded else torch.full_like(total, torch.inf)

    def moments(self, name: str) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation [S, M, C] of a Gaussian variable, given the configuration and what is seen."""
        place, (seen, _) = self.gaussian.index(name), self._split
        mean, loading = self._mean[..., place], self._loadings[..., place, :]
        if not seen:
            return mean, loading.square().sum(-1).sqrt()
        residual, factor = self._seen_parts
        cross = self._loadings[..., seen, :] @ loading[..., None]
        weights = torch.cholesky_solve(cross.expand(*residual.shape, 1), factor)[..., 0]
        left = loading.square().sum(-1) - (weights * cross[..., 0]).sum(-1)
        return mean + (weights * residual).sum(-1), left.clamp_min(0.0).sqrt()

    def component(self, name: str) -> Any:
        """p(name | configuration, seen) with batch shape [S, M, C]."""
        if name in self.gaussian:
            return StableNormal(*self.moments(name), validate_args=False)
        if name in self.values:
            return dist.Delta(self.values[name])
        return self._situation.distribution(name, self.values)

    def draw(self) -> dict[str, Tensor]:
        """One value [S] of every variable for each draw of the Greeks (M = 1), given what is seen."""
        shares = self.log_weights[:, 0].exp()
        chosen = torch.multinomial(shares, 1)[:, 0]
        found = {}
        for name, value in self.values.items():
            whole = value.expand(len(chosen), 1, self.num_configurations, *value.shape[3:])
            found[name] = whole[torch.arange(len(chosen)), 0, chosen]
        if self.gaussian:
            found |= self._draw_gaussian(chosen)
        return found

    def _draw_gaussian(self, chosen: Tensor) -> dict[str, Tensor]:
        """A joint draw without what is seen, moved by what its error says of the rest (Matheron's rule)."""
        rows = torch.arange(len(chosen))
        size = len(self.gaussian)
        shape = (len(chosen), 1, self.num_configurations)
        mean = self._mean.expand(*shape, size)[rows, 0, chosen]
        loadings = self._loadings.expand(*shape, size, size)[rows, 0, chosen]
        found = mean + (loadings @ torch.randn(len(chosen), size, 1, dtype=torch.float64))[..., 0]
        seen, _ = self._split
        if seen:
            values = torch.stack(
                [self._situation.seen[self.gaussian[p]].expand(len(chosen), 1, 1)[:, 0, 0] for p in seen], -1
            )
            some = loadings[:, seen]
            gap = torch.linalg.solve(some @ some.mT, (values - found[:, seen])[..., None])
            found = found + (loadings @ some.mT @ gap)[..., 0]
            found[:, seen] = values
        return {name: found[:, place] for place, name in enumerate(self.gaussian)}


def joint_of(situation: Situation, names: Sequence[str], num_counts: Mapping[str, int]) -> Joint:
    """The joint distribution, with as many values of every count as have probability given what is seen."""
    joint = Joint(situation, names, num_counts)
    more = more_counts(situation, joint, joint.log_joint[:, :, None])
    return joint if not more else joint_of(situation, names, {**num_counts, **more})


def more_counts(situation: Situation, joint: Joint, log_joint: Tensor) -> dict[str, int]:
    """Twice as many values of every count that is cut off where it still has probability.

    ``log_joint`` is log p(node, configuration, seen) [S, R, Q, C]. Nodes are summed over first: one far out in the tail
    of a setting, where what is seen would ask for ever larger counts, has as little to say here as in the answer.
    """
    total = log_joint.logsumexp(2)
    return {name: 2 * len(level) for name, level in joint.grid.items() if _is_cut(situation, joint, total, name)}


def _is_cut(situation: Situation, joint: Joint, log_joint: Tensor, name: str) -> bool:
    """Whether the last values of a count have probability, on its own or given what is seen.

    Asked of each configuration of everything else, unless all of its values together have a share below NEGLIGIBLE.
    """
    if not is_count(situation, name):
        return False
    sizes = [len(level) for level in joint.grid.values()]
    place = list(joint.grid).index(name)

    def by_count(values: Tensor) -> Tensor:
        whole = values.expand(*values.shape[:2], joint.num_configurations)
        return whole.reshape(*values.shape[:2], *sizes).movedim(2 + place, -1)

    evidence = log_joint.flatten(2).logsumexp(-1).amin(1).reshape(-1, *[1] * len(sizes))
    most = by_count(joint.log_most_without(name)).amax(-1).amax(1, keepdim=True)
    matters = most - evidence > np.log(NEGLIGIBLE)
    own = by_count(joint.log_mass(name))
    for table in (own, by_count(log_joint)):
        last = torch.softmax(table, -1)[..., -(sizes[place] // 4) :].sum(-1)
        if bool((matters & (table.amax(-1) > LOG_ZERO / 2) & (last > TAIL)).any()):
            return True
    return bool((matters & (own.exp().sum(-1) < 1.0 - MISSED)).any())


def is_count(situation: Situation, name: str) -> bool:
    """Whether a variable has whole numbers without end for values."""
    given = situation.settings.get(name)
    if given is not None:
        return not isinstance(given, Tensor) and not is_finite(given) and is_integer(given)
    if name == LATENT or situation.node(name).mechanism.num_levels is not None:
        return False
    return situation.is_integer_valued(name)


def kind_of(situation: Situation, name: str, names: Sequence[str]) -> str:
    """How a variable enters: summed over its levels, jointly Gaussian, or on its own (nothing in question is below)."""
    given = situation.settings.get(name)
    if isinstance(given, dist.Normal):
        return "gaussian"
    if given is not None:
        return "discrete" if is_finite(given) or is_integer(given) else "other"
    if name == LATENT or situation.node(name).mechanism.num_levels is not None:
        return "discrete"
    mechanism = situation.node(name).mechanism
    if mechanism.is_gaussian and mechanism.num_columns is None:
        return "gaussian"
    is_cause = mechanism.num_columns is None and situation.is_cause(name, names)
    return "discrete" if is_cause and situation.is_integer_valued(name) else "other"


def configurations(situation: Situation, names: Sequence[str], num_counts: Mapping[str, int]) -> dict[str, Tensor]:
    """The levels of every discrete variable that is not seen, or an error where they have too many combinations."""
    found = {name: _levels(situation, name, num_counts) for name in names if name not in situation.seen}
    size = int(np.prod([len(level) for level in found.values()]))
    if size > MOST_CONFIGURATIONS:
        # Draws given what is seen need the same sum.
        sampling = "" if situation.seen else "use .sample(), or "
        endless = [name for name in found if is_count(situation, name)] or [name for name in found if name != LATENT]
        raise NotImplementedError(
            f"{size} configurations of {list(found)} would have to be summed over, more than {MOST_CONFIGURATIONS}; "
            f"{sampling}give a value of {' and '.join(endless)}, seen or set"
        )
    return found


def columns_of(grid: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every combination of levels, as one column [1, 1, C] of each variable."""
    if not grid:
        return {}
    combined = torch.cartesian_prod(*grid.values()).reshape(-1, len(grid))
    return {name: column.reshape(1, 1, -1) for name, column in zip(grid, combined.T, strict=True)}


def checked(log_joint: Tensor, seen: Mapping[str, Tensor]) -> Tensor:
    """log p(..., what is seen) [S, M, ...], or a ValueError where what is seen cannot be."""
    if bool((log_joint.flatten(2).amax(-1) <= LOG_ZERO / 2).any()):
        raise ValueError(f"what is given, {list(seen)}, has probability 0 under the fit and what is set")
    return log_joint


def _levels(situation: Situation, name: str, num_counts: Mapping[str, int]) -> Tensor:
    given = situation.settings.get(name)
    if given is not None and is_finite(given):
        return levels(given)
    if given is None and name == LATENT:
        return torch.arange(situation.model.K, dtype=torch.float64)
    num_levels = None if given is not None else situation.node(name).mechanism.num_levels
    return torch.arange(num_levels or num_counts.get(name, FIRST_COUNTS), dtype=torch.float64)
