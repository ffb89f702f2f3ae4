"""How embedded collections lie on disk: ``LOCATION/NAME`` is the directory of one shard.

The engine keeps its own ``edge_config.json`` there; ``tsds.json`` beside it holds what ``ingest``
wants to remember (model, text field, ..).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tsds_qdrant.errors import (
    CollectionError,
    CollectionNotFoundError,
    SettingsError,
)

CONFIG_FILE = "edge_config.json"
METADATA_FILE = "tsds.json"


def shard_path(location: str, name: str) -> Path:
    """The directory of collection ``name``.

    Raises:
        SettingsError: a name that is no plain file name.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_. -]{0,200}", name):
        raise SettingsError(
            f"'{name}' cannot name a collection; use letters, digits, '-', '_' and '.'"
        )
    return Path(location) / name


def collection_names(location: str) -> list[str]:
    """Names of the collections below ``location``, sorted; none if it does not exist."""
    return sorted(path.parent.name for path in Path(location).glob(f"*/{CONFIG_FILE}"))


def read_config(location: str, name: str) -> dict[str, Any]:
    """The engine's own configuration of the collection.

    Raises:
        CollectionNotFoundError: there is no shard; the message names those that exist.
    """
    file = shard_path(location, name) / CONFIG_FILE
    if not file.is_file():
        names = collection_names(location)
        known = f"it holds {', '.join(names)}" if names else "it holds none"
        raise CollectionNotFoundError(
            f"no collection '{name}' in {location} ({known}); "
            f"check --qdrant and --collection, or make it with 'tsds-qdrant ingest'"
        )
    return _read_json(file)


def read_metadata(directory: Path) -> dict[str, Any]:
    """What :func:`write_metadata` stored, or nothing."""
    file = directory / METADATA_FILE
    if not file.exists():
        return {}
    return _read_json(file)


def check_location(location: str) -> None:
    """Check that a collection can be made below ``location``.

    Raises:
        CollectionError: a file is in the way, or the place is not writable.
    """
    place = Path(location).absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        raise CollectionError(f"'{place}' is a file; give --qdrant a directory")
    if not os.access(place, os.W_OK | os.X_OK):
        raise CollectionError(f"the directory '{place}' is not writable; choose another --qdrant")


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CollectionError(
            f"'{file}' cannot be read ({error}); restore the collection from a copy, or ingest "
            f"again"
        ) from error
    return content


def write_metadata(directory: Path, metadata: Mapping[str, Any]) -> None:
    """Replace the metadata in one step."""
    file = directory / METADATA_FILE
    draft = file.with_suffix(f".{os.getpid()}.tmp")
    draft.write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")
    draft.replace(file)
