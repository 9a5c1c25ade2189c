"""Files are written whole or not at all: what stops a writer leaves the old file, and nothing beside it."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from estimators import Fit, GaussianMixture
from estimators.fits.atomic_file import write_atomically

FIT = Fit.from_greeks(GaussianMixture(K=2), {"theta": [0.4, 0.6], "mu_X": [0.0, 9.0]})
OTHER = FIT.relabel([1, 0])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fit.npz"


def no_space(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize(("stop", "error"), [(no_space, OSError), (interrupt, KeyboardInterrupt)])
def test_a_writer_that_is_stopped_leaves_the_old_file(
    stop: Callable[..., None], error: type[BaseException], step: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for there in (False, True):
        if there:
            FIT.save(path)
        before = {each.name: each.read_bytes() for each in path.parent.iterdir()}
        with monkeypatch.context() as during:
            during.setattr(os, step, stop)
            with pytest.raises(error) as raised:
                OTHER.save(path)
        assert {each.name: each.read_bytes() for each in path.parent.iterdir()} == before
        if error is OSError:
            kept = "; the file is as it was" if there else ""
            assert str(raised.value) == f"[Errno 28] No space left on device{kept}: '{path}'"
    assert Fit.load(path)["mu_X"].tolist() == FIT["mu_X"].tolist()
    OTHER.save(path)
    assert Fit.load(path)["mu_X"].tolist() == OTHER["mu_X"].tolist()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs the device that is always full")
def test_a_device_is_written_to_and_stays_a_device() -> None:
    with pytest.raises(OSError, match=r"No space left on device: '/dev/full'"):
        write_atomically(Path("/dev/full"), "much")
    write_atomically(Path("/dev/null"), "much")
    assert Path("/dev/full").is_char_device() and Path("/dev/null").is_char_device()


def test_permissions_are_those_that_open_would_leave(path: Path) -> None:
    plain = path.with_name("plain")
    plain.write_text("")
    write_atomically(path, "first")
    assert path.stat().st_mode == plain.stat().st_mode
    path.chmod(0o640)
    write_atomically(path, "second")
    assert path.stat().st_mode & 0o777 == 0o640
    assert path.read_text() == "second"


def test_a_link_is_followed(path: Path) -> None:
    for target in (path.with_name("there"), path.parent / "deeper" / "new"):
        target.parent.mkdir(exist_ok=True)
        link = path.with_name(f"link to {target.name}")
        link.symlink_to(target)
        write_atomically(link, "text")
        assert link.is_symlink()
        assert target.read_text() == "text"
    loop = path.with_name("loop")
    loop.symlink_to(loop)
    with pytest.raises(OSError, match="symbolic links"):
        write_atomically(loop, "text")
    assert loop.is_symlink()


def test_what_open_refuses_is_refused(path: Path) -> None:
    path.mkdir()
    for place, error in (
        (path, IsADirectoryError),
        (path / "no folder" / "file", FileNotFoundError),
        (path.with_name("x" * 300), OSError),
    ):
        with pytest.raises(error) as raised:
            write_atomically(place, "text")
        assert raised.value.filename == str(place)
    (path / "file").write_text("old")
    with pytest.raises(NotADirectoryError):
        write_atomically(path / "file" / "below", "text")
    assert [each.name for each in path.iterdir()] == ["file"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="becomes another user")
def test_a_file_that_may_not_be_written_is_kept(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = Path("/tmp") / tmp_path_factory.mktemp("shared").name
    folder.mkdir()
    path = folder / "file"
    try:
        path.write_text("old")
        path.chmod(0o444)
        folder.chmod(0o777)
        os.seteuid(65534)
        try:
            with pytest.raises(PermissionError, match="Permission denied; the file is as it was"):
                write_atomically(path, "new")
        finally:
            os.seteuid(0)
        assert path.read_text() == "old"
        assert [each.name for each in folder.iterdir()] == ["file"]
    finally:
        folder.chmod(0o755)
        path.unlink()
        folder.rmdir()
