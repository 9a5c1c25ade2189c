"""Where compiled functions are; in a file of its own, since what else is here takes half a second to import."""

from typing import NamedTuple


class GeneralCode(NamedTuple):
    """Where the compiled functions of a family are in this process, and how many rows of scratch they need."""

    log_joint: int
    pullback: int
    num_work: int
