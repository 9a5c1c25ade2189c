"""A thread that Python did not start, kept known to the interpreter between its calls of Python."""

import ctypes


class ForeignThread:
    """The state that CPython keeps of a thread of a compiled library, held from one call to the next.

    Of a thread that it does not know CPython makes a state, with a stack of its own, at every call, and drops it at the
    call's end: on few rows that takes a third of the time of a chain. Held by ``PyGILState_Ensure``, let go by
    ``PyGILState_Release``, both by the thread itself ("Thread State and the Global Interpreter Lock", Python/C API).
    A thread that ends without `let_go` leaves its state behind, some 20 kB, until the process ends.
    """

    def __init__(self) -> None:
        self._held: int | None = None

    @property
    def is_held(self) -> bool:
        """Whether a thread's state is kept."""
        return self._held is not None

    def hold(self) -> None:
        """Keep the calling thread's state; nothing where it is kept already."""
        if self._held is None:
            self._held = ctypes.pythonapi.PyGILState_Ensure()

    def let_go(self) -> None:
        """Let the calling thread's state go at the end of this call; nothing where it is not kept."""
        if self._held is not None:
            held, self._held = self._held, None
            ctypes.pythonapi.PyGILState_Release(held)
