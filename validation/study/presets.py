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


PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            "quick",
            "a quarter of an hour on two cores; sees gross errors only",
            {Truth.FIXED: 24, Truth.PRIOR: 100, Truth.EXACT: 24, Truth.OUTSIDE: 12},
            hard=24,
            effects={
                "bias": 2.5,
                "divergence": 10.0,
                "coverage": 0.25,
                "calibration": 1.0,
                "efficiency": 6.0,
                "exactness": 0.08,
                "convergence": 0.6,
            },
        ),
        Preset(
            "standard",
            "two to three hours on two cores",
            {Truth.FIXED: 200, Truth.PRIOR: 1000, Truth.EXACT: 100, Truth.OUTSIDE: 100},
            hard=200,
            effects={
                "bias": 1.2,
                "divergence": 3.5,
                "coverage": 0.07,
                "calibration": 0.3,
                "efficiency": 2.0,
                "exactness": 0.08,
                "convergence": 0.2,
            },
        ),
        Preset(
            "full",
            "half a day on two cores; sees coverage of .87 where .90 is claimed",
            {Truth.FIXED: 1000, Truth.PRIOR: 4500, Truth.EXACT: 400, Truth.OUTSIDE: 400},
            hard=1000,
            effects={
                "bias": 0.8,
                "divergence": 2.2,
                "coverage": 0.03,
                "calibration": 0.15,
                "efficiency": 1.4,
                "exactness": 0.04,
                "convergence": 0.1,
            },
        ),
        Preset(
            "mine",
            "for a study of one's own data",
            {Truth.FIXED: 200},
            hard=200,
            effects={"bias": 1.2, "coverage": 0.15, "convergence": 0.2},
        ),
    )
}
