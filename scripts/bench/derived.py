"""What representations without a language model cost, against the bare mathematics, as Markdown.

    python -m bench.derived [--candidates N] [--dimension D]     (with scripts on PYTHONPATH)

Whitened vectors are compared with numpy's covariance, a Cholesky factor and a triangular solve of
all rows in memory; clusters with scikit-learn's MiniBatchKMeans as anybody calls it; BM25 and
n-grams with making the tokens of all texts, and nothing of them. Representations read their
vectors from a file block by block; memory is what they allocate at their peak.

The whole way is that of ``represent`` over an embedded collection, stored and marked, beside what
it takes to store the same vectors by the engine alone.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge as edge
import scipy.linalg
from bench.pools import clustered_pool
from sklearn.cluster import MiniBatchKMeans

from tsds_qdrant import create_collection
from tsds_qdrant.ingestion.represent import represent
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.records.showing import Showing
from tsds_qdrant.representations.base import Representation, Shown
from tsds_qdrant.representations.derived.clusters import MOST_BY_DEFAULT, Clusters
from tsds_qdrant.representations.derived.whitened import Whitened
from tsds_qdrant.representations.words.bm25 import Bm25
from tsds_qdrant.representations.words.ngram_counts import Ngrams
from tsds_qdrant.representations.words.ngrams import hashed
from tsds_qdrant.sparse import SparseRows

BLOCK = 4_096
VOCABULARY = 50_000
MEGABYTE = 1 << 20


class Vectors:
    """Rows in a file, which are read block by block."""

    def __init__(self, path: Path, rows: Any) -> None:
        rows.tofile(path)
        self.path, self.dimension = path, rows.shape[1]

    def __call__(self) -> Iterator[Any]:
        with self.path.open("rb") as file:
            while len(block := np.fromfile(file, np.float32, BLOCK * self.dimension)):
                yield block.reshape(-1, self.dimension)

    def whole(self) -> Any:
        """All of them in memory."""
        return np.fromfile(self.path, np.float32).reshape(-1, self.dimension)


def texts_of(count: int, seed: int = 0) -> list[Shown]:
    """Texts of 20 to 150 words, which are as frequent as those of a language (Zipf's law)."""
    rng = np.random.default_rng(seed)
    letters = np.array(list("etaoinshrdlucmfwypvbgk"))
    words = np.array(
        ["".join(rng.choice(letters, size)) for size in rng.integers(2, 11, VOCABULARY)]
    )
    chances = 1 / np.arange(1, VOCABULARY + 1)
    lengths = rng.integers(20, 151, count)
    drawn = rng.choice(words, int(lengths.sum()), p=chances / chances.sum())
    ends = np.cumsum(lengths)
    return [
        Shown(" ".join(drawn[end - n : end]) + ".") for n, end in zip(lengths, ends, strict=True)
    ]


def whitened_plainly(vectors: Vectors) -> None:
    rows = vectors.whole()
    mean, covariance = rows.mean(axis=0, dtype=np.float64), np.cov(rows.T)
    factor = np.linalg.cholesky(covariance + 1e-5 * np.eye(vectors.dimension))
    scipy.linalg.solve_triangular(factor, (rows - mean).T, lower=True)


def clustered_plainly(vectors: Vectors, clusters: int) -> None:
    rows = vectors.whole()
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    MiniBatchKMeans(clusters, random_state=0).fit(rows).predict(rows)


def tokens_of_engine(texts: list[Shown]) -> None:
    model = edge.Bm25(
        edge.Bm25Config(
            tokenizer=edge.TokenizerType.Multilingual,
            stopwords=edge.StopwordsSet(),
            stemmer=edge.DisabledStemmer(),
        )
    )
    for shown in texts:
        model.embed_document(shown.text)


@dataclass(frozen=True)
class Way:
    """A representation, and the bare work that it is compared with.

    Attributes:
        made: makes it, with nothing learnt yet.
        blocks: gives the candidates block by block, each time.
        bare: what the other does, in words.
        plain: does it, once.
    """

    made: Callable[[], Representation]
    blocks: Callable[[], Iterator[Any]]
    bare: str
    plain: Callable[[], None]


def ways_of(vectors: Vectors, texts: list[Shown]) -> dict[str, Way]:
    """All of them, over the same candidates."""
    clusters = max(1, min(MOST_BY_DEFAULT, round((len(texts) / 2) ** 0.5)))

    def parts() -> Iterator[list[Shown]]:
        return (texts[k : k + BLOCK] for k in range(0, len(texts), BLOCK))

    def hashes() -> None:
        for part in parts():
            hashed([shown.text for shown in part])

    return {
        "whitened": Way(
            lambda: Whitened("x"),
            vectors,
            "covariance, Cholesky, solve",
            lambda: whitened_plainly(vectors),
        ),
        "clusters": Way(
            lambda: Clusters("x"),
            vectors,
            f"MiniBatchKMeans, k = {clusters}",
            lambda: clustered_plainly(vectors, clusters),
        ),
        "bm25": Way(Bm25, parts, "tokens by the engine", lambda: tokens_of_engine(texts)),
        "ngrams": Way(Ngrams, parts, "hashed words and pairs", hashes),
    }


def represented(way: Way, count: int) -> None:
    """Learn what is to be learnt and represent everything, block by block."""
    made = way.made()
    if not made.fitted:
        made.fit(way.blocks, count)
    for block in way.blocks():
        made.candidates(block)


def whole_way(rows: Any, texts: list[Shown]) -> Iterator[tuple[str, dict[str, float], float]]:
    """Each kind by its name, the seconds of a run by stage, and those of storing alone."""
    count, dimension = rows.shape
    made = (Whitened(""), Clusters(""), Bm25(), Ngrams())
    with tempfile.TemporaryDirectory() as folder:
        place = {"dimension": dimension, "metric": "Cosine"}
        with create_collection(folder, "pool", **place) as pool:
            for start in range(0, count, BLOCK):
                part = texts[start : start + BLOCK]
                payloads = [{"text": shown.text} for shown in part]
                ids = range(start, start + len(part))
                pool.upsert(ids, rows[start : start + BLOCK], payloads)
            for one in made:
                showing = Showing(TextTemplate(text_field="text"))
                report = represent(pool, one, showing)
                yield one.name, dict(report.seconds), stored_barely(pool, one.name)


def stored_barely(pool: Any, name: str) -> float:
    """Seconds of setting all vectors of a space once more, as they are; 0 where there are none."""
    if name not in pool.spaces:
        return 0.0
    view, seconds = pool.at(name), 0.0
    for page in pool.scroll_ids():
        for start in range(0, len(page), BLOCK):
            records = view.retrieve(page[start : start + BLOCK], payloads=False, vectors=True)
            ids = [record.id for record in records]
            if view.info().dimension:
                rows: Any = np.stack([record.vector for record in records])
            else:
                pairs = [next(record.sparse.pairs()) for record in records]
                rows = SparseRows.of([dict(zip(*pair, strict=True)) for pair in pairs])
            seconds += seconds_of(partial(view.set_vectors, ids, rows))
    return seconds


def seconds_of(work: Callable[[], None]) -> float:
    gc.collect()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def memory_of(work: Callable[[], None]) -> int:
    """Bytes that are allocated by Python and numpy at the peak of ``work``."""
    gc.collect()
    tracemalloc.start()
    work()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def main(candidates: int, dimension: int, repeats: int) -> None:
    """Measure, and print a table."""
    with tempfile.TemporaryDirectory() as folder:
        rows, _ = clustered_pool(candidates, 1, dimension=dimension)
        vectors, texts = Vectors(Path(folder) / "rows", rows), texts_of(candidates)
        sizes = rows.nbytes / MEGABYTE, sum(len(one.text) for one in texts) / MEGABYTE
        print(f"{candidates:,} candidates, {dimension} dimensions:", end=" ")
        print("{:.0f} MB of vectors, {:.0f} MB of texts\n".format(*sizes))
        print("| representation | seconds | bare | seconds | ratio | memory |")
        print("| --- | --- | --- | --- | --- | --- |")
        for name, way in ways_of(vectors, texts).items():
            work = partial(represented, way, candidates)
            both = [(seconds_of(work), seconds_of(way.plain)) for _ in range(repeats)]
            ours, theirs = (statistics.median(column) for column in zip(*both, strict=True))
            print(
                f"| {name} | {ours:.2f} | {way.bare} | {theirs:.2f} | {ours / theirs:.2f} "
                f"| {memory_of(work) / MEGABYTE:.0f} MB |",
                flush=True,
            )
        print("\n| in a collection | learn | read | represent | store | storing alone |")
        print("| --- | --- | --- | --- | --- | --- |")
        for name, seconds, alone in whole_way(rows, texts):
            stages = (seconds.get(stage, 0.0) for stage in ("fit", "read", "represent", "store"))
            shown = " | ".join(f"{one:.2f}" for one in stages)
            print(f"| {name} | {shown} | {alone:.2f} |", flush=True)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--candidates", type=int, default=100_000)
    options.add_argument("--dimension", type=int, default=256)
    options.add_argument("--repeats", type=int, default=3)
    main(**vars(options.parse_args()))
