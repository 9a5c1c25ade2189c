"""The plan of a study: all that its report needs to know of it, as plain values that can be stored.

A plan holds descriptions, not code: the rows of a study and its plan are enough to judge every claim again.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from validation.scenarios import STANDARD_SCENARIOS, Allowed, Moments, Role, Scenario, Truth
from validation.scenarios.asymptotics import Asymptotics, asymptotics
from validation.statistics.check import BUDGET
from validation.study.assertions import Claim, asserted_of, runnable
from validation.study.contenders import Contender, standard_contenders
from validation.study.presets import Preset


@dataclass(frozen=True)
class PlannedScenario:
    """A scenario in words and numbers, without its code. `replicates` are how many rows each row name has."""

    name: str
    sentence: str
    family: str
    num_rows: int
    replicates: Mapping[str, int]
    role: Role
    truth: Truth
    exact: bool
    interventions: tuple[str, ...]
    expected: Mapping[str, Mapping[str, float]]
    asymptotics: Asymptotics | None
    allowed: Allowed | None = None
    reference: Mapping[str, Moments] = field(default_factory=dict)

    @property
    def estimators(self) -> tuple[str, ...]:
        """The names of its rows."""
        return tuple(self.replicates)


@dataclass(frozen=True)
class Plan:
    """What is run, what is claimed, and at which budget."""

    seed: int
    preset: str
    budget: float
    scenarios: tuple[PlannedScenario, ...]
    contenders: Mapping[str, str]
    claims: tuple[Claim, ...]

    def scenario(self, name: str) -> PlannedScenario:
        return next(scenario for scenario in self.scenarios if scenario.name == name)

    @property
    def num_rows(self) -> int:
        """How many rows a whole study has."""
        return sum(sum(scenario.replicates.values()) for scenario in self.scenarios)

    @property
    def num_looks(self) -> int:
        """At how many different things the claims look."""
        return len({claim.look for claim in self.claims})

    @property
    def looks(self) -> str:
        """How many claims there are, and at how many different things they look, in words."""
        return f"{len(self.claims)} claims in {self.num_looks} looks: estimators on the same data are one look"

    @property
    def miss(self) -> float:
        """The most that the probability can be that any interval of a claim misses what is true."""
        return math.fsum(claim.alpha for claim in self.claims)

    @property
    def order(self) -> dict[tuple[str, str], int]:
        """The index of each scenario and estimator in the report."""
        pairs = [(scenario.name, estimator) for scenario in self.scenarios for estimator in scenario.estimators]
        return {pair: i for i, pair in enumerate(pairs)}


def plan_of(
    scenarios: Sequence[Scenario], contenders: Sequence[Contender], preset: Preset, *, seed: int, replicates: int | None
) -> Plan:
    """Return the plan of a study.

    The budget is split evenly over the looks of the *standard* study, and that of a look over its claims, so that
    running a part of it moves no threshold; looks at other scenarios share a budget of their own.
    """
    asserted = [claim for scenario in scenarios for claim in asserted_of(scenario, contenders)]
    standard = [claim for scenario in STANDARD_SCENARIOS for claim in asserted_of(scenario, standard_contenders())]
    return Plan(
        seed=seed,
        preset=preset.name,
        budget=BUDGET,
        scenarios=tuple(_described(scenario, contenders, preset, replicates) for scenario in scenarios),
        contenders={contender.name: repr(contender.estimator) for contender in contenders},
        claims=tuple(with_budget(asserted, standard)),
    )


def with_budget(claims: Sequence[Claim], standard: Sequence[Claim] = ()) -> list[Claim]:
    """Return claims with their share of the budget: looks of `standard` ones as if all of these were claimed."""
    sizes, others = (Counter(claim.look for claim in part if claim.spends) for part in (standard, claims))
    own = {look: size for look, size in others.items() if look not in sizes}
    # An estimator of one's own on a standard scenario has the share that another has there.
    shares = {look: BUDGET / len(sizes) / size for look, size in sizes.items()}
    shares |= {look: BUDGET / len(own) / size for look, size in own.items()}
    return [replace(claim, alpha=shares[claim.look] if claim.spends else 0.0) for claim in claims]


def contenders_with_replicates(
    scenario: Scenario, contenders: Sequence[Contender], preset: Preset, replicates: int | None
) -> list[tuple[Contender, int]]:
    """Return the contenders that run on a scenario, each with how many replicates it is run on.

    Its share of the scenario's or the preset's number; `replicates`, if it is given, for every one.
    """
    return [
        (contender, replicates or contender.replicates_of(preset.replicates_of(scenario)))
        for contender in runnable(scenario, contenders)
    ]


def _described(
    scenario: Scenario, contenders: Sequence[Contender], preset: Preset, replicates: int | None
) -> PlannedScenario:
    counts = contenders_with_replicates(scenario, contenders, preset, replicates)
    return PlannedScenario(
        name=scenario.name,
        sentence=scenario.sentence,
        family=scenario.family or scenario.name,
        num_rows=scenario.num_rows,
        replicates={name: number for contender, number in counts for name in contender.rows},
        role=scenario.role,
        truth=scenario.source.truth,
        exact=scenario.exact,
        interventions=tuple(intervention.name for intervention in scenario.interventions),
        expected=scenario.expected,
        asymptotics=asymptotics(scenario),
        allowed=scenario.allowed,
        reference=scenario.reference,
    )
