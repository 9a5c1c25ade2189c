"""Counterfactuals: what these rows would have been, had some variables been set."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from estimators.checks import check_seed
from estimators.contract import Answer, Draws, Structural
from estimators.data.words import few
from estimators.isolation import isolated, own_modes
from estimators.queries.estimate import Estimate
from estimators.queries.labels import Labels
from estimators.queries.source import Origin, Source

# Variables that are named.
MOST_NAMED = 6


@dataclass(frozen=True, eq=False, repr=False)
class Counterfactual:
    """The rows of a data set as they would have been under ``do(...)``, for each draw of the Greeks.

    Z and the noise of every variable are inferred from the row; what is below what is set is computed anew with them.
    The noise of a Gaussian is its standardised residual. That of a discrete variable is not identified: ``assumptions``
    say how it is recovered (`MonotoneInverse` for Bernoulli and Poisson, `GumbelMax` for Categorical and Z, unless
    replaced). Where noise had to be drawn, means state the standard error of that (`Estimate.error`).
    """

    worlds: Structural
    num_chains: int
    # The same rows at other Greeks, and the fit that was asked.
    anew: Callable[[Draws], Structural]
    origin: Origin
    labels: Labels

    def __repr__(self) -> str:
        return f"Counterfactual(of {few(list(self.worlds.variables), MOST_NAMED)}; ask for mean or sample)"

    @own_modes()
    def mean(self, name: str) -> Estimate:
        """E[name | row, had ... been set] for every draw and row, as an Estimate of draws [S, N]."""
        if name not in self.worlds.variables:
            raise ValueError(f"expected a variable among {list(self.worlds.variables)}, got {name!r}")
        self.labels.need_mean(name, "mean", f"count them in worlds, sample()[{name!r}]")
        values, error = self.worlds.mean(name)
        return Estimate(values, self.num_chains, error, Source(partial(_mean, self.anew, name), self.origin))

    @own_modes()
    def sample(self, seed: int | None = None) -> dict[str, Tensor]:
        """One world for every row: Greeks, Z and noise drawn given the row, and every variable in it [N], Z included.

        Worlds of one seed share their Greeks, Z (as it was) and noise, whatever is set.
        """
        with isolated(check_seed(seed)):
            return self.worlds.sample()


def _mean(anew: Callable[[Draws], Structural], name: str, draws: Draws) -> Answer:
    return anew(draws).mean(name)
