"""Points as frameworks keep them, made without any of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge as edge
from numpy.typing import ArrayLike, NDArray

from tsds_qdrant.collections.edge.collection import EdgeCollection


@dataclass(frozen=True)
class Framework:
    """What one framework keeps.

    Attributes:
        payload: that of the point with this number, text and source.
        text: what the text is called.
        source: path of the field that says where a text is from.
        vector: name of the vector, "" for none.
        model: what the payload or the vector's name say of the model; "" for nothing.
    """

    payload: Callable[[int, str, str], dict[str, Any]]
    text: str
    source: str
    vector: str = ""
    model: str = ""


def node(number: int, text: str, source: str) -> str:
    """A node of LlamaIndex, as JSON."""
    meta = {"source": source, "file_name": "a.txt"}
    return json.dumps(
        {"id_": str(number), "metadata": meta, "text": text, "class_name": "TextNode"}
    )


FRAMEWORKS: dict[str, Framework] = {
    "langchain": Framework(
        lambda n, text, source: {"page_content": text, "metadata": {"source": source, "page": n}},
        *("page_content", "metadata.source"),
    ),
    "llama-index": Framework(
        lambda n, text, source: {
            "source": source,
            "_node_content": node(n, text, source),
            "_node_type": "TextNode",
            "doc_id": f"doc-{n // 5}",
            "ref_doc_id": f"doc-{n // 5}",
        },
        *("_node_content.text", "source", "text-dense"),
    ),
    "haystack": Framework(
        lambda n, text, source: {
            "id": f"{n:064x}",
            "content": text,
            "meta": {"source": source, "page": n},
            "score": None,
            "blob": None,
        },
        *("content", "meta.source"),
    ),
    "mem0": Framework(
        lambda n, text, source: {
            "user_id": source,
            "hash": f"{n:032x}",
            "data": text,
            "created_at": f"2026-11-01T00:{n // 60:02}:{n % 60:02}+00:00",
            "updated_at": f"2026-11-02T00:{n // 60:02}:{n % 60:02}+00:00",
        },
        *("data", "user_id"),
    ),
    "mcp": Framework(
        lambda n, text, source: {"document": text, "metadata": {"source": source}},
        *("document", "metadata.source", "fast-bge-small-en", "BAAI/bge-small-en"),
    ),
    "open-webui": Framework(
        lambda n, text, source: {
            "text": text,
            "tenant_id": "a",
            "metadata": {
                "source": source,
                "embedding_config": {
                    "engine": "",
                    "model": "sentence-transformers/all-MiniLM-L6-v2",
                },
            },
        },
        *("text", "metadata.source", "", "sentence-transformers/all-MiniLM-L6-v2"),
    ),
    "spring-ai": Framework(
        lambda n, text, source: {"doc_content": text, "source": source, "page": n},
        *("doc_content", "source"),
    ),
    "dify": Framework(
        lambda n, text, source: {
            "page_content": text,
            "metadata": {"doc_id": f"d{n}", "source": source},
            "group_id": "g",
        },
        *("page_content", "metadata.source"),
    ),
    "n8n": Framework(
        lambda n, text, source: {"content": text, "metadata": {"source": source}},
        *("content", "metadata.source"),
    ),
    "flowise": Framework(
        lambda n, text, source: {"content": text, "metadata": {"source": source, "loc": {"n": n}}},
        *("content", "metadata.source"),
    ),
    "anything-llm": Framework(
        lambda n, text, source: {"title": f"{n}.txt", "docSource": source, "text": text},
        *("text", "docSource"),
    ),
    "chunks": Framework(
        lambda n, text, source: {"chunk": text, "file": {"source": source}},
        *("chunk", "file.source"),
    ),
    "chunk-contents": Framework(
        lambda n, text, source: {"chunk_content": {"content": text}, "labels": {"source": source}},
        *("chunk_content.content", "labels.source"),
    ),
}


def made_by(
    name: str, place: Path, collection: str, rows: ArrayLike, texts: Sequence[str]
) -> EdgeCollection:
    """A collection as the framework ``name`` keeps it; every third text is from ``mail``."""
    framework = FRAMEWORKS[name]
    vectors: NDArray[np.float32] = np.asarray(rows, dtype=np.float32)
    params = edge.EdgeVectorParams(vectors.shape[1], edge.Distance.Cosine)
    config = edge.EdgeConfig(vectors={framework.vector: params} if framework.vector else params)
    (place / collection).mkdir(parents=True)
    edge.EdgeShard.create(str(place / collection), config).close()
    pool = EdgeCollection.open(str(place), collection, vector=framework.vector)
    payloads = [
        framework.payload(n, text, "news" if n % 3 else "mail") for n, text in enumerate(texts)
    ]
    pool.upsert(range(len(vectors)), vectors, payloads)
    return pool
