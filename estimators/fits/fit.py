"""A fit: draws of the Greeks (one for a point estimate), how they were obtained, and what they answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pyro
import pyro.distributions as dist
import torch
from numpy.typing import NDArray
from torch import Tensor

from estimators.checks import check_level, check_seed
from estimators.contract import Model
from estimators.data.columns import check_same_rows, named_columns
from estimators.data.data import Data, as_data
from estimators.fits import arviz_bridge, storage
from estimators.fits.identifiability import Identifiability, identify
from estimators.fits.kind import Kind
from estimators.fits.label_doubt import labels_of
from estimators.fits.laplace import laplace_fit
from estimators.fits.relabel import relabelled
from estimators.fits.summary import summary_table
from estimators.isolation import own_modes
from estimators.queries.counterfactual import Counterfactual
from estimators.queries.estimate import Estimate, difference
from estimators.queries.labels import Labels
from estimators.queries.query import Query
from estimators.queries.row_labels import joined_indices
from estimators.status import EstimationError, Status, warn_user
from estimators.symmetry import Symmetry

MAX_ELEMENTS = 4_000_000


@dataclass(frozen=True, eq=False)
class Fit:
    """Greeks estimated by any estimator, and the same calls on all of them.

    ``draws`` maps a Greek to a tensor [S, *shape]; a point estimate is one draw. ``kind`` is "map", "ml", "posterior",
    "laplace", "exact" or "known". ``stats`` are numbers and words about the run (seed, label_certainty, ...), ``info``
    its traces (losses, gradient norms, sampler statistics) as tensors, ``data`` the rows that were fitted, and
    ``label_names`` the names of labels 0 to K - 1, where `relabel` gave them any.

    >>> truth = Fit.from_greeks(CausalMixture(1, {"X": Gaussian(scale=1.0)}), {"theta": [1.0], "mu_X": [3.0]})
    >>> float(truth.do(Z=0).mean("X").value)
    3.0
    """

    model: Model
    kind: Kind
    draws: Mapping[str, Tensor]
    num_chains: int
    status: Status
    stats: Mapping[str, Any]
    info: Mapping[str, Tensor] = field(default_factory=dict)
    data: Data | None = None
    label_names: tuple[str, ...] = ()

    @staticmethod
    @own_modes()
    def from_greeks(model: Model, greeks: Mapping[str, Any]) -> "Fit":
        """A one-draw fit at known Greeks, so that a truth answers the same queries; labels stay as given."""
        known = {name: value[None] for name, value in model.check_greeks(greeks).items()}
        return Fit(model, Kind.KNOWN, known, 1, Status.CONVERGED, {"labels": "as given"})

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", Kind(self.kind))
        for name in ("draws", "stats", "info"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def __reduce__(self) -> tuple[Any, ...]:
        state = dict(self.draws), self.num_chains, self.status, dict(self.stats), dict(self.info), self.data
        return Fit, (self.model, self.kind, *state, self.label_names)

    # ---------------------------------------------------------------- the Greeks

    def __getitem__(self, name: str) -> Tensor:
        """The estimate of a Greek: its posterior mean, or the point."""
        if name not in self.draws:
            raise KeyError(f"no Greek {name!r}; the fit has {list(self.draws)}")
        return self.draws[name].mean(0)

    @property
    def num_draws(self) -> int:
        """S, the number of draws."""
        return len(next(iter(self.draws.values())))

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={np.round(self[name].numpy(), 4).tolist()}" for name in self.draws)
        return f"Fit({self.kind}, {self.status.name}, {self.num_draws} draw(s): {values})"

    @own_modes()
    def summary(self, level: float = 0.9) -> pd.DataFrame:
        """A table, one row per Greek entry: mean; with draws also sd, lower, upper; with chains also ess, r_hat."""
        check_level(level)
        names = [entry for found in self._entries().values() for entry in found]
        return summary_table(names, self.draws, level, self.num_chains if self.kind.has_chains else None)

    # ---------------------------------------------------------------- queries

    @own_modes()
    def do(self, /, **settings: Any) -> Query:
        """p(· | do(...)): ``fit.do(Z=1).mean("X")``, ``.sample(100)``, ``.cdf``, ``.quantile``, ``.log_density``.

        Raises ValueError for an unknown variable or label.
        """
        return self._query(settings, {}, "do")

    @own_modes()
    def given(self, /, **seen: Any) -> Query:
        """p(· | seen ...), which is not p(· | do(...)): what is seen also informs about the hidden cause.

        For each draw of the Greeks; the draws themselves are not weighed again. Raises ValueError as `do` does.
        """
        return self._query({}, seen, "given")

    @own_modes()
    def contrast(
        self, name: str, *, do: Mapping[str, Any], versus: Mapping[str, Any], given: Mapping[str, Any] | None = None
    ) -> Estimate:
        """E[name | do(...)] - E[name | do(versus)], draw by draw.

        With ``given``, among those of a class or with a covariate: ``given={"Z": 1}``, seen after the intervention.
        ``error`` is that of both means, where they had to be simulated.
        """
        asked = {"do": do, "versus": versus, "given": given or {}}
        values = [(f"{part}[{name!r}]", value) for part in asked for name, value in dict(asked[part]).items()]
        check_same_rows(values, "contrast")
        # Seeds of their own, so that what is simulated for one is independent of the other.
        one, other = (
            self._query(asked[part], asked["given"], part, seed=seed).mean(name)
            for part, seed in (("do", 0), ("versus", 2))
        )
        return difference(one, other)

    @own_modes()
    def counterfactual(
        self,
        data: Any,
        *,
        do: Mapping[str, Any],
        assumptions: Mapping[str, Any] | None = None,
        seed: int | None = None,
    ) -> Counterfactual:
        """These rows as they would have been under ``do(...)``: ``fit.counterfactual(rows, do={"T": 1}).mean("Y")``.

        Raises ValueError for rows with missing entries, and for an unknown variable or value.
        """
        settings = dict(do)
        if not settings:
            raise ValueError("counterfactual do: expected at least one setting, e.g. do={'T': 1}")
        values = [(f"do[{name!r}]", value) for name, value in settings.items()]
        check_same_rows([*([] if isinstance(data, Data) else named_columns(data).items()), *values], "counterfactual")
        known = self.labels.numbered("counterfactual do", settings)
        self.labels.warn_of(known)
        worlds = self.model.structural(
            self.draws, as_data(data), do=known, assumptions=dict(assumptions or {}), seed=check_seed(seed)
        )
        return Counterfactual(worlds, self.num_chains)

    @own_modes()
    def responsibilities(self, data: Any, site: str | None = None) -> Tensor:
        """p(Z = k | row) as [N, K], averaged over draws; ``site`` says which, where a program has several hidden."""
        density = self.model.density(as_data(data))
        name = density.site(site)
        return self._averaged(lambda draws: density.responsibilities(draws, name).sum(0), density.row_size)

    @own_modes()
    def log_density(self, rows: Any) -> Tensor:
        """The log posterior predictive density of each row [N]: ``log mean_s p(row | φ_s)``."""
        density = self.model.density(as_data(rows))
        parts = [torch.logsumexp(density.pointwise(part), 0) for part in self.parts(density.data.num_rows)]
        return torch.logsumexp(torch.stack(parts), 0) - float(np.log(self.num_draws))

    @property
    def program(self) -> Callable[[int], dict[str, Tensor]]:
        """A Pyro program whose Greeks are one draw of the fit: ``pyro.do(fit.program, {"Z": torch.tensor(1)})(10)``."""
        run_rows, names = self.model.row_program(self.data)
        site = "draw"
        while site in names:
            site += "_"

        def posterior_program(num_rows: int) -> dict[str, Tensor]:
            shares = torch.ones(self.num_draws, dtype=torch.float64) / self.num_draws
            which = pyro.sample(site, dist.Categorical(shares))
            return run_rows({name: value[which] for name, value in self.draws.items()}, num_rows)

        return posterior_program

    # ---------------------------------------------------------------- other fits from this one

    @own_modes()
    def laplace(self, num_draws: int = 1000, seed: int | None = None) -> "Fit":
        """A fit with a spread, from a point fit: draws of the normal approximation at the mode.

        ``v ~ Normal(v̂, I(v̂)⁻¹)`` with I the observed information in unconstrained coordinates, mapped back. Raises
        EstimationError at a BOUNDARY, a COLLAPSED component, or where I is not positive definite.
        """
        return laplace_fit(self, num_draws, seed)

    @own_modes()
    def relabel(self, order: Sequence[int] | NDArray[np.intp] | Mapping[str, int]) -> "Fit":
        """The same fit with component k renamed to what ``order[k]`` was: ``fit.relabel([1, 0])`` swaps two labels.

        Numbers change everywhere: in the draws, in the Z column of the rows, and in priors that differ by component;
        names go with their components. A mapping gives every label a name: ``fit.relabel({"low": 0, "high": 1})``, and
        then ``fit.do(Z="high")``. Raises TypeError or ValueError for anything but a permutation of the labels.

        >>> truth = Fit.from_greeks(GaussianMixture(2), {"theta": [0.4, 0.6], "mu_X": [0.0, 9.0]})
        >>> list(truth.relabel({"low": 0, "high": 1}).relabel([1, 0]).summary().index)
        ['theta[high]', 'theta[low]', 'mu_X[high]', 'mu_X[low]']
        """
        return relabelled(self, order)

    @own_modes()
    def identifiability(self) -> Identifiability:
        """What the data tell about the Greeks, and which they leave open: ``print(fit.identifiability())``.

        At a point fit, or the mode that the best of the draws climbs to: the observed information of the likelihood
        against the prior's, or, for EM, against what one row would tell. Raises ValueError for a fit without data.
        """
        data = self.fitted_data("identifiability")
        return identify(
            self.model,
            data,
            self.draws,
            status=self.status,
            status_words=self.status_words,
            uses_prior=self.uses_prior,
            entries=self._entries(),
        )

    # ---------------------------------------------------------------- export

    @own_modes()
    def to_arviz(self) -> Any:
        """The fit as ArviZ's container, with posterior, sample_stats, observed_data and the pointwise log_likelihood.

        The log-likelihood of a row is that of the marginal, Z summed out, so `arviz.loo` and `arviz.compare` work. Rows
        with whole weights are repeated, as the weights say; where weights are not whole numbers there is no row to
        leave out, and no log_likelihood, as a warning says. Raises ValueError on a single draw, and for a Greek called
        "chain" or "draw".
        """
        return arviz_bridge.exported_fit(self)

    @own_modes()
    def save(self, path: str | Path) -> None:
        """Write the fit to one file of arrays and JSON (no pickle), whole or not at all."""
        storage.save(self, Path(path))

    @staticmethod
    @own_modes()
    def load(path: str | Path, model: Model | None = None) -> "Fit":
        """Read a fit; of a `PyroModel`, whose program is code and not in the file, with the model.

        Raises ValueError for a damaged file, another version's, or another model's.
        """
        return Fit(**storage.load(Path(path), model))

    # ---------------------------------------------------------------- inside

    def _query(self, settings: Mapping[str, Any], seen: Mapping[str, Any], call: str, seed: int = 0) -> Query:
        if not (seen if call == "given" else settings):
            raise ValueError(f"{call}: expected at least one setting, e.g. {call}(Z=1)")
        # Values by the names of labels lose their index where they become numbers.
        indices = joined_indices(call, {}, settings)
        known = self.labels.numbered(call, settings)
        self.labels.warn_of(known)
        predictive = self.model.predictive(self.draws, self.data, do=known, call=call, seed=seed)
        query = Query(predictive, self.num_chains, self.labels, indices)
        return query.given(**seen) if seen else query

    @property
    def uses_prior(self) -> bool:
        """Whether the estimate rests on the priors: not that of maximum likelihood, nor draws around it."""
        return Kind.ML not in (self.kind, self.stats.get("of"))

    def say_status(self, *, strict: bool) -> None:
        """Warn where the status is not CONVERGED, or, if strict, raise EstimationError."""
        if self.status is Status.CONVERGED:
            return
        if strict:
            raise EstimationError(self.status_words)
        warn_user(self.status_words)

    @property
    def status_words(self) -> str:
        """The status, and which Greeks are at an edge."""
        words = str(self.status)
        return f"{words.removesuffix('.')}: {self.stats['at_edge']}." if "at_edge" in self.stats else words

    @cached_property
    def symmetry(self) -> Symmetry:
        """Which labels are free, and the axes of the Greeks that they index."""
        return self.model.symmetry(self.data, {name: value[0] for name, value in self.draws.items()})

    @cached_property
    def labels(self) -> Labels:
        """The names of the labels, and whether a question may rely on them."""
        return labels_of(self)

    def _entries(self) -> dict[str, list[str]]:
        """The names of every Greek's entries: ``mu_X[1]``, or ``mu_X[high]`` where labels have names."""
        axes = self.symmetry.axes if self.label_names else {}

        def entry(name: str, place: tuple[int, ...]) -> str:
            named = axes.get(name, ())
            parts = [self.label_names[k] if axis in named else str(k) for axis, k in enumerate(place)]
            return f"{name}[{', '.join(parts)}]" if parts else name

        return {name: [entry(name, place) for place in np.ndindex(*v.shape[1:])] for name, v in self.draws.items()}

    def fitted_data(self, what: str) -> Data:
        """The rows that were fitted; raises ValueError, which says what needs them, where there are none."""
        if self.data is None:
            raise ValueError(f"{what}: this fit holds no data (kind {self.kind!r}); fit a model to data first")
        return self.data

    def parts(self, row_size: int) -> list[dict[str, Tensor]]:
        """The draws in parts, of which each makes no array of more than so many numbers for a draw."""
        step = max(MAX_ELEMENTS // max(row_size, 1), 1)
        starts = range(0, self.num_draws, step)
        return [{name: value[start : start + step] for name, value in self.draws.items()} for start in starts]

    def _averaged(self, total: Callable[[dict[str, Tensor]], Tensor], row_size: int) -> Tensor:
        return torch.stack([total(part) for part in self.parts(row_size)]).sum(0) / self.num_draws
