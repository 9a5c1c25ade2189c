"""What a program is made of, found by running it: Greeks, the plate over rows, and the sites in it."""

import itertools
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.distributions.transforms import biject_to
from torch.distributions import constraints

from estimators.data.data import Data
from estimators.isolation import program_mode
from estimators.parameters.sparse import DrawnInLogs
from estimators.programs.call import Program, arguments, describe, first_line, passed, required
from estimators.programs.handlers import Evidence, Observing, unmasked
from estimators.programs.missing import filled, need_complete
from estimators.programs.sites import Greek, RowSite, Structure


def run(program: Callable[..., Any], fn: Program, data: Data, sites: Collection[str]) -> Any:
    """The `Trace` of a program, a version of ``fn`` under handlers, on rows that condition these sites."""
    positional, named = arguments(fn, data, sites)
    with poutine.block(), DrawnInLogs():
        return poutine.trace(program).get_trace(*positional, **named)


def structure_of(fn: Program, data: Data) -> Structure:
    """Run a program on the rows and on one row more, and read its structure off the traces.

    Raises ValueError where it has no plate over rows, or sites that this package cannot marginalise.
    """
    need_complete(fn, {name: data.columns.get(name) for name in required(fn)})
    names = frozenset(
        name
        for name, node in _sampled(fn, filled(data), (), 2).nodes.items()
        if node["type"] == "sample" and not poutine.util.site_is_subsample(node)
    )
    _need_no_obs_mask(names)
    need_complete(fn, passed(fn, data, names))
    # Run on the data's own rows: a program may take the sizes of its other plates from a column's entries.
    trace, longer = (_sampled(fn, data, names, size) for size in (data.num_rows, data.num_rows + 1))
    rows = _rows_plate(fn, trace, longer, data.num_rows)
    sites, greeks, factors, nesting, is_masked = {}, [], list[str](), 0, False
    for name, node in longer.nodes.items():
        if node["type"] == "param":
            greeks.append(_parameter(name, node))
        if node["type"] != "sample":
            continue
        if poutine.util.site_is_subsample(node):
            _need_whole_plate(name, node)
            continue
        frames = [frame for frame in node["cond_indep_stack"] if frame.vectorized]
        nesting = max([nesting, *(-frame.dim for frame in frames)])
        is_in_row = any(frame.name == rows for frame in frames)
        if _is_fixed(node):
            if is_in_row and isinstance(_base(node["fn"]), dist.Unit):
                factors.append(name)
            continue
        if is_in_row and not bool((torch.as_tensor(node["scale"]) == 1.0).all()):
            raise ValueError(
                f"PyroModel: the site {name!r} is scaled by {node['scale']} (poutine.scale, or a subsampled plate), "
                "which is no likelihood of a row once hidden sites are summed out; use Data(..., weights=...)"
            )
        if is_in_row:
            sites[name] = _row_site(name, node, rows)
            is_masked |= unmasked(node["fn"], node["mask"])[1] is not True
        elif not node["is_observed"]:
            greeks.append(_greek(name, node, trace.nodes.get(name)))
    sized = [name for name in sites if sites[name].is_discrete and hasattr(longer.nodes[name]["fn"], "total_count")]
    for name in sized:
        if _has_other_values_elsewhere(fn, data, names, sites, name, nesting):
            sites[name] = replace(sites[name], is_discrete=False, values=torch.zeros(0, dtype=torch.float64))
    return Structure(tuple(greeks), sites, rows, nesting, is_masked, tuple(factors), names)


def _sampled(fn: Program, data: Data, conditioned: Collection[str], num_rows: int) -> Any:
    index = torch.arange(num_rows).clamp_max(data.num_rows - 1)
    rows = data.unweighted_rows(index)
    try:
        with program_mode(seed=num_rows):
            return run(fn, fn, rows, conditioned)
    except Exception as error:
        if isinstance(error, TypeError) and str(error).startswith("PyroModel:"):
            raise
        raise _failed(fn, error) from error


def _need_no_obs_mask(names: Collection[str]) -> None:
    for name in names:
        if f"{name}_observed" in names and f"{name}_unobserved" in names:
            raise ValueError(
                f"PyroModel: obs_mask= splits the site {name!r} in two, {name}_observed and {name}_unobserved. Leave "
                f"obs= and obs_mask= out, and give the column {name!r} in the data: -1 where a discrete {name} is not "
                'seen, or NaN with Data(..., missing="marginalize")'
            )


def _need_whole_plate(name: str, node: Any) -> None:
    if len(node["value"]) < node["fn"].size:
        raise ValueError(
            f"PyroModel: the plate {name!r} draws {len(node['value'])} of its {node['fn'].size} entries "
            "(subsample_size), others at every evaluation; leave subsample_size out"
        )


def _failed(fn: Program, error: Exception) -> ValueError:
    first = first_line(error)
    if "Boolean value of Tensor" in first:
        return ValueError(
            f"PyroModel: {describe(fn)} uses the values of a site in Python control flow (if, while, and, or), where a "
            "plate has one value per row, and enumeration all values at once; use torch.where or index a table "
            f"({first})"
        )
    hint = ""
    if "dtype" in first or "scalar type" in first:
        hint = ". Programs run in float64: make tensors from outside it float64 too, e.g. with .double()"
    return ValueError(
        f"PyroModel: {describe(fn)} failed when run on a few rows with its sites sampled ({type(error).__name__}: "
        f"{first}); it must run as a Pyro program for any number of rows{hint}"
    )


