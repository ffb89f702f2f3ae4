"""Pictures, videos and sounds of a dialogue: parts of a content, or tokens beside columns."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from tsds_qdrant.records.dialogue import MEDIA, first_of
from tsds_qdrant.records.examples import Example, Message, UnfitError
from tsds_qdrant.records.fields import shown
from tsds_qdrant.records.messages import is_medium

COLUMNS: Mapping[str, str] = MappingProxyType(
    {"image": "images", "video": "videos", "audio": "audios"}
)
"""Kind of a medium -> the column that holds all of that kind."""
KINDS: Mapping[str, str] = MappingProxyType({column: kind for kind, column in COLUMNS.items()})
NO_MEDIA: Mapping[str, list[Any]] = MappingProxyType({column: [] for column in KINDS})
_TOKEN = re.compile(f"<({'|'.join(COLUMNS)})>")
_SOURCES = (
    *("path", "url", "file", "image", "video", "audio", "image_url", "video_url", "audio_url"),
    *("base64", "data", "input_audio", "input_image", "input_video"),
)
_NO_FILE = ("http://", "https://", "data:")


def shown_in(
    form: str, example: Example, *, parts: bool
) -> tuple[tuple[Message, ...], dict[str, list[Any]]]:
    """The messages of ``example`` in a form of chats, and the media that stay in columns.

    With ``parts`` all contents are lists of parts. A token such as ``<image>`` becomes a part of
    its own, if the payload holds as many media as there are places for them; in ``axolotl`` each
    then says where its medium is, and the column is not needed.
    """
    if not parts:
        return example.messages, {}
    whole = {kind for kind, (places, there) in _places(example).items() if places == there}
    messages = tuple(
        {**message, "content": [*_parts(message["content"], whole)]} for message in example.messages
    )
    if form != "axolotl":
        return messages, dict(example.media)
    queues = {kind: deque(example.media.get(COLUMNS[kind], ())) for kind in whole}
    left = {column: held for column, held in example.media.items() if KINDS[column] not in whole}
    return (
        tuple({**m, "content": [_filled(part, queues) for part in m["content"]]} for m in messages),
        left,
    )


def check_places(example: Example) -> None:
    """Check that there are as many places for media as media, if there are places.

    Raises:
        UnfitError: there are more, or fewer.
    """
    for kind, (places, there) in _places(example).items():
        if places and there and places != there:
            column = COLUMNS[kind]
            raise UnfitError(f"has {places} places for {column} and {there} in '{column}'")


def with_tokens(example: Example) -> tuple[tuple[Message, ...], dict[str, list[Any]]]:
    """Messages whose contents are text, with a token for each medium; and media by column.

    Raises:
        UnfitError: a medium is no file, or there are not as many tokens as media.
    """
    queues = {kind: deque(example.media.get(column, ())) for kind, column in COLUMNS.items()}
    media: dict[str, list[Any]] = {column: [] for column in COLUMNS.values()}
    needed: Counter[str] = Counter()

    def place(kind: str, source: Any, number: int) -> None:
        needed[kind] += 1
        if source is None and queues[kind]:
            source = queues[kind].popleft()
        if source is not None:
            media[COLUMNS[kind]].append(_file(source, kind, number))

    messages = []
    for number, message in enumerate(example.messages, start=1):
        text = ""
        for part in _parts(message["content"], set()):
            kind = MEDIA.get(part["type"])
            if kind is None:
                text += part["text"]
                for token in _TOKEN.findall(part["text"]) if _counted(message) else ():
                    place(token, None, number)
                continue
            source = source_of(part)
            if kind not in COLUMNS or not _counted(message) or "base64" in part:
                raise UnfitError(f"shows {shown(part)} in message {number}, where it has no place")
            if source is not None and not isinstance(source, str):
                raise UnfitError(f"shows {shown(part)} in message {number}, which is no file")
            place(kind, source, number)
            text += f"<{kind}>"
        messages.append({**message, "content": text})
    _check_counts(example, media, needed, queues)
    return tuple(messages), media


def source_of(part: Mapping[str, Any]) -> Any:
    """What a part says about where its medium is; None if it is only a place for one."""
    value = first_of(part, _SOURCES)
    return value.get("url") or value.get("path") or value if isinstance(value, Mapping) else value


def _filled(part: Mapping[str, Any], queues: Mapping[str, deque[Any]]) -> Mapping[str, Any]:
    kind = MEDIA.get(part["type"], "")
    if kind not in queues or source_of(part) is not None or not queues[kind]:
        return part
    return {**part, "path": queues[kind].popleft()}


def _file(source: Any, kind: str, number: int) -> Any:
    inline = isinstance(source, str) and source.startswith(_NO_FILE)
    if inline:
        raise UnfitError(
            f"holds the {kind} {shown(source)} in message {number}; this form holds files alone"
        )
    return source.removeprefix("file://") if isinstance(source, str) else source


def _check_counts(
    example: Example,
    media: Mapping[str, list[Any]],
    needed: Mapping[str, int],
    left: Mapping[str, deque[Any]],
) -> None:
    for kind, column in COLUMNS.items():
        there = len(media[column]) + len(left[kind])
        asked = needed.get(kind, 0)
        # <video> and <audio> are tags of HTML too, so alone they are text.
        if asked != there and (kind == "image" or example.shows_media):
            raise UnfitError(f"has {asked} <{kind}> in its messages and {there} in '{column}'")


def _places(example: Example) -> dict[str, tuple[int, int]]:
    """Kind -> how many places for such media its messages hold, and how many media its column."""
    tokens = Counter(kind for message in example.messages for kind in _tokens(message))
    return {
        kind: (tokens[kind] + _open_parts(example, kind), len(example.media.get(column, ())))
        for kind, column in COLUMNS.items()
    }


def _open_parts(example: Example, kind: str) -> int:
    """How many parts are only a place for a medium of ``kind``."""
    return sum(
        is_medium(part) and MEDIA[part["type"]] == kind and source_of(part) is None
        for message in example.messages
        if isinstance(message["content"], list)
        for part in message["content"]
    )


def _parts(content: str | list[Any], parted: set[str]) -> Iterator[dict[str, Any]]:
    """The parts of a content; tokens of the kinds in ``parted`` are parts of their own."""
    for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
        if is_medium(part):
            yield part
            continue
        start = 0
        for token in _TOKEN.finditer(part["text"]):
            if token[1] in parted:
                if token.start() > start:
                    yield {"type": "text", "text": part["text"][start : token.start()]}
                yield {"type": token[1]}
                start = token.end()
        if start < len(part["text"]) or start == 0:
            yield {"type": "text", "text": part["text"][start:]}


def _tokens(message: Message) -> list[str]:
    if not _counted(message):
        return []
    texts = [part["text"] for part in _parts(message["content"], set()) if not is_medium(part)]
    return [kind for text in texts for kind in _TOKEN.findall(text)]


def _counted(message: Message) -> bool:
    """Whether LLaMA-Factory looks for tokens in a message: not in the system prompt."""
    return message["role"] not in ("system", "developer")
