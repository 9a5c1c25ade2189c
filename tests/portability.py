"""The tests of identities and statuses as other processors would round: what `make test-portable` runs.

A sum of floating-point numbers depends on how many the processor adds at once and on the number of threads. The
libraries choose by processor when they are loaded, and can be told to choose as an older one would.

    python tests/portability.py            # every setting, with pytest's arguments after it
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from numpy._core import _multiarray_umath as numpy_build

ROOT = Path(__file__).parents[1]
# Loops that this NumPy can choose on this machine beyond those that every one of its machines has.
NEWER = [name for name in numpy_build.__cpu_dispatch__ if numpy_build.__cpu_features__[name]]
BEYOND_AVX2 = [name for name in NEWER if name != "X86_V3" and not name.startswith("AVX2")]


def _threads(count: int) -> dict[str, str]:
    return {f"{library}_NUM_THREADS": str(count) for library in ("OMP", "MKL", "OPENBLAS")}


SETTINGS: dict[str, dict[str, str]] = {
    "the oldest": {
        "NPY_DISABLE_CPU_FEATURES": " ".join(NEWER),
        "OPENBLAS_CORETYPE": "Nehalem",
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "NUMBA_CPU_NAME": "generic",
        **_threads(1),
    },
    "without AVX-512": {
        "NPY_DISABLE_CPU_FEATURES": " ".join(BEYOND_AVX2),
        "OPENBLAS_CORETYPE": "Haswell",
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "NUMBA_CPU_NAME": "haswell",
        **_threads(1),
    },
    "two threads": _threads(2),
}

# Where an answer or a status hangs on the last digits of a sum.
TESTS = [
    "tests/test_bad_queries.py",
    "tests/test_degenerate.py",
    "tests/test_density.py",
    "tests/test_em.py",
    "tests/test_identifiability.py",
    "tests/test_information.py",
    "tests/test_interventions.py",
    "tests/test_kernels.py",
    "tests/test_map.py",
    "tests/test_marginal.py",
    "tests/test_mechanisms.py",
    "tests/test_missing.py",
    "tests/test_native_density.py",
    "tests/test_programs.py",
    "tests/test_quantiles.py",
    "tests/test_recorded.py",
    "tests/validation/test_tolerances.py",
    "tests/validation/test_uniformity.py",
]


def command(arguments: Sequence[str]) -> list[str]:
    """Pytest, without what belongs to another run."""
    return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]


def environment(setting: Mapping[str, str]) -> dict[str, str]:
    """This process's environment, with the libraries told how to choose."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}, **setting}


def main(arguments: Sequence[str]) -> int:
    """Run the tests under every setting; the number of settings that failed."""
    failed = []
    for name, setting in SETTINGS.items():
        print(f"=== {name}: {setting}", flush=True)
        if subprocess.run(command([*TESTS, *arguments]), cwd=ROOT, env=environment(setting)).returncode:
            failed.append(name)
    print(f"failed under: {', '.join(failed)}" if failed else f"passed under {', '.join(SETTINGS)}")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
