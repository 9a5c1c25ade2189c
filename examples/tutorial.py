"""The tutorial's causal mixture, Z → X, trained four ways: what each says of do(Z=1), beside the truth by enumeration.

Z decides which of two Gaussians X comes from, and is never seen. The long version is `docs/tutorial.md`.

    python examples/tutorial.py
"""

import pyro
import torch

from estimators import EM, MAP, NUTS, Data, Exact, GaussianMixture, isolated

ROWS = [0.0, 1.0, 10.0, 11.0, 12.0]


def main() -> dict[str, tuple[float, float]]:
    """Print what each estimator says of the mean of X under do(Z=1), and return it with its standard deviation."""
    model = GaussianMixture(K=2)  # concentration 0.5, spreads 1, means Normal(0, 10)
    with isolated(seed=0):
        print("rows of a world in which Z was set:", pyro.do(model, data={"Z": torch.tensor(1)})(3)["X"])
    data = Data(X=ROWS)
    said = {}
    for estimator in (MAP(), EM(), NUTS(), Exact()):
        fit = estimator.fit(model, data, seed=0)
        mean = fit.do(Z=1).mean("X")
        said[type(estimator).__name__] = (float(mean.value), float(mean.draws.std(unbiased=False)))
        print(f"{type(estimator).__name__:<6}{fit.status.name:<11}E[X | do(Z=1)] = {mean}")
    return said


if __name__ == "__main__":
    main()
