"""Every file that `validation` writes is whole or as it was, and a damaged one that it reads is said to be so."""

import errno
import json
import os
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from estimators import EM
from validation.__main__ import main
from validation.study.contenders import Contender
from validation.study.pool import perform
from validation.study.store import Store
from validation.study.study import Study
from validation.testing.manifest import Entry, Manifest, ManifestError
from validation.testing.plain_check import write_report

WRITTEN = {"html": {"index.html", "results.json"}, "markdown": {"report.md", "results.json"}}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, scenarios):
    folder = tmp_path_factory.mktemp("finished")
    study = Study((scenarios["five_points"],), (Contender("EM", EM(progress_bar=False)),), replicates=2)
    with closing(Store.create(folder / "study.sqlite", study.plan())) as store:
        for task in study.tasks():
            outcome = perform(task)
            store.add(outcome.rows, outcome.environment)
    return folder / "study.sqlite"


@pytest.fixture
def path(finished, tmp_path):
    return Path(shutil.copy(finished, tmp_path))


def no_space(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def interrupt(*_):
    raise KeyboardInterrupt


def contents(folder):
    return {each.name: each.read_bytes() for each in folder.iterdir()}


# ---------------------------------------------------------------- writers


@pytest.mark.parametrize("form", WRITTEN)
def test_a_report_that_is_stopped_leaves_the_old_one(form, path, monkeypatch, capsys):
    arguments = ["report", str(path), "--format", form]
    assert main(arguments) == 0
    assert set(contents(path.parent)) == {"study.sqlite"} | WRITTEN[form]
    for each in WRITTEN[form]:
        (path.parent / each).write_text("old")
    before = contents(path.parent)
    replace = os.replace
    for name in WRITTEN[form]:

        def stopped(source, target, *, by, name=name):
            by() if Path(target).name == name else replace(source, target)

        for stop, status in ((no_space, 2), (interrupt, 130)):
            for each in WRITTEN[form]:
                (path.parent / each).write_text("old")
            capsys.readouterr()
            with monkeypatch.context() as during:
                during.setattr(os, "replace", lambda source, target, stop=stop: stopped(source, target, by=stop))
                assert main(arguments) == status
            after = contents(path.parent)
            assert after.keys() == before.keys()
            assert after[name] == b"old"
            if stop is no_space:
                message = capsys.readouterr().err
                assert f"cannot write the report to {path.parent} (No space left on device; the file is as" in message
    assert main(arguments) == 0


@pytest.mark.parametrize(
    "write",
    [
        lambda path: Manifest(1e-3, {"test_it.py::test": Entry()}).write(path),
        lambda path: write_report(path, [], {"root_seed": 0}),
    ],
    ids=["list", "records"],
)
def test_a_list_or_record_that_is_stopped_leaves_the_old_one(write, tmp_path, monkeypatch):
    path = tmp_path / "file.json"
    write(path)
    json.loads(path.read_text())
    path.write_text("old")
    for stop, error in ((no_space, OSError), (interrupt, KeyboardInterrupt)):
        with monkeypatch.context() as during:
            during.setattr(os, "fsync", stop)
            with pytest.raises(error):
                write(path)
        assert contents(tmp_path) == {"file.json": b"old"}


def test_the_check_for_a_writable_folder_leaves_its_files(path):
    (path.parent / ".writable").write_text("mine")
    assert main(["report", str(path)]) == 0
    assert (path.parent / ".writable").read_text() == "mine"


# ---------------------------------------------------------------- readers


def truncated(path):
    path.write_bytes(path.read_bytes()[:5000])


def flipped(path):
    content = bytearray(path.read_bytes())
    content[content.rindex(b'"estimate":{"theta[0]":0.') + 26] ^= 1
    path.write_bytes(content)


def folder(path):
    path.unlink()
    path.mkdir()


def loop(path):
    path.unlink()
    path.symlink_to(path)


DAMAGED = {
    "text": lambda path: path.write_text("replicate,estimate\n" * 500),
    "noise": lambda path: path.write_bytes(bytes(range(256)) * 200),
    "nothing": lambda path: path.write_bytes(b""),
    "truncated": truncated,
    "a flipped bit": flipped,
    "a folder": folder,
    "a loop of links": loop,
    "no file": lambda path: path.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_study_is_one_sentence(damage, path, finished, capsys):
    damage(path)
    commands = (
        ["report", str(path), "--output", str(path.parent)],
        ["report", str(path), "--format", "markdown"],
        ["compare", str(path), str(finished)],
        ["compare", str(finished), str(path)],
        ["resume", str(path)],
    )
    for command in commands:
        assert main(command) == 2, command
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith(f"validation: {path}: ") and err.count("\n") == 1
    assert not (path.parent / "results.json").exists()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", '{"schema": 1}', '{"schema": 1, "false_alarm": "x", "tests": {}}', "[" * 100_000, "\ud800",
     '{"schema": 1, "false_alarm": 1e-3, "tests": {"a": {"weight": 1, "checks": 1e999}}}',
     '{"schema": 1, "false_alarm": 1e-3, "tests": {"a": {"weight": NaN, "checks": 1}}}'],
)  # fmt: skip
def test_a_damaged_list_of_tests_is_one_sentence(text, tmp_path):
    path = tmp_path / "list.json"
    path.write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(ManifestError, match=r"list\.json (is damaged|cannot be read) .* --statistical-update"):
        Manifest.read(path)
