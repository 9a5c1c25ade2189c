"""Missing entries of a program's columns: summed or integrated out where nothing depends on them, else refused."""

from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import TraceEnum_ELBO
from torch import Tensor

from estimators import EM, CausalMixture, Data, Fit, PyroModel
from estimators.contract import log_joint
from estimators.isolation import program_mode
from estimators.mechanisms import Bernoulli, Gaussian
from estimators.programs.density import ProgramDensity
from tests.expectations import log_likelihood_of
from tests.models import fit_quietly
from tests.refusals import case, refused

NAN = float("nan")


def components() -> tuple[Any, Any]:
    theta = pyro.sample("theta", dist.Dirichlet(torch.ones(2)))
    with pyro.plate("components", 2):
        return theta, pyro.sample("mu", dist.Normal(0.0, 5.0))


def indicators(N: int) -> None:
    theta, mu = components()
    with pyro.plate("items", 2):
        nu = pyro.sample("nu", dist.Normal(0.0, 5.0))
        p = pyro.sample("p", dist.Beta(1.0, 1.0))
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Categorical(theta))
        pyro.sample("x", dist.Normal(mu[z], 1.0))
        pyro.sample("y", dist.Normal(nu[z], 1.0))
        pyro.sample("b", dist.Bernoulli(p[z]))


ROWS = Data(
    x=[-2.0, NAN, 2.5, -1.0, 3.0],
    y=[NAN, NAN, 1.5, -0.5, 2.0],
    b=[0.0, 1.0, NAN, 0.0, 1.0],
    missing="marginalize",
)
GREEKS = {
    "theta": torch.tensor([0.4, 0.6], dtype=torch.float64),
    "mu": torch.tensor([-2.0, 2.0], dtype=torch.float64),
    "nu": torch.tensor([-1.0, 1.0], dtype=torch.float64),
    "p": torch.tensor([0.3, 0.8], dtype=torch.float64),
}


def test_missing_entries_are_integrated_out_as_in_a_mixture() -> None:
    model = PyroModel(indicators, order_by="mu")
    marginal = model.marginal(ROWS)
    mixture = CausalMixture(2, {"x": Gaussian(scale=1.0), "y": Gaussian(scale=1.0), "b": Bernoulli()})
    names = {"theta": "theta", "mu": "mu_x", "nu": "mu_y", "p": "p_b"}
    greeks = {name: value.clone().requires_grad_() for name, value in GREEKS.items()}
    same = {names[name]: value.clone().requires_grad_() for name, value in GREEKS.items()}
    other = mixture.marginal(ROWS)
    torch.testing.assert_close(
        marginal.pointwise(GREEKS), other.pointwise({k: v[None] for k, v in same.items()})[0], rtol=1e-10, atol=1e-10
    )
    torch.testing.assert_close(
        marginal.responsibilities(GREEKS),
        other.responsibilities({k: v.detach()[None] for k, v in same.items()})[0],
        rtol=1e-9,
        atol=1e-9,
    )
    slopes = torch.autograd.grad(marginal.log_likelihood(greeks), list(greeks.values()))
    expected = torch.autograd.grad(log_likelihood_of(other, same), list(same.values()))
    for name, one, two in zip(greeks, slopes, expected, strict=True):
        along = [s - (s * GREEKS[name]).sum() if name == "theta" else s for s in (one, two)]
        torch.testing.assert_close(*along, rtol=1e-8, atol=1e-8)
    # b is observed, with gaps: not one of the hidden causes that a question may mean.
    assert marginal.latent == ("z",)


def test_pyros_own_objective_leaves_the_same_entries_out() -> None:
    model = PyroModel(indicators)
    conditioned, nesting = model.conditioned(ROWS)
    with program_mode():
        loss = TraceEnum_ELBO(max_plate_nesting=nesting).loss(pyro.condition(conditioned, data=GREEKS), lambda: None)
    marginal = model.marginal(ROWS)
    at = marginal.coordinates.unconstrain(GREEKS).numpy()
    assert -loss == pytest.approx(float(log_joint(ProgramDensity(marginal).values(at))), rel=1e-10)


