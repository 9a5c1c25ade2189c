"""What the pytest plugin adds to a session that does not use it: milliseconds, with and without, in the same run.

``python benchmarks/pytest_plugin.py [--sessions 15]``

Each session is a process of its own that runs one empty test, other plugins left out. Sessions with and without take
turns, and medians of the processor's time are compared: the wall clock depends on what else the machine does.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path


def seconds(folder: Path, option: str) -> float:
    """Return the processor time of one session."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", option, "test_plain.py"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=15)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_plain.py").write_text("def test_plain():\n    pass\n")
        options = ("no:statistical", "statistical")
        for option in options:
            seconds(Path(folder), option)
        found = [[seconds(Path(folder), option) for option in options] for _ in range(arguments.sessions)]
    without, using = (statistics.median(column) for column in zip(*found, strict=True))
    added = statistics.median(pair[1] - pair[0] for pair in found)
    print(f"without {1e3 * without:.0f} ms, with {1e3 * using:.0f} ms; added (median of pairs) {1e3 * added:.0f} ms")


if __name__ == "__main__":
    main()
