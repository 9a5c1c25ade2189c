"""What a check says that did not pass: what was expected, what came, how rare that is, and how to replay it."""

import math

from validation.statistics.check import Check
from validation.statistics.search import in_words


def failed(check: Check, replay: str) -> str:
    """Return the message of a check whose p-value is within its false-alarm probability."""
    return _lines(
        f"stat.{check.kind}: not what was expected",
        ("expected", check.message.expected),
        ("got", check.message.got),
        ("that is", check.message.distance),
        ("by chance", f"{odds(check.p_value)}; this check may raise {odds(check.requirement.alpha, 'a false alarm')}"),
        ("note", check.message.note),
        ("replay", replay),
    )


def underpowered(check: Check, replay: str) -> str:
    """Return the message of a check that could have missed `min_effect`."""
    requirement = check.requirement
    sees = f"only effects of {check.detectable:.3g} or more" if math.isfinite(check.detectable) else "no effect"
    return _lines(
        f"stat.{check.kind}: underpowered, which is not a pass",
        ("asked for", f"to see an effect of {requirement.min_effect:g} with probability {requirement.power:g}"),
        ("sees", f"{sees}, with {check.message.size}"),
        ("enough", f"{in_words(check.needed)} would do" if check.needed else "no number of them would do"),
        ("got", f"{check.message.got}: {check.message.distance}"),
        ("note", check.message.note),
        ("replay", replay),
    )


def passed_control(check: Check, replay: str) -> str:
    """Return the message of a negative control that the check did not refuse."""
    return _lines(
        f"stat.{check.kind}: a negative control passed, so the check is blind to it",
        ("expected", f"anything but {check.message.expected}"),
        ("got", check.message.got),
        ("that is", f"{check.message.distance}: {odds(check.p_value)}; to fail, at most {check.requirement.alpha:.2g}"),
        ("sees", f"effects of {check.detectable:.3g} or more, with {check.message.size}"),
        ("replay", replay),
    )


def odds(p: float, what: str = "this or worse") -> str:
    """Return a probability as a person says it: "this or worse once in 33,000 runs"."""
    if math.isnan(p):
        return f"{what} with a probability that cannot be said"
    if p >= 0.1:
        return f"{what} in {100 * p:.0f} % of runs"
    times = f"{float(f'{1 / p:.2g}'):,.0f}" if p > 1e-9 else f"{1 / p:.1g}" if p > 1e-300 else "1e300 or more"
    return f"{what} once in {times} runs (p = {p:.2g})"


def _lines(title: str, *rows: tuple[str, str]) -> str:
    return "\n".join([title, *(f"  {head:<10} {text}" for head, text in rows if text)])
