"""A fit: draws of the Greeks (one for a point estimate), how they were obtained, and what they answer."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from estimators.checks import check_level, did_you_mean
from estimators.contract import Model
from estimators.data.data import Data
from estimators.fits import arviz_bridge, questions, storage
from estimators.fits import rows as rows_of
from estimators.fits.advice import sentences
from estimators.fits.effects import Effect, Names, Seen
from estimators.fits.identifiability import Identifiability, identify
from estimators.fits.kind import Kind
from estimators.fits.label_doubt import labels_of
from estimators.fits.laplace import laplace_fit
from estimators.fits.level_names import names_along_axes
from estimators.fits.modes import modes_of
from estimators.fits.notebook import html_of
from estimators.fits.page import line_of, page_of
from estimators.fits.pictures import plots_of
from estimators.fits.quantities import Question
from estimators.fits.relabel import relabelled, symmetry_of
from estimators.fits.summary import summary_of
from estimators.isolation import own_modes
from estimators.modes.table import Modes
from estimators.queries.counterfactual import Counterfactual
from estimators.queries.estimate import Estimate
from estimators.queries.outcome import Outcome
from estimators.queries.query import Query
from estimators.queries.scales import DIFFERENCE, Scale
from estimators.status import Status

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Fit:
    """Greeks estimated by any estimator, and the same calls on all of them.

    ``draws`` maps a Greek to a tensor ``[S, *shape]``; a point estimate is one draw. ``kind`` is "map", "ml",
    "posterior", "laplace", "exact" or "known". ``stats`` are numbers and words about the run (seed, label_certainty,
    ...), ``info`` its traces as tensors, ``data`` the rows, ``label_names`` the names of labels 0 to K - 1, where
    `relabel` gave any. ``uses_prior`` is False where the estimate does not rest on the priors. ``status`` is the first
    of the ``findings`` (every status that holds, and what it is about), ``remarks`` what its data and priors let one
    say, ``advice`` all of these as sentences, and ``found`` the modes of a search.

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
    uses_prior: bool = None  # type: ignore[assignment]  # what the kind says, unless it is given
    findings: Mapping[Status, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    found: Modes | None = None

    @staticmethod
    @own_modes()
    def from_greeks(model: Model, greeks: Mapping[str, Any]) -> "Fit":
        """A one-draw fit at known Greeks, so that a truth answers the same queries; labels stay as given."""
        known = {name: value[None] for name, value in model.check_greeks(greeks).items()}
        return Fit(model, Kind.KNOWN, known, 1, Status.CONVERGED, {"labels": "as given"})

    def __post_init__(self) -> None:
        for name, value in _settled(self).items():
            object.__setattr__(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        values = [getattr(self, field.name) for field in fields(self)]
        return Fit, tuple(dict(value) if isinstance(value, MappingProxyType) else value for value in values)

    def __getitem__(self, name: str) -> Tensor:
        """The estimate of a Greek: its posterior mean, or the point."""
        if name not in self.draws:
            raise KeyError(f"no Greek {name!r}; the fit has {list(self.draws)}{did_you_mean(name, self.draws)}")
        return self.draws[name].mean(0)

    @property
    def num_draws(self) -> int:
        """S, the number of draws."""
        return len(next(iter(self.draws.values())))

    __repr__ = line_of
    __str__ = page_of

    @own_modes()
    def summary(self, level: float = 0.9) -> "pd.DataFrame":
        """A table, one row per Greek entry: mean; of draws, over all modes, sd, lower, upper; of chains ess, r_hat."""
        check_level(level)
        return summary_of(self, level)

    @own_modes()
    def do(self, /, **settings: Any) -> Query:
        """p(· | do(...)): ``fit.do(Z=1).mean("X")``, ``.probability``, ``.cdf``, ``.quantile``, ``.sample(100)``.

        By names: ``do(T="treated")``, ``do(T={"treated": 0.3, "control": 0.7})``. ValueError for an unknown name.
        """
        return questions.under(self, settings)

    @own_modes()
    def given(self, /, **seen: Any) -> Query:
        """p(· | seen ...), not p(· | do(...)): it tells of Z too, as ``unit=rows``; draws are not weighed again."""
        return questions.seeing(self, seen)

    @own_modes()
    def contrast(
        self, name: str, *, do: Mapping[str, Any], versus: Mapping[str, Any], given: Seen = None, event: Any = None
    ) -> Estimate:
        """E[name | do(...)] - E[name | do(versus)], draw by draw; ``error`` is that of both means, where simulated.

        With ``given``, among those of a class or with a covariate: ``given={"Z": 1}``, seen after the intervention. Of
        an ``event``, a level or a count of ``name``, the difference of its probabilities.
        """
        return questions.contrast(self, Outcome(name, event), do, versus, given)

    @own_modes()
    def effect(
        self,
        name: str,
        *,
        of: str,
        levels: Any = (),
        within: Names = (),
        given: Seen = None,
        scale: Scale = DIFFERENCE,
        event: Any = None,
    ) -> Estimate:
        """What ``do(of=levels[1])`` does to the mean of a variable, against ``do(of=levels[0])``, draw by draw.

        Of two levels both are meant, the second (of text: in sorted order) against the first; more than two are named,
        ``levels=("a", "c")``. Of everyone, or of those ``given={"W": 2}``; on the treated, the effect of T
        ``given={"T": 1}``, as it was before it is set. ``within=["W"]`` is a table by level. As a `Difference`, `Ratio`
        or `OddsRatio`; of an ``event``, a level or a count of ``name``, of its probability. ValueError where what is
        given depends on ``of``; on the treated, where it has not two levels.
        """
        return Effect(self, Outcome(name, event), of, levels, scale).estimate(within, given)

    @own_modes()
    def counterfactual(
        self, data: Any, *, do: Mapping[str, Any], assumptions: Mapping[str, Any] | None = None, seed: int | None = None
    ) -> Counterfactual:
        """These rows as they would have been under ``do(...)``: ``fit.counterfactual(rows, do={"T": 1}).mean("Y")``.

        Of rows of a unit, all tell its Z. ValueError for rows with missing entries, an unknown variable or value.
        """
        return questions.counterfactual(self, data, do, assumptions, seed)

    @own_modes()
    def responsibilities(self, data: Any, site: str | None = None) -> Tensor:
        """p(Z = k | row), or unit (`Data.unit_labels`), as [N, K], averaged over draws; ``site`` of several hidden."""
        return rows_of.responsibilities(self, data, site)

    @own_modes()
    def log_density(self, rows: Any) -> Tensor:
        """The log posterior predictive density of each row [N], or unit [U]: ``log mean_s p(row | φ_s)``."""
        return rows_of.log_density(self, rows)

    @property
    def program(self) -> Callable[[int], dict[str, Tensor]]:
        """A Pyro program whose Greeks are one draw of the fit: ``pyro.do(fit.program, {"Z": torch.tensor(1)})(10)``."""
        return rows_of.program(self)

    @own_modes()
    def laplace(self, num_draws: int = 1000, seed: int | None = None) -> "Fit":
        """Draws of the density around the mode of a point fit, by importance resampling from ``v ~ t₅(v̂, I(v̂)⁻¹)``.

        I is the observed information in unconstrained coordinates; the target is the posterior, or (EM) the likelihood,
        as a density of v. Warns where the Pareto k̂ of the weights, a stat, is above 0.7. Raises EstimationError at a
        BOUNDARY, a COLLAPSED component, or where I is not positive definite.
        """
        return laplace_fit(self, num_draws, seed)

    @own_modes()
    def relabel(self, order: Sequence[int] | NDArray[np.intp] | Mapping[str, int]) -> "Fit":
        """The same fit with component k renamed to what ``order[k]`` was: ``fit.relabel([1, 0])`` swaps two labels.

        In the draws, the Z column and priors that differ by component; names go along. A mapping names the labels:
        ``relabel({"low": 0, "high": 1})``, then ``do(Z="high")``. TypeError or ValueError for what is no permutation.

        >>> truth = Fit.from_greeks(GaussianMixture(2), {"theta": [0.4, 0.6], "mu_X": [0.0, 9.0]})
        >>> list(truth.relabel({"low": 0, "high": 1}).relabel([1, 0]).summary().index)
        ['theta[high]', 'theta[low]', 'mu_X[high]', 'mu_X[low]']
        """
        return relabelled(self, order)

    @own_modes()
    def identifiability(self, query: Question | Mapping[str, Question] | None = None) -> Identifiability:
        """What the data tell about the Greeks near this fit, and whether other Greeks give the rows the same law.

        Near it: the likelihood's information against the prior's, or, for EM, one row's. Elsewhere, once it is printed
        or asked for (``.globally``): a search, as by `estimators.identifiability`. ValueError for a fit without data.
        """
        return identify(self, query)

    @own_modes()
    def to_arviz(self, groups: Collection[str] | None = None, *, seed: int | None = None) -> Any:
        """The fit as ArviZ's container: all of its groups, or those asked for. ``seed`` is of the rows that are drawn.

        Of a row all of it is left out, Z summed out; of units a unit. Rows with whole weights are repeated. What a fit
        does not give is left out, with a warning where it is for want of room. Raises ValueError on a single draw, for
        a Greek called "chain" or "draw", and for an unknown group: `estimators.fits.arviz_bridge` says what they hold.
        """
        return arviz_bridge.exported_fit(self, groups, seed)

    @own_modes()
    def save(self, path: str | Path) -> None:
        """Write the fit to one file of arrays and JSON (no pickle), whole or not at all."""
        storage.save(self, Path(path))

    @staticmethod
    @own_modes()
    def load(path: str | Path, model: Model | None = None) -> "Fit":
        """Read a fit (of a program with its model); ValueError for a damaged file, another version's or model's."""
        return Fit(**storage.load(Path(path), model))

    @property
    def advice(self) -> tuple[str, ...]:
        """Sentences: of the status, of all else that holds of the fit, and of its data and priors."""
        return sentences(self.findings, self.remarks, names_along_axes(self))

    symmetry = cached_property(symmetry_of)
    labels = cached_property(labels_of)
    modes = cached_property(modes_of)
    plot = cached_property(plots_of)
    _repr_html_ = html_of


def _settled(fit: Fit) -> dict[str, Any]:
    """The fields that are kept otherwise than they were given: unchangeable, and with the status among the findings."""
    kind, others = Kind(fit.kind), {s: about for s, about in fit.findings.items() if s is not Status.CONVERGED}
    mappings: dict[str, Mapping[Any, Any]]
    mappings = {"draws": fit.draws, "stats": fit.stats, "info": fit.info, "findings": {fit.status: "", **others}}
    settled: dict[str, Any] = {name: MappingProxyType(dict(value)) for name, value in mappings.items()}
    return {**settled, "kind": kind, "uses_prior": kind.uses_prior if fit.uses_prior is None else fit.uses_prior}
