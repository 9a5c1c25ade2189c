"""How each observed variable is caused: one family of conditional distributions per file."""

from estimators.mechanisms.bernoulli import Bernoulli
from estimators.mechanisms.categorical import Categorical
from estimators.mechanisms.gaussian.diagonal import DiagonalGaussian
from estimators.mechanisms.gaussian.full import FullGaussian
from estimators.mechanisms.gaussian.linear import LinearGaussian
from estimators.mechanisms.gaussian.scalar import Gaussian
from estimators.mechanisms.poisson import Poisson
from estimators.mechanisms.protocol import Mechanism, Reference

__all__ = [
    "Bernoulli",
    "Categorical",
    "DiagonalGaussian",
    "FullGaussian",
    "Gaussian",
    "LinearGaussian",
    "Mechanism",
    "Poisson",
    "Reference",
]
