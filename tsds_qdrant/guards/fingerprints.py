"""Texts as numbers that equal words share: one for a whole text, one for each run of n words.

Case, punctuation, white space and the forms of Unicode do not count. Numbers of different words
are equal less than once in 2^50 pairs.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import IntArray

PrintArray = npt.NDArray[np.uint64]

WORDS_REMEMBERED = 1 << 18
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")
_ODD = np.array([0x9E3779B97F4A7C15], dtype=np.uint64)


@dataclass(frozen=True)
class Prints:
    """Numbers of texts or of runs, and where each comes from.

    Attributes:
        values: (n,) ascending; a number stands as often as it comes up.
        items: (n,) int32, number of the text.
        places: (n,) int32, the word at which the run begins.
    """

    values: PrintArray
    items: npt.NDArray[np.int32]
    places: npt.NDArray[np.int32]

    @classmethod
    def joined(cls, parts: Sequence[tuple[int, IntArray, PrintArray]]) -> Prints:
        """All of ``parts``: a text's number, and the places and numbers of its runs."""
        values = np.concatenate([np.empty(0, dtype=np.uint64), *(part[2] for part in parts)])
        places = np.concatenate([np.empty(0, dtype=np.int64), *(part[1] for part in parts)])
        items = np.repeat([part[0] for part in parts], [len(part[2]) for part in parts])
        order = np.argsort(values, kind="stable")
        return cls(values[order], items[order].astype(np.int32), places[order].astype(np.int32))

    def find(self, prints: PrintArray) -> tuple[IntArray, IntArray]:
        """(m,) the texts, and the places in them, of everything here that is in ``prints``."""
        wanted = np.unique(prints)
        starts = np.searchsorted(self.values, wanted, side="left")
        counts = np.searchsorted(self.values, wanted, side="right") - starts
        before = np.repeat(np.cumsum(counts) - counts, counts)
        rows = np.arange(int(counts.sum())) - before + np.repeat(starts, counts)
        return self.items[rows].astype(np.int64), self.places[rows].astype(np.int64)


def words_of(text: str) -> list[str]:
    """The words of ``text``, case folded and without punctuation.

    A character of the Chinese and Japanese scripts is a word; a text without any word is made of
    what stands between its spaces.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return _WORD.findall(folded) or folded.split()


def whole_print(words: Sequence[str]) -> PrintArray:
    """(1,) the number of a whole text."""
    return np.array([_code(" ".join(words), salt=b"whole")], dtype=np.uint64)


def run_prints(words: Sequence[str], length: int) -> PrintArray:
    """(len(words) - length + 1,) the numbers of all runs of ``length`` words; none if too few."""
    runs = len(words) - length + 1
    if runs < 1:
        return np.empty(0, dtype=np.uint64)
    codes = np.fromiter(map(_word_code, words), dtype=np.uint64, count=len(words))
    prints = np.full(runs, length, dtype=np.uint64)
    factor = _ODD.copy()
    for place in range(length):
        prints += codes[place : place + runs] * factor
        factor *= _ODD
    return prints


def telling_runs(words: Sequence[str], length: int) -> tuple[IntArray, PrintArray]:
    """Places and numbers of the runs of ``words`` whose words differ: ``o o o`` proves nothing.

    At least half of the words of a run must be different ones.
    """
    prints = run_prints(words, length)
    if not len(prints):
        return np.empty(0, dtype=np.int64), prints
    codes = np.fromiter(map(_word_code, words), dtype=np.uint64, count=len(words))
    windows = np.sort(np.lib.stride_tricks.sliding_window_view(codes, length), axis=1)
    different = 1 + np.count_nonzero(windows[:, 1:] != windows[:, :-1], axis=1)
    places = np.flatnonzero(2 * different >= length)
    return places, prints[places]


@lru_cache(maxsize=WORDS_REMEMBERED)
def _word_code(word: str) -> int:
    return _code(word)


def _code(text: str, salt: bytes = b"") -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, salt=salt)
    return int.from_bytes(digest.digest(), "little")
