"""What a directory that ``--qdrant`` names is, and what to give instead where it is another.

Three kinds of directories hold Qdrant collections: those of the embedded engine
(``LOCATION/NAME/edge_config.json``), folders of qdrant-client's local mode (``meta.json`` and
``collection/NAME``), which are only read, and the storage of a server (``collections/NAME/0``),
which is that server's alone.
"""

from __future__ import annotations

import json
import shlex
from contextlib import suppress
from pathlib import Path

from tsds_qdrant.collections.names import checked_name
from tsds_qdrant.errors import CollectionNotFoundError, UnsupportedCollectionError

SHARD_FILE = "edge_config.json"
CLIENT_FILE = "meta.json"
CLIENT_COLLECTIONS = "collection"
CLIENT_POINTS = "storage.sqlite"
FOLDER_HINT = (
    "qdrant-client's local mode loads all of its folder and compares every vector; for repeated "
    "work copy it into a directory with 'tsds-qdrant mirror', which is faster"
)
LISTED = 5
"""Most places and collections that a message names."""


def embedded_names(location: str | Path) -> list[str]:
    """Names of the embedded collections below ``location``, sorted."""
    found = (file.parent.name for file in Path(location).glob(f"*/{SHARD_FILE}"))
    return sorted(name for name in found if not name.startswith("."))


def client_names(location: str | Path) -> list[str] | None:
    """Names of the collections in a folder of qdrant-client, sorted; None if it is none."""
    with suppress(OSError, ValueError, AttributeError, TypeError, KeyError):
        found = json.loads((Path(location) / CLIENT_FILE).read_text(encoding="utf-8"))
        return sorted({*found["collections"].keys(), *found["aliases"].keys()})
    return None


def holds_for_client(location: str | Path, name: str) -> bool:
    """Whether collection ``name`` of ``location`` is, or would be, one of qdrant-client."""
    names = client_names(location)
    if names is None:
        return False
    return name in names or name not in embedded_names(location)


def not_found(location: str, name: str) -> CollectionNotFoundError:
    """The error that there is no collection ``name``, and what there is."""
    advice = _other_place(Path(location))
    if advice:
        return CollectionNotFoundError(f"no collection '{name}' in {location}: {advice}")
    names = sorted({*embedded_names(location), *(client_names(location) or ())})
    known = f"it holds {_listed(names)}" if names else "it holds none"
    if not Path(location).exists():
        known = f"that directory does not exist, seen from {Path.cwd()}"
        if Path(location).is_absolute():
            known = "that directory does not exist"
    return CollectionNotFoundError(
        f"no collection '{name}' in {location} ({known}); "
        f"check --qdrant and --collection, or make it with 'tsds-qdrant ingest'"
    )


def check_new(location: str, name: str, *, instead: str = "") -> None:
    """Check that a collection made at ``location`` does not get into something of another kind.

    ``instead`` is what to do where it does, for those whom no other --qdrant helps.

    Raises:
        SettingsError: ``name`` cannot name one.
        UnsupportedCollectionError: it would.
    """
    place, name = Path(location), checked_name(name)
    if client_names(place) is not None:
        why = f"{only_read(location)}; {instead}" if instead else not_ingested(location)
        raise UnsupportedCollectionError(why)
    what, advice = _inside(place)
    if not what and embedded_names(place / name):
        what = f"'{place / name}' is a directory of collections"
        advice = f"give --qdrant {place / name}"
    if what:
        raise UnsupportedCollectionError(
            f"no collection can be made in {location}: {what}; {instead or advice}"
        )


def only_read(location: str) -> str:
    """That nothing is written to the folder of qdrant-client ``location``."""
    return f"'{location}' is a folder of qdrant-client's local mode, which is only read"


def read_only(location: str, name: str) -> str:
    """The same, and what to do to change its collection ``name``."""
    command = mirror_command(location, name)
    return f"{only_read(location)}; mirror it with '{command}' and work there"


def not_ingested(location: str) -> str:
    """The same, and where to ingest."""
    own = _beside(location, "tsds")
    return f"{only_read(location)}; ingest into a directory of its own, --qdrant {own} say"


def mirror_place(location: str) -> str:
    """The directory that advice takes for the mirror of a collection in ``location``."""
    return _beside(location, "mirror")


def mirror_command(location: str, name: str) -> str:
    """The command that mirrors collection ``name`` of ``location`` there."""
    place = ["--qdrant", location, "--collection", name, "--to", mirror_place(location)]
    return shlex.join(["tsds-qdrant", "mirror", *place])


def _beside(location: str, what: str) -> str:
    return f"{location.rstrip('/')}-{what}"


def _other_place(place: Path) -> str:
    """What to give in the place of ``place``, where that can be seen; else ""."""
    if place.is_file():
        return f"'{place}' is a file; give --qdrant the directory of collections it belongs to"
    return "; ".join(filter(None, _inside(place))) or _above(place)


def _inside(place: Path) -> tuple[str, str]:
    """What ``place`` is where it is a part of what holds collections, and what to give; or ""."""
    place = place.absolute()
    for depth, inner in enumerate((place, place.parent)):
        if (inner / SHARD_FILE).is_file():
            what = "is a collection itself" if not depth else "is a part of a collection"
            return f"'{place}' {what}", f"give --qdrant {inner.parent} --collection {inner.name}"
    for folder in (place.parent, place.parent.parent):
        if client_names(folder) is not None and (folder / CLIENT_COLLECTIONS) in (
            place,
            place.parent,
        ):
            return f"'{place}' is a part of a folder of qdrant-client", f"give --qdrant {folder}"
    storages = [place]
    storages += [inner.parent for inner in (place, place.parent) if inner.name == "collections"]
    return next((_servers_own(one) for one in storages if _is_server_storage(one)), ("", ""))


def _above(place: Path) -> str:
    """What to give where directories of collections lie in ``place``."""
    if embedded_names(place) or client_names(place) is not None:
        return ""
    if _is_server_storage(place / "storage"):
        return "; ".join(_servers_own(place / "storage"))
    below = sorted({file.parent.parent for file in place.glob(f"[!.]*/*/{SHARD_FILE}")})
    below += sorted({f.parent for f in place.glob(f"*/{CLIENT_FILE}") if client_names(f.parent)})
    if not below:
        return ""
    held = ([*embedded_names(one), *(client_names(one) or ())] for one in below)
    found = [f"{one} ({_listed(names)})" for one, names in zip(below, held, strict=True)]
    return f"it holds directories of collections; give --qdrant one of {_listed(found)}"


def _servers_own(storage: Path) -> tuple[str, str]:
    return (
        f"'{storage}' is the storage of a Qdrant server, which reads it alone",
        "give --qdrant the URL of that server, http://localhost:6333 say",
    )


def _is_server_storage(place: Path) -> bool:
    return (place / "raft_state.json").is_file() or any(place.glob("collections/*/0/segments"))


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
