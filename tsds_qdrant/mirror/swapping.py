"""Two directories that trade places, in one step where the system has one.

Linux has (``renameat2`` with RENAME_EXCHANGE). Elsewhere the old one steps aside first: whoever is
killed between the two steps leaves it under another name, and :func:`stepped_back` puts it back.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

AT_FDCWD, RENAME_EXCHANGE = -100, 2
ASIDE = ".before"


def put_in_place(made: Path, target: Path) -> None:
    """Put the directory ``made`` in the place of ``target``, which goes where ``made`` was."""
    if not target.exists():
        made.rename(target)
    elif not exchanged(made, target):
        aside = made.with_name(made.name + ASIDE)
        target.rename(aside)
        made.rename(target)
        aside.rename(made)


def stepped_back(made: Path, target: Path) -> None:
    """Put back what stepped aside for ``made`` and found nobody in its place."""
    aside = made.with_name(made.name + ASIDE)
    if aside.exists() and not target.exists():
        aside.rename(target)


def exchanged(one: Path, other: Path) -> bool:
    """Whether both traded places; False where the system, or the disk, cannot do that."""
    if sys.platform != "linux":
        return False
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:  # an older C library
        return False
    names = (os.fsencode(one), os.fsencode(other))
    done: int = rename(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE)
    return done == 0
