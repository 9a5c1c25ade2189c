"""Our Adam against SVI with AutoDelta and ClippedAdam, as Pyro has them: the same steps, losses and gradients."""

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI, Trace_ELBO
from pyro.infer.autoguide import AutoDelta, init_to_value
from pyro.optim import ClippedAdam

from estimators import CausalMixture, Data
from estimators.contract import Objective, log_joint
from estimators.isolation import isolated
from estimators.mechanisms import Gaussian
from estimators.optimise.adam import adam

STEPS, RATE = 40, 0.05


def test_the_steps_are_those_of_svi_with_a_point_mass() -> None:
    """A model whose coordinates are Pyro's up to a shift and a unit: no weights, a location and a scale."""
    rows = torch.tensor([0.3, 1.2, -0.7, 2.0], dtype=torch.float64)
    model = CausalMixture(1, {"X": Gaussian(dist.Normal(0.0, 10.0), dist.LogNormal(0.0, 1.0))})
    density = model.density(model.check(Data(X=rows)))
    objective, start = Objective(density, log_joint), np.array([0.4, -0.2])
    end, values, norms = adam(objective, start, num_steps=STEPS, learning_rate=RATE, after_step=lambda: None)
    first = {name: value[0] for name, value in density.draws(start[None]).items() if name != "theta"}
    unit = float(rows.std(correction=0))

    def program() -> None:
        mu = pyro.sample("mu_X", dist.Normal(torch.zeros(1).double(), 10.0).to_event(1))
        sigma = pyro.sample("sigma_X", dist.LogNormal(torch.zeros(1).double(), 1.0).to_event(1))
        with pyro.plate("rows", len(rows)):
            pyro.sample("X", dist.Normal(mu, sigma), obs=rows)

    def settings(name: str) -> dict[str, float]:
        return {"lr": RATE * (unit if "mu" in name else 1.0), "lrd": 0.01 ** (1.0 / STEPS), "clip_norm": float("inf")}

    with isolated(0):
        guide = AutoDelta(program, init_loc_fn=init_to_value(values=first))
        svi = SVI(program, guide, ClippedAdam(settings), Trace_ELBO())  # type: ignore[arg-type]
        losses = [float(svi.step()) for _ in range(STEPS)]
        median = guide.median()
    np.testing.assert_allclose(values, [-loss for loss in losses], rtol=1e-7)
    ended = density.draws(end[None])
    for name, value in median.items():
        torch.testing.assert_close(ended[name][0], value.detach().double(), rtol=1e-6, atol=1e-6)
    assert norms[0] == pytest.approx(float(np.linalg.norm(objective.value_and_gradient(start)[1])))
