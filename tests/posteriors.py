"""Two posteriors compared entry by entry, through `stat`."""

from collections.abc import Iterator

import numpy as np

from estimators import Fit
from validation.testing import Stat


def entries(fit: Fit) -> Iterator[tuple[str, np.ndarray]]:
    """The draws [S] of every entry of every Greek, but for the last of a simplex, which follows from the others."""
    for name, value in fit.draws.items():
        draws = value.numpy().reshape(len(value), -1)
        for place in range(draws.shape[1] - (name == "theta")):
            yield f"{name}[{place}]", draws[:, place]


def independent(fit: Fit, draws: np.ndarray) -> np.ndarray:
    """Draws [S] of a fit, thinned where they are those of chains."""
    return Stat.thinned(draws.reshape(fit.num_chains, -1)) if fit.kind == "posterior" else draws


def check_same_posterior(stat: Stat, fit: Fit, other: Fit) -> None:
    """One check for each entry; the negative control is the last entry, moved by three sds."""
    for (_, draws), (_, others) in zip(entries(fit), entries(other), strict=True):
        one, two = independent(fit, draws), independent(other, others)
        stat.same_distribution(one, two)
    with stat.control():
        stat.same_distribution(one + 3 * two.std(), two)


def check_other_posterior(stat: Stat, fit: Fit, other: Fit, name: str) -> None:
    """The negative control: an entry that must differ."""
    with stat.control():
        stat.same_distribution(
            independent(fit, dict(entries(fit))[name]), independent(other, dict(entries(other))[name])
        )
