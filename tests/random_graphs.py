"""Random causal mixtures with rows: two or three classes, one to four variables, far apart to nearly alike."""

from typing import Any

import numpy as np

from estimators import CausalMixture, Data
from estimators.mechanisms import Bernoulli, Categorical, Gaussian, LinearGaussian, Poisson

KINDS = ["bernoulli", "categorical", "known", "free", "shared", "line", "poisson"]


def random_graph(seed: int) -> tuple[CausalMixture, Data]:
    """A model and 200 to 2,000 rows of it, in which no column is constant or huge."""
    rng = np.random.default_rng(seed)
    while True:
        model = _random_model(rng)
        greeks, close = model.prior_greeks(int(rng.integers(1 << 30))), rng.choice([1.0, 0.5, 0.25, 0.12])
        for parameter in model.parameters:
            if parameter.component_axis is not None and parameter.name != "theta":
                value = greeks[parameter.name]
                middle = value.mean(parameter.component_axis, keepdim=True)
                greeks[parameter.name] = middle * (1 - close) + close * value
        greeks["theta"] = greeks["theta"] * 0.8 + 0.2 / model.K
        num_rows = round(10 ** rng.uniform(np.log10(200), np.log10(2000)))
        rows = model.simulate(num_rows, greeks, seed=int(rng.integers(1 << 30)))
        columns = {name: column for name, column in rows.items() if name != "Z"}
        values = np.stack([column.double().numpy() for column in columns.values()], 1)
        is_ordinary = all(len(np.unique(column)) > 1 for column in values.T) and np.abs(values).max() < 1e5
        if is_ordinary and len(np.unique(values, axis=0)) > model.K:
            return model, Data(**columns)


def _random_model(rng: np.random.Generator) -> CausalMixture:
    parts: dict[str, Any] = {}
    discrete: list[str] = []
    K = int(rng.integers(2, 4))
    for number in range(int(rng.integers(1, 5))):
        kind, name = str(rng.choice(KINDS)), f"V{number}"
        tables = [parent for parent in discrete if rng.random() < 0.3][:1]
        inputs = [parent for parent in parts if rng.random() < 0.6][:2]
        if kind == "bernoulli":
            parts[name] = Bernoulli(parents=tables)
        elif kind == "categorical":
            parts[name] = Categorical(3, parents=tables)
        elif kind == "poisson":
            parts[name] = Poisson(parents=tables)
        elif kind == "line" and inputs:
            parts[name] = LinearGaussian(parents=inputs, shared_scale=bool(rng.random() < 0.4))
        else:
            known: dict[str, Any] = {"scale": 1.0} if kind == "known" else {"shared_scale": kind == "shared"}
            parts[name] = Gaussian(parents=tables, **known)
        if kind in ("bernoulli", "categorical"):
            discrete.append(name)
    return CausalMixture(K, parts, concentration=2.0)
