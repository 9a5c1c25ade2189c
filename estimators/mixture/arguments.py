"""The arguments of a causal mixture, and the rows that it is fitted to, checked."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from estimators.checks import check_in_memory, did_you_mean, what_came
from estimators.data.columns import check_name
from estimators.data.data import LATENT, Data
from estimators.data.levels import check_levels, check_order
from estimators.data.words import few
from estimators.estep.units import above_latent
from estimators.isolation import float64
from estimators.mechanisms.covariate import Covariate
from estimators.mechanisms.gate import Gate
from estimators.mechanisms.protocol import INTERACTION, Mechanism, variables_of
from estimators.mechanisms.protocol import check_names as each_once
from estimators.mixture.observed import ROWS, UNITS
from estimators.mixture.program import MixtureProgram, plates_of
from estimators.parameters.parameter import Parameter

# The arguments of `Data`, which no variable can be called like.
RESERVED = ("weights", "intervened", "missing", "unit")
# Columns that an error lists.
MOST_NAMED = 10


def check_rows(model: MixtureProgram, data: Data) -> Data:
    """Return the data if the model can be fitted to them; otherwise raise a ValueError that names the column."""
    known = {*model.mechanisms, LATENT}
    unknown = [name for name in (*data.columns, *data.scalars) if name not in known]
    for name in model.mechanisms:
        if name not in data.columns and name not in data.scalars:
            _need_no_unit(data, name)
            way_out = f"; a variable and its column are called alike{did_you_mean(name, unknown)}" if unknown else ""
            raise ValueError(
                f"data: column {name!r} is missing; got {few([*map(repr, data.columns)], MOST_NAMED)}{way_out}"
            )
    if unknown:
        variables = ", ".join(f'"{name}"' for name in model.mechanisms)
        raise ValueError(
            f"data: the model has no variable {few([*map(repr, unknown)], MOST_NAMED)}; it has {sorted(known)}; of a "
            f"data frame give its columns alone, frame[[{variables}]]"
        )
    if data.scalars:
        raise ValueError(f"data: expected a column [N] for {next(iter(data.scalars))!r}, got a single number")
    if LATENT in data.columns and data.columns[LATENT].ndim > 1:
        shape = tuple(data.columns[LATENT].shape)
        raise ValueError(f"column {LATENT}: expected one dimension [N], got shape {shape}")
    for variable, mechanism in model.mechanisms.items():
        column, width = data.columns[variable], mechanism.num_columns
        shape = (data.num_rows,) if width is None else (data.num_rows, width)
        if tuple(column.shape) != shape:
            expected = "one dimension [N]" if width is None else f"shape [N, {width}]"
            raise ValueError(f"column {variable}: expected {expected}, got shape {tuple(column.shape)}")
        if variable in data.levels:
            names, family = data.levels[variable], type(mechanism).__name__
            check_levels(variable, names, mechanism.num_levels, family, _with_levels(variable, mechanism, len(names)))
            if mechanism.is_ordered:
                check_order(variable, names, family)
        present = ~data.is_missing(variable).reshape(data.num_rows, -1).any(1)
        mechanism.check(variable, column if bool(present.all()) else column[present])
    latent = data.latent()
    outside = (latent < -1) | (latent >= model.K)
    if bool(outside.any()):
        row = int(outside.nonzero()[0])
        raise ValueError(f"Z: expected -1 (not seen) to {model.K - 1}, got {int(latent[row])} in row {row}")
    for name in model.covariates:
        if bool((gone := data.is_missing(name)).any()):
            row = int(gone.nonzero()[0])
            raise ValueError(
                f"column {name}: missing in row {row}, and a covariate has no law by which to sum over it; drop such "
                "rows first, or give it a mechanism"
            )
    _check_causes(data, above_latent(model.weights, model.nodes))
    if model.covariates:
        data = data.replace(intervened={**data.intervened, **dict.fromkeys(model.covariates, True)})
    # False and True of a variable without levels are numbers.
    return data.numbered_as({name: data.levels[name] for name in data.levels if model.variables[name].num_levels})


def _with_levels(variable: str, mechanism: Mechanism, num_levels: int) -> str:
    """What takes a column whose levels have names."""
    if mechanism.is_covariate:
        return f"; say how many levels it has: covariates={{{variable!r}: {num_levels}}}"
    return f"; {'Bernoulli()' if num_levels == 2 else f'Categorical({num_levels})'} takes levels with names"


def _need_no_unit(data: Data, variable: str) -> None:
    if data.unit is not None and data.unit.name == variable:
        raise ValueError(
            f"unit: {variable!r} is a variable of the model, so it cannot say which rows are of one unit; give the "
            "labels in a column of their own"
        )


def _check_causes(data: Data, names: Sequence[str]) -> None:
    """Raise a ValueError where what causes Z, of which a unit has one, differs within it."""
    if data.unit is None:
        return
    for name in names:
        why = f"{LATENT} is one of all rows of a unit, and so are its causes"
        data.unit.need_one(data.columns[name], f"column {name}: differs", f"{why}: give it one value")
        data.unit.need_one(data.is_set(name), f"intervened {name}: differs", f"{why}: mark all of them, or none")


def checked_mechanisms(mechanisms: object) -> Mapping[str, Mechanism]:
    """The mechanisms by variable; raises TypeError or ValueError for what is none, and for names that are taken."""
    if not isinstance(mechanisms, Mapping) or not mechanisms:
        raise TypeError(f'mechanisms: expected a mapping such as {{"X": Gaussian()}}, got {what_came(mechanisms)}')
    for name, mechanism in mechanisms.items():
        if not isinstance(name, str) or not name:
            raise TypeError(f"mechanisms: expected variable names, got {name!r}")
        check_name("mechanisms", name)
        if INTERACTION in name:
            raise ValueError(
                f"mechanisms: {name!r} has a colon, which stands in an interaction, T:age; give the variable another "
                "name"
            )
        if name == LATENT:
            raise ValueError(f"mechanisms: {LATENT!r} is the hidden cause; give the variable another name")
        if name in RESERVED:
            raise ValueError(f"mechanisms: {name!r} is an argument of Data; give the variable another name")
        if isinstance(mechanism, type) or not hasattr(mechanism, "natural_parameters"):
            raise TypeError(
                f"mechanisms[{name!r}]: expected a mechanism of estimators.mechanisms such as Gaussian(), got "
                f"{what_came(mechanism)}"
            )
        if getattr(mechanism, "shared", False) and not _has_shared(mechanism):
            raise ValueError(
                f"mechanisms[{name!r}]: shared={mechanism.shared!r} is not heeded by {type(mechanism).__name__}, whose "
                "__post_init__ has to keep what it is given by self.take({symbol: KnownOrPrior(...), ...})"
            )
    return MappingProxyType(dict(mechanisms))


def _has_shared(mechanism: Mechanism) -> bool:
    """Whether classes share something of it."""
    return bool(mechanism.shared_terms) or any(one.is_shared for one in mechanism.given.values())


def with_covariates(mechanisms: object, covariates: object) -> object:
    """The mechanisms with a `Covariate` for each name; raises TypeError or ValueError for other names, or one twice."""
    if not isinstance(covariates, Mapping):
        covariates = dict.fromkeys(each_once(covariates, "covariates", "age"))
    if not isinstance(mechanisms, Mapping):
        return mechanisms
    for name in covariates:
        if name in mechanisms and not getattr(mechanisms[name], "is_covariate", False):
            raise ValueError(f"covariates: {name!r} has a mechanism too, {mechanisms[name]!r}; leave one of them out")
    exposures = {getattr(mechanism, "exposure", None) for mechanism in mechanisms.values()}
    of_rows = {
        name: Covariate(num_levels, is_positive=name in exposures and num_levels is None)
        for name, num_levels in covariates.items()
    }
    return {**of_rows, **mechanisms}


def check_names(mechanisms: Mapping[str, Mechanism], parameters: Sequence[Parameter]) -> None:
    """Raise a ValueError for a variable called like something else that the model has: a Greek, or a plate."""
    uses = {ROWS: "the plate over rows", UNITS: "the plate over units"}
    uses |= {plate: f"the plate over the entries of {p.name}" for p in parameters for plate in plates_of(p)}
    uses |= {p.name: "a Greek of this model" for p in parameters}
    for name in mechanisms:
        if name in uses:
            raise ValueError(f"mechanisms: {name!r} is the name of {uses[name]}; give the variable another name")


def checked_concentration(concentration: object, num_components: int) -> Tensor:
    """The concentration of every component [K]; raises TypeError or ValueError unless it is made of numbers > 0."""
    if isinstance(concentration, str | bool) or concentration is None:
        raise TypeError(f"concentration: expected a number > 0, got {what_came(concentration)}")
    check_in_memory("concentration", concentration)
    try:
        values = float64(concentration)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"concentration: expected a number > 0, got {what_came(concentration)}") from None
    if tuple(values.shape) not in ((), (num_components,)):
        raise ValueError(
            f"concentration: expected a number, or {num_components} of them, got shape {tuple(values.shape)}"
        )
    if not bool((torch.isfinite(values) & (values > 0)).all()):
        raise ValueError(f"concentration: expected a number > 0, got {what_came(concentration)}")
    return values.expand(num_components).clone()


def checked_causes(latent_parents: object, latent: object) -> tuple[str, ...]:
    """The observed causes of Z; raises TypeError or ValueError for what are none, or others than a gate's."""
    parents = each_once(latent_parents)
    if not isinstance(latent, Gate | None):
        raise TypeError(f'latent: expected Gate(["age"]), got {what_came(latent)}')
    if interaction := next((name for name in parents if INTERACTION in name), None):
        raise ValueError(
            f"latent_parents: {interaction!r} is an interaction, of which a gate knows: latent=Gate({list(parents)})"
        )
    if latent is None:
        return parents
    causes = variables_of(latent.parents)
    if parents not in ((), causes):
        raise ValueError(f"latent_parents: the gate names them, {list(causes)}; got {list(parents)}")
    return causes


