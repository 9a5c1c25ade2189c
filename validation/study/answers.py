"""What a fit says of each contrast that is asked of it: a set of answers, and whether it warned of them."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from estimators import Estimate, Fit, Status
from estimators.contract import LATENT
from validation.measures.answers import range_of_draws
from validation.scenarios import Contrast, Intervention, Scenario, contrasts
from validation.study.attempt import attempt
from validation.study.effective_draws import effective_sizes
from validation.study.row import ANSWER_LEVEL, Answer

# Beside so many rivals each answer is one of many, and the intervals of all of them would take minutes.
MOST_RIVALS = 3
# A fit that has lost a class, or whose Greeks run free, has warned; its interval is mostly infinite and takes long.
WITH_INTERVALS = (Status.CONVERGED, Status.RIVAL_MODES)


def answers_of(scenario: Scenario, fit: Fit, arranged: Fit) -> dict[str, Answer]:
    """Return what a fit answers to each contrast of a scenario in which that is measured.

    Where truths are sorted, free labels are those in the same order: draws are asked as they are `arranged`, and a
    point fit of the labels that its own have there.
    """
    if scenario.allowed is None:
        return {}
    asked = contrasts(scenario.interventions)
    if fit.num_draws > 1:
        return {contrast.name: _asked(arranged, contrast) for contrast in asked}
    own = own_labels(scenario, fit)
    return {contrast.name: _asked(fit, Contrast(own(contrast.setting), own(contrast.versus))) for contrast in asked}


def own_labels(scenario: Scenario, fit: Fit) -> Callable[[Intervention], Intervention]:
    """Return what asks a point fit of its own label where a scenario sets one in its order."""
    if not scenario.sorts:
        return lambda asked: asked
    order = np.argsort(fit.draws[str(scenario.sort_by)][0].numpy(), kind="stable")

    def own(asked: Intervention) -> Intervention:
        do = {name: float(order[int(value)]) if name == LATENT else value for name, value in asked.do.items()}
        return replace(asked, do=do)

    return own


def _asked(fit: Fit, contrast: Contrast) -> Answer:
    asked = attempt(partial(_answer, fit, contrast))
    if asked.value is None:
        return Answer((), ANSWER_LEVEL, warnings=asked.warnings, refused=asked.error)
    intervals, level, rivals = asked.value
    return Answer(intervals, level, rivals, asked.warnings)


def _answer(fit: Fit, contrast: Contrast) -> tuple[tuple[tuple[float, float], ...], float, tuple[float, ...]]:
    """The set of answers with its level, and what the rivals of a point fit answer."""
    setting, versus = contrast.setting, contrast.versus
    estimate: Estimate = fit.contrast(setting.outcome, do=setting.settings, versus=versus.settings)
    if fit.num_draws == 1:
        rivals = tuple(float(rival) for rival in estimate.rivals)
        is_sought = len(rivals) <= MOST_RIVALS and fit.status in WITH_INTERVALS
        profile = estimate.profile(ANSWER_LEVEL) if is_sought else []
        return tuple((float(low), float(high)) for low, high in profile), ANSWER_LEVEL, rivals
    draws = np.asarray(estimate.draws, dtype=np.float64)
    (ess,) = effective_sizes(fit, [draws])
    low, high, level = range_of_draws(draws, ess, ANSWER_LEVEL)
    return ((low, high),), level, ()
