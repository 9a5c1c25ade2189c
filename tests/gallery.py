"""Pyro programs that nobody wrote an estimator for, with data, and an independent reference: the sum by brute force."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.distributions import constraints
from pyro.distributions.transforms import OrderedTransform
from pyro.ops.indexing import Vindex
from pyro.poutine.messenger import Messenger
from torch import Tensor

from estimators import Data, PyroModel
from estimators.isolation import program_mode
from estimators.programs.factors import Factors
from estimators.programs.marginal import ProgramMarginal

K = 2
T = 4


# The tutorial's model, as it stands there.
def tutorial(N):  # type: ignore[no-untyped-def]
    θ = pyro.sample("θ", dist.Dirichlet(0.5 * torch.ones(K)))
    with pyro.plate("components", K):
        μ = pyro.sample("μ", dist.Normal(0.0, 10.0))
    with pyro.plate("data", N):
        Z = pyro.sample("Z", dist.Categorical(θ))
        X = pyro.sample("X", dist.Normal(μ[Z], 1.0))
    return {"Z": Z, "X": X}


def ordered_means(N: int) -> None:
    weights = pyro.sample("weights", dist.Dirichlet(torch.full((3,), 2.0)))
    means = pyro.sample("means", dist.TransformedDistribution(dist.Normal(torch.zeros(3), 5.0), [OrderedTransform()]))
    with pyro.plate("components", 3):
        scales = pyro.sample("scales", dist.LogNormal(0.0, 0.5))
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Categorical(weights))
        pyro.sample("x", dist.Normal(means[z], scales[z]))


def confounder(N: int) -> None:
    """Z → T, Z → Y, T → Y, Z hidden."""
    theta = pyro.sample("theta", dist.Dirichlet(torch.ones(2)))
    with pyro.plate("classes", 2):
        p = pyro.sample("p", dist.Beta(1.0, 1.0))
        a = pyro.sample("a", dist.Normal(0.0, 5.0))
    b = pyro.sample("b", dist.Normal(0.0, 5.0))
    sigma = pyro.sample("sigma", dist.HalfNormal(3.0))
    with pyro.plate("rows", N):
        Z = pyro.sample("Z", dist.Categorical(theta))
        t = pyro.sample("T", dist.Bernoulli(p[Z]))
        pyro.sample("Y", dist.Normal(a[Z] + b * t, sigma))


def two_causes(N: int) -> None:
    """U and V are independent; X has both for causes."""
    u_weights = pyro.sample("u_weights", dist.Dirichlet(torch.ones(2)))
    v_weights = pyro.sample("v_weights", dist.Dirichlet(torch.ones(3)))
    with pyro.plate("us", 2):
        left = pyro.sample("left", dist.Normal(0.0, 3.0))
    with pyro.plate("vs", 3):
        right = pyro.sample("right", dist.Normal(0.0, 9.0))
    with pyro.plate("rows", N):
        u = pyro.sample("u", dist.Categorical(u_weights))
        v = pyro.sample("v", dist.Categorical(v_weights))
        pyro.sample("x", dist.Normal(left[u] + right[v], 1.0))


def cause_of_a_cause(N: int) -> None:
    """U → V, U → X, V → Y, written as a user might who enumerates: with the decorator's mark and Vindex."""
    first = pyro.sample("first", dist.Dirichlet(torch.ones(2)))
    with pyro.plate("us", 2):
        table = pyro.sample("table", dist.Dirichlet(torch.ones(3)))
        at = pyro.sample("at", dist.Normal(0.0, 5.0))
    with pyro.plate("vs", 3):
        rate = pyro.sample("rate", dist.Gamma(2.0, 0.5))
    with pyro.plate("rows", N):
        u = pyro.sample("u", dist.Categorical(first), infer={"enumerate": "parallel"})
        v = pyro.sample("v", dist.Categorical(Vindex(table)[u]), infer={"enumerate": "sequential"})
        pyro.sample("x", dist.Normal(at[u], 1.0))
        pyro.sample("y", dist.Poisson(rate[v]))


def chain(N: int) -> None:
    """A hidden Markov chain: rows are sequences x_0 ... x_3."""
    start = pyro.sample("start", dist.Dirichlet(torch.ones(2)))
    with pyro.plate("states", 2):
        move = pyro.sample("move", dist.Dirichlet(torch.full((2,), 2.0)))
        level = pyro.sample("level", dist.Normal(0.0, 5.0))
    with pyro.plate("sequences", N):
        z = None
        for t in pyro.markov(range(T)):
            z = pyro.sample(f"z_{t}", dist.Categorical(start if z is None else move[z]))
            pyro.sample(f"x_{t}", dist.Normal(level[z], 1.0))


