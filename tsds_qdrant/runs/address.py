"""Where the collection of a run is, and whether it is still the same one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from tsds_qdrant.collections import (
    collection_exists,
    open_collection,
    remembered_location,
)
from tsds_qdrant.collections.addresses import is_server
from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import CollectionInfo
from tsds_qdrant.errors import CollectionMismatchError, CollectionNotFoundError, StateError
from tsds_qdrant.mirror.facts import Facts
from tsds_qdrant.paths import Location
from tsds_qdrant.representations.model_names import same_model
from tsds_qdrant.represented.marks import all_kept, described
from tsds_qdrant.runs.state import RunState

IDENTITY = ("name", "vector", "dimension", "metric", "shard_key", "alias_of")
REACHED_BY = ("location", "reached", "grpc_port")
"""How a collection is reached, which may change while it stays the same."""


def identity_of(info: CollectionInfo) -> dict[str, Any]:
    """What must stay the same for a run to go on, and how the collection is reached.

    ``info`` is that of :func:`~tsds_qdrant.represented.marks.described`.
    """
    kept = all_kept(info).get(info.vector)
    return {
        "location": remembered_location(info.location),
        **{name: getattr(info, name) for name in IDENTITY},
        "model": info.metadata.get("model"),
        "made": None if kept is None else kept.fingerprint,
        "identity": info.metadata.get("identity"),
        "reached": dict(info.reached),
    }


def check_read(info: CollectionInfo, stored: Mapping[str, Any]) -> None:
    """Check that what the run selected can be read in ``info``: its collection, or a mirror of it.

    A mirror has neither aliases nor shard keys, and remembers those of its source.

    Raises:
        CollectionMismatchError: see :func:`check_identity`.
    """
    facts = Facts.of(info)
    if facts is not None:
        theirs = {name: getattr(facts.source, name) for name in ("shard_key", "alias_of")}
        given = {name: one for name, one in theirs.items() if stored.get(name) is not None}
        info = replace(info, **given)
    check_identity(info, stored)


def check_identity(info: CollectionInfo, stored: Mapping[str, Any]) -> None:
    """Check that ``info`` is the collection of the run.

    Raises:
        CollectionMismatchError: the message says what differs.
    """
    now = identity_of(info)
    known = bool(now["identity"]) and now["identity"] == stored.get("identity")
    _check_alias(now, stored, same=known)
    for name, value in stored.items():
        if name in (*REACHED_BY, "alias_of") or now[name] == value:
            continue
        if name == "made":
            raise CollectionMismatchError(
                f"the vectors {info.named} of collection '{info.name}' were made otherwise "
                f"since the run; select again with --state"
            )
        if name == "identity":
            raise CollectionMismatchError(
                f"collection '{info.name}' was made again since the run, or is another one of that "
                f"name; select again with --state"
            )
        # The model of one and the same collection is another name for the same one.
        if name == "model" and (known or (value and now[name] and same_model(value, now[name]))):
            continue
        raise CollectionMismatchError(
            f"{name.replace('_', ' ')} of collection '{info.name}' is '{now[name]}', in the run it "
            f"was '{value}'; select again with --state"
        )


def _check_alias(now: Mapping[str, Any], stored: Mapping[str, Any], *, same: bool) -> None:
    """Check that the name of the run's collection stands for the same one, or for the same points.

    Raises:
        CollectionMismatchError: it is an alias that was moved.
    """
    name, before, target = now["name"], stored.get("alias_of"), now["alias_of"]
    if "alias_of" not in stored or same or before == target:
        return
    if before is None:
        what = f"'{name}' was a collection in the run, and is an alias of collection '{target}' now"
    elif target is None:
        what = f"'{name}' was an alias of collection '{before}' in the run, and is none now"
    else:
        what = (
            f"alias '{name}' pointed to collection '{before}' in the run, and points to "
            f"'{target}' now"
        )
    raise CollectionMismatchError(f"{what}; point it back, or select again with --state")


def reached_as(
    stored: Mapping[str, Any],
    *,
    location: Location | None = None,
    connection: Connection | None = None,
) -> Connection:
    """How a run reaches its collection of the facts ``stored``, but for what ``connection`` says.

    At another ``location`` the nodes that it remembers are none. An older run keeps the port of
    gRPC alone.
    """
    remembered = Connection.of({"grpc_port": stored.get("grpc_port"), **stored.get("reached", {})})
    if location is not None:
        remembered = remembered.elsewhere(os.fspath(location))
    return (connection or Connection()).over(remembered)


def open_of_run(
    state: RunState | str | Path,
    *,
    location: Location | None = None,
    connection: Connection | None = None,
) -> Collection:
    """Open the collection of the run in ``state``, as the run did; nothing else of it is read.

    Args:
        state: the run.
        location: where the collection is now, if it was moved.
        connection: how a server is reached, where that is not as the run did.

    Raises:
        StateError: the state holds no run.
        CollectionNotFoundError: the collection is gone; the message says where it was looked for.
        CollectionMismatchError: ``location`` has another collection of that name.
    """
    state = state if isinstance(state, RunState) else RunState(state)
    stored = state.fact("collection")
    if stored is None:
        raise StateError(f"run state '{state.path}' is empty; select again with --state")
    reached = reached_as(stored, location=location, connection=connection)
    if location is not None:
        return _opened(stored, location, reached, checked=True)
    if is_server(stored["location"]):
        return _opened(stored, stored["location"], reached)
    places = _places(state, stored["location"])
    there = [place for place in places if collection_exists(place, stored["name"])]
    for place in there[:-1]:
        with suppress(CollectionMismatchError):  # it has another one of that name
            return _opened(stored, place, reached, checked=True)
    if there:
        return _opened(stored, there[-1], reached)
    looked = " nor in ".join(f"'{place}'" for place in places)
    was = f"was kept in '{stored['location']}' and " if len(places) > 1 else ""
    raise CollectionNotFoundError(
        f"collection '{stored['name']}' of run '{state.path}' {was}is {_not(places)}in {looked}; "
        f"give the place where it is now with --qdrant"
    )


def _not(places: list[str]) -> str:
    return "neither " if len(places) > 1 else "no longer "


def _places(state: RunState, location: str) -> list[str]:
    """Where a location may be: a relative one, of older states, by here or by the state."""
    folders = (Path.cwd(), state.path.absolute().parent)
    return list(dict.fromkeys(remembered_location(str(one / location)) for one in folders))


def _opened(
    stored: Mapping[str, Any], location: Location, connection: Connection, *, checked: bool = False
) -> Collection:
    opened = open_collection(
        location, stored["name"], vector=stored["vector"], connection=connection
    )
    try:
        if checked:
            check_read(described(opened), stored)
    except BaseException:
        opened.close()
        raise
    return opened
