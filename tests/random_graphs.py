"""Random causal mixtures with rows: two or three classes, one to four variables, far apart to nearly alike."""

from estimators import CausalMixture, Data
from validation.scenarios import random_graphs


def random_graph(seed: int) -> tuple[CausalMixture, Data]:
    """A model and 200 to 2,000 rows of it, in which no column is constant or huge."""
    drawn = random_graphs.random_graph(seed)
    return drawn.model, drawn.data
