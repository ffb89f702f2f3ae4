"""BM25 as sparse vectors (Robertson, Zaragoza 2009), by the tokenizers of Qdrant's engine.

A document's weight of a token is tf (k1 + 1) / (tf + k1 (1 - b + b length / average length)); a
query has counts of tokens, and the collection weighs them by the inverse document frequency
ln(1 + (n - df + .5) / (df + .5)) when it is searched. Tokens are indices by Murmur3, 31 bits of
it, as the server's own BM25 and fastembed have them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tsds_qdrant.arrays import FloatArray
from tsds_qdrant.errors import InputError, SettingsError
from tsds_qdrant.representations.base import (
    Arrays,
    Encoded,
    Examples,
    Kind,
    OnBatch,
    arrays_hash,
)
from tsds_qdrant.representations.derived.rows import unfitted
from tsds_qdrant.representations.derived.sampling import Sampled
from tsds_qdrant.representations.shown import texts_of
from tsds_qdrant.sparse import SparseRows

K1, B = 1.2, 0.75
TOKENIZERS = ("multilingual", "word", "whitespace")
LENGTHS_OF = 10_000
"""Texts whose lengths are averaged; a seeded sample where there are more."""
BLOCK_TEXTS = 1_000
SATURATION = 1e15
"""A k1 so large that the engine's weights are counts."""
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\ua000-\ua4cf\uf900-\ufaff"
"""Characters of scripts without spaces between words: numbers beside them stand alone."""
JOINED = rf"[^\W_{UNSPACED}]"
NUMBER = re.compile(rf"\d(?<!{JOINED}\d)\d*(?!{JOINED})")
PROBE = "Running dogs don't stop at été 2024, x1 3.5; 自然言語 第3章 สวัสดีครับ नमस्ते Straße"


