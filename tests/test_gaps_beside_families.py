"""A missing level beside any mechanism: the sum over its levels, row by row, for every model of the contract."""

import numpy as np
import pytest
import torch

from estimators import CausalMixture, Data
from tests.mechanism_models import MODELS, hidden_rows, random_greeks
from tests.objectives import by_differences


def _levels(model: CausalMixture, column: str) -> int:
    mechanism = model.mechanisms[column]
    return 0 if mechanism.is_covariate else mechanism.num_levels or 0


CASES = [(name, column) for name, model in MODELS.items() for column in model.mechanisms if _levels(model, column)]


@pytest.mark.parametrize("name, column", CASES, ids=[f"{column} of {name}" for name, column in CASES])
def test_it_is_the_sum_over_its_levels(name: str, column: str) -> None:
    """At one set of Greeks and at two together: what is about a centre of its own in each is easily taken for one."""
    model, gone = MODELS[name], np.array([True, False, True, True, False, True, True, False])
    whole = dict(hidden_rows(model, 8, seed=1).columns)
    greeks = [random_greeks(model, seed) for seed in (3, 4)]
    holes = Data({**whole, column: np.where(gone, np.nan, whole[column])}, missing="marginalize")
    at_level = [
        Data({**whole, column: np.where(gone, level, whole[column])}) for level in range(_levels(model, column))
    ]
    together = {key: torch.stack([one[key] for one in greeks]) for key in greeks[0]}
    marginal = model.marginal(holes)
    for number, one in enumerate(greeks):
        parts = torch.stack([model.marginal(data).pointwise(one) for data in at_level])
        expected = torch.where(torch.as_tensor(gone), torch.logsumexp(parts, 0), parts[0])
        torch.testing.assert_close(marginal.pointwise(one), expected, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(marginal.pointwise(together)[number], expected, rtol=1e-9, atol=1e-9)
    density = model.density(holes)
    at = 0.3 * np.random.default_rng(0).normal(size=density.size)
    np.testing.assert_allclose(
        density.evaluate(at)[1].likelihood, by_differences(density, at).likelihood, rtol=1e-5, atol=1e-5
    )
