"""What a fit takes of memory on one long column, in a process of its own."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_em_on_a_long_column_takes_no_more_than_three_times_its_bytes() -> None:
    """Counting its rows as whole numbers, and looking at what nothing leaves open in all of them, took five times."""
    command = [sys.executable, "-m", "benchmarks.memory", "5000000"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (times,) = re.findall(r"([\d.]+) times the column", said)
    assert 0.5 < float(times) <= 3.0
