"""Outputs that are no files: standard output (``-``), devices, pipes.

Such an output is written as it comes, and has nothing beside it.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from tsds_qdrant.errors import OutputError
from tsds_qdrant.paths import Location

STDOUT = "-"
NOWHERE = "/dev/null"
_COPIED = 1 << 20
_NUMBERS = {STDOUT: 1, "/dev/stdout": 1, "/dev/stderr": 2}
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d+)")


def is_stream(path: Location) -> bool:
    """Whether ``path`` is standard output, a device or a pipe.

    *subtle*: ``/dev/stdout`` is one even where it leads to a regular file, which the shell holds
    open: a new file in its place would not be the shell's.
    """
    text = str(path)
    if _descriptor_of(text) is not None:
        return True
    try:
        mode = Path(text).stat().st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def is_stdout(path: Location) -> bool:
    """Whether ``path`` is standard output."""
    return _descriptor_of(str(path)) == 1


def shown_output(path: Location) -> str:
    """``path`` as a message calls it."""
    return "standard output" if is_stdout(path) else str(path)


def check_stream(path: Location, *, binary: bool = False) -> None:
    """Check, before long work, that :func:`stream_to` can write to ``path``.

    Raises:
        OutputError: it cannot, or ``binary`` content would go to a terminal.
    """
    text, number = str(path), _descriptor_of(str(path))
    try:
        mode = (Path(text).stat() if number is None else os.fstat(number)).st_mode
    except OSError as error:
        raise OutputError(f"'{text}' cannot be written ({error.strerror}); name another") from None
    if number is None and (stat.S_ISBLK(mode) or stat.S_ISSOCK(mode)):
        raise OutputError(f"'{text}' is a disk or a socket; name a file or a pipe")
    if number is None and not os.access(text, os.W_OK):
        raise OutputError(f"'{text}' is not writable; name another, or change its permissions")
    if binary and stat.S_ISCHR(mode) and _is_terminal(text, number):
        raise OutputError(
            f"{shown_output(text)} is a terminal, which cannot show such bytes; write to a file or "
            f"a pipe, or as jsonl"
        )


@contextmanager
def stream_to(path: Location) -> Iterator[BinaryIO]:
    """Give what writes to the stream ``path`` at once.

    Raises:
        BrokenPipeError: whoever reads has gone.
        OSError: the device is full or broken.
    """
    number = _descriptor_of(str(path))
    if number == 1:
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    # A descriptor goes on where it is, even in a regular file; opened again it would begin again.
    with Path(path).open("wb") if number is None else os.fdopen(os.dup(number), "wb") as stream:
        yield stream


@contextmanager
def fitting(stream: BinaryIO, path: Location, *, jumps: bool = True) -> Iterator[BinaryIO]:
    """Give what a format that ``jumps`` back and forth can write to: ``stream``, or for now a file.

    Where ``path`` is a stream, a temporary file is written and then copied to ``stream``.
    """
    if not (jumps and is_stream(path)):
        yield stream
        return
    with tempfile.TemporaryFile() as spool:
        yield cast(BinaryIO, spool)
        spool.seek(0)
        while chunk := spool.read(_COPIED):
            stream.write(chunk)


def _descriptor_of(text: str) -> int | None:
    """The number of the open descriptor that ``text`` names; None where it names none."""
    if found := _DESCRIPTOR.fullmatch(text):
        return int(found[1])
    return _NUMBERS.get(text)


def _is_terminal(text: str, number: int | None) -> bool:
    if number == 1:
        return sys.stdout.isatty()
    if number is not None:
        return os.isatty(number)
    descriptor = os.open(text, os.O_WRONLY | getattr(os, "O_NOCTTY", 0))
    try:
        return os.isatty(descriptor)
    finally:
        os.close(descriptor)
