"""Models of which theory says what the law of the rows identifies, with the reason.

Sources: Teicher (1960, 1963), "Identifiability of (finite) mixtures", Annals of Mathematical Statistics 31 and 34
(Poissons, Gaussians). Teicher (1967), "Identifiability of mixtures of product measures", ibid. 38. Yakowitz & Spragins
(1968), ibid. 39 (Gaussian vectors). Goodman (1974), "Exploratory latent structure analysis", Biometrika 61 (two
indicators do not identify). Kruskal (1977), "Three-way arrays", Linear Algebra and its Applications 18: three do where
the Kruskal ranks of their tables add up to 2 K + 2. Allman, Matias & Rhodes (2009), "Identifiability of
parameters in latent structure models with many observed variables", Annals of Statistics 37 (the same, generically; and
Bernoulli products). Hennig (2000), "Identifiability of models for clusterwise linear regression", Journal of
Classification 17: lines that the places of the inputs do not tie together may be paired anew. Manski (1990),
"Nonparametric bounds on treatment effects", American Economic Review 80.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import permutations
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch

from estimators import CausalMixture, Data, Fit, GaussianMixture, PyroModel
from estimators.mechanisms import Bernoulli, Categorical, FullGaussian, Gaussian, LinearGaussian, Poisson

ONE, SET, RANGE = "identified", "set", "range"
Question = Callable[[Fit], Any]


@dataclass(frozen=True)
class Known:
    """A model with its Greeks and a question; ``values`` are those of a set, or the ends of a range where known."""

    model: Any
    greeks: dict[str, Any]
    query: Question
    extent: str
    reason: str
    values: tuple[float, ...] = ()
    data: Data | None = None


def effect(fit: Fit) -> Any:
    return fit.contrast("Y", do={"T": 1}, versus={"T": 0})


def entry(greek: str, *place: int) -> Question:
    return partial(_entry, greek, place)


def _entry(greek: str, place: tuple[int, ...], fit: Fit) -> Any:
    return fit[greek][place]


def set_mean(name: str, **settings: float) -> Question:
    return partial(_set_mean, name, settings)


def _set_mean(name: str, settings: dict[str, float], fit: Fit) -> Any:
    return fit.do(**settings).mean(name)


def mixture(K: int, **mechanisms: Any) -> CausalMixture:
    return CausalMixture(K, mechanisms, concentration=2.0)


def bounds(greeks: dict[str, Any]) -> tuple[float, float]:
    """Manski's bounds of the effect of T on Y, both binary: outcomes that are not seen may be 0 or 1."""
    theta, p_T, p_Y = (np.array(greeks[name]) for name in ("theta", "p_T", "p_Y"))
    treated, seen = theta @ p_T, theta @ (p_T * p_Y[:, 1] - (1.0 - p_T) * p_Y[:, 0])
    return float(seen - treated), float(seen + 1.0 - treated)


# ---------------------------------------------------------------- two variables and their hidden common cause

