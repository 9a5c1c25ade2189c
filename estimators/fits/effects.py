"""Effects as people report them: of everyone, of the treated, or of those with some levels; on a scale of choice."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from estimators.checks import check_mapping, what_came
from estimators.contract import Predictive
from estimators.data.units import UNIT
from estimators.fits.questions import ask, seeing, two_means, under
from estimators.queries.effect_table import table_of
from estimators.queries.estimate import Estimate, combined
from estimators.queries.outcome import Outcome
from estimators.queries.scales import Scale

if TYPE_CHECKING:
    from estimators.fits.fit import Fit


Names = str | Sequence[str]
Seen = Mapping[str, Any] | None


@dataclass(frozen=True, eq=False)
class Effect:
    """What setting ``of`` to the second of two levels, and not to the first, does to the mean of a variable.

    Where a level of ``of`` is itself among what is given, it is what these rows were seen with before it is set.
    """

    fit: "Fit"
    outcome: Outcome
    of: str
    levels: Any
    scale: Scale

    def estimate(self, within: Names, given: Seen) -> Estimate:
        """The effect given what is seen; for every combination of levels of the variables ``within``, if any."""
        within, given = [within] if isinstance(within, str) else list(within), check_mapping("given", given)
        predictive = ask(self.fit, {}, "effect", seed=0).predictive
        self._check(predictive, [name for name in (*within, *given) if name != UNIT or name in within])
        pair = self._pair(predictive)
        if self.of in [*within, *given]:
            given |= self._was(predictive, pair, given)
        if not within:
            return self._given(pair, given)
        levels = [_levels(predictive, name) for name in within]
        entries = [self._given(pair, {**given, **dict(zip(within, cell, strict=True))}) for cell in product(*levels)]
        if entries[0].draws.ndim > 1:
            rows = entries[0].draws.shape[1]
            raise ValueError(f"within: expected one value of what is set or given, got {rows}; ask for each in turn")
        names = self.fit.labels.by_variable
        return table_of(entries, {name: names.get(name, own) for name, own in zip(within, levels, strict=True)})

    def _given(self, pair: Sequence[Any], given: Mapping[str, Any]) -> Estimate:
        if self.of in given:
            means, are_independent = [self._mean_of_those(level, given) for level in reversed(pair)], False
        else:
            do, versus = ({self.of: level} for level in reversed(pair))
            *means, are_independent = two_means(self.fit, self.outcome, do, versus, given)
        self.scale.check_means(self.outcome.name, *(mean.draws for mean in means))
        return combined(self.scale.compare, means, are_independent=are_independent)

    def _mean_of_those(self, level: float, given: Mapping[str, Any]) -> Estimate:
        """E[name, had ``of`` been set to a level | what ``of`` was, and all else that is given]."""
        seen = self.outcome.asked_of(seeing(self.fit, {**given, self.of: level}))
        was, others = given[self.of], {name: value for name, value in given.items() if name != self.of}
        if level == was:
            # Under the level that they had anyway they are as they were.
            return seen
        everyone = self.outcome.asked_of(under(self.fit, {self.of: level}).where(others))
        mean = ask(self.fit, {}, "effect", seed=0).where(others).mean(self.of)
        return combined(partial(_mean_of_others, level, was), [everyone, seen, mean], are_independent=False)

    # ---------------------------------------------------------------- what may be asked

    def _check(self, predictive: Predictive, seen: Sequence[str]) -> None:
        if isinstance(self.scale, type) or not isinstance(self.scale, Scale):
            raise TypeError(
                "scale: expected Difference(), Ratio() or OddsRatio(), as from estimators import Ratio, got "
                f"{what_came(self.scale)}"
            )
        self.outcome.check(predictive, self.of, seen)
        if self.outcome.event is None:
            self.scale.check(self.outcome.name, predictive.variables[self.outcome.name])
        for name in seen:
            if seen.count(name) > 1:
                raise ValueError(f"effect: {name} is there more than once, in within and given; name it in one of them")
            if name != self.of and self.of in predictive.above(name):
                raise ValueError(
                    f"effect: {name} depends on {self.of}: other rows have a value of it under each level, and what "
                    "the same would have under both is cross-world, of which no law of rows tells; leave it out, or "
                    f"compare different rows by fit.contrast(..., given={{{name!r}: ...}})"
                )

    def _pair(self, predictive: Predictive) -> list[Any]:
        """The two levels, by number."""
        of, levels = self.of, predictive.levels(self.of)
        given = [self.levels] if isinstance(self.levels, str) or not isinstance(self.levels, Iterable) else self.levels
        pair = list(given)
        if not pair and levels is not None and len(levels) == 2:
            pair = levels.tolist()
        if len(pair) != 2:
            has = "no levels" if levels is None else f"{len(levels)} levels"
            names = tuple(self.fit.labels.by_variable.get(of, (0, 1)))
            raise ValueError(
                f"levels: expected two values of {of}, which has {has}, to compare, such as {names[:2]}; got "
                f"{self.levels!r}"
            )
        return [_plain_number(self.fit.labels.numbered("levels", {of: level})[of]) for level in pair]

    def _was(self, predictive: Predictive, pair: Sequence[Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """What rows were seen with before it is set, by number, if it is given."""
        levels = predictive.levels(self.of)
        if levels is None or len(levels) != 2:
            raise ValueError(
                f"effect: {self.of} may be given where it has two levels, since all without the one have the other; of "
                f"rows as they are, ask fit.counterfactual(rows, do={{{self.of!r}: ...}}).mean({self.outcome.name!r})"
            )
        seen = {name: was for name, was in given.items() if name == self.of}
        known = {name: _plain_number(was) for name, was in self.fit.labels.numbered("given", seen).items()}
        for level in (*known.values(), *pair):
            if np.ndim(level) or level not in levels.tolist():
                raise ValueError(
                    f"effect: {self.of} expects a level of {levels.tolist()} where it is given, got {level!r}"
                )
        return known


def _plain_number(level: Any) -> Any:
    """One level as a plain number, False and True too."""
    value = level.item() if np.ndim(level) == 0 and hasattr(level, "item") else level
    return int(value) if isinstance(value, bool) else value


def _levels(predictive: Predictive, name: str) -> list[float]:
    levels = predictive.levels(name)
    if levels is None:
        raise ValueError(f"within: {name} has no levels; give a value of it, such as given={{{name!r}: 0.5}}")
    return [int(level) if level == int(level) else level for level in levels.tolist()]


def _mean_of_others(level: float, was: float, everyone: Tensor, seen: Tensor, mean: Tensor) -> Tensor:
    """The mean, under a level, of those who do not have it, from everyone's under it and that of those who have it.

    ``E[Y_t] = E[Y | T = t] p(T = t) + E[Y_t | T ≠ t] p(T ≠ t)``: those who have the level stay as they are under it
    (consistency). No law of Z or of other causes is needed. Source:
    Shpitser & Pearl (2009), "Effects of treatment on the treated", UAI 25.
    """
    share = (mean - was) / (level - was)
    return (everyone - share * seen) / (1.0 - share)
