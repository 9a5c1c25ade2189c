"""The bridge to ArviZ: the export of a whole fit, a method for each of ArviZ's groups.

- ``posterior``: the draws; an axis over classes of Z is called ``Z_class``, one over levels of T ``T_level``. Its
  attributes ``status`` and ``advice`` are the fit's, in words.
- ``sample_stats``: what a sampler says of each draw.
- ``log_likelihood``: log p of a row, all of it, Z summed out, as ``rows`` (under the variable's name where one alone
  is observed, as `arviz.loo_pit` of ArviZ 1 wants it: ``log_likelihood.dataset.rename(rows="X")``); of units, which are
  what is independent, as ``units``.
- ``log_prior``: log p of each Greek at the draws (of a program, of all together), for power-scaling.
- ``observed_data`` and ``posterior_predictive``: the columns that were observed, and such rows drawn anew at each draw:
  what was set stays as it was set, a seen Z is drawn with its row, and gaps are gaps. ``constant_data``: covariates,
  columns that were set in all rows, ``intervened_X`` where others were set, scalars, and weights of rows that are not
  repeated.
- ``prior`` and ``prior_predictive``: 500 draws of the priors, labels as the model has them, and such rows at them.

Log priors and priors are of fits that rest on them, where every Greek has one.

Written against what ArviZ 0.23 and ArviZ 1 share: functions on `xarray.Dataset`. A container of groups is an
`InferenceData` under 0.23 and an `xarray.DataTree` under 1.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from estimators.checks import check_seed
from estimators.contract import Density
from estimators.data.data import LATENT, Data
from estimators.diagnostics import import_arviz
from estimators.fits.datasets import dataset, unused
from estimators.fits.exported_rows import ExportedRows
from estimators.fits.level_names import levels_of
from estimators.fits.rows import fitted_rows, in_blocks
from estimators.status import warn_user

if TYPE_CHECKING:
    import xarray

    from estimators.fits.fit import Fit

OWN_AXES = ("chain", "draw")
# A group holds at most so many numbers, which take 1.6 GB.
MOST_ELEMENTS = 2e8
# Of rows that are drawn so many numbers, where nobody asked for them: a matter of seconds.
MOST_DRAWN = 2e7
# Draws of the priors.
PRIOR_DRAWS = 500
# What sums over classes are rounded to.
ROUNDING = 1e-14


def _repeats(data: Data, num_draws: int) -> tuple[Tensor, str]:
    """Each unit's number as often as its weight says, and why units cannot be repeated, which is empty if they can.

    The row that leave-one-out leaves out is one of the rows that a weight counts, not all of them at once.
    """
    weights, once = data.unit_weights, torch.arange(data.num_units)
    if weights is None:
        return once, ""
    if not bool((weights == weights.round()).all()):
        return once, (
            "the weights are not whole numbers, so no row can be left out as one of so many: the log_likelihood group "
            "is left out, and with it arviz.loo and arviz.compare"
        )
    if float(weights.sum()) * num_draws > MOST_ELEMENTS:
        return once, (
            f"rows repeated by their weights would make {float(weights.sum()) * num_draws:.3g} log-likelihoods, more "
            f"than {MOST_ELEMENTS:.3g}: the log_likelihood group is left out, and with it arviz.loo; export fewer draws"
        )
    return once.repeat_interleave(weights.long()), ""


def _container(groups: Mapping[str, "xarray.Dataset"]) -> Any:
    """The groups as ArviZ's own container."""
    arviz = import_arviz()
    # ArviZ 1 answers for the old name too, with a warning: only 0.x has it among its own names.
    if "InferenceData" in vars(arviz):
        return arviz.InferenceData(**dict[str, Any](groups))
    import xarray

    return xarray.DataTree.from_dict(dict(groups))


def exported_fit(fit: "Fit", groups: Collection[str] | None, seed: int | None) -> Any:
    """A fit as ArviZ's own container; see `Fit.to_arviz`."""
    if fit.num_draws < 2:
        raise ValueError("to_arviz: a point fit has no draws; use fit.laplace() for draws, or fit with NUTS()")
    if isinstance(groups, str):
        raise TypeError(f'to_arviz: expected a list of groups such as ["{groups}"], got {groups!r}')
    unknown = [name for name in groups or () if name not in GROUPS]
    if unknown:
        raise ValueError(f"to_arviz: no group {unknown[0]!r}; there are {', '.join(GROUPS)}")
    data = fitted_rows(fit, "to_arviz")
    taken = [name for name in OWN_AXES if name in fit.draws]
    if taken:
        raise ValueError(f"to_arviz: ArviZ has an axis called {taken[0]!r}, and so is a Greek; rename its site")
    export = _Export(fit, data, groups, check_seed(seed))
    made = {name: make(export) for name, make in GROUPS.items() if groups is None or name in groups}
    return _container({name: group for name, group in made.items() if group is not None})


