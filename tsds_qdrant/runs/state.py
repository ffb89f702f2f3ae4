"""The state of a run in one SQLite file: everything that a repair needs, and the run's history.

Every change is one transaction (write-ahead log): a process that dies leaves the state before or
after. Arrays are blobs of little-endian numbers, in parts; nothing is ever unpickled. Facts and
parts that are stored already are not written again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tsds_qdrant.errors import StateError, StateLockedError

FORMAT = 1
APPLICATION_ID = 0x54534453
"""What ``file`` and we know a state by: "TSDS"."""
PART_BYTES = 2**16
"""Arrays are cut into parts of this size: one of which nothing changed stays as it is."""

FINGERPRINT = "fingerprint"
"""Name of the fact that says how the collection was when the run looked at it."""
OWED = "owed: "
"""Begins the names of facts that stay until they are settled."""

SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE arrays (
    name TEXT, part INTEGER, dtype TEXT NOT NULL, shape TEXT NOT NULL, content BLOB NOT NULL,
    PRIMARY KEY (name, part)
);
CREATE TABLE runs (number INTEGER PRIMARY KEY, facts TEXT NOT NULL);
"""

Arrays = Mapping[str, npt.NDArray[Any]]


class RunState:
    """A state file.

    Args:
        path: the file; it must exist, see :meth:`create`.

    Raises:
        StateError: no file, another kind of file, or one of another format version.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise StateError(
                f"there is no run state '{self.path}'; make one with 'tsds-qdrant select --state'"
            )
        with self._connected(read_only=True) as database:
            application = database.execute("PRAGMA application_id").fetchone()[0]
            version = database.execute("PRAGMA user_version").fetchone()[0]
        if application != APPLICATION_ID:
            raise StateError(f"'{self.path}' is no run state; name the file given to --state")
        if version != FORMAT:
            raise StateError(
                f"run state '{self.path}' has format {version}, this version reads {FORMAT}; "
                f"select again with --state"
            )

    @classmethod
    def create(cls, path: str | Path) -> RunState:
        """Make an empty state, or open the one that is there.

        Raises:
            StateError: the file cannot be made, or is something else.
        """
        path = Path(path)
        if not path.exists():
            draft = path.with_name(path.name + ".new")
            try:
                draft.unlink(missing_ok=True)
                with closing(sqlite3.connect(draft)) as database:
                    database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                    database.execute(f"PRAGMA user_version = {FORMAT}")
                    database.executescript(SCHEMA)
                draft.replace(path)
            except (sqlite3.Error, OSError) as error:
                raise StateError(
                    f"run state '{path}' cannot be made ({error}); choose a writable place"
                ) from error
        return cls(path)

    def facts(self) -> dict[str, Any]:
        """All facts; empty where no run is stored yet."""
        with self._connected() as database:
            rows = database.execute("SELECT name, value FROM facts").fetchall()
            return {name: json.loads(value) for name, value in rows}

    def fact(self, name: str) -> Any:
        """One fact; None where no run is stored yet."""
        with self._connected() as database:
            row = database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
            return None if row is None else json.loads(row[0])

    def owe(self, what: str) -> None:
        """Remember that ``what`` is to be done, whatever is saved meanwhile."""
        with self._connected() as database, database:
            database.execute("INSERT OR REPLACE INTO facts VALUES (?, 'true')", (OWED + what,))

    def settle(self, what: str) -> None:
        """Remember that ``what`` was done."""
        with self._connected() as database, database:
            database.execute("DELETE FROM facts WHERE name = ?", (OWED + what,))

    def owes(self, what: str) -> bool:
        """Whether ``what`` was owed, and not settled since."""
        return bool(self.fact(OWED + what))

    def renew_fingerprint(self, before: str, now: str) -> None:
        """Keep ``now`` where ``before`` is the fingerprint of the collection that is kept."""
        with self._connected() as database, database:
            database.execute(
                "UPDATE facts SET value = ? WHERE name = ? AND value = ?",
                (json.dumps(now), FINGERPRINT, json.dumps(before)),
            )

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All arrays."""
        parts: dict[str, list[npt.NDArray[Any]]] = {}
        with self._connected() as database:
            query = "SELECT name, dtype, shape, content FROM arrays ORDER BY name, part"
            for name, dtype, shape, content in database.execute(query):
                array = np.frombuffer(content, dtype=np.dtype(dtype)).reshape(json.loads(shape))
                parts.setdefault(name, []).append(array)
            return {
                name: found[0].copy() if len(found) == 1 else np.concatenate(found)
                for name, found in parts.items()
            }

    def runs(self) -> list[dict[str, Any]]:
        """The facts of every run, oldest first."""
        with self._connected() as database:
            rows = database.execute("SELECT number, facts FROM runs ORDER BY number").fetchall()
            return [{"number": number, **json.loads(facts)} for number, facts in rows]

    def save(self, facts: Mapping[str, Any], arrays: Arrays, run: Mapping[str, Any] | None) -> int:
        """Replace facts and arrays, add a run, all in one transaction; return its number.

        Without a ``run`` none is added, and the number is that of the last one.

        Raises:
            StateError: the file cannot be written; it is as it was.
        """
        with self._connected() as database, database:
            _save_facts(database, facts)
            _save_arrays(database, arrays)
            if run is not None:
                database.execute("INSERT INTO runs (facts) VALUES (?)", (json.dumps(run),))
            last = database.execute("SELECT max(number) FROM runs").fetchone()[0]
        return int(last or 0)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the state for one process, until the block ends or the process dies.

        Raises:
            StateLockedError: another process holds it.
        """
        lock = self.path.with_name(self.path.name + ".lock")
        try:
            database = sqlite3.connect(lock, timeout=0, isolation_level=None)
        except sqlite3.Error as error:
            raise StateError(
                f"'{lock}' cannot be made ({error}); keep the run state in a writable place"
            ) from error
        with closing(database):
            try:
                database.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError:
                raise StateLockedError(
                    f"run state '{self.path}' is in use by another process; wait for it, "
                    f"or stop the watch"
                ) from None
            yield

    @contextmanager
    def _connected(self, *, read_only: bool = False) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=10)) as database:
                if not read_only:  # a file that may be somebody else's is left as it is
                    database.execute("PRAGMA journal_mode = WAL")
                    database.execute("PRAGMA synchronous = FULL")
                yield database
        except (sqlite3.Error, ValueError, TypeError) as error:
            if "not a database" in str(error):
                raise StateError(
                    f"run state '{self.path}' cannot be used (it is another kind of file); give "
                    f"the file that 'select --state' made"
                ) from error
            raise StateError(
                f"run state '{self.path}' cannot be used ({error}); "
                f"restore it from a copy, or select again with --state"
            ) from error


def _save_facts(database: sqlite3.Connection, facts: Mapping[str, Any]) -> None:
    """Store ``facts`` in the place of all that are not owed."""
    known = "SELECT name, value FROM facts WHERE substr(name, 1, ?) <> ?"
    before = dict(database.execute(known, (len(OWED), OWED)).fetchall())
    now = {name: json.dumps(value) for name, value in facts.items()}
    gone = [(name,) for name in before.keys() - now.keys()]
    database.executemany("DELETE FROM facts WHERE name = ?", gone)
    changed = [(name, value) for name, value in now.items() if before.get(name) != value]
    database.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", changed)


def _save_arrays(database: sqlite3.Connection, arrays: Arrays) -> None:
    """Store ``arrays`` in the place of all others."""
    gone = {(name, part) for name, part in database.execute("SELECT name, part FROM arrays")}
    one = "SELECT dtype, shape, content FROM arrays WHERE name = ? AND part = ?"
    for name, array in arrays.items():
        for row in _parts(name, array):
            gone.discard(row[:2])
            if database.execute(one, row[:2]).fetchone() != row[2:]:
                database.execute("INSERT OR REPLACE INTO arrays VALUES (?, ?, ?, ?, ?)", row)
    database.executemany("DELETE FROM arrays WHERE name = ? AND part = ?", gone)


def _parts(name: str, array: npt.NDArray[Any]) -> Iterator[tuple[str, int, str, str, bytes]]:
    """Rows of the table ``arrays``: the array cut along its first axis."""
    array = np.ascontiguousarray(array)
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    step = max(1, PART_BYTES // max(1, array.nbytes // max(1, len(array))))
    for part, start in enumerate(range(0, max(1, len(array)), step)):
        rows = array[start : start + step]
        yield name, part, rows.dtype.str, json.dumps(rows.shape), rows.tobytes()
