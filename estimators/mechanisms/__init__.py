"""How each observed variable is caused: one family of conditional distributions per file."""

from estimators.mechanisms.base import Mechanism, Reference
from estimators.mechanisms.bernoulli import Bernoulli
from estimators.mechanisms.gaussian import Gaussian
from estimators.mechanisms.linear_gaussian import LinearGaussian

__all__ = ["Bernoulli", "Gaussian", "LinearGaussian", "Mechanism", "Reference"]
