"""A template in pieces: text, and the fields between."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tsds_qdrant.errors import SettingsError

_PIECE = re.compile(r"(?P<brace>\{\{|\}\})|\{(?P<field>[^{}]+)\}|(?P<stray>[{}])")


@dataclass(frozen=True)
class Slot:
    """Text, then a field; ``path`` None is text alone."""

    literal: str
    path: str | None = None
    optional: bool = False


def slots_of(template: str) -> tuple[Slot, ...]:
    """The pieces of ``template``, ``"{title}: {body?}"`` say, in order.

    Raises:
        SettingsError: it has no field, or a stray brace.
    """
    slots: list[Slot] = []
    literal, start = "", 0
    for match in _PIECE.finditer(template):
        literal += template[start : match.start()]
        start = match.end()
        if match["stray"]:
            raise SettingsError(
                f"the template '{template}' has a stray '{match['stray']}' at character "
                f"{match.start() + 1}; write fields as {{name}} and plain braces as {{{{ and }}}}"
            )
        if match["brace"]:
            literal += match["brace"][0]
            continue
        path = match["field"]
        optional = path.endswith("?") and path != "?"
        slots.append(Slot(literal, path.removesuffix("?") if optional else path, optional))
        literal = ""
    if not slots:
        raise SettingsError(f"the template '{template}' has no field; write one as {{name}}")
    literal += template[start:]
    return (*slots, Slot(literal)) if literal else tuple(slots)
