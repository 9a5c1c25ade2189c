"""The factors of an enumerated program and their sum over hidden configurations, row by row.

    log p(row n | φ) = log Σ_z Π_f f(z, row n; φ)

Pyro allocates the enumeration dimensions (recycled along a `pyro.markov` chain) and orders the elimination across
plates; a sum over one dimension is a logsumexp of the factors that have it, in an order that keeps the intermediate
tensors small, so a hidden Markov chain costs a time linear in its length. (Pyro's own log-einsum shifts each factor by
its own maximum, which underflows where factors favour different values by more than 745 nats.)
"""

import functools
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
from estimators.programs.call import Program
from estimators.programs.handlers import Evidence, Observing, Substituting
from estimators.programs.sites import Structure
from estimators.programs.structure import run

# Iterative proportional fitting ends when all shares are this near to those given, or after so many sweeps.
MAX_SWEEPS = 200
FITTED = 1e-12


@dataclass(frozen=True)
class Label:
    """A factor's site, the symbols of its dimensions and of its plates, and that of the site's own enumeration."""

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

    def pointwise(self) -> Tensor:
        """log p(row | φ) as [N]: the product of the factors summed over every enumerated dimension."""
        tree: OrderedDict[frozenset[str], list[Tensor]] = OrderedDict()
        sizes = dict[str, int]()
        for factor, label in zip(self.rows, self.labels, strict=True):
            tree.setdefault(label.plates, []).append(named(factor, label.dims))
            sizes.update(zip(label.dims, factor.shape, strict=True))
        ring: Any = _StableLogRing(cache={}, dim_to_size=sizes)  # type: ignore[no-untyped-call]
        total = torch.zeros(self.num_rows, dtype=torch.float64)
        for plates, terms in contract_tensor_tree(tree, set(sizes) - frozenset().union(*tree), ring=ring).items():
            for term in terms:
                total = total + ring.product(term, plates - {self.rows_symbol}).expand(self.num_rows)
        return total


@dataclass(frozen=True, eq=False)
class Enumeration:
    """A program on data with what these say of its sites: all that an enumerated run needs but the Greeks."""

    fn: Program
    structure: Structure
    evidence: Evidence
    data: Data

    def factors(self, greeks: Mapping[str, Tensor]) -> Factors:
        """The factors of one run; to be called in `program_mode`."""
        observed = Observing(self.evidence)(self.fn)
        program = Substituting(greeks)(poutine.enum(observed, first_available_dim=-1 - self.structure.num_plate_dims))
        trace = poutine.util.prune_subsample_sites(run(program, self.fn, self.data, self.structure.names))
        return collect(trace, self.structure, greeks, self.data.num_rows)


def collect(
    trace: Any,
    structure: Structure,
    greeks: Mapping[str, Tensor],
    num_rows: int,
    keep: Collection[str] | None = None,
) -> Factors:
    """The factors of a trace: of all sites of a row, or of those in ``keep``."""
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


def posterior(factors: Factors) -> tuple[Tensor, ...]:
    """Each factor's exact posterior weights, ``∂ log p(row) / ∂ log f``, in the shape of the factor.

    Every row's weights sum to 1 over the enumerated dimensions.
    """
    return weights_of(factors, torch.ones(factors.num_rows, dtype=torch.float64))[1]


def row_weights(data: Data) -> Tensor:
    """How often each row counts [N]."""
    return torch.ones(data.num_rows, dtype=torch.float64) if data.weights is None else data.weights


def weights_of(factors: Factors, counts: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """``Σ_n w_n log p(row n)`` and its derivative with respect to every log factor, for rows that count w times."""
    leaves = tuple(factor.detach().requires_grad_() for factor in factors.rows)
    with torch.enable_grad():
        total = (replace(factors, rows=leaves).pointwise() * counts).sum()
        slopes = torch.autograd.grad(total, leaves)
    return total.detach(), slopes


def by_value(factors: Factors, weights: Sequence[Tensor], site: str) -> Tensor:
    """p(site = k | row) as [N, ..., K] from the posterior weights of the factors."""
    position = next(index for index, label in enumerate(factors.labels) if label.site == site)
    label, weight = factors.labels[position], weights[position]
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


def tilted(factors: Factors, shares: Tensor, site: str, counts: Tensor) -> tuple[Tensor, ...]:
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
    target = shares.double().clamp_min(0.0)
    log_tilt = torch.zeros_like(target)
    possible = posterior(replace(factors, rows=(*factors.rows, log_tilt), labels=(*factors.labels, tilt)))[-1]
    # A row with shares of impossible values alone, as where the site is seen to be another, keeps its posterior.
    target = torch.where(possible > 0, target, 0.0)
    total = target.sum(-1, keepdim=True)
    target = torch.where(total > 0, target / total, possible)
    for _ in range(MAX_SWEEPS):
        whole = replace(factors, rows=(*factors.rows, log_tilt), labels=(*factors.labels, tilt))
        current = posterior(whole)[-1]
        if bool((current - target).abs().max() <= FITTED):
            break
        # A value of posterior probability 0 keeps it, whatever share it is given.
        log_tilt = log_tilt + torch.where(current > 0, target.log() - current.log(), 0.0).clamp_min(LOG_ZERO)
    return weights_of(whole, counts)[1][:-1]


class _StableLogRing(LogRing):
    """Eliminates one dimension at a time by logsumexp, the one with the smallest product of factors first."""

    def sumproduct(self, terms: Iterable[Tensor], dims: Iterable[str]) -> Tensor:
        left, pending = list(terms), set(dims)
        while pending:
            dim = min(sorted(pending), key=lambda d: len(set("".join(dims_of(t) for t in left if d in dims_of(t)))))
            pending.discard(dim)
            product = _added([term for term in left if dim in dims_of(term)])
            left = [term for term in left if dim not in dims_of(term)]
            names = dims_of(product)
            left.append(named(torch.logsumexp(product, names.index(dim)), names.replace(dim, "")))
        return _added(left)


def _added(terms: Sequence[Tensor]) -> Tensor:
    """The sum of named tensors, broadcast over each other's dimensions."""
    names = "".join(sorted(set("".join(dims_of(term) for term in terms))))
    aligned = []
    for term in terms:
        own = dims_of(term)
        ordered = term.permute([own.index(dim) for dim in names if dim in own])
        aligned.append(ordered[tuple(slice(None) if dim in own else None for dim in names)])
    return named(functools.reduce(torch.add, aligned), names)


def dims_of(term: Tensor) -> str:
    """The symbols of a packed tensor's dimensions."""
    symbols: str = term._pyro_dims  # type: ignore[attr-defined]
    return symbols


def named(term: Tensor, dims: str) -> Tensor:
    """The tensor with symbols for its dimensions: a view, since the tensor itself may be the program's own."""
    view = term.view_as(term)
    view._pyro_dims = dims  # type: ignore[attr-defined]
    return view
