"""Every model class gives every member of the contract, called alike, and its members agree with each other."""

import inspect
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch

from estimators import CausalMixture, Data, GaussianMixture, PyroModel, contract, isolated
from estimators.fits.storage import RESTORERS
from estimators.isolation import program_mode
from estimators.mechanisms import Bernoulli, LinearGaussian
from estimators.mixture.allocations import Allocations
from estimators.mixture.counterfactual import MixtureWorlds
from estimators.mixture.density import Density
from estimators.mixture.predictive import MixturePredictive
from estimators.modes.best_starts import best_starts
from estimators.programs.density import ProgramDensity
from estimators.programs.predictive import ProgramPredictive
from tests.gallery import EXAMPLES
from tests.objectives import by_differences

GRAPH = CausalMixture(2, {"T": Bernoulli(), "Y": LinearGaussian(parents=["T"])}, concentration=2.0)
ROWS = {
    "mixture": Data(X=[0.0, 1.0, 9.0, 10.0, 12.0], weights=[1.0, 2.0, 1.0, 0.5, 1.0]),
    "graph": Data(T=[0, 1, 0, 1, 1, 0], Y=[0.1, 2.0, -0.3, 1.7, 8.0, 9.5]),
    "gaps": Data(
        T=[0.0, 1.0, np.nan, 1.0, 1.0, 0.0, 1.0, np.nan],
        Y=[0.1, 2.0, -0.3, np.nan, 8.0, 9.5, 1.0, 7.0],
        Z=[0, -1, -1, -1, -1, 1, -1, 1],
        missing="marginalize",
    ),
    "program": EXAMPLES["tutorial"].data(6),
}
MODELS: dict[str, contract.Model] = {
    "mixture": GaussianMixture(K=2),
    "graph": GRAPH,
    "gaps": GRAPH,
    "program": PyroModel(EXAMPLES["tutorial"].fn, order_by="μ"),
}
CLASSES = {
    contract.Model: [CausalMixture, PyroModel],
    contract.Density: [Density, ProgramDensity],
    contract.Predictive: [MixturePredictive, ProgramPredictive],
    contract.Structural: [MixtureWorlds],
    contract.Conjugate: [Allocations],
}


def members(protocol: type) -> dict[str, Any]:
    """The public members of a protocol by name: functions, properties, and annotated attributes."""
    own = {name: value for name, value in vars(protocol).items() if not name.startswith("_")}
    return {**dict.fromkeys(getattr(protocol, "__annotations__", {})), **own}


def parameters(function: Callable[..., Any]) -> list[tuple[str, Any, Any]]:
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize(
    ("protocol", "given"), [(protocol, each) for protocol, classes in CLASSES.items() for each in classes]
)
def test_a_class_has_every_method_with_the_same_arguments(protocol: type, given: type) -> None:
    methods = {name: value for name, value in members(protocol).items() if inspect.isfunction(value)}
    assert methods
    for name, method in methods.items():
        found = getattr(given, name)
        wanted, got = parameters(method), parameters(found)
        if isinstance(inspect.getattr_static(given, name), staticmethod):
            wanted = wanted[1:]
        assert _accepts(wanted, got), f"{given.__name__}.{name}: {got}, not {wanted}"


def _accepts(wanted: list[tuple[str, Any, Any]], got: list[tuple[str, Any, Any]]) -> bool:
    """Whether a call that fits what is wanted fits what is there: the same names, more of them optional."""
    names = [name for name, _, _ in wanted]
    own, more = got[: len(wanted)], got[len(wanted) :]
    is_optional = all(default is not inspect.Parameter.empty for _, _, default in more)
    return (
        [name for name, _, _ in own] == names
        and is_optional
        and all(
            here == there or here is not inspect.Parameter.empty
            for (_, _, there), (_, _, here) in zip(wanted, own, strict=True)
        )
    )


@pytest.mark.parametrize("name", MODELS)
def test_a_model_and_its_density_have_every_member(name: str) -> None:
    model = MODELS[name]
    density = model.density(ROWS[name])
    for protocol, found in ((contract.Model, model), (contract.Density, density)):
        for member in members(protocol):
            assert hasattr(found, member), f"{type(found).__name__} has no {member}"
    assert isinstance(model, contract.Model) and not isinstance(density, contract.Model)


