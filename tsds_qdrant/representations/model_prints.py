"""Which weights a name means here and now, without loading them."""

from __future__ import annotations

from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tsds_qdrant.representations.model_names import directory_of, means_path

MOST_FILES = 1_000
OWNER = "sentence-transformers"
"""Whose models the hub means where a name has no slash."""


def model_print(name: str) -> list[Any] | None:
    """What changes whenever the model ``name`` does; None where that cannot be known.

    Of a directory, and of the hub's copy on this machine: paths, sizes and times of its files.
    """
    directory = directory_of(name) or _hub_copy(name)
    if directory is None:
        return None
    with suppress(OSError):
        files = sorted(path for path in directory.rglob("*") if path.is_file())
        if 0 < len(files) <= MOST_FILES:
            stats = [(path, path.stat()) for path in files]
            found = [
                [str(path.relative_to(directory)), stat.st_size, stat.st_mtime_ns]
                for path, stat in stats
            ]
            return [version("sentence-transformers"), found]
    return None


def _hub_copy(name: str) -> Path | None:
    """The hub's model on this machine, of the revision that is loaded without asking the hub."""
    if means_path(name):
        return None
    with suppress(ImportError, ValueError):
        from huggingface_hub import try_to_load_from_cache

        for known_as in (name, f"{OWNER}/{name}"):
            found = try_to_load_from_cache(known_as, "config.json")
            if isinstance(found, str):
                return Path(found).parent
    return None
