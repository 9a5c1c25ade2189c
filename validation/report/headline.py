"""What a study has shown, and how strongly, in one sentence; and each claim that it has not shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from validation.claims.judge import HARM, Finding
from validation.claims.results import Results
from validation.report.anchors import Anchors
from validation.report.words import count, interval, number, short
from validation.statistics.check import Verdict

NAMED = 4  # claims that the first screen names of each verdict
STRENGTH: Mapping[str, str] = {
    "bias": "bias is below {} efficient sd",
    "efficiency": "squared errors are within a factor of {} of the bound",
    "gross": "at most a share of {} is grossly off",
    "coverage": "90 % intervals cover 90 %, give or take {}",
    "floor": "those that promise less cover at least {}",
    "calibration": "posteriors are off by less than {} of their sds",
    "reference": "means of posteriors are those of another program within {} sd",
    "candour": "at most a share of {} is silent and wrong",
    "answered": "where one answer is true, at least a share of {} gives it",
}


@dataclass(frozen=True)
class OpenClaim:
    """A claim that failed or is underpowered: where, what it says, what was measured, and what it would take."""

    verdict: Verdict
    title: str
    href: str
    sentence: str
    measured: str
    takes: str


def headline(results: Results) -> str:
    """Return one sentence: how many claims in how many looks, how they came out, and how much was shown."""
    findings = results.findings
    if not findings:
        return "Nothing was claimed of these estimators, so nothing is shown of them but figures."
    number_of = {verdict: sum(finding.verdict is verdict for finding in findings) for verdict in Verdict}
    passed = number_of[Verdict.PASS]
    outcomes = f"{_all_or(passed, len(findings))} shown"
    outcomes += f", {number_of[Verdict.FAIL]} failed" if number_of[Verdict.FAIL] else ", none failed"
    if number_of[Verdict.UNDERPOWERED]:
        outcomes += f" and {number_of[Verdict.UNDERPOWERED]} not shown with so few replicates"
    strength = _strength(findings)
    looks, miss = count(results.plan.num_looks, "look"), number(results.plan.miss)
    return (
        f"Of {count(len(findings), 'claim')} in {looks} at data {outcomes}, with a probability of at most {miss} that "
        f"any of it is wrong{': ' if strength else ''}{strength}."
    )


def open_claims(results: Results, anchors: Anchors) -> list[OpenClaim]:
    """Return what failed, then what is underpowered, as the plan has them."""
    unshown = [finding for finding in results.findings if finding.verdict is not Verdict.PASS]
    return [
        OpenClaim(
            verdict=finding.verdict,
            title=_title(finding),
            href=anchors.figure(finding.scenario, finding.kind),
            sentence=finding.sentence,
            measured=_measured(finding),
            takes=_takes(finding),
        )
        for finding in sorted(unshown, key=lambda finding: HARM.index(finding.verdict))
    ]


def named(claims: Sequence[OpenClaim]) -> list[tuple[Verdict, list[OpenClaim], int]]:
    """Return for each verdict the claims that are named at the top, and how many more there are."""
    by_verdict = [(verdict, [claim for claim in claims if claim.verdict is verdict]) for verdict in HARM]
    return [(verdict, of[:NAMED], len(of) - len(of[:NAMED])) for verdict, of in by_verdict if of]


def _all_or(passed: int, total: int) -> str:
    if passed == total:
        return "all are"
    return f"{passed} {'is' if passed == 1 else 'are'}"


def _strength(findings: Sequence[Finding]) -> str:
    """The numbers of the sentences that passed, from the sharpest to the weakest."""
    words = []
    for kind, sentence in STRENGTH.items():
        passed = [finding for finding in findings if finding.kind == kind and finding.verdict is Verdict.PASS]
        if passed:
            ends = [number(end(finding.allowed for finding in passed)) for end in (min, max)]
            words.append(sentence.format(" to ".join(dict.fromkeys(ends))))
    return "; ".join(words)


def _title(finding: Finding) -> str:
    kind = f"{finding.kind} of {short(finding.only)}" if finding.only else finding.kind
    return f"{finding.estimator} on {finding.scenario}: {kind}"


def _measured(finding: Finding) -> str:
    if finding.statistic is None:
        return "Nothing was measured."
    at = f" at {short(finding.worst)}" if finding.worst else ""
    low = "−∞" if finding.low is None else number(finding.low)
    high = "∞" if finding.high is None else number(finding.high)
    return (
        f"Measured {number(finding.statistic)}{at} ({finding.unit}), between {low} and {high}; "
        f"claimed {_range(finding.least, finding.most)}."
    )


def _range(least: float | None, most: float | None) -> str:
    if least is None:
        return f"at most {number(most)}"
    return f"at least {number(least)}" if most is None else interval(least, most)


def _takes(finding: Finding) -> str:
    """What it would take, and what else is to be said."""
    said = []
    if finding.missing:
        said.append(f"{finding.missing} of {count(finding.replicates, 'replicate')} gave no result.")
    if finding.needed is not None:
        needed = count(finding.needed, "replicate")
        said.append(
            f"{needed} would do if the value stays, for the sentence of so many; there are {finding.replicates}."
        )
    elif finding.verdict is Verdict.UNDERPOWERED and finding.statistic is not None:
        said.append("With this value no number of replicates would do: of more, the sentence says more.")
    if finding.why:
        said.append(f"{finding.why[0].upper()}{finding.why[1:]}.")
    return " ".join(said)
