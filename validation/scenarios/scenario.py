"""What a scenario is: a frozen value with a model, a source of truth and data, and what is asked of the estimators."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from estimators import Fit
from estimators.contract import Model
from validation.measures.recovery import sort_components
from validation.scenarios.base import Allowed, Draw, Role, Source, Truth
from validation.scenarios.design import Design
from validation.scenarios.intervention import Intervention
from validation.scenarios.sources import FixedTruth

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FittedModel:
    """Gives the model of a fit, where a scenario's own would be built."""

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
    their number of rows. `replicates` overrides the preset's number. `exact` says that K^N is small enough for `Exact`
    to be run and to serve as the yardstick. `expected` holds, by estimator, entries of the Greeks that are known in
    closed form for fixed data. `allowed` says which answers fit the law of the rows, where the set of answers that each
    fit gives to the contrasts is measured, and None where it is not; labels are then not sorted.

    Raises ValueError for a name that is empty or has a space, fewer than one row, no intervention, or `allowed` where
    labels are sorted or the truth is not known.
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
    role: Role = Role.JUDGED
    exact: bool = False
    expected: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
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
        if self.allowed is not None and (self.sorts or self.source.truth is Truth.EXACT):
            raise ValueError(
                f"scenario {self.name}: allowed: expected a known truth, and sort_by=None where it is drawn from the "
                "prior: an answer is asked as the fit labels it"
            )

    @property
    def model(self) -> Model:
        """The model, built afresh."""
        return self.make_model()

    @property
    def sorts(self) -> bool:
        """Whether components of truth and draws are sorted: one fixed map, never an alignment to the truth."""
        return self.sort_by is not None and self.source.truth in (Truth.PRIOR, Truth.EXACT)

    def of(self, drawn: Draw) -> "Scenario":
        """Return the scenario of one replicate, which has that replicate's model."""
        return self if drawn.model is None else replace(self, make_model=FittedModel(drawn.model))

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
        return _like_fitted(fit, name=name, interventions=interventions)


def do_each(num_labels: int, outcome: str = "X") -> tuple[Intervention, ...]:
    """Return ``do(Z=0)``, …, ``do(Z=K-1)`` on one outcome."""
    return tuple(Intervention(outcome, {"Z": z}) for z in range(num_labels))


def _like_fitted(fit: Fit, *, name: str, interventions: tuple[Intervention, ...] | None) -> Scenario:
    if fit.data is None:
        raise ValueError(f"from_fit: expected a fit to data, got one of kind {fit.kind!r} without any")
    model, design = fit.model, Design.of(fit.data)
    if not (model.hidden or design.is_plain):
        raise ValueError(
            "from_fit: data sets like those of a Pyro program can be made only where nothing is set or seen"
        )
    greeks = {key: np.asarray(fit[key]).tolist() for key in fit.draws}
    hidden = tuple(model.hidden)
    if not hidden:
        hidden = tuple(site for site in model.simulate(1, greeks, seed=0) if site not in fit.data.columns)
    interventions = interventions if interventions is not None else _every_label(model)
    for intervention in interventions:
        fit.do(**intervention.do).mean(intervention.outcome)  # raises for a variable or value the model does not have
    return Scenario(
        name=name,
        sentence=(
            f"{design.num_rows} rows like those of the data, made with the estimate of a fit ({fit.kind}) as the "
            "truth: what each estimator finds in them says how far it can be trusted on such data."
        ),
        make_model=FittedModel(model),
        source=FixedTruth(greeks, design=design),
        num_rows=design.num_rows,
        interventions=interventions,
        sort_by=None,
        hidden=hidden,
    )


def _every_label(model: Model) -> tuple[Intervention, ...]:
    if not model.variables:
        raise ValueError(
            "from_fit: say what is asked of a Pyro program, e.g. interventions=(Intervention('Y', {'T': 1}),)"
        )
    names = [name for name, variable in model.variables.items() if variable.num_columns is None]
    return tuple(Intervention(name, {z: k}) for name in names for z, K in model.hidden.items() for k in range(K))
