"""The family that CONTRIBUTING writes out runs as it stands, and is right by the tests that every family meets."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from scipy import stats
from torch import Tensor
from torch.distributions import constraints

from estimators import EM, NUTS, CausalMixture, Data, Fit
from estimators.contract import Objective, log_posterior
from estimators.mechanisms.defaults import OneGreek
from estimators.mechanisms.protocol import Greeks, Reference
from estimators.optimise.arrays import Array
from estimators.parameters.parameter import Parameter
from estimators.parameters.transforms import Scale, Transform
from tests.mechanism_models import enumerated

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
LONGEST = 80
NAMES: dict[str, Any] = {
    "Any": Any, "Array": Array, "Greeks": Greeks, "Mapping": Mapping, "OneGreek": OneGreek, "Parameter": Parameter,
    "Scale": Scale, "Reference": Reference, "Sequence": Sequence, "Tensor": Tensor, "Transform": Transform,
    "TorchDistributionMixin": TorchDistributionMixin, "constraints": constraints, "dataclass": dataclass, "dist": dist,
    "field": field, "np": np,
}  # fmt: skip
(SOURCE,) = (part for part in re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL) if "(OneGreek)" in part)
exec(compile(SOURCE, "CONTRIBUTING: a family", "exec"), NAMES)
Exponential: Any = NAMES["Exponential"]
MODEL = CausalMixture(2, {"W": Exponential()}, concentration=2.0)
ROWS = Data(W=[0.1, 0.4, 0.2, 7.0, 9.0, 0.3, 5.0])
GREEKS = {
    "theta": torch.tensor([0.4, 0.6], dtype=torch.float64),
    "rate_W": torch.tensor([3.0, 0.2], dtype=torch.float64),
}


def test_it_is_short() -> None:
    assert len(SOURCE.splitlines()) <= LONGEST


def test_both_routes_agree() -> None:
    expected = np.log(
        0.4 * stats.expon.pdf(ROWS.columns["W"], scale=1 / 3) + 0.6 * stats.expon.pdf(ROWS.columns["W"], scale=5)
    )
    np.testing.assert_allclose(MODEL.density(ROWS).pointwise(GREEKS), expected, rtol=1e-12)
    torch.testing.assert_close(
        enumerated(MODEL, ROWS, {name: value.clone().requires_grad_() for name, value in GREEKS.items()}).detach(),
        torch.tensor(expected.sum(), dtype=torch.float64),
        rtol=1e-9,
        atol=0,
    )


def test_gradients_are_those_of_the_density() -> None:
    density = MODEL.density(ROWS)
    objective = Objective(density, log_posterior)
    point = density.unconstrain({name: value.numpy() for name, value in GREEKS.items()})
    step = 1e-6 * np.eye(density.size)
    differences = (objective.value(point + step) - objective.value(point - step)) / 2e-6
    np.testing.assert_allclose(objective.value_and_gradient(point)[1], differences, rtol=1e-6, atol=1e-6)


def test_em_of_one_class_is_the_inverse_of_the_mean() -> None:
    fit = EM(num_starts=1).fit(CausalMixture(1, {"W": Exponential()}), ROWS, seed=0)
    assert float(fit["rate_W"][0]) == pytest.approx(1.0 / float(ROWS.columns["W"].mean()), rel=1e-9)


@pytest.mark.filterwarnings("ignore::estimators.EstimationWarning")
def test_every_question_is_answered() -> None:
    fit = Fit.from_greeks(MODEL, GREEKS)
    assert float(fit.do(Z=1).cdf("W", 2.0)) == pytest.approx(stats.expon.cdf(2.0, scale=5.0), rel=1e-12)
    assert float(fit.do(Z=0).quantile("W", 0.5)) == pytest.approx(stats.expon.ppf(0.5, scale=1 / 3), rel=1e-9)
    sampled = NUTS(num_samples=50, warmup_steps=100, num_chains=1).fit(MODEL, ROWS, seed=0)
    assert bool((sampled.draws["rate_W"] > 0).all())


def test_rows_that_it_cannot_have_are_refused() -> None:
    with pytest.raises(ValueError, match="column W: expected numbers from 0, got -1"):
        EM().fit(MODEL, {"W": [1.0, -1.0]})
