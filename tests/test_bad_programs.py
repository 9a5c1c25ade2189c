"""Programs, data and questions that cannot be answered: refused before any work, with what to do instead."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.ops.indexing import Vindex
from torch import Tensor

from estimators import EM, NUTS, Data, Exact, Fit, GaussianMixture, PyroModel
from tests.gallery import EXAMPLES, chain, confounder, regressions, tutorial
from tests.refusals import case, refused

X = [0.0, 1.0, 10.0, 11.0, 12.0]
TWO = torch.full((2,), 0.5)


def greeks() -> tuple[Any, Any]:
    return pyro.sample("theta", dist.Dirichlet(torch.ones(2))), pyro.sample(
        "mu", dist.Normal(torch.zeros(2), 10.0).to_event(1)
    )


def nothing_hidden(N: int) -> None:
    mu = pyro.sample("mu", dist.Normal(0.0, 10.0))
    with pyro.plate("rows", N):
        pyro.sample("X", dist.Normal(mu, 1.0))


def no_plate(N: int) -> None:
    theta, mu = greeks()
    z = pyro.sample("z", dist.Categorical(theta))
    pyro.sample("X", dist.Normal(mu[z].expand(N), 1.0).to_event(1))


def fixed_plate(N: int) -> None:
    theta, mu = greeks()
    with pyro.plate("rows", 5):
        z = pyro.sample("z", dist.Categorical(theta))
        pyro.sample("X", dist.Normal(mu[z], 1.0))


def two_plates(N: int) -> None:
    theta, mu = greeks()
    with pyro.plate("causes", N):
        z = pyro.sample("z", dist.Categorical(theta))
    with pyro.plate("effects", N):
        pyro.sample("X", dist.Normal(mu[z], 1.0))


def continuous_hidden(N: int) -> None:
    theta, mu = greeks()
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Categorical(theta))
        depth = pyro.sample("depth", dist.Normal(mu[z], 1.0))
        pyro.sample("X", dist.Normal(depth, 1.0))


def endless(N: int) -> None:
    _, mu = greeks()
    with pyro.plate("rows", N):
        count = pyro.sample("count", dist.Poisson(3.0))
        pyro.sample("X", dist.Normal(mu[0] + count, 1.0))


def control_flow(N: int) -> None:
    theta, mu = greeks()
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Categorical(theta))
        pyro.sample("X", dist.Normal(mu[0] if z == 0 else mu[1], 1.0))


def of_mean(mean: Callable[[Tensor, Tensor], Tensor]) -> Callable[[int], None]:
    """Two classes in which X has some mean, by the classes' own and by z."""

    def program(N: int) -> None:
        theta, mu = greeks()
        with pyro.plate("rows", N):
            z = pyro.sample("z", dist.Categorical(theta))
            pyro.sample("X", dist.Normal(mean(mu, z), 1.0))

    return program


control = of_mean(lambda mu, z: mu[z])
squeezed = of_mean(lambda mu, z: mu[z.squeeze()])
# No shape is wrong, but under enumeration the mean is over the values and not over the rows.
silently_wrong = of_mean(lambda mu, z: mu[0] + z.double().mean())
# Enumerates without a complaint, each row with its own z for its neighbour's.
neighbours = of_mean(lambda mu, z: mu[z] + mu[z.roll(1, -1)])


def without_a_plate(N: int) -> None:
    """Of the numbers nobody says whether they are independent, or one vector."""
    table = pyro.sample("table", dist.Normal(torch.zeros(2), 1.0))
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Categorical(TWO))
        pyro.sample("X", dist.Normal(table[z], 1.0))


def wrong_table(N: int) -> None:
    table = pyro.sample("table", dist.Normal(torch.zeros(2, 3), 1.0).to_event(2))
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Categorical(TWO))
        level = pyro.sample("level", dist.Categorical(torch.full((3,), 1 / 3)))
        pyro.sample("X", dist.Normal(table[z].gather(-1, level[:, None])[:, 0], 1.0))


