"""The file of a study: one SQLite database with its plan, the rows of every replicate, and where they were made.

Tables: ``study`` (one row: the plan and the arguments as JSON, when it was begun), ``environments`` (JSON), and
``rows``, one for each scenario, estimator and replicate, its fields (`validation.study.row.Row`) as JSON in ``body``.
The view ``quantities`` is the same as a tidy table: truth, estimate, sd, lower, upper, rank and ess of every quantity.

SQLite does not see a number that was changed on the disk. Every row of these tables has the SHA-256 of its other
columns in ``checksum``, and ``totals`` has how many there are; what is read is held to both.

The rows of a task are written in one transaction as it ends, in WAL mode, so a process that is killed at any point
leaves whole tasks or nothing of them.
"""

import hashlib
import json
import math
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from validation.study.plain import converter
from validation.study.plan import Plan
from validation.study.row import Row

T = TypeVar("T")
INFINITE = "\0inf"  # stands for an infinite number until it is written; no whole text of a row is this
APPLICATION, VERSION = 0x45584553, 3  # "EXES": what SQLite calls the application and the user version of a file
TABLES = """
CREATE TABLE study (
    plan TEXT NOT NULL, arguments TEXT NOT NULL, notes TEXT NOT NULL, begun TEXT NOT NULL, checksum TEXT NOT NULL
);
CREATE TABLE environments (id INTEGER PRIMARY KEY, description TEXT NOT NULL UNIQUE, checksum TEXT NOT NULL);
CREATE TABLE rows (
    scenario TEXT NOT NULL, estimator TEXT NOT NULL, replicate INTEGER NOT NULL, seed INTEGER NOT NULL,
    status TEXT NOT NULL, seconds REAL, environment INTEGER NOT NULL REFERENCES environments (id), body TEXT NOT NULL,
    checksum TEXT NOT NULL, PRIMARY KEY (scenario, estimator, replicate)
) WITHOUT ROWID;
CREATE TABLE totals (environments INTEGER NOT NULL, rows INTEGER NOT NULL);
INSERT INTO totals VALUES (0, 0);
CREATE VIEW quantities AS
    SELECT rows.scenario, rows.estimator, rows.replicate, rows.status, entry.key AS quantity,
        truth.value AS truth, entry.value AS estimate,
        json_extract(spread.value, '$.sd') AS sd, json_extract(spread.value, '$.lower') AS lower,
        json_extract(spread.value, '$.upper') AS upper, json_extract(spread.value, '$.rank') AS rank,
        json_extract(spread.value, '$.ess') AS ess
    FROM rows, json_each(rows.body, '$.estimate') AS entry
    LEFT JOIN json_each(rows.body, '$.truth') AS truth ON truth.key = entry.key
    LEFT JOIN json_each(rows.body, '$.intervals') AS spread ON spread.key = entry.key;
"""


def _marked(number: float) -> float | str:
    return number if not math.isinf(number) else INFINITE if number > 0 else f"-{INFINITE}"


PLAIN = converter(_marked)


class StoreError(Exception):
    """The file of a study cannot be used; the message says why, and what to do."""


