"""What a scenario is: a frozen value with a model, a source of truth and data, and what is asked of the estimators."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from estimators import Data, Fit
from estimators.contract import Model
from validation.measures.recovery import sort_components
from validation.scenarios.base import Allowed, Draw, Moments, Role, Source
from validation.scenarios.design import Design, hidden_columns
from validation.scenarios.intervention import Intervention, said_of_numbers
from validation.scenarios.outcomes import predicted_mean
from validation.scenarios.posterior_truth import PosteriorTruth
from validation.scenarios.sources import FixedTruth

Array = NDArray[np.float64]


@dataclass(frozen=True)
class BuiltModel:
    """Gives a model that is there already, where a scenario's own would be built."""

    model: Model

    def __call__(self) -> Model:
        return self.model


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A situation in which estimators are compared.

    `make_model` builds the model, so that a scenario is a small value that can be sent to another process: a function
    of a module, not a lambda. `sentence` is for the reader of the report. `interventions` are what is asked; each
    outcome's first is what its others are contrasted with. `sort_by` names the Greek [K] by which the components of
    truths and of draws are put in order where truths come from the prior, None where labels are pinned; a fixed truth
    is given in that order. `hidden` are the columns that no estimator sees. `family` groups scenarios that differ in
    their number of rows. `replicates` overrides the preset's number. `exact` says that K^N is small enough for
    `Exact` to be run and to serve as the yardstick. `expected` holds, by estimator, entries of the Greeks that are
    known in closed form for fixed data, `reference` the moments of entries' posteriors by another program. `allowed`
    says which answers fit the law of the rows, where the set of answers that each fit gives to the contrasts is
    measured, and None where it is not.

    Raises ValueError for a name that is empty or has a space, fewer than one row, no intervention, or `allowed` where
    the truth is not known.
    """

    name: str
    sentence: str
    make_model: Callable[[], Model]
    source: Source
    num_rows: int
    interventions: tuple[Intervention, ...]
    sort_by: str | None = "mu_X"
    hidden: tuple[str, ...] = ("Z",)
    family: str = ""
    replicates: int | None = None
    role: Role = Role.REGULAR
    exact: bool = False
    expected: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    reference: Mapping[str, Moments] = field(default_factory=dict)
    allowed: Allowed | None = None

    def __post_init__(self) -> None:
        if not self.name or any(letter.isspace() for letter in self.name):
            raise ValueError(f"name: expected a word, as it is typed on the command line, got {self.name!r}")
        if self.num_rows < 1:
            raise ValueError(f"scenario {self.name}: num_rows: expected at least 1, got {self.num_rows}")
        if self.replicates is not None and self.replicates < 1:
            raise ValueError(f"scenario {self.name}: replicates: expected at least 1, got {self.replicates}")
        if not self.interventions:
            raise ValueError(f"scenario {self.name}: interventions: expected at least one, e.g. do_each(2)")
        if self.allowed is not None and self.source.truth.is_posterior:
            raise ValueError(f"scenario {self.name}: allowed: expected a known truth")

    @property
    def model(self) -> Model:
        """The model, built afresh."""
        return self.make_model()

    @property
    def sorts(self) -> bool:
        """Whether components of truth and draws are sorted: one fixed map, never an alignment to the truth."""
        return self.sort_by is not None and (self.source.truth.is_calibrating or self.source.truth.is_posterior)

    @property
    def is_regular(self) -> bool:
        """Whether errors at its fixed truth are near those of an efficient estimator."""
        return self.role is Role.REGULAR and (self.allowed is None or self.allowed.is_regular)

    def of(self, drawn: Draw) -> "Scenario":
        """Return the scenario of one replicate, with that replicate's model if it has one of its own."""
        return self if drawn.model is None else self.with_model(drawn.model)

    def with_model(self, model: Model) -> "Scenario":
        """Return the scenario with a model that is built once for all who ask for it."""
        return replace(self, make_model=BuiltModel(model))

    def arranged(self, draws: Mapping[str, Array]) -> dict[str, Array]:
        """Return draws [S, ...], where the scenario sorts, with the components of each in the order of `sort_by`."""
        if not self.sorts:
            return dict(draws)
        axes = {name: axes[0] for name, axes in self.model.component_axes.items()}
        return sort_components(draws, by=str(self.sort_by), axes=axes or None)

    @staticmethod
    def from_fit(fit: Fit, *, name: str = "mine", interventions: tuple[Intervention, ...] | None = None) -> "Scenario":
        """Return the scenario of data sets like the fitted one, with the fit's estimate as the truth.

        The parametric bootstrap: as many rows, the same set, seen and missing entries. Interventions default to
        ``do(Z=k)`` for each label, on every observed variable of one column. Raises ValueError for a fit without data
        or interventions that the model cannot answer.
        """
        rows = _rows_like("from_fit", fit)
        greeks, design = {key: np.asarray(fit[key]).tolist() for key in fit.draws}, rows.design
        return Scenario(
            name=name,
            sentence=(
                f"{design.num_rows} rows like those of the data, made with the estimate of a fit ({fit.kind}) as the "
                "truth: what each estimator finds in them says how far it can be trusted on such data. "
                f"{said_of_numbers(rows.data.levels)}"
            ).rstrip(),
            make_model=BuiltModel(fit.model),
            source=FixedTruth(greeks, design=design),
            num_rows=design.num_rows,
            interventions=_asked("from_fit", fit, interventions),
            sort_by=None,
            hidden=rows.hidden,
        )

    @staticmethod
    def around_posterior(
        fit: Fit, *, name: str = "mine_posterior", interventions: tuple[Intervention, ...] | None = None
    ) -> "Scenario":
        """Return the scenario in which posteriors must be calibrated around the fitted rows: posterior SBC.

        In each replicate a draw of the fit is the truth, rows like the fitted ones are made from it and added to these,
        and the draws given both of an estimator that draws from the posterior are held against it: its rank among them
        is uniform. Free labels of truth and draws are sorted alike. Interventions default as in `from_fit`. Raises
        ValueError for a fit that has no data or one draw, and where labels are free and no Greek has one number for
        each. Source: Säilynoja, Schmitt, Bürkner & Vehtari (2025), Posterior SBC.
        """
        rows = _rows_like("around_posterior", fit)
        if fit.num_draws < 2:
            raise ValueError(
                f"around_posterior: expected a fit with draws of the posterior, got kind {fit.kind!r} with one; "
                "use NUTS()"
            )
        num_rows = rows.design.num_rows
        return Scenario(
            name=name,
            sentence=(
                f"{num_rows} rows like those of the data, made with a draw of the posterior given the data "
                f"({fit.kind}) as the truth and added to them, so {2 * num_rows} in all: around these data posterior "
                f"intervals must cover at their nominal rate. {said_of_numbers(rows.data.levels)}"
            ).rstrip(),
            make_model=BuiltModel(fit.model),
            source=PosteriorTruth(
                rows.data, rows.design, {name: np.asarray(value) for name, value in fit.draws.items()}
            ),
            num_rows=2 * num_rows,
            interventions=_asked("around_posterior", fit, interventions),
            sort_by=_told_apart_by(fit),
            hidden=rows.hidden,
        )


