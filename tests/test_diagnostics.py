"""Diagnostics of many quantities at once against ArviZ's of one."""

import numpy as np
import pytest
import torch
from scipy.signal import lfilter

from estimators.diagnostics import bulk_and_tail_sizes, diagnostics, import_arviz, sizes_of_means


@pytest.mark.parametrize(("num_chains", "num_draws"), [(2, 400), (1, 1000), (4, 51), (3, 9), (1, 8), (1, 7), (1, 4)])
def test_as_arviz_has_them(num_chains, num_draws):
    arviz, rng = import_arviz(), np.random.default_rng(num_draws)
    noise = rng.normal(size=(6, num_chains, num_draws))
    chains = [lfilter([1], [1, -r], each) for r, each in zip((0.0, 0.5, 0.9, 0.99, -0.5, -0.95), noise, strict=True)]
    drifting = chains[0] + np.linspace(0, 3, num_draws)
    spreading = chains[0] * (1.0 + np.arange(num_chains)[:, None])  # of one centre: the distances from it disagree
    stuck = np.arange(num_chains)[:, None] + np.zeros((num_chains, num_draws))  # each at a value of its own
    quantities = np.stack([*chains, drifting, spreading, stuck, np.zeros_like(stuck)])

    def by_arviz(method, **options):
        return np.array([float(arviz.ess(one, method=method, **options)) for one in quantities])

    bulk, tail = bulk_and_tail_sizes(quantities)
    assert bulk == pytest.approx(by_arviz("bulk"), rel=1e-9)
    assert tail == pytest.approx(by_arviz("tail", prob=(0.05, 0.95)), rel=1e-9)
    assert sizes_of_means(quantities) == pytest.approx(by_arviz("mean"), rel=1e-9)
    assert len(set(np.round(bulk[:6], 6))) > 3 or num_draws < 10, "they are not all alike"

    moving = quantities[:8]
    own = diagnostics({"x": torch.from_numpy(moving.reshape(8, -1).T.copy())}, num_chains).r_hat
    # Of one chain, its halves are the chains; these are halved as any.
    half = num_draws // 2
    compared = moving if num_chains > 1 else moving[:, 0, num_draws - 2 * half :].reshape(8, 2, half)
    if half < 4 and num_chains == 1:
        assert not own
    else:
        assert own["x"] == pytest.approx([float(arviz.rhat(one, method="rank")) for one in compared], rel=1e-9)


def test_of_what_is_not_a_number_there_is_no_size():
    chains = np.random.default_rng(0).normal(size=(2, 2, 50))
    alone = bulk_and_tail_sizes(chains[:1])
    chains[1, 0, 3] = np.nan
    for size, own in zip(bulk_and_tail_sizes(chains), alone, strict=True):
        assert size[0] == own[0] and np.isnan(size[1])
