"""Effective sizes of many quantities at once against ArviZ's of one."""

import numpy as np
import pytest
from scipy.signal import lfilter

from validation.statistics.chain_sizes import bulk_and_tail_sizes
from validation.statistics.dependence import arviz_ess


@pytest.mark.parametrize(("num_chains", "num_draws"), [(2, 400), (1, 1000), (4, 51), (3, 9), (1, 7), (1, 4)])
def test_as_arviz_has_them(num_chains, num_draws):
    rng = np.random.default_rng(num_draws)
    noise = rng.normal(size=(6, num_chains, num_draws))
    chains = [lfilter([1], [1, -r], each) for r, each in zip((0.0, 0.5, 0.9, 0.99, -0.5, -0.95), noise, strict=True)]
    stuck = np.arange(num_chains)[:, None] + np.zeros((num_chains, num_draws))  # each at a value of its own
    quantities = np.stack([*chains, stuck, np.zeros_like(stuck)])
    expected = [min(arviz_ess(one, method) for method in ("bulk", "tail")) for one in quantities]
    assert bulk_and_tail_sizes(quantities) == pytest.approx(expected, rel=1e-9)
    assert len(set(np.round(expected[:6], 6))) > 3 or num_draws < 10, "they are not all alike"


def test_of_what_is_not_a_number_there_is_no_size():
    chains = np.random.default_rng(0).normal(size=(2, 2, 50))
    alone = bulk_and_tail_sizes(chains[:1])
    chains[1, 0, 3] = np.nan
    sizes = bulk_and_tail_sizes(chains)
    assert sizes[0] == alone[0] and np.isnan(sizes[1])
