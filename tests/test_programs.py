"""Any Pyro program: enumeration against brute force, over a gallery of models."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from estimators import PyroModel
from estimators.data import Data
from tests.gallery import EXAMPLES, Example, brute_force

CASES = [pytest.param(example, False, id=name) for name, example in EXAMPLES.items()] + [
    pytest.param(example, True, id=f"{name}, partly seen") for name, example in EXAMPLES.items() if example.seen
]


def greeks_near(example: Example, data: Data, seed: int = 0) -> dict[str, Tensor]:
    """Greeks off the truth, in their support."""
    coordinates = PyroModel(example.fn).marginal(data).coordinates
    generator = torch.Generator().manual_seed(seed)
    point = coordinates.unconstrain(example.truth)
    return coordinates.constrain(point + 0.3 * torch.randn(len(point), dtype=torch.float64, generator=generator))


def gradients(value: Tensor, greeks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return dict(zip(greeks, torch.autograd.grad(value, list(greeks.values())), strict=True))


@pytest.mark.parametrize(("example", "partly_seen"), CASES)
def test_enumeration_is_the_sum_over_all_hidden_configurations(example: Example, partly_seen: bool) -> None:
    data = example.data(7, partly_seen=partly_seen)
    greeks = {name: value.requires_grad_() for name, value in greeks_near(example, data).items()}
    marginal = PyroModel(example.fn).marginal(data)
    rows, shares = brute_force(example, data, greeks)
    torch.testing.assert_close(marginal.pointwise(greeks), rows.detach(), rtol=1e-9, atol=1e-9)
    value = marginal.log_likelihood(greeks)
    torch.testing.assert_close(value, rows.sum(), rtol=1e-9, atol=1e-9)
    found, expected = gradients(value, greeks), gradients(rows.sum(), greeks)
    for name in greeks:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-9, atol=1e-9)
    for site, share in shares.items():
        torch.testing.assert_close(
            marginal.responsibilities(greeks, site).reshape(share.shape), share.detach(), rtol=1e-9, atol=1e-9
        )