@pytest.mark.parametrize("name", MODELS)
def test_the_likelihood_is_the_sum_over_the_rows_and_every_part_has_its_gradient(name: str) -> None:
    model, data = MODELS[name], ROWS[name]
    density = model.density(data)
    point = 0.3 * np.random.default_rng(0).standard_normal(density.size)
    greeks = {key: value[0] for key, value in density.draws(point[None]).items()}
    weights = torch.ones(data.num_rows) if data.weights is None else data.weights
    total = float(density.pointwise(greeks) @ weights.double())
    values, gradients = density.evaluate(point)
    assert float(values.likelihood) == pytest.approx(total, rel=1e-12)
    for gradient, expected in zip(gradients, by_differences(density, point, 1e-6), strict=True):
        np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_prior_and_jacobian_are_those_of_the_greeks(name: str) -> None:
    """By the supports alone: log |dφ/dv| by differences, and the prior by Pyro's own trace of the program."""
    model, data = MODELS[name], ROWS[name]
    density = model.density(data)
    point = 0.3 * np.random.default_rng(6).standard_normal(density.size)
    values = density.values(point)
    step = 1e-6 * np.eye(density.size)
    ahead, behind = (free_entries(density, point + move) for move in (step, -step))
    slopes = (ahead - behind) / 2e-6
    assert float(values.jacobian) == pytest.approx(np.linalg.slogdet(slopes)[1], rel=1e-7)
    alone = density.log_jacobian(np.stack([point, -point]))
    np.testing.assert_allclose(alone, density.values(np.stack([point, -point])).jacobian, rtol=1e-12)
    program, _ = model.conditioned(data.replace(weights=None) if data.weights is not None else data)
    greeks = {key: value[0] for key, value in density.draws(point[None]).items()}
    with program_mode():
        trace = pyro.poutine.trace(pyro.poutine.condition(program, greeks)).get_trace()
        by_pyro = sum(float(trace.nodes[key]["fn"].log_prob(value).sum()) for key, value in greeks.items())
    assert float(values.prior) == pytest.approx(by_pyro, rel=1e-9)


def free_entries(density: contract.Density, points: np.ndarray) -> np.ndarray:
    """The Greeks [S, D] of points [S, D]: of a simplex all entries but the last, which the others fix."""
    greeks = density.constrain(points)
    parts = [greeks[key][..., :-1] if density.supports[key].event_dim else greeks[key] for key in density.names]
    return np.concatenate([part.reshape(len(points), -1) for part in parts], 1)


