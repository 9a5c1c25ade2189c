"""What the chains of a fit say of themselves, as a status."""

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from estimators import arviz_export
from estimators.status import Status

R_HAT_LIMIT = 1.01
ESS_PER_CHAIN = 100


def chain_status(draws: Mapping[str, Tensor], num_chains: int, divergences: int) -> tuple[Status, dict[str, float]]:
    """Return the status of relabelled draws, and the smallest ESS (bulk or tail) and the largest R-hat behind it."""
    per_chain = len(next(iter(draws.values()))) // num_chains
    if per_chain < arviz_export.LEAST_DRAWS:
        return Status.LOW_ESS, {}
    r_hat, bulk, tail = arviz_export.diagnostics(draws, num_chains)
    largest = max((float(np.max(value)) for value in r_hat.values()), default=1.0)
    smallest = min(float(np.min(value)) for value in (*bulk.values(), *tail.values()))
    extra = {"min_ess": smallest, **({"max_r_hat": largest} if r_hat else {})}
    if largest > R_HAT_LIMIT:
        return Status.CHAINS_DISAGREE, extra
    if divergences:
        return Status.DIVERGENCES, extra
    if smallest < ESS_PER_CHAIN * num_chains:
        return Status.LOW_ESS, extra
    return Status.CONVERGED, extra
