"""A mixture as scikit-learn's density estimator."""

from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import DensityMixin
from sklearn.utils.validation import check_is_fitted

from estimators.data.data import LATENT
from estimators.isolation import isolated
from estimators.optimise.arrays import Array
from estimators.sklearn.wrapper import ROW, Wrapper


class CausalMixtureDensity(DensityMixin, Wrapper):  # type: ignore[misc]
    """``p(x) = Σ_k θ_k Π_j p(x_j | Z = k, parents_j)`` of the columns of X, Z hidden, by any of our estimators.

    ``n_components`` is K, under the name that it has in `sklearn.mixture`, so that a search over it reads as there.
    ``mechanisms`` are as those of `CausalMixture`, by the names of a data frame's columns, or ``x0``, ``x1``, ...; None
    is a `Gaussian` each; one mechanism of vectors, such as ``FullGaussian(4)``, is of all columns together (the
    variable ``X`` of ``fit_``). ``estimator`` is ``EM()`` where None, ``MAP()``, ``NUTS()``, ...; priors are in the
    units of X, so with one that has them scale first (`StandardScaler`) or give priors. With ``missing="marginalize"``
    NaN are integrated out. ``random_state`` is the seed of the fit, and of `sample`.

    After `fit`: ``fit_`` (the `Fit`: ``fit_.do(Z=1).mean("x0")``, ``fit_.status``, ...), ``classes_`` [K] 0 to K - 1,
    ``n_features_in_``, and ``feature_names_in_`` of a data frame. Its columns of text are levels with names, as in
    `Data`, for mechanisms that have levels; `sample` gives their numbers. Raises ValueError or TypeError for rows that
    scikit-learn or the model cannot take.

    >>> X = [[0.0], [1.0], [10.0], [11.0], [12.0]]
    >>> density = CausalMixtureDensity(mechanisms={"x0": Gaussian(shared=["scale"])}, random_state=0).fit(X)
    >>> density.predict(X).tolist()
    [0, 0, 1, 1, 1]
    """

    def __init__(
        self,
        n_components: int = 2,
        *,
        mechanisms: Any = None,
        estimator: Any = None,
        missing: str | None = None,
        random_state: Any = None,
    ) -> None:
        self.n_components = n_components
        self.mechanisms = mechanisms
        self.estimator = estimator
        self.missing = missing
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Estimate the Greeks from rows [N, D], a row counted ``sample_weight`` [N] times; y is not looked at."""
        self._fit_rows(self._checked(X, reset=True)[0], self.n_components, sample_weight, {})
        self.classes_ = np.arange(self.n_components)
        return self

    def score_samples(self, X: Any) -> Array:
        """The log density of each row [N], averaged over the draws on the density scale, Z summed out."""
        rows = self._rows(X)
        return self.fit_.log_density(rows).numpy()

    def score(self, X: Any, y: Any = None) -> float:
        """The mean log density of the rows, the larger the better."""
        return float(self.score_samples(X).mean())

    def sample(self, n_samples: int = 1) -> tuple[Array, NDArray[np.intp]]:
        """New rows [N, D] and their classes [N], each row at a draw of the fit's own."""
        check_is_fitted(self)
        run_rows, _ = self.fit_.model.row_program(None)
        with isolated(self._seed()):
            draws = torch.randint(self.fit_.num_draws, (n_samples,))
            rows = run_rows({name: value[draws] for name, value in self.fit_.draws.items()}, n_samples)
        columns = [rows[ROW]] if self._is_of_rows else [rows[name][:, None] for name in self._names()]
        return torch.cat(columns, 1).double().numpy(), rows[LATENT].numpy()