@pytest.mark.parametrize("name", MODELS)
def test_a_batch_has_the_parts_of_each_of_its_points(name: str) -> None:
    density = MODELS[name].density(ROWS[name])
    points = 0.5 * np.random.default_rng(7).standard_normal((4, density.size))
    values, gradients = density.evaluate(points)
    assert [part.shape for part in (*values, *density.values(points))] == [(4,)] * 6
    assert [part.shape for part in gradients] == [(4, density.size)] * 3
    for index, point in enumerate(points):
        value, gradient = density.evaluate(point)
        for whole, one in zip((*values, *gradients), (*value, *gradient), strict=True):
            np.testing.assert_allclose(whole[index], one, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", MODELS)
def test_draws_of_the_prior_are_points(name: str) -> None:
    density = MODELS[name].density(ROWS[name])
    drawn = density.draw_prior(50, np.random.default_rng(8))
    assert drawn.shape == (50, density.size) and np.isfinite(drawn).all()
    assert len(np.unique(drawn, axis=0)) == 50
    again = density.draw_prior(50, np.random.default_rng(8))
    assert np.array_equal(drawn, again)


@pytest.mark.parametrize("name", MODELS)
def test_an_m_step_from_the_responsibilities_is_that_of_the_e_step(name: str) -> None:
    density = MODELS[name].density(ROWS[name])
    point = 0.3 * np.random.default_rng(9).standard_normal(density.size)
    greeks = {key: value[0] for key, value in density.draws(point[None]).items()}
    shares = density.responsibilities(greeks).numpy()
    by_e_step = density.m_step(point, density.e_step(point)[2])
    np.testing.assert_allclose(density.m_step(point, density.expected(point, shares)), by_e_step, rtol=1e-5, atol=1e-6)
    one_known = shares.copy()
    one_known[0] = [0.0, 1.0]
    steps = [density.m_step(point, density.expected(point, rows)) for rows in (one_known, shares)]
    # A row with Z known is in its class, whatever share it is given.
    is_known = bool((torch.tensor(shares[0]) == 1.0).any())
    assert np.allclose(*steps, rtol=1e-9, atol=1e-12) == is_known
    swapped = density.m_step(point, density.expected(point, shares[..., ::-1].copy()))
    assert np.abs(swapped - by_e_step).max() > 0.1


@pytest.mark.parametrize("name", MODELS)
def test_coordinates_go_there_and_back(name: str) -> None:
    density = MODELS[name].density(ROWS[name])
    points = 0.5 * np.random.default_rng(1).standard_normal((3, density.size))
    np.testing.assert_allclose(density.unconstrain(density.constrain(points)), points, rtol=1e-9, atol=1e-9)
    assert list(density.constrain(points)) == list(density.draws(points)) == density.names
    assert set(density.supports) == set(density.names) and density.bounded.shape == (density.size,)
    assert density.names_at(np.ones(density.size, dtype=bool)) == density.names


@pytest.mark.parametrize("name", MODELS)
def test_an_em_step_does_not_lower_the_likelihood(name: str) -> None:
    density = MODELS[name].density(ROWS[name]).beyond_priors()
    rng = np.random.default_rng(2)
    for start in best_starts(MODELS[name], density, contract.log_likelihood, 3, rng, refinements=1):
        before, _, statistics = density.e_step(start)
        assert float(density.values(density.m_step(start, statistics)).likelihood) >= before - 1e-9


def stated(N: int) -> None:
    """The mixture of "stated" below as a program."""
    theta = pyro.sample("theta", dist.Dirichlet(torch.full((2,), 0.5)))
    with pyro.plate("components", 2):
        mu = pyro.sample("mu_X", dist.Normal(0.0, 10.0))
    with pyro.plate("rows", N):
        Z = pyro.sample("Z", dist.Categorical(theta))
        pyro.sample("X", dist.Normal(mu[Z], 1.0))


def test_given_responsibilities_mean_the_same_to_both_classes_where_z_is_seen() -> None:
    """Also shares that contradict what is seen: these rows are in the class that they are known to be in."""
    data = Data(X=[-1.0, 0.0, 2.0, 3.0, 4.0, 1.0], Z=[0, -1, -1, -1, -1, 1])
    first = np.array([0.0, 0.9, 0.4, 0.2, 0.0, 1.0])
    greeks = {"theta": np.array([0.5, 0.5]), "mu_X": np.array([-1.0, 3.0])}
    steps = []
    for model in (GaussianMixture(K=2), PyroModel(stated)):
        density = model.density(data)
        point = density.unconstrain(greeks)
        step = density.m_step(point, density.expected(point, np.stack([first, 1.0 - first], 1)))
        steps.append(density.constrain(step))
    for name in greeks:
        np.testing.assert_allclose(steps[0][name], steps[1][name], rtol=2e-2)
    assert steps[0]["theta"][0] == pytest.approx((1.0 + 0.9 + 0.4 + 0.2) / 6.0, rel=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_rows_of_a_part_have_the_densities_they_have_in_the_whole(name: str) -> None:
    density, some = MODELS[name].density(ROWS[name]), torch.tensor([3, 1])
    greeks = density.draws(0.2 * np.random.default_rng(3).standard_normal((2, density.size)))
    part = density.of(ROWS[name].rows(some))
    torch.testing.assert_close(part.pointwise(greeks), density.pointwise(greeks)[:, some], rtol=1e-12, atol=0)
    (site,) = density.latent
    shares = density.responsibilities(greeks, density.site(None))
    torch.testing.assert_close(part.responsibilities(greeks, site), shares[:, some], rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(shares.sum(-1), torch.ones(shares.shape[:-1], dtype=torch.float64))
    with pytest.raises(ValueError, match="responsibilities"):
        density.site("nowhere")


# Where Z is seen no label is free.
@pytest.mark.parametrize("name", [name for name in MODELS if name != "gaps"])
def test_free_labels_leave_the_density_as_it_is(name: str) -> None:
    model, data = MODELS[name], ROWS[name]
    density = model.density(data)
    greeks = density.draws(0.4 * np.random.default_rng(4).standard_normal((1, density.size)))
    at = {key: value[0] for key, value in greeks.items()}
    free = model.symmetry(data, at)
    assert free.is_nontrivial and free.num_labels == 2
    moved = {
        key: value.flip([axis + 1 for axis in free.axes.get(key, ())]) if key in free.axes else value
        for key, value in greeks.items()
    }
    torch.testing.assert_close(density.pointwise(moved), density.pointwise(greeks), rtol=1e-10, atol=0)
    keys, of_moved = model.order_keys(greeks, free), model.order_keys(moved, free)
    assert keys and all(key.shape == (1, 2) and torch.equal(of_moved[name], key.flip(1)) for name, key in keys.items())
    assert sorted(model.likeliest_order(data, greeks, free, next(iter(keys.values()))[0])) == [0, 1]


@pytest.mark.parametrize("name", MODELS)
def test_a_described_model_is_restored(name: str) -> None:
    model, data = MODELS[name], ROWS[name]
    draws = model.density(data).draws(np.zeros((1, model.density(data).size)))
    described = json.loads(json.dumps(model.describe(data, draws)))
    again = RESTORERS[described["class"]](described, data, draws, model if name == "program" else None)
    assert torch.equal(again.density(data).pointwise(draws), model.density(data).pointwise(draws))


@pytest.mark.parametrize("name", MODELS)
def test_the_row_program_draws_what_simulate_draws(name: str) -> None:
    """Every variable and hidden site, and under `pyro.do` what is set."""
    model = MODELS[name]
    greeks = model.prior_greeks(seed=3)
    run_rows, names = model.row_program(None)
    drawn, set_to = run_rows(greeks, 4), pyro.do(run_rows, data={"Z": torch.tensor(1)})(greeks, 4)
    assert drawn.keys() == set_to.keys() == model.simulate(4, greeks, seed=5).keys()
    assert all(len(column) == 4 for column in drawn.values()) and set(set_to["Z"].tolist()) == {1}
    assert set(model.variables) <= set(names) and set(model.hidden) <= set(drawn)


@pytest.mark.parametrize("name", MODELS)
def test_predictions_have_every_member(name: str) -> None:
    model, data = MODELS[name], ROWS[name]
    draws = model.density(data).draws(np.zeros((2, model.density(data).size)))
    asked = model.predictive(draws, data, do={"Z": 1})
    target = next(iter(set(asked.variables) - set(asked.hidden)))
    assert (asked.num_draws, set(asked.settings), dict(asked.seen), dict(asked.rows)) == (2, {"Z"}, {}, {})
    assert asked.mean(target).values.shape == (2,)
    points = torch.tensor([0.0, 1.0], dtype=torch.float64)
    assert asked.log_density(target, points).values.shape == asked.cdf(target, points).values.shape == (2,)
    assert float(asked.cdf_at(target)(1.0).values) == pytest.approx(
        float(asked.cdf(target, points).values[1]), abs=1e-15
    )
    low, high = asked.bracket(target, 0.5)
    assert low <= high
    with isolated(0):
        assert {len(column) for column in asked.sample(3).values()} == {3}
    per_row = model.predictive(draws, data, do={"Z": [0, 1]}).given({})
    assert dict(per_row.rows) == {"Z": 2} and per_row.mean(target).values.shape == (2, 2)


def test_exact_is_of_models_whose_greeks_can_be_integrated_out() -> None:
    found = GaussianMixture(K=2).conjugate(Data(X=[0.0, 1.0]))
    assert (found.num_components, found.num_hidden, found.log_joint(np.arange(4)).shape) == (2, 2, (4,))
    with pytest.raises(TypeError, match="PyroModel use NUTS"):
        MODELS["program"].conjugate(ROWS["program"])
