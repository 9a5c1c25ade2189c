"""Does enumeration say what the program means? Compared with fixing the hidden sites to one value after another."""

import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import replace
from hashlib import blake2b
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from estimators.isolation import program_mode
from estimators.programs.attempt import attempt
from estimators.programs.call import Program, describe
from estimators.programs.factors import Factors, Label, posterior
from estimators.programs.independence import check_deterministic, check_independence, spread
from estimators.programs.marginal import ProgramMarginal

MAX_ROWS = 3
# Joint values of the hidden sites that are tried; where there are more (a long chain), this many at random.
MAX_CONFIGURATIONS = 64
TOLERANCE = 1e-8

MIXED_CONFIGURATIONS = 4

Configuration = dict[str, list[float]]


# The data that each program was checked on: digests of the entries that the checks looked at, by the data's shapes.
_CHECKED: WeakKeyDictionary[Program, dict[Any, set[bytes]]] = WeakKeyDictionary()


def check_program(marginal: ProgramMarginal) -> None:
    """Compare what enumeration says with the program itself, and rows with themselves among other rows.

    In full once for a program and the shapes of its data, what is seen, set and missing in them, what is constant in
    them, which may hide what a program does with it, and the sites that it has on them; in brief for other values.
    Raises ValueError for a program whose rows are not independent given the Greeks, or that enumerates wrongly.
    """
    try:
        checked = _CHECKED.setdefault(marginal.fn, {})
    except TypeError:
        # A callable that has no weak references, or no hash, is checked at every fit.
        checked = {}
    values, constants = _values_and_constants(marginal)
    key = _shapes(marginal), constants
    if key not in checked:
        check_deterministic(marginal)
        check_enumeration(marginal)
        check_independence(marginal)
    elif values not in checked[key]:
        check_enumeration(marginal, in_brief=True)
        check_independence(marginal, in_brief=True)
    checked.setdefault(key, set()).add(values)


def _values_and_constants(marginal: ProgramMarginal) -> tuple[bytes, bytes]:
    """Digests of the values in the rows that the checks look at, and of those that are the same in all of them."""
    data, values, constants = marginal.data, blake2b(digest_size=16), blake2b(digest_size=16)
    rows = torch.cat([spread(data.num_rows), torch.arange(min(MAX_ROWS, data.num_rows))])
    for _, column in sorted(data.columns.items()):
        entries = column[rows]
        is_constant = ((entries == entries[0]) | (entries.isnan() & entries[0].isnan())).all(0)
        values.update(_bytes(entries))
        constants.update(_bytes(is_constant) + _bytes(torch.where(is_constant, entries[0], 0)))
    for _, mask in sorted(data.intervened.items()):
        values.update(_bytes(mask[rows]))
    return values.digest(), constants.digest()


def _bytes(values: Tensor) -> bytes:
    return values.numpy().tobytes()


def _shapes(marginal: ProgramMarginal) -> Any:
    data, evidence, structure = marginal.data, marginal.evidence, marginal.structure
    return (
        tuple((name, column.shape, column.dtype) for name, column in sorted(data.columns.items())),
        tuple(sorted(data.scalars.items())),
        (
            evidence.hidden,
            *(frozenset(e) for e in (evidence.values, evidence.seen, evidence.is_set, evidence.is_missing)),
        ),
        tuple((greek.name, greek.shape) for greek in structure.greeks),
        tuple((site.name, site.rest, site.cardinality, site.is_observed) for site in structure.sites.values()),
    )


def check_enumeration(marginal: ProgramMarginal, *, in_brief: bool = False) -> None:
    """Compare enumerated factors with the program run at fixed values of its hidden sites.

    In brief, at one value in each row. Raises ValueError for a hidden site used in control flow, and for indexing that
    is wrong under enumeration.
    """
    small = marginal.of(marginal.data.unweighted_rows(torch.arange(min(MAX_ROWS, marginal.num_rows))))
    name = describe(small.fn)
    point = small.probe
    greeks = small.coordinates.constrain(point)
    # Every hidden site is fixed to one value after another, also where the data say which it has.
    known = replace(small.evidence, seen={}, is_set={})
    with program_mode():
        for configuration in [_one_of_each_row(small)] if in_brief else _configurations(small):
            fixed = {
                site: small.structure.sites[site].spread(torch.tensor(values), small.num_rows)
                for site, values in configuration.items()
            }
            at_values = replace(known, hidden=(), values={**known.values, **fixed})
            plain = attempt(replace(small.enumeration, evidence=at_values), greeks, enumerated=False)
            all_seen = replace(known, seen={site: value.long() for site, value in fixed.items()})
            enumerated = attempt(replace(small.enumeration, evidence=all_seen), greeks)
            _check_outside(small, plain, enumerated)
            wrong = [site for site, gap in _gaps(plain, enumerated).items() if not gap <= TOLERANCE]
            if wrong:
                raise ValueError(
                    f"PyroModel: at {_in_words(configuration)} the log probability of {wrong} in {name} is another "
                    f"under enumeration than with {list(configuration)} fixed: an index or a reshape is wrong when "
                    f"{list(configuration)} have extra dimensions on the left, or a row depends on "
                    "another's. Index with pyro.ops.indexing.Vindex, "
                    'e.g. Vindex(table)[Z, T], keep dimensions from the right ("..."), and use no .item() or .squeeze()'
                )
    _check_gradient(small, point)


