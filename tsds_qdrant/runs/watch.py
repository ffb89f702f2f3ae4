"""Watch: reselect again and again, as a job that survives what servers do."""

from __future__ import annotations

import hashlib
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.server.retries import Patience
from tsds_qdrant.errors import CollectionLockedError, TsdsError, UnreachableError
from tsds_qdrant.paths import Location
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.runs.address import open_of_run, reached_as
from tsds_qdrant.runs.reselect import Reselection, reselect
from tsds_qdrant.runs.settings import WatchSettings
from tsds_qdrant.runs.state import RunState
from tsds_qdrant.runs.vitals import FAILED, Vitals, failure_facts, utc
from tsds_qdrant.selection.results import sample_paths, write_samples

if TYPE_CHECKING:
    from tsds_qdrant.runs.mirrored import Mirrored

LONGEST_PAUSE_S = 600.0
STDERR = 2


@dataclass
class _Owed:
    """What no event has said yet, as what followed it failed.

    Attributes:
        changed: the pool has changed.
        selected: so has what is selected.
    """

    changed: bool = False
    selected: bool = False


def watch(
    state: RunState,
    settings: WatchSettings,
    stop: threading.Event,
    *,
    location: Location | None = None,
    connection: Connection | None = None,
    progress: Progress = silent,
    pause: Callable[[float], Any] | None = None,
    mirrored: Mirrored | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield one event for each check until ``stop`` is set.

    A lost server, or an embedded collection that another process has open, is tried again with
    growing pauses; every other error ends the watch. Where ``settings`` name files of health and
    metrics, these are replaced before the first check and after each one.

    Args:
        state: the run's state; it is held for as long as the watch goes on.
        settings: how to watch.
        stop: ends the watch between two checks, and every wait for a server.
        location: where the collection is now, if it was moved.
        connection: how a server is reached; as the run did by default.
        progress: called as searches go on.
        pause: waits that many seconds, or until stopped; ``stop.wait`` by default.
        mirrored: where the mirror is that is searched in the collection's place.

    Raises:
        StateError: another process holds the state.
        TsdsError: a check failed for good, or the server stayed away too long.
    """
    wait = pause or stop.wait
    failures = 0
    behind = True  # the run may have gone on without our file
    owed = _Owed()
    with state.held():
        vitals = Vitals.of(state, settings)
        while not stop.is_set():
            started = time.perf_counter()
            try:
                reached = _until(stop, state, connection)
                opened = _opened(state, location, reached, mirrored)
                event = _check(state, settings, opened, progress, behind, owed)
                failures, behind = 0, False
                delay = settings.every
            except (TsdsError, OSError) as error:
                if stop.is_set() and not isinstance(error, OSError) and _passing(error) != FAILED:
                    return
                failures, behind = failures + 1, True
                name = _passing(error)
                event = {"event": name, "failures": failures, **failure_facts(error)}
                if name == FAILED or failures == settings.max_failures:
                    with suppress(TsdsError, OSError):
                        vitals.note({**event, "event": FAILED, **_elapsed(started)})
                    raise
                delay = min(settings.every * 2 ** (failures - 1), LONGEST_PAUSE_S)
            event = {"time": utc(time.time()), **event, **_elapsed(started)}
            vitals.note(event)
            yield event
            if settings.once:
                return
            wait(delay)


def _passing(error: Exception) -> str:
    """The event of an error that may pass; ``FAILED`` for others."""
    names = {UnreachableError: "unreachable", CollectionLockedError: "locked"}
    return next((name for kind, name in names.items() if isinstance(error, kind)), FAILED)


def _elapsed(started: float) -> dict[str, float]:
    return {"elapsed": round(time.perf_counter() - started, 3)}


def _until(
    stop: threading.Event, state: RunState, connection: Connection | None
) -> Connection | None:
    """As ``connection`` says, but whoever waits for the server waits until ``stop`` at most."""
    stored = state.fact("collection")
    if stored is None:
        return connection
    patience = reached_as(stored, connection=connection).patience or Patience()
    return replace(connection or Connection(), patience=replace(patience, sleep=stop.wait))


@contextmanager
def _opened(
    state: RunState,
    location: Location | None,
    connection: Connection | None,
    mirrored: Mirrored | None,
) -> Iterator[Collection]:
    """The run's collection, or what its mirror shows of it."""
    with open_of_run(state, location=location, connection=connection) as home:
        if mirrored is None:
            yield home
            return
        with mirrored.opened(state, home, connection) as copy:
            yield copy


def _check(
    state: RunState,
    settings: WatchSettings,
    opened: AbstractContextManager[Collection],
    progress: Progress,
    behind: bool,
    owed: _Owed,
) -> dict[str, Any]:
    def deliver(done: Reselection) -> None:
        changed = bool(done.changes.came or done.changes.gone)
        owed.changed = owed.changed or changed
        paths = [] if settings.out is None else _paths(done, settings.out)
        before = [_digest(path) if path.is_file() else None for path in paths]
        if settings.out and (behind or owed.changed or None in before):
            write_samples(collection, done.selection, settings.out)
        if changed and not owed.selected:
            owed.selected = not done.difference.same_rows or _rewritten(done, paths, before)

    with opened as collection:
        done = reselect(state, collection=collection, deliver=deliver, progress=progress)
    changed, selected = owed.changed, owed.selected
    owed.changed = owed.selected = False
    name = "changed" if changed else "unchanged"
    event = {"event": name, "selection_changed": selected, "run": done.number, **done.run}
    if settings.on_change and selected:
        event["on_change"] = _run(settings.on_change)
    return event


def _paths(done: Reselection, out: Path) -> list[Path]:
    return list(sample_paths(out, tuple(done.selection.samples)).values())


def _rewritten(done: Reselection, paths: list[Path], before: list[bytes | None]) -> bool:
    """Whether payloads of the same sample are others now: by its files, where there were some.

    Without them whatever came may be another one.
    """
    if paths and None not in before:
        return any(_digest(path) != was for path, was in zip(paths, before, strict=True))
    return not set(done.changes.came).isdisjoint(done.selection.selected_ids)


def _digest(path: Path) -> bytes:
    found = hashlib.blake2b(digest_size=16)
    with path.open("rb") as stream:
        for part in iter(partial(stream.read, 1 << 20), b""):
            found.update(part)
    return found.digest()


def _run(command: str) -> int:
    """Run the user's command, its output on stderr, and return its exit code."""
    return subprocess.run(["/bin/sh", "-c", command], stdout=STDERR, check=False).returncode