def test_the_option_that_an_error_names_works() -> None:
    columns = {name: column.numpy() for name, column in ROWS.columns.items()}
    model = PyroModel(indicators, order_by="mu")
    with pytest.raises(ValueError, match=r"column x: NaN .* say Data\(\.\.\., missing='marginalize'\)"):
        EM().fit(model, columns)
    fit = fit_quietly(EM(num_starts=1, max_iterations=3), model, Data(**columns, missing="marginalize"), seed=0)
    assert set(fit.symmetry.axes) == {"theta", "mu", "nu", "p"}
    # A row alone, with nothing to take a stand-in from; and a sample has every observed variable.
    one = fit.log_density(Data(x=[NAN], y=[1.0], b=[NAN], missing="marginalize"))
    by_class = fit["theta"].log() + dist.Normal(fit["nu"], 1.0).log_prob(torch.tensor(1.0).double())
    torch.testing.assert_close(one[0], torch.logsumexp(by_class, 0), rtol=1e-9, atol=1e-9)
    assert set(fit.do(z=1).sample(2, seed=0)) == {"x", "y", "b"}


def test_a_missing_level_is_summed_out_whatever_depends_on_it() -> None:
    """z → b → y with b missing: Σ_b p(b | z) p(y | b)."""

    def program(N: int) -> None:
        theta, mu = components()
        with pyro.plate("rows", N):
            z = pyro.sample("z", dist.Categorical(theta))
            b = pyro.sample("b", dist.Bernoulli(torch.tensor([0.2, 0.9])[z]))
            pyro.sample("y", dist.Normal(mu[z] + 3.0 * b, 1.0))

    greeks = {name: GREEKS[name] for name in ("theta", "mu")}
    rows = Data(y=[0.5, 4.0], b=[NAN, 1.0], missing="marginalize")
    p = torch.tensor([0.2, 0.9], dtype=torch.float64)
    joint = torch.stack([(1 - p).log(), p.log()], 1) + greeks["theta"].log()[:, None]
    means = greeks["mu"][:, None] + torch.tensor([0.0, 3.0])
    by_row = [joint + dist.Normal(means, 1.0).log_prob(torch.tensor(y).double()) for y in (0.5, 4.0)]
    expected = torch.stack([by_row[0].logsumexp((0, 1)), by_row[1][:, 1].logsumexp(0)])
    torch.testing.assert_close(PyroModel(program).marginal(rows).pointwise(greeks), expected, rtol=1e-10, atol=1e-10)


def test_single_numbers_of_independent_entries_may_be_missing() -> None:
    """Vectors of independent numbers, an inner plate, counts, and a series: entry by entry."""

    def vectors(N: int) -> None:
        theta, mu = components()
        with pyro.plate("rows", N):
            z = pyro.sample("z", dist.Categorical(theta))
            pyro.sample("x", dist.Normal(mu[z][..., None].expand((*mu[z].shape, 2)), 1.0).to_event(1))

    def plates(N: int) -> None:
        theta, mu = components()
        with pyro.plate("rows", N, dim=-2):
            z = pyro.sample("z", dist.Categorical(theta))
            with pyro.plate("entries", 2, dim=-1):
                pyro.sample("x", dist.Normal(mu[z], 1.0))

    def series(N: int) -> None:
        theta, mu = components()
        with pyro.plate("rows", N):
            z = pyro.sample("z", dist.Categorical(theta))
            for t in range(2):
                pyro.sample(f"x_{t}", dist.Normal(mu[z], 1.0))

    x = torch.tensor([[0.5, NAN], [1.0, -2.0], [NAN, NAN]], dtype=torch.float64)
    greeks = {name: GREEKS[name] for name in ("theta", "mu")}
    each = dist.Normal(greeks["mu"], 1.0).log_prob(x.nan_to_num()[..., None]) * (~x.isnan())[..., None]
    expected = torch.logsumexp(greeks["theta"].log() + each.sum(1), 1)
    for program in (vectors, plates, series):
        log_rows = PyroModel(program).marginal(Data(x=x, missing="marginalize")).pointwise(greeks)
        torch.testing.assert_close(log_rows, expected, rtol=1e-10, atol=1e-10)


