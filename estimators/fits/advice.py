"""What a fit advises, in sentences: of every status that holds, and remarks on its data, and on its priors."""

import re
from collections.abc import Mapping, Sequence

from estimators.status import Status

Axes = Mapping[str, Sequence[int]]


def sentences(findings: Mapping[Status, str], remarks: Sequence[str]) -> tuple[str, ...]:
    """A sentence for each status that holds, and the remarks."""
    return (*(status.sentence(about) for status, about in findings.items()), *remarks)


def with_labels(text: str, axes: Axes, order: Sequence[int]) -> str:
    """The same text where component k is renamed to what ``order[k]`` was: the entries of Greeks that it names.

    >>> with_labels("theta[0] and beta_Y[0, 1]", {"theta": [0], "beta_Y": [0]}, [1, 0])
    'theta[1] and beta_Y[1, 1]'
    """
    labels = [int(k) for k in order]
    for greek, along in axes.items():

        def renamed(entry: re.Match[str], greek: str = greek, along: Sequence[int] = along) -> str:
            places = [int(place) for place in entry[1].split(",")]
            moved = [labels.index(place) if axis in along else place for axis, place in enumerate(places)]
            return f"{greek}[{', '.join(map(str, moved))}]"

        text = re.sub(rf"(?<!\w){re.escape(greek)}\[(\d+(?:, \d+)*)\]", renamed, text)
    return text