def chain_of_a_column(x: Tensor) -> None:
    """The same chain on one column [N, T] that the program takes as an argument."""
    start = pyro.sample("start", dist.Dirichlet(torch.ones(2)))
    with pyro.plate("states", 2):
        move = pyro.sample("move", dist.Dirichlet(torch.full((2,), 2.0)))
        level = pyro.sample("level", dist.Normal(0.0, 5.0))
    with pyro.plate("sequences", len(x)):
        z = None
        for t in pyro.markov(range(x.shape[1])):
            z = pyro.sample(f"z_{t}", dist.Categorical(start if z is None else move[z]))
            pyro.sample(f"x_{t}", dist.Normal(level[z], 1.0), obs=x[:, t])


def zero_inflated(N: int) -> None:
    gate = pyro.sample("gate", dist.Beta(2.0, 2.0))
    rate = pyro.sample("rate", dist.Gamma(2.0, 0.3))
    with pyro.plate("rows", N):
        silent = pyro.sample("silent", dist.Bernoulli(gate))
        pyro.sample("count", dist.Poisson(torch.where(silent == 1, 1e-8, rate)))


def regressions(N: int, t: Tensor, power: int = 1) -> None:
    """A mixture of regressions on a covariate that is an argument, to a power that is a scalar."""
    weights = pyro.sample("weights", dist.Dirichlet(torch.ones(2)))
    scale = pyro.sample("scale", dist.LogNormal(0.0, 1.0))
    with pyro.plate("classes", 2):
        intercept = pyro.sample("intercept", dist.Normal(0.0, 5.0))
        slope = pyro.sample("slope", dist.Normal(0.0, 5.0))
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Categorical(weights))
        pyro.sample("y", dist.Normal(intercept[z] + slope[z] * t**power, scale))


def heavy_tails(N: int) -> None:
    """Student-t noise: no closed-form M-step. The rows' plate is named before the components'."""
    rows = pyro.plate("rows", N, dim=-1)
    weights = pyro.sample("weights", dist.Dirichlet(torch.full((2,), 3.0)))
    with pyro.plate("classes", 2):
        loc = pyro.sample("loc", dist.Normal(0.0, 5.0))
    scale = pyro.sample("scale", dist.HalfNormal(2.0))
    with rows:
        z = pyro.sample("z", dist.Categorical(weights))
        pyro.sample("x", dist.StudentT(4.0, loc[z], scale))


def inner_plate(N: int) -> None:
    """Three features in a plate within the rows', and a hidden cause of each of them."""
    weights = pyro.sample("weights", dist.Dirichlet(torch.ones(2)))
    flips = pyro.sample("flips", dist.Uniform(0.1, 0.4))
    with pyro.plate("features", 3), pyro.plate("classes", 2):
        loc = pyro.sample("loc", dist.Normal(0.0, 5.0))
    with pyro.plate("rows", N, dim=-2):
        z = pyro.sample("z", dist.Categorical(weights))
        with pyro.plate("entries", 3, dim=-1):
            flipped = pyro.sample("flipped", dist.Bernoulli(flips))
            pyro.sample("x", dist.Normal(Vindex(loc)[z, torch.arange(3)] * (1 - 2 * flipped), 1.0))


def correlated(N: int) -> None:
    """Pairs with a correlation Cholesky factor for a Greek."""
    weights = pyro.sample("weights", dist.Dirichlet(torch.ones(2)))
    factor = pyro.sample("factor", dist.LKJCholesky(2, 2.0))
    with pyro.plate("classes", 2):
        loc = pyro.sample("loc", dist.Normal(torch.zeros(2), 5.0).to_event(1))
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Categorical(weights))
        pyro.sample("x", dist.MultivariateNormal(loc[z], scale_tril=factor))


def with_params(N: int) -> None:
    """Parameters without a prior, and an observed discrete column."""
    weights = pyro.param("weights", torch.tensor([0.4, 0.6]), constraint=constraints.simplex)
    loc = pyro.param("loc", torch.tensor([-1.0, 1.0]))
    with pyro.plate("classes", 2):
        p = pyro.sample("p", dist.Beta(1.0, 1.0))
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Categorical(weights))
        pyro.sample("x", dist.Normal(loc[z], 1.0))
        pyro.sample("b", dist.Bernoulli(p[z]))


