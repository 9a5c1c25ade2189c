"""How probable it is that labels which known rows or priors fix are those of these components, and not of others.

A row with Z known, or a prior that differs by class, makes one naming of the components likelier than another. Of a
draw φ, its image gφ under another naming has the density p(gφ), exactly, and no change of volume. With D the draws
whose components are in the order of what tells them apart, and c_g = ∫_D p(gφ) dφ, the probability of a naming is
c_g / Σ_h c_h, and from draws of which n_g are of each naming it is the fixed point of

    c_g = Σ_s p(g φ_s) / Σ_h (n_h / c_h) p(h φ_s),

φ_s in D (Meng & Wong 1996, Stat. Sinica 6; Shirts & Chodera 2008, J. Chem. Phys. 129): chains that never left one
naming tell as much about the others. Two namings are one answer where no valley of the density lies between the
modes that their images lead to: of two components that are alike, labels are what they are known to be.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import logsumexp

from estimators.contract import Density
from estimators.fits.named_modes import NamedModes, shares_about_modes
from estimators.fits.namings import Keys, Namings, surest_first
from estimators.fits.rows import in_blocks
from estimators.fits.sample import Sample
from estimators.optimise.arrays import Array, Mask
from estimators.parameters.symmetry import Draws, Indices, Symmetry

# Draws that are looked at, evenly spaced.
MOST_DRAWS = 2_000
# Draws that weights are worth, below which proposals about the modes of all namings are drawn.
LEAST_WORTH = 100.0
# A naming that is as many nats less likely at the draw of highest density is not another answer.
HOPELESS = 50.0
# Rows whose log density is the same to so many nats do not mind the naming.
SAME = 1e-9
# Log densities of rows that are held at one time.
MOST_NUMBERS = 4_000_000
ITERATIONS, SETTLED = 1_000, 1e-10


def probability_of_names(
    density: Density, symmetry: Symmetry, keys_of: Keys, sample: Sample, *, uses_prior: bool
) -> float:
    """The probability of the naming of a point, or that most draws have, in weight; keys tell components apart.

    ``symmetry`` says which labels are free: namings that differ within these are one.
    """
    if len(symmetry.groups) < 2:
        return 1.0
    first = None
    for key in surest_first(keys_of(sample.draws), sample.weights):
        namings = Namings.by(key, keys_of, symmetry, sample)
        is_possible = _are_possible(density, namings, sample.best, uses_prior=uses_prior)
        if is_possible is None:
            return 1.0
        namings = namings.kept(is_possible)
        modes = NamedModes.of(density, namings, sample.best, uses_prior=uses_prior)
        if not modes.are_apart.any():
            return 1.0
        first = first or (namings, modes)
        # Components that one key leaves in their order may change places by another.
        if modes.names[0] == 0 and modes.names[modes.are_apart].all():
            first = namings, modes
            break
    assert first is not None
    return _probability(density, sample, *first, uses_prior=uses_prior)


def _probability(density: Density, sample: Sample, namings: Namings, modes: NamedModes, *, uses_prior: bool) -> float:
    """The probability of the first naming, and of those under which there is no other answer."""
    numbers = namings.numbers
    some = np.flatnonzero(numbers >= 0)
    some = some[:: max(-(-len(some) // MOST_DRAWS), 1)]
    at = namings.sorted_draws([sample.best])
    images = _Images.of(density, namings, at, uses_prior=uses_prior)
    shares, worth = _shares(images.log_densities(namings.sorted_draws(some)), numbers[some], sample.weights[some])
    if worth < LEAST_WORTH:
        about_modes = shares_about_modes(modes, namings)
        shares = shares if about_modes is None else about_modes
    others = set(modes.names[modes.are_apart].tolist()) - {0}
    return float(sum(share for number, share in enumerate(shares) if number not in others))


def _are_possible(density: Density, namings: Namings, best: int, *, uses_prior: bool) -> Mask | None:
    """Which namings [M] one draw could have; None where it is next to impossible under any but its own."""
    at = namings.sorted_draws([best])
    logs = _Images.of(density, namings, at, uses_prior=uses_prior).log_densities(at)[0]
    own = int(namings.numbers[best])
    if own >= 0 and np.delete(logs, own).max(initial=-np.inf) < logs[own] - HOPELESS:
        return None
    return np.asarray(logs >= logs.max() - HOPELESS)


@dataclass(frozen=True, eq=False)
class _Images:
    """Log densities of draws under several namings, up to what they have in common."""

    density: Density | None
    namings: Namings
    prior: Density | None

    @staticmethod
    def of(density: Density, namings: Namings, at: Draws, *, uses_prior: bool) -> "_Images":
        """Of those rows alone that mind the naming, at one draw."""
        rows = torch.cat([density.pointwise(image) for image in namings.images(at)])
        minds = ((rows - rows[0]).abs() > SAME * (1.0 + rows[0].abs())).any(0) & density.data.of_units(
            density.data.counts()
        )
        some = minds.nonzero()[:, 0]
        part = density if len(some) == len(minds) else density.of(density.data.units_at(some)) if len(some) else None
        return _Images(part, namings, density if uses_prior else None)

    def log_densities(self, draws: Draws) -> Array:
        """``log p(gφ)`` as [S, M]."""
        return np.stack([self._of_one(image) for image in self.namings.images(draws)], 1)

    def _of_one(self, draws: Draws) -> Array:
        logs = np.zeros(len(next(iter(draws.values()))))
        if self.density is not None:
            weights = self.density.data.unit_weights
            blocks = in_blocks(draws, self.density.row_size, MOST_NUMBERS)
            rows = (self.density.pointwise(block) for block in blocks)
            logs += np.concatenate([((one if weights is None else one * weights).sum(1)).numpy() for one in rows])
        if self.prior is not None:
            greeks = {name: value.numpy() for name, value in draws.items()}
            logs = logs + np.sum(list(self.prior.log_priors(greeks).values()), axis=0)
        return np.asarray(np.nan_to_num(logs, nan=-np.inf, posinf=-np.inf, neginf=-np.inf))


def _shares(logs: Array, places: Indices, weights: Array) -> tuple[Array, float]:
    """The probability of each naming [M], from log densities [S, M] of draws under all, drawn under one each.

    And how many draws the weights of the naming that they tell least about are worth.
    """
    drawn = np.bincount(places, weights, logs.shape[1]) / weights.sum()
    usable = np.isfinite(logs).any(1)
    if not usable.any():
        return np.asarray(drawn), 0.0
    logs, log_weights = logs[usable], np.log(np.maximum(weights[usable], 1e-300))
    with np.errstate(divide="ignore"):
        log_drawn = np.log(drawn)
    shares = np.full(logs.shape[1], -np.log(logs.shape[1]))
    for _ in range(ITERATIONS):
        pooled = logsumexp(logs + log_drawn - shares, axis=1, keepdims=True)
        moved = logsumexp(logs + log_weights[:, None] - pooled, axis=0)
        moved -= logsumexp(moved)
        change, shares = np.abs(np.exp(moved) - np.exp(shares)).max(), np.maximum(moved, -700.0)
        if change < SETTLED:
            break
    own = np.exp(logs + log_weights[:, None] - pooled - shares)
    worth = own.sum(0) ** 2 / np.maximum((own**2).sum(0), 1e-300)
    return np.asarray(np.exp(shares)), float(worth.min())
