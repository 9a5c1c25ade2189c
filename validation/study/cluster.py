"""A study on the workers of a `dask.distributed` cluster."""

import pickle
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit


class ClusterError(Exception):
    """The cluster cannot be used; the message says why."""


@contextmanager
def cluster(address: str, modules: Sequence[str] = ()) -> Iterator[Executor]:
    """An executor on a running scheduler, e.g. ``tcp://10.0.0.1:8786``.

    A task whose worker dies is given to another by the scheduler. Workers need this package, and what the user's own
    `modules` (by name) import; these modules themselves are sent along. Raises ClusterError without the extra
    ``[cluster]``, or where no scheduler answers, it has no workers, or a worker does not have this package.
    """
    try:
        import cloudpickle
        from dask import distributed
    except ImportError:
        raise ClusterError("--cluster needs dask: pip install 'exact-estimators[cluster]'") from None
    _check_listening(address)
    connect: Any = distributed.Client
    try:
        client = connect(address, timeout=10, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as problem:
        raise ClusterError(f"--cluster: no scheduler answers at {address} ({problem})") from None
    with ExitStack() as stack:
        stack.callback(client.close)
        if not client.scheduler_info()["workers"]:
            raise ClusterError(
                f"--cluster: the scheduler at {address} has no workers; start some: dask worker {address}"
            )
        try:
            client.run(_is_installed)
        except Exception as problem:
            raise ClusterError(
                f"--cluster: a worker cannot import this package; install this release there "
                f"({type(problem).__name__}: {problem})"
            ) from problem
        for module in {sys.modules[name] for name in modules}:
            cloudpickle.register_pickle_by_value(module)
            stack.callback(cloudpickle.unregister_pickle_by_value, module)
        yield _ByValue(client.get_executor(pure=False), cloudpickle.dumps)


class _ByValue(Executor):
    """Sends calls as bytes: dask itself would send classes of the user's modules by their name alone."""

    def __init__(self, executor: Executor, dumps: Callable[[Any], bytes]) -> None:
        self._executor = executor
        self._dumps = dumps

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return self._executor.submit(_call, self._dumps((fn, args, kwargs)))


def _call(pickled: bytes) -> Any:
    fn, args, kwargs = pickle.loads(pickled)
    return fn(*args, **kwargs)


def _is_installed() -> None:
    """Do nothing; as it is sent by its name alone, a worker finds it only where this package is installed."""


def _check_listening(address: str) -> None:
    """Raise ClusterError at once where nobody listens: a client would try for long, and complain when it is closed."""
    try:
        url = urlsplit(address if "://" in address else f"tcp://{address}")
        if url.hostname is None or url.port is None:
            raise ValueError("expected a host and a port, as in tcp://10.0.0.1:8786")
        if url.scheme in ("tcp", "tls"):
            socket.create_connection((url.hostname, url.port), timeout=10).close()
    except (OSError, ValueError) as problem:
        raise ClusterError(f"--cluster: no scheduler answers at {address} ({problem})") from None
