"""Questions to a fit, with labels by their names: what is set, what is seen, and what rows would have been."""

from collections.abc import Mapping
from functools import partial
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from estimators.checks import check_mapping, check_seed
from estimators.data.columns import check_same_rows, named_columns
from estimators.data.data import Data
from estimators.data.units import UNIT
from estimators.fits.level_names import rows_for
from estimators.fits.maxima import maxima_of, maximised_density, rival_greeks
from estimators.queries.counterfactual import Counterfactual
from estimators.queries.estimate import Estimate, combined
from estimators.queries.outcome import Outcome
from estimators.queries.query import Query
from estimators.queries.source import Once, Origin, Source, row_of

if TYPE_CHECKING:
    from estimators.fits.fit import Fit


def under(fit: "Fit", settings: Mapping[str, Any], call: str = "do", seed: int = 0) -> Query:
    """p(· | do(settings)); ``call`` is what an error calls them, ``seed`` that of what has to be simulated."""
    _need_settings(settings, call)
    return ask(fit, settings, call, seed)


def ask(fit: "Fit", settings: Mapping[str, Any], call: str, seed: int) -> Query:
    """The same, where nothing may be set."""
    # Before labels given by name become numbers, which have no index.
    check_same_rows(settings.items(), call)
    known = fit.labels.numbered(call, settings)
    fit.labels.warn_of(known)
    anew = partial(fit.model.predictive, data=fit.data, do=known, call=call, seed=seed)
    return Query(anew(dict(fit.draws)), fit.num_chains, fit.labels, anew, _origin(fit), settings)


def seeing(fit: "Fit", seen: Mapping[str, Any]) -> Query:
    """p(· | seen), where nothing is set."""
    _need_settings(seen, "given")
    return ask(fit, {}, "do", seed=0).where(seen)


def contrast(
    fit: "Fit", outcome: Outcome, do: Mapping[str, Any], versus: Mapping[str, Any], given: Mapping[str, Any] | None
) -> Estimate:
    """The difference of two means, draw by draw."""
    asked = (check_mapping(call, one) for call, one in (("do", do), ("versus", versus), ("given", given)))
    one, other, are_independent = two_means(fit, outcome, *asked)
    return combined(torch.sub, [one, other], are_independent=are_independent)


def two_means(
    fit: "Fit", outcome: Outcome, do: Mapping[str, Any], versus: Mapping[str, Any], given: Mapping[str, Any]
) -> tuple[Estimate, Estimate, bool]:
    """The mean under either of two interventions, and whether what is simulated of them is independent.

    It has the same random numbers on both sides, where that makes its noise cancel in a difference, or else its own.
    """
    asked = {"do": do, "versus": versus, "given": given}
    settings = [(call, key, value) for call in asked for key, value in asked[call].items() if key != UNIT]
    check_same_rows([(f"{call}[{key!r}]", value) for call, key, value in settings], "contrast")
    one = under(fit, do).where(given)
    are_independent = not one.predictive.has_common_numbers
    other = under(fit, versus, "versus", seed=2 if are_independent else 0).where(given)
    sizes = [set(query.predictive.rows.values()) for query in (one, other)]
    if all(sizes) and sizes[0] != sizes[1]:
        rows = [next(iter(size)) for size in sizes]
        raise ValueError(f"contrast: do has {rows[0]} rows and versus {rows[1]}; expected as many")
    if are_independent and not any(sizes) and (both := _in_two_rows(fit, outcome, do, versus, given)) is not None:
        return *both, are_independent
    return outcome.asked_of(one), outcome.asked_of(other), are_independent


def _in_two_rows(
    fit: "Fit", outcome: Outcome, do: Mapping[str, Any], versus: Mapping[str, Any], given: Mapping[str, Any]
) -> tuple[Estimate, Estimate] | None:
    """The two means as those of the rows of one question, where both set single values and nothing is simulated.

    It takes little longer than either.
    """
    if do.keys() != versus.keys() or not all(_is_one_value(value) for value in (*do.values(), *versus.values())):
        return None
    query = under(fit, {name: [do[name], versus[name]] for name in do}).where(given)
    known = {**query.predictive.settings, **query.predictive.seen}
    if outcome.name in known and outcome.name not in query.predictive.rows:
        # Its answer is the one value that it has, not one for each row.
        return None
    both = outcome.asked_of(query)
    if both.error is not None or both.source is None:
        return None
    values, origin = Once(both.source.values), both.source.origin
    sources = (Source(partial(row_of, values, row), origin) for row in (0, 1))
    one, other = (Estimate(both.draws[:, row], both.num_chains, source=own) for row, own in enumerate(sources))
    return one, other


def _is_one_value(value: Any) -> bool:
    return isinstance(value, str | Real) or (isinstance(value, Tensor | np.generic) and value.ndim == 0)


def counterfactual(
    fit: "Fit", data: Any, do: Mapping[str, Any], assumptions: Mapping[str, Any] | None, seed: int | None
) -> Counterfactual:
    """What the rows would have been under ``do``."""
    call = "counterfactual do"
    do, assumptions = check_mapping("do", do), check_mapping("assumptions", assumptions)
    _need_settings(do, call)
    columns = [] if isinstance(data, Data) else list(named_columns(data).items())
    check_same_rows([*columns, *((f"do[{name!r}]", value) for name, value in do.items())], "counterfactual")
    known = fit.labels.numbered(call, do)
    fit.labels.warn_of(known)
    rows, seed = rows_for(fit, data), check_seed(seed)
    anew = partial(fit.model.structural, data=rows, do=known, assumptions=assumptions, seed=seed)
    return Counterfactual(anew(dict(fit.draws)), fit.num_chains, anew, _origin(fit), fit.labels)


def _origin(fit: "Fit") -> Origin:
    """What an answer has to know of the fit."""
    mode_of_draw = fit.info.get("mode")
    return Origin(
        density=partial(maximised_density, fit),
        maxima=partial(maxima_of, fit),
        rivals=partial(rival_greeks, fit),
        rows=partial(_earlier_rows, fit),
        mode_of_draw=mode_of_draw,
    )


def _earlier_rows(fit: "Fit", rows: Any) -> Data:
    """What ``given(unit=rows)`` is given."""
    try:
        return rows_for(fit, rows)
    except TypeError as error:
        words = str(error).removeprefix("data: ")
        raise TypeError(f"given: unit is the earlier rows of a unit, of all variables: {words}") from None


def _need_settings(settings: Mapping[str, Any], call: str) -> None:
    if not settings:
        raise ValueError(f"{call}: expected at least one setting, e.g. Z=1")
