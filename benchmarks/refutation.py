"""How often `refute` refutes: right worlds at its level, and three wrong ones, by the size of the experiment.

    python -m benchmarks.refutation [--replicates 100]

Prints the table of docs/experiments.md: of each world the share that is refuted at .01, with its exact 95 % interval.
Each is fitted by EM to 300 rows with Z hidden, and then held against an experiment of so many rows for each setting.
The worlds are those of tests/refutation_models.py.
"""

import argparse
import warnings
from collections.abc import Callable

from scipy.stats import binomtest

from estimators import EM, CausalMixture, Data
from tests.refutation_models import (
    CLASSES,
    CONFOUNDED,
    CONFOUNDER,
    ONE_SCALE,
    SCALES,
    THREE,
    TWO_SCALES,
    hidden,
    set_labels,
    set_treatment,
)
from validation import refute

NUM_ROWS, SIZES, LEVEL = 300, (15, 30, 60), 0.01
UNCONFOUNDED = CausalMixture(1, CONFOUNDER.mechanisms)
EQUAL = {"theta": [1.0], "p_T": [0.5], "beta_Y": [[0.0, -1.0]], "sigma_Y": [0.7]}
Experiment = Callable[[CausalMixture, dict, int, int], Data]

# What it is, the world with its Greeks, the model that is fitted, and what an experimenter sets.
WORLDS = (
    ("right: two classes of unequal spread", SCALES, TWO_SCALES, SCALES, set_labels),
    ("right: treatment and outcome, no hidden cause", UNCONFOUNDED, EQUAL, UNCONFOUNDED, set_treatment),
    ("wrong: one spread, known, where there are two", SCALES, TWO_SCALES, ONE_SCALE, set_labels),
    ("wrong: two classes where there are three", THREE, CLASSES, SCALES, set_labels),
    ("wrong: a hidden confounder left out", CONFOUNDER, CONFOUNDED, UNCONFOUNDED, set_treatment),
)


def refuted(
    world: CausalMixture, greeks: dict, model: CausalMixture, experiment: Experiment, size: int, seed: int
) -> bool:
    """Whether one fit is refuted by one experiment."""
    fit = EM().fit(model, hidden(world, greeks, NUM_ROWS, seed), seed=seed)
    return refute(fit, experiment(world, greeks, size, 10_000 + seed), seed=seed, level=LEVEL).refuted


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=100)
    count = parser.parse_args().replicates
    warnings.simplefilter("ignore")
    print(f"| refuted at {LEVEL}, of {count} | " + " | ".join(f"{size} rows a setting" for size in SIZES) + " |")
    print("|---" * (1 + len(SIZES)) + "|")
    for words, *world in WORLDS:
        cells = []
        for size in SIZES:
            hits = sum(refuted(*world, size, seed) for seed in range(count))
            low, high = binomtest(hits, count).proportion_ci(0.95)
            cells.append(f"{hits / count:.2f} ({low:.2f} to {high:.2f})")
        print(f"| {words} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
