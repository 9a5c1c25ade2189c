"""Names of variables and sites: refused where the model has a thing so called, and no trouble anywhere else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine

from estimators import EM, MAP, NUTS, CausalMixture, Data, Fit, PyroModel
from estimators.mechanisms import Bernoulli, Categorical, FullGaussian, Gaussian, LinearGaussian, Poisson
from tests.models import quiet
from tests.refusals import case, refused

X = [0.0, 1.0, 3.0, 10.0, 11.0, 12.0]
QUICK = {"MAP": MAP(num_starts=2, num_steps=3), "NUTS": NUTS(num_samples=5, warmup_steps=3, num_chains=1)}


def model(*names: str, **others: Any) -> CausalMixture:
    return CausalMixture(2, {**{name: Gaussian(scale=1.0) for name in names}, **others})


TAKEN = [
    case(
        f"{name} beside {list(others)}",
        lambda n=name, o=others: model(n, **o),
        ValueError,
        "mechanisms",
        repr(name),
        why,
    )
    for name, others, why in [
        ("theta", {}, "a Greek"),
        ("mu_X", {"X": Gaussian()}, "a Greek"),
        ("sigma_X", {"X": Gaussian(shared=["scale"])}, "a Greek"),
        ("p_T", {"T": Bernoulli()}, "a Greek"),
        ("p_T", {"T": Categorical(3)}, "a Greek"),
        ("rate_C", {"C": Poisson()}, "a Greek"),
        ("beta_Y", {"T": Bernoulli(), "Y": LinearGaussian(["T"])}, "a Greek"),
        ("corr_V", {"V": FullGaussian(2)}, "a Greek"),
        ("rows", {}, "plate over rows"),
        (
            "components_mu_X",
            {"X": Gaussian()},
            "plate",
        ),
        ("entries_1_mu_X", {"T": Bernoulli(), "X": Gaussian(parents=["T"])}, "plate"),
        ("Z", {}, "hidden cause"),
        ("weights", {}, "argument of Data"),
        ("a\0b", {}, "control character"),
        ("a\nb", {}, "control character"),
        ("\ud800", {}, "Unicode"),
    ]
]


@pytest.mark.parametrize(("call", "error", "parts"), TAKEN)
def test_a_name_that_is_taken_is_refused_at_construction(
    call: Callable[[], Any], error: type[Exception], parts: tuple[str, ...]
) -> None:
    with refused(error, *parts):
        call()


def test_a_known_number_takes_no_name() -> None:
    assert "mu_X" in CausalMixture(2, {"X": Gaussian(loc=[0.0, 1.0]), "mu_X": Gaussian()}).mechanisms


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(names, id=str(names), marks=marks)
        for names, marks in [
            (("X", "X.1"), ()),
            (("draw", "chain"), ()),
            (("row", "Z_class"), pytest.mark.slow),
            (("mu", "0"), pytest.mark.slow),
            (("X", "X_dim_0"), ()),
            (("..", "training"), ()),
            (("a b/c",), pytest.mark.slow),
        ]
    ],
)
def test_any_other_names_work_on_every_route(names: tuple[str, ...], tmp_path: Path) -> None:
    """As pandas numbers repeated columns, as Pyro and ArviZ call their own things, as torch calls a module's."""
    mixture, rows = model(*names), dict.fromkeys(names, X)
    seen = Data({**rows, "Z": [0, -1, -1, -1, -1, 1]})
    assert set(poutine.trace(mixture).get_trace(4).nodes) >= set(names)
    program, nesting = mixture.conditioned(seen)
    poutine.trace(poutine.enum(program, first_available_dim=-1 - nesting)).get_trace()
    with quiet():
        for estimator in QUICK.values():
            fit = estimator.fit(mixture, seen, seed=0)
            fit.save(tmp_path / "fit")
            again = Fit.load(tmp_path / "fit")
            assert again.data is not None
            assert list(again.data.columns) == list(seen.columns)
            assert torch.equal(again.draws[f"mu_{names[-1]}"], fit.draws[f"mu_{names[-1]}"])
            drawn = poutine.trace(fit.program).get_trace(3)
            assert set(drawn.nodes) >= {*names, "Z", *fit.draws}
        assert set(fit.to_arviz()["observed_data"].data_vars) == {*names, "Z"}


def dotted(N: int) -> None:
    low = pyro.sample("median", dist.Normal(0.0, 10.0))
    gap = pyro.sample("median.gap", dist.HalfNormal(10.0))
    share = pyro.sample("draw", dist.Beta(2.0, 2.0))
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Bernoulli(share))
        pyro.sample("x", dist.Normal(low + gap * z, 1.0))


def test_sites_of_a_program_may_be_called_as_attributes_of_a_torch_module() -> None:
    fit = MAP(num_starts=3, num_steps=3).fit(PyroModel(dotted), {"x": X}, seed=0)
    assert float(fit["median.gap"]) == pytest.approx(9.67, abs=0.2)
    assert "draw_" in poutine.trace(fit.program).get_trace(3).nodes
    with refused(ValueError, "to_arviz", "'draw'", "rename"):
        fit.laplace(num_draws=8, seed=0).to_arviz()


def test_a_greek_may_be_called_as_an_axis() -> None:
    def program(N: int) -> None:
        weights = pyro.sample("Z_class", dist.Dirichlet(torch.ones(2)))
        with pyro.plate("places", 2):
            where = pyro.sample("component_dim_0", dist.Normal(0.0, 10.0))
        with pyro.plate("rows", N):
            z = pyro.sample("z", dist.Categorical(weights))
            pyro.sample("row", dist.Normal(where[z], 1.0))

    fit = EM(num_starts=2).fit(PyroModel(program), {"row": X}, seed=0).laplace(num_draws=8, seed=0)
    export = fit.to_arviz()
    assert export["posterior"]["Z_class"].shape == (1, 8, 2)
    assert export["observed_data"]["row"].values.tolist() == X
