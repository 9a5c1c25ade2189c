"""The time of an EM step on rows with missing entries, as a multiple of that on the same rows complete, in one run.

python benchmarks/missing.py [num_rows]
"""

import sys
import time
from collections.abc import Callable

import numpy as np

from estimators import CausalMixture, Data
from estimators.mechanisms import DiagonalGaussian, FullGaussian, Gaussian, LinearGaussian

NUM_COLUMNS, NUM_CLASSES, SHARE, SEED = 8, 3, 0.2, 0
REPEATS, SECONDS = 5, 1.0


def step_seconds(model: CausalMixture, data: Data) -> float:
    """The fastest of several batches of EM steps (E-step, gradient and M-step), per step."""
    density = model.density(data).beyond_priors()
    at = 0.1 * np.random.default_rng(SEED).standard_normal(density.size)
    found = []
    for _ in range(REPEATS):
        count, started = 0, time.perf_counter()
        while time.perf_counter() - started < SECONDS / REPEATS or not count:
            at_next = density.m_step(at, density.e_step(at)[2])
            count += 1
        found.append((time.perf_counter() - started) / count)
    assert np.isfinite(at_next).all()
    return min(found)


def columns(vectors: np.ndarray) -> dict[str, np.ndarray]:
    """The same numbers as scalar columns."""
    return {f"X{place}": column for place, column in enumerate(vectors.T)}


def main(num_rows: int = 2_000) -> None:
    rng = np.random.default_rng(SEED)
    latent = rng.integers(NUM_CLASSES, size=num_rows)
    whole = rng.normal(rng.normal(0.0, 3.0, (NUM_CLASSES, NUM_COLUMNS))[latent], 1.0)
    some = np.where(rng.random(whole.shape) < SHARE, np.nan, whole)
    chain = {f"X{i}": LinearGaussian(parents=[f"X{i - 1}"]) if i else Gaussian() for i in range(NUM_COLUMNS)}
    cases: dict[str, tuple[CausalMixture, Callable[[np.ndarray], Data]]] = {
        "FullGaussian": (
            CausalMixture(NUM_CLASSES, {"X": FullGaussian(NUM_COLUMNS)}),
            lambda x: Data(X=x, missing="marginalize"),
        ),
        "DiagonalGaussian": (
            CausalMixture(NUM_CLASSES, {"X": DiagonalGaussian(NUM_COLUMNS)}),
            lambda x: Data(X=x, missing="marginalize"),
        ),
        "a chain of lines": (CausalMixture(NUM_CLASSES, chain), lambda x: Data(**columns(x), missing="marginalize")),
    }
    print(f"{num_rows} rows, {NUM_COLUMNS} columns, {SHARE:.0%} missing, K = {NUM_CLASSES}, one thread")
    for name, (model, data) in cases.items():
        complete, gaps = step_seconds(model, data(whole)), step_seconds(model, data(some))
        print(
            f"{name:17s} complete {1e3 * complete:7.2f} ms   missing {1e3 * gaps:7.2f} ms  {gaps / complete:5.1f} times"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
