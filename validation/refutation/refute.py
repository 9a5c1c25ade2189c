"""Refutation: are a fit's interventional predictions borne out by rows in which something was really set?

``refute`` tests one fit on one experiment; `refine` makes a loop of it. The three statistics are in `statistics`, the
simulation of experiments in `experiment`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from estimators import Data, EstimationError, Fit, own_modes
from estimators.contract import LATENT
from validation.measures.recovery import entry_name
from validation.refutation.checks import checked
from validation.refutation.experiment import Array, Experiments, with_simulated
from validation.refutation.predictions import Predictions
from validation.refutation.predictive import best_labels, is_continuous, log_densities, split
from validation.refutation.spread import Comparison, Labels, answers, spread_of
from validation.refutation.statistics import (
    LEAST_ROWS,
    PValues,
    Values,
    contrast_score,
    log_score_regret,
    p_values,
    pit_distance,
    score,
)
from validation.scenarios.intervention import with_numbers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Above this p-value of few simulations more of them are not made; a p-value that is kept is no more likely to be small.
NO_DOUBT = 0.2
# Below this certainty the labels of more than one draw in ten might as well have been others.
CERTAIN = 0.9
# Standard deviations by which a mean or a spread has to differ to be named.
NOTABLE = 2.0


@dataclass(frozen=True)
class Statistic:
    """One statistic of the observed experiment: its value, its own p-value, and what it says in words."""

    value: float
    p_value: float
    words: str


@dataclass(frozen=True, eq=False, repr=False)
class Refutation:
    """How an experiment came out against a fit's predictions.

    ``p_value`` is of the smallest of the p-values in ``statistics`` ("pit", "contrast", "log_score", as far as they
    apply; ``not_applied`` says which do not, and why), ``refuted`` whether it is at most ``level`` and every answer of
    the fit could be tested: what could not is not refuted, as the ``sentence`` then says. ``labels`` says
    which label of the experiment was held to be which of the fit; everything else is in the fit's labels. ``spread``
    says where the Greeks of the ``num_simulations`` simulated experiments come from. All of it is of the fit's mode
    number ``mode``, under which the rows are the least improbable.
    """

    p_value: float
    level: float
    refuted: bool
    sentence: str
    statistics: Mapping[str, Statistic]
    not_applied: tuple[str, ...]
    labels: str
    spread: str
    num_simulations: int
    mode: int
    seed: int
    fit: Fit
    experiment: Data

    def __str__(self) -> str:
        return self.sentence

    def __repr__(self) -> str:
        return f"Refutation({self.sentence})"

    def figure(self) -> "Figure":
        """A Matplotlib figure: one panel for each variable and setting, observed rows against predicted density."""
        from validation.refutation.figure import observed_against_predicted

        return observed_against_predicted(self.fit, self.experiment, self.sentence)


@own_modes()
def refute(
    fit: Fit,
    experiment: Any,
    *,
    seed: int | None = None,
    num_simulations: int = 999,
    level: float = 0.01,
    labels: str = "identity",
) -> Refutation:
    """Test a fit's predictions p(rows | do(what was set in each row)) on an experiment, Z averaged where not known.

    Three statistics: the distance from uniform of the probability integral transforms ``F(x | do(...))`` of continuous
    variables; z-scores of differences of means between settings; and the mean log predictive density of the rows, or of
    a unit's together, less its expectation. Each becomes a p-value by its rank among simulated experiments, each with
    one draw of the Greeks for all its rows, and the smallest is ranked among theirs. Ties, as of discrete outcomes, are
    broken at random, and the sentence says from where to where.

    The Greeks are those of the fit's draws, and of one mode the p-value is uniform over (truth from the posterior,
    experiment); a fit of kind "known" has no spread. A point fit is given draws about it (`Fit.laplace`) where their
    weights can be trusted. Else, and where it has few rows, it is refitted to simulated rows, and every simulated
    experiment is held against such a fit, as the observed one is against the fit; 99 of them where these leave no doubt
    that the rows are as predicted (p > 0.2). ``spread`` says which was done.

    A model is refuted where every answer is that the fitted rows allow: each mode of a fit (`Fit.modes`), down to a
    share of a tenth of `level`, is held against the experiment by itself, until one leaves no doubt, and the largest
    p-value counts. ``mode`` says whose it is. Where one cannot be tested, having lost a class, nothing is refuted.

    ``labels="identity"``: label k of the experiment is label k of the fit, and the free labels of every draw are
    in order of what the fit orders its own by. ``labels="matched"``: the experiment's labels are renamed as its rows
    fit best (log density), and those of every simulated experiment likewise.

    Raises ValueError or TypeError, naming the argument, for rows in which nothing is set, a variable or label that the
    fit does not know, fewer than 5 rows, missing entries, and a level that so few simulations cannot reach;
    EstimationError for a point fit without an estimate of every class.

    >>> model = CausalMixture(2, {"X": Gaussian(scale=1.0)})
    >>> fit = Fit.from_greeks(model, {"theta": [0.5, 0.5], "mu_X": [0.0, 4.0]})
    >>> rows = Data(X=[0.3, -1.1, 0.8, 7.2, 8.1, 6.9], Z=[0, 0, 0, 1, 1, 1], intervened={"Z": True})
    >>> print(refute(fit, rows, seed=0).sentence)
    Refuted (p = 0.001): X differs by 7.4 between do(Z=1) and do(Z=0), predicted 3.99 ± 0.82
    """
    experiment = checked(fit, experiment, seed, num_simulations, level, labels)
    seed = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else int(seed)
    held, untested = _held_against_modes(fit, experiment, labels, level, num_simulations, seed)
    best = max(held, key=lambda one: one.p.of_smallest)
    return Refutation(
        p_value=best.p.of_smallest,
        level=level,
        refuted=best.p.of_smallest <= level and not untested,
        sentence=_sentence(best, len(held), level, untested),
        statistics=best.statistics,
        not_applied=_not_applied(best.statistics, best.comparison.experiments),
        labels=best.labels.words,
        spread=best.comparison.spread,
        num_simulations=best.num_simulations,
        mode=best.mode,
        seed=seed,
        fit=best.comparison.fit,
        experiment=best.labels.experiment,
    )


@dataclass(frozen=True, eq=False)
class _Held:
    """How the experiment came out against one answer of a fit."""

    mode: int
    labels: Labels
    comparison: Comparison
    num_simulations: int
    p: PValues
    statistics: Mapping[str, Statistic]


def _held_against_modes(
    fit: Fit, experiment: Data, labels: str, level: float, num_simulations: int, seed: int
) -> tuple[list[_Held], str]:
    """The experiment against each mode, the fit's own first, until one leaves no doubt; what could not be tested."""
    held, doubt, untested = list[_Held](), max(NO_DOUBT, level), ""
    for number, answer in enumerate(answers(fit, level)):
        which = _matched(answer, experiment) if labels == "matched" else _identity(answer, experiment)
        try:
            held.append(_held_against(answer, number, which, doubt, num_simulations, seed))
        except EstimationError as problem:
            if number == 0:
                raise
            untested = f"fit.modes[{number}] could not be tested ({str(problem).removeprefix('refute: ')})"
            continue
        if held[-1].p.of_smallest > doubt:
            return held, ""
    return held, untested


