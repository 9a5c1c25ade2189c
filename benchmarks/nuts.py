"""NUTS side by side with stock Pyro NUTS: milliseconds per effective draw, K = 2, on the same rows in the same run.

``python benchmarks/nuts.py [--rows 1000] [--peer-samples 200]``

Both sample the tutorial's model from a cold start, warm-up included; an effective draw is the smallest bulk ESS over
the Greeks after relabelling. Pyro gets fewer draws because it is slow; its warm-up is scaled down alike, in its favour
if anything. Ratios are what to read: absolute speeds depend on the machine and its load.
"""

import argparse
import time
import warnings

import torch

from estimators import NUTS, Data, GaussianMixture

TRUTH = {"theta": [0.4, 0.6], "mu_X": [-2.0, 2.0]}


def milliseconds_per_effective_draw(sampler: NUTS, model: GaussianMixture, data: Data, seed: int) -> float:
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = sampler.fit(model, data, seed=seed)
    seconds = time.perf_counter() - started
    return 1e3 * seconds / float(fit.stats["min_ess"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--peer-samples", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    model = GaussianMixture(K=2)
    data = Data(X=model.simulate(arguments.rows, TRUTH, seed=0)["X"])
    few = arguments.peer_samples
    peer = NUTS(num_samples=few, warmup_steps=few, num_chains=1, engine="pyro", progress_bar=False)
    ours = NUTS(num_samples=1000, warmup_steps=1000, num_chains=4, progress_bar=False)
    NUTS(num_samples=10, warmup_steps=10, num_chains=1, progress_bar=False).fit(model, data, seed=0)
    print(f"N = {arguments.rows}, K = 2, torch threads: {torch.get_num_threads()}")
    for repeat in range(arguments.repeats):
        ours_ms = milliseconds_per_effective_draw(ours, model, data, seed=repeat)
        peer_ms = milliseconds_per_effective_draw(peer, model, data, seed=repeat)
        print(
            f"ms per effective draw: nutpie engine {ours_ms:.3f}, Pyro {peer_ms:.1f}; ratio 1/{peer_ms / ours_ms:.0f}"
        )


if __name__ == "__main__":
    main()
