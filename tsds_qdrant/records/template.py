"""The text of a record: one of its fields, or a template that joins several."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tsds_qdrant.errors import BadRecordError, SettingsError
from tsds_qdrant.records.entries import Place
from tsds_qdrant.records.fields import field_values, listed_fields, missing_field, spelt
from tsds_qdrant.records.headers import table_advice
from tsds_qdrant.records.shapes import template_for
from tsds_qdrant.records.slots import Slot, slots_of
from tsds_qdrant.records.values import NoTextError, field_text, obstacle

_ESCAPE = re.compile(r"\\([nt\\])")
_ESCAPED = {"n": "\n", "t": "\t", "\\": "\\"}


@dataclass(frozen=True)
class TextTemplate:
    r"""How the text of a record is made; kept with a collection as a small dictionary.

    Names of fields match without case where a record has no such name, and just one that differs in
    case alone.

    Attributes:
        text_field: one field; dots reach into nested records and lists
            (``messages.0.content``), ``*`` takes every item, one a line. A list of messages
            (``messages``) is the text of each, a line each.
        template: text with fields in braces, ``"{instruction}\n{output}"``; ``{{`` and ``}}``
            are plain braces. A field with a question mark, ``{input?}``, may be missing or
            empty; where it stands alone on a line, the line goes with it.
        loose: a record that lacks these fields is shown by its own usual shape.

    With neither, a record decides by the usual shapes of records
    (:func:`~tsds_qdrant.records.shapes.template_for`).
    """

    text_field: str | None = None
    template: str | None = None
    loose: bool = field(default=False, compare=False)
    _slots: tuple[Slot, ...] = field(default=(), init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.text_field is not None and self.template is not None:
            raise SettingsError(
                f"both the text field '{self.text_field}' and the template '{self.template}' "
                "are given; leave one out"
            )
        if self.text_field is not None:
            if not self.text_field:
                raise SettingsError("the text field '' has no name; name a field of the records")
            object.__setattr__(self, "_slots", (Slot("", self.text_field),))
        elif self.template is not None:
            object.__setattr__(self, "_slots", slots_of(self.template))

    @classmethod
    def parse(cls, text_field: str | None = None, template: str | None = None) -> TextTemplate:
        r"""Read the arguments of a command line.

        In ``template`` the two characters ``\n`` mean a new line, ``\t`` a tab and ``\\`` a
        backslash.

        Raises:
            SettingsError: both are given, or the template has no field or a stray brace.
        """
        if template is not None:
            template = _ESCAPE.sub(lambda match: _ESCAPED[match[1]], template)
        return cls(text_field, template)

    @classmethod
    def from_dict(cls, stored: Mapping[str, str]) -> TextTemplate:
        """Rebuild what :meth:`to_dict` gave.

        Raises:
            SettingsError: as :meth:`parse`.
        """
        return cls(stored.get("text_field"), stored.get("template"))

    def suits(self, record: Mapping[str, Any]) -> bool:
        """Whether it makes a text of ``record``, by its own fields."""
        try:
            return bool(replace(self, loose=False).render(record))
        except BadRecordError:
            return False

    def spelt_suits(self, record: Mapping[str, Any]) -> bool:
        """The same, where upper and lower case may differ in the names of fields."""
        try:
            return self.spelt_as(record).suits(record)
        except BadRecordError:
            return False

    @property
    def in_words(self) -> str:
        """The name of the one field that is the text; else the template, on one line."""
        source = written(self.template or "")
        if self.text_field is None and source != f"{{{''.join(self.fields[:1])}}}":
            return source
        return self.fields[0]

    def to_dict(self) -> dict[str, str]:
        """Give ``{"text_field": ..}``, ``{"template": ..}``, or ``{}`` where undecided."""
        parts = {"text_field": self.text_field, "template": self.template}
        return {key: value for key, value in parts.items() if value is not None}

    def decide(self, record: Mapping[str, Any], place: Place | None = None) -> TextTemplate:
        """Settle on a template by the usual shapes of records; itself where decided already.

        Raises:
            BadRecordError: the record has none of them.
        """
        if self._slots:
            return self
        template = template_for(record)
        if template is not None:
            return TextTemplate(template=template)
        raise BadRecordError(
            place,
            f"has no field that is known to hold its text ({listed_fields(record)})",
            table_advice(record, place) or "name it with --text-field or --template",
        )

    def render(self, record: Mapping[str, Any], place: Place | None = None) -> str:
        """Make the text of ``record``; ``place`` is for the message of an error.

        Numbers are written as JSON writes them. An undecided template decides on this record.

        Raises:
            BadRecordError: a field is missing, empty, blank, or neither text nor number.
        """
        if self.loose and not self.suits(record) and (own := template_for(record)):
            return TextTemplate(template=own).render(record, place)
        decided = self.decide(record, place)
        slots = decided._slots
        text, line_dropped = "", False
        for slot in slots:
            literal = slot.literal
            if line_dropped and literal.startswith("\n"):
                literal = literal[1:]
            text += literal
            value = "" if slot.path is None else decided._text_of(record, slot, place)
            text += value
            line_dropped = slot.path is not None and not value and text[-1:] in ("", "\n")
        if line_dropped:
            text = text.removesuffix("\n")
        if not text.strip():
            raise BadRecordError(place, "has no text in any of its optional fields", "fill one")
        return text

    @property
    def fields(self) -> tuple[str, ...]:
        """Paths of all fields."""
        return tuple(slot.path for slot in self._slots if slot.path is not None)

    @property
    def needs(self) -> tuple[str, ...]:
        """Paths of the fields that must not be empty."""
        return tuple(slot.path for slot in self._slots if slot.path and not slot.optional)

    def with_optional(self, paths: Collection[str]) -> TextTemplate:
        """The template whose fields ``paths`` may be missing or empty."""
        return TextTemplate(template=self._source(str, paths))

    def spelt_as(self, record: Mapping[str, Any], place: Place | None = None) -> TextTemplate:
        """The template with the names of its fields as ``record`` spells them.

        Raises:
            BadRecordError: see :func:`~tsds_qdrant.records.fields.spelt`.
        """
        if self.text_field is not None:
            return TextTemplate(spelt(record, self.text_field, place))
        return TextTemplate(template=self._source(lambda path: spelt(record, path, place)))

    def merged(self, other: TextTemplate) -> TextTemplate | None:
        """What makes the same texts as both, of all records that either takes; None if nothing.

        Two templates differ in no text if they differ only in the fields that may be empty.
        """
        mine, theirs = self._slots, other._slots
        if [(s.literal, s.path) for s in mine] != [(s.literal, s.path) for s in theirs]:
            return None
        loose = {slot.path for slot in theirs if slot.optional and slot.path}
        kept = {slot.path for slot in mine if slot.optional}
        return self if loose <= kept else self.with_optional(loose)

    def _source(self, named: Callable[[str], str], optional: Collection[str] = ()) -> str:
        """The template as text, its fields under other names, and more of them ``optional``."""
        source = ""
        for slot in self._slots:
            source += slot.literal.replace("{", "{{").replace("}", "}}")
            if slot.path is not None:
                mark = "?" if slot.optional or slot.path in optional else ""
                source += f"{{{named(slot.path)}{mark}}}"
        return source

    def _text_of(self, record: Mapping[str, Any], slot: Slot, place: Place | None) -> str:
        if (path := spelt(record, slot.path or "", place)) != slot.path:
            slot = replace(slot, path=path)
        text = _text_in(record, slot, place)
        if not text and not slot.optional:
            advice = "fill it, or drop the record"
            if any(other.path not in (None, slot.path) for other in self._slots):
                looser = self.with_optional({slot.path or ""}).template or ""
                advice += f', or let it be empty with --template "{written(looser)}"'
            raise BadRecordError(place, _emptiness(record, slot.path or ""), advice)
        return text


def written(template: str) -> str:
    r"""``template`` as a command line takes it, on one line: a new line is ``\n``."""
    for one, escape in (("\\", r"\\"), ("\n", r"\n"), ("\t", r"\t")):
        template = template.replace(one, escape)
    return template


def _text_in(record: Mapping[str, Any], slot: Slot, place: Place | None) -> str:
    path = slot.path or ""
    try:
        text = field_text(record, path)
    except NoTextError as reason:
        raise BadRecordError(place, reason.fault, reason.advice) from None
    missing = not text and not slot.optional and not field_values(record, path)
    if missing and not obstacle(record, path):
        raise missing_field(record, path, place)
    return text


def _emptiness(record: Mapping[str, Any], path: str) -> str:
    fault = obstacle(record, path)
    return f"has no text in '{path}', as {fault}" if fault else f"is empty in '{path}'"
