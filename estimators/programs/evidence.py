"""What data say about the sites of a program: observed values, hidden values seen in some rows, and entries set."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from pyro.distributions.torch_distribution import TorchDistribution
from pyro.distributions.transforms import biject_to
from pyro.poutine.messenger import Messenger
from torch import Tensor

from estimators.data import NOT_SEEN, Data
from estimators.parameters import LOG_ZERO
from estimators.programs.call import Program, parameters_of, required
from estimators.programs.structure import RowSite, Structure


class Evident(TorchDistribution):
    """A discrete distribution with evidence on some entries: log p + log 1[value = seen]; without log p where set.

    ``seen`` is -1 where there is no evidence. (Pyro's `obs_mask` would add a spurious log K per seen row.)
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012
    has_enumerate_support = True

    def __init__(self, base: Any, seen: Tensor, is_set: Tensor | None) -> None:
        self.base, self.seen, self.is_set = base, seen, is_set
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    @property
    def support(self) -> Any:
        return self.base.support

    def enumerate_support(self, expand: bool = True) -> Tensor:
        found: Tensor = self.base.enumerate_support(expand=expand)
        return found

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        drawn = self.base.sample(sample_shape)
        return torch.where(self.seen >= 0, self.seen.to(drawn.dtype), drawn)

    def log_prob(self, value: Tensor) -> Tensor:
        density: Tensor = self.base.log_prob(value)
        if self.is_set is not None:
            density = torch.where(self.is_set, 0.0, density)
        return density + torch.where((self.seen < 0) | (value == self.seen), 0.0, LOG_ZERO)

    def expand(self, batch_shape: Any, _instance: Any = None) -> "Evident":
        return Evident(self.base.expand(batch_shape), self.seen, self.is_set)


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of a program's sites, in tensors shaped as the sites are.

    ``hidden`` sites are to be enumerated; ``values`` are observed; ``seen`` are values of hidden sites, -1 where not
    seen; ``is_set`` marks entries whose own mechanism an experimenter replaced. ``free`` sites are sampled even where
    the program itself observes them; ``idle`` ones, on which nothing that is asked depends, get any value of their
    support instead of a random one.
    """

    hidden: tuple[str, ...] = ()
    values: Mapping[str, Tensor] = field(default_factory=dict)
    seen: Mapping[str, Tensor] = field(default_factory=dict)
    is_set: Mapping[str, Tensor] = field(default_factory=dict)
    free: frozenset[str] = frozenset()
    idle: frozenset[str] = frozenset()


class Observing(Messenger):
    """Conditions a program on evidence and marks its hidden sites for parallel enumeration."""

    def __init__(self, evidence: Evidence) -> None:
        super().__init__()
        self._evidence = evidence

    def _pyro_sample(self, msg: Any) -> None:
        name, evidence = msg["name"], self._evidence
        if name in evidence.free and msg["is_observed"]:
            msg["value"], msg["is_observed"] = None, False
        if name in evidence.hidden:
            # The program's own mark may be shared between calls, or ask for sequential enumeration.
            msg["infer"] = {**(msg["infer"] or {}), "enumerate": "parallel"}
            if msg["is_observed"]:
                msg["value"], msg["is_observed"] = None, False
            if name in evidence.seen:
                msg["fn"] = Evident(msg["fn"], evidence.seen[name], evidence.is_set.get(name))
            return
        if name in evidence.idle:
            msg["value"] = _some_value(msg["fn"])
        if name in evidence.values:
            msg["value"], msg["is_observed"] = evidence.values[name], True
        if name in evidence.is_set:
            msg["fn"] = msg["fn"].mask(~evidence.is_set[name])


def evidence_of(fn: Program, structure: Structure, data: Data) -> Evidence:
    """What the data say about a program's sites.

    Raises ValueError for a column that nothing in the program answers to, of a wrong shape, or outside a site's
    support, and for a site that is hidden and cannot be summed out.
    """
    columns = _site_columns(fn, structure, data)
    hidden, values, seen = [], dict[str, Tensor](), dict[str, Tensor]()
    for name, site in structure.sites.items():
        if name in data.scalars:
            raise ValueError(f"data: expected a column [N] for the site {name!r} of a row, got a single number")
        column = columns.get(name)
        if site.is_observed and name in required(fn) and not (site.is_discrete and _has_gaps(site, column)):
            # The program was passed the column, and observes what it makes of it.
            continue
        if column is None:
            if not site.is_observed:
                _need_enumerable(site)
                hidden.append(name)
        elif site.is_discrete and _has_gaps(site, column):
            hidden.append(name)
            seen[name] = _checked(site, column, allowed=NOT_SEEN)
        else:
            found = _checked(site, column)
            values[name] = found.to(site.values.dtype) if site.is_discrete else found.double()
    is_set = {name: _mask(structure, name, mask) for name, mask in data.intervened.items()}
    for name, mask in is_set.items():
        if name in seen and bool((mask & (seen[name] == NOT_SEEN)).any()):
            raise ValueError(f"intervened {name}: set but without a value (-1) in some rows; say what it was set to")
    scalars = {name: torch.tensor(value) for name, value in data.scalars.items() if name in structure.names}
    seen |= {
        name: torch.full_like(mask, NOT_SEEN, dtype=torch.long)
        for name, mask in is_set.items()
        if name in hidden and name not in seen
    }
    return Evidence(tuple(hidden), values | scalars, seen, is_set)


def _site_columns(fn: Program, structure: Structure, data: Data) -> dict[str, Tensor]:
    """The column of each site: of its own name, or an entry of a column [N, T] for the sites x_0 ... x_{T-1}."""
    known, columns = parameters_of(fn), dict[str, Tensor]()
    for name, column in data.columns.items():
        series = sorted(
            (int(site.rpartition("_")[2]), site)
            for site in structure.sites
            if site.rpartition("_")[0] == name and site.rpartition("_")[2].isdigit()
        )
        if name in structure.sites:
            columns[name] = column
        elif name in known:
            continue
        elif series:
            if column.ndim < 2 or column.shape[1] != len(series):
                raise ValueError(
                    f"data: column {name!r} has shape {tuple(column.shape)}; the program has the {len(series)} sites "
                    f"{series[0][1]} ... {series[-1][1]}, for which a column [N, {len(series)}] is expected"
                )
            columns |= {site: column[:, place] for place, (_, site) in enumerate(series)}
        elif name in structure.names:
            raise ValueError(
                f"data: column {name!r} is named like a site outside the plate over rows; give one number to fix it"
            )
        else:
            raise ValueError(
                f"data: the program has no site and no parameter {name!r}; its sites in a row are "
                f"{list(structure.sites)}, its parameters {list(known)}"
            )
    for name in data.scalars:
        if name not in known and name not in structure.names:
            raise ValueError(f"data: the program has no parameter {name!r}; it has {list(known)}")
    return columns


def _need_enumerable(site: RowSite) -> None:
    if site.is_discrete:
        return
    if getattr(site.support, "is_discrete", False):
        raise ValueError(
            f"PyroModel: the hidden site {site.name!r} cannot be enumerated (infinitely many values, or vectors); give "
            "a column of that name, or make it a Categorical"
        )
    raise ValueError(
        f"PyroModel: the site {site.name!r} in the plate over rows is continuous and hidden; give a column of that "
        "name. Summing out continuous sites is out of scope"
    )


def _has_gaps(site: RowSite, column: Tensor | None) -> bool:
    """Whether the site is not seen in some rows: -1, where that is not one of its values."""
    return column is not None and bool((column == NOT_SEEN).any()) and not bool((site.values == NOT_SEEN).any())


def _checked(site: RowSite, column: Tensor, allowed: int | None = None) -> Tensor:
    expected = 1
    for size in site.rest:
        expected *= size
    if column[0].numel() != expected:
        raise ValueError(
            f"data: column {site.name!r} has {column[0].numel()} value(s) in a row, shape {tuple(column.shape)}; its "
            f"site has {expected}, for which shape {(len(column), *site.rest)} is expected"
        )
    placed = site.placed(column)
    fits = torch.as_tensor(
        torch.isin(placed.double(), site.values.double())
        if site.is_discrete
        else site.support.check(placed)
        if site.has_fixed_support
        else torch.ones(len(column))
    ).bool()
    if allowed is not None:
        fits = fits | (placed == allowed)
    if not bool(fits.all()):
        places = (~fits).nonzero()[:, min(site.axis, fits.ndim - 1)].unique().tolist() if fits.ndim else [0]
        raise ValueError(
            f"data: column {site.name!r} is outside the support {site.support} of its site in row(s) {places[:5]}"
        )
    return placed


def _mask(structure: Structure, name: str, mask: Tensor) -> Tensor:
    if name not in structure.sites:
        raise ValueError(f"intervened: {name!r} is not a site of a row; these are {list(structure.sites)}")
    site = structure.sites[name]
    ones = len(site.rest) - site.event_dim
    return mask.reshape(len(mask), *[1] * ones).movedim(0, site.axis)


def _some_value(fn: Any) -> Tensor:
    """A value of a distribution's support, as a sample of it would be shaped."""
    shape = fn.batch_shape + fn.event_shape
    if fn.has_enumerate_support:
        first: Tensor = fn.enumerate_support(expand=False)[0]
        return first.expand(shape)
    if getattr(fn.support, "is_discrete", False):
        return torch.zeros(shape)
    transform = biject_to(fn.support)
    value: Tensor = transform(torch.zeros(transform.inverse_shape(shape)))
    return value


class Substituting(Messenger):
    """Gives sites and `pyro.param` statements their values: Greeks in an evaluation."""

    def __init__(self, values: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._values = values

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] in self._values:
            msg["value"], msg["done"] = self._values[msg["name"]], True

    def _pyro_param(self, msg: Any) -> None:
        if msg["name"] in self._values:
            msg["value"], msg["done"] = self._values[msg["name"]], True
