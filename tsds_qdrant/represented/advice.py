"""The command that makes a representation, or makes it again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import MISSING, fields
from typing import Any

from tsds_qdrant.collections.addresses import is_server
from tsds_qdrant.collections.values import CollectionInfo
from tsds_qdrant.representations import catalog
from tsds_qdrant.represented.marks import Kept
from tsds_qdrant.settings.fields import FLAG


def represent_command(info: CollectionInfo, name: str, kept: Kept, *, again: bool = False) -> str:
    """The command that makes what is missing of representation ``name``, as it was made before."""
    words = ["tsds-qdrant", "represent", kept.kind, "--qdrant", info.location]
    words += ["--collection", info.name]
    if kept.kind in catalog.KINDS:
        words += _flags(catalog.KINDS[kept.kind], {**kept.settings, "name": name})
    text = kept.manifest.get("text") or {}
    own = {} if text == info.metadata.get("text") else text
    words += ["--text-field", own["text_field"]] if "text_field" in own else []
    words += ["--template", _escaped(own["template"])] if "template" in own else []
    if fields_of := text.get("fields"):
        words += ["--map", ",".join(f"{part}={field}" for part, field in fields_of.items())]
    words += ["--again"] if again else []
    words += ["--write"] if is_server(info.location) else []
    return shlex.join(words)


def _flags(settings: type, kept: dict[str, Any]) -> Iterator[str]:
    """The flags of ``settings`` that give the values ``kept``, but for defaults."""
    for one in fields(settings):
        flag, value = one.metadata.get(FLAG), kept.get(one.name)
        default = one.default
        if default is MISSING and one.default_factory is not MISSING:
            default = one.default_factory()
        if flag is None or value is None or _bare(value) == _bare(default):
            continue
        if one.name == "name" and value == settings.kind:  # type: ignore[attr-defined]
            continue
        spelled = flag.name or "--" + one.name.replace("_", "-")
        on, _, off = (part.strip() for part in spelled.partition("/"))
        if isinstance(value, bool):
            yield on if value else off
            continue
        for text in value if flag.repeated else [value]:
            yield from (on, _spelled(text))


def _spelled(value: Any) -> str:
    return ",".join(map(_spelled, value)) if isinstance(value, list | tuple) else str(value)


def _bare(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _escaped(template: str) -> str:
    r"""``template`` as a command line has it, where ``\n`` means a new line."""
    return template.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")
