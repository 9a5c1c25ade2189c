"""The factors of an enumerated program and their sum over hidden configurations, row by row.

    log p(row n | φ) = log Σ_z Π_f f(z, row n; φ)

Pyro allocates the enumeration dimensions (recycled along a `pyro.markov` chain) and orders the elimination across
plates; a sum over one dimension is a logsumexp of the factors that have it, in an order that keeps the intermediate
tensors small, so a hidden Markov chain costs a time linear in its length. (Pyro's own log-einsum shifts each factor by
its own maximum, which underflows where factors favour different values by more than 745 nats.)
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from pyro import poutine
from pyro.ops.contract import contract_tensor_tree
from pyro.ops.rings import LogRing
from torch import Tensor

from estimators.data.data import Data
from estimators.parameters.parameter import LOG_ZERO
from estimators.programs.call import Program, passed
from estimators.programs.handlers import Evidence, Observing, Substituting
from estimators.programs.sites import Structure
from estimators.programs.structure import run

# Sweeps of proportional fitting, and how near to the given shares they lead.
MAX_SWEEPS = 200
FITTED = 1e-12


@dataclass(frozen=True)
class Label:
    """What a factor's tensor is: its site, the symbols of its dimensions, those of its plates, and the site's own."""

    site: str
    dims: str
    plates: frozenset[str]
    own: str | None


@dataclass(frozen=True, eq=False)
class Factors:
    """One run of a program at given Greeks: log prior (a scalar), log of global factors, and the factors of the rows.

    ``rows`` are log factors with their labels; ``rows_symbol`` is the dimension of the rows, of size ``num_rows``.
    """

    log_prior: Tensor
    log_global: Tensor
    rows: tuple[Tensor, ...]
    labels: tuple[Label, ...]
    rows_symbol: str
    num_rows: int
    nodes: Mapping[str, Any]

    def pointwise(self, factors: Sequence[Tensor] | None = None) -> Tensor:
        """log p(row | φ) as [N]; at other values of the factors, if given."""
        return total_by_row(self.rows if factors is None else factors, self.labels, self.rows_symbol, self.num_rows)


def evaluate(
    fn: Program, structure: Structure, evidence: Evidence, data: Data, greeks: Mapping[str, Tensor]
) -> Factors:
    """Run a program on data with its Greeks given and its hidden sites enumerated."""
    program = Substituting(greeks)(
        poutine.enum(Observing(evidence)(fn), first_available_dim=-1 - structure.num_plate_dims)
    )
    trace = run(program, fn, passed(fn, data, structure.names), data.num_rows)
    return collect(poutine.util.prune_subsample_sites(trace), structure, greeks, data.num_rows)


def collect(
    trace: Any,
    structure: Structure,
    greeks: Mapping[str, Tensor],
    num_rows: int,
    keep: Collection[str] | None = None,
) -> Factors:
    """The factors of a trace: of all its sites in a row, or of those named."""
    trace.compute_log_prob()
    trace.pack_tensors()
    zero = torch.zeros((), dtype=torch.float64)
    log_prior, log_global = zero, zero
    rows, labels = [], []
    for name, node in trace.nodes.items():
        if node["type"] != "sample" or poutine.util.site_is_subsample(node):
            continue
        plates = {frame.name for frame in node["cond_indep_stack"] if frame.vectorized}
        if structure.rows_plate in plates:
            if keep is not None and name not in keep:
                continue
            packed = node["packed"]["log_prob"]
            symbols = frozenset(trace.plate_to_symbol[plate] for plate in plates)
            labels.append(Label(name, packed._pyro_dims, symbols, node["infer"].get("_enumerate_symbol")))
            rows.append(packed.double())
        elif name in greeks:
            log_prior = log_prior + node["log_prob"].double().sum()
        else:
            log_global = log_global + node["log_prob"].double().sum()
    symbol = trace.plate_to_symbol[structure.rows_plate]
    return Factors(log_prior, log_global, tuple(rows), tuple(labels), symbol, num_rows, trace.nodes)


def total_by_row(factors: Sequence[Tensor], labels: Sequence[Label], rows_symbol: str, num_rows: int) -> Tensor:
    """Sum the product of the factors over every enumerated dimension: its log for each row [N]."""
    tree: OrderedDict[frozenset[str], list[Tensor]] = OrderedDict()
    for factor, label in zip(factors, labels, strict=True):
        tree.setdefault(label.plates, []).append(_named(factor, label.dims))
    plates = frozenset().union(*tree)
    sizes = {
        dim: size
        for terms in tree.values()
        for term in terms
        for dim, size in zip(term._pyro_dims, term.shape, strict=True)  # type: ignore[attr-defined]
    }
    ring: Any = _StableLogRing(cache={}, dim_to_size=sizes)  # type: ignore[no-untyped-call]
    total = torch.zeros(num_rows, dtype=torch.float64)
    for ordinal, terms in contract_tensor_tree(tree, set(sizes) - plates, ring=ring).items():
        for term in terms:
            row = ring.product(term, ordinal - {rows_symbol})
            total = total + row.expand(num_rows)
    return total


def posterior(factors: Factors) -> tuple[Tensor, ...]:
    """Each factor's exact posterior weights, ``∂ log p(row) / ∂ log f``, in the shape of the factor.

    Every row's weights sum to 1 over the enumerated dimensions.
    """
    return weights_of(factors, factors.rows, torch.ones(factors.num_rows, dtype=torch.float64))[1]


def weights_of(factors: Factors, at: Sequence[Tensor], row_weights: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """``Σ_n w_n log p(row n)`` and its derivative with respect to every log factor."""
    leaves = [part.detach().requires_grad_() for part in at]
    with torch.enable_grad():
        total = (factors.pointwise(leaves) * row_weights).sum()
        slopes = torch.autograd.grad(total, leaves)
    return total.detach(), slopes


def by_value(factors: Factors, weights: Sequence[Tensor], site: str) -> Tensor:
    """p(site = k | row) as [N, ..., K] from the posterior weights of the factors."""
    place = next(index for index, label in enumerate(factors.labels) if label.site == site)
    label, weight = factors.labels[place], weights[place]
    keep = [dim for dim in label.dims if dim == label.own or dim in label.plates]
    summed = (
        weight.sum([index for index, dim in enumerate(label.dims) if dim not in keep])
        if len(keep) < len(label.dims)
        else weight
    )
    order = sorted(keep, key=lambda dim: (dim == label.own, dim != factors.rows_symbol, keep.index(dim)))
    shares = summed.permute([keep.index(dim) for dim in order])
    if factors.rows_symbol not in keep:
        shares = shares.expand(factors.num_rows, *shares.shape)
    if label.own not in keep:
        shares = shares.unsqueeze(-1)
    return shares


def tilted(factors: Factors, shares: Tensor, site: str, row_weights: Tensor) -> tuple[Tensor, ...]:
    """Each factor's weights in the law nearest to the posterior under which a site has these shares [N, ..., K].

    The posterior times a factor of the site's values alone, found by iterative proportional fitting: of a site with one
    value per row at once, of several that hang together (a chain's) in turns.
    """
    index = next((i for i, label in enumerate(factors.labels) if label.site == site and label.own is not None), None)
    if index is None:
        raise ValueError(
            f"responsibilities: expected those of a hidden site, got {site!r}, which is known in every row"
        )
    label = factors.labels[index]
    plates = [dim for dim in label.dims if dim in label.plates and dim != factors.rows_symbol]
    tilt = Label(site, "".join([factors.rows_symbol, *plates, str(label.own)]), label.plates, label.own)
    wanted = shares.double().clamp_min(0.0)
    log_tilt = torch.zeros_like(wanted)
    for _ in range(MAX_SWEEPS):
        whole = replace(factors, rows=(*factors.rows, log_tilt), labels=(*factors.labels, tilt))
        have = posterior(whole)[-1]
        if bool((have - wanted).abs().max() <= FITTED):
            break
        # What cannot be stays impossible, whatever share it is given.
        log_tilt = log_tilt + torch.where(have > 0, wanted.log() - have.log(), 0.0).clamp_min(LOG_ZERO)
    return weights_of(whole, whole.rows, row_weights)[1][:-1]


class _StableLogRing(LogRing):
    """Sums by logsumexp over the sum of the factors, one dimension at a time, the cheapest first."""

    def sumproduct(self, terms: Iterable[Tensor], dims: Iterable[str]) -> Tensor:
        left, pending = list(terms), set(dims)
        while pending:
            dim = min(sorted(pending), key=lambda d: len(set("".join(_dims(t) for t in left if d in _dims(t)))))
            pending.discard(dim)
            touching = [term for term in left if dim in _dims(term)]
            if touching:
                left = [term for term in left if dim not in _dims(term)]
                whole = _added(touching)
                names = _dims(whole)
                left.append(_named(torch.logsumexp(whole, names.index(dim)), names.replace(dim, "")))
        return _added(left)


def _added(terms: Sequence[Tensor]) -> Tensor:
    """The sum of named tensors, broadcast over each other's dimensions."""
    names = "".join(sorted(set("".join(_dims(term) for term in terms))))
    total: Tensor | None = None
    for term in terms:
        own = _dims(term)
        ordered = term.permute([own.index(dim) for dim in names if dim in own])
        placed = ordered[tuple(slice(None) if dim in own else None for dim in names)]
        total = placed if total is None else total + placed
    assert total is not None
    return _named(total, names)


def _dims(term: Tensor) -> str:
    names: str = term._pyro_dims  # type: ignore[attr-defined]
    return names


def _named(term: Tensor, dims: str) -> Tensor:
    # An alias, so that a tensor that belongs to someone else does not get a name.
    alias: Any = term.view_as(term)
    alias._pyro_dims = dims
    named: Tensor = alias
    return named
