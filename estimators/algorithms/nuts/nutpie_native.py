"""nutpie on a log density that is native code: all that touches what nutpie keeps to itself.

Chains call the function by its address and need no interpreter, so they run side by side. The names used here are those
of nutpie 0.16, which hands PyMC's compiled densities over in this way. They change from one patch to the next, so one
that was not tried samples through Python, chain after chain.
"""

from dataclasses import dataclass
from typing import Any

import nutpie
from numba import cfunc
from nutpie import _lib
from nutpie.sample import CompiledModel

from estimators.contract import NativeFunction
from estimators.optimise.arrays import Array

_NAMES = ("LogpFunc", "ExpandFunc", "PyMcModel", "PyVariable", "PySampler")
_TRIED = tuple(f"0.16.{patch}" for patch in range(12))
# Whether this is a nutpie, and these are the names, that this file was written for.
IS_KNOWN = nutpie.__version__ in _TRIED and all(hasattr(_lib, name) for name in _NAMES)


@cfunc("int64(uint64, uint64, CPointer(float64), CPointer(float64), voidptr)", cache=True)  # type: ignore[untyped-decorator]
def _copied(size: Any, expanded: Any, coordinates: Any, out: Any, data: Any) -> Any:
    """What nutpie keeps of a draw: its coordinates."""
    for i in range(size):
        out[i] = coordinates[i]
    return 0


@dataclass(frozen=True)
class NativeModel(CompiledModel):  # type: ignore[misc]
    """A model as nutpie samples it, which holds on to the function that it gives nutpie the address of."""

    function: NativeFunction
    start: Array

    @property
    def n_dim(self) -> int:
        return len(self.start)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"coordinates": self.start.shape}

    @property
    def coords(self) -> dict[str, Any]:
        return {}

    def _make_sampler(self, settings: Any, init_mean: Any, cores: int, *reports: Any) -> Any:
        size = self.n_dim
        sizes, names = {"dimension": size, "unconstrained_parameter": size}, {"coordinates": ["dimension"]}
        variables = _lib.PyVariable.new_variables(["coordinates"], ["float64"], [self.start.shape], sizes, names)
        density = _lib.LogpFunc(self.function.address, self.function.data.ctypes.data, self)
        expand = _lib.ExpandFunc(size, size, _copied.address, self.function.data.ctypes.data, self)
        model = _lib.PyMcModel(density, expand, variables, size, sizes, {}, lambda seed: self.start, None)
        return _lib.PySampler.from_pymc(settings, cores, model, *reports)
