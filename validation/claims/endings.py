"""How a fit's answer to a contrast ended: right, warned, or silent and wrong. Read from stored rows alone."""

from collections.abc import Iterable
from enum import Enum

from validation.measures.answers import holds
from validation.study.row import CONVERGED, Answer, Row

WARNING = "EstimationWarning"


class Ending(Enum):
    """What came of one question to one fit."""

    SILENT = "no warning, and the truth is outside the set of answers"
    WARNED = "a status other than CONVERGED, a warning, or a refusal to answer"
    RIGHT = "no warning, and the truth is in the set of answers"
    LOST = "no fit"


def ending(row: Row, name: str) -> Ending:
    """Return how the answer of a row to a contrast ended; a fit that raised has misled nobody."""
    answer = row.answers.get(name)
    if answer is None:
        return Ending.LOST
    if was_warned(row, answer):
        return Ending.WARNED
    return Ending.RIGHT if holds_truth(row, name) else Ending.SILENT


def was_warned(row: Row, answer: Answer) -> bool:
    """Whether the fit, or the question, said that the answer needs care."""
    messages = (*row.warnings, *answer.warnings)
    return row.status != CONVERGED or bool(answer.refused) or any(text.startswith(WARNING) for text in messages)


def holds_truth(row: Row, name: str) -> bool:
    """Whether the set of answers of a row holds the truth; False where there is none."""
    answer = row.answers.get(name)
    return answer is not None and holds(answer.intervals, row.truth[name])


def answered(rows: Iterable[Row]) -> list[str]:
    """Return the contrasts that any of the rows answers."""
    return list(dict.fromkeys(name for row in rows for name in row.answers))