def right_table(N: int) -> None:
    table = pyro.sample("table", dist.Normal(torch.zeros(2, 3), 1.0).to_event(2))
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Categorical(TWO))
        level = pyro.sample("level", dist.Categorical(torch.full((3,), 1 / 3)))
        pyro.sample("X", dist.Normal(Vindex(table)[z, level], 1.0))


def global_switch(N: int) -> None:
    switch = pyro.sample("switch", dist.Bernoulli(0.5))
    with pyro.plate("rows", N):
        pyro.sample("X", dist.Normal(switch, 1.0))


def support_of_a_greek(N: int) -> None:
    low = pyro.sample("low", dist.Normal(0.0, 1.0))
    high = pyro.sample("high", dist.Uniform(low, low + 5.0))
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Bernoulli(0.5))
        pyro.sample("X", dist.Normal(torch.where(z == 1, low, high), 1.0))


def no_greek(N: int) -> None:
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Bernoulli(0.5))
        pyro.sample("X", dist.Normal(z, 1.0))


def no_rate(N: int) -> None:
    """A rate of exactly 0 has a density, and no gradient: 0 / 0."""
    rate = pyro.sample("rate", dist.Gamma(2.0, 1.0))
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Bernoulli(0.4))
        pyro.sample("count", dist.Poisson(rate * (1 - z)))


def scaled(N: int) -> None:
    theta, mu = greeks()
    with pyro.plate("rows", N), poutine.scale(scale=2.0):
        z = pyro.sample("z", dist.Categorical(theta))
        pyro.sample("X", dist.Normal(mu[z], 1.0))


def outside(N: int) -> None:
    theta, mu = greeks()
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Categorical(theta))
        pyro.sample("X", dist.Normal(mu[z], 1.0))
    pyro.factor("count", -z.double().sum())


def masked_above_what_counts(N: int, t: Tensor) -> None:
    """z is masked where t is 0, but X, which depends on it, is not."""
    theta, mu = greeks()
    with pyro.plate("rows", N):
        with poutine.mask(mask=t == 1):
            z = pyro.sample("z", dist.Categorical(theta))
        pyro.sample("X", dist.Normal(mu[z], 1.0))


def masked_altogether(N: int) -> None:
    theta, mu = greeks()
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Categorical(theta).mask(False))
        pyro.sample("X", dist.Normal(mu[z], 1.0))


def masked_middle_step(N: int, t: Tensor) -> None:
    """A gap in the middle of a chain: the next step, which counts, depends on the masked one."""
    theta, mu = greeks()
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Categorical(theta))
        with poutine.mask(mask=t == 1):
            w = pyro.sample("w", dist.Categorical(torch.stack([theta, theta.flip(0)])[z]))
        v = pyro.sample("v", dist.Categorical(torch.stack([theta, theta.flip(0)])[w]))
        pyro.sample("X", dist.Normal(mu[v], 1.0))


def masked_by_a_hidden_value(N: int) -> None:
    theta, mu = greeks()
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Categorical(theta))
        with poutine.mask(mask=z == 1):
            pyro.sample("X", dist.Normal(mu[z], 1.0))


def seen_by_obs_mask(N: int, label: Tensor, seen: Tensor) -> None:
    theta, mu = greeks()
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Categorical(theta), obs=label.long(), obs_mask=seen.bool())
        pyro.sample("X", dist.Normal(mu[z], 1.0))


def some_components(N: int) -> None:
    with pyro.plate("components", 4, subsample_size=2):
        mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Categorical(TWO))
        pyro.sample("X", dist.Normal(mu[z], 1.0))


def some_rows(N: int) -> None:
    theta, mu = greeks()
    with pyro.plate("rows", N, subsample_size=2):
        z = pyro.sample("z", dist.Categorical(theta))
        pyro.sample("X", dist.Normal(mu[z], 1.0))


def scaled_in_half_the_rows(N: int) -> None:
    theta, mu = greeks()
    with pyro.plate("rows", N):
        with poutine.scale(scale=0.5 + 0.5 * (torch.arange(N) % 2)):
            z = pyro.sample("z", dist.Categorical(theta))
        pyro.sample("X", dist.Normal(mu[z], 1.0))


MATRIX = torch.tensor([[1.0, 2.0], [3.0, 4.0]])


