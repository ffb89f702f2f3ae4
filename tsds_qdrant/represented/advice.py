"""The commands that make a representation, or the values that come with one, or make it again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import MISSING, fields, replace
from typing import Any

from tsds_qdrant.collections.addresses import is_server
from tsds_qdrant.collections.places import mirror_command, mirror_place
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import CollectionInfo
from tsds_qdrant.representations import catalog
from tsds_qdrant.represented.marks import Kept, all_kept, standing
from tsds_qdrant.settings.fields import FLAG

WITHOUT_PROMPT = ("ifd", "loss_without_prompt")
"""Values of ``represent hidden`` that it gives with ``--without-prompt`` alone."""


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


def first_command(info: CollectionInfo, kind: str, *flags: str) -> str:
    """The command that makes a representation of ``kind`` that the collection has not.

    ``flags`` hold what only the user knows as a word in capitals: ``--model MODEL``. Of what is
    only read a mirror is made before, and is represented.
    """
    server = is_server(info.location)
    mirrored = not (info.limits.writes or server)
    place = mirror_place(info.location) if mirrored else info.location
    words = ["tsds-qdrant", "represent", kind, *flags, "--qdrant", place]
    words += ["--collection", info.name, *(["--write"] if server else [])]
    first = f"{mirror_command(info.location, info.name)} && " if mirrored else ""
    return first + shlex.join(words)


def value_commands(collection: Collection, info: CollectionInfo, path: str) -> list[str]:
    """The commands that make the values that ``represent`` keeps at the payload ``path``, in order.

    They begin with what the values are derived from. Where the representation was made without
    such values, the last one makes it again with them; where it was made of all points, there is
    none, as it would find nothing to do.
    """
    _, name, *inner = path.split(".")
    value, left = ".".join(inner), all_kept(info)
    chain: list[tuple[str, Kept]] = []
    if name not in left:
        if value.startswith("cluster"):
            return [first_command(info, "clusters", "--of", "NAME")]
        alone = ["--without-prompt"] * (value in WITHOUT_PROMPT)
        return [first_command(info, "hidden", "--model", "MODEL", *alone)]
    source: str | None = name
    while source is not None and (kept := left.pop(source, None)) is not None:
        chain.insert(0, (source, kept))
        source = kept.source
    found: list[str] = []
    for one, kept in chain:
        again = value in WITHOUT_PROMPT and not kept.settings.get("without_prompt")
        if again:
            kept = replace(kept, settings={**kept.settings, "without_prompt": True})
        there = None if found or again else standing(collection, one, kept)
        if there is None or there.missing > 0:
            found.append(represent_command(info, one, kept, again=again))
    return found


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
