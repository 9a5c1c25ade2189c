"""Densities, probabilities and quantiles are tensors that say how exact they are."""

import copy
import pickle

import numpy as np
import pyro.distributions as dist
import pytest
import torch

from estimators import EM, CausalMixture, Data, Fit
from estimators.mechanisms import Bernoulli, Gaussian, LinearGaussian
from estimators.queries.prediction import AtRivals, Prediction
from tests.models import fit_quietly

MODEL = CausalMixture(1, {"T": Gaussian(), "U": Gaussian(), "Y": LinearGaussian(parents=["T", "U"], scale=1.0)})
FIT = Fit.from_greeks(
    MODEL,
    {
        "theta": [1.0],
        "mu_T": [0.0],
        "mu_U": [0.0],
        "sigma_T": [1.0],
        "sigma_U": [1.0],
        "beta_Y": [[0.0, 1.0, 2.0]],
    },
)
LAW = dist.Exponential(torch.tensor(1.0, dtype=torch.float64))


@pytest.mark.parametrize("at", [0.5, [[0.1, 0.9]]])
def test_what_is_simulated_states_an_error_in_the_shape_of_its_values(at: object) -> None:
    for query, is_exact in ((FIT.do(T=LAW, U=LAW), False), (FIT.do(T=LAW), True), (FIT.do(T=1.0), True)):
        for ask in (query.log_density, query.cdf, query.quantile):
            found = ask("Y", at)
            assert found.shape == np.shape(at)
            if is_exact:
                assert found.error is None
            else:
                assert found.error is not None and found.error.shape == np.shape(at)
                assert bool((found.error > 0).all())


def test_the_errors_belong_together() -> None:
    """The error of a quantile is that of the CDF over the density there."""
    query = FIT.do(T=LAW, U=LAW)
    median = query.quantile("Y", 0.5)
    below, density = query.cdf("Y", median), query.log_density("Y", median).exp()
    assert median.error is not None and below.error is not None
    assert float(median.error) == pytest.approx(float(below.error) / float(density), rel=0.05)


def test_a_prediction_is_a_tensor_and_what_is_made_of_it_is_a_plain_one() -> None:
    values, error = torch.tensor([0.5, 0.25], dtype=torch.float64), torch.tensor([0.1, 0.2], dtype=torch.float64)
    found = Prediction.of(values, error)
    assert isinstance(found, torch.Tensor)
    for plain in (found.exp(), found + 1.0, 1.0 - found, found[0], found.reshape(2, 1), found.sum(), found.clone()):
        assert type(plain) is torch.Tensor
    np.testing.assert_array_equal(found.numpy(), values.numpy())
    assert torch.equal(found, values) and found.tolist() == values.tolist()
    for other in (copy.deepcopy(found), pickle.loads(pickle.dumps(found))):
        assert isinstance(other, Prediction) and torch.equal(other, values)
        assert other.error is not None and torch.equal(other.error, error)


def test_they_say_what_they_are_at_rivals() -> None:
    """Two answers of one likelihood, equal spreads: a median of another law, as the mode's own fit gives it."""
    rng = np.random.default_rng(0)
    z = rng.random(400) < 0.5
    t = (rng.random(400) < np.where(z, 0.8, 0.2)) * 1.0
    model = CausalMixture(2, {"T": Bernoulli(), "Y": LinearGaussian(parents=["T"])})
    fit = fit_quietly(EM(), model, Data(T=t, Y=3.0 * z - t + rng.normal(size=400)), 0)
    query, other = fit.do(T=1), fit.modes[1].do(T=1)
    asked = {"quantile": ("Y", [0.1, 0.5]), "cdf": ("Y", 1.0), "log_density": ("Y", [[0.0], [1.0]])}
    for name, question in asked.items():
        found, expected = getattr(query, name)(*question), getattr(other, name)(*question)
        assert found.rivals.shape == (1, *found.shape)
        np.testing.assert_allclose(found.rivals[0], expected, rtol=1e-9)
        assert not np.allclose(found, expected, rtol=0.01)
        assert "rivals [" in repr(found)
        for again in (copy.deepcopy(found), pickle.loads(pickle.dumps(found))):
            assert torch.equal(again.rivals, found.rivals)
    assert FIT.do(T=1.0).quantile("Y", 0.5).rivals.shape == (0,)
    assert "rivals" not in repr(FIT.do(T=1.0).cdf("Y", 0.5)) + repr(fit.laplace(200, seed=0).do(T=1).cdf("Y", 0.5))
    # What was asked is kept, whatever becomes of the caller's array; and of what is refused there, printing says so.
    at = np.array([0.0, 1.0])
    found = query.cdf("Y", at)
    at[0] = 99.0
    np.testing.assert_allclose(found.rivals[0], other.cdf("Y", [0.0, 1.0]), rtol=1e-9)


def test_to_print_raises_nothing() -> None:
    def refused() -> AtRivals:
        raise ValueError("has probability 0 there")

    found = Prediction.of(torch.tensor([0.5]), None, refused)
    assert repr(found) == "tensor([0.5000]); of rivals it is not known: has probability 0 there"
    with pytest.raises(ValueError, match="has probability 0 there"):
        _ = found.rivals
