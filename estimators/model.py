"""Causal mixtures: a hidden discrete cause Z and the variables it causes, as one frozen value and one Pyro program."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from torch import Tensor

from estimators.data import LATENT, Data
from estimators.isolation import check_seed, isolated
from estimators.marginal import MixtureMarginal
from estimators.mechanisms import Gaussian, Mechanism
from estimators.mechanisms.base import Reference
from estimators.parameters import Parameter, Simplex, Transform, checked_greeks

WEIGHTS = "theta"
# Arguments of Data that are not columns.
RESERVED = ("weights", "intervened")
PARALLEL: Any = {"enumerate": "parallel"}


@dataclass(frozen=True, eq=False)
class CausalMixture:
    """``Z ~ Categorical(theta)``, then every variable from its mechanism given Z; ``theta ~ Dirichlet(concentration)``.

    ``p(x) = Σ_k theta_k Π_j p(x_j | Z = k)``. Greeks: ``theta`` [K] and ``<symbol>_<variable>`` of each mechanism,
    e.g. ``mu_X`` [K]. The first mechanism's mean orders the components.

    A model is a Pyro program: ``model(4)`` returns ``{'X': tensor, 'Z': tensor}``, and `pyro.do`, `pyro.condition` and
    Pyro's own inference run on it. Z is marked for parallel enumeration, in the plate ``rows`` at dimension -1.

    Raises ValueError or TypeError, naming the argument, where K is not a positive integer, a concentration is not
    positive, or a mechanism is not one.

    >>> sorted(CausalMixture(2, {"X": Gaussian(scale=1.0)})(4))
    ['X', 'Z']
    """

    K: int
    mechanisms: Mapping[str, Mechanism]
    concentration: Any = 1.0
    parameters: tuple[Parameter, ...] = field(init=False, repr=False)
    _symbols: Mapping[str, list[tuple[str, str]]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.K, bool) or not isinstance(self.K, Integral):
            raise TypeError(f"K: expected a whole number of components, got {self.K!r}")
        if self.K < 1:
            raise ValueError(f"K: expected at least one component, got {self.K}")
        object.__setattr__(self, "K", int(self.K))
        object.__setattr__(self, "mechanisms", _checked_mechanisms(self.mechanisms))
        object.__setattr__(self, "concentration", _checked_concentration(self.concentration, self.K))
        weights = Parameter(WEIGHTS, (self.K,), dist.Dirichlet(self.concentration))
        found, symbols = [weights], {}
        for variable, mechanism in self.mechanisms.items():
            own = mechanism.parameters(self.K)
            symbols[variable] = [(parameter.name, f"{parameter.name}_{variable}") for parameter in own]
            found += [replace(parameter, name=f"{parameter.name}_{variable}") for parameter in own]
        object.__setattr__(self, "parameters", tuple(found))
        object.__setattr__(self, "_symbols", symbols)

    def __reduce__(self) -> tuple[Any, ...]:
        return CausalMixture, (self.K, dict(self.mechanisms), self.concentration)

    def __call__(self, num_rows: int) -> dict[str, Tensor]:
        """Run as a Pyro program: draw the Greeks from their priors, then `num_rows` rows."""
        return self.rows(self.sample_greeks(), num_rows)

    def sample_greeks(self) -> dict[str, Tensor]:
        """Run the part of the program above the rows: every Greek from its prior."""
        greeks = {}
        for parameter in self.parameters:
            if parameter.by_component and parameter.name != WEIGHTS:
                with pyro.plate(f"components_{parameter.name}", self.K):
                    greeks[parameter.name] = pyro.sample(parameter.name, parameter.prior)
            else:
                greeks[parameter.name] = pyro.sample(parameter.name, parameter.prior)
        return greeks

    def rows(self, greeks: Mapping[str, Tensor], num_rows: int) -> dict[str, Tensor]:
        """Run the part of the program below the Greeks: Z and every variable, for `num_rows` rows.

        A Greek may also have one value per row, [N, K] instead of [K], as predictions over posterior draws need.
        """
        columns: dict[str, Tensor] = {}
        with pyro.plate("rows", num_rows):
            latent = pyro.sample(LATENT, dist.Categorical(greeks[WEIGHTS]), infer=PARALLEL)
            latent = torch.as_tensor(latent).long()
            for variable, mechanism in self.mechanisms.items():
                columns[variable] = pyro.sample(variable, mechanism.distribution(self.local(greeks, variable), latent))
        columns[LATENT] = latent
        return {
            name: torch.as_tensor(column).expand(torch.broadcast_shapes(torch.as_tensor(column).shape, (num_rows,)))
            for name, column in columns.items()
        }

    def observe(self, greeks: Mapping[str, Tensor], data: Data, suffix: str) -> None:
        """Run the row program on observed rows that are alike in Z: all hidden, all seen, or all set.

        Z is enumerated where hidden, observed where seen, and no random site at all where set; a set entry of another
        column is masked out. This is the truncated factorisation as Pyro states it, independent of `marginal.py`.
        """
        latent = data.latent()
        with pyro.plate(f"rows_{suffix}", data.num_rows):
            if not bool(data.is_set(LATENT).all()):
                seen = latent if bool((latent >= 0).all()) else None
                infer = PARALLEL if seen is None else None
                latent = pyro.sample(f"{LATENT}_{suffix}", dist.Categorical(greeks[WEIGHTS]), obs=seen, infer=infer)
            for variable, mechanism in self.mechanisms.items():
                given = mechanism.distribution(self.local(greeks, variable), latent).mask(~data.is_set(variable))
                pyro.sample(f"{variable}_{suffix}", given, obs=mechanism.check(variable, data.columns[variable]))

    def conditioned(self, data: Data) -> tuple[Callable[[], None], int]:
        """The program on unweighted data for Pyro's own inference, and its plate nesting.

        Rows with Z hidden, seen and set are three runs of the row program.
        """
        is_set, seen = data.is_set(LATENT), data.latent() >= 0
        masks = {"hidden": ~seen, "seen": seen & ~is_set, "set": is_set}
        blocks = {name: data.rows(mask.nonzero()[:, 0]) for name, mask in masks.items() if bool(mask.any())}

        def program() -> None:
            greeks = self.sample_greeks()
            for name, rows in blocks.items():
                self.observe(greeks, rows, name)

        return program, 1

    def local(self, greeks: Mapping[str, Any], variable: str) -> dict[str, Any]:
        """The Greeks of one variable's mechanism under their symbols: ``{'mu': greeks['mu_X']}``."""
        return {symbol: greeks[name] for symbol, name in self._symbols[variable]}

    def prior_greeks(self, seed: int | None = None) -> dict[str, Tensor]:
        """Draw the Greeks from their priors."""
        with isolated(check_seed(seed)):
            return {parameter.name: parameter.prior.sample().double() for parameter in self.parameters}

    def simulate(
        self, num_rows: int, greeks: Mapping[str, Any] | None = None, seed: int | None = None
    ) -> dict[str, Tensor]:
        """Draw `num_rows` rows, Z included, at given Greeks or at Greeks drawn from the prior.

        >>> rows = GaussianMixture(K=2).simulate(3, {"theta": [0.5, 0.5], "mu_X": [0.0, 9.0]}, seed=1)
        >>> len(rows["X"])
        3
        """
        if isinstance(num_rows, bool) or not isinstance(num_rows, Integral) or num_rows < 1:
            raise ValueError(f"num_rows: expected a positive whole number, got {num_rows!r}")
        known = self.prior_greeks(seed) if greeks is None else self.check_greeks(greeks)
        with isolated(check_seed(seed)):
            return self.rows(known, int(num_rows))

    def check_greeks(self, greeks: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return Greeks as float64 tensors, or raise a ValueError on a wrong name, shape or support."""
        return checked_greeks(greeks, {p.name: (p.shape, p.prior.support) for p in self.parameters})

    def check(self, data: Data) -> Data:
        """Return the data if this model can be fitted to them; otherwise raise a ValueError that names the column."""
        known = {*self.mechanisms, LATENT}
        unknown = [name for name in (*data.columns, *data.scalars) if name not in known]
        if unknown:
            raise ValueError(f"data: the model has no variable {unknown[0]!r}; it has {sorted(known)}")
        if data.scalars:
            raise ValueError(f"data: expected a column [N] for {next(iter(data.scalars))!r}, got a single number")
        for name, column in data.columns.items():
            if column.ndim > 1:
                raise ValueError(f"column {name}: expected one dimension [N], got shape {tuple(column.shape)}")
        for variable, mechanism in self.mechanisms.items():
            if variable not in data.columns:
                raise ValueError(f"data: column {variable!r} is missing; got {list(data.columns)}")
            mechanism.check(variable, data.columns[variable])
        latent = data.latent()
        outside = (latent < -1) | (latent >= self.K)
        if bool(outside.any()):
            row = int(outside.nonzero()[0])
            raise ValueError(f"Z: expected -1 (not seen) to {self.K - 1}, got {int(latent[row])} in row {row}")
        return data

    def marginal(self, data: Data) -> MixtureMarginal:
        """log p(data | φ) with Z summed out: the exact E-step that every estimator shares."""
        self.check(data)
        return MixtureMarginal(self.mechanisms, self.K, data, self.local)

    def transforms(self, references: Mapping[str, Reference]) -> dict[str, Transform]:
        """The unconstrained coordinates of every Greek, in units of the standardised columns."""
        found: dict[str, Transform] = {WEIGHTS: Simplex()}
        for variable, mechanism in self.mechanisms.items():
            for symbol, name in self._symbols[variable]:
                found[name] = mechanism.transform(symbol, references[variable])
        return found

    def exchangeable(self, data: Data | None = None) -> list[list[int]]:
        """Groups of components whose labels are free: equal priors, and no row with that Z known."""
        keys = [self.concentration.tolist()]
        keys += [mechanism.exchangeable(self.K) for mechanism in self.mechanisms.values()]
        pinned = set() if data is None else set(data.latent()[(data.latent() >= 0) & data.counts()].tolist())
        groups: dict[object, list[int]] = {}
        for k in range(self.K):
            groups.setdefault(("pinned", k) if k in pinned else tuple(key[k] for key in keys), []).append(k)
        return list(groups.values())

    def permuted(self, order: Sequence[int]) -> "CausalMixture":
        """The same model with component k renamed to what ``order[k]`` was (itself, where priors are all equal)."""
        if len(self.exchangeable()) == 1:
            return self
        mechanisms = {name: mechanism.permuted(order) for name, mechanism in self.mechanisms.items()}
        return CausalMixture(self.K, mechanisms, self.concentration[list(order)])

    def order_key(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """What orders the components, as [..., K]: the first mechanism's mean."""
        variable = next(iter(self.mechanisms))
        return self.mechanisms[variable].order_key(self.local(greeks, variable))


class GaussianMixture(CausalMixture):
    """The tutorial's model: one column, ``X | Z = k ~ Normal(mu_k, scale)``.

    ``mu_k ~ Normal(0, loc_scale)``, ``theta ~ Dirichlet(concentration)``; ``scale`` is a number (known) or a prior over
    the positive numbers (one unknown scale per component).

    >>> GaussianMixture(K=2).parameters[1].name
    'mu_X'
    """

    def __init__(self, K: int, concentration: Any = 0.5, scale: Any = 1.0, loc_scale: float = 10.0) -> None:
        if isinstance(loc_scale, bool) or not isinstance(loc_scale, Real):
            raise TypeError(f"loc_scale: expected a number, got {loc_scale!r}")
        if not 0 < loc_scale < np.inf:
            raise ValueError(f"loc_scale: expected a number > 0, got {loc_scale}")
        loc = dist.Normal(torch.zeros((), dtype=torch.float64), torch.tensor(float(loc_scale), dtype=torch.float64))
        super().__init__(K, {"X": Gaussian(loc=loc, scale=scale)}, concentration)


def _checked_mechanisms(mechanisms: object) -> Mapping[str, Mechanism]:
    if not isinstance(mechanisms, Mapping) or not mechanisms:
        raise TypeError(f'mechanisms: expected a mapping such as {{"X": Gaussian()}}, got {mechanisms!r}')
    for name, mechanism in mechanisms.items():
        if not isinstance(name, str) or not name:
            raise TypeError(f"mechanisms: expected variable names, got {name!r}")
        if name == LATENT:
            raise ValueError(f"mechanisms: {LATENT!r} is the hidden cause; give the variable another name")
        if name in RESERVED:
            raise ValueError(f"mechanisms: {name!r} is an argument of Data; give the variable another name")
        if not hasattr(mechanism, "coefficients"):
            raise TypeError(f"mechanisms[{name!r}]: expected a mechanism such as Gaussian(), got {mechanism!r}")
    return MappingProxyType(dict(mechanisms))


def _checked_concentration(concentration: object, num_components: int) -> Tensor:
    if isinstance(concentration, str | bool) or concentration is None:
        raise TypeError(f"concentration: expected a number > 0, got {concentration!r}")
    try:
        values = torch.as_tensor(concentration, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"concentration: expected a number > 0, got {concentration!r}") from None
    if tuple(values.shape) not in ((), (num_components,)):
        raise ValueError(
            f"concentration: expected a number, or {num_components} of them, got shape {tuple(values.shape)}"
        )
    if not bool((torch.isfinite(values) & (values > 0)).all()):
        raise ValueError(f"concentration: expected a number > 0, got {concentration!r}")
    return values.expand(num_components).clone()