@dataclass(frozen=True)
class Store:
    """An open study. Rows are added by one process; others may read at the same time."""

    path: Path
    connection: sqlite3.Connection

    @staticmethod
    def create(
        path: Path,
        plan: Plan,
        *,
        arguments: Mapping[str, Any] | None = None,
        notes: Mapping[str, Any] | None = None,
    ) -> "Store":
        """Begin a study in a new file. Raises StoreError where there is a file already, or none can be written."""
        path = Path(path)
        try:
            path.open("x").close()
        except FileExistsError:
            raise StoreError(
                f"{path}: there is a file already; resume that study, remove it, or name another file"
            ) from None
        except OSError as problem:
            raise StoreError(f"{path}: no file can be made here ({problem.strerror})") from None
        begun = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            with _opened(path) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(
                    f"BEGIN; PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}; {TABLES}"
                )
                values = (_text(plan), _text(arguments or {}), _text(notes or {}), begun)
                connection.execute("INSERT INTO study VALUES (?, ?, ?, ?, ?)", (*values, _checksum(*values)))
                connection.commit()
        except BaseException:
            path.unlink()  # it is ours, and nothing is in it
            raise
        return Store(path, connection)

    @staticmethod
    def open(path: Path) -> "Store":
        """Open the file of a study. Raises StoreError where there is none, or the file is another's or damaged."""
        path = Path(path)
        try:
            path.open("rb").close()
        except (FileNotFoundError, IsADirectoryError):
            raise StoreError(f"{path}: there is no such file; `python -m validation run` begins a study") from None
        except OSError as problem:
            raise StoreError(f"{path}: the file cannot be opened ({problem.strerror})") from None
        with _opened(path) as connection:
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if application != APPLICATION and connection.execute("SELECT 1 FROM sqlite_master").fetchone():
                raise StoreError(f"{path}: expected the file of a study, got another SQLite database")
            if application != APPLICATION or not connection.execute("SELECT 1 FROM study").fetchone():
                raise StoreError(f"{path}: the file is not a whole study; remove it, and begin the study again")
            if version != VERSION:
                raise StoreError(
                    f"{path}: expected a study of version {VERSION}, got version {version}; "
                    "read it with the release that wrote it"
                )
        return Store(path, connection)

    def close(self) -> None:
        self.connection.close()

    @property
    def plan(self) -> Plan:
        return _understood(self.path, lambda: PLAIN.structure(self._document("plan"), Plan))

    @property
    def arguments(self) -> dict[str, Any]:
        """What the command line was given, from which `resume` builds the study again."""
        return self._document("arguments")

    @property
    def notes(self) -> dict[str, Any]:
        """What else the study says of itself."""
        return self._document("notes")

    @property
    def environments(self) -> list[dict[str, Any]]:
        """The environments in which rows were made, each once."""
        with _explained(self.path):
            table = self.connection.execute(
                "SELECT environments, id, description, checksum FROM totals LEFT JOIN environments AS e ORDER BY id"
            ).fetchall()
        descriptions = [
            _checked(self.path, f"environment {number}", (number, text), checksum)[1]
            for _, number, text, checksum in table
            if number is not None
        ]
        self._check_total("environments", len(descriptions), table[0][0] if table else None)
        return _understood(self.path, lambda: [json.loads(text) for text in descriptions])

    def add(self, rows: Sequence[Row], environment: Mapping[str, Any]) -> None:
        """Write the rows of one task, all or none; rows that are there already stay as they are."""
        with _explained(self.path), self.connection:
            self.connection.execute("BEGIN IMMEDIATE")
            environment_id = self._environment_id(_text(environment))
            written = self.connection.executemany(
                "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (scenario, estimator, replicate) DO NOTHING",
                [(*columns, _checksum(*columns)) for columns in (_columns(row, environment_id) for row in rows)],
            )
            self.connection.execute("UPDATE totals SET rows = rows + ?", (written.rowcount,))

    def done(self) -> set[tuple[str, str, int]]:
        """Return the scenario, estimator and replicate of every row that is there."""
        return {key for key, _ in self._bodies()}

    def rows(self) -> Iterator[Row]:
        """Return every row, in no particular order; raises StoreError that names the first that is damaged."""
        for key, body in self._bodies():
            row = _understood(self.path, partial(_row_of, body))
            if row.key != key:
                raise _damaged(self.path, _named(key))
            yield row

    def _bodies(self) -> Iterator[tuple[tuple[str, str, int], str]]:
        """The key and the body of every row, as they were written."""
        # One statement, so that the number of rows is that of the moment at which they are read.
        query = "SELECT totals.rows, r.* FROM totals LEFT JOIN rows AS r"
        keys, total = set[tuple[str, str, int]](), None
        with _explained(self.path):
            for total, *columns, checksum in self.connection.execute(query):  # noqa: B007 - used after the loop
                if checksum is not None:
                    _checked(self.path, _named(columns), columns, checksum)
                    scenario, estimator, replicate, *_, body = columns
                    keys.add((scenario, estimator, replicate))
                    yield (scenario, estimator, replicate), body
        self._check_total("rows", len(keys), total)

    def _environment_id(self, text: str) -> int:
        """The number of an environment, which is added if it is new."""
        known = self.connection.execute("SELECT id FROM environments WHERE description = ?", (text,)).fetchone()
        if known:
            return int(known[0])
        self.connection.execute("UPDATE totals SET environments = environments + 1")
        (number,) = self.connection.execute("SELECT environments FROM totals").fetchone()
        checksum = _checksum(int(number), text)
        self.connection.execute("INSERT INTO environments VALUES (?, ?, ?)", (int(number), text, checksum))
        return int(number)

    def _check_total(self, table: str, number: int, total: int | None) -> None:
        """Raise unless a table has as many rows as were written."""
        if total != number:
            raise _damaged(self.path, f"the table of {table}, of which {number} can be read,")

    def _document(self, column: str) -> dict[str, Any]:
        with _explained(self.path):
            studies = self.connection.execute("SELECT plan, arguments, notes, begun, checksum FROM study").fetchall()
        if len(studies) != 1:
            raise _damaged(self.path, "the plan")
        *values, checksum = studies[0]
        _checked(self.path, "the plan", values, checksum)
        text = values[("plan", "arguments", "notes").index(column)]
        document: dict[str, Any] = _understood(self.path, lambda: json.loads(text))
        return document


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that stays open, unless what is done with it first goes wrong."""
    with _explained(path), ExitStack() as stack:
        connection = stack.enter_context(closing(sqlite3.connect(path, timeout=60)))
        # A transaction survives the death of this process; after a power cut the last ones may be made again.
        connection.execute("PRAGMA synchronous = NORMAL")
        yield connection
        stack.pop_all()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what SQLite and the system say of a file into a StoreError."""
    try:
        yield
    except sqlite3.Error as problem:
        message = str(problem)
        advice = {
            "disk is full": "the disk is full; what was written is whole: make room, then resume the study",
            "readonly": "the file or its folder cannot be written to; change its permissions or copy it",
            "unable to open": "the file cannot be opened, or none can be made in its folder; check the permissions",
            "not a database": "expected the file of a study, got something else",
            "malformed": "the file is damaged; restore a copy, or begin the study again",
            "no such table": "the file is not a whole study; remove it, and begin the study again",
            "disk I/O error": "the disk failed or is full; what was written is whole: resume when it is mended",
            "locked": "another process is writing to this study; wait for it to end",
        }
        reason = next((text for words, text in advice.items() if words in message), message)
        raise StoreError(f"{path}: {reason} (SQLite says: {message})") from problem
    except UnicodeDecodeError as problem:  # of what SQLite says, which has names from the damaged file
        raise StoreError(f"{path}: the file is damaged; restore a copy, or begin the study again") from problem


