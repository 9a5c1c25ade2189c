"""Presets: what is run, on how many replicates; the sentences of claims carry what so many can show."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from validation.scenarios import Scenario, Truth


@dataclass(frozen=True)
class Preset:
    """Replicates by what the truth of a scenario is, of which each estimator is run on its share.

    `scenarios` and `contenders` are those that are run where nobody names any; none listed are all. `named` are the
    replicates of single scenarios: many where what is small is to be seen, few where a fit takes many times as long.
    `laplace` says whether the command gives point fits intervals, a row of their own; from Python contenders say so.
    """

    name: str
    sentence: str
    replicates: Mapping[Truth, int]
    scenarios: tuple[str, ...] = ()
    contenders: tuple[str, ...] = ()
    named: Mapping[str, int] = field(default_factory=dict)
    laplace: bool = True

    def replicates_of(self, scenario: Scenario) -> int:
        """Return the number of replicates of a scenario: its own, if it has one."""
        if scenario.replicates is not None:
            return scenario.replicates
        return self.named.get(scenario.name, self.replicates[scenario.source.truth])


PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            "quick",
            "three minutes on two cores: six scenarios, three estimators, no intervals of point fits",
            {
                Truth.FIXED: 300,
                Truth.PRIOR: 300,
                Truth.POSTERIOR: 300,
                Truth.EXACT: 3,
                Truth.SAMPLED: 3,
                Truth.OUTSIDE: 50,
                Truth.RANDOM: 50,
            },
            ("prior_truths", "few_rows", "separated_100", "unknown_scales", "partly_seen", "rival_effects"),
            ("EM", "MAP", "NUTS"),
            laplace=False,
        ),
        Preset(
            "standard",
            "half an hour on two cores: every scenario and estimator",
            {
                Truth.FIXED: 150,
                Truth.PRIOR: 150,
                Truth.POSTERIOR: 150,
                Truth.EXACT: 3,
                Truth.SAMPLED: 3,
                Truth.OUTSIDE: 50,
                Truth.RANDOM: 70,
            },
            named={
                "prior_truths": 1500,
                "separated_100": 1000,
                "few_rows": 300,
                "prior_visits": 300,
                "prior_age": 110,
                "hidden_confounder": 300,
                "rival_effects": 200,
                "unidentified_confounder": 70,
            },
        ),
        Preset(
            "full",
            "hours on two cores: half the errors of the standard one",
            {
                Truth.FIXED: 4000,
                Truth.PRIOR: 6000,
                Truth.POSTERIOR: 6000,
                Truth.EXACT: 3,
                Truth.SAMPLED: 3,
                Truth.OUTSIDE: 400,
                Truth.RANDOM: 500,
            },
        ),
        Preset("mine", "for a study of one's own data", {Truth.FIXED: 200, Truth.POSTERIOR: 300}),
    )
}
