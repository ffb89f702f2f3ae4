"""Where the collection of a run is, and whether it is still the same one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tsds_qdrant.collections import GRPC_PORT, open_collection
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import CollectionInfo
from tsds_qdrant.errors import CollectionMismatchError, StateError
from tsds_qdrant.runs.state import RunState

IDENTITY = ("location", "name", "vector", "dimension", "metric")
REACHED_BY = ("location", "grpc_port")
"""How a collection is reached, which may change while it stays the same."""


def identity_of(info: CollectionInfo) -> dict[str, Any]:
    """What must stay the same for a run to go on, and how the collection is reached."""
    return {
        **{name: getattr(info, name) for name in IDENTITY},
        "model": info.metadata.get("model"),
        "identity": info.metadata.get("identity"),
        "grpc_port": info.grpc_port,
    }


def check_identity(info: CollectionInfo, stored: Mapping[str, Any]) -> None:
    """Check that ``info`` is the collection of the run.

    Raises:
        CollectionMismatchError: the message says what differs.
    """
    now = identity_of(info)
    for name, value in stored.items():
        if name in REACHED_BY or now[name] == value:
            continue
        if name == "identity":
            raise CollectionMismatchError(
                f"collection '{info.name}' was made again since the run; select again with --state"
            )
        raise CollectionMismatchError(
            f"{name} of collection '{info.name}' is '{now[name]}', in the run it was '{value}'; "
            f"select again with --state"
        )


def open_of_run(state: RunState | str | Path, *, api_key: str | None = None) -> Collection:
    """Open the collection of the run in ``state``, as the run did; nothing else of it is read.

    Raises:
        StateError: the state holds no run.
        CollectionNotFoundError: the collection is gone.
    """
    state = state if isinstance(state, RunState) else RunState(state)
    place = state.fact("collection")
    if place is None:
        raise StateError(f"run state '{state.path}' is empty; select again with --state")
    port = place.get("grpc_port")
    return open_collection(
        place["location"],
        place["name"],
        vector=place["vector"],
        api_key=api_key,
        grpc=port is not None,
        grpc_port=port or GRPC_PORT,
    )
