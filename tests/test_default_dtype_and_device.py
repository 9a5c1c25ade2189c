"""The same bits under any default dtype and device of torch; and what has no numbers in memory is refused by name."""

import ast
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor

import estimators
from estimators import CausalMixture, Data, Fit
from estimators.mechanisms import (
    Bernoulli,
    Categorical,
    DiagonalGaussian,
    FullGaussian,
    Gaussian,
    LinearGaussian,
    Poisson,
)
from tests.test_ambient_modes import Answers, default_dtype, mixture

GRAPH = CausalMixture(
    2,
    {
        "B": Bernoulli(),
        "C": Categorical(3),
        "N": Poisson(),
        "T": Gaussian(),
        "X": Gaussian(),
        "V": FullGaussian(2),
        "Y": LinearGaussian(parents=["B", "T", "X"]),
    },
)


def double(*numbers: float) -> list[Tensor]:
    return [torch.tensor(number, dtype=torch.float64) for number in numbers]


def questions() -> Answers:
    """What is asked of laws that are integrated, summed and drawn, none of whose numbers are of float16."""
    fit = Fit.from_greeks(GRAPH, GRAPH.prior_greeks(seed=1))
    shift = torch.distributions.transforms.AffineTransform(*double(0.1, 0.3))
    laws = {
        "Gamma": dist.Gamma(*double(2.0, 0.3)),
        "Uniform": dist.Uniform(*double(0.1, 0.7)),
        "VonMises": dist.VonMises(*double(0.1, 0.3)),
        "transformed": dist.TransformedDistribution(dist.Normal(*double(0.1, 0.3)), [shift]),
    }
    found: Answers = {}
    for name, law in laws.items():
        query = fit.do(T=law)
        found[f"{name} mean"], found[f"{name} given"] = query.mean("Y").draws, query.given(Y=0.3).mean("X").draws
        found[f"{name} cdf"], found[f"{name} quantile"] = query.cdf("Y", [0.1, 0.35]), query.quantile("T", 0.3)
    found["sample"] = fit.do(T=laws["Gamma"]).given(Y=0.3, X=0.1, B=1).sample(4, seed=0)["T"]
    count = fit.do(N=dist.Geometric(*double(0.3)))
    found["count"], found["count's cdf"] = count.mean("N").draws, count.cdf("N", [1.0, 3.0])
    two = fit.do(T=laws["Gamma"], X=dist.Exponential(*double(0.7)))
    found["two"], found["two's error"] = two.mean("Y").draws, two.mean("Y").error
    found["two's cdf"], found["its error"] = two.cdf("Y", 0.3), two.cdf("Y", 0.3).error
    rows = GRAPH.simulate(20, GRAPH.prior_greeks(seed=1), seed=0)
    found |= {f"simulated {name}": value for name, value in rows.items()}
    observed = Data({name: rows[name] for name in GRAPH.mechanisms})
    world = fit.counterfactual(observed, do={"B": 1})
    found |= {f"counterfactual {name}": value for name, value in world.sample(seed=0).items()}
    found["counterfactual mean"], found["density"] = world.mean("Y").draws, fit.log_density(observed)
    torch.manual_seed(0)
    found["program"] = fit.program(6)["Y"]
    return found


ASKED = cache(questions)


@pytest.mark.parametrize(
    "dtype", [torch.float16, pytest.param(torch.bfloat16, marks=pytest.mark.slow), torch.float64], ids=str
)
def test_no_default_dtype_changes_a_bit_of_an_answer(dtype: torch.dtype) -> None:
    expected = ASKED()
    with default_dtype(dtype):
        found = questions()
    assert found.keys() == expected.keys()
    for key, value in found.items():
        assert value.dtype == expected[key].dtype and torch.equal(value, expected[key]), key


