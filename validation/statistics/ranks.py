"""Are ranks of truths among draws uniform? The simultaneous ECDF test, exact (`validation.statistics.uniformity`)."""

from functools import lru_cache, partial
from typing import Any

from validation.statistics.arguments import as_array
from validation.statistics.check import Check, Message, Requirement
from validation.statistics.search import smallest
from validation.statistics.uniformity import (
    band,
    detectable_shift,
    escape_probability,
    gamma,
    shifted_rank_probabilities,
    uniformity_p_value,
)


def ranks_check(ranks: Any, num_draws: int, requirement: Requirement) -> Check:
    """Judge independent ranks in {0, …, num_draws} for uniformity; effects are shifts in posterior sds.

    γ of Modrák et al. (2023), its null distribution by recursion; the effect seen is a posterior that is normal, of the
    right sd, and off by `min_effect` sds. Raises ValueError for ranks that are not whole numbers within range.
    """
    array = as_array("ranks", ranks)
    statistic = gamma(array, num_draws)
    return Check(
        "ranks",
        requirement,
        array.size,
        statistic,
        _detectable(array.size, num_draws, requirement.alpha, requirement.power),
        statistic=statistic,
        p_value=uniformity_p_value(array, num_draws),
        message=Message(
            f"uniform ranks from 0 to {num_draws}",
            f"{array.size:,} ranks of mean {array.mean() / num_draws:.3f} (uniform: 0.5), γ = {statistic:.3g}",
            "an ECDF outside its simultaneous band",
            f"{array.size:,} ranks",
        ),
        enough=partial(ranks_size, num_draws, requirement),
    )


# It depends on no rank, and takes longer than the p-value.
_detectable = lru_cache(maxsize=256)(detectable_shift)


def ranks_size(num_draws: int, requirement: Requirement) -> int | None:
    """Return how many ranks see a shift of `min_effect` posterior sds, or None if 10⁹ do not."""
    # Not quite the whole effect: `detectable_shift` is a root and may be found on either side of it.
    probabilities = shifted_rank_probabilities(num_draws, requirement.min_effect * (1 - 1e-6))

    def is_enough(n: int) -> bool:
        return escape_probability(band(n, num_draws, requirement.alpha), n, probabilities) >= requirement.power

    return smallest(is_enough, least=1)
