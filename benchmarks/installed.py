"""What an installation takes, and whether it works: run by the Python of a fresh environment, outside the checkout.

`make release-check` does so. Prints the versions, the room on the disk, the time of the import, and runs the first
example of the README that came with the package.
"""

import re
import statistics
import subprocess
import sys
import time
from importlib.metadata import Distribution, distributions, metadata
from pathlib import Path

PACKAGE = "exact-estimators"
SHOWN = ("torch", "arviz", "nutpie", "numba", "numpy", "pandas", "pyro-ppl", "scipy")
LARGEST = 6
IMPORTS = 5
MILLION = 1e6
# Of the processor, which is that of the clock on a machine with nothing else to do.
TIMED = "import time; start = time.process_time(); import estimators; print(time.process_time() - start)"


def size(distribution: Distribution) -> float:
    """Megabytes of the files of a distribution, what Python compiles of them included."""
    paths = [Path(str(file.locate())) for file in distribution.files or ()]
    return sum(path.stat().st_size for path in paths if path.is_file()) / MILLION


def import_seconds() -> float:
    """Processor seconds, the median of several fresh processes', after one that compiles."""
    times = [
        float(subprocess.run([sys.executable, "-c", TIMED], capture_output=True, text=True, check=True).stdout)
        for _ in range(IMPORTS + 1)
    ]
    return statistics.median(times[1:])


def first_example() -> str:
    """The code of the first example of the README."""
    description = metadata(PACKAGE)
    text = description["Description"] or str(description.get_payload())
    (code, *_) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    return code


def main() -> None:
    """Print what was found; an example that fails ends it."""
    import estimators

    if Path(__file__).parents[1] in Path(estimators.__file__).parents:
        sys.exit(f"estimators is the checkout's, {estimators.__file__}; run this by the Python of another environment")
    sizes = {own.metadata["Name"]: (own.version, size(own)) for own in distributions()}
    print(f"{PACKAGE} {estimators.__version__}, Python {sys.version.split()[0]}, {sys.platform}")
    print(", ".join(f"{name} {sizes[name][0]}" for name in SHOWN))
    largest = sorted(sizes, key=lambda name: -sizes[name][1])[:LARGEST]
    print(f"on the disk: {sum(own for _, own in sizes.values()):.0f} MB in {len(sizes)} packages;", end=" ")
    print(", ".join(f"{name} {sizes[name][1]:.0f}" for name in largest), f"and {PACKAGE} {sizes[PACKAGE][1]:.1f}")
    print(f"import estimators: {import_seconds():.1f} s of the processor")
    for run in ("the first example, compiling", "again"):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", first_example()], check=True, stdout=subprocess.DEVNULL)
        print(f"{run}: {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
