"""A small part of `make test-portable`: the same verdicts however the processor adds."""

import subprocess

import pytest

from tests.portability import ROOT, SETTINGS, command, environment

# Each was once decided by rounding.
DECIDED = [
    "tests/test_bad_queries.py::test_laplace_refuses_a_flat_direction",
    "tests/test_quantiles.py::test_a_mixed_setting_has_its_atom_for_quantiles",
    "tests/test_information.py::test_flatness_is_judged_against_rounding_not_zero[8]",
    "tests/test_information.py::test_flatness_is_judged_against_rounding_not_zero[1000]",
    "tests/validation/test_uniformity.py::test_rejected_if_and_only_if_outside_the_band[1-1]",
]


@pytest.mark.parametrize(
    "setting", [pytest.param(name, marks=[pytest.mark.slow] * (name != "the oldest")) for name in SETTINGS]
)
def test_verdicts_do_not_hang_on_rounding(setting: str) -> None:
    """The compiled code is this processor's own: that of another takes half a minute to make."""
    run = subprocess.run(
        command(DECIDED),
        cwd=ROOT,
        env=environment({name: value for name, value in SETTINGS[setting].items() if name != "NUMBA_CPU_NAME"}),
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout
