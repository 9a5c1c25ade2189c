"""The file of a study: what is put in comes out, as whole tasks, and what cannot be used is refused with the reason."""

import json
import math
import os
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest

from estimators import EM
from tests.validation.studies import run_here, without_times
from validation.claims.results import assess, results_of
from validation.study.contenders import Contender
from validation.study.row import ERROR, Curve, Exactness, Interval, Prediction, Row
from validation.study.store import VERSION, Store, StoreError
from validation.study.study import Study

HERE = {"python": "3.11", "machine": {"node": "here"}}
NOBODY = 65534


@pytest.fixture(scope="module")
def study(scenarios):
    chosen = tuple(scenarios[name] for name in ("five_points", "separated_100", "student_noise"))
    return Study(chosen, (Contender("EM", EM(progress_bar=False), laplace=True),), replicates=2)


@pytest.fixture(scope="module")
def plan(study):
    return study.plan()


@pytest.fixture(scope="module")
def rows(study):
    return run_here(study)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "study.sqlite"


@pytest.fixture
def store(path, plan):
    with closing(Store.create(path, plan)) as store:
        yield store


def extreme_row():
    """Infinite and tiny numbers, texts that look like numbers, and every field filled."""
    rng = np.random.default_rng(0)
    hard = {
        f"x[{i}]": float(value) for i, value in enumerate(rng.normal(size=200) * 10.0 ** rng.integers(-300, 300, 200))
    }
    return Row(
        scenario="five_points",
        estimator="inf",
        replicate=0,
        seed=2**32 - 1,
        status="CONVERGED",
        reason="-inf",
        seconds=0.1,
        warnings=("inf", 'a "quoted" – line\nand a NUL \0inf'),
        truth={"E[X | do(Z=1)]": 1 / 3, "log p(data)": -math.inf, **hard},
        estimate={"E[X | do(Z=1)]": math.inf, "log p(data)": 5e-324, 'a "b".c[0]': 1.0, **hard},
        intervals={"E[X | do(Z=1)]": Interval(math.inf, -math.inf, math.inf, 63, 1000.0)},
        predictions=(
            Prediction("X | do(Z=1)", math.inf, 0.1, -math.inf, Curve((0.0, 1.0), (0.5, 0.5), (math.inf, 0.0))),
            Prediction("X | do(Z=0)", 0.0, 1e308, 2.0),
        ),
        exactness={"mu_X[0]": Exactness((0.1, math.inf), 2.0)},
        diagnostics={"min_ess": 12.5},
    )


# ---------------------------------------------------------------- what goes in comes out


def test_round_trip(path, plan, rows):
    arguments, notes = {"command": "run", "seed": 3, "names": ["a", None]}, {"mine": {"rows": 7, "limit": math.inf}}
    there = {**HERE, "machine": {"node": "there"}}
    everything = [*rows, extreme_row(), replace(extreme_row(), estimator="gone", status=ERROR, seconds=None)]
    with closing(Store.create(path, plan, arguments=arguments, notes=notes)) as store:
        for i, row in enumerate(everything):
            store.add([row], there if i % 2 else HERE)
    with closing(Store.open(path)) as store:
        assert store.plan == plan
        assert (store.arguments, store.notes) == (arguments, notes)
        assert store.environments == [HERE, there]
        assert sorted(map(repr, store.rows())) == sorted(map(repr, everything))
        assert store.done() == {(row.scenario, row.estimator, row.replicate) for row in everything}
    assert {each.name for each in path.parent.iterdir()} == {"study.sqlite"}, "a closed study is one file"


def test_a_plan_with_infinite_numbers(path, plan):
    endless = replace(plan, claims=(replace(plan.claims[0], allowed=math.inf), *plan.claims[1:]))
    with closing(Store.create(path, endless)) as store:
        assert store.plan == endless


def test_a_cell_is_written_whole_or_not_at_all(store, rows):
    broken = replace(rows[1], estimate={"mu_X[0]": math.nan})
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.add([rows[0], broken], {"never": "seen"})
    assert not store.done()
    assert store.environments == []
    with pytest.raises(StoreError, match="NOT NULL"):
        store.add([rows[0], replace(rows[1], seed=None)], HERE)
    assert not store.done()


def test_rows_that_are_there_stay_as_they_are(store, rows):
    store.add(rows[:2], HERE)
    store.add([replace(row, seconds=99.0, status=ERROR) for row in rows[:3]], {"another": "place"})
    assert sorted(map(repr, store.rows())) == sorted(
        map(repr, (*rows[:2], replace(rows[2], seconds=99.0, status=ERROR)))
    )