def do_each(num_labels: int, outcome: str = "X") -> tuple[Intervention, ...]:
    """Return ``do(Z=0)``, …, ``do(Z=K-1)`` on one outcome."""
    return tuple(Intervention(outcome, {"Z": z}) for z in range(num_labels))


class _Rows(NamedTuple):
    """The rows of a fit, their design, and the columns that no estimator sees."""

    data: Data
    design: Design
    hidden: tuple[str, ...]


def _rows_like(call: str, fit: Fit) -> _Rows:
    """What it takes to make rows like the fitted ones, or an error that says why they cannot be made."""
    if fit.data is None:
        raise ValueError(f"{call}: expected a fit to data, got one of kind {fit.kind!r} without any")
    model, design = fit.model, Design.of(fit.data)
    if not (model.hidden or design.is_plain):
        raise ValueError(
            f"{call}: data sets like those of a Pyro program can be made only where nothing is set or seen"
        )
    return _Rows(fit.data, design, hidden_columns(fit, {key: fit[key] for key in fit.draws}))


def _asked(call: str, fit: Fit, interventions: tuple[Intervention, ...] | None) -> tuple[Intervention, ...]:
    interventions = interventions if interventions is not None else _every_label(call, fit.model)
    # One draw is enough to ask whether the model has the variables and values, and does not warn of unsure labels.
    one = replace(Fit.from_greeks(fit.model, {key: value[0] for key, value in fit.draws.items()}), data=fit.data)
    for intervention in interventions:
        predicted_mean(one, intervention.do, intervention.outcome)
    levels = {} if fit.data is None else dict(fit.data.levels)
    return tuple(replace(intervention, levels=levels) for intervention in interventions)


def _told_apart_by(fit: Fit) -> str | None:
    """The Greek [K] by which free labels are sorted, one of the mechanisms rather than a weight; None if pinned."""
    if not fit.symmetry.is_nontrivial:
        return None
    axes = fit.model.component_axes
    by_label = [name for name, value in fit.draws.items() if list(axes.get(name, ())) == [0] and value.ndim == 2]
    if len(fit.symmetry.groups) > 1 or not by_label:
        raise ValueError(
            "around_posterior: some labels are free, and no Greek with one number for each puts all of them in order; "
            "give rows in which Z is seen"
        )
    return next((name for name in by_label if name != "theta"), by_label[0])


def _every_label(call: str, model: Model) -> tuple[Intervention, ...]:
    if not model.variables:
        raise ValueError(
            f"{call}: say what is asked of a Pyro program, e.g. interventions=(Intervention('Y', {{'T': 1}}),)"
        )
    names = [name for name, one in model.variables.items() if one.num_columns is None and one.has_law]
    return tuple(Intervention(name, {z: k}) for name in names for z, K in model.hidden.items() for k in range(K))
