"""Random records, and files of records, packed and refused."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import zstandard
from hypothesis import strategies as st

from tsds_qdrant.errors import BadRecordError, InputError
from tsds_qdrant.records import read_records
from tsds_qdrant.records.entries import Findings

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
RECORDS = st.lists(st.dictionaries(TEXT, VALUES, max_size=4), min_size=1, max_size=5)


def packed(raw: bytes, compression: str) -> bytes:
    if compression == ".gz":
        return gzip.compress(raw, mtime=0)
    return zstandard.ZstdCompressor().compress(raw) if compression == ".zst" else raw


def written(path: Path, text: str | bytes) -> Path:
    raw = text.encode() if isinstance(text, str) else text
    path.write_bytes(packed(raw, path.suffix))
    return path


def refusal(path: Path | str) -> str:
    with pytest.raises(InputError) as caught:
        list(read_records(path))
    message = str(caught.value)
    assert "\n" not in message
    return message


class Noted(Findings):
    """Takes note of bad records and reads on."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []

    def bad(self, error: BadRecordError) -> None:
        self.rejected += 1
        self.faults.append(str(error))