def single_precision(N: int) -> None:
    b = pyro.sample("b", dist.Normal(torch.zeros(2), 5.0).to_event(1))
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Categorical(TWO))
        pyro.sample("X", dist.Normal((MATRIX @ b)[z], 1.0))


def broken(N: int) -> None:
    raise ZeroDivisionError("in the program")


def two_sizes(N: int, M: int) -> None:
    tutorial(N)


def fit(fn: Any, data: Any = None, **settings: Any) -> Any:
    return lambda: EM(num_starts=2).fit(PyroModel(fn, **settings), {"X": X} if data is None else data)


PROGRAMS = [
    case("not a function", lambda: PyroModel(3), TypeError, "PyroModel", "function", "3"),
    case("order_by", lambda: PyroModel(tutorial, order_by=1), TypeError, "order_by", "name"),
    case("a bare function", lambda: EM().fit(tutorial, {"X": X}), TypeError, "PyroModel(tutorial)"),
    case("unknown order_by", fit(tutorial, order_by="mu"), ValueError, "order_by='mu'", "'μ'"),
    case("nothing hidden", fit(nothing_hidden), ValueError, "nothing to enumerate"),
    case(
        "everything seen",
        fit(confounder, {"T": [0, 1, 1], "Y": [0.0, 1.0, 2.0], "Z": [0, 1, 1]}),
        ValueError,
        "nothing to enumerate",
        "nothing is hidden",
    ),
    case("no plate", fit(no_plate), ValueError, "no plate over rows", "pyro.plate"),
    case("fixed plate", fit(fixed_plate, {"X": X[:4]}), ValueError, "no plate over rows", "'rows': 5", "have 4"),
    case("two plates", fit(two_plates), ValueError, "2 plates over rows", "causes", "effects"),
    case("continuous", fit(continuous_hidden), ValueError, "'depth'", "continuous", "out of scope"),
    case("endless", fit(endless), ValueError, "'count'", "cannot be enumerated"),
    case("control flow", fit(control_flow), ValueError, "control flow", "control_flow", "torch.where"),
    case("squeezed", fit(squeezed, {"X": X}), ValueError, "'z'", "Vindex"),
    case("squeezed, as many rows as values", fit(squeezed, {"X": X[:2]}), ValueError, "'z'", "Vindex"),
    case("without a plate", fit(without_a_plate), ValueError, "'table'", "no plate", ".to_event(1)"),
    case("silently wrong", fit(silently_wrong), ValueError, "'X'", "enumeration", "Vindex"),
    case("wrong table", fit(wrong_table), ValueError, "Vindex"),
    case("global switch", fit(global_switch), ValueError, "'switch'", "outside the plate"),
    case("dependent support", fit(support_of_a_greek), ValueError, "'high'", "depends on other Greeks"),
    case("no Greek", fit(no_greek), ValueError, "no continuous site"),
    case("scaled", fit(scaled), ValueError, "'z'", "scaled by 2.0", "weights"),
    case("scaled in half the rows", fit(scaled_in_half_the_rows), ValueError, "'z'", "scaled by", "weights"),
    case(
        "masked above what counts",
        fit(masked_above_what_counts, {"X": X, "t": [1, 1, 1, 0, 1]}),
        ValueError,
        "masks the hidden site 'z'",
        "'X' depends on it",
        "leave it unmasked",
    ),
    case("masked altogether", fit(masked_altogether), ValueError, "masks the hidden site 'z'", "'X' depends on it"),
    case(
        "masked middle step",
        fit(masked_middle_step, {"X": X, "t": [1, 1, 1, 1, 0]}),
        ValueError,
        "masks the hidden site 'w'",
        "'v' depends on it",
    ),
    case("masked by a hidden value", fit(masked_by_a_hidden_value), ValueError, "mask of 'X'", "hidden site"),
    case(
        "obs_mask",
        fit(seen_by_obs_mask, {"X": X, "label": [0, 0, 1, 1, 0], "seen": [1, 0, 0, 1, 0]}),
        ValueError,
        "obs_mask=",
        "'z' in two",
        "column 'z'",
        "-1",
    ),
    case("some components", fit(some_components), ValueError, "'components'", "2 of its 4", "subsample_size"),
    case("some rows", fit(some_rows), ValueError, "no plate over rows", "'rows': 2"),
    case("outside", fit(outside), ValueError, "outside the plate", "['z']"),
    case("neighbours", fit(neighbours), ValueError, "depends on another's"),
    case("no rate", fit(no_rate, {"count": [0, 1, 2, 0]}), ValueError, "gradient", "'rate'", "small number"),
    case("single precision", fit(single_precision), ValueError, "float64", ".double()"),
    case("broken", fit(broken), ValueError, "broken failed", "ZeroDivisionError", "in the program"),
    case("two sizes", fit(two_sizes), TypeError, "'M'", "no column"),
    case("Exact", lambda: Exact().fit(PyroModel(tutorial), {"X": X}), TypeError, "Exact", "NUTS"),
]

