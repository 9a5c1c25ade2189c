"""Transforms, priors and the log density in unconstrained coordinates: torch says the same."""

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from pyro.distributions.transforms import biject_to
from torch.distributions import constraints

from estimators import CausalMixture
from estimators.contract import Combination, log_joint, log_likelihood, log_posterior, log_prior
from estimators.mixture.density import Density
from estimators.parameters.prior_densities import log_density
from estimators.parameters.priors import as_prior
from estimators.parameters.transforms import Positive, Real, Simplex, Transform
from estimators.parameters.zero_sum import ZeroSumNormal
from tests.models import MODELS, mixed_rows
from tests.objectives import objective_of

TRANSFORMS = {
    "real": (Real(2.0, 3.0), constraints.real, (4,)),
    "positive": (Positive(0.5), constraints.positive, (3,)),
    "two weights": (Simplex(2), constraints.simplex, (2,)),
    "five weights": (Simplex(5), constraints.simplex, (5,)),
    "one weight": (Simplex(1), constraints.simplex, (1,)),
}
PRIORS = [
    dist.Normal(1.0, 2.0).expand([3]),
    dist.HalfNormal(2.0).expand([3]),
    dist.LogNormal(0.5, 0.7).expand([3]),
    dist.Gamma(2.5, 1.5).expand([3]),
    dist.Exponential(0.7).expand([3]),
    dist.HalfCauchy(2.0).expand([3]),
    dist.StudentT(4.0, 1.0, 2.0).expand([3]),
    dist.HalfNormal(2.0),
    dist.Gamma(torch.tensor([0.3, 1.0, 4.0]), 1.5),
    dist.Beta(torch.tensor([0.3, 1.0, 4.0]), 2.0),
    dist.Uniform(torch.tensor([-1.0, 0.0, 2.0]), 2.5),
    dist.Dirichlet(torch.tensor([0.5, 1.0, 3.0])),
    ZeroSumNormal(torch.tensor([[1.0, 0.3], [1.0, 0.3], [1.0, 0.3]])),
]


@pytest.mark.parametrize(("transform", "support", "shape"), TRANSFORMS.values(), ids=TRANSFORMS)
def test_a_transform_is_pyros_up_to_units_with_its_derivatives(
    transform: Transform, support: constraints.Constraint, shape: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(0)
    points = rng.standard_normal((6, transform.size(shape))) * 2
    values = transform.forward(points)
    np.testing.assert_allclose(transform.inverse(values), points, rtol=1e-10, atol=1e-10)
    if isinstance(transform, Simplex):
        np.testing.assert_allclose(values, biject_to(support)(torch.from_numpy(points)).numpy(), rtol=1e-12)
        assert np.allclose(values.sum(-1), 1.0, rtol=0, atol=1e-14)
    for point in points:
        free = torch.from_numpy(point).requires_grad_()
        weights = torch.linspace(0.5, 2.0, int(np.prod(shape)), dtype=torch.float64)
        if isinstance(transform, Real):
            value, jacobian = (
                transform.origin + transform.unit * free,
                torch.tensor(np.log(transform.unit) * len(point)),
            )
        else:
            to = biject_to(support)
            value = to(free)
            jacobian = to.log_abs_det_jacobian(free, value).sum()
        if len(point):
            (expected,) = torch.autograd.grad((weights * value.square()).sum(), free, retain_graph=True)
            slope = 2 * weights.numpy() * value.detach().numpy()
            np.testing.assert_allclose(transform.pull_back(value.detach().numpy(), slope), expected.numpy(), rtol=1e-10)
        found = transform.log_jacobian(value.detach().numpy())
        assert float(found) == pytest.approx(float(jacobian.detach()), rel=1e-10, abs=1e-12)
        if jacobian.requires_grad:
            (expected,) = torch.autograd.grad(jacobian, free)
            pulled = np.broadcast_to(transform.jacobian_slope(value.detach().numpy()), expected.shape)
            np.testing.assert_allclose(pulled, expected.numpy(), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("extreme", [-700.0, -40.0, 40.0, 700.0])
def test_weights_stay_a_distribution_far_out(extreme: float) -> None:
    weights = Simplex(3).forward(np.array([extreme, 0.0]))
    assert np.isfinite(weights).all()
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1.0, abs=1e-14)
    assert np.isfinite(Positive().forward(np.array([extreme]))).all()
    assert (Positive().forward(np.array([extreme])) > 0).all()


@pytest.mark.parametrize("prior", PRIORS, ids=str)
def test_a_prior_and_its_slope_are_torchs(prior: dist.TorchDistribution) -> None:
    double = as_prior("prior", prior)
    evaluate = log_density(double)
    torch.manual_seed(0)
    with torch.random.fork_rng():
        batch = double.sample(torch.Size([5])).double()
    values, slopes = evaluate(batch.numpy())
    free = batch.clone().requires_grad_()
    expected = double.log_prob(free)
    expected = expected.sum(-1) if double.batch_shape else expected
    np.testing.assert_allclose(values, expected.detach().numpy(), rtol=1e-12)
    # That of a uniform density is 0.
    (slope,) = torch.autograd.grad(expected.sum() + 0.0 * free.sum(), free)
    np.testing.assert_allclose(slopes, slope.numpy(), rtol=1e-10, atol=1e-12)
    one, _ = evaluate(batch[0].numpy())
    assert float(one) == pytest.approx(float(values[0]), rel=1e-14)


@pytest.mark.parametrize("combination", [log_likelihood, log_joint, log_posterior, log_prior])
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_the_gradient_is_that_of_the_value(model: CausalMixture, combination: Combination) -> None:
    objective = objective_of(model, mixed_rows(model), combination)
    for point in np.random.default_rng(1).standard_normal((3, objective.size)):
        value, gradient = objective.value_and_gradient(point)
        assert value == pytest.approx(float(objective.value(point[None])[0]), rel=1e-12)
        steps = 1e-6 * np.eye(objective.size)
        ahead, behind = objective.value(point + steps), objective.value(point - steps)
        np.testing.assert_allclose(gradient, (ahead - behind) / 2e-6, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("combination", [log_likelihood, log_joint, log_posterior, log_prior])
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_of_no_points_there_are_no_values(model: CausalMixture, combination: Combination) -> None:
    """As a search asks where no climb is left."""
    objective = objective_of(model, mixed_rows(model), combination)
    assert objective.value(np.zeros((0, objective.size))).shape == (0,)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_coordinates_and_greeks_are_one_to_one(model: CausalMixture) -> None:
    density = Density(model, model.marginal(mixed_rows(model)))
    points = np.random.default_rng(2).standard_normal((7, density.size))
    greeks = density.constrain(points)
    for parameter in model.parameters:
        assert greeks[parameter.name].shape == (7, *parameter.shape)
        assert bool(parameter.prior.support.check(torch.from_numpy(greeks[parameter.name])).all())
    np.testing.assert_allclose(density.unconstrain(greeks), points, rtol=1e-9, atol=1e-9)