def _rows_plate(fn: Program, trace: Any, longer: Any, num_rows: int) -> str:
    """The plate that is longer in a run on more rows."""
    sizes, others = (
        {
            frame.name: frame.size
            for node in run.nodes.values()
            if node["type"] == "sample"
            for frame in node["cond_indep_stack"]
            if frame.vectorized
        }
        for run in (trace, longer)
    )
    growing: list[str] = [name for name, size in others.items() if sizes.get(name) != size]
    if len(growing) == 1:
        return growing[0]
    if growing:
        raise ValueError(
            f"PyroModel: {describe(fn)} has {len(growing)} plates over rows, {sorted(growing)}; put all sites of a row "
            "into one plate"
        )
    held = f"; its plates have fixed sizes: {others}" if others else ""
    raise ValueError(
        f"PyroModel: {describe(fn)} has no plate over rows whose size is the number of rows (the data have "
        f'{num_rows}){held}. Put the sites of a row into `with pyro.plate("data", N):`, with N the first parameter '
        "or the length of a column"
    )


def _is_fixed(node: Any) -> bool:
    """A deterministic site or a factor, which has nothing to estimate."""
    return bool(node["infer"].get("_deterministic")) or isinstance(_base(node["fn"]), dist.Delta | dist.Unit)


def _base(fn: Any) -> Any:
    while hasattr(fn, "base_dist"):
        fn = fn.base_dist
    return fn


def _row_site(name: str, node: Any, rows: str) -> RowSite:
    fn = node["fn"]
    frame = next(frame for frame in node["cond_indep_stack"] if frame.name == rows)
    shape = (*fn.batch_shape, *fn.event_shape)
    axis = len(fn.batch_shape) + frame.dim
    rest = tuple(size for index, size in enumerate(shape) if index != axis)
    # One-hot vectors and the like have several numbers per value: they may be observed, but are not enumerated.
    is_discrete, values = bool(fn.has_enumerate_support) and not fn.event_dim, torch.zeros(0, dtype=torch.float64)
    try:
        values = fn.enumerate_support(expand=False).reshape(-1) if is_discrete else values
    except NotImplementedError:
        # The number of values differs between rows, as of a Binomial: it may be observed, but is not enumerated.
        is_discrete = False
    inner = unmasked(fn, None)[0]
    is_independent = isinstance(inner, dist.Independent) and not inner.base_dist.event_dim
    is_observed = bool(node["is_observed"])
    known = name, axis, rest, fn.event_dim, is_discrete, is_observed, values, fn.support, is_independent
    return RowSite(*known, type(inner))


def _has_other_values_elsewhere(
    fn: Program, data: Data, names: Collection[str], sites: Mapping[str, RowSite], name: str, nesting: int
) -> bool:
    """Whether how many values a count has depends on a discrete site before it, which was drawn alike in all rows."""
    before = tuple(itertools.takewhile(lambda other: other != name, sites))
    evidence = Evidence(hidden=tuple(other for other in before if sites[other].is_discrete), free=frozenset(sites))
    program = poutine.enum(Observing(evidence)(fn), first_available_dim=-1 - nesting)
    with program_mode():
        trace = run(program, fn, filled(data), names)
        try:
            trace.nodes[name]["fn"].enumerate_support(expand=False)
        except NotImplementedError:
            return True
    return False


def _greek(name: str, node: Any, other: Any) -> Greek:
    fn = node["fn"]
    if fn.has_enumerate_support or getattr(fn.support, "is_discrete", False):
        raise ValueError(
            f"PyroModel: the hidden discrete site {name!r} is outside the plate over rows, so rows are not "
            "independent given the Greeks; only discrete sites inside that plate can be summed out"
        )
    try:
        transform = biject_to(fn.support)
        coordinates = transform.inv(node["value"])
        same = other is None or torch.equal(transform(coordinates), biject_to(other["fn"].support)(coordinates))
    except (NotImplementedError, RuntimeError):
        raise ValueError(
            f"PyroModel: the support {fn.support} of {name!r} has no map from unconstrained coordinates in Pyro's "
            "biject_to; use a distribution whose support it knows"
        ) from None
    if not same:
        raise ValueError(
            f"PyroModel: the support of {name!r} depends on other Greeks; sample it on a fixed support and transform "
            "the value, e.g. low + (high - low) * u with u ~ Uniform(0, 1)"
        )
    axes = {frame.name: len(fn.batch_shape) + frame.dim for frame in node["cond_indep_stack"] if frame.vectorized}
    return Greek(name, tuple(node["value"].shape), fn.event_dim, fn.support, None, axes)


def _parameter(name: str, node: Any) -> Greek:
    support = node["kwargs"].get("constraint", constraints.real)
    value = node["value"].detach().double()
    event_dim = node["kwargs"].get("event_dim")
    axes = {
        frame.name: value.ndim - int(event_dim or 0) + frame.dim
        for frame in node["cond_indep_stack"]
        if frame.vectorized
    }
    return Greek(name, tuple(value.shape), support.event_dim, support, value, axes)
