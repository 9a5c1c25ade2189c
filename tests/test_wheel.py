"""What is built is what is meant: two packages with their data, nothing else, and they run without the checkout."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_wheel_holds_the_two_packages_and_runs(tmp_path: Path) -> None:
    source = tmp_path / "source"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(source)], check=True)
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "-q",
            "--no-deps",
            "--no-build-isolation",
            "-w",
            str(tmp_path),
            str(source),
        ],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"estimators", "validation"}
    needed = [
        "estimators/py.typed",
        "validation/py.typed",
        "estimators/mechanisms/gaussian/scalar.py",
        "validation/testing/pytest_plugin.py",
        "validation/testing/stat.py",
        "validation/report/style.css",
        "validation/report/index.html.jinja",
        "validation/report/sortable/sortable.min.js",
    ]
    assert set(needed) <= set(names)
    (entry_points,) = (name for name in names if name.endswith("entry_points.txt"))
    assert "statistical = validation.testing.pytest_plugin" in zipfile.ZipFile(wheel).read(entry_points).decode()
    unpacked = tmp_path / "unpacked"
    zipfile.ZipFile(wheel).extractall(unpacked)
    code = "import estimators, validation; print(estimators.__file__); print(estimators.EM().fit("
    code += "estimators.GaussianMixture(2), {'X': [0.0, 1.0, 10.0]}, seed=0).status.name)"
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        check=True,
    )
    place, status = run.stdout.split()
    assert Path(place).is_relative_to(unpacked)
    assert status == "CONVERGED"
