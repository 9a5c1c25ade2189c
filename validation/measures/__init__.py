"""Pure functions from arrays to measures of recovery, interventional accuracy, exactness and information."""

from validation.measures.exactness import LEVELS, distribution_gap, sample_wasserstein
from validation.measures.information import cramer_rao, divergence_weights, fisher_information
from validation.measures.interventional import kl_divergence, support, wasserstein
from validation.measures.recovery import central_interval, columns, entries, sort_components

__all__ = [
    "LEVELS",
    "central_interval",
    "columns",
    "cramer_rao",
    "distribution_gap",
    "divergence_weights",
    "entries",
    "fisher_information",
    "kl_divergence",
    "sample_wasserstein",
    "sort_components",
    "support",
    "wasserstein",
]
