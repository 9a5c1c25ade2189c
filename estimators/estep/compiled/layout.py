"""How a model and its rows look to the compiled routine: which number stands where.

A *term* is theta's or one variable's. For class k and cell c (a level of the table of its parents), its Greeks stand at
``LOCATION + k * LOCATION_CLASS + c * LOCATION_CELL`` of the Greeks, and likewise its scales and correlations: a step of
0 means that they are shared. Its coefficients stand at ``C_AT + c * C_WIDTH``, its sums at ``S_AT + c * S_WIDTH``.

A *chunk* is some blocks of rows, which have a partial sum of their own. Where rows share one Z, it has whole units, of
which rows may stand in any of its blocks.

A *segment* is a run of rows that are alike in all that is discrete: the class that Z is known to be (-1 where it is
hidden) and, for each term, the row of its table (-1 where the term is left out: of a variable that was set, say).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from estimators.optimise.arrays import Array

Whole = NDArray[np.int64]

# What a term is: masses of levels; counts; independent Gaussians of WIDTH columns; a Gaussian about a line of WIDTH
# inputs; correlated Gaussians of WIDTH columns; any WIDTH features; a general term of WIDTH numbers, by its functions;
# the weights of Z by a logit of WIDTH numbers, which is the first term or none.
CATEGORICAL, BERNOULLI, COUNT, GAUSSIAN, LINE, CORRELATED, FEATURES, GENERAL, GATE = range(9)

# The table of terms.
OP, CELLS, WIDTH, COLUMN, CONSTANT, C_AT, C_WIDTH, S_AT, S_WIDTH = range(9)
LOCATION, LOCATION_CLASS, LOCATION_CELL = range(9, 12)
SCALE, SCALE_CLASS, SCALE_CELL = range(12, 15)
CORRELATION, CORRELATION_CLASS, CORRELATION_CELL = range(15, 18)
# Of a general term, where its functions are in this process, and how many of its last numbers are logs of scales, and
# after these of what stands at CORRELATION.
LOG_JOINT_AT, PULLBACK_AT, NUM_LOGS, NUM_MORE = range(18, 22)
# Which of the term's columns is a constant of each row, that no Greek enters; 0 where there is none.
OFFSET = 22
NUM_FIELDS = 23

# The table of segments: rows START to STOP, their class, and from PLACE on the place in each term.
START, STOP, CLASS, PLACE = range(4)

# The Greeks [3, size]: their values, the logs of these, and log(1 - value) of a probability.
VALUE, LOG, LOG_REST = range(3)

# Rows of a block, of which L [K, BLOCK] stays in the first-level cache, and blocks of a partial sum.
BLOCK = 256
CHUNK = 32


# What is wanted of rows: the sums that slopes are made of, all that an M-step is made of, the log-likelihood alone, or
# that of each row by itself, with or without its responsibilities.
SLOPES, WHOLE, LIKELIHOOD, ROWS, ROW_LIKELIHOODS = range(5)


class Tables(NamedTuple):
    """A model on its rows.

    ``sizes`` are K, the widths of C and S, rows of scratch, 1 where rows are weighted, N, and where the code is that
    takes rows.
    """

    sizes: Whole
    terms: Whole
    segments: Whole
    # The first segment of each block, and after the last one their number.
    blocks: Whole
    # The first block and the first unit of each chunk, and after the last one their numbers.
    chunks: Whole
    # Which unit of its chunk each row is of; none where each row is one.
    units: Whole
    constants: Array
    columns: Array
    weights: Array
    # The Greeks [3, size], those that are known in their places.
    known: Array
    # Where the Greeks stand among unconstrained coordinates, and the numbers of these maps and of priors.
    sites: Whole
    laws: Array
    # Numbers that stand in several places: a place of the Greeks [n, 2] and that whose number it has.
    copies: Whole


class TermTables(NamedTuple):
    """Of the tables, what the terms of a segment need: handing all over at every call costs as much as rows do."""

    terms: Whole
    constants: Array
    columns: Array


def addresses(tables: Tables) -> Whole:
    """Where the arrays are and their two lengths, which is all that is handed over at a call."""
    rows = [(array.ctypes.data, *array.shape, *([1] * (2 - array.ndim))) for array in tables]
    return np.array(rows, dtype=np.int64)
