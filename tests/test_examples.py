"""The scripts in `examples` run, and what they print is what their truth says."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np

EXAMPLES = Path(__file__).parents[1] / "examples"


def script(name: str) -> ModuleType:
    """An example as a module, which runs nothing yet."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_in_the_clinic_a_regression_without_types_says_the_opposite() -> None:
    clinic = script("clinic")
    said = clinic.main()
    assert said["truth"][0] == clinic.RATIO < 1.0 < said["regression without types"][0]
    for name in ("EM, likelihood interval", "NUTS"):
        value, low, high = said[name]
        assert low < clinic.RATIO < high < 0.8 and low < value < high
    ends = np.array([said[name][1:] for name in ("EM, likelihood interval", "NUTS")])
    assert np.abs(ends[0] - ends[1]).max() < 0.03
