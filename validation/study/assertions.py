"""What is claimed of each estimator on each scenario, by what the estimator promises and what the truth is."""

from collections.abc import Sequence
from dataclasses import dataclass

from validation.scenarios import Allowed, Scenario, Truth
from validation.study.contenders import Contender

Look = tuple[str, str]
MODE = "mode"
# The estimator whose maximum others are compared with on the same rows.
REFERENCE = "EM"


@dataclass(frozen=True)
class Claim:
    """One assertion about one estimator (a row name) on one scenario, with its share of the false-alarm budget.

    `allowed` is the number in its sentence where that is not the one that its replicates can show. `only` restricts it
    to one quantity, "" to none. A claim about which nothing is random has an `alpha` of 0.
    """

    scenario: str
    estimator: str
    kind: str
    alpha: float = 0.0
    allowed: float | None = None
    only: str = ""

    @property
    def look(self) -> Look:
        """What is looked at: claims of one kind on one scenario are about the same data, whatever the estimator."""
        return self.scenario, self.kind

    @property
    def spends(self) -> bool:
        """Whether it takes a share of the budget: nothing is random in a mode known in closed form."""
        return self.kind != MODE


def asserted_of(scenario: Scenario, contenders: Sequence[Contender]) -> list[Claim]:
    """Return the claims on a scenario, without their budget."""
    running = runnable(scenario, contenders)
    names = {contender.name for contender in running}
    return [
        Claim(scenario.name, name, kind)
        for contender in running
        for name in contender.rows
        for kind in _kinds(scenario, contender, name)
        if kind != "agreement" or REFERENCE in names - {contender.name}
    ]


def _kinds(scenario: Scenario, contender: Contender, name: str) -> list[str]:
    """Kinds of claims, in the order in which they are reported."""
    truth, is_approximate = scenario.source.truth, name != contender.name
    has_draws = is_approximate or contender.posterior
    kinds = [MODE] if name in scenario.expected else []
    if truth is Truth.FIXED and scenario.is_regular:
        if not is_approximate:
            kinds += ["bias", "efficiency", "gross"] if contender.efficient else ["bias", "gross"]
            kinds += ["divergence"] if contender.efficient else ["divergence", "agreement"]
        if has_draws:
            kinds += ["spread", "floor"]
    if truth.is_calibrating and has_draws:
        kinds += ["calibration", "coverage"] if contender.posterior else ["floor"] * scenario.is_regular
        kinds += ["exactness"] if scenario.exact and contender.posterior and not contender.is_reference else []
    if scenario.reference and contender.posterior:
        kinds.append("reference")
    if scenario.allowed is not None and contender.candid and not is_approximate:
        kinds += ["candour", "answered"] if _is_to_answer(scenario, contender) else ["candour"]
    if _is_to_converge(scenario, contender) and not is_approximate:
        kinds.append("convergence")
    return kinds


def _is_to_answer(scenario: Scenario, contender: Contender) -> bool:
    """Whether a warning would be a fault: one answer is true, or draws hold the few in proportion."""
    is_one = scenario.allowed in (Allowed.ONE, Allowed.AT_AN_END)
    return is_one or (scenario.allowed is Allowed.SEVERAL and contender.posterior)


def _is_to_converge(scenario: Scenario, contender: Contender) -> bool:
    """Whether a status other than CONVERGED would be a fault: one answer, and rows enough for it."""
    if scenario.source.truth is not Truth.FIXED:
        return False
    return scenario.is_regular or (scenario.allowed is Allowed.AT_AN_END and contender.candid)


def runnable(scenario: Scenario, contenders: Sequence[Contender]) -> tuple[Contender, ...]:
    """Return the contenders that run on a scenario.

    Some only where allocations can be summed, those about several answers where there may be several, and only those
    that draw from a posterior where the truth is one.
    """
    is_about_modes = scenario.exact or (scenario.allowed is not None and scenario.allowed is not Allowed.ONE)
    return tuple(
        contender
        for contender in contenders
        if (scenario.exact or not contender.small_only)
        and (is_about_modes or not contender.modes_only)
        and (contender.posterior or not scenario.source.truth.needs_draws)
    )
