"""What both of scikit-learn's estimators do: X as columns with names, the model of these, one fit, and its answers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from estimators.algorithms import EM
from estimators.checks import check_seed, what_came
from estimators.data.columns import MARGINALIZE, in_rows
from estimators.data.data import Data
from estimators.data.levels import BOOLEANS, coded
from estimators.fits.fit import Fit
from estimators.mechanisms import Gaussian, Mechanism
from estimators.mixture.model import CausalMixture
from estimators.optimise.arrays import Array

Columns = Mapping[str, Any]

# The variable that a mechanism of whole rows has.
ROW = "X"


def in_numbers(X: Any) -> tuple[Any, dict[int, Any]]:
    """A data frame with the numbers of levels in place of their names, and its columns of names, by position."""
    if not hasattr(X, "isetitem"):
        return X, {}
    columns = {place: coded(str(label), X.iloc[:, place]) for place, label in enumerate(X.columns)}
    named = {place: numbers for place, (numbers, names) in columns.items() if names and names != BOOLEANS}
    X_in_numbers = X.copy(deep=False)
    for place, numbers in named.items():
        X_in_numbers.isetitem(place, np.ma.filled(numbers.astype(np.float64), np.nan))
    return X_in_numbers, {place: X.iloc[:, place] for place in named}


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

    def _fit_rows(self, columns: Columns, K: int, sample_weight: Any, latent: Columns) -> None:
        """Fit a mixture of K classes to checked columns; ``latent`` is the column of what is seen of the class."""
        estimator = EM() if self.estimator is None else self.estimator
        if isinstance(estimator, type) or not hasattr(estimator, "fit"):
            raise TypeError(f"estimator: expected an estimator such as EM() or NUTS(), got {what_came(estimator)}")
        model = CausalMixture(K, self._mechanisms())
        weights = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        data = Data({**columns, **latent}, weights=weights, missing=self.missing)
        self.fit_ = estimator.fit(model, data, seed=self._seed())

    def _rows(self, X: Any) -> Data:
        """New rows of the fitted columns."""
        check_is_fitted(self)
        return Data(self._checked(X, reset=False)[0], missing=self.missing)

    def _checked(self, X: Any, y: Any = "no_validation", *, reset: bool) -> tuple[Columns, Any]:
        """The rows as columns of the model, and y where that is given, as scikit-learn checks them."""
        numbers, named = in_numbers(X)
        checked = validate_data(self, numbers, y, reset=reset, dtype=np.float64, ensure_all_finite="allow-nan")
        rows, y = checked if isinstance(checked, tuple) else (checked, None)
        if self.missing is None and (gaps := np.isnan(rows)).any():
            raise ValueError(
                f"X: NaN, or no value, in {in_rows(gaps)}; {type(self).__name__}(missing={MARGINALIZE!r}) sums over "
                "what is not there; or drop these rows, or impute them first"
            )
        if not self._is_of_rows:
            names = self._names()
            columns = dict(zip(names, rows.T, strict=True))
            return {**columns, **{names[place]: column for place, column in named.items()}}, y
        if named:
            raise TypeError(
                f"X: expected numbers for one mechanism of all columns, got text in {len(named)} of them; give each "
                "column its own: mechanisms={...}"
            )
        return {ROW: rows}, y

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