@dataclass(frozen=True)
class Example:
    """A program, the Greeks its rows are drawn at, and what goes with it."""

    fn: Callable[..., Any]
    greeks: Mapping[str, Any]
    hidden: Mapping[str, int]
    # Sites observed in the data; what the program is passed besides.
    observed: tuple[str, ...]
    passed: Mapping[str, Any] = field(default_factory=dict)
    order_by: str | None = None
    # A hidden site seen in a third of the rows in a variant of the data.
    seen: str | None = None

    @property
    def truth(self) -> dict[str, Tensor]:
        return {name: torch.as_tensor(value, dtype=torch.float64) for name, value in self.greeks.items()}

    def columns(self, num_rows: int, seed: int = 0) -> dict[str, Tensor]:
        """Every site of a row, hidden ones included, and what the program is passed, drawn at the truth."""
        passed = {
            name: torch.linspace(-2.0, 2.0, num_rows).double() if value == "covariate" else value
            for name, value in self.passed.items()
        }
        if self.fn is chain_of_a_column:
            drawn = EXAMPLES["chain"].columns(num_rows, seed)
            return {"x": torch.stack([drawn[f"x_{t}"] for t in range(T)], 1)}
        with program_mode(seed):
            trace = poutine.trace(Given(self.truth)(self.fn)).get_trace(num_rows, **passed)
        sites = {name: trace.nodes[name]["value"] for name in (*self.hidden, *self.observed)}
        return (
            {name: sites[name].double() for name in self.observed}
            | {name: sites[name].long() for name in self.hidden}
            | passed
        )

    def data(self, num_rows: int, seed: int = 0, *, partly_seen: bool = False) -> Data:
        columns = self.columns(num_rows, seed)
        if partly_seen:
            assert self.seen is not None
            kept = torch.where(torch.arange(num_rows) % 3 == 0, columns[self.seen], -1)
        columns = {name: column for name, column in columns.items() if name not in self.hidden}
        if partly_seen:
            columns[str(self.seen)] = kept
        return Data(**columns)


class Given(Messenger):
    """Sites and parameters at given values."""

    def __init__(self, values: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._values = values

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] in self._values:
            msg["value"], msg["is_observed"] = self._values[msg["name"]], True

    def _pyro_param(self, msg: Any) -> None:
        if msg["name"] in self._values:
            msg["value"], msg["done"] = self._values[msg["name"]], True


def greeks_near(example: Example, data: Data, seed: int = 0) -> dict[str, Tensor]:
    """Greeks off the truth, in their support."""
    coordinates = PyroModel(example.fn).marginal(data).coordinates
    generator = torch.Generator().manual_seed(seed)
    point = coordinates.unconstrain(example.truth)
    return coordinates.constrain(point + 0.3 * torch.randn(len(point), dtype=torch.float64, generator=generator))


def as_run(marginal: ProgramMarginal, v: Tensor) -> Factors:
    """The factors of the program itself, run at coordinates."""
    greeks = marginal.coordinates.constrain(v)
    with program_mode(), marginal.coordinates.kept_logs(v, greeks):
        return marginal.factors(greeks)


