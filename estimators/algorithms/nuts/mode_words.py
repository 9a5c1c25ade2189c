"""What a fit says of the modes of its posterior: their masses, and whether its draws hold them in proportion."""

from typing import Any

import numpy as np

from estimators.algorithms.nuts.proportions import Drawn
from estimators.fits.mode_findings import proportion_remark, rivals_in_words
from estimators.modes.posterior_modes import PosteriorModes
from estimators.modes.table import SHARE
from estimators.status import Status


def stats_of_modes(drawn: Drawn) -> dict[str, Any]:
    """Masses with standard errors, in the order of ``fit.modes``; and k̂, where importance sampling gave them.

    Where no draw is a chain's, none is of a transition that diverged.
    """
    stats: dict[str, Any] = {"mode_masses": drawn.masses.tolist(), "mode_mass_errors": drawn.errors.tolist()}
    if drawn.pareto_k is not None:
        stats["pareto_k"] = drawn.pareto_k
    return {**stats, "num_divergences": 0} if drawn.is_by_sampler else stats


def findings_of_modes(modes: PosteriorModes, drawn: Drawn) -> dict[Status, str]:
    """CHAINS_DISAGREE where there are rivals in proportions that nobody can tell."""
    if drawn.is_in_proportion or max(np.sum(drawn.masses >= SHARE), np.sum(modes.weights >= SHARE)) < 2:
        return {}
    shares = ", ".join(f"{mass:.0%}" for mass in drawn.masses if mass >= SHARE)
    about = (
        f"no chain connects {len(modes)} modes, and importance sampling cannot tell their shares (about {shares}; "
        f"Pareto k̂ {drawn.pareto_k:.2f}), so the draws are not in proportion; use SMC()"
    )
    return {Status.CHAINS_DISAGREE: about}


def remarks_of_modes(modes: PosteriorModes, drawn: Drawn, num_chains: int) -> tuple[str, ...]:
    """Sentences on rivals among the draws, and on where the proportions and the draws are from."""
    if not drawn.is_in_proportion:
        light = "Modes of less than 1% of the posterior may be out of proportion: importance sampling failed there."
        return () if findings_of_modes(modes, drawn) else (light,)
    rivals = [number for number in range(1, len(modes)) if drawn.masses[number] >= SHARE]
    remarks = [proportion_remark(rivals_in_words(modes.found, rivals, drawn.masses, uses_prior=True))] if rivals else []
    if drawn.may_miss:
        remarks.append(
            "In some draws a class has no rows, and importance sampling cannot tell how many these should be: compare "
            "with SMC()."
        )
    if drawn.pareto_k is None:
        return tuple(remarks)
    trust = f"Pareto k̂ {drawn.pareto_k:.2f}"
    if drawn.is_by_sampler:
        remarks.append(
            "Chains mix badly here, as where a class may have no rows, so the draws are those of importance sampling "
            f"({trust})."
        )
        return tuple(remarks)
    remarks.append(
        "Chains of different modes did not meet, so draws were resampled to masses by importance sampling (error "
        f"{drawn.errors.max():.2g}, {trust}); R-hat and effective sample sizes are those within modes."
    )
    if drawn.not_sampled:
        remarks.append(
            f"Of {drawn.not_sampled} of {len(modes)} modes the {num_chains} chains have too few draws, since none "
            "started there or it left: these draws are of the importance sampling."
        )
    return tuple(remarks)
