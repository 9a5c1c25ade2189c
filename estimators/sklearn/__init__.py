"""The models as scikit-learn's estimators, for its pipelines and searches; needs the extra ``[sklearn]``.

`CausalMixtureDensity` is a density of the columns of X with a hidden class, `CausalMixtureClassifier` the same where
the class is seen in some rows or all. After `fit` both hold a `Fit`, ``fit_``, which answers what scikit-learn does not
ask.
"""

try:
    import sklearn as _installed  # noqa: F401
except ImportError:
    raise ImportError("estimators.sklearn needs scikit-learn: pip install 'exact-estimators[sklearn]'") from None

from estimators.sklearn.classifier import CausalMixtureClassifier
from estimators.sklearn.density import CausalMixtureDensity

__all__ = ["CausalMixtureClassifier", "CausalMixtureDensity"]
