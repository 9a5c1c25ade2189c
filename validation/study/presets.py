"""Presets: how many replicates a study has, and the effect that each kind of claim must be able to see with so many."""

from collections.abc import Mapping
from dataclasses import dataclass

from validation.scenarios import Role, Scenario, Truth


@dataclass(frozen=True)
class Preset:
    """Replicates by what the truth of a scenario is, and, by kind of claim, the effect it must be able to see.

    An effect is in the unit of the kind's statistic, as a deviation from what is claimed; a claim that could not have
    seen it is UNDERPOWERED. `hard` are the replicates of scenarios that are shown and not judged.
    """

    name: str
    sentence: str
    replicates: Mapping[Truth, int]
    hard: int
    effects: Mapping[str, float]

    def replicates_of(self, scenario: Scenario) -> int:
        """Return the number of replicates of a scenario: its own, if it has one."""
        if scenario.replicates is not None:
            return scenario.replicates
        return self.hard if scenario.role is Role.REPORTED else self.replicates[scenario.source.truth]


EFFECTS = {  # in the presets quick, standard and full
    "bias": (2.5, 1.2, 0.8),
    "divergence": (10.0, 3.5, 2.2),
    "coverage": (0.25, 0.07, 0.03),
    "calibration": (1.0, 0.3, 0.15),
    "efficiency": (6.0, 2.0, 1.4),
    "exactness": (0.08, 0.08, 0.04),
    "convergence": (0.6, 0.2, 0.1),
    "candour": (0.35, 0.08, 0.03),
}
REPLICATES = {
    Truth.FIXED: (24, 200, 1000),
    Truth.PRIOR: (100, 1000, 4500),
    Truth.EXACT: (24, 100, 400),
    Truth.OUTSIDE: (12, 100, 400),
    Truth.RANDOM: (24, 200, 500),
    Truth.POSTERIOR: (100, 1000, 4500),
}
HARD = (24, 200, 1000)
SENTENCES = {
    "quick": "about half an hour on two cores; sees gross errors only",
    "standard": "four to six hours on two cores",
    "full": "a day on two cores; sees coverage of .87 where .90 is claimed",
}
PRESETS: Mapping[str, Preset] = {
    name: Preset(
        name,
        sentence,
        {truth: numbers[i] for truth, numbers in REPLICATES.items()},
        HARD[i],
        {kind: sizes[i] for kind, sizes in EFFECTS.items()},
    )
    for i, (name, sentence) in enumerate(SENTENCES.items())
} | {
    "mine": Preset(
        "mine",
        "for a study of one's own data",
        {Truth.FIXED: 200, Truth.POSTERIOR: 300},
        hard=200,
        effects={"bias": 1.2, "coverage": 0.15, "convergence": 0.2},
    )
}
