"""How many samples a check needs to see an effect with the power and at the level demanded."""

from validation.testing.arguments import as_count
from validation.testing.check import Demand
from validation.testing.distribution import cdf_size
from validation.testing.mean import mean_size
from validation.testing.proportion import proportion_size
from validation.testing.ranks import ranks_size


def sample_size(
    kind: str,
    demand: Demand,
    *,
    sd: float = 1.0,
    skewness: float | None = None,
    expected: float | None = None,
    num_draws: int | None = None,
) -> int:
    """Return how many samples: `sd`, `skewness` are for "mean", `expected` for "proportion", `num_draws` for "ranks".

    Raises a ValueError for another kind, for what a kind needs and has not, and if 10⁹ would not do.
    """
    if kind == "mean":
        found = mean_size(sd, demand, skewness=skewness, is_known=skewness is not None)
    elif kind == "proportion":
        if expected is None:
            raise ValueError('sample_size("proportion"): expected=, the probability under the null, is needed')
        found = proportion_size(expected, demand)
    elif kind == "cdf":
        found = cdf_size(demand)
    elif kind == "ranks":
        if num_draws is None:
            raise ValueError('sample_size("ranks"): num_draws=, the largest rank, is needed')
        found = ranks_size(as_count("num_draws", num_draws, least=1), demand)
    else:
        raise ValueError(f'sample_size: expected "mean", "proportion", "cdf" or "ranks", got {kind!r}')
    if found is None:
        raise ValueError(f"sample_size: not even 10⁹ samples see an effect of {demand.min_effect:g}")
    return found
