"""Identification at known Greeks, before there are any data."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from estimators.checks import check_seed
from estimators.contract import Model
from estimators.data.data import as_data
from estimators.fits.fit import Fit
from estimators.fits.identification import Identification
from estimators.fits.law_search import identification
from estimators.fits.quantities import Question
from estimators.isolation import own_modes


@own_modes()
def identifiability(
    model: Model,
    greeks: Mapping[str, Any],
    *,
    query: Question | Mapping[str, Question] | None = None,
    data: Any = None,
    seed: int | None = None,
) -> Identification:
    """Whether rows without end would tell these Greeks, or what they answer, from all others.

    Other Greeks φ' with the law that rows have at the Greeks φ, ``p(row | φ') = p(row | φ)`` for every row, are
    searched for: all cells where all is discrete, else simulated rows. ``query`` is a function of a fit, such as
    ``lambda fit: fit.contrast("Y", do={"T": 1}, versus={"T": 0})``, or several by name; without one, the effect of each
    variable on each that it acts on, and every entry of the Greeks. ``data`` say of which kinds the rows are (what is
    set in them, whether Z is seen, what is missing), not what is in them; without any, all but Z is observed and
    nothing set. What is not identified is a set of values, or a range, and what was tried that would identify it is
    named. "Identified" means that no start of the search led to another value.

    Raises TypeError for a fit, which has `Fit.identifiability`, and ValueError for Greeks or rows that are not the
    model's, where every Greek is known, and, without data, for a program, which says only when it is run on rows which
    sites are hidden.

    >>> coins = CausalMixture(2, {"A": Bernoulli(), "B": Bernoulli()})
    >>> found = identifiability(coins, {"theta": [0.4, 0.6], "p_A": [0.2, 0.7], "p_B": [0.3, 0.9]}, seed=0)
    >>> found.is_identified, found["p_A[0]"].extent.value
    (False, 'range')
    """
    if isinstance(greeks, Fit) or not isinstance(model, Model):
        raise TypeError(
            "identifiability: expected a model and its Greeks, as identifiability(model, {...}), or, of a fit, "
            f"fit.identifiability(); got {type(model).__name__} and {type(greeks).__name__}"
        )
    rows = None if data is None else model.check(as_data(data))
    fit = Fit.from_greeks(model, greeks)
    if rows is not None:
        fit = replace(fit, data=rows)
    return identification(fit, dict(fit.draws), query, check_seed(seed))
