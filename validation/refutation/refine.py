"""Refinement: fit, predict an experiment, test, and step to the next candidate model where it is refuted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from estimators import Data, EstimationError, Fit, own_modes
from estimators.contract import LATENT, Model
from validation.refutation.checks import as_experiment, check_reachable_level, check_seed
from validation.refutation.refute import Refutation, refute
from validation.study.contenders import Estimator

NUM_SIMULATIONS = 999
# Steps that are printed.
LINES = 25


@dataclass(frozen=True, eq=False)
class Step:
    """One candidate fitted to `num_rows` rows and, unless it is the last fit to all rows, tested on an experiment.

    ``number`` counts the candidates from 0, ``experiment`` the experiments. ``refutation`` is None for a fit that was
    not tested, for a model that has no such label as the experiment sets, and where the rows tell nothing of a class;
    ``note`` says which.
    """

    number: int
    model: Model
    fit: Fit
    num_rows: int
    experiment: int | None
    refutation: Refutation | None
    note: str

    @property
    def failed(self) -> bool:
        """Whether the model cannot account for the experiment."""
        return self.experiment is not None and (self.refutation is None or self.refutation.refuted)


@dataclass(frozen=True, eq=False, repr=False)
class History:
    """Every step of a refinement, in order; ``model`` and ``fit`` are those of the last.

    ``exhausted`` says that the last candidate was refuted too, so that no model in the list is to be believed.
    """

    steps: tuple[Step, ...]

    @property
    def model(self) -> Model:
        return self.steps[-1].model

    @property
    def fit(self) -> Fit:
        return self.steps[-1].fit

    @property
    def exhausted(self) -> bool:
        """Whether the candidates ran out."""
        return self.steps[-1].failed

    def table(self) -> pd.DataFrame:
        """One row per step: candidate, rows fitted, experiment, p-value, and what came of it."""
        return pd.DataFrame(
            [
                {
                    "candidate": step.number,
                    "num_rows": step.num_rows,
                    "experiment": step.experiment,
                    "p_value": None if step.refutation is None else step.refutation.p_value,
                    "refuted": step.failed if step.experiment is not None else None,
                    "outcome": step.note,
                }
                for step in self.steps
            ],
            index=pd.RangeIndex(len(self.steps), name="step"),
        ).astype({"experiment": "Int64", "p_value": "Float64", "refuted": "boolean"})

    def __str__(self) -> str:
        lines = [
            f"{number}. candidate {step.number}, {step.num_rows} rows: {step.note}"
            for number, step in enumerate(self.steps)
        ]
        whole = f"... the table() has all {len(lines)} steps; the last:"
        return "\n".join(lines if len(lines) <= LINES else [*lines[: LINES - 2], whole, lines[-1]])

    def __repr__(self) -> str:
        return f"History({len(self.steps)} step(s), the last: {self.steps[-1].note})"


@own_modes()
def refine(
    models: Sequence[Model],
    data: Any,
    experiments: Sequence[Any],
    estimator: Estimator,
    *,
    seed: int | None = None,
    level: float = 0.01,
) -> History:
    """Test the first model on one experiment after another; where one refutes it, step to the next model in the list.

    Each experiment is predicted from a fit to the rows *before* it (`refute`, labels by identity), and only then are
    its rows added, as rows that were set, and the model fitted again. A new candidate is likewise fitted to the rows
    before the experiment that refuted the last one, so that its test is of rows that it has not seen. Two things are
    not tested: a new candidate on earlier experiments, whose rows it is fitted to; and the choice itself – that a
    candidate is tried because of an experiment makes a false alarm in the same experiment likelier than `level`.

    A model without a label that the experiment sets cannot predict it, nor can one of which the rows leave a class
    without an estimate: that counts against it as a refutation does.
    Where the last candidate fails, the loop ends there and says so. Every test spends `level` anew.

    Raises TypeError or ValueError, naming the argument, for no model, no experiment, or what `refute` refuses.

    >>> one, two = (CausalMixture(K, {"X": Gaussian(scale=1.0)}) for K in (1, 2))
    >>> data = Data(X=[-0.4, 0.7, 0.1, 4.2, 5.3, 4.9, 0.2, 5.1])
    >>> rows = Data(X=[0.3, -1.1, 0.8, 5.2, 5.1, 4.4], Z=[0, 0, 0, 1, 1, 1], intervened={"Z": True})
    >>> refine([one, two], data, [rows], EM(), seed=0).model.K
    2
    """
    models, rows, tested = _checked(models, data, experiments, seed, level)
    seeds = iter(np.random.SeedSequence(seed).generate_state(2 * (len(models) + len(tested)) + 1, np.uint32).tolist())
    steps: list[Step] = []
    number = 0
    for i, experiment in enumerate(tested):
        while True:
            fit = estimator.fit(models[number], rows, seed=next(seeds))
            refutation, note = _tested(fit, experiment, i, level, next(seeds))
            step = Step(number, fit.model, fit, rows.num_rows, i, refutation, note)
            if step.failed and number + 1 == len(models):
                note += f". No candidate is left: none of the {len(models)} model(s) accounts for this experiment"
                return History((*steps, replace(step, note=note)))
            steps.append(step)
            if not step.failed:
                break
            number += 1
        rows = Data.concat([rows, experiment])
    fit = estimator.fit(models[number], rows, seed=next(seeds))
    note = f"fitted to all rows; stands after {len(tested)} experiment(s)"
    return History((*steps, Step(number, models[number], fit, rows.num_rows, None, None, note)))


def _tested(fit: Fit, experiment: Data, i: int, level: float, seed: int) -> tuple[Refutation | None, str]:
    """The refutation by experiment i, None where the fit lacks a class of it, and what came of it in words."""
    largest = int(experiment.latent().max())
    if largest >= fit.model.hidden.get(LATENT, np.inf):
        return None, f"cannot predict experiment {i}, which sets {LATENT}={largest}: the model has no such label"
    num_simulations = max(NUM_SIMULATIONS, int(np.ceil(1 / level)) - 1)
    try:
        refutation = refute(fit, experiment, seed=seed, num_simulations=num_simulations, level=level)
    except EstimationError as problem:  # a class without an estimate, of which nothing is predicted
        return None, f"cannot predict experiment {i}: {problem}"
    return refutation, f"experiment {i}: {refutation.sentence}"


def _checked(models: Any, data: Any, experiments: Any, seed: Any, level: Any) -> tuple[list[Model], Data, list[Data]]:
    if isinstance(models, Model) or not isinstance(models, Sequence):
        raise TypeError(f"models: expected a list of models, got {type(models).__name__}")
    others = [type(model).__name__ for model in models if not isinstance(model, Model)]
    if others:
        raise TypeError(f"models: expected CausalMixture or PyroModel, got {others[0]}")
    if not models:
        raise ValueError("models: expected at least one, got none")
    if isinstance(experiments, Data | Mapping) or not isinstance(experiments, Sequence):
        raise TypeError(f"experiments: expected a list of Data, got {type(experiments).__name__}")
    if not experiments:
        raise ValueError("experiments: expected at least one, got none; without one, fit the model alone")
    check_seed(seed)
    check_reachable_level(level, 10**9)
    tested = [as_experiment(experiment) for experiment in experiments]
    rows = data if isinstance(data, Data) else Data(data)
    try:
        Data.concat([rows, *tested])
    except ValueError as error:
        raise ValueError(f"experiments: {str(error).removeprefix('Data.concat: ')}") from None
    return list(models), rows, tested
