"""Which model has probably made the vectors of a collection, as names and payloads suggest.

Nothing is loaded by a suggestion: a payload may say anything. It is said, and whoever gives it with
``--model`` has it proved (:mod:`tsds_qdrant.task.proof`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from tsds_qdrant.collections.conditions import joined
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import CollectionInfo
from tsds_qdrant.records.fields import field_values
from tsds_qdrant.representations.model_names import FASTEMBED_PREFIX

LOOKED_AT = 16
FAST = "fast-"
"""Begins the names of vectors that fastembed, and so the MCP server of Qdrant, gives them: behind
it is the last part of the model's name, in small letters (qdrant-client, ``qdrant_fastembed.py``;
mcp-server-qdrant, ``embeddings/fastembed.py``)."""
FAST_MODELS = (
    *("BAAI/bge-small-en", "BAAI/bge-small-en-v1.5", "BAAI/bge-base-en", "BAAI/bge-base-en-v1.5"),
    *("BAAI/bge-large-en-v1.5", "BAAI/bge-small-zh-v1.5", "mixedbread-ai/mxbai-embed-large-v1"),
    *("sentence-transformers/all-MiniLM-L6-v2", "thenlper/gte-base", "thenlper/gte-large"),
    "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2",
    "sentence-transformers/paraphrase-multilingual-mpnet-base-v2",
    *("intfloat/multilingual-e5-large", "google/embeddinggemma-300m"),
    *("snowflake/snowflake-arctic-embed-xs", "snowflake/snowflake-arctic-embed-s"),
    *("snowflake/snowflake-arctic-embed-m", "snowflake/snowflake-arctic-embed-l"),
    "ibm-granite/granite-embedding-small-english-r2",
)
"""Models that fastembed lists (``fastembed/text/*.py``), by their names on the hub."""
FAST_ALONE = (
    *("nomic-ai/nomic-embed-text-v1", "nomic-ai/nomic-embed-text-v1.5"),
    *("nomic-ai/nomic-embed-text-v1.5-Q", "snowflake/snowflake-arctic-embed-m-long"),
    *("jinaai/jina-embeddings-v2-small-en", "jinaai/jina-embeddings-v2-base-en"),
    *("jinaai/jina-embeddings-v2-base-de", "jinaai/jina-embeddings-v2-base-es"),
    *("jinaai/jina-embeddings-v2-base-zh", "jinaai/jina-embeddings-v2-base-code"),
    *("jinaai/jina-embeddings-v3", "jinaai/jina-clip-v1", "Qdrant/clip-ViT-B-32-text"),
)
"""Those of them that are no plain model of the hub: they bring code along, which is never run, are
quantised, or are part of another one."""
MODEL_FIELDS = ("metadata.embedding_config", "meta.embedding_config", "embedding_config")
"""Where Open WebUI keeps engine and model."""


@dataclass(frozen=True)
class Suggestion:
    """A model that may have made the vectors.

    Attributes:
        model: as ``--model`` takes it, but for the URL of an endpoint.
        why: what suggests it, as the subject of a sentence.
        engine: what computes it elsewhere, as Open WebUI says; "" where it runs here.
    """

    model: str
    why: str
    engine: str = ""

    @property
    def flag(self) -> str:
        """The flag that takes it."""
        if self.engine:
            return f"--model 'http://HOST/v1#{self.model}'"
        return f"--model {self.model}"

    @property
    def in_words(self) -> str:
        """A sentence without its end."""
        at = f" by {self.engine}" if self.engine else ""
        return f"{self.why} suggests the model '{self.model}'{at}: {self.flag}"


def suggestion_for(collection: Collection, info: CollectionInfo) -> Suggestion | None:
    """What the name of the searched vector, or a few payloads, say of its model."""
    if info.vector.startswith(FAST):
        name = info.vector.removeprefix(FAST)
        known = (*FAST_MODELS, *(f"{FASTEMBED_PREFIX}{one}" for one in FAST_ALONE))
        alike = (one for one in known if one.rpartition("/")[2].lower() == name.lower())
        found = next(alike, f"{FASTEMBED_PREFIX}ORGANISATION/{name}")
        return Suggestion(found, f"the name of the vector '{info.vector}'")
    filters = info.limits.unindexed_filter and info.limits.has_room(None)
    where = joined(None, {"has_vector": info.vector}) if filters else None
    page = next(iter(collection.scroll_ids(where)), [])[:LOOKED_AT]
    named: Counter[tuple[str, str, str]] = Counter()
    for record in collection.retrieve(page) if page else ():
        for path in MODEL_FIELDS:
            for config in field_values(record.payload, path):
                model = config.get("model") if isinstance(config, dict) else None
                if isinstance(model, str) and model.strip().isprintable() and model.strip():
                    engine = str(config.get("engine") or "")
                    named[(model.strip(), engine, f"{path}.model")] += 1
    if not named:
        return None
    (model, engine, path), _ = named.most_common(1)[0]
    return Suggestion(model, f"the payload field '{path}'", engine)
