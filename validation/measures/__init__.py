"""Pure functions from arrays to measures of recovery, interventional accuracy, exactness and information."""

from validation.measures.calibration import rank_among
from validation.measures.exactness import LEVELS, distribution_gap, sample_wasserstein
from validation.measures.information import covariance_of_scores, cramer_rao, divergence_weights
from validation.measures.interventional import (
    discrete_divergence,
    discrete_wasserstein,
    kl_divergence,
    knots,
    quadrature,
    support,
    wasserstein,
)
from validation.measures.recovery import central_interval, columns, entries, entry_name, sort_components

__all__ = [
    "LEVELS",
    "central_interval",
    "columns",
    "covariance_of_scores",
    "cramer_rao",
    "discrete_divergence",
    "discrete_wasserstein",
    "distribution_gap",
    "divergence_weights",
    "entries",
    "entry_name",
    "kl_divergence",
    "knots",
    "quadrature",
    "rank_among",
    "sample_wasserstein",
    "sort_components",
    "support",
    "wasserstein",
]
