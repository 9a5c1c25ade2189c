"""What each mode answers. A mean over modes that differ is what none of them says, so each has a mark of its own.

The first has full marks and thick bars, the others open marks and thin bars.
"""

from collections.abc import Sequence

from estimators.modes.profile import Interval
from estimators.plots.fitted import Fitted
from estimators.plots.intervals import intervals_of
from estimators.queries.estimate import Estimate

Answers = list[tuple[float, Estimate]]
# Modes whose weights are named; others are drawn as they are.
NAMED = 3


def by_mode(fit: Fitted, quantity: Estimate) -> Answers:
    """The weight of each mode and the quantity there: of draws the heaviest first, of a point its own, then rivals."""
    if fit.num_draws > 1:
        return quantity.by_mode
    if fit.found is None:
        return [(1.0, quantity)]
    own, rivals = float(fit.found.weights[0]), fit.found.weights[fit.found.rivals].tolist()
    return [(own, quantity), *((w, Estimate(at[None])) for w, at in zip(rivals, quantity.rivals, strict=False))]


def intervals_by_mode(fit: Fitted, quantity: Estimate, level: float) -> list[list[Interval[float]]]:
    """The intervals of each mode's answer to a question for one number, then those of modes that do not count."""
    answers = by_mode(fit, quantity)
    if fit.num_draws > 1:
        return [intervals_of(fit, one, level) for _, one in answers]
    by_answer: list[list[Interval[float]]] = [[] for _ in range(len(answers) + 1)]
    for low, high in intervals_of(fit, quantity, level):
        # One that holds several answers is the first one's.
        held = [rank for rank, (_, one) in enumerate(answers) if low <= float(one.value) <= high]
        by_answer[held[0] if held else -1].append(Interval(low, high))
    return by_answer


def weights_in_words(weights: Sequence[float]) -> str:
    """The weights of modes, the first's, whose marks are full, and the others'; nothing where there is one."""
    if len(weights) < 2:
        return ""
    named = ", ".join(f"{weight:.0%}" for weight in weights[1 : NAMED + 1])
    more = len(weights) - 1 - NAMED
    return f"{weights[0]:.0%}, open {named}" + (f" and {more} more" if more > 0 else "")
