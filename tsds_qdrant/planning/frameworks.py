"""What payloads say of the framework that made them, as far as it matters here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tsds_qdrant.collections.addresses import is_server
from tsds_qdrant.collections.values import CollectionInfo
from tsds_qdrant.pool.orderable import kind_of
from tsds_qdrant.records.fields import field_values

CHANGED = (
    *("updated_at", "updatedat", "updated", "modified_at", "modifiedat", "modified"),
    *("last_modified", "last_modified_at", "last_modified_date", "last_updated", "lastmodified"),
)
"""Names of fields, in small letters, that say when a point was changed."""
REPLACED = (("_node_content", "ref_doc_id"), ("data", "hash", "created_at"))
"""Fields of points that their framework replaces in place: LlamaIndex's, and mem0's."""
COPIED = ("content", "meta", "id")
"""Fields of Haystack's points, whose other fields become metadata of the documents it reads."""


def framework_notes(
    info: CollectionInfo, fields: Sequence[str], payloads: Sequence[Mapping[str, Any]]
) -> tuple[str, ...]:
    """Sentences on changes in place, and on what a tag would become.

    Args:
        info: of the collection.
        fields: paths of its payload fields.
        payloads: some that were looked at.
    """
    notes = []
    dates = [path for path in fields if path.rpartition(".")[2].lower() in CHANGED]
    field = next((path for path in dates if _kind(path, payloads)), None)
    replaced = any(all(name in one for name in names) for one in payloads for names in REPLACED)
    if field is not None:
        index = ""
        if is_server(info.location) and field not in info.payload_indexes:
            index = f" (with a {_kind(field, payloads)} index on it)"
        notes.append(
            f"'{field}' says when a point was changed, so points may change in place: a run that "
            f"is to follow them takes --since-field {field}{index}, or --detect-updates."
        )
    elif replaced:
        notes.append(
            "points like these are replaced in place by the framework that made them: a run that "
            "is to follow them takes --detect-updates."
        )
    if any(_is_copied(one) for one in payloads):
        notes.append(
            "payloads are like those of Haystack, which copies all fields into the documents that "
            "it reads: a document that is written again while it has a tag of --write-back keeps "
            "that as 'meta.tsds' for ever; leave --write-back out (--out FILE.ids gives the ids), "
            "or write back into a copy."
        )
    return tuple(notes)


def _kind(path: str, payloads: Sequence[Mapping[str, Any]]) -> str | None:
    return kind_of(value for one in payloads for value in field_values(one, path))


def _is_copied(payload: Mapping[str, Any]) -> bool:
    return all(name in payload for name in COPIED) and isinstance(payload["meta"], Mapping)
