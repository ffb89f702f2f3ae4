"""The command line, run inside this process, and the rows of the files that it writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from tsds_qdrant.cli import app
from tsds_qdrant.representations import in_use


def run(*words: object, code: int = 0, **environment: str | None) -> Result:
    """What ``tsds-qdrant`` answers to ``words``; it has to end with the exit code ``code``."""
    in_use._LAST.clear()  # as in a process of its own
    result = CliRunner().invoke(app, [str(word) for word in words], env=environment)
    assert result.exit_code == code, result.output
    return result


def rows_of(path: str | Path) -> list[dict[str, Any]]:
    """The rows of a file of JSON lines."""
    # Not by splitlines: texts may hold separators of Unicode.
    return [json.loads(line) for line in Path(path).read_bytes().split(b"\n") if line]
