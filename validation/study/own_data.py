"""A study of one's own data: fit every estimator, take a fit as the truth, and study data sets like the real one.

Beside it, estimators that draw from the posterior are tried around the real rows: truths are draws given these rows.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pyro.distributions import HalfNormal, Normal

from estimators import NUTS, CausalMixture, Data, Fit, Status
from estimators.contract import LATENT, Model
from estimators.mechanisms import Gaussian
from validation.scenarios import FixedTruth, PosteriorTruth, Scenario
from validation.scenarios.intervention import said_of_numbers
from validation.scenarios.quantities import is_query
from validation.study.assertions import Claim
from validation.study.attempt import Attempt, attempt
from validation.study.contenders import Contender, standard_contenders
from validation.study.measure import summarised
from validation.study.own_modules import load
from validation.study.plan import Plan, with_budget
from validation.study.row import ERROR
from validation.study.task import with_laplace

GAUSSIAN_MIXTURE = "gaussian_mixture"
PREFERRED = ("EM", "MAP", "NUTS")
# Draws that are truths are to err less than hundreds of replicates can see.
TRUTHS = NUTS(num_samples=1500, warmup_steps=1000, num_chains=2, target_accept_prob=0.95, progress_bar=False)
# What keeps draws from being a sample of the posterior.
UNUSABLE_DRAWS = (Status.CHAINS_DISAGREE, Status.DIVERGENCES, Status.LOW_ESS)
LARGEST = 1e100  # that a column of `Data` may hold


class DataError(ValueError):
    """A file or a column that cannot be used; the message says why."""


@dataclass(frozen=True)
class Arguments:
    """What the command line says of the data and the model.

    `scale` None: unknown, one for each component. Rows that have the same entry of the column `unit` share one Z.
    """

    file: str
    columns: tuple[str, ...]
    model: str
    K: int
    scale: float | None = None
    concentration: float = 1.0
    truth: str | None = None
    unit: str | None = None


def read(arguments: Arguments) -> dict[str, list[Any]]:
    """Return the columns of a CSV or Parquet file, numbers, and for a model of one's own also text that names levels.

    The column that names units, whatever it holds, comes last. Raises DataError that says what is wrong with the file.
    """
    path = Path(arguments.file)
    suffix = path.suffix.lower()
    readers = {".csv": pd.read_csv, ".parquet": pd.read_parquet, ".pq": pd.read_parquet}
    if suffix not in readers:
        raise DataError(f"{path}: expected a file that ends in .csv or .parquet")
    if not os.path.isfile(path):
        raise DataError(f"{path}: there is no such file")
    try:
        frame = readers[suffix](path)
        # Of two columns of one name pandas calls the second X.1.
        header = pd.read_csv(path, header=None, nrows=1, dtype=str).iloc[0] if suffix == ".csv" else frame.columns
    except Exception as problem:  # whatever the parser says of a damaged file
        raise DataError(f"{path}: cannot be read: {str(problem).strip()}") from problem
    missing = [name for name in arguments.columns if name not in frame.columns]
    if missing:
        raise DataError(f"--columns: {path} has no column {missing[0]!r}; it has {', '.join(map(str, frame.columns))}")
    twice = [name for name in arguments.columns if arguments.columns.count(name) > 1 or list(header).count(name) > 1]
    if twice:
        raise DataError(f"--columns: {twice[0]!r} is there more than once; rename one of the columns, or name it once")
    if not len(frame):
        raise DataError(f"{path}: expected rows below the names of the columns, got none")
    takes_text = ":" in arguments.model
    columns = {
        name: frame[name].tolist() if takes_text and _is_text(frame[name]) else _numbers(name, frame[name])
        for name in arguments.columns
    }
    return columns if arguments.unit is None else {**columns, arguments.unit: _units(arguments, frame)}


def _units(arguments: Arguments, frame: pd.DataFrame) -> list[str]:
    """The unit of every row, or a DataError where a row has none."""
    name = str(arguments.unit)
    if name not in frame.columns or name in arguments.columns:
        has = ", ".join(str(column) for column in frame.columns if column not in arguments.columns)
        raise DataError(
            f"--unit: expected a column beside those that Z causes, got {name!r}; there are: {has or 'none'}"
        )
    if len(without := np.flatnonzero(frame[name].isna())):
        raise DataError(f"--unit: column {name!r} has no entry in {len(without)} rows, the first is {without[0] + 1}")
    return [str(entry) for entry in frame[name]]


def _is_text(column: pd.Series) -> bool:
    """Whether every entry is text, and some is no number."""
    return all(isinstance(entry, str) for entry in column) and bool(pd.to_numeric(column, errors="coerce").isna().any())


def _numbers(name: str, column: pd.Series) -> list[float]:
    """The entries of a column as numbers, or a DataError that names the first that is none."""
    if column.dtype.kind in "mM":
        raise DataError(f"--columns: column {name!r} holds times ({column.dtype}); expected numbers")
    try:
        values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as problem:
        raise DataError(f"--columns: column {name!r}: expected numbers ({problem})") from problem
    unusable = np.flatnonzero(~(np.abs(values) <= LARGEST))
    if unusable.size:
        first = unusable[0]
        raise DataError(
            f"--columns: column {name!r} has {unusable.size} entries that are not finite numbers, the first in row "
            f"{first + 1}: {column.iloc[first]!r}; drop or mend them, or rescale the column to below {LARGEST:g}"
        )
    entries: list[float] = values.tolist()
    return entries


def model_of(arguments: Arguments, columns: Mapping[str, Sequence[Any]]) -> Model:
    """Return a mixture whose weak priors are centred on the data: a mean within two sd, a scale up to about the sd."""
    if ":" in arguments.model:
        return _own_model(arguments)
    if arguments.model != GAUSSIAN_MIXTURE:
        raise DataError(f"--model: expected {GAUSSIAN_MIXTURE} or my_models.py:make_model, got {arguments.model!r}")
    mechanisms = {}
    for name, values in _variables(arguments, columns).items():
        centre, sd = float(np.mean(values)), float(np.std(values))
        if not sd > 0:
            raise DataError(f"--columns: column {name!r} is constant; there is nothing to learn from it")
        scale = HalfNormal(sd) if arguments.scale is None else arguments.scale
        mechanisms[name] = Gaussian(loc=Normal(centre, 2 * sd), scale=scale)
    with _about_columns():
        return CausalMixture(arguments.K, mechanisms, concentration=arguments.concentration)


def _variables(arguments: Arguments, columns: Mapping[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """The columns that Z causes."""
    return {name: values for name, values in columns.items() if name != arguments.unit}


def data_of(arguments: Arguments, columns: Mapping[str, Sequence[Any]]) -> Data:
    """Return the rows; raises DataError for columns that no model can be fitted to."""
    if "Z" in columns:
        raise DataError("--columns: 'Z' is the hidden cause, which is what is estimated; rename the column")
    with _about_columns():
        return Data({name: list(values) for name, values in columns.items()}, unit=arguments.unit)


@contextmanager
def _about_columns() -> Iterator[None]:
    """Raise what is wrong with the names or values of columns as a DataError of ``--columns``, which chose them."""
    try:
        yield
    except (ValueError, TypeError) as problem:
        raise DataError(f"--columns: {problem}") from problem


def _own_model(arguments: Arguments) -> Model:
    """The model that a user's function makes of K."""
    module, _, name = arguments.model.rpartition(":")
    make = getattr(load(module), name, None)
    if not callable(make):
        raise DataError(f"--model: {module} has no function {name!r}")
    made = attempt(lambda: make(arguments.K))
    if not isinstance(made.value, Model) or LATENT not in made.value.hidden:
        raise DataError(
            f"--model: {arguments.model}({arguments.K}) should return a CausalMixture; {made.error or made.value!r}"
        )
    return made.value


