"""Where compiled functions are; in a file of its own, since what else is here takes half a second to import."""

from typing import NamedTuple


class GeneralCode(NamedTuple):
    """Where the compiled functions of a family are in this process, and how many rows of scratch they need.

    Where C begins with the lines of ``num_lines`` predictors, the pullback leaves each row's slope in these, times its
    share, in as many rows of scratch. ``first_input`` is the column at which the inputs of the lines begin.
    """

    log_joint: int
    pullback: int
    num_work: int
    num_lines: int = 0
    first_input: int = 1