DATA = [
    case("unknown column", fit(tutorial, {"X": X, "W": X}), ValueError, "'W'", "['Z', 'X']"),
    case("unknown scalar", fit(tutorial, {"X": X, "tau": 3.0}), ValueError, "'tau'"),
    case("a number for a site", fit(tutorial, {"X": X, "Z": 1}), ValueError, "'Z'", "column [N]"),
    case(
        "set without a value",
        fit(control, Data(X=X, z=[-1, 0, 1, 1, 0], intervened={"z": True})),
        ValueError,
        "intervened z",
        "without a value",
    ),
    case("missing column", fit(tutorial, {"Z": [-1, 0, 1]}), ValueError, "'X'", "give a column"),
    case("missing argument", fit(regressions, {"y": X}), TypeError, "'t'", "column"),
    case("a column for a Greek", fit(tutorial, {"X": X, "μ": X}), ValueError, "'μ'", "outside the plate"),
    case("labels", fit(tutorial, {"X": X, "Z": [0, 1, 2, -1, -1]}), ValueError, "'Z'", "row(s) [2]"),
    case("lengths", fit(tutorial, {"X": X, "Z": [0]}), ValueError, "one length"),
    case("support", fit(confounder, {"T": [0, 1, 3], "Y": [0.0, 1.0, 2.0]}), ValueError, "'T'", "row(s) [2]"),
    case("width", fit(tutorial, {"X": np.zeros((4, 2))}), ValueError, "'X'", "2 value(s)", "(4, 2)"),
    case("steps", fit(chain, {"x": np.zeros((4, 3))}), ValueError, "'x'", "x_0 ... x_3", "(4, 3)"),
    case("one fewer step", fit(chain, {f"x_{t}": X for t in range(3)}), ValueError, "'x_3'", "give a column"),
    case(
        "fractional weights, Pyro",
        lambda: NUTS(engine="pyro").fit(PyroModel(tutorial), Data(X=X, weights=[0.5] * 5)),
        ValueError,
        "weights",
        'engine="nutpie"',
    ),
]

