"""Messages as a call needs them: flags become arguments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from tsds_qdrant.errors import TsdsError

_FLAG = re.compile(r"(?<![\w-])--([a-z][a-z-]*)")

_COMMAND = re.compile(r"(tsds-qdrant [^;']*)")


@contextmanager
def arguments_named() -> Iterator[None]:
    """Let errors name the arguments of a call where they name flags of the command line."""
    try:
        yield
    except TsdsError as error:
        if error.args and isinstance(error.args[0], str):
            error.args = (in_python(error.args[0]), *error.args[1:])
        raise


def in_python(message: str) -> str:
    """``message`` with ``text_field`` for ``--text-field``; command lines stay as they are."""
    parts = _COMMAND.split(message)
    parts[::2] = [
        _FLAG.sub(lambda found: str(found[1]).replace("-", "_"), part) for part in parts[::2]
    ]
    return "".join(parts)
