"""How each observed variable is caused: one family of conditional distributions per file."""

from estimators.mechanisms.base import Mechanism, Reference
from estimators.mechanisms.gaussian import Gaussian

__all__ = ["Gaussian", "Mechanism", "Reference"]