class Bm25:
    """Counts of words, weighed as BM25 weighs them.

    Args:
        k1: how slowly further occurrences of a token count less; 0: one is as good as many.
        b: from 0 to 1, how much longer texts are discounted.
        language: of the stop words that are left out and the stemmer, as in ``english``; "" for
            neither.
        tokenizer: ``multilingual`` separates words of all scripts, those without spaces too, and
            takes accents off; ``word`` splits at whatever is neither letter nor digit;
            ``whitespace`` at spaces.
        name: of the space.

    Raises:
        SettingsError: no such language or tokenizer, or a number out of range.
    """

    kind: Kind = "sparse"
    metric = "Dot"
    source: str | None = None
    dialogues = False
    dimension: int | None = None
    idf = True
    """Its space is to weigh queries by the inverse document frequency."""

    def __init__(
        self,
        *,
        k1: float = K1,
        b: float = B,
        language: str = "",
        tokenizer: str = TOKENIZERS[0],
        name: str = "bm25",
    ) -> None:
        if not 0 <= k1 < np.inf:
            raise SettingsError(f"--k1 is {k1}; give 0 or more, {K1} say")
        if not 0 <= b <= 1:
            raise SettingsError(f"--b is {b}; give a number from 0 to 1, {B} say")
        if tokenizer not in TOKENIZERS:
            raise SettingsError(
                f"--tokenizer is '{tokenizer}'; choose one of {', '.join(TOKENIZERS)}"
            )
        self.name = name
        self._k1, self._b = float(k1), float(b)
        self._language, self._tokenizer = language.lower(), tokenizer
        self._count = _counter(self._language, tokenizer)
        self._numbers = _counter("", "word") if tokenizer == TOKENIZERS[0] else None
        self._average: float | None = None

    @property
    def fitted(self) -> bool:
        """Whether the average length is known."""
        return self._average is not None

    def manifest(self) -> dict[str, Any]:
        """Everything but what is learnt; ``tokens`` is the hash of what the tokenizer makes."""
        probed = self.counts([PROBE])
        order = np.argsort(probed.indices)
        found: Arrays = {"indices": probed.indices[order], "values": probed.values[order]}
        return {
            "kind": "bm25",
            "k1": self._k1,
            "b": self._b,
            "language": self._language,
            "tokenizer": self._tokenizer,
            "tokens": arrays_hash(found),
        }

    def fit(self, blocks: Callable[[], Iterator[Examples]], count: int) -> None:
        """Learn how many tokens a text has on average, of a sample where there are many."""
        sampled = Sampled(count, LENGTHS_OF, seed=0)
        tokens = texts = 0.0
        for examples in blocks():
            shown = texts_of(examples)
            taken = [shown[row] for row in sampled.of(len(shown))]
            tokens += float(self.counts(taken).values.sum(dtype=np.float64))
            texts += len(taken)
        if not tokens:
            raise InputError(
                f"no word was found in {int(texts)} texts by --tokenizer {self._tokenizer}; choose "
                f"another one of {', '.join(TOKENIZERS)}"
            )
        self._average = tokens / texts

    def arrays(self) -> Arrays:
        """``average_length`` (1,) of a text, in tokens."""
        return {} if self._average is None else {"average_length": np.array([self._average])}

    def restore(self, arrays: Arrays) -> None:
        """Take what :meth:`arrays` gave."""
        self._average = float(arrays["average_length"][0])

    def counts(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> SparseRows:
        """(n,) rows of how often each text has each token."""
        lengths: list[int] = []
        indices: list[int] = []
        values: list[float] = []
        for number, text in enumerate(texts, start=1):
            own = self._counted(text)
            lengths.append(len(own[0]))
            indices += own[0]
            values += own[1]
            if on_batch and (number % BLOCK_TEXTS == 0 or number == len(texts)):
                on_batch((number - 1) % BLOCK_TEXTS + 1)
        return SparseRows(
            np.cumsum([0, *lengths], dtype=np.int64),
            np.array(indices, dtype=np.int64),
            np.rint(np.array(values, dtype=np.float64)).astype(np.float32),
        )

    def _counted(self, text: str) -> tuple[list[int], list[float]]:
        clean = text.encode("utf-8", "replace").decode("utf-8")
        found = self._count.embed_document(clean)
        if self._numbers is None or not (numbers := NUMBER.findall(clean)):
            return found.indices, found.values
        # *subtle*: the multilingual tokenizer leaves numbers out.
        plain = unicodedata.normalize("NFKC", " ".join(numbers))
        more = self._numbers.embed_document(plain)
        counted = dict(zip(found.indices, found.values, strict=True))
        for index, value in zip(more.indices, more.values, strict=True):
            counted[index] = counted.get(index, 0.0) + value
        return list(counted), list(counted.values())

    def candidates(self, examples: Examples, on_batch: OnBatch | None = None) -> Encoded:
        """Rows of weights; that of a text without words is empty.

        Raises:
            InputError: nothing was learnt.
        """
        if self._average is None:
            unfitted(self.name)
        counts = self.counts(texts_of(examples), on_batch)
        tf: FloatArray = counts.values.astype(np.float64)
        owners = np.repeat(np.arange(len(counts)), counts.lengths)
        lengths = np.bincount(owners, weights=tf, minlength=len(counts)) / self._average
        saturation = self._k1 * (1 - self._b + self._b * lengths)[owners]
        weights = (tf * (self._k1 + 1) / (tf + saturation)).astype(np.float32)
        return Encoded.fine(SparseRows(counts.offsets, counts.indices, weights), len(counts))

    def targets(self, examples: Examples, on_batch: OnBatch | None = None) -> Encoded:
        """Rows of counts, which the collection weighs by the inverse document frequency; their
        :meth:`~tsds_qdrant.sparse.SparseRows.mean` asks for the mean score of all texts.
        """
        counts = self.counts(texts_of(examples), on_batch)
        return Encoded.fine(counts, len(counts))


def _counter(language: str, tokenizer: str) -> Any:
    """The engine's model of that tokenizer, whose weights of a document are counts."""
    import qdrant_edge as edge

    languages = [name.lower() for name in dir(edge.Language) if not name.startswith("_")]
    if language and language not in languages:
        raise SettingsError(f"--language is '{language}'; choose one of {', '.join(languages)}")
    own: dict[str, Any] = {"language": language}
    if not language:
        own = {"stopwords": edge.StopwordsSet(), "stemmer": edge.DisabledStemmer()}
    kind = getattr(edge.TokenizerType, tokenizer.capitalize())
    return edge.Bm25(edge.Bm25Config(k=SATURATION, b=0.0, tokenizer=kind, **own))
