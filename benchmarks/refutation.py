"""How often `refute` refutes: right worlds at its level, and three wrong ones, by the size of the experiment.

    python benchmarks/refutation.py [--replicates 100]

Prints the table of docs/studies.md: of each world the share that is refuted at .01, with its exact 95 % interval.
Each is fitted by EM to 300 rows with Z hidden, and then held against an experiment of so many rows for each setting.
"""

import argparse
import warnings

import pyro
import torch
from scipy.stats import binomtest

from estimators import EM, CausalMixture, Data
from estimators.mechanisms import Bernoulli, Gaussian, LinearGaussian
from validation import refute

NUM_ROWS, SIZES, LEVEL = 300, (15, 30, 60), 0.01
ONE_SCALE, SCALES = CausalMixture(2, {"X": Gaussian(scale=1.0)}), CausalMixture(2, {"X": Gaussian()})
THREE = CausalMixture(3, {"X": Gaussian(scale=1.0)})
TREATED = {"T": Bernoulli(), "Y": LinearGaussian(parents=["T"])}
CONFOUNDED, UNCONFOUNDED = CausalMixture(2, TREATED), CausalMixture(1, TREATED)
UNEQUAL = {"theta": [0.5, 0.5], "mu_X": [-3.0, 3.0], "sigma_X": [1.0, 2.0]}
CLASSES = {"theta": [0.4, 0.3, 0.3], "mu_X": [-3.0, 0.0, 3.0]}
EFFECT = {"theta": [0.4, 0.6], "p_T": [0.2, 0.8], "beta_Y": [[0.0, -1.0], [4.0, -1.0]], "sigma_Y": [0.7, 0.7]}
EQUAL = {"theta": [1.0], "p_T": [0.5], "beta_Y": [[0.0, -1.0]], "sigma_Y": [0.7]}

# What it is, the world with its Greeks, the model that is fitted, and what an experimenter sets.
WORLDS = (
    ("right: two classes of unequal spread", SCALES, UNEQUAL, SCALES, "Z"),
    ("right: treatment and outcome, no hidden cause", UNCONFOUNDED, EQUAL, UNCONFOUNDED, "T"),
    ("wrong: one spread, known, where there are two", SCALES, UNEQUAL, ONE_SCALE, "Z"),
    ("wrong: two classes where there are three", THREE, CLASSES, SCALES, "Z"),
    ("wrong: a hidden confounder left out", CONFOUNDED, EFFECT, UNCONFOUNDED, "T"),
)


def experiment(world: CausalMixture, greeks: dict, name: str, size: int, seed: int) -> Data:
    """Rows with a variable set to 0 and to 1, `size` of each."""
    settings = torch.arange(2).repeat_interleave(size)
    value = settings if name == "Z" else settings.double()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        rows = pyro.do(world.rows, data={name: value})(world.check_greeks(greeks), len(settings))
    hidden = () if name == "Z" else ("Z",)
    columns = {**{key: column for key, column in rows.items() if key not in hidden}, name: value}
    return Data(columns, intervened={name: True})


def refuted(world: CausalMixture, greeks: dict, model: CausalMixture, name: str, size: int, seed: int) -> bool:
    """Whether one fit is refuted by one experiment."""
    rows = world.simulate(NUM_ROWS, greeks, seed=seed)
    data = Data({key: column for key, column in rows.items() if key != "Z"})
    fit = EM().fit(model, data, seed=seed)
    return refute(fit, experiment(world, greeks, name, size, 10_000 + seed), seed=seed, level=LEVEL).refuted


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
