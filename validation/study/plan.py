"""The plan of a study: all that its report needs to know of it, as plain values that can be stored.

A plan holds descriptions, not code: the rows of a study and its plan are enough to judge every claim again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from validation.scenarios import STANDARD_SCENARIOS, Allowed, Role, Scenario, Truth
from validation.scenarios.asymptotics import Asymptotics, asymptotics
from validation.statistics.check import BUDGET
from validation.study.contenders import Contender, standard_contenders
from validation.study.presets import Preset

EFFICIENT_ROWS = 1000  # from which on a maximum of the likelihood is held to the Cramér-Rao bound


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

    @property
    def estimators(self) -> tuple[str, ...]:
        """The names of its rows."""
        return tuple(self.replicates)


@dataclass(frozen=True)
class Claim:
    """One assertion about one estimator (a row name) on one scenario, with its share of the false-alarm budget.

    `judged` ones count in the exit status. `min_effect` is the effect it must be able to see. `only` restricts it to
    one quantity, "" to none. A claim about which nothing is random has an `alpha` of 0.
    """

    scenario: str
    estimator: str
    kind: str
    judged: bool
    alpha: float = 0.0
    min_effect: float = 1e-5
    only: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What identifies it in the budget."""
        return self.scenario, self.estimator, self.kind

    @property
    def spends(self) -> bool:
        """Whether it takes a share of the budget: nothing is random in a mode known in closed form."""
        return self.judged and self.kind != "mode"


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
    def order(self) -> dict[tuple[str, str], int]:
        """The index of each scenario and estimator in the report."""
        pairs = [(scenario.name, estimator) for scenario in self.scenarios for estimator in scenario.estimators]
        return {pair: i for i, pair in enumerate(pairs)}


def plan_of(
    scenarios: Sequence[Scenario], contenders: Sequence[Contender], preset: Preset, *, seed: int, replicates: int | None
) -> Plan:
    """Return the plan of a study.

    The budget is split evenly over the judged claims of the *standard* study, so that running a part of it moves no
    threshold; claims of other scenarios and estimators share a budget of their own.
    """
    asserted = [claim for scenario in scenarios for claim in asserted_of(scenario, contenders)]
    standard_claims = [
        claim for scenario in STANDARD_SCENARIOS for claim in asserted_of(scenario, standard_contenders())
    ]
    standard = {claim.key for claim in standard_claims if claim.spends}
    others = sum(claim.spends and claim.key not in standard for claim in asserted)
    claims = []
    for claim in asserted:
        share = BUDGET / (others if claim.spends and claim.key not in standard else len(standard))
        min_effect = preset.effects.get(claim.kind, claim.min_effect)
        claims.append(replace(claim, alpha=0.0 if claim.kind == "mode" else share, min_effect=min_effect))
    return Plan(
        seed=seed,
        preset=preset.name,
        budget=BUDGET,
        scenarios=tuple(_described(scenario, contenders, preset, replicates) for scenario in scenarios),
        contenders={contender.name: repr(contender.estimator) for contender in contenders},
        claims=tuple(claims),
    )


def asserted_of(scenario: Scenario, contenders: Sequence[Contender]) -> list[Claim]:
    """Return the claims on a scenario, without their budget: by its source of truth, and by what each contender is.

    The Laplace approximation of a point estimate promises nothing: its coverage and its distance to the exact posterior
    are shown. Coverage is nominal over truths drawn from the prior, so at fixed truths it is shown too.
    """
    is_judged = scenario.role is Role.JUDGED
    claimed = _of_modes if scenario.allowed and not scenario.allowed.is_regular else _of_errors
    return [
        Claim(scenario.name, name, kind, counts and is_judged)
        for contender in runnable(scenario, contenders)
        for name in contender.rows
        for kind, counts in claimed(scenario, contender, name)
    ]


def _of_errors(scenario: Scenario, contender: Contender, name: str) -> list[tuple[str, bool]]:
    """Kinds of claims where there is one answer, and whether they count where the scenario is judged."""
    truth, is_approximate = scenario.source.truth, name != contender.name
    has_draws = is_approximate or contender.posterior
    counted: list[tuple[str, bool]] = []
    if name in scenario.expected:
        counted.append(("mode", True))
    if truth is Truth.FIXED and not is_approximate:
        counted += [("bias", True), ("divergence", True)]
        counted.append(("efficiency", contender.efficient and scenario.num_rows >= EFFICIENT_ROWS))
    if scenario.exact and has_draws:
        counted.append(("exactness", contender.posterior))
    if (truth in (Truth.FIXED, Truth.OUTSIDE) or truth.is_calibrating) and has_draws:
        counted.append(("coverage", contender.posterior and truth.is_calibrating))
    if truth.is_calibrating and has_draws:
        counted.append(("calibration", contender.posterior))
    if scenario.allowed is not None:
        counted.append(("candour", _is_held_to_candour(scenario, contender, is_approximate)))
    if not is_approximate:
        counted.append(("convergence", not truth.is_calibrating))
    return counted


def _of_modes(scenario: Scenario, contender: Contender, name: str) -> list[tuple[str, bool]]:
    """Kinds of claims where there may be several answers: what errors are small in is not said of any of them."""
    is_approximate = name != contender.name
    counted = [("candour", _is_held_to_candour(scenario, contender, is_approximate))]
    if scenario.exact and (is_approximate or contender.posterior):
        counted.append(("exactness", contender.posterior and contender.candid))
    if scenario.allowed is Allowed.AT_AN_END and not is_approximate:
        counted.append(("convergence", contender.candid))
    return counted


def _is_held_to_candour(scenario: Scenario, contender: Contender, is_approximate: bool) -> bool:
    """Whether theory promises it: of likelihood intervals at any truth, of a posterior's over truths of the prior."""
    is_promised = contender.posterior == scenario.source.truth.is_calibrating
    return contender.candid and is_promised and not is_approximate


def runnable(scenario: Scenario, contenders: Sequence[Contender]) -> tuple[Contender, ...]:
    """Return the contenders that run on a scenario: `Exact` only where its allocations can be summed."""
    is_about_modes = scenario.exact or scenario.allowed is not None
    return tuple(
        contender
        for contender in contenders
        if (scenario.exact or not contender.small_only) and (is_about_modes or not contender.modes_only)
    )


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
    )