def _configurations(marginal: ProgramMarginal) -> Iterator[Configuration]:
    """Values [n] of the hidden sites: first the same in every row, then a random one in each."""
    generator, sites = random.Random(0), marginal.structure.sites
    choices = [sites[site].values.tolist() for site in marginal.hidden]
    rows = marginal.num_rows
    if math.prod(len(values) for values in choices) <= MAX_CONFIGURATIONS:
        for chosen in itertools.product(*choices):
            yield {site: [value] * rows for site, value in zip(marginal.hidden, chosen, strict=True)}
    else:
        for _ in range(MAX_CONFIGURATIONS):
            yield {s: [generator.choice(v)] * rows for s, v in zip(marginal.hidden, choices, strict=True)}
    for _ in range(MIXED_CONFIGURATIONS):
        yield {
            site: [generator.choice(values) for _ in range(rows)]
            for site, values in zip(marginal.hidden, choices, strict=True)
        }


def _one_of_each_row(marginal: ProgramMarginal) -> Configuration:
    """Values [n] of the hidden sites that differ between rows, the last first: a wrong index often gives the first."""
    configuration, sites = {}, marginal.structure.sites
    for step, site in enumerate(marginal.hidden, start=1):
        values = sites[site].values.tolist()
        configuration[site] = [values[-(1 + step * row) % len(values)] for row in range(marginal.num_rows)]
    return configuration


def _in_words(configuration: Configuration) -> dict[str, float | list[float]]:
    return {site: values[0] if len(set(values)) == 1 else values for site, values in configuration.items()}


def _check_outside(marginal: ProgramMarginal, plain: Factors, enumerated: Factors) -> None:
    """Raise where something outside the plate over rows depends on a hidden site, or a log probability is NaN."""
    for label, factor in zip(plain.labels, plain.rows, strict=True):
        if bool(torch.isnan(factor).any()):
            raise ValueError(
                f"PyroModel: the log probability of {label.site!r} is NaN at Greeks in their supports; is a scale "
                "negative, or the root of a negative number?"
            )
    outside = [(plain.log_prior, enumerated.log_prior), (plain.log_global, enumerated.log_global)]
    if not all(
        torch.allclose(value, under_enumeration, rtol=TOLERANCE, atol=TOLERANCE) for value, under_enumeration in outside
    ):
        raise ValueError(
            f"PyroModel: in {describe(marginal.fn)} something outside the plate over rows depends on a hidden site "
            f"({list(marginal.hidden)}), so that rows are not independent given the Greeks; move it into the plate"
        )


def _gaps(plain: Factors, enumerated: Factors) -> dict[str, float]:
    """How far each site's log probability is from its expectation under the enumerated program's posterior weights.

    The largest relative difference over rows of positive probability.
    """
    possible = torch.isfinite(plain.pointwise())
    expected = {
        label.site: _by_row(plain, label, factor) for label, factor in zip(plain.labels, plain.rows, strict=True)
    }
    gaps = {}
    for label, factor, weight in zip(enumerated.labels, enumerated.rows, posterior(enumerated), strict=True):
        value = _by_row(enumerated, label, weight * factor.masked_fill(weight == 0, 0.0))
        gap = (value - expected[label.site]).abs() / (1.0 + expected[label.site].abs())
        gaps[label.site] = float(gap[possible].max()) if bool(possible.any()) else 0.0
    return gaps


def _by_row(factors: Factors, label: Label, factor: Tensor) -> Tensor:
    """The sum of a factor's entries in each row [N]."""
    if factors.rows_symbol not in label.dims:
        return factor.sum().expand(factors.num_rows)
    return factor.movedim(label.dims.index(factors.rows_symbol), 0).reshape(factors.num_rows, -1).sum(1)


def _check_gradient(marginal: ProgramMarginal, point: Tensor) -> None:
    """Raise where the log-likelihood is finite and its gradient is not."""
    v = point.clone().requires_grad_()
    with program_mode():
        greeks = marginal.coordinates.constrain(v)
        factors = marginal.factors(greeks)
        value = factors.pointwise().sum() + factors.log_global
        if not bool(torch.isfinite(value)) or not value.requires_grad:
            return
        slopes = torch.autograd.grad(value, list(greeks.values()), allow_unused=True)
    wrong = [n for n, s in zip(greeks, slopes, strict=True) if s is not None and not bool(torch.isfinite(s).all())]
    if wrong:
        raise ValueError(
            f"PyroModel: the log probability of {describe(marginal.fn)} is finite but its gradient with respect to "
            f"{wrong} is not: somewhere it divides 0 by 0 or takes 0 * log 0 (a rate or a scale that a hidden value "
            "makes 0, a torch.where with a branch that is not finite); use a small number instead of 0"
        )
