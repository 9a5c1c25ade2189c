"""What the draws of a fit say of rows: responsibilities, densities, and a program that makes new ones."""

from collections.abc import Callable, Iterator, Mapping
from math import log
from typing import TYPE_CHECKING, Any

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor

from estimators.contract import Density
from estimators.data.data import Data
from estimators.fits.level_names import rows_for

if TYPE_CHECKING:
    from estimators.fits.fit import Fit

MAX_ELEMENTS = 4_000_000


def fitted_rows(fit: "Fit", call: str) -> Data:
    """The rows that were fitted; raises ValueError, which says what needs them, where there are none."""
    if fit.data is None:
        raise ValueError(f"{call}: this fit holds no data (kind {fit.kind!r}); fit a model to data first")
    return fit.data


def density_behind(fit: "Fit", data: Data) -> Density:
    """The density that was maximised or sampled, of some rows: without its priors, in coordinates beyond these."""
    density = fit.model.density(data)
    return density if fit.uses_prior else density.beyond_priors()


def responsibilities(fit: "Fit", data: Any, site: str | None) -> Tensor:
    """p(site = k | unit) as [U, K], averaged over draws."""
    density = fit.model.density(rows_for(fit, data))
    name = density.site(site)
    totals = [density.responsibilities(draws, name).sum(0) for draws in in_blocks(fit.draws, density.row_size)]
    return torch.stack(totals).sum(0) / fit.num_draws


def log_density(fit: "Fit", rows: Any) -> Tensor:
    """``log mean_s p(unit | φ_s)`` of each unit [U]."""
    density = fit.model.density(rows_for(fit, rows))
    blocks = in_blocks(fit.draws, density.row_size)
    totals = [torch.logsumexp(density.pointwise(draws), 0) for draws in blocks]
    return torch.logsumexp(torch.stack(totals), 0) - log(fit.num_draws)


def in_blocks(draws: Mapping[str, Tensor], row_size: int, most: int = MAX_ELEMENTS) -> Iterator[dict[str, Tensor]]:
    """The draws a block at a time, so that no array of `row_size` numbers for each draw has more than `most`."""
    step = max(most // max(row_size, 1), 1)
    for start in range(0, len(next(iter(draws.values()))), step):
        yield {name: value[start : start + step] for name, value in draws.items()}


def program(fit: "Fit") -> Callable[[int], dict[str, Tensor]]:
    """The model's program below the Greeks, which are one draw of the fit."""
    run_rows, names = fit.model.row_program(fit.data)
    site = "draw"
    while site in names:
        site += "_"

    def posterior_program(num_rows: int) -> dict[str, Tensor]:
        shares = torch.ones(fit.num_draws, dtype=torch.float64) / fit.num_draws
        which = pyro.sample(site, dist.Categorical(shares))
        return run_rows({name: value[which] for name, value in fit.draws.items()}, num_rows)

    return posterior_program