def _held_against(answer: Fit, mode: int, labels: Labels, doubt: float, num_simulations: int, seed: int) -> _Held:
    """The experiment against one answer, by more simulations where few leave a doubt."""
    spread = spread_of(answer, num_simulations, seed)
    for count in spread.stages(num_simulations):
        comparison = spread.compared(labels, count, seed)
        p, statistics = _judged(comparison, seed)
        if p.of_smallest > doubt:
            break
    return _Held(mode, labels, comparison, count, p, statistics)


def _judged(comparison: Comparison, seed: int) -> tuple[PValues, dict[str, Statistic]]:
    """The p-values of the observed experiment, and the statistics that apply to it."""
    applied = {
        name: values
        for name, (measure, _) in STATISTICS.items()
        if (values := measure(comparison.predictions, comparison.experiments)) is not None
    }
    p = p_values([values.values for values in applied.values()], np.random.default_rng([seed, 3]))
    statistics = {
        name: Statistic(values.size, float(own), STATISTICS[name][1](values, comparison.shown))
        for (name, values), own in zip(applied.items(), p.of_each, strict=True)
    }
    return p, statistics


# -------------------------------------------------------------------- labels


def _identity(fit: Fit, experiment: Data) -> Labels:
    if LATENT not in experiment.columns or bool((experiment.latent() < 0).all()):
        return Labels(experiment, False, f"{LATENT} is neither set nor seen, so that no labels are compared")
    words, certainty = (
        "identity: label k of the experiment is label k of the fit",
        fit.stats.get("label_certainty", 1.0),
    )
    if certainty < CERTAIN:
        words += f", whose labels are certain to {certainty:.2f} only; labels='matched' does not rely on them"
    return Labels(experiment, False, words)


def _matched(fit: Fit, experiment: Data) -> Labels:
    """The experiment in the labels of the fit, and which these are."""
    predictive = split(fit)[0]

    def score(labelled: Experiments) -> Array:
        return log_densities(predictive, labelled)

    order = best_labels(fit.model.hidden[LATENT], score, with_simulated(fit, experiment, 1, 0))[0]
    used = np.unique(experiment.latent().numpy())
    used = used[used >= 0]
    pairs = ", ".join(f"{label} is {order[label]}" for label in used)
    words = f"matched: label of the experiment is label of the fit, as its rows fit best: {pairs}"
    return Labels(experiment.relabelled(np.argsort(order).tolist()), True, words)


# -------------------------------------------------------------------- words


