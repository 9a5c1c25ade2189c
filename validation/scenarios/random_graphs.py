"""Causal mixtures drawn at random, with rows: two or three classes, far apart to nearly alike, of mixed families."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from estimators import CausalMixture, Data
from estimators.mechanisms import Bernoulli, Categorical, Gaussian, LinearGaussian, Poisson
from validation.scenarios.base import Draw, Seeds, Truth

if TYPE_CHECKING:
    from validation.scenarios.scenario import Scenario

Array = NDArray[np.float64]
FAMILIES = ["bernoulli", "categorical", "known", "free", "shared", "line", "poisson"]
# Shares of the prior's own distances between classes.
CLOSENESS = [1.0, 0.5, 0.25, 0.12]
FEWEST_ROWS, MOST_ROWS, LARGEST = 200, 2000, 1e5


@dataclass(frozen=True, eq=False)
class Drawn:
    """A model, its Greeks, and rows made with them."""

    model: CausalMixture
    greeks: Mapping[str, Tensor]
    data: Data


def random_graph(seed: int) -> Drawn:
    """Return a graph of one to four variables with 200 to 2,000 rows, in which no column is constant or huge."""
    rng = np.random.default_rng(seed)
    while True:
        drawn = _with_rows(_model(*_parts(rng)), rng)
        if _is_ordinary(drawn):
            return drawn


def random_effect(seed: int, num_rows: int) -> Drawn:
    """Return a graph of two to four variables, of which one called T causes one called Y, and Z causes all."""
    rng = np.random.default_rng(seed)
    while True:
        K, parts = _parts(rng)
        causes = [(cause, effect) for effect, part in parts.items() for cause in part.parents]
        if not causes:
            continue
        cause, effect = causes[int(rng.integers(len(causes)))]
        drawn = _with_rows(_model(K, _renamed(parts, {cause: "T", effect: "Y"})), rng, num_rows)
        if _is_ordinary(drawn):
            return drawn


@dataclass(frozen=True)
class RandomEffects:
    """A graph drawn for each replicate, in which T causes Y and a hidden Z causes both."""

    truth: ClassVar[Truth] = Truth.RANDOM

    def draw(self, scenario: "Scenario", seeds: Seeds) -> Draw:
        drawn = random_effect(seeds.truth, scenario.num_rows)
        greeks = {name: np.asarray(value, dtype=np.float64) for name, value in drawn.greeks.items()}
        return Draw(drawn.data, greeks, model=drawn.model)


def _parts(rng: np.random.Generator) -> tuple[int, dict[str, Any]]:
    """The number of classes, and mechanisms by variable."""
    parts: dict[str, Any] = {}
    discrete: list[str] = []
    K = int(rng.integers(2, 4))
    for number in range(int(rng.integers(1, 5))):
        family, name = str(rng.choice(FAMILIES)), f"V{number}"
        tables = [parent for parent in discrete if rng.random() < 0.3][:1]
        inputs = [parent for parent in parts if rng.random() < 0.6][:2]
        if family == "bernoulli":
            parts[name] = Bernoulli(parents=tables)
        elif family == "categorical":
            parts[name] = Categorical(3, parents=tables)
        elif family == "poisson":
            parts[name] = Poisson(parents=tables)
        elif family == "line" and inputs:
            parts[name] = LinearGaussian(parents=inputs, shared=["scale"] if rng.random() < 0.4 else False)
        else:
            known: dict[str, Any] = {"scale": 1.0} if family == "known" else {"shared": family == "shared"}
            parts[name] = Gaussian(parents=tables, **known)
        if family in ("bernoulli", "categorical"):
            discrete.append(name)
    return K, parts


def _model(K: int, parts: Mapping[str, Any]) -> CausalMixture:
    return CausalMixture(K, dict(parts), concentration=2.0)


def _renamed(parts: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {
        names.get(name, name): replace(part, parents=[names.get(parent, parent) for parent in part.parents])
        for name, part in parts.items()
    }


def _with_rows(model: CausalMixture, rng: np.random.Generator, num_rows: int | None = None) -> Drawn:
    """Greeks of the prior with classes drawn towards each other, and rows of all that is not hidden."""
    greeks, share = model.prior_greeks(int(rng.integers(1 << 30))), rng.choice(CLOSENESS)
    for parameter in model.parameters:
        if parameter.component_axis is not None and parameter.name != "theta":
            value = greeks[parameter.name]
            middle = value.mean(parameter.component_axis, keepdim=True)
            greeks[parameter.name] = middle * (1 - share) + share * value
    greeks["theta"] = greeks["theta"] * 0.8 + 0.2 / model.K
    size = num_rows or round(10 ** rng.uniform(np.log10(FEWEST_ROWS), np.log10(MOST_ROWS)))
    rows = model.simulate(size, greeks, seed=int(rng.integers(1 << 30)))
    columns: dict[str, Any] = {name: column for name, column in rows.items() if name != "Z"}
    return Drawn(model, greeks, Data(columns))


def _is_ordinary(drawn: Drawn) -> bool:
    """Whether no column is constant or huge, and there are more different rows than classes."""
    values = np.stack([column.double().numpy() for column in drawn.data.columns.values()], 1)
    varies = all(len(np.unique(column)) > 1 for column in values.T) and np.abs(values).max() < LARGEST
    return bool(varies and len(np.unique(values, axis=0)) > drawn.model.K)
