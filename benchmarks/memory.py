"""The memory that EM takes on one long column, as a multiple of the column: peak resident size above that before.

python benchmarks/memory.py [num_rows]
"""

import resource
import sys
import warnings

import numpy as np

from estimators import EM, Data, EstimationWarning, GaussianMixture

ITERATIONS = 5


def peak() -> int:
    """The largest resident size so far, in bytes (Linux counts in kB)."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main(num_rows: int = 10_000_000) -> None:
    rng = np.random.default_rng(0)
    # Whatever is loaded at the first fit is not counted.
    small = rng.normal(size=10_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EstimationWarning)
        EM(max_iterations=ITERATIONS).fit(GaussianMixture(2), Data(X=small), seed=0)
        column = rng.standard_normal(num_rows)
        column[: num_rows // 3] += 6.0
        before = peak()
        fit = EM(max_iterations=ITERATIONS).fit(GaussianMixture(2), Data(X=column), seed=0)
    used = peak() - before
    print(f"{num_rows} rows: {used / 1e6:.0f} MB, {used / column.nbytes:.2f} times the column; {fit!r}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
