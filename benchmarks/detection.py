"""What a search for modes misses of what 300 random starts, run to the end, find on random graphs; and its time.

python benchmarks/detection.py [num_graphs] [seed]
"""

import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np

from estimators import EstimationWarning, modes
from validation.scenarios.random_graphs import random_graph

NUM_GRAPHS, NUM_WORKERS = 200, 2
REFERENCE = modes.Search(least=300, most=300)
# Values that differ by less are one, and modes matter that are so near the best.
SAME, NEAR = 0.02, 2.0


class Missed(NamedTuple):
    """Of one graph: how far the best value is below the reference's, which modes near it there are, and are missed."""

    below: float
    near: int
    missed: int
    seconds: float
    is_settled: bool


def missed_on(graph: int, seed: int) -> Missed:
    """What a search misses; of many modes, which it does not list, none is asked for."""
    drawn = random_graph(graph)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EstimationWarning)
        reference = modes.search(drawn.model, drawn.data, settings=REFERENCE, seed=seed + 1000)
        started = time.perf_counter()
        found = modes.search(drawn.model, drawn.data, seed=seed)
        seconds = time.perf_counter() - started
    values, expected = ([mode.value for mode in one.modes] for one in (found, reference))
    best = max(values + expected)
    near = [] if found.is_many else sorted({round(value, 2) for value in expected if value > best - NEAR})
    missed = sum(min(abs(value - own) for own in values) > SAME for value in near)
    return Missed(max(expected) - max(values), len(near), missed, seconds, found.is_settled)


def main(num_graphs: int = NUM_GRAPHS, seed: int = 1) -> None:
    with ProcessPoolExecutor(NUM_WORKERS) as pool:
        graphs = list(pool.map(partial(missed_on, seed=seed), range(num_graphs)))
    below = {graph: round(one.below, 2) for graph, one in enumerate(graphs) if one.below > SAME}
    near, missed = sum(one.near for one in graphs), sum(one.missed for one in graphs)
    print(f"{num_graphs} random graphs, {sum(one.is_settled for one in graphs)} settled; against 300 random starts")
    print(f"best value missed in {len(below)} ({len(below) / num_graphs:.1%}), by nats on graph: {below}")
    print(f"of {near} modes within {NEAR:g} nats of the best {missed} missed ({missed / near:.1%})")
    print(f"seconds of a search: {np.median([one.seconds for one in graphs]):.3f} in the median")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