def _understood(path: Path, read: Callable[[], T]) -> T:
    """What is read from a column's JSON, into which SQLite does not look."""
    try:
        return read()
    except (AttributeError, KeyError, TypeError, ValueError) as problem:
        raise StoreError(
            f"{path}: the file is damaged; restore a copy, or begin the study again ({problem!r})"
        ) from problem


def _damaged(path: Path, subject: str) -> StoreError:
    return StoreError(
        f"{path}: {subject} is not as it was written: the file is damaged; restore a copy, or begin the study again"
    )


def _named(key: Sequence[Any]) -> str:
    scenario, estimator, replicate, *_ = key
    return f"the row of {scenario} / {estimator} / replicate {replicate}"


def _columns(row: Row, environment: int) -> tuple[Any, ...]:
    """The columns of a row but for its checksum, with the types that SQLite gives back."""
    seconds = None if row.seconds is None else float(row.seconds)
    return *row.key, row.seed, row.status, seconds, environment, _text(row)


def _checksum(*columns: Any) -> str:
    return hashlib.sha256(json.dumps(columns).encode()).hexdigest()


def _checked(path: Path, subject: str, columns: Sequence[Any], checksum: Any) -> Sequence[Any]:
    """Return columns as they were read; raise StoreError unless they have the checksum they were written with."""
    try:
        is_as_written = _checksum(*columns) == checksum
    except TypeError:  # bytes, where SQLite no longer takes them for text
        is_as_written = False
    if not is_as_written:
        raise _damaged(path, subject)
    return columns


def _row_of(body: str) -> Row:
    return PLAIN.structure(json.loads(body), Row)


def _text(value: Any) -> str:
    """JSON without NaN, in which an infinite number is one too large for a double: Python and SQLite read it back."""
    text = json.dumps(PLAIN.unstructure(value), allow_nan=False, separators=(",", ":"))
    return text.replace(json.dumps(INFINITE), "1e999").replace(json.dumps(f"-{INFINITE}"), "-1e999")
