"""EM with full covariances side by side with scikit-learn: milliseconds per iteration, same run, same iterates.

``python benchmarks/em_full.py [--repeats 3]``

One iteration is an E-step over all rows and the M-step after it, from the same start, unaccelerated. scikit-learn's is
the difference between a run of 6 and a run of 1 iteration, so that its set-up is not counted. Ratios are what to read:
absolute speeds depend on the machine and its load.
"""

import argparse
import time
import warnings
from typing import Any

import numpy as np
import torch
from sklearn.mixture import GaussianMixture as Peer

from estimators import CausalMixture, Data
from estimators.mechanisms import FullGaussian

ITERATIONS = 5


def our_iterations(columns: np.ndarray, start: dict[str, np.ndarray]) -> tuple[float, dict[str, np.ndarray]]:
    """Seconds per iteration, and where the iterations end."""
    model = CausalMixture(len(start["theta"]), {"X": FullGaussian(columns.shape[1])})
    marginal = model.marginal(Data(X=columns))
    marginal.argmax(start, marginal.statistics(start))
    greeks, started = start, time.perf_counter()
    for _ in range(ITERATIONS):
        greeks = marginal.argmax(greeks, marginal.statistics(greeks))
    return (time.perf_counter() - started) / ITERATIONS, greeks


def peer_iterations(columns: np.ndarray, start: dict[str, np.ndarray]) -> tuple[float, Any]:
    """The same of scikit-learn."""

    def run(iterations: int) -> tuple[float, Any]:
        peer = Peer(
            len(start["theta"]),
            tol=0.0,
            reg_covar=0.0,
            max_iter=iterations,
            weights_init=start["theta"],
            means_init=start["mu_X"],
            precisions_init=np.linalg.inv(covariances(start)),
        )
        started = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            peer.fit(columns)
        return time.perf_counter() - started, peer

    longer, shorter = run(1 + ITERATIONS)[0], run(1)[0]
    return (longer - shorter) / ITERATIONS, run(ITERATIONS)[1]


def covariances(greeks: dict[str, np.ndarray]) -> np.ndarray:
    factor = greeks["sigma_X"][..., None] * greeks["corr_X"]
    return np.asarray(factor @ np.swapaxes(factor, -1, -2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    print(f"torch threads: {torch.get_num_threads()}")
    for D, N, K in ((10, 200_000, 8), (50, 50_000, 4)):
        means = 3.0 * rng.standard_normal((K, D))
        # Correlated columns, conditioned as measurements are: spreads between 1/2 and 3/2 in every direction.
        rotations = np.linalg.qr(rng.standard_normal((K, D, D)))[0]
        mixing = rotations * rng.uniform(0.5, 1.5, (K, 1, D))
        latent = rng.integers(0, K, N)
        columns = means[latent] + np.einsum("nij,nj->ni", mixing[latent], rng.standard_normal((N, D)))
        start = {
            "theta": np.full(K, 1 / K),
            "mu_X": means + 0.3,
            "sigma_X": np.full((K, D), 1.5),
            "corr_X": np.tile(np.eye(D), (K, 1, 1)),
        }
        for _ in range(arguments.repeats):
            ours, greeks = our_iterations(columns, start)
            theirs, peer = peer_iterations(columns, start)
            gap = max(np.abs(greeks["mu_X"] - peer.means_).max(), np.abs(covariances(greeks) - peer.covariances_).max())
            print(
                f"D = {D}, N = {N}, K = {K}: ms per iteration: ours {1e3 * ours:.1f}, scikit-learn "
                f"{1e3 * theirs:.0f}; ratio 1/{theirs / ours:.1f}; iterates differ by {gap:.1e}"
            )


if __name__ == "__main__":
    main()
