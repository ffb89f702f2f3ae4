"""Under which name a run tags the points that it selects, and whether it can."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tsds_qdrant.collections.places import read_only
from tsds_qdrant.collections.reserved import (
    MADE_FIELD,
    PRUNED,
    SEQUENCE_FIELD,
    STAMP_FIELD,
    TAG_FIELD,
)
from tsds_qdrant.collections.values import CollectionInfo
from tsds_qdrant.errors import RequestRejectedError, SettingsError, StateError
from tsds_qdrant.selection.settings import SelectionSettings

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Tagging:
    """Under which name points are tagged, and for which run.

    Attributes:
        name: the tags are at ``tsds.name`` of the payloads.
        run: what stands in a tag; equal selections have the same.
        place: path of the payloads that gets the name too, see :mod:`.beside`; "" for none.
    """

    name: str
    run: str
    place: str = ""

    def __post_init__(self) -> None:
        parts = self.place.split(".")
        if self.place and not all(map(NAME.fullmatch, parts)):
            raise SettingsError(
                f"'{self.place}' is no path for --write-back-key; give fields with dots between "
                f"them, metadata.selected say"
            )
        if parts[0] in (TAG_FIELD, STAMP_FIELD, MADE_FIELD, SEQUENCE_FIELD):
            raise SettingsError(
                f"--write-back-key is '{self.place}', where this package keeps what is its own; "
                f"choose another field"
            )
        if not NAME.fullmatch(self.name):
            raise SettingsError(
                f"'{self.name}' is no name for --write-back; use up to 64 letters, digits, "
                f"'_' and '-'"
            )
        if self.name == PRUNED:
            raise SettingsError(
                f"'{PRUNED}' is the name of the tags of points that were pruned for good; choose "
                f"another name for --write-back"
            )

    @classmethod
    def of(
        cls,
        name: str,
        info: CollectionInfo,
        settings: SelectionSettings,
        queries: npt.ArrayLike,
        query_weights: npt.ArrayLike | None = None,
        place: str | None = None,
    ) -> Tagging:
        """The tagging of one selection: its run is a hash of all that it depends on.

        Raises:
            SettingsError: another sign than a letter, digit, ``_`` or ``-`` in ``name``.
            RequestRejectedError: tags could not be found again, see :func:`check_taggable`.
        """
        tagging = cls(name, "", place or "")
        check_taggable(info, tagging)
        basis = [info.name, info.vector, info.metadata.get("identity"), _plain(settings)]
        basis += [] if info.shard_key is None else [info.shard_key]
        text = json.dumps(basis, sort_keys=True, default=str)
        digest = hashlib.blake2b(text.encode(), digest_size=8)
        digest.update(np.ascontiguousarray(queries, dtype=np.float32).tobytes())
        if query_weights is not None:
            digest.update(np.ascontiguousarray(query_weights, dtype=np.float64).tobytes())
        return cls(name, digest.hexdigest(), place or "")

    @property
    def key(self) -> str:
        """Where tags are in a payload, as a path of Qdrant's."""
        return f"{TAG_FIELD}.{self.name}"


def check_taggable(info: CollectionInfo, tagging: Tagging) -> None:
    """Check that tags can be found again.

    Raises:
        RequestRejectedError: strict mode asks for an index that is not there; or it is only read.
    """
    if not info.limits.writes:
        raise RequestRejectedError(
            f"{read_only(info.location, info.name)}, or leave --write-back out"
        )
    needed = {f"{tagging.key}.rank": "an integer", tagging.place: "a keyword"}
    for field, kind in needed.items() if info.tags_need_index else ():
        if field and field not in info.payload_indexes:
            raise RequestRejectedError(
                f"collection '{info.name}' refuses filters without a payload index (strict mode), "
                f"so that tags cannot be found again; create {kind} index on '{field}' first"
            )


def agreed_tagging(path: object, stored: Tagging | None, wanted: Tagging | None) -> Tagging | None:
    """What a selection into an existing state tags; a run that tags goes on with that.

    Raises:
        StateError: under another name than it did.
    """
    if stored and wanted and stored.name != wanted.name:
        raise StateError(
            f"run state '{path}' writes back as '{stored.name}', not '{wanted.name}'; "
            f"use that name, or another --state"
        )
    return wanted or stored


def _plain(settings: SelectionSettings) -> dict[str, Any]:
    """Settings as plain values; those of tsds as they have always been hashed."""
    flat = {name: _value(value) for name, value in settings.flat().items()}
    name = settings.strategy.name
    return flat if name == "tsds" else {"strategy": name, **flat}


def _value(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_value(one) for one in value]
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
