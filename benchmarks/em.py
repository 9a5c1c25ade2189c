"""EM side by side with scikit-learn: milliseconds per iteration on one column, in the same run.

``python benchmarks/em.py [--rows 1000000]``

One iteration is an E-step over all rows and the M-step after it, from the same start, unaccelerated. scikit-learn's is
the difference between a run of 6 and a run of 1 iteration, so that its set-up is not counted; scales are estimated in
both. Ratios are what to read: absolute speeds depend on the machine and its load.
"""

import argparse
import time
import warnings

import numpy as np
import pyro.distributions as dist
import torch
from sklearn.mixture import GaussianMixture as Peer

from estimators import CausalMixture, Data
from estimators.mechanisms import Gaussian

ITERATIONS = 5


def seconds(run: object) -> float:
    started = time.perf_counter()
    run()  # type: ignore[operator]
    return time.perf_counter() - started


def our_iteration(column: np.ndarray, start: dict[str, np.ndarray]) -> float:
    model = CausalMixture(len(start["theta"]), {"X": Gaussian(scale=dist.HalfNormal(5.0))})
    marginal = model.marginal(Data(X=column))

    def run() -> None:
        greeks = start
        for _ in range(ITERATIONS):
            greeks = marginal.argmax(greeks, marginal.statistics(greeks))

    run()
    return seconds(run) / ITERATIONS


def peer_iteration(column: np.ndarray, start: dict[str, np.ndarray]) -> float:
    def run(iterations: int) -> None:
        peer = Peer(
            len(start["theta"]),
            covariance_type="diag",
            tol=0.0,
            max_iter=iterations,
            weights_init=start["theta"],
            means_init=start["mu_X"][:, None],
            precisions_init=start["sigma_X"][:, None] ** -2.0,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            peer.fit(column[:, None])

    return (seconds(lambda: run(1 + ITERATIONS)) - seconds(lambda: run(1))) / ITERATIONS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    print(f"N = {arguments.rows}, torch threads: {torch.get_num_threads()}")
    for K in (2, 8):
        means = np.linspace(-2.0 * K, 2.0 * K, K)
        column = means[rng.integers(0, K, arguments.rows)] + rng.standard_normal(arguments.rows)
        start = {"theta": np.full(K, 1 / K), "mu_X": means + 0.3, "sigma_X": np.full(K, 1.5)}
        for _ in range(arguments.repeats):
            ours, peer = 1e3 * our_iteration(column, start), 1e3 * peer_iteration(column, start)
            print(f"K = {K}: ms per iteration: ours {ours:.1f}, scikit-learn {peer:.0f}; ratio 1/{peer / ours:.0f}")


if __name__ == "__main__":
    main()
