"""How each observed variable is caused: one family of conditional distributions per file."""

from estimators.mechanisms.base import Mechanism, Reference
from estimators.mechanisms.bernoulli import Bernoulli
from estimators.mechanisms.categorical import Categorical
from estimators.mechanisms.diagonal_gaussian import DiagonalGaussian
from estimators.mechanisms.full_gaussian import FullGaussian
from estimators.mechanisms.gaussian import Gaussian
from estimators.mechanisms.linear_gaussian import LinearGaussian
from estimators.mechanisms.poisson import Poisson

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
