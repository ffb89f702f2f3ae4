"""Parts of a JSON text one at a time, whatever the size of the file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from tsds_qdrant.files.json_values import Decoder

_BLANK = re.compile(r"[ \t\r\n]*")
_CHUNK = 1 << 18
_NEAR_END = 16
"""A parser that stumbles this near the end of its text may only need more of it."""


Parsed = tuple[int, str, Any]
"""The line that a value begins on, from 1, its text, and the value."""


class Window:
    """The part of a JSON text that is in memory, little more than the value that is parsed.

    All methods raise ValueError where the text is no JSON; the message begins with the number of
    the line.
    """

    def __init__(self, read: Callable[[int], str], decoder: Decoder, chunk: int = _CHUNK) -> None:
        """Begin at the beginning.

        Args:
            read: gives at most that many characters, ``""`` at the end.
            decoder: decodes the values, and says of each what it changed.
            chunk: characters read at once; doubled while one value does not fit.
        """
        self.read, self.decoder, self.chunk = read, decoder, chunk
        self.text, self.at, self.line = "", 0, 1

    def array(self) -> Iterator[Parsed]:
        """The items of an array with nothing behind it."""
        yield from self.items()
        if self.peek():
            raise ValueError(f"{self.line}: text after the end of the array")

    def values(self) -> Iterator[Parsed]:
        """The values up to the end, with nothing but blanks between them."""
        while self.peek():
            yield self.value()

    def items(self) -> Iterator[Parsed]:
        """The items of the array that comes next."""
        self.take("[")
        if self.peek() != "]":
            yield self.value()
            while self.peek() != "]":
                self.take(",")
                yield self.value()
        self.take("]")

    def fields(self) -> Iterator[str]:
        """The keys of the object that comes next; whoever gets one reads its value."""
        self.take("{")
        more = self.peek() != "}"
        while more:
            line, _, key = self.value()
            if not isinstance(key, str):
                raise ValueError(f"{line}: a name in quotes expected")
            self.take(":")
            yield key
            more = self.peek() == ","
            if more:
                self.take(",")
        self.take("}")

    def more(self, size: int) -> bool:
        """Read on; False at the end of the text."""
        piece = self.read(size)
        if piece:
            self.text, self.at = self.text[self.at :] + piece, 0
        return bool(piece)

    def advance(self, end: int) -> None:
        """Be done with the text up to ``end``."""
        self.line += self.text.count("\n", self.at, end)
        self.at = end

    def peek(self) -> str:
        """Show the next character that is not blank, "" at the end of the text."""
        while True:
            blank = _BLANK.match(self.text, self.at)
            self.advance(blank.end() if blank else self.at)
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more(self.chunk):
                return ""

    def take(self, expected: str) -> None:
        """Be done with the character ``expected``, which must come next."""
        found = self.peek()
        if found != expected:
            instead = f"'{found}'" if found else "the end of the file"
            raise ValueError(f"{self.line}: '{expected}' expected, {instead} found")
        self.at += 1

    def value(self) -> Parsed:
        """The value that comes next."""
        self.peek()
        line, size = self.line, self.chunk
        while True:
            try:
                value, end = self.decoder.raw_decode(self.text, self.at)
            except json.JSONDecodeError as error:
                unfinished = error.msg.startswith("Unterminated string")
                if (unfinished or error.pos + _NEAR_END >= len(self.text)) and self.more(size):
                    size *= 2
                    continue
                line += self.text.count("\n", self.at, error.pos)
                raise ValueError(f"{line}: {error.msg}") from None
            except RecursionError:
                raise ValueError(f"{line}: nested too deep") from None
            except ValueError as error:
                raise ValueError(f"{line}: {error}") from None
            # Subtle: a number at the end of the text may go on, "1" as "12", "1.5" or "1e-5".
            number = isinstance(value, (int, float))
            if number and end + 2 >= len(self.text) and self.more(size):
                continue
            source = self.text[self.at : end]
            self.advance(end)
            return line, source, value
