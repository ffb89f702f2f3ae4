"""Texts that are longer than what a model reads."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cut:
    """How many texts a model reads only the beginnings of.

    Attributes:
        longer: how many are longer than what it reads.
        texts: how many there are.
        limit: how many tokens it reads of a text, its special ones among them.
    """

    longer: int
    texts: int
    limit: int

    def __add__(self, other: Cut) -> Cut:
        """Both together, of one model."""
        return Cut(self.longer + other.longer, self.texts + other.texts, self.limit)

    def in_words(self, texts: str = "texts") -> str:
        """One sentence for a person; "" where no text is longer."""
        if not self.longer:
            return ""
        one = self.longer == 1
        return (
            f"{self.longer} of {self.texts} {texts} {'is' if one else 'are'} longer than the "
            f"model's {self.limit} tokens and {'was' if one else 'were'} cut; see --max-length"
        )