def described(arguments: Arguments) -> str:
    """Return the model in words."""
    if ":" in arguments.model:
        return f"{arguments.model} with K={arguments.K}{_by_unit(arguments)}"
    scale = "unknown, one for each class" if arguments.scale is None else f"known: {arguments.scale:g}"
    return (
        f"{arguments.K} classes, each column normal within a class, scale {scale}; weak priors: class means within two "
        f"standard deviations of the column's mean, concentration {arguments.concentration:g}{_by_unit(arguments)}"
    )


def _by_unit(arguments: Arguments) -> str:
    return "" if arguments.unit is None else f"; rows of one {arguments.unit} share one class"


def contenders() -> tuple[Contender, ...]:
    """Return the estimators that are fitted: all that run on any scenario, each on every replicate."""
    return tuple(replace(one, share=1.0) for one in standard_contenders() if not (one.small_only or one.modes_only))


def prepare(
    arguments: Arguments, columns: Mapping[str, Sequence[Any]], *, seed: int
) -> tuple[tuple[Scenario, ...], dict[str, Any]]:
    """Fit every estimator to the data and take a fit as the truth: EM's maximum, or the first that converged.

    Returns the scenario of data sets like the real one, then that of truths drawn from the posterior given the real
    one, where some fit has draws that can be trusted; and notes for the report: what each estimator says of the real
    one, and why the second scenario is not there.
    """
    data, model = data_of(arguments, columns), model_of(arguments, columns)
    fits = _fits(model, data, seed)
    names = (arguments.truth,) if arguments.truth else PREFERRED
    candidates = [(name, fit) for name in names if name in fits and (fit := fits[name].value) is not None]
    if not candidates:
        reasons = "; ".join(f"{name}: {fitted.error}" for name, fitted in fits.items() if fitted.error)
        raise DataError(f"no fit to take as the truth: {reasons}")
    converged = [(name, fit) for name, fit in candidates if fit.status is Status.CONVERGED]
    truth_from, truth = (converged or candidates)[0]
    scenarios, no_posterior = [Scenario.from_fit(truth)], ""
    try:
        scenarios.append(Scenario.around_posterior(_posterior(model, data, seed)))
    except ValueError as problem:
        no_posterior = str(problem)
    notes = {
        "file": Path(arguments.file).name,
        "rows": data.num_rows,
        "columns": list(_variables(arguments, columns)),
        "model": described(arguments),
        "numbers": said_of_numbers(data.levels),
        "truth_from": truth_from,
        "fits": {name: _summary(scenarios[0], fitted) for name, fitted in fits.items()},
        "no_posterior": no_posterior,
    }
    return tuple(scenarios), {"mine": notes}


