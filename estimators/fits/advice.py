"""What a fit advises, in sentences: of every status that holds, and remarks on its data, and on its priors."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from estimators.status import Status

if TYPE_CHECKING:
    from estimators.fits.fit import Fit

Axes = Mapping[str, Sequence[int]]
# By Greek, the names along its axes.
Names = Mapping[str, Mapping[int, Sequence[str]]]
# The numbers of an entry, between brackets.
PLACES = r"(?<!\w){greek}\[(\d+(?:, \d+)*)\]"


def sentences(findings: Mapping[Status, str], remarks: Sequence[str], names: Names) -> tuple[str, ...]:
    """A sentence for each status that holds, and the remarks, with ``names`` of labels and levels."""
    said = (*(status.sentence(about) for status, about in findings.items()), *remarks)
    return tuple(with_names(sentence, names) for sentence in said)


def advice_on(fit: "Fit", *statuses: Status) -> str:
    """What a fit says of those of some statuses that hold, after a conflict of priors, which may be their cause."""
    asked = (Status.PRIOR_CONFLICT, *statuses)
    # The statuses come first in the advice.
    return " ".join(said for status, said in zip(fit.findings, fit.advice, strict=False) if status in asked)


def with_labels(text: str, axes: Axes, order: Sequence[int]) -> str:
    """The same text where component k is renamed to what ``order[k]`` was: the entries of Greeks that it names.

    >>> with_labels("theta[0] and beta_Y[0, 1]", {"theta": [0], "beta_Y": [0]}, [1, 0])
    'theta[1] and beta_Y[1, 1]'
    """
    labels = [int(k) for k in order]
    numbers = [str(labels.index(k)) for k in range(len(labels))]
    return with_names(text, {greek: dict.fromkeys(along, numbers) for greek, along in axes.items()})


def with_names(text: str, names: Names) -> str:
    """The same text with entries of Greeks called as in the summary, by the names of labels and levels.

    >>> with_names("p_T[0, 1] at 0", {"p_T": {1: ("control", "treated")}})
    'p_T[0, treated] at 0'
    """
    for greek, along in names.items():

        def named(entry: re.Match[str], greek: str = greek, along: Mapping[int, Sequence[str]] = along) -> str:
            places = [int(place) for place in entry[1].split(",")]
            words = [along[axis][place] if axis in along else str(place) for axis, place in enumerate(places)]
            return f"{greek}[{', '.join(words)}]"

        text = re.sub(PLACES.format(greek=re.escape(greek)), named, text) if along else text
    return text
