"""The factors of an enumerated program, and the exact posterior weight of each.

    log p(row n | φ) = log Σ_z Π_f f(z, row n; φ)

Pyro allocates the enumeration dimensions (recycled along a `pyro.markov` chain); the derivative of log p with respect
to a log factor is the posterior probability of the configurations that it belongs to.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from pyro import poutine
from torch import Tensor

from estimators.data.data import Data
from estimators.parameters.parameter import LOG_ZERO
from estimators.programs.call import Program
from estimators.programs.elimination import Label, Stack, log_sum
from estimators.programs.handlers import Evidence, Observing, Substituting
from estimators.programs.sites import Structure
from estimators.programs.structure import run

# Iterative proportional fitting ends when all shares are this near to those given, or after so many sweeps.
MAX_SWEEPS = 200
FITTED = 1e-12


@dataclass(frozen=True, eq=False)
class Factors:
    """One run of a program at given Greeks: log prior (a scalar), log of global factors, and the factors of the rows.

    ``rows_symbol`` is the dimension of the rows, of size ``num_rows``.
    """

    log_prior: Tensor
    log_global: Tensor
    rows: tuple[Stack, ...]
    rows_symbol: str
    num_rows: int
    nodes: Mapping[str, Any]

    @property
    def outside(self) -> Tensor:
        """The logs [2] of what is outside the plate over rows: the prior, and global factors."""
        return torch.stack([self.log_prior, self.log_global])

    def pointwise(self) -> Tensor:
        """log p(row | φ) as [N]: the product of the factors summed over every enumerated dimension."""
        return log_sum(self.rows, self.rows_symbol, self.num_rows)

    @property
    def labels(self) -> tuple[Label, ...]:
        """The labels of all factors, in order."""
        return tuple(label for stack in self.rows for label in stack.labels)

    def times(self, log_factor: Tensor, label: Label) -> "Factors":
        """The factors and one more."""
        return replace(self, rows=(*self.rows, Stack(log_factor[None], (label,))))

    def weighing(self, weights: Sequence[Tensor]) -> tuple[Stack, ...]:
        """Weights of the factors, in stacks like these."""
        return tuple(Stack(weight, stack.labels) for weight, stack in zip(weights, self.rows, strict=True))


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
    rows = []
    for name, node in trace.nodes.items():
        if node["type"] != "sample" or poutine.util.site_is_subsample(node):
            continue
        plates = {frame.name for frame in node["cond_indep_stack"] if frame.vectorized}
        if structure.rows_plate in plates:
            if keep is not None and name not in keep:
                continue
            packed = node["packed"]["log_prob"]
            symbols = frozenset(trace.plate_to_symbol[plate] for plate in plates)
            label = Label(name, packed._pyro_dims, symbols, node["infer"].get("_enumerate_symbol"))
            rows.append(Stack(packed.double()[None], (label,)))
        elif name in greeks:
            log_prior = log_prior + node["log_prob"].double().sum()
        else:
            log_global = log_global + node["log_prob"].double().sum()
    symbol = trace.plate_to_symbol[structure.rows_plate]
    return Factors(log_prior, log_global, tuple(rows), symbol, num_rows, trace.nodes)


def posterior(factors: Factors) -> tuple[Tensor, ...]:
    """Each factor's exact posterior weights, ``∂ log p(row) / ∂ log f``, in the shape of its stack.

    Every row's weights sum to 1 over the enumerated dimensions.
    """
    return weights_of(factors, torch.ones(factors.num_rows, dtype=torch.float64))[1]


def row_weights(data: Data) -> Tensor:
    """How often each row counts [N]."""
    return torch.ones(data.num_rows, dtype=torch.float64) if data.weights is None else data.weights


def weights_of(factors: Factors, counts: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """``Σ_n w_n log p(row n)`` and its derivative with respect to every log factor, for rows that count w times."""
    leaves = tuple(stack.log_factors.detach().requires_grad_() for stack in factors.rows)
    with torch.enable_grad():
        total = (replace(factors, rows=factors.weighing(leaves)).pointwise() * counts).sum()
        slopes = torch.autograd.grad(total, leaves)
    return total.detach(), slopes


def by_value(factors: Factors, weights: Sequence[Tensor], site: str) -> Tensor:
    """p(site = k | row) as [N, ..., K] from the posterior weights of the factors."""
    stacks = factors.weighing(weights)
    number, position = next(
        (number, position)
        for number, stack in enumerate(stacks)
        for position, label in enumerate(stack.labels)
        if label.site == site
    )
    label, weight = stacks[number].labels[position], stacks[number].log_factors[position]
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
    labels = [label for label in factors.labels if label.site == site and label.own is not None]
    if not labels:
        raise ValueError(
            f"responsibilities: expected those of a hidden site, got {site!r}, which is known in every row"
        )
    label = labels[0]
    plates = [dim for dim in label.dims if dim in label.plates and dim != factors.rows_symbol]
    tilt = Label(site, "".join([factors.rows_symbol, *plates, str(label.own)]), label.plates, label.own)
    target = shares.double().clamp_min(0.0)
    log_tilt = torch.zeros_like(target)
    possible = posterior(factors.times(log_tilt, tilt))[-1][0]
    # A row with shares of impossible values alone, as where the site is seen to be another, keeps its posterior.
    target = torch.where(possible > 0, target, 0.0)
    total = target.sum(-1, keepdim=True)
    target = torch.where(total > 0, target / total, possible)
    for _ in range(MAX_SWEEPS):
        whole = factors.times(log_tilt, tilt)
        current = posterior(whole)[-1][0]
        if bool((current - target).abs().max() <= FITTED):
            break
        # A value of posterior probability 0 keeps it, whatever share it is given.
        log_tilt = log_tilt + torch.where(current > 0, target.log() - current.log(), 0.0).clamp_min(LOG_ZERO)
    return weights_of(whole, counts)[1][:-1]
