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
from estimators.programs.elimination import Label, unstacked
from estimators.programs.factors import Factors, posterior
from estimators.programs.independence import check_deterministic, check_independence, spread
from estimators.programs.marginal import ProgramMarginal

MAX_ROWS = 3
# Joint values of the hidden sites that are tried, each in its own copy of the rows; where there are more (a long
# chain), this many at random. In runs of their own, with the same value in all rows, fewer of a program of many sites.
MAX_CONFIGURATIONS = 64
MAX_SITE_RUNS = 400
LEAST_RUNS = 2
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
    some = torch.arange(min(MAX_ROWS, marginal.num_rows))
    small = marginal.of(marginal.data.unweighted_rows(some))
    if in_brief or not small.hidden:
        _check_at(small, _one_of_each_row(small))
    else:
        for configuration in _same_in_all_rows(small):
            _check_at(small, configuration)
        configurations = _configurations(small)
        copies = some.repeat(len(next(iter(configurations.values()))) // len(some))
        _check_at(marginal.of(marginal.data.unweighted_rows(copies)), configurations)
    _check_gradient(small, small.probe)


def _check_at(marginal: ProgramMarginal, configuration: Configuration) -> None:
    """Compare at these values of the hidden sites, one for each row."""
    name, sites = describe(marginal.fn), marginal.structure.sites
    # Every hidden site is fixed to a value, also where the data say which it has.
    known = replace(marginal.evidence, seen={}, is_set={})
    fixed = {site: sites[site].spread(torch.tensor(v), marginal.num_rows) for site, v in configuration.items()}
    with program_mode():
        greeks = marginal.coordinates.constrain(marginal.probe)
        at_values = replace(known, hidden=(), values={**known.values, **fixed})
        plain = attempt(replace(marginal.enumeration, evidence=at_values), greeks, enumerated=False)
        all_seen = replace(known, seen={site: value.long() for site, value in fixed.items()})
        enumerated = attempt(replace(marginal.enumeration, evidence=all_seen), greeks)
        _check_outside(marginal, plain, enumerated)
        gaps = {site: gap for site, gap in _gaps(plain, enumerated).items() if not bool((gap <= TOLERANCE).all())}
    if gaps:
        row = int((~(next(iter(gaps.values())) <= TOLERANCE)).nonzero()[0])
        at = {site: values[row] for site, values in configuration.items()}
        raise ValueError(
            f"PyroModel: at {at} the log probability of {list(gaps)} in {name} is another under enumeration than with "
            f"{list(at)} fixed: an index or a reshape is wrong when {list(at)} have extra dimensions on the left, or a "
            "row depends on another's. Index with pyro.ops.indexing.Vindex, "
            'e.g. Vindex(table)[Z, T], keep dimensions from the right ("..."), and use no .item() or .squeeze()'
        )


def _same_in_all_rows(marginal: ProgramMarginal) -> Iterator[Configuration]:
    """Values of the hidden sites, in all rows at once: control flow on a hidden site may show only there.

    All of them where they are few, or where a run is short; else every site's own values, and random ones.
    """
    choices, generator = _values_of(marginal), random.Random(1)
    num_runs = min(max(MAX_SITE_RUNS // len(marginal.structure.sites), LEAST_RUNS), MAX_CONFIGURATIONS)
    if math.prod(map(len, choices)) <= num_runs:
        every = list(itertools.product(*choices))
    else:
        every = [tuple(values[k % len(values)] for values in choices) for k in range(max(map(len, choices)))]
        every += [tuple(map(generator.choice, choices)) for _ in range(num_runs)]
    for chosen in every[:num_runs]:
        yield {s: [value] * marginal.num_rows for s, value in zip(marginal.hidden, chosen, strict=True)}


def _configurations(marginal: ProgramMarginal) -> Configuration:
    """Values of the hidden sites for copies of the rows: first the same in every row of a copy, then random ones."""
    generator, choices, num_rows = random.Random(0), _values_of(marginal), marginal.num_rows
    if math.prod(map(len, choices)) <= MAX_CONFIGURATIONS:
        by_copy = list(itertools.product(*choices))
    else:
        by_copy = [tuple(map(generator.choice, choices)) for _ in range(MAX_CONFIGURATIONS)]
    by_row = [chosen for chosen in by_copy for _ in range(num_rows)]
    by_row += [tuple(map(generator.choice, choices)) for _ in range(MIXED_CONFIGURATIONS * num_rows)]
    return {site: list(values) for site, values in zip(marginal.hidden, zip(*by_row, strict=True), strict=True)}


def _values_of(marginal: ProgramMarginal) -> list[list[float]]:
    return [marginal.structure.sites[site].values.tolist() for site in marginal.hidden]


def _one_of_each_row(marginal: ProgramMarginal) -> Configuration:
    """Values [n] of the hidden sites that differ between rows, the last first: a wrong index often gives the first."""
    configuration, sites = {}, marginal.structure.sites
    for step, site in enumerate(marginal.hidden, start=1):
        values = sites[site].values.tolist()
        configuration[site] = [values[-(1 + step * row) % len(values)] for row in range(marginal.num_rows)]
    return configuration


def _check_outside(marginal: ProgramMarginal, plain: Factors, enumerated: Factors) -> None:
    """Raise where something outside the plate over rows depends on a hidden site, or a log probability is NaN."""
    for label, factor in unstacked(plain.rows):
        if bool(torch.isnan(factor).any()):
            raise ValueError(
                f"PyroModel: the log probability of {label.site!r} is NaN at Greeks in their supports; is a scale "
                "negative, or the root of a negative number?"
            )
    if not torch.allclose(plain.outside, enumerated.outside, rtol=TOLERANCE, atol=TOLERANCE):
        raise ValueError(
            f"PyroModel: in {describe(marginal.fn)} something outside the plate over rows depends on a hidden site "
            f"({list(marginal.hidden)}), so that rows are not independent given the Greeks; move it into the plate"
        )


def _gaps(plain: Factors, enumerated: Factors) -> dict[str, Tensor]:
    """How far each site's log probability is from its expectation under the enumerated program's posterior weights.

    The relative difference [N]; 0 in rows of probability 0.
    """
    possible = torch.isfinite(plain.pointwise())
    expected = {label.site: _by_row(plain, label, factor) for label, factor in unstacked(plain.rows)}
    gaps, weights = {}, unstacked(enumerated.weighing(posterior(enumerated)))
    for (label, factor), (_, weight) in zip(unstacked(enumerated.rows), weights, strict=True):
        value = _by_row(enumerated, label, weight * factor.masked_fill(weight == 0, 0.0))
        gap = (value - expected[label.site]).abs() / (1.0 + expected[label.site].abs())
        gaps[label.site] = torch.where(possible, gap, 0.0)
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
