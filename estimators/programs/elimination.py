"""The sum over hidden configurations of a product of factors, row by row: variable elimination on log factors.

    log p(row n) = log Σ_z Π_f f(z, row n)

A sum over one symbol is a logsumexp of the factors that have it, so a hidden Markov chain costs a time linear in its
length. Symbols that share no factor are summed out together where their factors have one shape: of a chain every other
state, and again of what is left, in as many rounds as its length has binary digits. (Pyro's own log-einsum shifts each
factor by its own maximum, which underflows where factors favour different values by more than 745 nats.)
"""

import functools
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from pyro.ops.contract import contract_tensor_tree
from pyro.ops.rings import LogRing
from torch import Tensor

from estimators.parameters.parameter import LOG_ZERO

# Fewer sums than this are done one by one, as are those of more numbers than this together.
LEAST_TOGETHER = 4
MOST_NUMBERS = 4_000_000
# A symbol with at most two neighbours may be summed out at any time: no later sum gets larger by it.
MOST_DIMS = 3


@dataclass(frozen=True)
class Label:
    """A factor's site, the symbols of its dimensions and of its plates, and that of the site's own enumeration."""

    site: str
    dims: str
    plates: frozenset[str]
    own: str | None

    @property
    def hidden(self) -> list[str]:
        """The symbols that are summed over."""
        return [dim for dim in self.dims if dim not in self.plates]

    @property
    def kind(self) -> tuple[tuple[str, ...], frozenset[str]]:
        """What the labels of one stack have in common: which dimensions are plates'."""
        return tuple(dim if dim in self.plates else "" for dim in self.dims), self.plates


class Stack(NamedTuple):
    """Log factors [G, ...] of one shape, each with its own label; their plates are the same dimensions."""

    log_factors: Tensor
    labels: tuple[Label, ...]


def log_sum(stacks: Sequence[Stack], rows_symbol: str, num_rows: int) -> Tensor:
    """log p(row) as [N]: the product of the factors summed over every symbol that is no plate's."""
    stacks = _in_rounds(stacks)
    tree: OrderedDict[frozenset[str], list[Tensor]] = OrderedDict()
    sizes = dict[str, int]()
    for label, factor in unstacked(stacks):
        tree.setdefault(label.plates, []).append(named(factor, label.dims))
        sizes.update(zip(label.dims, factor.shape, strict=True))
    ring: Any = _StableLogRing(cache={}, dim_to_size=sizes)  # type: ignore[no-untyped-call]
    total = torch.zeros(num_rows, dtype=torch.float64)
    for plates, terms in contract_tensor_tree(tree, set(sizes) - frozenset().union(*tree), ring=ring).items():
        for term in terms:
            total = total + ring.product(term, plates - {rows_symbol}).expand(num_rows)
    return total


def unstacked(stacks: Iterable[Stack]) -> Iterator[tuple[Label, Tensor]]:
    """The factors one by one, each with its label."""
    for log_factors, labels in stacks:
        yield from zip(labels, log_factors.unbind(), strict=True)


# ---------------------------------------------------------------- many symbols at a time


# A factor by the number of its stack and its place in it.
Place = tuple[int, int]


class _Sum(NamedTuple):
    """A symbol that is summed out, and the factors that have it."""

    symbol: str
    places: tuple[Place, ...]


def _in_rounds(stacks: Sequence[Stack]) -> Sequence[Stack]:
    """The stacks after the sums that can be done many at a time."""
    stacks = _merged(stacks)
    while groups := _groups(stacks):
        summed = {place for group in groups for one, _ in group for place in one.places}
        left = [_without(stack, number, summed) for number, stack in enumerate(stacks)]
        stacks = [stack for stack in left if stack.labels] + [_summed(stacks, group) for group in groups]
    return stacks


def _merged(stacks: Sequence[Stack]) -> list[Stack]:
    """The factors in as few stacks as their shapes allow."""
    by_shape: defaultdict[Any, list[Stack]] = defaultdict(list)
    for stack in stacks:
        by_shape[stack.log_factors.shape[1:], *stack.labels[0].kind].append(stack)
    return [
        Stack(torch.cat([stack.log_factors for stack in alike]), tuple(label for s in alike for label in s.labels))
        if len(alike) > 1
        else alike[0]
        for alike in by_shape.values()
    ]


def _groups(stacks: Sequence[Stack]) -> list[list[tuple[_Sum, str]]]:
    """Sums that can be done together, each with its other hidden symbols."""
    by_shape: defaultdict[Any, list[tuple[_Sum, str]]] = defaultdict(list)
    for one in _independent_sums(stacks):
        shape, neighbours = _shape_of(stacks, one)
        by_shape[shape].append((one, neighbours))
    return [group for group in by_shape.values() if len(group) >= LEAST_TOGETHER]


