"""Directories from texts."""

from __future__ import annotations

from pathlib import Path

from tsds_qdrant.errors import SettingsError


def directory_of(text: str, flag: str) -> Path:
    """The directory of that name, which ``flag`` gives.

    Raises:
        SettingsError: the name is empty.
    """
    if not text.strip():
        raise SettingsError(f"{flag} is empty; give a directory")
    return Path(text)
