"""The scripts in `examples` run, and what they print is what their truth says."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

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


def test_every_estimator_says_of_the_tutorials_rows_what_it_is_known_to() -> None:
    said = script("tutorial").main()
    assert said["MAP"][0] == pytest.approx(10.963455, abs=1e-5)
    assert said["EM"][0] == pytest.approx(11.0, abs=1e-5)
    (by_nuts, sd), (exact, _) = said["NUTS"], said["Exact"]
    # Of 4,000 draws each, at least 1,000 of them effective.
    assert 0.0 < abs(by_nuts - exact) < 5.0 * sd / np.sqrt(500)


def test_what_other_packages_printed_is_what_is_fitted() -> None:
    """To the four digits that poLCA printed; mixtools stopped as near to the maximum."""
    published = script("published")
    for name, table in published.main().items():
        greeks = table.drop(index="log-likelihood")
        assert greeks["difference"].abs().max() < 0.5e-4, name
    # The control: with a class less the numbers are others.
    assert abs(published.slides(2)["p_A"][0] - published.SLIDES["p_A"][0]) > 0.5e-4
