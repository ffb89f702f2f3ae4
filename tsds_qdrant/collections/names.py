"""Names of embedded collections: what a directory, and a Qdrant server, can be called."""

from __future__ import annotations

import unicodedata

from tsds_qdrant.errors import SettingsError

FORBIDDEN = '<>:"/\\|?*'
"""What a server accepts in no name."""
LONGEST = 255
"""Bytes in the name of a directory."""


def checked_name(name: str) -> str:
    """``name``, composed: an accent is written in one way, whichever way it was typed.

    Raises:
        SettingsError: it cannot name a collection; the message says why.
    """
    composed = unicodedata.normalize("NFC", name)
    problem = _problem(composed)
    if problem:
        raise SettingsError(f"'{_shown(name)}' cannot name a collection: {problem}")
    return composed


def _problem(name: str) -> str:
    """Why ``name`` cannot name a collection, and what to do; "" if it can."""
    if not name.strip():
        return "it is empty; give a name"
    if name in (".", ".."):
        return "it means a directory; give a name"
    if found := next((sign for sign in name if sign in FORBIDDEN), None):
        return f"it holds '{found}'; leave out {' '.join(FORBIDDEN)}"
    if any(unicodedata.category(sign) in ("Cc", "Cs") for sign in name):
        return "it holds a control character, or bytes that are no UTF-8; leave them out"
    if name.startswith("."):
        return "it begins with a dot, as what is only there for a while does; leave that out"
    if name != name.lstrip():
        return "it begins with a space; leave that out"
    size = len(name.encode())
    if size > LONGEST:
        signs = f"{len(name)} characters long"
        bytes_of = "" if size == len(name) else f" ({size} bytes)"
        return f"it is {signs}{bytes_of}, and a directory's name has {LONGEST} bytes at most"
    return ""


def _shown(name: str) -> str:
    signs = name.encode("utf-8", "replace").decode()
    text = "".join(repr(sign)[1:-1] if ord(sign) < ord(" ") else sign for sign in signs)
    return text if len(text) <= 60 else text[:57] + ".."
