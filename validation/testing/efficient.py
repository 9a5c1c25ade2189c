"""The sds of an efficient estimator: Cramer and Rao's bound at the truth, for the rows that a test means."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from estimators import Fit
from estimators.contract import Density
from validation.measures.information import covariance_of_scores, cramer_rao, scores
from validation.scenarios.design import Design, hidden_columns
from validation.statistics.arguments import Array
from validation.statistics.check import check_effect
from validation.testing.like_rows import REFUSED, designs_of
from validation.testing.quantities import Quantities, Truth

SIMULATED_ROWS = 20_000
# Logs and logits beyond this are at an end of their support.
END = 20.0
# A share of its own variance that the scores of a coordinate leave to it alone, below which there is none.
SINGULAR = 1e-6
REMEDY = "say what errors matter, in the units of the entries: unit={'mu_X': 0.3}"


def efficient_sds(fits: list[Fit], truths: list[Truth], asked: Quantities, rows: Any, seed: int) -> Array:
    """Return the sd [R, E] of an efficient estimator of each quantity, from `rows` at the truth, for each fit.

    ``sqrt(diag(J I⁻¹ Jᵀ))``, with I the covariance of the scores of simulated rows of the same design. Raises
    ValueError, which says what to do, where the truth is no regular point or rows cannot be simulated.
    """
    designs = designs_of(rows, fits)
    done: list[tuple[Truth, Design, Array]] = []
    sds = []
    for fit, truth, design in zip(fits, truths, designs, strict=True):
        sd = next((sd for other, like, sd in done if other is truth and _are_alike(design, like)), None)
        if sd is None:
            sd = _efficient(fit, truth, asked, design, seed)
            done.append((truth, design, sd))
        sds.append(sd)
    return np.array(sds)


def _are_alike(one: Design, other: Design) -> bool:
    return one is other or (one.is_plain and other.is_plain and one.num_rows == other.num_rows)


def _efficient(fit: Fit, truth: Truth, asked: Quantities, design: Design, seed: int) -> Array:
    model = fit.model
    try:
        greeks = model.check_greeks(truth)
    except ValueError as problem:
        raise ValueError(f"truth: an efficient estimator's sd needs every Greek: {problem}; or {REMEDY}") from None
    times = max(1, SIMULATED_ROWS // design.num_rows)
    try:
        data = design.repeated(times).simulate(model, greeks, hidden=hidden_columns(fit, greeks), seed=seed)
    except REFUSED as problem:
        raise ValueError(f"rows: data sets like these cannot be simulated at the truth ({problem}); {REMEDY}") from None
    density = model.density(data).beyond_priors()
    at = density.unconstrain({name: value.numpy() for name, value in greeks.items()})
    is_end = ~np.isfinite(at) | (np.asarray(density.bounded) & (np.abs(at) > END))
    if is_end.any():
        raise ValueError(
            f"truth: {', '.join(density.names_at(is_end))} is at an end of its support, where errors have no normal "
            f"law and no efficient sd; {REMEDY}"
        )
    own = data.unit_weights
    counts = np.ones(data.num_units) if own is None else np.asarray(own, dtype=np.float64)
    score = scores(lambda vectors: np.asarray(density.pointwise(density.draws(vectors))), at)
    information = covariance_of_scores(score, counts / times)
    _need_regular(density, information)
    names = tuple(asked.true(fit, truth))

    def values(vector: Array) -> Array:
        known = asked.of(Fit.from_greeks(model, {name: draw[0] for name, draw in density.draws(vector[None]).items()}))
        return np.array([float(known[name][0]) for name in names])

    return cramer_rao(information, values, at) if len(at) else np.zeros(len(names))


def _need_regular(density: Density, information: Array) -> None:
    """Raise a ValueError where scores of coordinates depend on each other: the rows cannot tell these apart."""
    own = np.diag(information)
    scale = np.sqrt(np.where(own > 0, own, 1.0))
    values, vectors = np.linalg.eigh(information / np.outer(scale, scale))
    if (own > 0).all() and (not len(values) or values[0] > SINGULAR):
        return
    flat = own <= 0 if (own <= 0).any() else np.abs(vectors[:, 0]) > 0.1
    raise ValueError(
        f"truth: rows do not identify {', '.join(density.names_at(flat))} there (their information is singular), so no "
        f"estimator has an efficient sd; {REMEDY}"
    )


def named_sds(asked: Quantities, entries: tuple[str, ...], unit: float | Mapping[str, float], count: int) -> Array:
    """Return the sds [R, E] that a test names: one number, or one by Greek, outcome or entry."""
    if not isinstance(unit, Mapping):
        return np.full((count, len(entries)), check_effect(unit, "unit"))
    owners = {entry: [entry, *(name for name in asked.names if _is_of(entry, name))] for entry in entries}
    known = {name for names in owners.values() for name in names}
    if unknown := [name for name in unit if name not in known]:
        raise ValueError(f"unit: expected names among {', '.join([*asked.names, *entries])}, got {', '.join(unknown)}")
    if missing := [entry for entry, names in owners.items() if not any(name in unit for name in names)]:
        raise ValueError(f"unit: expected a number for {', '.join(missing)} as well (it has {list(unit)})")
    chosen = [next(name for name in names if name in unit) for names in owners.values()]
    return np.tile([check_effect(unit[name], f"unit[{name!r}]") for name in chosen], (count, 1))


def _is_of(entry: str, name: str) -> bool:
    return entry == name or entry.startswith((f"{name}[", f"E[{name} | "))
