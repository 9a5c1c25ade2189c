"""`import estimators` takes what every use needs, and says which release it is."""

import subprocess
import sys
from importlib.metadata import version

import pytest

import estimators

# What tables, pictures, chains, compiled sums and scikit-learn's wrappers take when they are asked for.
LATER = {
    "arviz", "cattrs", "IPython", "matplotlib", "networkx", "numba", "nutpie", "pandas", "pyarrow", "pygraphviz",
    "scipy.interpolate", "scipy.stats", "sklearn", "torch._dynamo", "xarray",
}  # fmt: skip


def imported_by(statement: str) -> set[str]:
    """The modules that a fresh Python has after a statement."""
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_heavy_libraries_are_imported_when_they_are_needed() -> None:
    assert not LATER & imported_by("import estimators")


def test_the_look_would_see_one() -> None:
    assert "pandas" in imported_by("import pandas")


def test_the_version_is_that_of_the_distribution() -> None:
    assert estimators.__version__ == version("exact-estimators")


def test_another_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="module 'estimators' has no attribute 'EMM'"):
        estimators.EMM  # noqa: B018