def test_the_view_has_the_numbers_of_the_rows(path, store, rows):
    everything = [*rows, extreme_row()]
    for row in everything:
        store.add([row], HERE)
    expected = {}
    for row in everything:
        for name, value in row.estimate.items():
            spread = row.intervals.get(name)
            expected[row.scenario, row.estimator, row.replicate, row.status, name] = (
                row.truth.get(name),
                value,
                *((spread.sd, spread.lower, spread.upper, spread.rank, spread.ess) if spread else (None,) * 5),
            )
    with closing(sqlite3.connect(path)) as other:  # as a reader would, while the study is open
        found = other.execute("SELECT * FROM quantities").fetchall()
        frame = pd.read_sql("SELECT * FROM quantities", other)
    assert {line[:5]: line[5:] for line in found} == expected
    assert len(found) == len(expected)
    assert list(frame.columns[5:]) == ["truth", "estimate", "sd", "lower", "upper", "rank", "ess"]
    assert all(dtype == np.float64 for dtype in frame.dtypes[5:])
    table = frame.set_index(["scenario", "estimator", "replicate", "status", "quantity"])
    numbers = pd.DataFrame(expected, index=frame.columns[5:], dtype=float).T
    assert table.sort_index().to_numpy().tobytes() == numbers.sort_index().to_numpy().tobytes()


def test_the_columns_say_what_the_rows_say(path, store, rows):
    store.add([extreme_row()], HERE)
    with closing(sqlite3.connect(path)) as other:
        (found,) = other.execute(
            "SELECT seed, status, seconds, description FROM rows JOIN environments ON id"
        ).fetchall()
    assert found == (2**32 - 1, "CONVERGED", 0.1, json.dumps(HERE, separators=(",", ":")))


def test_others_read_while_one_writes(path, store, rows):
    store.add(rows[:2], HERE)
    with closing(Store.open(path)) as reader:
        reading = reader.rows()
        first = next(reading)
        store.add(rows[2:4], HERE)
        assert [first, *reading] == list(rows[:2])
        assert len(list(reader.rows())) == 4


def test_two_that_write_take_turns(path, store, rows):
    with closing(Store.open(path)) as other:
        other.connection.execute("PRAGMA busy_timeout = 20")
        store.connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another process is writing to this study"):
            other.add(rows[:2], HERE)
        store.connection.rollback()
        other.add(rows[:2], HERE)
    assert len(store.done()) == 2


# ---------------------------------------------------------------- what is refused


def test_a_file_is_not_written_over(path, plan):
    path.write_text("precious")
    with pytest.raises(StoreError, match=r"study\.sqlite: there is a file already; resume that study, remove it"):
        Store.create(path, plan)
    assert path.read_text() == "precious"


def test_nothing_is_left_where_a_study_cannot_be_begun(path, plan):
    with pytest.raises(ValueError, match="not JSON compliant"):
        Store.create(path, plan, notes={"x": math.nan})
    assert list(path.parent.iterdir()) == []
    with pytest.raises(StoreError, match="no file can be made here"):
        Store.create(path / "deeper" / "study.sqlite", plan)
    with pytest.raises(StoreError, match="no file can be made here"):
        Store.create("/proc/study.sqlite", plan)


def other_database(path, plan):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE study (plan)")


def another_version(path, plan):
    Store.create(path, plan).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")


def begun_and_killed(path, plan):
    """The tables without the plan."""
    Store.create(path, plan).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM study")


def other_tables(path, plan):
    Store.create(path, plan).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE study")


def other_plan(path, plan):
    Store.create(path, plan).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE study SET plan = '{}'")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path, plan: None, "there is no such file; `python -m validation run` begins a study"),
        (lambda path, plan: path.mkdir(), "there is no such file"),
        (
            lambda path, plan: path.write_text("replicate,estimate\n" * 100),
            "expected the file of a study, got something",
        ),
        (lambda path, plan: path.touch(), "not a whole study; remove it, and begin the study again"),
        (other_database, "expected the file of a study, got another SQLite database"),
        (
            another_version,
            f"expected a study of version {VERSION}, got version {VERSION + 1}; read it with the release",
        ),
        (begun_and_killed, "not a whole study; remove it, and begin the study again"),
        (other_tables, "not a whole study"),
        (other_plan, "the file is damaged"),
    ],
)
def test_another_file_is_refused(make, message, path, plan):
    make(path, plan)
    with pytest.raises(StoreError) as raised, closing(Store.open(path)) as store:
        _ = store.plan
    assert str(raised.value).startswith(f"{path}: ")
    assert message in str(raised.value)