def truths(scenarios: Sequence[Scenario]) -> dict[str, Any]:
    """Return what `rebuilt` has to know of the scenarios of `prepare`: the true Greeks, and draws of the posterior."""
    own, draws = scenarios[0].source, {}
    assert isinstance(own, FixedTruth)
    for scenario in scenarios[1:]:
        assert isinstance(scenario.source, PosteriorTruth)
        draws = {name: value.tolist() for name, value in scenario.source.draws.items()}
    return {"greeks": dict(own.greeks), "draws": draws}


def rebuilt(
    arguments: Arguments, columns: Mapping[str, Sequence[Any]], known: Mapping[str, Any]
) -> tuple[Scenario, ...]:
    """Return the scenarios of an earlier `prepare` from the data and what was kept of their truths."""
    data, model = data_of(arguments, columns), model_of(arguments, columns)
    fit = replace(Fit.from_greeks(model, known["greeks"]), data=data)
    draws = {name: torch.tensor(value, dtype=torch.float64) for name, value in known["draws"].items()}
    around = (Scenario.around_posterior(replace(fit, draws=draws)),) if draws else ()
    return Scenario.from_fit(fit), *around


def asked(plan: Plan) -> Plan:
    """Return the plan with one claim of bias and one of coverage for each estimator and query, and of convergence.

    Coverage at one truth is not promised by theory, so for one's own data it is the question. Claims about posteriors
    around these data stay as they are.
    """
    scenario, *others = plan.scenarios
    queries = [name for name in (scenario.asymptotics.truth if scenario.asymptotics else {}) if is_query(name)]
    with_draws = {claim.estimator for claim in plan.claims if claim.kind == "floor"}
    claims: list[Claim] = []
    for name in scenario.estimators:
        kinds = ("bias", "coverage") if name in with_draws else ("bias",)
        claims += [Claim(scenario.name, name, kind, only=query) for kind in kinds for query in queries]
    claims += [claim for claim in plan.claims if claim.kind == "convergence"]
    claims += [claim for other in others for claim in plan.claims if claim.scenario == other.name]
    return replace(plan, claims=tuple(with_budget(claims)))


def _fits(model: Model, data: Data, seed: int) -> dict[str, Attempt[Fit]]:
    """The fits to the real rows, by row name."""
    fits: dict[str, Attempt[Fit]] = {}
    for contender in contenders():
        fits[contender.name] = attempt(partial(contender.estimator.fit, model, data, seed=seed))
        if contender.laplace:
            fits[f"{contender.name}+laplace"] = with_laplace(fits[contender.name], seed)
    return fits


def _posterior(model: Model, data: Data, seed: int) -> Fit:
    """A fit whose draws can be truths, or a ValueError that says why there is none."""
    if not any(contender.posterior for contender in contenders()):
        raise ValueError("No estimator here claims to draw from the posterior.")
    fitted = attempt(partial(TRUTHS.fit, model, data, seed=seed))
    if fitted.value is None:
        raise ValueError(f"NUTS gave no draws: {fitted.error}")
    for status in UNUSABLE_DRAWS:
        if status in fitted.value.findings:
            raise ValueError(f"NUTS on your rows: {status.sentence(fitted.value.findings[status])}")
    return fitted.value


def _summary(scenario: Scenario, fitted: Attempt[Fit]) -> dict[str, Any]:
    fit = fitted.value
    if fit is None:
        return {"status": ERROR, "reason": fitted.error, "quantities": {}}
    reason = "" if fit.status is Status.CONVERGED else fit.advice[0].removeprefix(f"{fit.status.name}: ")
    return {"status": fit.status.name, "reason": reason, "quantities": summarised(scenario, fit)}
