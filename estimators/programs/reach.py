"""What the value of an entry that does not count reaches: nothing that does, or the program is refused.

A hidden site that the program masks, and a missing entry of an observed one, drop out of the density, since their own
distributions sum or integrate to 1, as long as no factor that counts depends on their values. Where one does, a missing
x would need ``∫ p(x) p(y | x) dx``, which nothing here integrates, and a masked z has no weights to be summed with:
Pyro's handlers would give ``Σ_z p(y | z)``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from pyro.ops import packed
from torch import Tensor

from estimators.programs.call import Program, describe
from estimators.programs.elimination import Label, dims_of, named, unstacked
from estimators.programs.factors import Enumeration, Factors
from estimators.programs.handlers import KEPT, Evident, unmasked
from estimators.programs.missing import stand_in

TOLERANCE = 1e-9
MOVES = 3


def check_masks(fn: Program, factors: Factors) -> None:
    """Raise where a factor that counts depends on a masked hidden site, or an observed site's mask on a hidden one."""
    masks = {label.site: _mask(factors, label) for label in factors.labels}
    name = describe(fn)
    for label in factors.labels:
        mask = masks[label.site]
        hidden = [dim for dim in dims_of(mask) if dim not in label.plates]
        if label.own is None and any(bool(_varies(mask, dim).any()) for dim in hidden):
            raise ValueError(
                f"PyroModel: in {name} the mask of {label.site!r} depends on a hidden site, so for some of its values "
                f"{label.site!r} has no density, and no likelihood; give it a distribution there"
            )
        if label.own is not None and not bool(mask.all()):
            for other, factor in unstacked(factors.rows):
                if other.site != label.site and label.own in other.dims:
                    _need_no_reach(name, label, mask, other, _counted(factor, other, masks[other.site]))


def _need_no_reach(name: str, label: Label, mask: Tensor, other: Label, counted: Tensor) -> None:
    left_out, varies = packed.broadcast_all(named(~mask, dims_of(mask)), _varies(counted, str(label.own)))
    if bool((left_out & varies).any()):
        raise ValueError(
            f"PyroModel: {name} masks the hidden site {label.site!r} in rows in which {other.site!r} depends on it and "
            "is not masked, so its values have no weights to be summed with; mask what depends on it too, or leave it "
            f"unmasked (where its value is known, give a column {label.site!r} with -1 elsewhere)"
        )


def check_missing(enumeration: Enumeration, greeks: Mapping[str, Tensor], factors: Factors) -> None:
    """Raise where a factor changes when the stand-ins for missing entries of observed sites do."""
    evidence, generator = enumeration.evidence, torch.Generator().manual_seed(0)
    for _ in range(MOVES):
        values = dict(evidence.values)
        for site, is_missing in evidence.is_missing.items():
            moved = stand_in(enumeration.structure.sites[site], is_missing.shape, generator)
            values[site] = torch.where(is_missing, moved, values[site])
        other = replace(enumeration, evidence=replace(evidence, values=values)).factors(greeks)
        for site in _changed(factors, other):
            raise ValueError(
                f"data: {site} in {describe(enumeration.fn)} depends on missing entries of the column(s) "
                f"{list(evidence.is_missing)}, and continuous values cannot be integrated out of a program; leave "
                "those rows out, or write a CausalMixture, which integrates linear Gaussian causes out"
            )


def _changed(factors: Factors, moved: Factors) -> Iterator[str]:
    """The sites whose factors differ between two runs."""
    if not torch.allclose(factors.outside, moved.outside, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True):
        yield "something outside the plate over rows"
    if factors.labels != moved.labels:
        yield "which sites there are"
    for (label, factor), (_, moved_factor) in zip(unstacked(factors.rows), unstacked(moved.rows), strict=False):
        if not torch.allclose(factor, moved_factor, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True):
            yield f"{label.site!r}"


def _mask(factors: Factors, label: Label) -> Tensor:
    """Which entries of a site the program lets count, packed as its factor is."""
    node = factors.nodes[label.site]
    kept = node["infer"][KEPT] if KEPT in node["infer"] else unmasked(node["fn"], node["mask"])[1]
    if isinstance(node["fn"], Evident):
        # Where a value is seen it alone has a factor, and nothing is summed over.
        kept = kept | (node["fn"].seen >= 0)
    mask: Tensor = packed.pack(torch.as_tensor(kept).clone(), node["infer"]["_dim_to_symbol"])
    return mask


def _counted(log_factor: Tensor, label: Label, mask: Tensor) -> Tensor:
    """A factor with log 1 in its masked entries."""
    factor, kept = packed.broadcast_all(named(log_factor, label.dims), mask)
    return named(torch.where(kept, factor, 0.0), dims_of(factor))


def _varies(factor: Tensor, dim: str) -> Tensor:
    """Where a packed tensor is not the same along a dimension."""
    names = dims_of(factor)
    axis = names.index(dim)
    values = factor.double().clamp_min(torch.finfo(torch.float64).min)
    high, low = values.amax(axis), values.amin(axis)
    return named(high - low > TOLERANCE * (1.0 + low.abs()), names.replace(dim, ""))