def _independent_sums(stacks: Sequence[Stack]) -> list[_Sum]:
    """Sums of few numbers no two of which share a factor, those of the fewest symbols first."""
    places: defaultdict[str, list[Place]] = defaultdict(list)
    for number, stack in enumerate(stacks):
        for position, label in enumerate(stack.labels):
            for symbol in label.hidden:
                places[symbol].append((number, position))
    candidates = []
    for symbol, own in places.items():
        labels = [stacks[number].labels[position] for number, position in own]
        dims = set("".join(label.dims for label in labels))
        num_hidden = len(dims - labels[0].plates)
        if num_hidden <= MOST_DIMS and all(label.plates == labels[0].plates for label in labels):
            candidates.append((num_hidden, _Sum(symbol, tuple(own))))
    used, chosen, numbers = set[Place](), [], 0
    for _, one in sorted(candidates, key=lambda candidate: candidate[0]):
        if used.isdisjoint(one.places):
            used.update(one.places)
            numbers += _size(stacks, one)
            chosen.append(one)
    return chosen if numbers <= MOST_NUMBERS else []


def _size(stacks: Sequence[Stack], one: _Sum) -> int:
    """How many numbers the product of the factors has."""
    sizes = dict[str, int]()
    for number, position in one.places:
        stack = stacks[number]
        sizes.update(zip(stack.labels[position].dims, stack.log_factors.shape[1:], strict=True))
    return torch.Size(sizes.values()).numel()


def _shape_of(stacks: Sequence[Stack], one: _Sum) -> tuple[Any, str]:
    """What sums that can be done together have in common, and the other hidden symbols in their order.

    The stack of each factor, and what its dimensions are to the sum.
    """
    labels = [stacks[number].labels[position] for number, position in one.places]
    neighbours = "".join(dict.fromkeys(dim for label in labels for dim in label.hidden if dim != one.symbol))
    roles = tuple(tuple(_role(dim, label, neighbours) for dim in label.dims) for label in labels)
    return (tuple(number for number, _ in one.places), roles, labels[0].plates), neighbours


def _role(dim: str, label: Label, neighbours: str) -> str | int:
    """A plate's dimension by its symbol, a neighbour's by its number, and -1 for what is summed out."""
    return dim if dim in label.plates else neighbours.find(dim)


def _summed(stacks: Sequence[Stack], group: Sequence[tuple[_Sum, str]]) -> Stack:
    """The sums of a group, as one stack."""
    first, neighbours = group[0]
    products = []
    for slot, (number, position) in enumerate(first.places):
        stack = stacks[number]
        index = torch.tensor([one.places[slot][1] for one, _ in group])
        products.append((_selected(stack.log_factors, index), stack.labels[position]))
    plates = products[0][1].plates
    own_plates = "".join(dict.fromkeys(dim for _, label in products for dim in label.dims if dim in plates))
    names = own_plates + neighbours + first.symbol
    total = functools.reduce(torch.add, (_aligned(factor, label.dims, names) for factor, label in products))
    labels = tuple(Label(one.symbol, own_plates + others, plates, None) for one, others in group)
    return Stack(_log_sum_exp(total, -1), labels)


def _without(stack: Stack, number: int, summed: set[Place]) -> Stack:
    """A stack without the factors that were summed over."""
    kept = [position for position in range(len(stack.labels)) if (number, position) not in summed]
    if len(kept) == len(stack.labels):
        return stack
    labels = tuple(stack.labels[position] for position in kept)
    return Stack(_selected(stack.log_factors, torch.tensor(kept, dtype=torch.long)), labels)


def _selected(values: Tensor, index: Tensor) -> Tensor:
    """Entries of the first axis: a view where they are evenly spaced."""
    steps = index.diff().unique().tolist()
    if len(index) and len(steps) <= 1 and (step := steps[0] if steps else 1) > 0:
        return values[int(index[0]) : int(index[-1]) + 1 : step]
    return values.index_select(0, index)


def _aligned(stack: Tensor, dims: str, names: str) -> Tensor:
    """A stack [G, *dims] as [G, *names], of size 1 where it does not have the dimension."""
    ordered = stack.permute([0, *(dims.index(dim) + 1 for dim in names if dim in dims)])
    return ordered[(slice(None), *(slice(None) if dim in dims else None for dim in names))]


# ---------------------------------------------------------------- one symbol at a time


def _log_sum_exp(values: Tensor, axis: int) -> Tensor:
    """torch's logsumexp, but with derivative 0 in place of NaN where all values are -inf."""
    is_none = values.amax(axis) == -torch.inf
    return torch.where(is_none, -torch.inf, torch.logsumexp(values.clamp_min(LOG_ZERO), axis))


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
            left.append(named(_log_sum_exp(product, names.index(dim)), names.replace(dim, "")))
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
