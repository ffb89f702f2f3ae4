"""The file of kept searches: SQLite, held by one process at a time.

It is made whole or not at all, and each write is one transaction (write-ahead log).
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

FORMAT = 1
APPLICATION_ID = 0x54534B53
"""What ``file`` and we know such a file by: "TSKS"."""
COMPANIONS = ("", "-wal", "-shm", "-journal")
SCHEMA = """
CREATE TABLE facts (task TEXT NOT NULL, standing TEXT NOT NULL);
CREATE TABLE points (first INTEGER PRIMARY KEY, ids TEXT NOT NULL);
CREATE TABLE slices (
    number INTEGER PRIMARY KEY, question BLOB, marks BLOB, counts BLOB, points BLOB, scores BLOB
);
CREATE TABLE prints (points BLOB, prints BLOB);
"""


def opened(path: Path) -> sqlite3.Connection:
    """The file at ``path``, made if there is none, and held until it is closed.

    Raises:
        sqlite3.Error: it cannot be made or read, or another process holds it.
        OSError: the same.
    """
    if not path.exists():
        _make(path)
    database = sqlite3.connect(path, timeout=0)
    try:
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        if database.execute("PRAGMA user_version").fetchone()[0] != FORMAT:
            raise sqlite3.DatabaseError("another version made it")
    except sqlite3.Error:
        database.close()
        raise
    return database


def _make(path: Path) -> None:
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with closing(sqlite3.connect(draft)) as database:
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {FORMAT}")
        database.executescript(SCHEMA)
    draft.replace(path)


def is_ours(path: Path) -> bool:
    """Whether the file at ``path`` was made here, as its head says (SQLite, "Database Header")."""
    try:
        with path.open("rb") as file:
            head = file.read(72)
    except OSError:
        return False
    return head[:6] == b"SQLite" and int.from_bytes(head[68:], "big") == APPLICATION_ID


def remove(path: Path) -> None:
    """Remove the file at ``path`` and what SQLite keeps beside it, if it was made here."""
    if is_ours(path):
        for name in COMPANIONS:
            with suppress(OSError):
                path.with_name(path.name + name).unlink()
