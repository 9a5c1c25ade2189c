"""`import estimators` takes what every use needs, and says which release it is."""

import subprocess
import sys
from importlib.metadata import version
from typing import Any

import pytest

import estimators
import validation
import validation.testing
from estimators import mechanisms

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


@pytest.mark.parametrize("package", [estimators, mechanisms, validation, validation.testing])
def test_what_completes_is_what_is_public(package: Any) -> None:
    listed = dir(package)
    assert set(package.__all__) <= set(listed)
    assert {"Any", "TYPE_CHECKING", "import_module", "importlib"}.isdisjoint(listed)
    assert all(hasattr(package, name) for name in listed)


def test_another_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="module 'estimators' has no attribute 'EMM'"):
        estimators.EMM  # noqa: B018


def test_a_notebook_without_widgets_is_told_nothing_by_an_import() -> None:
    """As in ipykernel, by the modules that tqdm looks at; the control imports what Pyro does by itself."""
    notebook = "import sys, types\nsys.modules['ipykernel.zmqshell'] = sys.modules['ipywidgets'] = None\n"
    notebook += "sys.modules['IPython'] = types.SimpleNamespace(get_ipython=lambda: object())\n"
    for statement, warned in (("import estimators", False), ("import tqdm.auto", True)):
        run = subprocess.run([sys.executable, "-c", notebook + statement], capture_output=True, text=True)
        assert ("TqdmWarning" in run.stderr) == warned, run.stderr
