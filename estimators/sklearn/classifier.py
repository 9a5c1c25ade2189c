"""A mixture whose class is seen in some rows, or all, as scikit-learn's classifier."""

from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets

from estimators.data.data import LATENT, NOT_SEEN
from estimators.sklearn.wrapper import Wrapper


class CausalMixtureClassifier(ClassifierMixin, Wrapper):  # type: ignore[misc]
    """``p(Z = k | x)`` where y is the cause Z, seen in some rows: those of -1 are not, and are summed out exactly.

    The rows without a class inform the mechanisms and the weights as the others do, as in `sklearn.semi_supervised`,
    whose -1 this is; of labels that are text, -1 is an entry of an array of objects. Every class is seen in a row at
    least. Where all are, this is a discriminant analysis with these mechanisms. The parameters are those of
    `CausalMixtureDensity`, but for the number of classes, which y says.

    After `fit`: ``fit_``, ``classes_`` [K], ``n_features_in_``, and ``feature_names_in_`` of a data frame; the label k
    of ``fit_`` is ``classes_[k]``. Raises ValueError for rows that scikit-learn or the model cannot take, and where no
    row has a class.

    >>> X, y = [[0.0], [1.0], [9.0], [10.0], [12.0]], [2, -1, 7, 7, -1]
    >>> classifier = CausalMixtureClassifier(random_state=0).fit(X, y)
    >>> classifier.predict([[0.5], [11.0]]).tolist()
    [2, 7]
    """

    def __init__(
        self, *, mechanisms: Any = None, estimator: Any = None, missing: str | None = None, random_state: Any = None
    ) -> None:
        self.mechanisms = mechanisms
        self.estimator = estimator
        self.missing = missing
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Estimate the Greeks from rows [N, D] and their classes [N]; a row counts ``sample_weight`` [N] times."""
        columns, y = self._checked(X, y, reset=True)
        is_seen = y.astype(object) != NOT_SEEN
        if not is_seen.any():
            raise ValueError("y: no row has a class, all are -1; CausalMixtureDensity needs none")
        seen = np.array(y[is_seen].tolist())
        check_classification_targets(seen)
        self.classes_, numbers = np.unique(seen, return_inverse=True)
        latent = np.full(len(y), NOT_SEEN)
        latent[is_seen] = numbers
        self._fit_rows(columns, len(self.classes_), sample_weight, {LATENT: latent})
        return self
