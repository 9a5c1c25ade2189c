"""What a site of a program may be set to, or seen at: values and distributions within its support."""

from collections.abc import Callable
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.distributions import constraints

from estimators import CausalMixture, Data, Fit, PyroModel, Status
from estimators.mechanisms import Poisson
from tests.refusals import case, refused


def program(N: int, limit: Any) -> None:
    """Supports that are fixed, and supports that say a covariate, a Greek, a hidden site, and a continuous site."""
    theta, top = pyro.sample("theta", dist.Dirichlet(torch.ones(2))), pyro.sample("top", dist.Gamma(2.0, 1.0))
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Categorical(theta))
        pyro.sample("c", dist.Poisson(1.0 + z))
        pyro.sample("g", dist.Gamma(1.0 + z, 1.0))
        pyro.sample("log", dist.LogNormal(0.0, 1.0 + z))
        pyro.sample("share", dist.Beta(1.0 + z, 2.0))
        x = pyro.sample("x", dist.Normal(1.0 * z, 1.0))
        pyro.sample("masked", dist.Poisson(2.0 + z).mask(limit > 2.0))
        pyro.sample("simplex", dist.Dirichlet(torch.ones(3)))
        pyro.sample("pair", dist.Poisson(torch.ones(2)).to_event(1))
        pyro.sample("unit", dist.Uniform(0.0, 1.0))
        pyro.sample("by_class", dist.Uniform(2.0 * z, 2.0 * z + 1.0))
        pyro.sample("by_row", dist.Uniform(0.0, limit))
        pyro.sample("by_greek", dist.Uniform(0.0, top))
        pyro.sample("tries", dist.Binomial(3.0 + 3.0 * z, 0.5))
        pyro.sample("by_x", dist.Uniform(x, x + 1.0))


ROWS = Data(
    {
        "limit": [1.0, 4.0],
        **{name: [0.5, 0.5] for name in ("g", "log", "share", "x", "unit", "by_class", "by_row", "by_greek", "by_x")},
        **{name: [1, 1] for name in ("c", "masked", "tries")},
        "simplex": [[0.2, 0.3, 0.5]] * 2,
        "pair": [[1, 2]] * 2,
    }
)
DRAWS = {"theta": torch.tensor([[0.5, 0.5]] * 3).double(), "top": torch.tensor([2.0, 5.0, 3.0]).double()}
FIT = Fit(PyroModel(program), "known", DRAWS, 1, Status.CONVERGED, {"labels": "as given"}, data=ROWS)

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a part of a count": ({"c": 1.5}, "whole numbers from 0, got 1.5"),
    "one of the rows": ({"c": [1.0, -1.0]}, "whole numbers from 0, got [1.0, -1.0]"),
    "below 0": ({"g": -1.0}, "numbers from 0, got -1.0"),
    "at an open end": ({"log": 0.0}, "numbers above 0, got 0.0"),
    "beyond an interval": ({"share": 1.5}, "numbers from 0 to 1, got 1.5"),
    "of a masked site": ({"masked": 0.5}, "whole numbers from 0, got 0.5"),
    "not weights": ({"simplex": 0.5}, "Simplex"),
    "of a vector of counts": ({"pair": 0.5}, "whole numbers from 0, got 0.5"),
    "of the unit interval": ({"unit": 1.5}, "numbers from 0 to 1, got 1.5"),
    "between the classes": ({"by_class": 1.5}, "numbers from 0 to 3 under the fit, got 1.5"),
    "of the other class": ({"by_class": 2.5, "z": 0}, "numbers from 0 to 1 under the fit, got 2.5"),
    "in no row": ({"by_row": 5.0}, "numbers from 0 to 4 under the fit, got 5.0"),
    "at no draw": ({"by_greek": 5.5}, "under the fit, got 5.5"),
    "more than were tried": ({"tries": 7.0}, "whole numbers from 0 to 6 under the fit, got 7.0"),
    "a part of the tries": ({"tries": [1.0, 2.5]}, "whole numbers from 0 to 6"),
    "beyond what is set above": ({"by_x": 3.0, "x": 1.0}, "numbers from 1 to 2 under the fit, got 3.0"),
}
WRONG_LAWS: dict[str, tuple[str, Any, str]] = {
    "a count": ("c", dist.Normal(torch.tensor(0.0), 1.0), "expected whole numbers from 0"),
    "a count, near whole numbers": ("c", dist.Normal(torch.tensor(50.0), 1.0), "expected whole numbers from 0"),
    "above 0": ("g", dist.Normal(torch.tensor(9.0), 1e-3), "expected numbers from 0"),
    "a count to half a number": ("c", dist.Delta(torch.tensor(0.5)), "expected whole numbers from 0"),
    "a share": ("share", dist.Exponential(torch.tensor(1000.0)), "expected numbers from 0 to 1"),
    "above, with an atom at 0": ("log", dist.Bernoulli(torch.tensor(0.5)), "expected numbers above 0"),
    "an interval of its own": ("unit", dist.Normal(torch.tensor(0.5), 1e-3), "expected numbers from 0 to 1"),
    "more tries": ("tries", dist.Poisson(torch.tensor(0.01)), "whole numbers from 0 to 6 under the fit"),
}
RIGHT: list[dict[str, Any]] = [
    {"c": [0.0, 3.0], "masked": 4.0},
    {"g": 0.0, "log": 1e-300, "share": 1.0, "pair": 3.0},
    {"unit": 1.0, "by_class": [0.5, 2.5], "by_row": 3.0, "by_greek": 4.5, "tries": 6.0},
    # What is not known before x is drawn.
    {"by_x": 100.0},
    {"c": dist.Poisson(torch.tensor(2.0)), "g": dist.HalfNormal(torch.tensor(1.0))},
    {"c": dist.Delta(torch.tensor(2.0)), "x": dist.Poisson(torch.tensor(2.0))},
    {"log": dist.LogNormal(torch.tensor(0.0), 1.0), "share": dist.Uniform(torch.tensor(0.2), 0.3)},
    {
        "share": dist.TransformedDistribution(
            dist.Uniform(torch.tensor(0.0), 1.0), [torch.distributions.transforms.AffineTransform(0.2, 0.1)]
        ),
        "unit": dist.Beta(torch.tensor(2.0), 2.0),
        "by_class": dist.Uniform(torch.tensor(2.0), 3.0),
    },
]
ASKED = [
    case(name, lambda settings=settings: FIT.do(**settings), ValueError, "do: ", expected)
    for name, (settings, expected) in WRONG.items()
] + [
    case(f"law of {name}", lambda site=site, law=law: FIT.do(**{site: law}), ValueError, f"do: {site}", expected)
    for name, (site, law, expected) in WRONG_LAWS.items()
]
SEEN = [
    case(name, lambda settings=WRONG[name][0]: FIT.given(**settings), ValueError, "given: ", WRONG[name][1])
    for name in ("a part of a count", "one of the rows", "below 0", "beyond an interval")
]


