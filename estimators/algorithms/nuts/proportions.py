"""Draws in the proportion of the modes' masses, whatever chains did: the chains' own where these are sound.

Chains are sound where R-hat and the effective sample sizes of the Greeks and of every mode's share say so, nothing
diverged, and, of several modes or of a class that may have no rows, where importance sampling has the same moments.
Draws of a chain within a mode's region are draws of the posterior there, whichever chain it is, so where chains of
different modes do not meet, each mode's draws are resampled to its mass by importance sampling. Where chains are not
sound within a mode either, as in a funnel, the draws are those of the importance sampling.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from estimators.algorithms.checked import Checked, checked
from estimators.algorithms.nuts.moments import SAME, Moments
from estimators.algorithms.nuts.resampled import Resampled, resampled
from estimators.algorithms.protocol import Task
from estimators.contract import Density, Objective, log_posterior
from estimators.diagnostics import ESS_PER_CHAIN, LEAST_DRAWS, R_HAT_LIMIT, diagnostics
from estimators.modes.importance_sampling import fitted_to, weighed_in_turns
from estimators.modes.posterior_modes import PosteriorModes
from estimators.modes.weighed import Weighed
from estimators.optimise.arrays import Array
from estimators.parameters.parameter import LOG_ZERO
from estimators.parameters.symmetry import Indices
from estimators.status import Status

Rng = np.random.Generator
Info = dict[str, Tensor]
# A mode has to be met by chains if it has this share of the posterior by Laplace.
TO_BE_MET = 1e-3
# The effective share of draws from which on chains have mixed, if they are fewer than a fit should have.
EFFECTIVE = 0.1
# A class has lost its rows where less than so much of a row is in it. Of how many draws it is asked, as far as so many
# numbers.
ROWS_LEFT, MOST_ASKED, MOST_NUMBERS = 0.5, 2_000, 100_000
# The probability that a class has no rows from which on there may be a funnel (where its prior is ten times as wide as
# the posterior, it has a thousandth of the variance then), and from which on it is said where nothing tells more of it.
FUNNEL, SAID = 1e-5, 1e-3
# Chains' draws are worth keeping if as many are effective as this share of what importance sampling would have.
WORTH_KEEPING = 0.5


@dataclass(frozen=True, eq=False)
class Drawn:
    """Draws [S, D] chain by chain, what is said of each, and of modes the ``masses`` [M] with their ``errors`` [M].

    ``pareto_k`` is None where importance sampling had no part in them; ``not_sampled`` are modes that no chain stands
    for, all of them where chains were not sound within a mode. ``checked`` is what the draws say of themselves, where
    they have been asked. ``may_miss`` where some have a class without rows, and importance sampling cannot tell how
    many should.
    """

    coordinates: Array
    info: Info
    masses: Array
    errors: Array
    pareto_k: float | None = None
    is_in_proportion: bool = True
    not_sampled: int = 0
    checked: Checked | None = None
    may_miss: bool = False

    @property
    def is_by_sampler(self) -> bool:
        """Whether no draw is of a chain."""
        return self.not_sampled > 0 and self.not_sampled == len(self.info["mode"].unique())


def in_proportion(
    task: Task, density: Density, modes: PosteriorModes, coordinates: Array, info: Info, num_chains: int, rng: Rng
) -> Drawn:
    """The draws as they are where chains are sound and hold all modes in proportion, else put in proportion."""
    at, images = modes.regions.of(coordinates)
    have_met, shares, errors = _meeting(at, modes.weights, num_chains)
    of_chains = _checked(task, density, coordinates, info, num_chains) if have_met else None
    is_sound = of_chains is not None and _is_sound(of_chains, info)
    # A fit of a few draws says that they are few.
    is_short = len(coordinates) // num_chains < 2 * LEAST_DRAWS
    said = {**info, "mode": torch.from_numpy(at.astype(np.int64))}
    as_drawn = Drawn(coordinates, said, shares, errors, checked=of_chains)
    if len(modes) == 1 and is_short:
        return as_drawn
    # A funnel, of which chains that agree may all have missed the end, however sure of themselves.
    chance = 0.0 if is_short else _chance_of_no_rows(density, coordinates)
    has_funnel = chance > FUNNEL
    if len(modes) == 1 and is_sound and not has_funnel:
        return as_drawn
    first = fitted_to(modes.proposals, modes.regions, at, images, rng)
    found = weighed_in_turns(log_posterior, first, modes.regions, rng)
    masses, mass_errors = found.masses(len(modes))
    if not found.is_trusted:
        if is_sound or len(modes) == 1:
            return replace(as_drawn, may_miss=is_sound and chance > SAID)
        return replace(as_drawn, masses=masses, errors=mass_errors, pareto_k=found.pareto_k, is_in_proportion=False)
    are_same = len(modes) == 1 or bool((np.abs(shares - masses) <= SAME * np.hypot(errors, mass_errors)).all())
    moments = Moments(task.model, density, modes.symmetry, found)
    chains_stand = not (has_funnel and of_chains is not None and found.ess >= of_chains.sizes["min_ess"])
    if chains_stand and are_same and _may_stay(of_chains, info, coordinates, moments, num_chains):
        return as_drawn
    everything = np.concatenate([coordinates, found.points])
    if chains_stand:
        chosen = resampled(at, found, masses, num_chains, rng)
        chains_stand = _is_worth_keeping(np.concatenate([images, found.images])[chosen.places], found, num_chains)
    if chains_stand:
        drawn, said = everything[chosen.places], _said_of(density, info, found, chosen)
        again = _checked(task, density, drawn, said, num_chains)
        chains_stand = _may_stay(again, said, drawn, moments, num_chains)
    if not chains_stand:
        chosen = resampled(np.full(len(at), -1), found, masses, num_chains, rng)
        drawn, said = everything[chosen.places], _said_of(density, info, found, chosen)
        again = _of_sampler(_checked(task, density, drawn, said, num_chains))
    new_at = np.concatenate([at, found.modes])[chosen.places].astype(np.int64)
    return Drawn(
        drawn,
        {**said, "mode": torch.from_numpy(new_at)},
        masses,
        mass_errors,
        found.pareto_k,
        not_sampled=chosen.num_of_sampler,
        checked=again,
    )


def _meeting(at: Indices, weights: Array, num_chains: int) -> tuple[bool, Array, Array]:
    """Whether every mode that weighs was visited by all chains alike and often, and the visited shares, with errors."""
    inside = at[:, None] == np.arange(len(weights))
    shares = inside.mean(0)
    if len(weights) == 1:
        return True, shares, np.zeros(1)
    if len(at) // num_chains < 2 * LEAST_DRAWS:
        return False, shares, np.full(len(weights), np.inf)
    r_hat, bulk, _ = diagnostics({"mode": torch.from_numpy(inside.astype(float))}, num_chains)
    matters = (weights >= TO_BE_MET) | (shares > 0.0)
    is_met = (shares > 0.0) & (r_hat["mode"] <= R_HAT_LIMIT) & (bulk["mode"] >= ESS_PER_CHAIN * num_chains)
    return bool(is_met[matters].all()), shares, np.sqrt(shares * (1.0 - shares) / bulk["mode"])


def _checked(task: Task, density: Density, coordinates: Array, info: Info, num_chains: int) -> Checked | None:
    """Draws [S, D] labelled as those of a fit are, with what they say of themselves; None of few."""
    if len(coordinates) // num_chains < 2 * LEAST_DRAWS:
        return None
    return checked(task, density, density.draws(coordinates), num_chains, int(torch.argmax(info["lp"])))


def _is_sound(found: Checked, info: Info) -> bool:
    """Whether draws have converged, and none diverged."""
    # Where few draws were asked for, few are effective, however well chains mix.
    is_low = found.sizes["min_ess"] < EFFECTIVE * len(info["lp"])
    return not (
        bool(info["diverging"].any())
        or set(found.holds) - {Status.LOW_ESS}
        or (is_low and Status.LOW_ESS in found.holds)
    )


def _chance_of_no_rows(density: Density, drawn: Array) -> float:
    """The probability that a class has no rows: its Greeks are the prior's there, a funnel's end.

    1 where it has none in some of the draws [S, D], else the mean of Π (1 - R) over rows: chains that have never been
    there do not say that nobody is.
    """
    count = min(max(MOST_NUMBERS // max(density.row_size, 1), 20), MOST_ASKED, len(drawn))
    draws = density.draws(drawn[np.linspace(0, len(drawn) - 1, count).astype(int)])
    weights, chance = density.data.unit_weights, 0.0
    for site in density.latent:
        shares = density.responsibilities(draws, site)
        if bool((shares == shares[:1]).all()):
            # Known in every row: which class has rows is no question.
            continue
        # Of a site with more than one value for a row, all of these.
        by_row = shares.reshape(count, shares.shape[1], -1, shares.shape[-1])
        of_rows = torch.ones(shares.shape[1], dtype=torch.float64) if weights is None else weights
        left = torch.einsum("snvk,n->sk", by_row, of_rows)
        none = torch.einsum("snvk,n->sk", torch.log1p(-by_row.clamp(0.0, 1.0)).clamp_min(LOG_ZERO), of_rows).exp()
        if bool((left < ROWS_LEFT).any()):
            return 1.0
        chance = max(chance, float(none.mean(0).max()))
    return chance


def _may_stay(own: Checked | None, info: Info, drawn: Array, moments: Moments, num_chains: int) -> bool:
    """Whether draws [S, D] of chains are sound, and those of importance sampling as far as they can tell.

    Chains in a funnel miss its end, and are close to what is right only for not knowing their mean square well.
    """
    if own is None or not _is_sound(own, info):
        return False
    return own.sizes["min_ess"] >= _least_effective(len(drawn), moments.found) and moments.agree(drawn, num_chains)


def _is_worth_keeping(images: Array, found: Weighed, num_chains: int) -> bool:
    """Whether draws [S, D], each in the image next to its mode, are effective enough: before they are labelled."""
    if len(images) // num_chains < 2 * LEAST_DRAWS:
        return False
    _, bulk, tail = diagnostics({"image": torch.from_numpy(images)}, num_chains)
    return min(float(bulk["image"].min()), float(tail["image"].min())) >= _least_effective(len(images), found)


def _least_effective(num_draws: int, found: Weighed) -> float:
    """How many of so many draws of chains have to be effective for these to be kept."""
    return WORTH_KEEPING / (1.0 / num_draws + 1.0 / found.ess)


def _of_sampler(found: Checked | None) -> Checked | None:
    """What holds of draws that no chain has made: where these disagree it is by chance, as they are dealt at random."""
    if found is None:
        return None
    holds = dict(found.holds)
    holds.pop(Status.CHAINS_DISAGREE, None)
    return replace(found, holds=holds)


def _joined(values: Tensor, found: Weighed, chosen: Resampled) -> Tensor:
    """What is said of draws, and nothing of points of the sampler, of those that are chosen."""
    nothing = torch.zeros(len(found.points), dtype=values.dtype)
    return torch.cat([values, nothing])[torch.from_numpy(chosen.places)]


def _said_of(density: Density, info: Info, found: Weighed, chosen: Resampled) -> Info:
    """What was said of the draws that are taken; points of the sampler took no steps, and did not diverge.

    The energies of draws that are no longer in a row say nothing, and are left out.
    """
    said = {name: _joined(value, found, chosen) for name, value in info.items() if name != "energy"}
    of_sampler = np.flatnonzero(chosen.places >= len(info["lp"]))
    if len(of_sampler):
        points = found.points[chosen.places[of_sampler] - len(info["lp"])]
        said["lp"][torch.from_numpy(of_sampler)] = torch.from_numpy(Objective(density, log_posterior).value(points))
    return said
