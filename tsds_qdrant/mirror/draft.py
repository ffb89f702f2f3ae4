"""The draft of a mirror: made aside, gone on with after a kill, and put in place when it is whole.

``DIR/.mirror-NAME-HASH`` holds the collection that is being made and ``progress.json``, which says
how far that is. Nobody who looks for collections in DIR sees it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tsds_qdrant.collections.edge.locks import alone
from tsds_qdrant.collections.names import checked_name
from tsds_qdrant.mirror.swapping import put_in_place, stepped_back

PROGRESS = "progress.json"


class Draft:
    """The draft of the mirror ``name`` in ``directory``."""

    def __init__(self, directory: Path, name: str) -> None:
        digest = hashlib.sha256(checked_name(name).encode()).hexdigest()[:8]
        self.name = name
        self.folder = directory / f".mirror-{name[:50]}-{digest}"
        self.shard = self.folder / name
        self.target = directory / name

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep everybody else from making the same mirror.

        Raises:
            CollectionLockedError: somebody does.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        refusal = (
            f"the mirror '{self.target}' is being made by another process; wait until that has "
            f"ended, then run the same command again"
        )
        with alone(self.folder, refusal):
            try:
                yield
            finally:
                with suppress(OSError):  # it is gone, or holds a draft to go on with
                    self.folder.rmdir()

    def recovered(self) -> None:
        """Put back the mirror that a killed run had put aside."""
        stepped_back(self.shard, self.target)

    def progress(self) -> dict[str, Any]:
        """How far the draft is; nothing where none was begun."""
        try:
            found = json.loads((self.folder / PROGRESS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) and self.shard.is_dir() else {}

    def note(self, progress: Mapping[str, Any]) -> None:
        """Remember how far it is."""
        temporary = self.folder / f"{PROGRESS}.tmp"
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(progress, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.folder / PROGRESS)

    def clear(self) -> None:
        """Throw away all that the draft holds."""
        (self.folder / PROGRESS).unlink(missing_ok=True)
        for entry in self.folder.iterdir() if self.folder.is_dir() else ():
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def put_in_place(self) -> None:
        """Let the draft be the mirror, and throw away what was the mirror before."""
        put_in_place(self.shard, self.target)
        self.remove()

    def remove(self) -> None:
        """Leave nothing of the draft."""
        self.clear()
        if self.folder.is_dir():
            self.folder.rmdir()