LINES = {"T": Bernoulli(), "Y": LinearGaussian(parents=["T"])}
PAIRED = {"theta": [0.4, 0.6], "p_T": [0.2, 0.8], "beta_Y": [[0.0, -1.0], [3.0, -1.0]], "sigma_Y": [0.7, 0.7]}
SHARED = {"T": Bernoulli(), "Y": LinearGaussian(parents=["T"], shared=["scale"])}
COINS = {"T": Bernoulli(), "Y": Bernoulli(parents=["T"])}
TOSSED = {"theta": [0.4, 0.6], "p_T": [0.2, 0.8], "p_Y": [[0.2, 0.4], [0.6, 0.8]]}
NULL = {"theta": [0.5, 0.5], "p_T": [0.5, 0.5], "p_Y": [[0.3, 0.6], [0.3, 0.6]]}
COUNTS = {"T": Bernoulli(), "Y": Poisson(parents=["T"])}
# The mean of Y at T = 0 and T = 1: the counts' classes may be paired anew, as lines with equal spreads may.
COUNTED = {"theta": [0.4, 0.6], "p_T": [0.2, 0.8], "rate_Y": [[1.0, 2.0], [6.0, 9.0]]}
HALF = torch.arange(200) < 100
EXPERIMENT = Data(T=torch.arange(200.0) % 2, Y=torch.linspace(-1, 1, 200), intervened={"T": HALF})
SOME_SEEN = Data(
    T=torch.arange(200.0) % 2, Y=torch.linspace(-1, 1, 200), Z=torch.where(HALF, torch.arange(200) % 2, -1)
)
COIN_EXPERIMENT = Data(T=torch.arange(200) % 2, Y=torch.arange(200) // 2 % 2, intervened={"T": HALF})


def counted_effects() -> tuple[float, float]:
    rate = np.array(COUNTED["rate_Y"])
    return float([0.4, 0.6] @ (rate[:, 1] - rate[:, 0])), float(0.8 * (9.0 - 1.0) + 0.2 * (2.0 - 6.0))


def three_pairings() -> tuple[float, ...]:
    """Three classes at each level of T may be paired in 3! ways: a class is any cluster at 0 with any at 1."""
    theta, p_T, beta = (np.array(THREE_LINES[name]) for name in ("theta", "p_T", "beta_Y"))
    untreated, treated = theta * (1.0 - p_T), theta * p_T
    pairs = (untreated[:, None] + treated) * ((beta[:, 0] + beta[:, 1]) - beta[:, :1])
    return tuple(sorted(float(pairs[range(3), order].sum()) for order in permutations(range(3))))


THREE_LINES = {
    "theta": [0.2, 0.3, 0.5],
    "p_T": [0.2, 0.5, 0.8],
    "beta_Y": [[-4.0, 1.0], [0.0, 1.5], [5.0, -1.0]],
    "sigma_Y": [0.7, 0.7, 0.7],
}

CONFOUNDERS = {
    "equal spreads, free slopes": Known(
        mixture(2, **LINES), PAIRED, effect, SET, "clusters of equal spread pair anew (Hennig 2000)", (-1.0, 0.8)
    ),
    "shared spread, free slopes": Known(
        mixture(2, **SHARED), {**PAIRED, "sigma_Y": 0.7}, effect, SET, "the same", (-1.0, 0.8)
    ),
    "equal spreads, a shared slope": Known(
        mixture(2, T=Bernoulli(), Y=LinearGaussian(parents=["T"], shared=["T"])),
        {**PAIRED, "beta_Y": [[0.0], [3.0]], "shared_beta_Y": [-1.0]},
        effect,
        ONE,
        "clusters that pair anew are not equally far apart",
    ),
    "unequal spreads": Known(
        mixture(2, **LINES),
        {**PAIRED, "sigma_Y": [0.5, 1.0]},
        effect,
        ONE,
        "spreads say which clusters belong together",
    ),
    "three classes of one spread": Known(
        mixture(3, **SHARED), {**THREE_LINES, "sigma_Y": 0.7}, effect, SET, "3! pairings", three_pairings()
    ),
    "counts": Known(
        mixture(2, **COUNTS), COUNTED, effect, SET, "Poisson mixtures at each T, paired anew", counted_effects()
    ),
    "binary": Known(
        mixture(2, **COINS), TOSSED, effect, RANGE, "7 Greeks, 3 free cells; Manski (1990)", bounds(TOSSED)
    ),
    "binary, not confounded": Known(
        mixture(2, **COINS), NULL, effect, RANGE, "as much: nobody knows that it is not", bounds(NULL)
    ),
    "binary, an experiment in some rows": Known(
        mixture(2, **COINS), TOSSED, effect, ONE, "the mean under do(T) is the law of those rows", data=COIN_EXPERIMENT
    ),
    "an experiment in some rows": Known(
        mixture(2, **LINES), PAIRED, effect, ONE, "the mean under do(T) is the law of those rows", data=EXPERIMENT
    ),
    "seen in some rows": Known(
        mixture(2, **LINES), PAIRED, effect, ONE, "the complete law is that of those rows", data=SOME_SEEN
    ),
    "a third indicator": Known(
        mixture(2, **LINES, W=Bernoulli()),
        {**PAIRED, "p_W": [0.3, 0.9]},
        effect,
        ONE,
        "W tells which cluster of the treated is like which of the untreated",
    ),
    "binary, another indicator": Known(
        mixture(2, **COINS, W=Bernoulli()),
        {**TOSSED, "p_W": [0.3, 0.9]},
        effect,
        RANGE,
        "T and Y together are one indicator, with W two (Goodman 1974)",
    ),
    "binary, two other indicators": Known(
        mixture(2, **COINS, W=Bernoulli(), V=Bernoulli()),
        {**TOSSED, "p_W": [0.3, 0.9], "p_V": [0.2, 0.7]},
        effect,
        ONE,
        "(T, Y), W and V are three indicators (Kruskal 1977)",
    ),
}

# ---------------------------------------------------------------- latent classes


def indicators(K: int, levels: dict[str, int]) -> CausalMixture:
    return mixture(K, **{name: Bernoulli() if size == 2 else Categorical(size) for name, size in levels.items()})


def tables(K: int, levels: dict[str, int], seed: int = 0) -> dict[str, Any]:
    """Greeks in general position."""
    rng = np.random.default_rng(seed)
    greeks: dict[str, Any] = {"theta": rng.dirichlet(np.full(K, 20.0)).tolist()}
    for name, size in levels.items():
        rows = rng.dirichlet(np.full(size, 1.5), K) * 0.9 + 0.1 / size
        greeks[f"p_{name}"] = rows[:, 1].tolist() if size == 2 else rows.tolist()
    return greeks


TWO = {"A": 2, "B": 2}
TWO_OF_THREE = {"A": 3, "B": 3}
THREE = {"A": 2, "B": 2, "C": 2}
FOUR = {"A": 2, "B": 2, "C": 2, "D": 2}
THREE_OF_THREE = {"A": 3, "B": 3, "C": 3}
FIVE = {"A": 2, "B": 2, "C": 2, "D": 2, "E": 2}
THREE_CODES = {"theta": [0.4, 0.6], "p_A": [0.2, 0.8], "p_B": [0.3, 0.8], "p_C": [0.2, 0.6]}
ONE_USELESS = {"theta": [0.4, 0.6], "p_A": [0.2, 0.8], "p_B": [0.3, 0.8], "p_C": [0.5, 0.5]}

LATENT_CLASSES = {
    "one coin": Known(
        mixture(2, X=Bernoulli()), {"theta": [0.4, 0.6], "p_X": [0.2, 0.7]}, entry("p_X", 0), RANGE, "1 of 3"
    ),
    "the mean of one coin": Known(
        mixture(2, X=Bernoulli()), {"theta": [0.4, 0.6], "p_X": [0.2, 0.7]}, set_mean("X", Z=0), RANGE, "1 of 3"
    ),
    "two coins": Known(indicators(2, TWO), tables(2, TWO), entry("p_A", 0), RANGE, "3 free cells, 5 Greeks"),
    "two coins, one set and seen alike": Known(
        indicators(2, TWO), tables(2, TWO), set_mean("B", A=1), ONE, "A does nothing to B, whose mean is seen"
    ),
    "three coins": Known(indicators(2, THREE), THREE_CODES, entry("p_A", 0), ONE, "Kruskal ranks 2 + 2 + 2 = 2 K + 2"),
    "three coins, one the same in both": Known(
        indicators(2, THREE), ONE_USELESS, entry("p_A", 0), RANGE, "C has Kruskal rank 1: two indicators are left"
    ),
    "three coins, three classes": Known(
        indicators(3, THREE), tables(3, THREE), entry("p_A", 0), RANGE, "7 free cells, 11 Greeks"
    ),
    "four coins": Known(indicators(2, FOUR), tables(2, FOUR), entry("theta", 0), ONE, "Kruskal (1977)"),
    "five coins, three classes": Known(
        indicators(3, FIVE), tables(3, FIVE, 3), entry("theta", 0), ONE, "2 ceil(log2 3) + 1 = 5 (Allman et al. 2009)"
    ),
    "two of three levels": Known(
        indicators(2, TWO_OF_THREE),
        tables(2, TWO_OF_THREE),
        entry("theta", 0),
        RANGE,
        "a matrix of rank 2 has many factors",
    ),
    "three of three levels": Known(
        indicators(3, THREE_OF_THREE), tables(3, THREE_OF_THREE), entry("theta", 0), ONE, "3 + 3 + 3 >= 2 K + 2"
    ),
    "two coins, Z seen in some rows": Known(
        indicators(2, TWO),
        tables(2, TWO),
        entry("p_A", 0),
        ONE,
        "the complete law is that of those rows",
        data=Data(
            A=torch.arange(80) % 2,
            B=torch.arange(80) // 2 % 2,
            Z=torch.where(torch.arange(80) < 40, -1, torch.arange(80) % 2),
        ),
    ),
    "two coins, Z set in some rows": Known(
        indicators(2, TWO),
        tables(2, TWO),
        entry("theta", 0),
        ONE,
        "under do(Z) every mechanism is seen, and then the share in the other rows",
        data=Data(
            A=torch.arange(80) % 2,
            B=torch.arange(80) // 2 % 2,
            Z=torch.where(torch.arange(80) < 40, -1, torch.arange(80) % 2),
            intervened={"Z": torch.arange(80) >= 40},
        ),
    ),
}

# ---------------------------------------------------------------- mixtures of other families


def chain(N: int) -> None:
    """The program of the first example, its spread shared."""
    theta = pyro.sample("theta", dist.Dirichlet(2.0 * torch.ones(2)))
    with pyro.plate("classes", 2):
        p = pyro.sample("p", dist.Beta(1.0, 1.0))
        low = pyro.sample("low", dist.Normal(0.0, 5.0))
        slope = pyro.sample("slope", dist.Normal(0.0, 5.0))
    with pyro.plate("rows", N):
        Z = pyro.sample("Z", dist.Categorical(theta))
        T = pyro.sample("T", dist.Bernoulli(p[Z]))
        pyro.sample("Y", dist.Normal(low[Z] + slope[Z] * T, 0.7))


def common_slope(N: int) -> None:
    """The same with one slope for both classes."""
    theta = pyro.sample("theta", dist.Dirichlet(2.0 * torch.ones(2)))
    slope = pyro.sample("slope", dist.Normal(0.0, 5.0))
    with pyro.plate("classes", 2):
        p = pyro.sample("p", dist.Beta(1.0, 1.0))
        low = pyro.sample("low", dist.Normal(0.0, 5.0))
    with pyro.plate("rows", N):
        Z = pyro.sample("Z", dist.Categorical(theta))
        T = pyro.sample("T", dist.Bernoulli(p[Z]))
        pyro.sample("Y", dist.Normal(low[Z] + slope * T, 0.7))


def coin_chain(N: int) -> None:
    """Three coins of a hidden class, as a program."""
    theta = pyro.sample("theta", dist.Dirichlet(2.0 * torch.ones(2)))
    with pyro.plate("classes", 2):
        p = pyro.sample("p", dist.Beta(1.0, 1.0))
        q = pyro.sample("q", dist.Beta(1.0, 1.0))
    with pyro.plate("rows", N):
        Z = pyro.sample("Z", dist.Categorical(theta))
        pyro.sample("A", dist.Bernoulli(p[Z]))
        pyro.sample("B", dist.Bernoulli(q[Z]))


ROWS = Data(T=torch.arange(60.0) % 2, Y=torch.linspace(-1, 4, 60))
PAIR_GREEKS = {"theta": [0.4, 0.6], "p": [0.2, 0.8], "low": [0.0, 3.0], "slope": [-1.0, -1.0]}
UNEQUAL = {"theta": [0.3, 0.7], "mu_X": [0.0, 0.0], "sigma_X": [1.0, 3.0]}
LINE = {"X": Gaussian(), "Y": LinearGaussian(parents=["X"])}
CROSSED = {
    "theta": [0.4, 0.6],
    "mu_X": [0.0, 1.0],
    "sigma_X": [1.0, 1.5],
    "beta_Y": [[0.0, 1.0], [3.0, -1.0]],
    "sigma_Y": [0.7, 0.7],
}
EQUAL_LINES = {**PAIRED, "beta_Y": [[0.0, 1.0], [0.0, 1.0]]}

OTHERS = {
    "Gaussians": Known(
        GaussianMixture(2), {"theta": [0.3, 0.7], "mu_X": [-2.0, 3.0]}, set_mean("X", Z=0), ONE, "Teicher (1963)"
    ),
    "three Gaussians": Known(
        GaussianMixture(3),
        {"theta": [0.3, 0.5, 0.2], "mu_X": [-3.0, 0.0, 2.5]},
        entry("theta", 1),
        ONE,
        "Teicher (1963)",
    ),
    "Gaussians of one mean": Known(mixture(2, X=Gaussian()), UNEQUAL, entry("sigma_X", 0), ONE, "Teicher (1963)"),
    "one Gaussian as two": Known(
        GaussianMixture(2), {"theta": [0.3, 0.7], "mu_X": [1.0, 1.0]}, entry("theta", 0), RANGE, "any share does"
    ),
    "the mean of one Gaussian as two": Known(
        GaussianMixture(2),
        {"theta": [0.3, 0.7], "mu_X": [1.0, 1.0]},
        lambda fit: float(fit["theta"] @ fit["mu_X"]),
        ONE,
        "the mean of the column is seen",
    ),
    "two Gaussians as three": Known(
        GaussianMixture(3),
        {"theta": [0.3, 0.3, 0.4], "mu_X": [1.0, 1.0, 6.0]},
        entry("theta", 0),
        RANGE,
        "one is split anyhow",
    ),
    "Gaussian vectors": Known(
        mixture(2, X=FullGaussian(2)),
        {
            "theta": [0.3, 0.7],
            "mu_X": [[0.0, 0.0], [1.0, 2.0]],
            "sigma_X": [[1.0, 1.0], [0.5, 2.0]],
            "corr_X": [[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.6, 0.8]]],
        },
        entry("mu_X", 0, 0),
        ONE,
        "Yakowitz & Spragins (1968)",
    ),
    "Poissons": Known(
        mixture(2, X=Poisson()), {"theta": [0.3, 0.7], "rate_X": [1.0, 6.0]}, entry("theta", 0), ONE, "Teicher (1960)"
    ),
    "a Gaussian and a coin": Known(
        mixture(2, X=Gaussian(), A=Bernoulli()),
        {"theta": [0.3, 0.7], "mu_X": [0.0, 2.0], "sigma_X": [1.0, 1.0], "p_A": [0.2, 0.7]},
        entry("p_A", 0),
        ONE,
        "X alone identifies the classes, then A's law in each (Teicher 1967)",
    ),
    "lines over a Gaussian": Known(
        mixture(2, **LINE),
        CROSSED,
        entry("beta_Y", 0, 1),
        ONE,
        "X takes more places than two lines meet at (Hennig 2000)",
    ),
    "equal lines": Known(mixture(2, **LINES), EQUAL_LINES, effect, RANGE, "a class may have all of its rows at T = 1"),
    "a program of pairs": Known(
        PyroModel(chain, order_by="low"), PAIR_GREEKS, effect, SET, "as the mixture (Hennig 2000)", (-1.0, 0.8), ROWS
    ),
    "a program with one slope": Known(
        PyroModel(common_slope, order_by="low"),
        {**PAIR_GREEKS, "slope": -1.0},
        effect,
        ONE,
        "clusters paired anew have two slopes",
        data=ROWS,
    ),
    "a program of two coins": Known(
        PyroModel(coin_chain, order_by="p"),
        {"theta": [0.4, 0.6], "p": [0.2, 0.8], "q": [0.3, 0.8]},
        lambda fit: fit["p"][0],
        RANGE,
        "3 free cells, 5 Greeks",
        data=Data(A=torch.arange(20.0) % 2, B=torch.arange(20.0) // 2 % 2),
    ),
}

KNOWN: dict[str, Known] = {**CONFOUNDERS, **LATENT_CLASSES, **OTHERS}