@dataclass(frozen=True, eq=False)
class _Export:
    """A fit, its rows, and what is asked of it; each method makes a group, or None and says why."""

    fit: "Fit"
    data: Data
    asked: Collection[str] | None
    seed: int

    @cached_property
    def density(self) -> Density:
        return self.fit.model.density(self.data)

    @cached_property
    def repeats(self) -> tuple[Tensor, str]:
        """Each unit's number as often as its weight says, or why not."""
        return _repeats(self.data, self.fit.num_draws)

    @cached_property
    def rows(self) -> ExportedRows:
        """The rows, repeated by their weights; where there are units, or cannot be repeated, each once."""
        index, why_not = self.repeats
        is_repeated = self.data.unit is None and self.data.weights is not None and not why_not
        rows = self.data.unweighted_rows(index) if is_repeated else self.data
        at = {name: value[:1] for name, value in self.fit.draws.items()}
        return ExportedRows(self.fit.model, rows, self.density.latent, at)

    def posterior(self) -> "xarray.Dataset":
        """The draws, with what holds of them, which a file keeps too."""
        greeks = _greeks(self.fit, self.fit.draws, self.fit.num_chains)
        return greeks.assign_attrs(status=self.fit.status.name, advice="\n".join(self.fit.advice))

    def sample_stats(self) -> "xarray.Dataset | None":
        """What a sampler says of each draw."""
        sampler = {name: value for name, value in self.fit.info.items() if len(value) == self.fit.num_draws}
        return dataset(sampler, self.fit.num_chains) if sampler else None

    def log_likelihood(self) -> "xarray.Dataset | None":
        """log p of what is left out at a time, a unit, of which rows share one Z; without units that is a row."""
        index, why_not = self.repeats
        if why_not:
            warn_user(f"to_arviz: {why_not}")
            return None
        blocks = in_blocks(self.fit.draws, self.density.row_size)
        pointwise = torch.cat([self.density.pointwise(draws) for draws in blocks])
        apart = _without_rounding(pointwise[:, index])
        # What says nothing, such as a row of which all was set, is nothing to leave out; ArviZ 1 refuses such rows.
        kept = (apart.abs() > ROUNDING).any(0)
        kept = kept if bool(kept.any()) else torch.ones_like(kept)
        if self.data.unit is None:
            # ArviZ looks for it under the name of the variable that is left out, where there is only one.
            only = [name for name in self.rows.observed if name not in OWN_AXES]
            name = only[0] if len(only) == len(self.rows.observed) == 1 else "rows"
            over, labels = unused("row", self.data.columns), np.arange(len(index))
        else:
            name, over, labels = "units", "unit", np.array(self.data.unit.texts)[index]
        found = dataset({name: apart[:, kept]}, self.fit.num_chains, {name: [over]})
        return found.assign_coords({over: labels[kept]})

    def log_prior(self) -> "xarray.Dataset | None":
        """log p of the Greeks, by what is drawn apart."""
        if not self.has_prior:
            return None
        logs = self.density.log_priors({name: value.numpy() for name, value in self.fit.draws.items()})
        return dataset({name: torch.from_numpy(np.array(log)) for name, log in logs.items()}, self.fit.num_chains)

    def observed_data(self) -> "xarray.Dataset":
        """The rows."""
        return self.rows.observed_data()

    def constant_data(self) -> "xarray.Dataset | None":
        """What rows are conditioned on, and their weights, where they are not repeated by them."""
        return self.rows.constant_data()

    def posterior_predictive(self) -> "xarray.Dataset | None":
        """Rows drawn anew at each draw."""
        if not self._can_draw("posterior_predictive", self.fit.num_draws):
            return None
        return self.rows.drawn(self.fit.draws, self.fit.num_chains, self.seed)

    @property
    def has_prior(self) -> bool:
        """Whether the draws rest on priors, of all Greeks."""
        return self.fit.uses_prior and self.density.has_prior

    @cached_property
    def prior_draws(self) -> Mapping[str, Tensor]:
        """Draws of the priors, of one chain."""
        return self.density.draws(self.density.draw_prior(PRIOR_DRAWS, np.random.default_rng([self.seed, 1])))

    def prior(self) -> "xarray.Dataset | None":
        """The draws of the priors."""
        return _greeks(self.fit, self.prior_draws, 1) if self.has_prior else None

    def prior_predictive(self) -> "xarray.Dataset | None":
        """Rows drawn at each draw of the priors."""
        if not self.has_prior or not self._can_draw("prior_predictive", PRIOR_DRAWS):
            return None
        try:
            return self.rows.drawn(self.prior_draws, 1, self.seed)
        except (ValueError, RuntimeError) as error:
            # At Greeks that a wide prior allows a rate may be infinite.
            warn_user(f"to_arviz: no rows can be drawn at Greeks of the priors ({error}): no prior_predictive group")
            return None

    def _can_draw(self, group: str, num_draws: int) -> bool:
        """Whether ArviZ has a place for rows that are drawn, and it is not too many numbers; else says so."""
        most = MOST_DRAWN if self.asked is None else MOST_ELEMENTS
        size = self.rows.num_numbers * num_draws
        taken = [name for name in OWN_AXES if name in self.rows.observed]
        if taken:
            warn_user(f"to_arviz: ArviZ has an axis called {taken[0]!r}, and so is a column: no {group} group")
        elif size > most:
            way_out = f"ask for it, groups=[..., {group!r}]" if size <= MOST_ELEMENTS else "export fewer draws"
            warn_user(f"to_arviz: {group} would have {size:.3g} numbers, over {most:.3g}, and is left out; {way_out}")
        return not taken and size <= most


