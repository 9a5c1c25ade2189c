"""Two data sets of the literature: what other packages printed of them, beside what is fitted here.

The rows and where they are from stand in `examples/data`.

    python examples/published.py
"""

from pathlib import Path

import numpy as np
import pandas as pd

from estimators import EM, CausalMixture, Fit
from estimators.mechanisms import Bernoulli, Gaussian

DATA = Path(__file__).parent / "data"

# R package mixtools, normalmixEM(faithful$waiting): Pearson (2011), Exploring Data in Engineering, the Sciences, and
# Medicine; the log-likelihood is that of the package's documentation.
GEYSER = {
    "theta": [0.3608868, 0.6391132],
    "mu_waiting": [54.61489, 80.09109],
    "sigma_waiting": [5.871241, 5.867718],
    "log-likelihood": -1034.002,
}
# R package poLCA, poLCA(cbind(A, B, C, D, E, F, G) ~ 1, carcinoma, nclass = 3): Linzer & Lewis, manual of version 1.4,
# section 6.1.
SLIDES = {
    "theta": [0.3736, 0.1817, 0.4447],
    "p_A": [0.0573, 0.5128, 1.0],
    "p_B": [0.1379, 1.0, 0.9809],
    "p_C": [0.0, 0.0, 0.8575],
    "p_D": [0.0, 0.0576, 0.5862],
    "p_E": [0.0551, 0.7506, 1.0],
    "p_F": [0.0, 0.0, 0.4764],
    "p_G": [0.0, 0.6307, 1.0],
    "log-likelihood": -293.705,
}


def geyser() -> Fit:
    """Minutes until the next eruption of Old Faithful: a hidden kind of eruption, and a Gaussian for each."""
    waiting = pd.read_csv(DATA / "faithful.csv")[["waiting"]]
    return EM().fit(CausalMixture(2, {"waiting": Gaussian()}), waiting, seed=0)


def slides(num_classes: int = 3) -> Fit:
    """Seven pathologists on 118 slides: a slide's hidden state causes what each says."""
    ratings = pd.read_csv(DATA / "carcinoma.csv").replace({1: "no", 2: "yes"})
    model = CausalMixture(num_classes, {rater: Bernoulli() for rater in ratings})
    return EM().fit(model, ratings, seed=0)


def beside(printed: dict[str, float | list[float]], fit: Fit) -> pd.DataFrame:
    """A row for each number that was printed: it, ours, and the difference."""
    ours = {name: fit.stats["log_likelihood"] if name == "log-likelihood" else fit[name] for name in printed}
    rows = [
        (f"{name}[{k}]" if np.ndim(value) else name, one, float(other))
        for name, value in printed.items()
        for k, (one, other) in enumerate(zip(np.atleast_1d(value), np.atleast_1d(ours[name]), strict=True))
    ]
    table = pd.DataFrame(rows, columns=["", "published", "ours"]).set_index("")
    return table.assign(difference=table["ours"] - table["published"])


def main() -> dict[str, pd.DataFrame]:
    """Print both tables, and return them."""
    tables = {"Old Faithful": beside(GEYSER, geyser()), "carcinoma": beside(SLIDES, slides())}
    for name, table in tables.items():
        print(f"{name}\n{(table.round(5) + 0.0).to_string()}\n")
    return tables


if __name__ == "__main__":
    main()
