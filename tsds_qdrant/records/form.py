"""What a user says of the form of files, where neither name nor content shows it."""

from __future__ import annotations

from dataclasses import dataclass

from tsds_qdrant.errors import SettingsError
from tsds_qdrant.settings.fields import setting

_NAMED = {"tab": "\t", r"\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}


def delimiter_of(text: str, flag: str) -> str:
    r"""The delimiter of a command line: one character, ``\t``, or the name of a usual one.

    Raises:
        SettingsError: anything else.
    """
    delimiter = _NAMED.get(text.lower(), text)
    if len(delimiter) != 1 or delimiter in '"\r\n\0':
        raise SettingsError(f"{flag} is '{text}'; give one character, or {', '.join(_NAMED)}")
    return delimiter


def names_of(text: str, flag: str) -> tuple[str, ...]:
    """Names between commas.

    Raises:
        SettingsError: there is none.
    """
    names = tuple(name for part in text.split(",") if (name := part.strip()))
    if not names:
        raise SettingsError(f"{flag} is '{text}'; name columns, as in a,b")
    return names


@dataclass(frozen=True)
class FileForm:
    """Forms of files

    Attributes:
        delimiter: what separates the fields of a table; by default the suffix says it.
        no_header: the first row of a table is a record, and its columns are ``0``, ``1``, ..
        drop_columns: fields, by their names at the top of a record, that are left out.
        json_field: where the records of a JSON document are: dots reach into objects, ``*`` takes
            every item of a list, ``.`` is the document itself.
        vector_field: a list of numbers that is a record's ready vector and no longer part of it:
            dots reach into objects.
    """

    delimiter: str | None = setting(
        None,
        "What separates the fields of a table: a character, or tab.",
        metavar="CHAR",
        parse=delimiter_of,
    )
    no_header: bool = setting(False, "The first row of a table is a record; columns are 0, 1, ..")
    drop_columns: tuple[str, ...] = setting(
        (), "Fields that are not stored.", metavar="A,B", parse=names_of, repeated=True
    )
    json_field: str | None = setting(
        None, "The list of records in a JSON document, as in data.", metavar="FIELD"
    )
    vector_field: str | None = setting(
        None,
        "Ready vectors are in this field, a list of numbers; it is not stored as one.",
        metavar="FIELD",
    )

    def __post_init__(self) -> None:
        names: list[str] = []
        for one in self.drop_columns:
            names += [one] if isinstance(one, str) else one
        object.__setattr__(self, "drop_columns", tuple(dict.fromkeys(names)))
        if self.json_field is not None and not self.json_field.strip():
            raise SettingsError("--json-field is empty; name a field of the document, as in data")
        if self.vector_field is not None and not self.vector_field.strip():
            raise SettingsError("--vector-field is empty; name the field of vectors, as embedding")


UNSAID = FileForm()
"""The form of a file where the user cannot say any; it is that very object."""