def test_every_tensor_of_real_numbers_is_made_with_its_dtype() -> None:
    """By reading the code: what torch makes of no numbers of ours, or of our floats, it makes in the default dtype."""
    makers = {"linspace", "logspace", "zeros", "ones", "empty", "rand", "randn", "eye", "normal"}
    found = []
    for path in sorted(Path(estimators.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in makers:
                is_torch = isinstance(node.func.value, ast.Name) and node.func.value.id == "torch"
                if is_torch and "dtype" not in {keyword.arg for keyword in node.keywords}:
                    found.append(f"{path.name}:{node.lineno} torch.{node.func.attr}")
    assert not found


DEFAULTS: dict[str, Callable[[], Any]] = {
    "Gaussian": Gaussian,
    "LinearGaussian": lambda: LinearGaussian(parents=["T"]),
    "DiagonalGaussian": lambda: DiagonalGaussian(2),
    "FullGaussian": lambda: FullGaussian(2),
    "Bernoulli": Bernoulli,
    "Categorical": lambda: Categorical(3),
    "Poisson": Poisson,
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_default_priors_are_the_same_under_any_default_dtype_and_device(name: str) -> None:
    """A Poisson's prior has a rate of 0.1, which no two types agree on."""

    def numbers() -> list[list[float]]:
        made = vars(DEFAULTS[name]())
        laws = [part for part in made.values() if isinstance(part, torch.distributions.Distribution)]
        return [getattr(law, key).tolist() for law in laws for key in law.arg_constraints if hasattr(law, key)]

    expected = numbers()
    for dtype in (torch.float16, torch.float64):
        with default_dtype(dtype), torch.device("meta"):
            found = numbers()
        assert found == expected and expected
    assert name != "Poisson" or expected == [1.0, 0.1]


def meta(value: float) -> Tensor:
    return torch.tensor(value, device="meta")


def affine(law: Any, *numbers: Tensor) -> Any:
    return dist.TransformedDistribution(law, [torch.distributions.transforms.AffineTransform(*numbers)])


WITHOUT_NUMBERS: dict[str, tuple[str, Callable[[], Any]]] = {
    "a prior": ("loc", lambda: Gaussian(loc=dist.Normal(meta(0.0), meta(1.0)))),
    "a prior for each": ("loc", lambda: Gaussian(loc=dist.Normal(meta(0.0), meta(1.0)).expand([2]))),
    "a known number": ("scale", lambda: Gaussian(scale=meta(1.0))),
    "known numbers in a list": ("scale", lambda: Gaussian(scale=[torch.tensor(1.0), meta(1.0)])),
    "sparse known numbers": ("scale", lambda: Gaussian(scale=torch.ones(2).to_sparse())),
    "a concentration": ("concentration", lambda: CausalMixture(2, {"X": Gaussian()}, meta(1.0).expand(2))),
    "a Greek": ("theta", lambda: Fit.from_greeks(mixture(), {"theta": meta(0.5).expand(2), "mu_X": [0.0, 6.0]})),
    "a law": ("do: X", lambda: some_fit().do(X=dist.Exponential(meta(1.0)))),
    "a law of Z": ("do: Z", lambda: some_fit().do(Z=dist.Bernoulli(meta(0.5)))),
    "a number": ("do: X", lambda: some_fit().do(X=dist.Delta(meta(1.0)))),
    "the base of a law": (
        "do: X",
        lambda: some_fit().do(X=affine(dist.Normal(meta(0.0), meta(1.0)), *double(1.0, 2.0))),
    ),
    "a map of a law": ("do: X", lambda: some_fit().do(X=affine(dist.Normal(*double(0.0, 1.0)), meta(1.0), meta(2.0)))),
}


def some_fit() -> Fit:
    return Fit.from_greeks(mixture(), {"theta": [0.4, 0.6], "mu_X": [0.0, 6.0]})


@pytest.mark.parametrize("name", WITHOUT_NUMBERS)
def test_what_a_model_or_a_question_is_made_of_has_its_numbers_in_memory(name: str) -> None:
    """Laws on the meta device exist only where nobody validates them."""
    argument, make = WITHOUT_NUMBERS[name]
    expected = rf"^{argument}: expected a dense tensor with its numbers in memory, got .*\.to_dense\(\)\.cpu\(\)"
    with pyro.validation_enabled(False), pytest.raises(TypeError, match=expected):
        make()
