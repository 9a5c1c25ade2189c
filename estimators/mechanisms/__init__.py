"""How each observed variable is caused: one family of conditional distributions per file.

Every one takes ``shared`` and ``caused_by_latent``, what is the same in all classes: see `Sharing` in ``sharing.py``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from estimators.mechanisms.bernoulli import Bernoulli
from estimators.mechanisms.categorical import Categorical
from estimators.mechanisms.covariate import Covariate
from estimators.mechanisms.gate import Gate
from estimators.mechanisms.gaussian.diagonal import DiagonalGaussian
from estimators.mechanisms.gaussian.full import FullGaussian
from estimators.mechanisms.gaussian.linear import LinearGaussian
from estimators.mechanisms.gaussian.scalar import Gaussian
from estimators.mechanisms.gaussian.spherical import SphericalGaussian
from estimators.mechanisms.log_normal import LogNormal
from estimators.mechanisms.poisson import Poisson
from estimators.mechanisms.protocol import Mechanism, Reference

if TYPE_CHECKING:
    from estimators.mechanisms.logistic import Logistic
    from estimators.mechanisms.multinomial_logit import MultinomialLogit
    from estimators.mechanisms.negative_binomial import NegativeBinomial
    from estimators.mechanisms.ordered_logistic import OrderedLogistic
    from estimators.mechanisms.poisson_regression import PoissonRegression
    from estimators.mechanisms.student_t import StudentT

# Families that have compiled functions of their own are imported when they are asked for, by the name of their file.
_COMPILED = {
    "Logistic": "logistic",
    "MultinomialLogit": "multinomial_logit",
    "NegativeBinomial": "negative_binomial",
    "OrderedLogistic": "ordered_logistic",
    "PoissonRegression": "poisson_regression",
    "StudentT": "student_t",
}

__all__ = [
    "Bernoulli",
    "Categorical",
    "Covariate",
    "DiagonalGaussian",
    "FullGaussian",
    "Gate",
    "Gaussian",
    "LinearGaussian",
    "LogNormal",
    "Logistic",
    "Mechanism",
    "MultinomialLogit",
    "NegativeBinomial",
    "OrderedLogistic",
    "Poisson",
    "PoissonRegression",
    "Reference",
    "SphericalGaussian",
    "StudentT",
]


def __getattr__(name: str) -> Any:
    if name not in _COMPILED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_COMPILED[name]}"), name)


def __dir__() -> list[str]:
    return __all__
