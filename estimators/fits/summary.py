"""A fit in words: its table, one row for each entry of the Greeks, and its status where that is not CONVERGED."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from estimators.diagnostics import LEAST_DRAWS, diagnostics
from estimators.fits.advice import sentences, with_names
from estimators.fits.level_names import names_along_axes
from estimators.queries.labels import entry_names
from estimators.status import EstimationError, Status, warn_user

if TYPE_CHECKING:
    import pandas as pd

    from estimators.fits.fit import Fit


def summary_of(fit: "Fit", level: float) -> "pd.DataFrame":
    """The table of a fit, with intervals of a level, and with what holds of the fit in its attributes."""
    names = [entry for entries in entries_of(fit).values() for entry in entries]
    table = summary_table(names, fit.draws, level, fit.num_chains if fit.kind.has_chains else None)
    table.attrs |= {"status": fit.status.name, "advice": fit.advice}
    return table


def entries_of(fit: "Fit") -> dict[str, list[str]]:
    """The names of every Greek's entries: ``p_T[1, 0]``, or ``p_T[high, treated]`` with names of labels and levels."""
    names = names_along_axes(fit)
    return {greek: entry_names(greek, value.shape[1:], names[greek]) for greek, value in fit.draws.items()}


def say_status(fit: "Fit", *, strict: bool) -> None:
    """Warn once of all that holds where the status is not CONVERGED, or, if strict, raise EstimationError."""
    if fit.status is Status.CONVERGED:
        return
    names = names_along_axes(fit)
    if strict:
        raise EstimationError(" ".join(sentences(fit.findings, (), names)))
    # What it means and what to do is on the page of the fit, which is printed next.
    holds = "; ".join(f"{status.name}: {about or status.happened}" for status, about in fit.findings.items())
    warn_user(f"{with_names(holds, names)}; print(fit) says what to do")


def summary_table(
    names: Sequence[str], draws: Mapping[str, Tensor], level: float, num_chains: int | None
) -> "pd.DataFrame":
    """Return mean, and with draws sd, lower and upper, and with chains (else None) ess and r_hat, of every entry.

    ``ess`` is that of the bulk (of the mean), ``ess_tail`` that of the 5 % tails (of the interval); both are left out
    where a chain has fewer draws than diagnostics take.
    """
    import pandas as pd  # a quarter of a second, which only tables need

    def column(of: Mapping[str, Any]) -> list[float]:
        return [float(value) for name in draws for value in np.asarray(of[name]).reshape(-1)]

    num_draws = len(next(iter(draws.values())))
    table = {"mean": column({name: value.mean(0) for name, value in draws.items()})}
    if num_draws > 1:
        table["sd"] = column({name: value.std(0) for name, value in draws.items()})
        for side, q in (("lower", (1 - level) / 2), ("upper", (1 + level) / 2)):
            table[side] = column({name: np.quantile(value.numpy(), q, axis=0) for name, value in draws.items()})
    if num_chains is not None and num_draws // num_chains >= LEAST_DRAWS:
        r_hat, bulk, tail = diagnostics(draws, num_chains)
        table["ess"], table["ess_tail"] = column(bulk), column(tail)
        if r_hat:
            table["r_hat"] = column(r_hat)
    frame = pd.DataFrame(table, index=pd.Index(names, name="Greek"))
    frame.attrs["level"] = level
    return frame
