"""The text of a field's value: texts, numbers, lists of texts, messages, parts of a content."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tsds_qdrant.records.dialogue import (
    content_text,
    dialogue_text,
    is_dialogue,
    is_message,
    joined,
    message_text,
)
from tsds_qdrant.records.fields import field_values, shown


class NoTextError(Exception):
    """A field holds something that is no text: what is wrong with the record, and the advice."""

    def __init__(self, fault: str, advice: str) -> None:
        super().__init__(f"{fault}; {advice}")
        self.fault = fault
        self.advice = advice


def value_text(value: Any) -> str | None:
    """The text of ``value``.

    A text is itself, a number as JSON writes it; a list of texts, of pairs of texts, of messages
    or of parts gives a line for each, without the blank ones.

    Returns:
        the text, "" where it is empty; None where ``value`` is nothing of that kind.
    """
    if isinstance(value, list):
        if is_dialogue(value):
            return dialogue_text(value)
        if value and all(isinstance(item, list) for item in value):
            lines = [value_text(item) if _texts(item) else None for item in value]
            return None if None in lines else joined(line for line in lines if line)
    if is_message(value):
        return message_text(value)
    return content_text(value)


def field_text(record: Mapping[str, Any], path: str) -> str:
    """The texts of all values at ``path``, one a line; "" where there is no such field.

    Raises:
        NoTextError: a value is nothing that has a text.
    """
    texts = []
    for value in field_values(record, path):
        text = value_text(value)
        if text is None:
            inside = next(_paths_to_text(record, path, value), None)
            advice = f"reach into it with dots, as in '{inside}'" if inside else "name another"
            raise NoTextError(f"holds {shown(value)} in '{path}', which is no text", advice)
        texts.append(text)
    return joined(tuple(texts))


def obstacle(record: Mapping[str, Any], path: str) -> str:
    """The empty list or the null on the way to ``path``, as a clause; "" if there is none."""
    steps = path.split(".")
    ways = [path] if path in record else [".".join(steps[:end]) for end in range(1, len(steps) + 1)]
    for way in ways:
        values = field_values(record, way)
        if values and all(value == [] for value in values):
            return f"the list '{way}' is empty"
        if values and way != path and all(value is None for value in values):
            return f"'{way}' is null"
    return ""


def _texts(items: list[Any]) -> bool:
    return all(item is None or isinstance(item, (str, int, float)) for item in items)


def _paths_to_text(record: Mapping[str, Any], path: str, value: Any) -> Iterator[str]:
    """Paths below ``path`` whose values are text in this record."""
    if isinstance(value, Mapping):
        below = [(f"{path}.{key}", item) for key, item in value.items()]
    elif isinstance(value, (list, tuple)):
        below = [(f"{path}.*", item) for item in value]
    else:
        return
    for inside, _ in below:
        texts = [value_text(found) for found in field_values(record, inside)]
        if None not in texts and joined(tuple(text or "" for text in texts)):
            yield inside
    for inside, item in below:
        yield from _paths_to_text(record, inside, item)