POINT = Fit.from_greeks(PyroModel(confounder, order_by="a"), EXAMPLES["confounder"].greeks)
QUESTIONS = [
    case("nothing set", lambda: POINT.do(), ValueError, "at least one setting"),
    case("unknown site", lambda: POINT.do(W=1), ValueError, "'W'", "['Z', 'T', 'Y']"),
    case("a Greek", lambda: POINT.do(sigma=1.0), ValueError, "'sigma'"),
    case("label", lambda: POINT.do(Z=2), ValueError, "Z", "[0, 1]", "2"),
    case("level", lambda: POINT.do(T=0.5), ValueError, "T", "0.5"),
    case("text", lambda: POINT.do(Y="high"), TypeError, "Y", "'high'"),
    case("given", lambda: POINT.given(W=1), ValueError, "given", "'W'"),
    case("unknown target", lambda: POINT.do(T=1).mean("W"), ValueError, "'W'", "['Z', 'T', 'Y']"),
    case("density of a set site", lambda: POINT.do(T=1).log_density("T", 1.0), ValueError, "T is set"),
    case("density per row", lambda: POINT.do(T=[0, 1]).cdf("Y", 1.0), ValueError, "one per row"),
    case("NaN", lambda: POINT.do(T=1).cdf("Y", float("nan")), ValueError, "finite"),
    case("levels", lambda: POINT.do(T=1).quantile("Y", 1.0), ValueError, "level"),
    case("rows", lambda: POINT.do(T=1).sample(0), ValueError, "positive"),
    case("settings per row", lambda: POINT.do(T=[0, 1]).sample(3), ValueError, "2 values", "3 rows"),
    case("lengths of settings", lambda: POINT.do(T=[0, 1], Z=[0, 1, 1]).mean("Y"), ValueError, "'T': 2", "'Z': 3"),
    case("one draw", lambda: POINT.do(T=1).mean("Y").interval(), ValueError, "laplace"),
    case("which site", lambda: POINT.responsibilities({"T": [1], "Y": [0.0]}, site="Y"), ValueError, "'Y'", "Z"),
    case(
        "which of several",
        lambda: Fit.from_greeks(PyroModel(chain), EXAMPLES["chain"].greeks).responsibilities(EXAMPLES["chain"].data(3)),
        ValueError,
        "z_0",
    ),
    case("Greeks", lambda: Fit.from_greeks(PyroModel(tutorial), {"μ": [0.0, 1.0]}), ValueError, "greeks", "θ"),
    case(
        "support of Greeks",
        lambda: Fit.from_greeks(PyroModel(tutorial), {"μ": [0.0, 1.0], "θ": [0.5, 0.6]}),
        ValueError,
        "θ",
    ),
    case(
        "site of a built-in model",
        lambda: Fit.from_greeks(GaussianMixture(1), {"theta": [1.0], "mu_X": [0.0]}).responsibilities(
            {"X": [0.0]}, site="W"
        ),
        ValueError,
        "'Z'",
        "'W'",
    ),
]


@pytest.mark.parametrize(("call", "error", "parts"), [*PROGRAMS, *DATA, *QUESTIONS])
def test_refused(call: Any, error: type[Exception], parts: tuple[str, ...]) -> None:
    with refused(error, *parts):
        call()


def test_the_way_out_of_a_wrong_table_works() -> None:
    assert EM(num_starts=2).fit(PyroModel(right_table), {"X": X}, seed=0).draws["table"].shape == (1, 2, 3)


def test_what_cannot_have_been_seen_is_refused() -> None:
    def within(N: int) -> None:
        high = pyro.sample("high", dist.LogNormal(0.0, 1.0))
        with pyro.plate("rows", N):
            z = pyro.sample("z", dist.Categorical(TWO))
            x = pyro.sample("x", dist.Uniform(0.0, high))
            pyro.sample("y", dist.Normal(x + z, 1.0))

    query = Fit.from_greeks(PyroModel(within), {"high": 2.0}).given(x=5.0)
    for ask in (lambda: query.mean("y"), lambda: query.cdf("y", 0.0), lambda: query.sample(3, seed=0)):
        with pytest.raises(ValueError, match="probability 0"):
            ask()


def test_a_site_without_a_mean_says_so() -> None:
    def cauchy(N: int) -> None:
        loc = pyro.sample("loc", dist.Normal(torch.zeros(2), 5.0).to_event(1))
        with pyro.plate("rows", N):
            z = pyro.sample("z", dist.Categorical(TWO))
            pyro.sample("x", dist.Cauchy(loc[z], 1.0))

    fit = Fit.from_greeks(PyroModel(cauchy), {"loc": [0.0, 5.0]})
    with pytest.raises(ValueError, match="no finite mean"):
        fit.do(z=1).mean("x")
    assert float(fit.do(z=1).quantile("x", 0.5)) == pytest.approx(5.0, abs=1e-9)


def test_a_site_without_a_cdf_says_so() -> None:
    heavy = EXAMPLES["heavy tails"]
    fit = Fit.from_greeks(PyroModel(heavy.fn, order_by="loc"), heavy.greeks)
    with pytest.raises(NotImplementedError, match=r"x has no .*sample"):
        fit.do(z=1).cdf("x", 0.0)