def test_a_truncated_file_is_refused(path, plan, rows):
    with closing(Store.create(path, plan)) as store:
        store.add(rows, HERE)
        (page,) = store.connection.execute("PRAGMA page_size").fetchone()
    whole = path.read_bytes()
    last = range(len(whole) - page + 1, len(whole), page // 8)
    for size in (*range(page // 2, len(whole) - page + 1, page), *last):
        path.write_bytes(whole[:size])
        try:
            with closing(Store.open(path)) as cut:
                found = cut.plan, sorted(map(repr, cut.rows())), cut.environments
        except StoreError as refused:
            assert any(word in str(refused) for word in ("damaged", "not a whole study", "something else"))
        else:  # what was cut off is the free space of the last page
            assert size in last
            assert found == (plan, sorted(map(repr, rows)), [HERE])


FLIPS = 150


def everything(path):
    with closing(Store.open(path)) as store:
        plan, environments, found = store.plan, store.environments, sorted(map(repr, store.rows()))
        assert len(store.done()) == len(found)
        return plan, store.arguments, environments, found


def test_a_flipped_bit_changes_nothing_or_is_seen(path, plan, rows):
    with closing(Store.create(path, plan, arguments={"seed": 3})) as store:
        for row in rows[:6]:
            store.add([row], HERE)
    whole, expected = path.read_bytes(), everything(path)
    rng, seen = np.random.default_rng(0), 0
    for place in rng.integers(len(whole), size=FLIPS):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        try:
            assert everything(path) == expected
        except StoreError as refused:
            assert str(refused).startswith(f"{path}: ")
            seen += 1
    assert seen > FLIPS / 4, "the others are free space"


def test_a_flipped_bit_in_the_log_loses_whole_cells_at_its_end_and_changes_nothing(path, plan, rows):
    """As a power cut would, which SQLite cannot tell from it; the study is then not complete, and can be resumed."""
    log = path.with_name("study.sqlite-wal")
    with closing(Store.create(path, plan)) as store:
        for task in (rows[:2], rows[2:4], rows[4:6]):
            store.add(task, HERE)
        files = path.read_bytes(), log.read_bytes()
    rng = np.random.default_rng(0)
    tasks = [sorted(map(repr, rows[:n])) for n in (0, 2, 4, 6)]
    last = range(len(files[1]) - 3000, len(files[1]), 100)  # what was written last
    lengths = set()
    for place in [*rng.integers(len(files[1]), size=20), *last]:
        flipped = bytearray(files[1])
        flipped[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(files[0])
        log.write_bytes(flipped)
        try:
            found = everything(path)
        except StoreError:
            continue
        assert found[0] == plan
        assert found[-1] in tasks
        lengths.add(len(found[-1]))
    assert 4 in lengths


def changed(path, statement):
    with closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute(statement).rowcount


@pytest.mark.parametrize(
    ("statement", "telling"),
    [
        ("UPDATE rows SET body = replace(body, '.', '.1') WHERE replicate = 1", "five_points / EM / replicate 1"),
        ("UPDATE rows SET body = replace(body, 'five_points', 'zzz') WHERE replicate = 0", "five_points / EM"),
        ("UPDATE rows SET body = '{}' WHERE replicate = 0", "five_points / EM"),
        ("UPDATE rows SET body = x'ff' WHERE replicate = 0", "five_points / EM"),
        ("UPDATE rows SET scenario = 'zzz' WHERE replicate = 0 AND estimator = 'EM'", "zzz / EM / replicate 0"),
        ("UPDATE rows SET replicate = 7 WHERE replicate = 0 AND estimator = 'EM'", "five_points / EM / replicate 7"),
        ("UPDATE rows SET seed = seed + 1 WHERE replicate = 1", "five_points / EM / replicate 1"),
        ("UPDATE rows SET seconds = seconds + 1 WHERE replicate = 1", "five_points / EM / replicate 1"),
        ("UPDATE rows SET environment = 2 WHERE replicate = 1", "five_points / EM / replicate 1"),
        ("UPDATE rows SET checksum = body WHERE replicate = 1", "five_points / EM / replicate 1"),
        ("DELETE FROM rows WHERE replicate = 1", "the table of rows, of which 2 can be read,"),
        ("DELETE FROM rows", "the table of rows, of which 0 can be read,"),
        ("UPDATE totals SET rows = rows + 1", "the table of rows, of which 4 can be read,"),
        ("DELETE FROM totals", "can be read,"),
        ("UPDATE study SET plan = replace(plan, '1', '2')", "the plan"),
        ("UPDATE study SET begun = 'now'", "the plan"),
        ("UPDATE environments SET description = replace(description, 'here', 'her')", "environment 1"),
        ("UPDATE environments SET id = 2", "environment 2"),
        ("DELETE FROM environments", "the table of environments"),
    ],
)
def test_what_is_not_as_it_was_written_is_named(statement, telling, path, plan, rows):
    with closing(Store.create(path, plan)) as store:
        store.add([row for row in rows if row.scenario == "five_points"], HERE)
    everything(path)
    changed(path, statement)
    with pytest.raises(StoreError) as refused:
        everything(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert telling in str(refused.value)
    assert "damaged; restore a copy, or begin the study again" in str(refused.value)


def test_two_rows_that_changed_places_are_seen(path, plan, rows):
    with closing(Store.create(path, plan)) as store:
        store.add(rows[:2], HERE)
    whole = path.read_bytes()
    one, other = (json.dumps(row.estimate, separators=(",", ":")).encode() for row in rows[:2])
    with closing(sqlite3.connect(path)) as connection, connection:
        bodies = [body for (body,) in connection.execute("SELECT body FROM rows")]
        for body, new in zip(bodies, reversed(bodies), strict=True):
            connection.execute("UPDATE rows SET body = ? WHERE body = ?", (f"-{new}", body))
        connection.execute("UPDATE rows SET body = substr(body, 2)")
    assert one != other and path.read_bytes() != whole
    with pytest.raises(StoreError, match="the row of five_points / EM"):
        everything(path)


def test_a_row_with_a_checksum_of_its_own_that_contradicts_its_key(path, plan, rows, monkeypatch):
    with closing(Store.create(path, plan)) as store:
        text = json.dumps(asdict(replace(rows[0], scenario="zzz")))
        monkeypatch.setattr("validation.study.store._text", lambda value: text if value is rows[0] else "{}")
        store.add(rows[:1], HERE)
        with pytest.raises(StoreError, match=r"the row of five_points / EM / replicate 0 is not as it was written"):
            list(store.rows())


def test_rows_of_another_plan_are_not_judged(path, study, rows):
    fewer = replace(study, scenarios=study.scenarios[1:]).plan()
    with pytest.raises(ValueError, match=r"the row of five_points / EM / replicate 0 is not of the plan"):
        assess(fewer, rows)
    with closing(Store.create(path, fewer)) as store:
        store.add(rows, HERE)
        with pytest.raises(StoreError, match=r"study.sqlite: the row of five_points / EM / replicate 0 is not of"):
            results_of(store)


def test_a_file_that_cannot_be_written_to(path, store, rows):
    store.add(rows[:2], HERE)
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        locked = Store(path, connection)
        with pytest.raises(StoreError, match="cannot be written to; change its permissions or copy it"):
            locked.add(rows[2:4], HERE)
        assert len(list(locked.rows())) == 2


@contextmanager
def unprivileged():
    """Root may write anywhere, so for a while this process is nobody. Others are what they are."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_folder_that_cannot_be_written_to(tmp_path_factory, plan, rows):
    folder = tmp_path_factory.getbasetemp() / "closed"
    folder.mkdir()
    path = folder / "study.sqlite"
    with closing(Store.create(path, plan)) as store:
        store.add(rows[:2], HERE)
    above = [each for each in folder.parents if each.stat().st_uid == os.geteuid()]
    modes = {each: each.stat().st_mode for each in above}
    try:
        for each, mode in modes.items():
            each.chmod(mode | 0o011)  # pytest's own folders let nobody through
        path.chmod(0o444)
        folder.chmod(0o555)
        with unprivileged():
            with pytest.raises(StoreError, match=r"no file can be made here \(Permission denied\)"):
                Store.create(folder / "another.sqlite", plan)
            with pytest.raises(StoreError, match=r"cannot be written to|cannot be opened, or none can be made"):
                Store.open(path).add(rows[2:4], HERE)
        folder.chmod(0o000)
        with unprivileged(), pytest.raises(StoreError, match=r"the file cannot be opened \(Permission denied\)"):
            Store.open(path)
    finally:
        folder.chmod(0o755)
        for each, mode in modes.items():
            each.chmod(mode)
    with closing(Store.open(path)) as store:
        assert len(store.done()) == 2


def test_a_full_disk_loses_nothing_and_resuming_completes_the_study(path, study, rows):
    """SQLite raises the same at its own limit of pages as on a full disk."""
    with closing(Store.create(path, study.plan())) as store:
        (pages,) = store.connection.execute("PRAGMA page_count").fetchone()
        store.connection.execute(f"PRAGMA max_page_count = {pages + 8}")
        with pytest.raises(StoreError, match=r"the disk is full; what was written is whole: make room, then resume"):
            run_here(study, store=store)
        kept = list(store.rows())
        assert 0 < len(kept) < len(rows)
        assert len(kept) % 2 == 0, "whole tasks of two rows"
    with closing(Store.open(path)) as store:
        assert list(map(repr, store.rows())) == list(map(repr, kept))
        found = run_here(study, store=store)
        assert {repr(row) for row in kept} <= {repr(row) for row in found}
    assert without_times(found) == without_times(rows)
