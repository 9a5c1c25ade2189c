"""How worker processes start. Nothing heavy is imported here: limits must be set before NumPy and torch are loaded."""

import multiprocessing
import os
import signal
import threading
from multiprocessing import forkserver
from multiprocessing.context import BaseContext

from tqdm import tqdm

LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# How processes of this one start. Where it is the user's, each is a new one, and knows nothing of it.
_methods = ["spawn"]


def serve() -> None:
    """Fork the workers of this process from one that has imported what they need, which begins to do so here.

    For a process of our own, as the command line is: what may fork, and with what, is kept for all of a process.
    """
    if "forkserver" in multiprocessing.get_all_start_methods():
        os.environ.update(dict.fromkeys(LIMITS, "1"))
        multiprocessing.get_context("forkserver").set_forkserver_preload(["validation.study.ready"])
        forkserver.ensure_running()
        _methods.append("forkserver")


def context() -> BaseContext:
    """In which worker processes start."""
    return multiprocessing.get_context(_methods[-1])


def start() -> None:
    """Keep this process to one thread of arithmetic, and end it when its parent has ended, however that ended.

    Many small matrix products on more threads than free cores wait for each other: ten times slower, as measured. A
    worker of a pool whose parent was killed would wait for work for ever: it holds the other end of its own queue. An
    interrupt at the terminal reaches every process; the parent says what becomes of it. The lock that tqdm shares
    between processes would be left behind by one that is killed.
    """
    tqdm.set_lock(threading.RLock())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in LIMITS:
        os.environ[name] = "1"
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
