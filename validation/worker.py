"""How a worker process starts. Nothing heavy is imported here: limits must be set before NumPy and torch are loaded."""

import os

LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def start() -> None:
    """Keep this process to one thread, so that workers and not threads share the cores.

    Many small matrix products on more threads than free cores wait for each other: ten times slower, as measured.
    """
    for name in LIMITS:
        os.environ[name] = "1"
    import torch

    torch.set_num_threads(1)
