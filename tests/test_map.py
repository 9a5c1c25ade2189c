"""MAP: an interior stationary point of the exact log joint in the constrained space, trained by SVI."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI, TraceEnum_ELBO, config_enumerate
from pyro.infer.autoguide import AutoDelta, init_to_value
from torch import Tensor

from estimators import MAP, CausalMixture, Data, EstimationWarning, Fit, GaussianMixture, PyroModel, Status
from estimators.mechanisms import Gaussian
from tests.expectations import log_likelihood_of
from tests.gallery import tutorial
from tests.models import MODELS, TUTORIAL_ROWS, mixed_rows, rows_of


def log_joint_gradient(fit: Fit, data: Data) -> dict[str, Tensor]:
    """d(log likelihood + log prior)/dφ at the fit, by autograd, projected onto the simplex for theta."""
    greeks = {name: fit[name].requires_grad_() for name in fit.draws}
    prior = sum(p.prior.log_prob(greeks[p.name]).sum() for p in fit.model.parameters)
    slopes = torch.autograd.grad(log_likelihood_of(fit.model.marginal(data), greeks) + prior, list(greeks.values()))
    found = dict(zip(greeks, slopes, strict=True))
    found["theta"] = found["theta"] - found["theta"].mean()
    return found


def test_the_tutorial_rows_give_the_reference_numbers() -> None:
    fit = MAP().fit(GaussianMixture(K=2), {"X": TUTORIAL_ROWS}, seed=0)
    assert fit.status is Status.CONVERGED
    assert fit["theta"].tolist() == pytest.approx([0.375, 0.625], abs=1e-5)
    assert fit["mu_X"].tolist() == pytest.approx([0.497512, 10.963455], abs=1e-5)


# Others of one column are like these.
ALIKE = ("one component", "three components", "known means", "unequal priors")


@pytest.mark.parametrize(
    "model", [pytest.param(each, id=name, marks=[pytest.mark.slow] * (name in ALIKE)) for name, each in MODELS.items()]
)
def test_it_ends_at_a_stationary_point_of_the_log_joint(model: CausalMixture) -> None:
    for data in (rows_of(model, 60, separation=5.0), mixed_rows(model, 45)):
        fit = MAP(num_starts=10, num_steps=5).fit(model, data, seed=1, search=None)
        assert fit.status is Status.CONVERGED
        for name, slope in log_joint_gradient(fit, data).items():
            assert float(slope.abs().max()) < 1e-5, name


def test_it_is_a_maximum_that_pyro_svi_does_not_leave() -> None:
    """Stock SVI with AutoDelta on the conditioned model, Z enumerated by Pyro, stays where MAP ended."""
    model = GaussianMixture(K=2)
    data = Data(X=TUTORIAL_ROWS)
    fit = MAP(num_steps=20).fit(model, data, seed=0)
    observed = pyro.condition(model, {"X": data.columns["X"]})
    with pyro.get_param_store().scope():
        guide = AutoDelta(
            pyro.poutine.block(observed, hide=["Z"]),
            init_loc_fn=init_to_value(values={name: fit[name] for name in fit.draws}),
        )
        svi = SVI(config_enumerate(observed), guide, pyro.optim.SGD({"lr": 1e-3}), TraceEnum_ELBO(max_plate_nesting=1))
        for _ in range(50):
            svi.step(5)
        trained = guide.median()
    for name in fit.draws:
        torch.testing.assert_close(trained[name].detach(), fit[name], rtol=0, atol=1e-6)


def test_losses_fall_and_gradient_norms_are_recorded() -> None:
    model = GaussianMixture(K=2)
    data = rows_of(model, 60, separation=4.0)
    fit = MAP(num_starts=10, num_steps=40).fit(model, data, seed=0)
    losses, norms = fit.info["losses"], fit.info["gradient_norms"]
    assert losses.shape == norms.shape
    assert losses.shape[1] == 40
    assert bool((losses[:, -1] <= losses[:, 0] + 1e-6).all())
    # SVI's loss is minus the log joint, so it cannot end below the summit.
    assert float(losses.min()) >= -fit.stats["log_joint"] - 1e-6


@pytest.mark.parametrize("offset", [pytest.param(0.0, marks=pytest.mark.slow), 1e6])
def test_a_shift_with_its_prior_moves_the_means_and_nothing_else(offset: float) -> None:
    rows = rows_of(GaussianMixture(K=2), 50, separation=5.0).columns["X"]

    def fit(shift: float) -> Fit:
        loc = dist.Normal(torch.tensor(shift).double(), torch.tensor(10.0).double())
        model = CausalMixture(2, {"X": Gaussian(loc=loc, scale=dist.LogNormal(0.0, 1.0))}, concentration=2.0)
        return MAP(num_starts=10, num_steps=20).fit(model, Data(X=rows + shift), seed=0)

    here, there = fit(0.0), fit(offset)
    for name in here.draws:
        shift = offset if name == "mu_X" else 0.0
        torch.testing.assert_close(there[name] - shift, here[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize("concentration", [0.1, *(pytest.param(a, marks=pytest.mark.slow) for a in (0.5, 0.9))])
def test_a_concentration_below_one_gives_the_interior_point(concentration: float) -> None:
    """theta_k = (n_k + a - 1) / (N + K (a - 1)) for separated rows, although the density is infinite at theta_k = 0."""
    fit = MAP(num_steps=20).fit(GaussianMixture(K=2, concentration=concentration), {"X": TUTORIAL_ROWS}, seed=0)
    assert fit.status is Status.CONVERGED
    expected = (2 + concentration - 1) / (5 + 2 * (concentration - 1))
    assert float(fit["theta"][0]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "scale",
    [
        pytest.param(1.0, id="known"),
        pytest.param(dist.HalfNormal(5.0), id="half"),
        pytest.param(dist.LogNormal(0.0, 1.0), id="log", marks=pytest.mark.slow),
    ],
)
def test_constant_rows_end_finite_and_say_what_happened(scale: object) -> None:
    model = CausalMixture(2, {"X": Gaussian(scale=scale)}, concentration=0.5)
    with pytest.warns(EstimationWarning):
        fit = MAP(num_starts=20, num_steps=20).fit(model, {"X": [3.0] * 5}, seed=0)
    assert not {Status.BOUNDARY, Status.COMPONENT_COLLAPSED}.isdisjoint(fit.findings)
    assert bool(torch.isfinite(fit["theta"]).all())
    assert float(fit["theta"].min()) > 1e-100


def test_constant_rows_with_a_concentration_above_one_have_an_interior_answer() -> None:
    fit = MAP(num_starts=20, num_steps=20).fit(GaussianMixture(K=2, concentration=2.0), {"X": [3.0] * 5}, seed=0)
    assert fit.status is Status.CONVERGED
    assert bool((fit["theta"] > 0.05).all())


def test_a_program_with_fractional_weights_is_the_mixture_with_them() -> None:
    """The gradient counts a row as often as its weight says, which Pyro's plates cannot."""
    weights = [0.5, 1.5, 1.0, 0.25, 2.0]
    mixture = MAP().fit(GaussianMixture(K=2), Data(X=TUTORIAL_ROWS, weights=weights), seed=0)
    program = MAP(num_starts=5).fit(PyroModel(tutorial), Data(X=TUTORIAL_ROWS, weights=weights), seed=0)
    assert program.stats["log_joint"] == pytest.approx(mixture.stats["log_joint"], rel=1e-9)
