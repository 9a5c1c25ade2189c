"""Labels of several hidden sites of a program: those that nothing fixes are warned of, and those alone."""

import warnings
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.distributions.transforms import OrderedTransform
from torch import Tensor

from estimators import EM, Data, EstimationWarning, PyroModel
from estimators.parameters.symmetry import Symmetry

TRUTH = {"share": [0.5, 0.5], "severity": [[0.8, 0.2], [0.2, 0.8]], "p": [[0.1, 0.9], [0.2, 0.8]], "mu": [-3.0, 3.0]}


def independent(loc: Tensor) -> Any:
    return dist.Normal(loc, 5.0).to_event(1)


def ordered(loc: Tensor) -> Any:
    return dist.TransformedDistribution(independent(loc), [OrderedTransform()])


def places(N: int, means: Any = independent) -> None:
    """A hidden place causes a hidden severity: two tests tell of the one, an outcome of the other."""
    share = pyro.sample("share", dist.Dirichlet(torch.ones(2)))
    severity = pyro.sample("severity", dist.Dirichlet(torch.ones(2, 2)).to_event(1))
    p = pyro.sample("p", dist.Beta(torch.ones(2, 2), 1.0).to_event(2))
    mu = pyro.sample("mu", means(torch.zeros(2)))
    with pyro.plate("rows", N):
        place = pyro.sample("place", dist.Categorical(share))
        U = pyro.sample("U", dist.Categorical(severity[place]))
        for number in range(2):
            pyro.sample(f"test{number}", dist.Bernoulli(p[number][place]))
        pyro.sample("Y", dist.Normal(mu[U], 0.7))


def in_order(N: int) -> None:
    places(N, ordered)


def graded(N: int) -> None:
    """The ordered Greek is no class's: cut points of an outcome."""
    theta = pyro.sample("theta", dist.Dirichlet(torch.ones(2)))
    mu = pyro.sample("mu", independent(torch.zeros(2)))
    cuts = pyro.sample("cuts", ordered(torch.zeros(2)))
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Categorical(theta))
        pyro.sample("Y", dist.OrderedLogistic(mu[z], cuts))


ROWS = PyroModel(places).simulate(80, TRUTH, seed=1)
SEEN = {name: ROWS[name] for name in ("test0", "test1", "Y")}


def known(name: str, *values: int) -> Tensor:
    """The site where it has one of the values, in the first rows."""
    is_known = torch.isin(ROWS[name], torch.tensor(values).to(ROWS[name])) & (torch.arange(80) < 20)
    return torch.where(is_known, ROWS[name], -1)


def symmetry(model: PyroModel, **columns: Tensor) -> Symmetry:
    return model.symmetry(Data(**SEEN, **columns), {name: torch.tensor(value) for name, value in TRUTH.items()})


@pytest.mark.parametrize(
    ("model", "unfixed"),
    [
        (PyroModel(places, order_by="mu"), ("place",)),
        (PyroModel(places, order_by="share"), ("U",)),
        (PyroModel(places), ("place", "U")),
        (PyroModel(in_order), ("place",)),
        (PyroModel(in_order, order_by="mu"), ("place",)),
        (PyroModel(in_order, order_by="share"), ()),
    ],
)
def test_each_site_is_fixed_by_what_puts_its_own_labels_in_order(model: PyroModel, unfixed: tuple[str, ...]) -> None:
    found = symmetry(model)
    assert found.unfixed == unfixed
    assert found.is_fixed == (not unfixed)
    for name in ("place", "U") if len(unfixed) == 1 else ():
        assert (f"those of {name} are as the estimator found them" in found.sentence) == (name in unfixed)


def test_rows_in_which_a_site_is_known_fix_its_labels_and_no_others() -> None:
    assert symmetry(PyroModel(places, order_by="mu"), place=known("place", 0, 1)).unfixed == ()
    assert symmetry(PyroModel(places, order_by="mu"), place=known("place", 1)).unfixed == (), "the other is the rest"
    assert symmetry(PyroModel(places), place=known("place", 0, 1)).unfixed == ("U",)
    assert symmetry(PyroModel(places, order_by="mu"), place=torch.full((80,), -1)).unfixed == ("place",)


def test_an_ordered_greek_that_no_site_indexes_fixes_nothing() -> None:
    model = PyroModel(graded)
    greeks = {"theta": [0.5, 0.5], "mu": [-2.0, 2.0], "cuts": [-1.0, 1.0]}
    rows = model.simulate(20, greeks, seed=0)
    found = model.symmetry(Data(Y=rows["Y"]), {name: torch.tensor(value) for name, value in greeks.items()})
    assert found.unfixed == ("z",)


def test_a_question_about_labels_that_nothing_fixes_is_warned_of() -> None:
    fit = EM(num_starts=1).fit(PyroModel(places, order_by="mu"), SEEN, seed=0)
    assert fit.stats["labels_unfixed"] == ["place"]
    with pytest.warns(EstimationWarning, match="place: .* those of place are as the estimator found them"):
        fit.do(place=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit.do(U=1).mean("Y")
        fit.do(place=1)  # once is enough
