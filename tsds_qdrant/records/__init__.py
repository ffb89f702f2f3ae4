"""Records and vectors of files: reading them, their text and their ids."""

from __future__ import annotations

from tsds_qdrant.records.identity import record_id
from tsds_qdrant.records.memory import InMemory, Source
from tsds_qdrant.records.reading import count_records, read_entries, read_records
from tsds_qdrant.records.template import TextTemplate
from tsds_qdrant.records.vectors import load_vectors, naming_file

__all__ = [
    "InMemory",
    "Source",
    "TextTemplate",
    "count_records",
    "load_vectors",
    "naming_file",
    "read_entries",
    "read_records",
    "record_id",
]