def _sentence(best: _Held, num_held: int, level: float, untested: str) -> str:
    p, statistics, experiments = best.p, best.statistics, best.comparison.experiments
    of = f"p = {p.of_smallest:.3g}"
    if num_held > 1:
        of += f" under fit.modes[{best.mode}], the largest of {num_held} modes"
    if p.highest > p.lowest:
        of += f", drawn from {p.lowest:.3g} to {p.highest:.3g}, as outcomes are discrete"
    if p.of_smallest > level:
        arms = _listed([arm.words for arm in experiments.arms])
        rows = f"the {experiments.design.num_rows} rows under {arms} are as predicted"
        return f"Not refuted ({of}): {rows}"
    if untested:
        return f"Not refuted ({of}), since {untested}: fit more rows, or use NUTS()"
    # A distribution or a contrast says more than a log density, so the first that is significant by itself is named.
    significant = [statistic for statistic in statistics.values() if statistic.p_value <= level]
    worst = significant[0] if significant else min(statistics.values(), key=lambda statistic: statistic.p_value)
    return f"Refuted ({of}): {worst.words}"


def _pit_words(values: Values, experiments: Experiments) -> str:
    name, arm_words = values.details
    arms = [arm for arm in experiments.arms if name not in arm.settings]
    arms = [arm for arm in arms if arm.words == arm_words] or [arm for arm in arms if len(arm.rows) < LEAST_ROWS]
    rows = experiments.columns[name][:, np.concatenate([arm.rows for arm in arms])]
    return _compared(f"measured {name} under {arm_words}", rows, arms[0].levels.get(name, ()))[1]


def _compared(subject: str, rows: Array, names: Sequence[str]) -> tuple[float, str]:
    """Whether observed rows [m], the first of [E, m], lie higher or lower, or wider or narrower, and by how many sd.

    Of levels with names, whether one of them is there more or less often.
    """
    if names:
        shares = {name: (rows == number).mean(1) for number, name in enumerate(names)}
        # What was never predicted is judged by what one row more would be.
        own = {
            name: float(share[0] - share[1:].mean()) / max(share[1:].std(), 1.0 / rows.shape[1])
            for name, share in shares.items()
        }
        name = max(own, key=lambda name: abs(own[name]))
        share = shares[name]
        figures = f"{share[0]:.3g} of the rows, predicted {share[1:].mean():.3g} ± {share[1:].std():.2g}"
        often = "more" if own[name] > 0 else "less"
        return abs(own[name]), f"{subject} is {name!r} {often} often than predicted ({figures})"
    moments = {"mean": rows.mean(1), "sd": rows.std(1)}
    scores = {key: float(score(value)) for key, value in moments.items()}
    key = max(scores, key=lambda moment: abs(scores[moment]))
    figures = f"{key} {moments[key][0]:.3g}, predicted {moments[key][1:].mean():.3g} ± {moments[key][1:].std():.2g}"
    if abs(scores[key]) < NOTABLE:
        return abs(scores[key]), f"{subject} has another shape than predicted ({figures})"
    words = {"mean": ("higher", "lower"), "sd": ("wider", "narrower")}[key][0 if scores[key] > 0 else 1]
    return abs(scores[key]), f"{subject} is {words} than predicted ({figures})"


def _contrast_words(values: Values, experiments: Experiments) -> str:
    name, arm, versus, observed, predicted, error = values.details
    between = f"{arm.words} and {versus.words}"
    subject = with_numbers(name, arm.levels)
    return f"{subject} differs by {observed:.3g} between {between}, predicted {predicted:.3g} ± {error:.2g}"


def _score_words(values: Values, experiments: Experiments) -> str:
    observed, expected, scores = values.details
    less = "less" if observed < expected else "more"
    arm = max(experiments.arms, key=lambda arm: abs(score(scores[:, arm.rows].mean(1))))
    figures = f"mean log density {observed:.3g}, predicted {expected:.3g}"
    comparisons = []
    for name in experiments.measured(arm):
        rows = experiments.columns[name][:, arm.rows]
        for index in np.ndindex(rows.shape[2:]):
            subject = f"{entry_name(name, index)} under {arm.words}"
            comparisons.append(_compared(subject, rows[:, :, *index], arm.levels.get(name, ())))
    notable = [comparison for comparison in comparisons if comparison[0] >= NOTABLE]
    return f"the rows are {less} probable than predicted ({figures})" + (f"; {max(notable)[1]}" if notable else "")


# Each statistic of an experiment (None where it does not apply), and what it says in words.
STATISTICS: Mapping[
    str, tuple[Callable[[Predictions, Experiments], Values | None], Callable[[Values, Experiments], str]]
] = {
    "pit": (pit_distance, _pit_words),
    "contrast": (contrast_score, _contrast_words),
    "log_score": (log_score_regret, _score_words),
}


def _not_applied(applied: Mapping[str, Statistic], experiments: Experiments) -> tuple[str, ...]:
    reasons = [
        f"pit: {name} is discrete, or several numbers in a row"
        for name, column in experiments.columns.items()
        if not is_continuous(column)
    ]
    if "contrast" not in applied:
        reasons.append("contrast: no variable is measured under two settings with two rows each")
    return tuple(reasons)


def _listed(words: Sequence[str], most: int = 4) -> str:
    others = f" and {len(words) - most} other settings" if len(words) > most else ""
    return ", ".join(words[:most]) + others
