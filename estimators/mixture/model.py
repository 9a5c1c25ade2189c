"""Causal mixtures: a hidden discrete cause Z and the variables it causes, as one frozen value and one Pyro program."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
from numpy.typing import NDArray
from torch import Tensor

from estimators.checks import what_came
from estimators.contract import Draws, Model, Settings, WrongModelTypeError
from estimators.data.data import LATENT, Data, as_data
from estimators.data.levels import Levels
from estimators.estep.gated import GatedWeights
from estimators.estep.marginal import MixtureMarginal
from estimators.estep.variable import Node
from estimators.estep.weights import WEIGHTS, Theta, Weights
from estimators.isolation import own_modes
from estimators.mechanisms import Gate, Gaussian, Mechanism
from estimators.mixture.allocations import Allocations, check_conjugate
from estimators.mixture.arguments import (
    check_names,
    check_no_concentration,
    check_rows,
    checked_causes,
    checked_concentration,
    checked_mechanisms,
    with_covariates,
)
from estimators.mixture.counterfactual import MixtureWorlds, worlds_of
from estimators.mixture.covariates import CovariateRows
from estimators.mixture.density import Density
from estimators.mixture.description import arguments_from, described, line_of
from estimators.mixture.graph import causal_order, causes, design_of, digraph, levels_of
from estimators.mixture.informing import informing, informing_weights, pinned_labels
from estimators.mixture.predictive import MixturePredictive
from estimators.mixture.prior_labels import label_densities, likeliest_order
from estimators.mixture.program import MixtureProgram
from estimators.mixture.settings import check_settings, check_values
from estimators.mixture.symmetry import exchangeable, order_keys, symmetry_of
from estimators.parameters.parameter import NamedAxes, Parameter, check_draws
from estimators.parameters.symmetry import Symmetry


@dataclass(frozen=True, eq=False)
class CausalMixture(MixtureProgram):
    """``Z ~ Categorical(theta)``, then every variable from its mechanism given Z and the variable's observed parents.

    ``p(x) = Σ_k theta_k Π_j p(x_j | Z = k, parents_j)``, with ``theta ~ Dirichlet(concentration)``. Greeks: ``theta``
    [K] and ``<symbol>_<variable>`` of each mechanism, e.g. ``mu_X`` [K]. The first mechanism's mean, or what differs
    first, orders the components. ``latent_parents`` are the observed causes of Z: ``theta`` [levels, ..., K] where all
    are discrete, else, or where ``latent`` is a `Gate`, a multinomial logit ``beta_Z`` [K, 1 + P] in its place. Each of
    them has its mechanism in ``mechanisms`` too, which is then the same for all components (``p_W`` [], not [K]). So
    is any mechanism with ``caused_by_latent=False``: a mediator, an instrument, or an outcome that Z does not cause,
    but for the causes that it has. Its Greeks have no axis for classes, and the graph has no edge from Z to it.
    ``covariates``, by name or with numbers of levels (``{"age": None, "site": 3}``), have no mechanism: rows are
    conditioned on them. Questions average over the fitted rows' (the g-formula, by weights), or are at a value:
    ``do(age=50)`` and ``given(age=50)`` are one; given a level, the others are averaged over the rows that have it.

    A model is a Pyro program: ``model(4)`` returns ``{'X': tensor, 'Z': tensor}``, and `pyro.do`, `pyro.condition` and
    Pyro's own inference run on it. Z is marked for parallel enumeration, in the plate ``rows`` at dimension -1.

    Raises ValueError or TypeError, naming the argument, where K is not a positive integer, a concentration is not
    positive, a mechanism is not one, or parents are unknown, not discrete where they must be, or make a cycle.

    >>> sorted(CausalMixture(2, {"T": Bernoulli(), "Y": LinearGaussian(parents=["T"])})(4))
    ['T', 'Y', 'Z']
    """

    K: int
    mechanisms: Mapping[str, Mechanism]
    concentration: Any = 1.0
    latent_parents: Sequence[str] = ()
    latent: Gate | None = None
    covariates: Any = ()
    parameters: tuple[Parameter, ...] = field(init=False)
    weights: Weights = field(init=False)
    # In an order in which causes come before effects.
    nodes: Mapping[str, Node] = field(init=False)

    @own_modes()
    def __post_init__(self) -> None:
        if isinstance(self.K, bool) or not isinstance(self.K, Integral):
            raise TypeError(f"K: expected a whole number, as in CausalMixture(2, {{...}}), got {what_came(self.K)}")
        if self.K < 1:
            raise ValueError(f"K: expected at least one component, got {self.K}")
        object.__setattr__(self, "K", int(self.K))
        mechanisms = checked_mechanisms(with_covariates(self.mechanisms, self.covariates))
        object.__setattr__(self, "mechanisms", mechanisms)
        object.__setattr__(self, "covariates", tuple(name for name, one in mechanisms.items() if one.is_covariate))
        object.__setattr__(self, "concentration", checked_concentration(self.concentration, self.K))
        object.__setattr__(self, "latent_parents", checked_causes(self.latent_parents, self.latent))
        order = causal_order(self.mechanisms, self.latent_parents)
        object.__setattr__(self, "weights", self._weights(tuple(self.latent_parents)))
        nodes = {name: self._node(name) for name in order if name != LATENT}
        object.__setattr__(self, "nodes", MappingProxyType(nodes))
        of_mechanisms = [parameter for name in self.mechanisms for parameter in nodes[name].parameters]
        object.__setattr__(self, "parameters", (*self.weights.parameters, *of_mechanisms))
        check_names(self.mechanisms, self.parameters)

    def _weights(self, parents: tuple[str, ...]) -> Weights:
        if self.latent is None and any(self.mechanisms[parent].num_levels is None for parent in parents):
            object.__setattr__(self, "latent", Gate(parents))
        if self.latent is not None:
            check_no_concentration(self.concentration)
            return GatedWeights(self.latent, design_of(self.mechanisms, self.latent.parents, "latent_parents"), self.K)
        levels = levels_of(self.mechanisms, parents, "latent_parents")
        prior = dist.Dirichlet(self.concentration).expand(levels)
        return Theta(parents, levels, (Parameter(WEIGHTS, (*levels, self.K), prior, len(levels)),))

    def _node(self, name: str) -> Node:
        mechanism = self.mechanisms[name]
        is_line, parents = mechanism.is_regression, mechanism.parents
        levels = () if is_line else levels_of(self.mechanisms, parents, f"mechanisms[{name!r}]")
        inputs, exposure = parents if is_line else (), mechanism.exposure
        design = design_of(self.mechanisms, inputs, f"mechanisms[{name!r}]", exposure)
        is_effect = LATENT in causes(self.mechanisms, self.latent_parents)[name]
        return Node(name, mechanism, self.K, is_effect, levels, design)

    __repr__ = line_of

    def __reduce__(self) -> tuple[Any, ...]:
        return CausalMixture, (self.K, dict(self.mechanisms), self.concentration, self.latent_parents, self.latent)

    @own_modes()
    def check(self, data: Data) -> Data:
        """Return the data if this model can be fitted to them; otherwise raise a ValueError that names the column."""
        return check_rows(self, data)

    @own_modes()
    def marginal(self, data: Data) -> MixtureMarginal:
        """log p(data | φ) with Z summed out: the exact E-step that every estimator shares."""
        return MixtureMarginal(self.weights, self.nodes, self.check(data))

    @own_modes()
    def density(self, data: Data) -> Density:
        """The density of the rows and the Greeks in unconstrained coordinates, Z summed out."""
        return Density(self, self.marginal(data))

    def predictive(
        self, draws: Draws, data: Data | None, *, do: Settings, call: str = "do", seed: int = 0
    ) -> MixturePredictive:
        rows = None if data is None or not self.covariates else CovariateRows.of(self.covariates, data)
        return MixturePredictive(self, draws, check_settings(self, do, call), seed=seed, covariate_rows=rows)

    def structural(self, draws: Draws, data: Data, *, do: Settings, assumptions: Settings, seed: int) -> MixtureWorlds:
        settings = check_values(self, do, "counterfactual do")
        return worlds_of(self, draws, self.check(data), settings, assumptions, seed)

    @own_modes()
    def conjugate(self, data: Data) -> Allocations:
        check_conjugate(self, data)
        return Allocations(self.marginal(data), self.concentration.numpy())

    @property
    def component_axes(self) -> dict[str, tuple[int, ...]]:
        return {p.name: (p.component_axis,) for p in self.parameters if p.component_axis is not None}

    def named_axes(self, levels: Levels) -> NamedAxes:
        axes = dict(self.weights.named_axes(levels))
        for node in self.nodes.values():
            axes |= node.named_axes(levels)
        return axes

    def symmetry(
        self, data: Data | None, greeks: Mapping[str, Tensor] | None = None, *, uses_prior: bool = True
    ) -> Symmetry:
        """Which labels are free, and the axes of the Greeks that they index; in the likelihood without ``uses_prior``.

        It is the same everywhere, whatever the Greeks.
        """
        return symmetry_of(self, () if data is None else pinned_labels(self.nodes, data), uses_prior=uses_prior)

    def likeliest_order(self, data: Data, draws: Mapping[str, Tensor], free: Symmetry, key: Tensor) -> NDArray[np.intp]:
        at = {name: value[0] for name, value in draws.items()}
        return likeliest_order(label_densities(self.parameters, at, self.K), free.groups, key.numpy())

    def permuted(self, order: Sequence[int]) -> "CausalMixture":
        """The same model with component k renamed to what ``order[k]`` was (itself, where priors are all equal)."""
        if len(exchangeable(self)) == 1:
            return self
        mechanisms = {
            name: mechanism.permuted(order) if self.nodes[name].is_effect else mechanism
            for name, mechanism in self.mechanisms.items()
        }
        latent = None if self.latent is None else self.latent.permuted(order)
        return CausalMixture(self.K, mechanisms, self.concentration[list(order)], self.latent_parents, latent)

    @own_modes()
    def scaled_to(self, data: Any) -> "CausalMixture":
        """The same model with weakly informative priors in the data's units, in place of the default ones.

        Only the centre and the scale of each column are looked at, never what is asked of the data: locations are
        ``Normal(centre, 2.5 sd)``, scales ``LogNormal(log(sd / 2), 1)``, slopes ``Normal(0, 2.5 sd(y) / sd(t))`` with
        an intercept to match, rates exponential with the column's mean. A prior that is not the default, known
        numbers, probabilities and weights stay as they are. Raises ValueError for data that the model cannot take.

        >>> velocities = {"X": [9172.0, 9350.0, 19440.0, 20821.0, 23241.0, 32065.0]}
        >>> model = CausalMixture(2, {"X": Gaussian()}).scaled_to(velocities)
        >>> [round(float(number)) for number in (model.mechanisms["X"].loc.loc, model.mechanisms["X"].loc.scale)]
        [19015, 19945]
        """
        given = self.check(as_data(data))
        scaled = {n: self.nodes[n].mechanism.scaled_to(*own) for n, own in informing(self.weights, self.nodes, given)}
        in_order = {name: scaled[name] for name in self.mechanisms}
        latent = None if self.latent is None else self.latent.scaled_to(informing_weights(self.weights, given))
        return CausalMixture(self.K, in_order, self.concentration, self.latent_parents, latent)

    def describe(self, data: Data | None, draws: Mapping[str, Tensor]) -> dict[str, Any]:
        """The model as JSON; raises TypeError for a mechanism or prior of one's own, ValueError for other draws."""
        try:
            check_draws(draws, {p.name: (p.shape, p.support) for p in self.parameters})
        except ValueError as error:
            raise ValueError(f"save: {error}; what cannot be loaded again is not written") from None
        return described(self.K, self.mechanisms, self.concentration, self.latent_parents, self.latent)

    @staticmethod
    def restore(
        description: Mapping[str, Any], data: Data | None, draws: Mapping[str, Tensor], given: Model | None
    ) -> "CausalMixture":
        """The model that was described, with draws and rows that are its own; raises WrongModelError for another."""
        if not isinstance(given, CausalMixture | None):
            raise WrongModelTypeError(f"model: the file holds its CausalMixture itself; leave model out, got {given!r}")
        model = CausalMixture(*arguments_from(description, draws))
        check_draws(draws, {p.name: (p.shape, p.support) for p in model.parameters})
        if data is not None:
            model.check(data)
        return model

    @property
    def graph(self) -> Any:
        """The causal graph as a `networkx.DiGraph`: Z and the variables, with an edge from each cause to its effect.

        A node's attributes are ``latent`` and ``observed`` (True or False), ``family`` (the name of its mechanism's
        class, "Categorical" for Z) and ``greeks`` (the names of its Greeks).

        >>> sorted(CausalMixture(2, {"T": Bernoulli(), "Y": LinearGaussian(parents=["T"])}).graph.edges)
        [('T', 'Y'), ('Z', 'T'), ('Z', 'Y')]
        """
        greeks = {name: [parameter.name for parameter in node.parameters] for name, node in self.nodes.items()}
        greeks[LATENT] = [parameter.name for parameter in self.weights.parameters]
        return digraph(self.mechanisms, self.latent_parents, greeks)

    def order_keys(self, draws: Mapping[str, Tensor], free: Symmetry | None = None) -> dict[str, Tensor]:
        return order_keys(self, draws)


class GaussianMixture(CausalMixture):
    """The tutorial's model: one column, ``X | Z = k ~ Normal(mu_k, scale)``.

    ``mu_k ~ Normal(0, loc_scale)``, ``theta ~ Dirichlet(concentration)``; ``scale`` is a number (known) or a prior over
    the positive numbers (one unknown scale per component).

    >>> GaussianMixture(K=2).parameters[1].name
    'mu_X'
    """

    @own_modes()
    def __init__(self, K: int, concentration: Any = 0.5, scale: Any = 1.0, loc_scale: float = 10.0) -> None:
        if isinstance(loc_scale, bool) or not isinstance(loc_scale, Real):
            raise TypeError(f"loc_scale: expected a number, got {what_came(loc_scale)}")
        if not 0 < loc_scale < np.inf:
            raise ValueError(f"loc_scale: expected a number > 0, got {loc_scale}")
        loc = dist.Normal(torch.zeros((), dtype=torch.float64), torch.tensor(float(loc_scale), dtype=torch.float64))
        super().__init__(K, {"X": Gaussian(loc=loc, scale=scale)}, concentration)
