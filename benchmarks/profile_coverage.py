"""How often likelihood intervals of EM hold the truth: ``python benchmarks/profile_coverage.py [--replicates 300]``.

Each row of the table is so many data sets of one truth, fitted by `EM()` as a user does, search included, and asked for
`.profile(0.9)`: the share whose interval, or one of whose intervals, holds the truth, with its exact binomial interval
of .95, the share that have several pieces (or an infinite end), and the share of fits that did not converge.
"""

import argparse
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scipy.stats import binomtest

from estimators import EM, CausalMixture, Estimate, Fit, GaussianMixture, Status
from estimators.mechanisms import Bernoulli, LinearGaussian

LEVEL = 0.9
TUTORIAL = GaussianMixture(2)
CONFOUNDER = CausalMixture(2, {"treated": Bernoulli(), "days": LinearGaussian(parents=["treated"])})
STAY = {"theta": [0.4, 0.6], "p_treated": [0.2, 0.8], "beta_days": [[8.0, -2.0], [14.0, -2.0]]}


@dataclass(frozen=True)
class Setting:
    """A truth, how many rows of it there are, and the question."""

    name: str
    model: CausalMixture
    truth: dict[str, Any]
    num_rows: int
    question: Callable[[Fit], Estimate]


def apart(fit: Fit) -> Estimate:
    """How far the classes of the tutorial's model are apart."""
    return fit.contrast("X", do={"Z": 1}, versus={"Z": 0})


def effect(fit: Fit) -> Estimate:
    """What treatment does to the stay."""
    return fit.effect("days", of="treated")


def confounder(spreads: str, sigma: list[float], num_rows: int) -> Setting:
    return Setting(f"confounder, {spreads} spreads", CONFOUNDER, {**STAY, "sigma_days": sigma}, num_rows, effect)


SETTINGS = [
    Setting("tutorial's model, 10 sd apart", TUTORIAL, {"theta": [0.4, 0.6], "mu_X": [0.5, 10.5]}, 10, apart),
    Setting("tutorial's model, 3 sd apart", TUTORIAL, {"theta": [0.4, 0.6], "mu_X": [0.5, 3.5]}, 100, apart),
    confounder("unequal", [1.0, 1.8], 100),
    confounder("unequal", [1.0, 1.8], 600),
    confounder("equal", [1.4, 1.4], 600),
]


def row(setting: Setting, replicates: int) -> str:
    """A row of the table."""
    truth = float(setting.question(Fit.from_greeks(setting.model, setting.truth)))
    held = several = not_converged = 0
    for seed in range(replicates):
        drawn = setting.model.simulate(setting.num_rows, setting.truth, seed=seed)
        fit = EM().fit(setting.model, {name: drawn[name] for name in setting.model.mechanisms}, seed=seed)
        intervals = setting.question(fit).profile(LEVEL)
        held += any(low <= truth <= high for low, high in intervals)
        several += len(intervals) > 1 or any(high - low == float("inf") for low, high in intervals)
        not_converged += fit.status is not Status.CONVERGED
    low, high = binomtest(held, replicates).proportion_ci(0.95)
    coverage = f"{held / replicates:.2f} ({low:.2f} to {high:.2f})"
    others = f"{several / replicates:.2f} | {not_converged / replicates:.2f}"
    return f"| {setting.name} | {setting.num_rows} | {replicates} | {coverage} | {others} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=300)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print(
        f"| EM, .profile({LEVEL}), {arguments.replicates} data sets | rows | hold the truth | several | not converged |"
    )
    print("|---|---|---|---|---|")
    for setting in SETTINGS:
        print(row(setting, arguments.replicates), flush=True)


if __name__ == "__main__":
    main()
