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


def _replicates(*, fixed: int, drawn: int, outside: int, random: int) -> dict[Truth, int]:
    """Replicates by truth, a drawn one from the prior or the posterior; three where the rows are the same in each."""
    return {
        Truth.FIXED: fixed,
        Truth.PRIOR: drawn,
        Truth.POSTERIOR: drawn,
        Truth.EXACT: 3,
        Truth.SAMPLED: 3,
        Truth.OUTSIDE: outside,
        Truth.RANDOM: random,
    }


PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            "quick",
            "three minutes on two cores: six scenarios, three estimators, no intervals of point fits",
            _replicates(fixed=300, drawn=300, outside=50, random=50),
            ("prior_truths", "few_rows", "separated_100", "unknown_scales", "partly_seen", "rival_effects"),
            ("EM", "MAP", "NUTS"),
            laplace=False,
        ),
        Preset(
            "standard",
            "half an hour on two cores: every scenario and estimator",
            _replicates(fixed=150, drawn=150, outside=50, random=70),
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
            _replicates(fixed=4000, drawn=6000, outside=400, random=500),
        ),
        Preset("mine", "for a study of one's own data", {Truth.FIXED: 200, Truth.POSTERIOR: 300}),
    )
}
