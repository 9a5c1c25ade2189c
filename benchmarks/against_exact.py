"""NUTS and SMC, as they come, against the sum over all allocations, on data sets drawn from the tutorial's prior.

``python benchmarks/against_exact.py [COMPONENTS] [ROWS] [SETS]``, by default 3, 9 and 100: five minutes of one core.
The concentration is .5, so that classes are often empty. What is compared asks for no labels: the weights and the
locations in order of their size, and their squares, in standard errors of both. By chance one number of n is beyond z
with a probability of at most ``2 n Φ(-z)``.
"""

import sys
import warnings

import numpy as np
import torch
from scipy.stats import norm
from torch import Tensor

from estimators import NUTS, SMC, EstimationWarning, Exact, Fit, GaussianMixture
from estimators.diagnostics import diagnostics

SAMPLERS = (NUTS(progress_bar=False), SMC(progress_bar=False))


def asked(fit: Fit) -> dict[str, Tensor]:
    """Numbers [S, K] of each draw that no order of the labels changes."""
    theta, mu = (fit.draws[name].sort(1).values for name in ("theta", "mu_X"))
    return {"theta": theta, "theta²": theta**2, "mu": mu, "mu²": mu**2}


def z_values(fit: Fit, exact: Fit) -> np.ndarray:
    """The differences of all means, in standard errors: those of draws that miss a tail would not know of it."""
    own, right = asked(fit), asked(exact)
    (_, sizes, _), (_, right_sizes, _) = diagnostics(own, fit.num_chains), diagnostics(right, exact.num_chains)
    z = []
    for name, value in right.items():
        share = 1.0 / np.asarray(sizes[name]) + 1.0 / np.asarray(right_sizes[name])
        z.append((own[name].mean(0) - value.mean(0)).numpy() / np.sqrt(value.var(0).numpy() * share))
    return np.concatenate(z)


def data_set(K: int, num_rows: int, seed: int) -> Tensor:
    """Rows of Greeks from the prior."""
    rng = np.random.default_rng([K, num_rows, seed])
    mu = rng.normal(0.0, 10.0, K)
    return torch.from_numpy(mu[rng.choice(K, num_rows, p=rng.dirichlet([0.5] * K))] + rng.normal(size=num_rows))


def main(K: int = 3, num_rows: int = 9, num_sets: int = 100) -> None:
    """Compare on all data sets, and print the farthest."""
    model = GaussianMixture(K=K, concentration=0.5)
    found: dict[str, list[np.ndarray]] = {}
    warned: dict[str, int] = {}
    for seed in range(num_sets):
        data = {"X": data_set(K, num_rows, seed)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", EstimationWarning)
            exact = Exact(num_draws=8000, progress_bar=False).fit(model, data, seed=seed)
            fits = [sampler.fit(model, data, seed=seed) for sampler in SAMPLERS]
        for fit in fits:
            name = fit.stats["estimator"]
            found.setdefault(name, []).append(z_values(fit, exact))
            warned[name] = warned.get(name, 0) + (fit.status.name != "CONVERGED")
    print(f"K = {K}, {num_rows} rows, {num_sets} data sets")
    for name, sets in found.items():
        z = np.abs(sets)
        farthest = int(z.max(1).argmax())
        by_chance = min(2.0 * z.size * norm.sf(z.max()), 1.0)
        print(
            f"{name:5} mean z² {np.mean(z**2):.2f} (1), beyond 3: {np.mean(z > 3):.4f} (.0027), "
            f"largest {z.max():.1f} in set {farthest}, by chance {by_chance:.2g}; warned of {warned[name]}"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
