"""How worker processes start. Nothing heavy is imported here: limits must be set before NumPy and torch are loaded."""

import multiprocessing
import os
import signal
import threading
from multiprocessing.context import BaseContext

from tqdm import tqdm

LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# Whether workers are forked from a server, as `serve` has it.
_is_served = False


def serve() -> None:
    """Fork the workers of this process from a server that imports what they need, and begins to do so here.

    It changes what the whole process has: the server and its imports, and limits of threads in the environment. So it
    is for a process of our own, as the command line is. Where nothing can be forked, it does nothing.
    """
    global _is_served
    if "forkserver" in multiprocessing.get_all_start_methods():
        from multiprocessing import forkserver

        os.environ.update(dict.fromkeys(LIMITS, "1"))
        multiprocessing.get_context("forkserver").set_forkserver_preload(["validation.study.ready"])
        forkserver.ensure_running()
        _is_served = True


def context() -> BaseContext:
    """How worker processes start: forked from the server, or else each anew, which knows nothing of this process."""
    return multiprocessing.get_context("forkserver" if _is_served else "spawn")


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