Maker = Callable[[_Export], "xarray.Dataset | None"]
# In the order in which ArviZ shows them.
GROUPS: Mapping[str, Maker] = {
    make.__name__: make
    for make in (
        _Export.posterior,
        _Export.posterior_predictive,
        _Export.log_likelihood,
        _Export.log_prior,
        _Export.sample_stats,
        _Export.prior,
        _Export.prior_predictive,
        _Export.observed_data,
        _Export.constant_data,
    )
}


def _without_rounding(pointwise: Tensor) -> Tensor:
    """Log-likelihoods [S, N], those of a row that differ by rounding alone as one number.

    Of a row that says nothing they are 0; ArviZ divides by how far the largest are apart.
    """
    first, apart = pointwise[:1], pointwise.amax(0) - pointwise.amin(0)
    return torch.where(apart <= ROUNDING * (1.0 + first.abs()), first, pointwise)


def _greeks(fit: "Fit", draws: Mapping[str, Tensor], num_chains: int) -> "xarray.Dataset":
    """Draws of the Greeks, with an axis of classes, of levels, and of coefficients; names are coordinates."""
    labelled = fit.symmetry.axes if fit.label_names else fit.model.component_axes
    levels, variables = levels_of(fit), fit.model.variables
    numbered = {name: tuple(map(str, range(one.num_levels))) for name, one in variables.items() if one.num_levels}
    named_axes, all_axes = fit.model.named_axes(levels), fit.model.named_axes({**numbered, **levels})
    coordinates = {one.over: one.names for axes in named_axes.values() for one in axes.values()}
    classes = f"{next(iter(fit.symmetry.sites), LATENT)}_class" if labelled else ""
    coordinates |= {classes: fit.label_names} if fit.label_names else {}
    axis_names = {}
    for name, value in draws.items():
        # Levels without names have an axis of their variable too, by their numbers.
        axes = {axis: one.over for axis, one in {**all_axes.get(name, {}), **named_axes.get(name, {})}.items()}
        axes |= dict.fromkeys(labelled.get(name, ())[:1], classes)
        axis_names[name] = [axes.get(axis, f"{name}_dim_{axis}") for axis in range(value.ndim - 1)]
    greeks = dataset(draws, num_chains, axis_names)
    # A Greek that is called as an axis has it called otherwise: see `unused`.
    named = {unused(dim, draws): list(names) for dim, names in coordinates.items()}
    return greeks.assign_coords({dim: names for dim, names in named.items() if dim in greeks.dims})
