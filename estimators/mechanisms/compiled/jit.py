"""How functions are compiled: without the interpreter's lock, kept on disk, never from sources that have changed."""

import sys
import warnings
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import njit, types
from numba.core.caching import FunctionCache
from numba.core.ccallback import CFunc
from numba.core.sigutils import normalize_signature
from numba.extending import intrinsic

Function = TypeVar("Function", bound=Callable[..., Any])

# Divisions by zero are those of IEEE arithmetic. Products may be fused with sums, but nothing is assumed about NaN,
# infinities or the sign of zero: exp and log round by the order of their operations.
EXACT: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
# Sums may be taken in another order than written, or they would not vectorise: the same order in every run.
SUMS: dict[str, Any] = {**EXACT, "fastmath": {"contract", "reassoc", "nsz"}}


def compiled(signature: str | None = None, **options: Any) -> Callable[[Function], Function]:
    """Compile a function, or load what was compiled before: at once for a signature, else at its first call."""

    def decorate(function: Function) -> Function:
        dispatcher = njit(**options)(function)
        _keep(dispatcher, function)
        if signature is not None:
            dispatcher.compile(signature)
            dispatcher.disable_compile()
        return cast(Function, dispatcher)

    return decorate


def native(signature: str, **options: Any) -> Callable[[Function], Any]:
    """Compile a function that C may call, by the ``address`` of the result."""

    def decorate(function: Function) -> Any:
        callback = CFunc(function, normalize_signature(signature), locals={}, options={"nopython": True, **options})
        _keep(callback, function)
        callback.compile()
        return callback

    return decorate


def _keep(compiler: Any, function: Function) -> None:
    try:
        compiler._cache = _Cache(function)
    except RuntimeError:
        _warn_once()


class _Cache(FunctionCache):  # type: ignore[misc]
    """Numba looks at the file of a function alone: code that calls into other files would be kept when these change."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        found = super().load_overload(sig, target_context)
        if found is None:
            _say_once()
        return found

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return (*super()._index_key(sig, codegen), _fingerprint())


_FINGERPRINTS: list[str] = []


def _fingerprint() -> str:
    if not _FINGERPRINTS:
        package = Path(__file__).parents[2]
        # Compiled code holds the numbers of maps and laws, too, which parameters name.
        folders = "mechanisms/compiled", "estep/compiled", "mixture/native", "parameters"
        sources = sorted(path for folder in folders for path in package.glob(f"{folder}/*.py"))
        _FINGERPRINTS.append(sha256(b"".join(path.read_bytes() for path in sources)).hexdigest())
    return _FINGERPRINTS[0]


def _say_once() -> None:
    """Say what is waited for, where somebody watches."""
    if not _SAID and sys.stderr.isatty():
        print("estimators: compiling, once for this machine; this takes half a minute", file=sys.stderr, flush=True)
    _SAID.append(True)


_SAID: list[bool] = []
_WARNED: list[bool] = []


def _warn_once() -> None:
    if not _WARNED:
        _WARNED.append(True)
        warnings.warn(
            "numba finds no folder to keep compiled code in, so every process compiles it again; set NUMBA_CACHE_DIR "
            "to a folder that can be written to",
            UserWarning,
            stacklevel=2,
        )


def address_of(function: Any) -> int:
    """Where the code of a function that was compiled for one signature is, in this process."""
    (own,) = function.overloads.values()
    return int(own.library.get_pointer_to_function(own.fndesc.llvm_func_name))


def signature_at(function: Any) -> Any:
    """The signature of a call of such code by its address, which is the first argument."""
    ((kinds, own),) = function.overloads.items()
    return own.signature.return_type(types.int64, *kinds)


def call_at(builder: Any, ctx: Any, function: Any, address: Any, args: Any) -> Any:
    """Code of a compiled function's signature called by its address, for the body of an intrinsic.

    A function that calls another is compiled together with it; one that calls an address is not. By numba's own
    calling convention.
    """
    ((kinds, own),) = function.overloads.items()
    result, convention = own.signature.return_type, ctx.call_conv
    code = builder.inttoptr(address, convention.get_function_type(result, kinds).as_pointer())
    status, value = convention.call_function(builder, code, result, kinds, args)
    with builder.if_then(status.is_error, likely=False):
        convention.return_status_propagate(builder, status)
    return value


def _cast(to: Any, source: Any, instruction: str) -> Any:
    @intrinsic  # type: ignore[untyped-decorator]
    def cast_bits(context: Any, x: Any) -> Any:
        return to(source), lambda ctx, builder, _, args: getattr(builder, instruction)(args[0], ctx.get_value_type(to))

    return cast_bits


# The 64 bits of a number as a whole number, those of a whole number as a number, and an address as a pointer.
bits_of = _cast(types.int64, types.float64, "bitcast")
number_of = _cast(types.float64, types.int64, "bitcast")
pointer_to = _cast(types.voidptr, types.int64, "inttoptr")
