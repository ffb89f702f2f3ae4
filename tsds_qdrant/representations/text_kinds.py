"""Settings of the kinds that are made of texts: another embedding, BM25, hashed n-grams."""

from __future__ import annotations

from dataclasses import MISSING, dataclass
from typing import ClassVar

from tsds_qdrant.representations.backends import Backend, backend_of
from tsds_qdrant.representations.base import Representation
from tsds_qdrant.representations.kinds import KindSettings, Reads
from tsds_qdrant.settings.fields import setting
from tsds_qdrant.settings.texts import number_of


@dataclass(frozen=True, kw_only=True)
class TextSettings(KindSettings):
    """Text vectors

    Attributes:
        model: a sentence-transformers model, or one behind an endpoint.
        truncate_dim: the first entries that are kept.
        prompt: before candidates.
        query_prompt: before task examples.
        max_length: tokens that are read of a text.
        backend: what computes.
        device: where the model runs.
        batch_size: texts in one forward pass.
    """

    kind: ClassVar[str] = "text"
    summary: ClassVar[str] = "Vectors of another text model."
    example: ClassVar[str] = "--model BAAI/bge-small-en-v1.5 --name bge"
    reads: ClassVar[Reads] = "texts"

    model: str = setting(
        MISSING,
        "Text model: of the hub, a directory, package:NAME, or http://host/v1#NAME.",
        metavar="NAME|DIR|URL#NAME",
    )
    truncate_dim: int | None = setting(
        None, "Keep the first N entries, of a model made for it (Matryoshka).", least=1
    )
    prompt: str | None = setting(
        None,
        "Prompt before candidates: a name that the model knows, or a text.",
        metavar="NAME|TEXT",
    )
    query_prompt: str | None = setting(None, "The same before task examples.", metavar="NAME|TEXT")
    max_length: int | None = setting(
        None, "Tokens that the model reads of a text; its own limit by default.", least=8
    )
    backend: Backend = setting(
        "torch",
        "What computes the model: torch, onnx, openvino.",
        metavar="NAME",
        parse=backend_of,
        hidden=True,
    )
    device: str | None = setting(
        None, "Where the model runs; the best there is if unset.", metavar="cpu|cuda|mps"
    )
    batch_size: int = setting(64, "Texts in one forward pass of the model.", least=1, hidden=True)

    def made(self) -> Representation:
        """The representation."""
        from tsds_qdrant.representations.text_vectors import TextVectors

        return TextVectors(
            self.model,
            truncate_dim=self.truncate_dim,
            prompt=self.prompt,
            query_prompt=self.query_prompt,
            name=self.known_as,
            max_length=self.max_length,
            backend=self.backend,
            device=self.device,
            batch_size=self.batch_size,
        )


@dataclass(frozen=True, kw_only=True)
class Bm25Settings(KindSettings):
    """BM25

    Attributes:
        k1: how slowly further occurrences of a token count less.
        b: how much longer texts are discounted.
        language: of stop words and the stemmer.
        tokenizer: how texts become words.
    """

    kind: ClassVar[str] = "bm25"
    summary: ClassVar[str] = "Words as BM25 weighs them, a sparse vector."
    example: ClassVar[str] = "--language english"
    reads: ClassVar[Reads] = "texts"

    k1: float = setting(
        1.2, "How slowly further occurrences count less.", metavar="K", parse=number_of
    )
    b: float = setting(
        0.75, "How much longer texts are discounted, 0 to 1.", metavar="B", parse=number_of
    )
    language: str = setting(
        "", "Of stop words that are left out, and of the stemmer; neither if unset.", metavar="NAME"
    )
    tokenizer: str = setting(
        "multilingual", "How texts become words: multilingual, word, whitespace.", metavar="NAME"
    )

    def made(self) -> Representation:
        """The representation."""
        from tsds_qdrant.representations.words.bm25 import Bm25

        return Bm25(
            k1=self.k1,
            b=self.b,
            language=self.language,
            tokenizer=self.tokenizer,
            name=self.known_as,
        )


@dataclass(frozen=True, kw_only=True)
class NgramsSettings(KindSettings):
    """Hashed n-grams"""

    kind: ClassVar[str] = "ngrams"
    summary: ClassVar[str] = "Counts of hashed words and word pairs (DSIR), a sparse vector."
    example: ClassVar[str] = "--text-field text"
    reads: ClassVar[Reads] = "texts"

    def made(self) -> Representation:
        """The representation."""
        from tsds_qdrant.representations.words.ngram_counts import Ngrams

        return Ngrams(name=self.known_as)