def brute_force(example: Example, data: Data, greeks: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """log p(row) [N] and p(site = k | row) [N, K] by running the program at every hidden configuration in turn.

    Differentiable. For a hidden site in an inner plate, every entry is a site of its own.
    """
    num_rows = data.num_rows
    fixed = {name: value for name, value in data.columns.items() if name in example.observed}
    passed = {name: value for name, value in {**data.columns, **data.scalars}.items() if name in example.passed}
    if example.fn is chain_of_a_column:
        fixed, call = {}, lambda fn: fn(data.columns["x"])
    else:
        call = lambda fn: fn(num_rows, **passed)  # noqa: E731
    sizes = [(name, k) for name, k in example.hidden.items() if name != "flipped"]
    entries = 3 if "flipped" in example.hidden else 0
    choices = [range(k) for _, k in sizes] + [range(2)] * entries
    joint, values = [], []
    for configuration in itertools.product(*choices):
        chosen = {
            name: torch.full((num_rows,), k).to(torch.float64 if name == "silent" else torch.int64)
            for (name, _), k in zip(sizes, configuration, strict=False)
        }
        if entries:
            chosen = {name: value[:, None] for name, value in chosen.items()}
            chosen["flipped"] = torch.tensor(configuration[-entries:]).double().expand(num_rows, entries)
        with program_mode():
            trace = call(
                lambda *args, chosen=chosen, **kwargs: poutine.trace(
                    Given({**greeks, **fixed, **chosen})(example.fn)
                ).get_trace(*args, **kwargs)
            )
            total = torch.zeros(num_rows, dtype=torch.float64)
            for name, node in trace.nodes.items():
                if name in (*example.hidden, *example.observed, *(f"x_{t}" for t in range(T))):
                    total = total + node["fn"].log_prob(node["value"]).reshape(num_rows, -1).sum(1)
        for name, _ in sizes:
            if name in data.columns:
                seen = data.columns[name]
                total = torch.where((seen < 0) | (seen == chosen[name].reshape(num_rows)), total, -torch.inf)
        joint.append(total)
        values.append(configuration)
    stacked = torch.stack(joint, 1)
    weights = torch.softmax(stacked, 1)
    shares = {
        name: torch.stack([weights[:, [v[place] == one for v in values]].sum(1) for one in range(k)], 1)
        for place, (name, k) in enumerate(sizes)
    }
    return torch.logsumexp(stacked, 1), shares


HALF = [0.5, 0.5]
EXAMPLES: dict[str, Example] = {
    "tutorial": Example(tutorial, {"θ": [0.4, 0.6], "μ": [0.0, 8.0]}, {"Z": 2}, ("X",), order_by="μ", seen="Z"),
    "ordered means": Example(
        ordered_means,
        {"weights": [0.2, 0.3, 0.5], "means": [-4.0, 0.0, 5.0], "scales": [1.0, 0.5, 1.5]},
        {"z": 3},
        ("x",),
        seen="z",
    ),
    "confounder": Example(
        confounder,
        {"theta": [0.4, 0.6], "p": [0.2, 0.8], "a": [0.0, 3.0], "b": -1.0, "sigma": 0.7},
        {"Z": 2},
        ("T", "Y"),
        order_by="a",
        seen="Z",
    ),
    "two causes": Example(
        two_causes,
        {"u_weights": HALF, "v_weights": [0.3, 0.3, 0.4], "left": [0.0, 3.0], "right": [-9.0, 0.0, 9.0]},
        {"u": 2, "v": 3},
        ("x",),
        order_by="right",
        seen="u",
    ),
    "cause of a cause": Example(
        cause_of_a_cause,
        {"first": [0.6, 0.4], "table": [[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]], "at": [-2.0, 2.0], "rate": [1.0, 6.0, 20.0]},
        {"u": 2, "v": 3},
        ("x", "y"),
        order_by="rate",
        seen="v",
    ),
    "chain": Example(
        chain,
        {"start": HALF, "move": [[0.8, 0.2], [0.3, 0.7]], "level": [-2.0, 2.0]},
        {f"z_{t}": 2 for t in range(T)},
        tuple(f"x_{t}" for t in range(T)),
        order_by="level",
        seen="z_1",
    ),
    "chain of a column": Example(
        chain_of_a_column,
        {"start": HALF, "move": [[0.8, 0.2], [0.3, 0.7]], "level": [-2.0, 2.0]},
        {f"z_{t}": 2 for t in range(T)},
        (),
        passed={"x": "column"},
        order_by="level",
    ),
    "zero-inflated": Example(zero_inflated, {"gate": 0.3, "rate": 4.0}, {"silent": 2}, ("count",), seen="silent"),
    "regressions": Example(
        regressions,
        {"weights": HALF, "scale": 0.5, "intercept": [-2.0, 2.0], "slope": [1.0, -1.0]},
        {"z": 2},
        ("y",),
        passed={"t": "covariate", "power": 1},
        order_by="intercept",
        seen="z",
    ),
    "heavy tails": Example(
        heavy_tails, {"weights": [0.3, 0.7], "loc": [-4.0, 3.0], "scale": 0.8}, {"z": 2}, ("x",), order_by="loc"
    ),
    "inner plate": Example(
        inner_plate,
        {"weights": [0.3, 0.7], "flips": 0.2, "loc": [[-3.0, 1.0, 2.0], [3.0, 4.0, -1.0]]},
        {"z": 2, "flipped": 2},
        ("x",),
    ),
    "correlated": Example(
        correlated,
        {"weights": HALF, "factor": [[1.0, 0.0], [0.6, 0.8]], "loc": [[-3.0, 0.0], [3.0, 1.0]]},
        {"z": 2},
        ("x",),
        order_by="loc",
    ),
    "parameters": Example(
        with_params, {"weights": [0.3, 0.7], "loc": [-2.0, 2.0], "p": [0.2, 0.9]}, {"z": 2}, ("x", "b"), order_by="loc"
    ),
}