# ------------------------------------------------------------------ refused


def regression(N: int) -> None:
    theta, mu = components()
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Categorical(theta))
        x = pyro.sample("x", dist.Normal(mu[z], 1.0))
        pyro.sample("y", dist.Normal(0.5 * x, 1.0))


def counts(N: int) -> None:
    theta, _ = components()
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Categorical(theta))
        x = pyro.sample("x", dist.Poisson(torch.tensor([1.0, 5.0])[z]))
        pyro.sample("y", dist.Normal(0.5 * x, 1.0))


def pairs(N: int) -> None:
    theta, mu = components()
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Categorical(theta))
        pyro.sample("x", dist.MultivariateNormal(mu[z][..., None].expand((*mu[z].shape, 2)), torch.eye(2)))


def takes_its_column(x: Tensor) -> None:
    theta, mu = components()
    with pyro.plate("rows", len(x)):
        z = pyro.sample("z", dist.Categorical(theta))
        pyro.sample("x_0", dist.Normal(mu[z], 1.0), obs=x[:, 0])


def rows_of(fn: Any, **columns: Any) -> Any:
    return lambda: EM().fit(PyroModel(fn), Data(**columns, missing="marginalize"))


HALF = [[0.0, NAN], [1.0, 2.0]]


@pytest.mark.parametrize(
    ("call", "error", "parts"),
    [
        case(
            "a cause of what is seen",
            rows_of(regression, x=[NAN, 1.0], y=[0.0, 1.0]),
            ValueError,
            "'y' in regression depends on missing entries",
            "['x']",
            "CausalMixture",
        ),
        case("a count", rows_of(counts, x=[NAN, 1.0], y=[0.0, 1.0]), ValueError, "'y' in counts depends on missing"),
        case("half a vector", rows_of(pairs, x=HALF), ValueError, "'x'", "only some numbers", "all or none"),
        case("an argument", rows_of(takes_its_column, x=HALF), ValueError, "'x'", "as an argument", "column [N, T]"),
    ],
)
def test_refused(call: Any, error: type[Exception], parts: tuple[str, ...]) -> None:
    with refused(error, *parts):
        call()


def test_what_is_missing_with_all_that_depends_on_it_is_integrated_out() -> None:
    """x is missing where y is: p(x, y) integrates to 1. A vector may be missing as a whole."""
    greeks = {name: GREEKS[name] for name in ("theta", "mu")}
    rows = Data(x=[NAN, 1.0], y=[NAN, 1.0], missing="marginalize")
    log_rows = PyroModel(regression).marginal(rows).pointwise(greeks)
    assert float(log_rows[0]) == pytest.approx(0.0, abs=1e-12)
    log_rows = PyroModel(pairs).marginal(Data(x=[[NAN, NAN], [1.0, 2.0]], missing="marginalize")).pointwise(greeks)
    assert float(log_rows[0]) == pytest.approx(0.0, abs=1e-12)
    assert float(log_rows[1]) == pytest.approx(
        np.log(sum(t * np.exp(-((1 - m) ** 2 + (2 - m) ** 2) / 2) for t, m in ((0.4, -2.0), (0.6, 2.0))) / (2 * np.pi))
    )


def test_a_fit_with_missing_entries_is_saved(tmp_path: Any) -> None:
    model = PyroModel(indicators, order_by="mu")
    fit = Fit.from_greeks(model, GREEKS)
    loaded = Fit(model, "ml", fit.draws, 1, fit.status, {"seed": 0}, {}, ROWS)
    loaded.save(tmp_path / "fit.npz")
    again = Fit.load(tmp_path / "fit.npz", model=model)
    torch.testing.assert_close(again.log_density(ROWS), loaded.log_density(ROWS), rtol=0, atol=0)