@pytest.mark.parametrize(("call", "error", "parts"), ASKED + SEEN)
def test_refused(call: Callable[[], Any], error: type[Exception], parts: tuple[str, ...]) -> None:
    with refused(error, *parts):
        call()


@pytest.mark.parametrize("settings", RIGHT, ids=lambda settings: ", ".join(settings))
def test_what_a_site_can_be_is_accepted(settings: dict[str, Any]) -> None:
    assert set(FIT.do(**settings).predictive.settings) == set(settings)


def test_an_improper_site_has_its_support_and_tells_nothing_of_others() -> None:
    def improper(N: int, rate: Any) -> None:
        with pyro.plate("rows", N):
            z = pyro.sample("z", dist.Bernoulli(0.5))
            pyro.sample("flat", dist.ImproperUniform(constraints.positive, (), ()), obs=rate)
            pyro.sample("unit", dist.Uniform(z, z + 1.0))

    data = Data({"rate": [1.0, 2.0], "unit": [0.5, 0.5]})
    fit = Fit(PyroModel(improper), "known", {"unused": torch.zeros(1).double()}, 1, Status.CONVERGED, {}, data=data)
    with refused(ValueError, "do: flat", "numbers above 0, got -2.0"):
        fit.do(flat=-2.0)
    assert fit.do(unit=9.0).predictive.settings["unit"] == 9.0
    with refused(ValueError, "do: unit", "numbers from 0 to 2 under the fit"):
        fit.do(unit=9.0, flat=1.0)


def test_a_mixture_refuses_a_law_in_the_same_words() -> None:
    mixture = Fit.from_greeks(CausalMixture(1, {"c": Poisson()}), {"theta": [1.0], "rate_c": [2.0]})
    law = dist.Normal(torch.tensor(0.0), torch.tensor(1.0))
    words = "do: c expects a distribution of values that it can have, got Normal", "expected whole numbers from 0"
    for fit in (mixture, FIT):
        with refused(ValueError, *words):
            fit.do(c=law)
