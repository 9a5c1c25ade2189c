"""Counterfactuals: what these rows would have been, had some variables been set. Abduct, act, predict."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from estimators.data import LATENT, Data
from estimators.estimate import Estimate
from estimators.isolation import check_seed, isolated
from estimators.model import CausalMixture
from estimators.nodes import WEIGHTS
from estimators.predictive import Setting, Situation
from estimators.structural import Structural, assumption, is_random

# Draws of noise that is not identified, for every row, over all draws of the Greeks; and elements held at one time.
WORLDS = 1_000
MAX_ELEMENTS = 2_000_000


@dataclass(frozen=True, eq=False)
class Counterfactual:
    """The rows of a data set as they would have been under ``do(...)``, for each draw of the Greeks.

    Abduction: Z given the row, p(Z | row, φ), summed over exactly; the noise of every variable given the row and Z.
    Action and prediction: with the same Z (unless it is set) and noise, every variable below what is set is computed
    anew; all others keep the value they had. An entry that an experimenter set keeps its value, unless set again.

    The noise of a Gaussian is its standardised residual. That of a discrete variable is not identified:
    ``assumptions`` say how it is recovered (`MonotoneInverse` for Bernoulli and Poisson, `GumbelMax` for Categorical,
    unless replaced); it is drawn at random, and means state the standard error of that (`Estimate.error`).
    """

    model: CausalMixture
    draws: Mapping[str, Tensor]
    num_chains: int
    data: Data
    settings: Mapping[str, Tensor]
    assumptions: Mapping[str, Structural]
    seed: int

    def mean(self, name: str) -> Estimate:
        """E[name | row, had ... been set] for every draw and row, as an Estimate of draws [S, N]."""
        self._check(name)
        marginal = self.model.marginal(self.data)
        random = [other for other in self._changed() if is_random(self.assumptions[other])]
        num_draws = len(self.draws[WEIGHTS])
        worlds = max(-(-WORLDS // num_draws), 2) if random else 1
        values, errors = [], []
        step = max(MAX_ELEMENTS // (self.data.num_rows * worlds), 1)
        with isolated(self.seed):
            for start in range(0, num_draws, step):
                part = {key: value[start : start + step] for key, value in self.draws.items()}
                shares = marginal.responsibilities(part)
                change = self._mean_over_latent(name, part, shares, worlds)
                values.append(self.data.columns[name].double() + change.mean(1))
                if random:
                    errors.append(change.std(1) / float(np.sqrt(worlds)))
        return Estimate(torch.cat(values), self.num_chains, torch.cat(errors) if random else None)

    def sample(self, seed: int | None = None) -> dict[str, Tensor]:
        """One world for every row: Greeks, Z and noise drawn given the row, and every variable in it [N], Z included.

        Worlds of one seed share their Greeks, Z (as it was) and noise, whatever is set.
        """
        num_rows = self.data.num_rows
        with isolated(check_seed(seed)):
            which = torch.randint(len(self.draws[WEIGHTS]), (num_rows,))
            greeks = {name: value[which] for name, value in self.draws.items()}
            shares = torch.empty(num_rows, self.model.K, dtype=torch.float64)
            for draw in which.unique():
                rows = (which == draw).nonzero()[:, 0]
                known = {name: value[draw] for name, value in self.draws.items()}
                shares[rows] = self.model.marginal(self.data.rows(rows)).responsibilities(known)
            latent = torch.multinomial(shares, 1)
            found = self._worlds(greeks, latent[:, None], per_row=True)
        return {name: value.expand(num_rows, 1, 1, *value.shape[3:])[:, 0, 0] for name, value in found.items()}

    # ---------------------------------------------------------------- inside

    def _check(self, name: str) -> None:
        if name not in self.model.mechanisms:
            raise ValueError(f"expected a variable among {list(self.model.mechanisms)}, got {name!r}")

    def _changed(self) -> list[str]:
        """The variables that what is set can change, causes first, but for those that are set themselves."""
        moved = set(self.settings)
        for name, node in self.model.nodes.items():
            if name not in self.settings and (
                moved.intersection(node.parents) or (node.is_below and LATENT in self.settings)
            ):
                moved.add(name)
        return [name for name in self.model.nodes if name in moved and name not in self.settings]

    def _mean_over_latent(self, name: str, draws: Mapping[str, Tensor], shares: Tensor, worlds: int) -> Tensor:
        """Σ_k p(Z = k | row) (x_k - x) as [S, worlds, N, ...], which is 0 itself where nothing changes."""
        num_draws, fact = len(shares), self.data.columns[name].double()
        repeated = {key: value.repeat_interleave(worlds, 0) for key, value in draws.items()}
        total = torch.zeros(num_draws, worlds, *fact.shape, dtype=torch.float64)
        for k in range(self.model.K):
            latent = torch.full((1, 1, 1), k)
            found = self._worlds(repeated, latent, per_row=False)[name]
            found = found.expand(num_draws * worlds, self.data.num_rows, 1, *found.shape[3:])[:, :, 0]
            found = found.reshape(num_draws, worlds, *found.shape[1:])
            weight = shares[:, None, :, k].reshape(num_draws, 1, -1, *[1] * (found.ndim - 3))
            # A component that cannot have made the row leaves no finite noise.
            change = torch.where(weight > 0, weight * (found - fact), torch.zeros_like(found))
            total = total + change
        return total

    def _worlds(self, greeks: Mapping[str, Tensor], latent: Tensor, *, per_row: bool) -> dict[str, Tensor]:
        """Every variable [S, N, 1, ...] in the counterfactual worlds, given the factual Z.

        With `per_row`, Greeks, Z and rows share the first axis: [N, 1, 1, ...].
        """
        axis = (slice(None), None, None) if per_row else (None, slice(None), None)
        fact: dict[str, Tensor] = {name: self.data.columns[name].double()[axis] for name in self.model.nodes}
        world: dict[str, Tensor] = {}
        for name, value in self.settings.items():
            own = 0 if name == LATENT or self.model.mechanisms[name].num_columns is None else 1
            world[name] = value[axis] if value.ndim > own else value.reshape(1, 1, 1, *value.shape)
        fact[LATENT] = latent
        world.setdefault(LATENT, latent)
        situation = Situation(self.model, greeks, {}, {})
        changed = set(self._changed())
        for name in self.model.nodes:
            noise = self._noise(situation, name, fact)
            if name in world:
                continue
            if name not in changed:
                world[name] = fact[name]
                continue
            moved = self.assumptions[name].act(situation.distribution(name, world), noise)
            same = self._is_same(name, fact, world) | self.data.is_set(name)[axis]
            while same.ndim < moved.ndim:
                same = same[..., None]
            world[name] = torch.where(same, fact[name], moved)
        return world

    def _noise(self, situation: Situation, name: str, fact: Mapping[str, Tensor]) -> Tensor:
        """The noise of a variable given the row, drawn for every variable, so that it is the same whatever is set."""
        given = situation.distribution(name, fact)
        value = fact[name].expand(*torch.broadcast_shapes(given.batch_shape, fact[name].shape[:3]), *given.event_shape)
        return self.assumptions[name].abduct(given.expand(value.shape[:3]), value)

    def _is_same(self, name: str, fact: Mapping[str, Tensor], world: Mapping[str, Tensor]) -> Tensor:
        """Where every cause has the value that it had: the variable has, too."""
        node = self.model.nodes[name]
        same = torch.ones(1, 1, 1, dtype=torch.bool)
        for cause in (*([LATENT] if node.is_below else []), *node.parents):
            same = same & (fact[cause] == world[cause])
        return same


def counterfactual_of(
    model: CausalMixture,
    draws: Mapping[str, Tensor],
    num_chains: int,
    data: Data,
    settings: Mapping[str, Setting],
    assumptions: Mapping[str, Structural] | None,
    seed: int | None,
) -> Counterfactual:
    """A counterfactual with its settings and assumptions checked."""
    values: dict[str, Tensor] = {}
    for name, value in settings.items():
        if not isinstance(value, Tensor):
            raise ValueError(f"counterfactual: do expects values, got {name}={value}")
        own = 0 if name == LATENT or model.mechanisms[name].num_columns is None else 1
        if value.ndim > own and len(value) != data.num_rows:
            raise ValueError(f"counterfactual: {name} has {len(value)} values, but there are {data.num_rows} rows")
        values[name] = value
    given = dict(assumptions or {})
    for name, structural in given.items():
        if name not in model.mechanisms:
            raise ValueError(f"assumptions: expected variables among {list(model.mechanisms)}, got {name!r}")
        if not (hasattr(structural, "abduct") and hasattr(structural, "act")):
            raise TypeError(f"assumptions: {name} expects an object with abduct and act, got {structural!r}")
    chosen = {name: given.get(name, assumption(mechanism)) for name, mechanism in model.mechanisms.items()}
    return Counterfactual(model, draws, num_chains, data, values, chosen, check_seed(seed))
