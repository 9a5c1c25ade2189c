"""What both of scikit-learn's estimators do: X as columns with names, the model of these, one fit, and its answers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from estimators.algorithms import EM
from estimators.checks import check_seed
from estimators.data.data import Data
from estimators.fits.fit import Fit
from estimators.mechanisms import Gaussian, Mechanism
from estimators.mixture.model import CausalMixture
from estimators.optimise.arrays import Array

# The variable that a mechanism of whole rows has.
ROW = "X"


class Wrapper(BaseEstimator):  # type: ignore[misc]
    """A mixture of the columns of X; subclasses say how many classes it has, and what is seen of the class."""

    classes_: NDArray[Any]
    fit_: Fit
    mechanisms: Mapping[str, Mechanism] | Mechanism | None
    estimator: Any
    missing: str | None
    random_state: Any

    def predict_proba(self, X: Any) -> Array:
        """p(class | row) [N, K], averaged over the draws of the fit; columns are those of ``classes_``."""
        rows = self._rows(X)
        return self.fit_.responsibilities(rows).numpy()

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable class of each row [N]."""
        most_probable = self.predict_proba(X).argmax(1)
        return np.asarray(self.classes_[most_probable])

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing is not None
        return tags

    def _fit_rows(self, X: Any, K: int, sample_weight: Any, latent: Mapping[str, Any]) -> None:
        """Fit a mixture of K classes to the checked X; ``latent`` is the column of what is seen of the class."""
        model = CausalMixture(K, self._mechanisms())
        weights = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        data = Data({**self._named(X), **latent}, weights=weights, missing=self.missing)
        estimator = EM() if self.estimator is None else self.estimator
        self.fit_ = estimator.fit(model, data, seed=self._seed())

    def _rows(self, X: Any) -> Data:
        """New rows of the fitted columns."""
        check_is_fitted(self)
        return Data(self._named(self._checked(X, reset=False)), missing=self.missing)

    def _checked(self, X: Any, y: Any = "no_validation", *, reset: bool) -> Any:
        """X as scikit-learn checks it, with y where that is given."""
        finite = self.missing is None or "allow-nan"
        return validate_data(self, X, y, reset=reset, dtype=np.float64, ensure_all_finite=finite)

    def _named(self, X: Array) -> dict[str, Array]:
        """The rows as columns of the model."""
        return {ROW: X} if self._is_of_rows else dict(zip(self._names(), X.T, strict=True))

    def _names(self) -> list[str]:
        """What the features are called: ``x0``, ``x1``, ... where they have no names, as in scikit-learn."""
        return list(getattr(self, "feature_names_in_", [f"x{place}" for place in range(self.n_features_in_)]))

    @property
    def _is_of_rows(self) -> bool:
        """Whether one mechanism is of all columns together."""
        return not isinstance(self.mechanisms, Mapping | None)

    def _mechanisms(self) -> Any:
        if self.mechanisms is None:
            return {name: Gaussian() for name in self._names()}
        return {ROW: self.mechanisms} if self._is_of_rows else self.mechanisms

    def _seed(self) -> int:
        """An integer is the seed itself, so that the numbers are those of the estimator called directly."""
        is_generator = isinstance(self.random_state, np.random.RandomState)
        return int(self.random_state.randint(2**31)) if is_generator else check_seed(self.random_state)
