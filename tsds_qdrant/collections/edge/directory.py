"""How embedded collections lie on disk: ``LOCATION/NAME`` is the directory of one shard.

The engine keeps its own ``edge_config.json`` there; ``tsds.json`` beside it holds what ``ingest``
wants to remember (model, text field, ..).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tsds_qdrant.collections.edge.failures import damaged_file
from tsds_qdrant.collections.names import checked_name
from tsds_qdrant.collections.places import SHARD_FILE, not_found
from tsds_qdrant.collections.refusals import Place
from tsds_qdrant.errors import CollectionError
from tsds_qdrant.paths import expanded

CONFIG_FILE = SHARD_FILE
METADATA_FILE = "tsds.json"
SEGMENTS = "segments"


def shard_path(location: str, name: str) -> Path:
    """The directory of collection ``name``.

    Raises:
        SettingsError: a name that is no plain file name.
    """
    return expanded(location) / checked_name(name)


def has_segments(directory: Path) -> bool:
    """Whether ``directory`` holds a segment, with its settings beside it or without."""
    return any((directory / SEGMENTS).glob("*/*"))


def read_config(location: str, name: str) -> dict[str, Any]:
    """The engine's own configuration of the collection.

    Raises:
        CollectionNotFoundError: there is no shard; the message names those that exist.
        DamagedCollectionError: its configuration is missing, or cannot be read.
    """
    directory = shard_path(location, name)
    file = directory / CONFIG_FILE
    if not file.is_file():
        if has_segments(directory):
            raise damaged_file(f"'{file}' is missing", Place(location, name))
        raise not_found(location, name)
    return read_object(file)


def read_metadata(directory: Path) -> dict[str, Any]:
    """What :func:`write_metadata` stored, or nothing.

    Raises:
        DamagedCollectionError: it cannot be read.
    """
    file = directory / METADATA_FILE
    if not file.exists():
        return {}
    return read_object(file)


def check_location(location: str, flag: str = "--qdrant") -> None:
    """Check that a collection can be made below ``location``, which ``flag`` names.

    Raises:
        CollectionError: a file is in the way, or the place is not writable.
    """
    place = Path(location).absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        raise CollectionError(f"'{place}' is a file; give {flag} a directory")
    if not os.access(place, os.W_OK | os.X_OK):
        raise CollectionError(f"the directory '{place}' is not writable; choose another {flag}")


def read_object(file: Path) -> dict[str, Any]:
    """The JSON object in ``file`` of a collection's directory.

    Raises:
        DamagedCollectionError: it holds none.
        CollectionError: it may not be read.
    """
    place = Place(str(file.parent.parent), file.parent.name)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CollectionError(
            f"'{file}' cannot be read ({error.strerror}); check who may read it"
        ) from error
    except (ValueError, RecursionError) as error:
        raise damaged_file(f"'{file}': {error}", place) from error
    if not isinstance(content, dict):
        raise damaged_file(f"'{file}' holds no JSON object", place)
    return content


def write_metadata(directory: Path, metadata: Mapping[str, Any]) -> None:
    """Replace the metadata in one step."""
    file = directory / METADATA_FILE
    draft = file.with_suffix(f".{os.getpid()}.tmp")
    try:
        draft.write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")
        draft.replace(file)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