def check_no_concentration(concentration: Tensor) -> None:
    """Raise a ValueError for another concentration than the default where there is no theta."""
    if bool((concentration != 1.0).any()):
        raise ValueError(
            f"concentration: is of theta, which Z has not where causes are numbers, got {concentration.tolist()}; its "
            "prior is Gate([...], coefficients=Normal(0, scale))"
        )


def check_distinct_rows(data: Data, names: Sequence[str], num_components: int) -> None:
    """Raise ValueError where the likelihood has no maximum: for fewer distinct rows than components."""
    distinct = num_distinct_rows(data, names, num_components)
    if distinct < num_components:
        kind = "rows" if data.unit is None else "units"
        raise ValueError(
            f"data: expected at least K={num_components} distinct {kind} for maximum likelihood, got {distinct}; "
            "lower K, or use MAP or NUTS, whose priors settle what the data do not"
        )


def num_distinct_rows(data: Data, names: Sequence[str], enough: int) -> int:
    """The number of distinct rows, or units; where there are ``enough`` among the first, that of these."""

    def first(count: int) -> Tensor:
        return torch.cat([data.columns[name][:count].double().reshape(min(count, len(data)), -1) for name in names], 1)

    if data.unit is not None:
        columns = first(len(data))
        found, by_unit = set[tuple[Any, ...]](), columns[data.rows_at(torch.arange(data.num_units))]
        for rows in by_unit.nan_to_num(nan=torch.inf).split(data.unit.sizes.tolist()):
            found.add(tuple(sorted(map(tuple, rows.tolist()))))
            if len(found) >= enough:
                break
        return len(found)
    distinct = 0
    for count in (8 * enough, 100 * enough, len(data)):
        distinct = len(torch.unique(first(count), dim=0))
        if distinct >= enough:
            break
    return distinct
