"""What workers need before their first task, had once by the process that they are forked from.

To import it takes a worker four seconds, and to load the compiled kernel one. Nothing here may start a thread that
computes: a forked process has none of them. An interrupt at the terminal reaches this process too; the one that began
it says what becomes of it.
"""

import contextlib
import signal

signal.signal(signal.SIGINT, signal.SIG_IGN)

import arviz  # noqa: E402, F401
import nutpie  # noqa: E402, F401

from estimators import EM, GaussianMixture  # noqa: E402
from validation.study import task  # noqa: E402, F401

# What fails here fails in every task, with its reason.
with contextlib.suppress(Exception):
    EM(progress_bar=False).fit(GaussianMixture(2), {"X": [0.0, 1.0, 3.0, 5.0]}, seed=0)
