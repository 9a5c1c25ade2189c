"""What is built is what is meant: two packages with their data and licences, and they run without the checkout."""

import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
DATA = {
    "estimators/py.typed",
    "validation/py.typed",
    "validation/report/style.css",
    "validation/report/index.html.jinja",
    "validation/report/sortable/sortable.min.js",
    "validation/scenarios/posteriordb/low_dim_gauss_mix.json",
}
LICENCES = {
    "LICENSE",
    "validation/report/sortable/LICENSE",
    "validation/scenarios/posteriordb/LICENCE.md",
}


@dataclass(frozen=True)
class Built:
    wheel: Path
    sdist: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The sdist of what is committed, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("built")
    source, out = folder / "source", folder / "dist"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(source)], check=True)
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return Built(wheel, sdist)


def test_the_wheel_holds_the_two_packages_with_data_and_licences(built: Built) -> None:
    names = set(zipfile.ZipFile(built.wheel).namelist())
    (about,) = {top for name in names if (top := name.split("/")[0]).endswith(".dist-info")}
    assert {name.split("/")[0] for name in names} == {"estimators", "validation", about}
    assert names >= DATA | {f"{about}/licenses/{name}" for name in LICENCES}
    modules = {str(path.relative_to(ROOT)) for package in ("estimators", "validation") for path in committed(package)}
    assert {name for name in names if name.endswith(".py")} == modules
    entry_points = zipfile.ZipFile(built.wheel).read(f"{about}/entry_points.txt").decode()
    assert "statistical = validation.testing.pytest_plugin" in entry_points


def committed(package: str) -> list[Path]:
    """The modules of a package that git knows."""
    listed = subprocess.run(
        ["git", "ls-files", f"{package}/*.py"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / line for line in listed.stdout.split()]


def test_the_sdist_holds_what_the_wheel_is_made_of_and_no_tests(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names >= DATA | LICENCES | {"README.md", "CHANGELOG.md", "CITATION.cff", "setup.cfg", "pyproject.toml"}
    assert not {name.split("/")[0] for name in names} & {"tests", "examples", "benchmarks", "docs"}


def test_the_wheel_runs_without_the_checkout(built: Built, tmp_path: Path) -> None:
    zipfile.ZipFile(built.wheel).extractall(tmp_path / "unpacked")
    code = "import estimators, validation; print(estimators.__file__); print(estimators.EM().fit("
    code += "estimators.GaussianMixture(2), {'X': [0.0, 1.0, 10.0]}, seed=0).status.name)"
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "unpacked")},
        capture_output=True,
        text=True,
        check=True,
    )
    place, status = run.stdout.split()
    assert Path(place).is_relative_to(tmp_path / "unpacked")
    assert status == "CONVERGED"
