"""Items of a JSON array one at a time, whatever the size of the file."""

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


def iterate_array(
    read: Callable[[int], str], decoder: Decoder, *, chunk: int = _CHUNK
) -> Iterator[tuple[int, str, Any]]:
    """Parse a JSON array, holding little more than one item.

    Args:
        read: gives at most that many characters, ``""`` at the end.
        decoder: decodes the items, and says of each what it changed.
        chunk: characters read at once; doubled while one item does not fit.

    Yields:
        The line that an item begins on, from 1, its text, and the item.

    Raises:
        ValueError: no JSON array; the message begins with the number of the line.
    """
    window = _Window(read, decoder, chunk)
    window.take("[")
    if window.peek() == "]":
        window.take("]")
    else:
        yield window.value()
        while window.peek() != "]":
            window.take(",")
            yield window.value()
        window.take("]")
    if window.peek():
        raise ValueError(f"{window.line}: text after the end of the array")


class _Window:
    """The part of the text that is in memory: what precedes ``at`` is dealt with."""

    def __init__(self, read: Callable[[int], str], decoder: Decoder, chunk: int) -> None:
        self.read, self.decoder, self.chunk = read, decoder, chunk
        self.text, self.at, self.line = "", 0, 1

    def more(self, size: int) -> bool:
        piece = self.read(size)
        if piece:
            self.text, self.at = self.text[self.at :] + piece, 0
        return bool(piece)

    def advance(self, end: int) -> None:
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
        found = self.peek()
        if found != expected:
            instead = f"'{found}'" if found else "the end of the file"
            raise ValueError(f"{self.line}: '{expected}' expected, {instead} found")
        self.at += 1

    def value(self) -> tuple[int, str, Any]:
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
