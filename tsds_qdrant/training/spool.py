"""Rows put aside on disk, to be read again by number in any order."""

from __future__ import annotations

import json
import tempfile
from array import array
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any


class Spool:
    """A temporary file of JSON lines that knows where each begins.

    Args:
        directory: where the file lies, the system's place for such files if None; it has no name
            there and vanishes with the process.
    """

    def __init__(self, directory: Path | None) -> None:
        self._file = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115  # closed by __exit__
        self._starts = array("Q", [0])

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._starts) - 1

    def append(self, row: Mapping[str, Any]) -> None:
        """Put ``row`` aside as the next number."""
        line = json.dumps(row, allow_nan=False).encode("ascii")
        self._file.seek(self._starts[-1])
        self._file.write(line)
        self._starts.append(self._starts[-1] + len(line))

    def __getitem__(self, number: int) -> dict[str, Any]:
        start, end = self._starts[number], self._starts[number + 1]
        self._file.seek(start)
        row: dict[str, Any] = json.loads(self._file.read(end - start))
        return row
