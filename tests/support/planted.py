"""A pool of three domains in which one is wanted, seen by a tiny language model.

Sums, tales and code, each in a style of its own; 20 task examples are of one of them. The model is
trained for a few steps on all three, so that its gradients say something. ``planted_pool`` makes a
collection with all representations that a strategy may want; ``Planted.task`` gives the task in any
of them, and ``Planted.precision`` says how many of some ids are of the wanted domain.

    with planted_pool(tmp_path) as planted, planted.open("loss-gradient") as pool:
        settings = SelectionSettings.of("dsdm", sizes=(100,))
        found = select(pool, planted.task(pool), settings)
        assert planted.precision(found.selected_ids) >= 3 * planted.base_rate

With ``dialogues`` every text is an answer, for preferences between answers (``preferences``) to be
read in the same form.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tiny_models import BOS, saved_model, tiny_model, tiny_tokenizer

from tsds_qdrant import create_collection, open_collection
from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.ingestion.represent import represent
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.records.showing import Showing
from tsds_qdrant.representations.base import Way
from tsds_qdrant.representations.catalog import KINDS
from tsds_qdrant.task.examples import TaskExamples
from tsds_qdrant.task.sources import task_examples

WANTED = "sums"
COUNTS: Mapping[str, int] = {"sums": 60, "tales": 210, "code": 210}
TARGETS = 20
STEPS, BATCH = 100, 16
ASKED = "Go on."
"""What every answer answers."""
SOURCES = 8
"""All sums are of source ``s0``, and no other text is; the others are spread over seven."""
TEXTS = Showing(TextTemplate(text_field="text"))
SPACES: Mapping[str, Mapping[str, Any]] = {
    "hidden": {},
    "gradient": {"dimension": 32},
    "loss-gradient": {"dimension": 32},
    "margin-gradient": {"dimension": 32},
    "whitened": {"of": "gradient"},
}
"""Space, named as its kind -> settings of the kind."""


def text_of(domain: str, rng: np.random.Generator) -> str:
    """A short text in the style of ``domain``."""

    def some(*words: str) -> str:
        return str(rng.choice(words))

    if domain == "sums":
        a, b = rng.integers(2, 60, size=2).tolist()
        return some(f"{a} + {b} = {a + b}", f"{a} * {b} = {a * b}", f"{a + b} - {b} = {a}")
    if domain == "tales":
        who = some("the miller", "an old fox", "her sister", "the king")
        where = some("by the river", "in the wood", "at the gate", "under the moon")
        return (
            f"{who} {some('slept', 'sang', 'waited', 'wept')} {where} and {some('dreamt', 'left')}"
        )
    name, other = some("f", "g", "run", "get"), some("x", "y", "key", "row")
    return f"def {name}({other}): return {other}{some('[0]', '.pop()', '[-1]', '.id')}"


@dataclass(frozen=True)
class Planted:
    """The pool, and which domain each of its points is of.

    Attributes:
        place: directory of the collection ``pool`` and of the task's file.
        domains: id -> domain.
        sources: id -> source.
        targets: the task's texts.
    """

    place: Path
    domains: Mapping[PointId, str]
    sources: Mapping[PointId, str]
    targets: Sequence[str]

    @property
    def base_rate(self) -> float:
        """Share of the pool that is wanted."""
        return COUNTS[WANTED] / len(self.domains)

    @property
    def model(self) -> str:
        """Directory of the model."""
        return str(self.place / "model")

    def open(self, space: str) -> Collection:
        """The collection, searched in ``space``; to be closed."""
        return open_collection(str(self.place / "store"), "pool", vector=space)

    def task(self, space: str | Collection, way: Way = "targets") -> TaskExamples:
        """The task examples as ``select --queries`` makes them for a space, open or not."""
        if isinstance(space, str):
            with self.open(space) as pool:
                return self.task(pool, way)
        file = str(self.place / "task.jsonl")
        return task_examples(file, space.info(), collection=space, way=way)

    def preferences(self, space: Collection, chosen: str, rejected: str) -> TaskExamples:
        """``TARGETS`` answers of the domain ``chosen``, each before one of ``rejected``."""
        rng = np.random.default_rng(1)
        file = self.place / f"{chosen}-{rejected}.jsonl"
        pairs = (
            {
                "prompt": ASKED,
                "chosen": text_of(chosen, rng),
                "rejected": text_of(rejected, rng),
            }
            for _ in range(TARGETS)
        )
        file.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
        return task_examples(str(file), space.info(), collection=space, way="contrasts")

    def rows(self, space: str) -> tuple[list[PointId], Float32Array]:
        """Ids and stored vectors (n, D) of all candidates."""
        with self.open(space) as pool:
            return pool.vectors([*self.domains])

    def precision(self, ids: Sequence[PointId], domain: str = WANTED) -> float:
        """Share of ``ids`` that is of ``domain``, the wanted one."""
        return float(np.mean([self.domains[one] == domain for one in ids]))


@contextmanager
def planted_pool(
    place: Path, spaces: Sequence[str] = tuple(SPACES), seed: int = 0, dialogues: bool = False
) -> Iterator[Planted]:
    """Make the pool in the empty directory ``place``, with ``spaces``; it takes a few seconds."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield _made(place, spaces, seed, dialogues)
    finally:
        torch.set_num_threads(threads)


def _made(place: Path, spaces: Sequence[str], seed: int, dialogues: bool) -> Planted:
    rng = np.random.default_rng(seed)
    domains = rng.permutation(
        [name for name, count in COUNTS.items() for _ in range(count)]
    ).tolist()
    texts = [text_of(domain, rng) for domain in domains]
    sources = ["s0" if domain == WANTED else f"s{rng.integers(1, SOURCES)}" for domain in domains]
    targets = [text_of(WANTED, rng) for _ in range(TARGETS)]
    read = [as_read(text) for text in texts] if dialogues else texts
    saved_model(place / "model", _trained(read, rng))
    records = [_record(one, dialogues) for one in targets]
    (place / "task.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    payloads = [
        {**_record(text, dialogues), "domain": domain, "source": source}
        for text, domain, source in zip(texts, domains, sources, strict=True)
    ]
    store = str(place / "store")
    showing = Showing(dialogues=True) if dialogues else TEXTS
    metadata = {"text": showing.template.to_dict()}
    with create_collection(store, "pool", dimension=2, metadata=metadata) as pool:
        own = rng.normal(size=(len(texts), 2)).astype(np.float32)
        pool.upsert(range(len(texts)), own, payloads)
        for kind in spaces:
            add_space(pool, kind, str(place / "model"), showing)
    numbers = range(len(texts))
    return Planted(
        place,
        dict(zip(numbers, domains, strict=True)),
        dict(zip(numbers, sources, strict=True)),
        targets,
    )


def _record(text: str, dialogues: bool) -> dict[str, str]:
    return {"prompt": ASKED, "completion": text} if dialogues else {"text": text}


def as_read(answer: str) -> str:
    """The dialogue as the model reads it; the tokenizer begins it."""
    turns = [{"role": "user", "content": ASKED}, {"role": "assistant", "content": answer}]
    said: str = tiny_tokenizer().apply_chat_template(turns, tokenize=False)
    return said.removeprefix(BOS)


def add_space(
    pool: Collection, kind: str, model: str, showing: Showing = TEXTS, **settings: Any
) -> None:
    """What ``represent`` does, for a kind of ``SPACES``."""
    given = {**SPACES[kind], **settings}
    if kind != "whitened":
        given = {**given, "model": model, "device": "cpu"}
    one: Any = KINDS[kind](**given)
    represent(
        pool,
        one.made(),
        showing,
        remembered=one.remembered(),
        kind=kind,
    )


def _trained(texts: Sequence[str], rng: np.random.Generator) -> Any:
    """A tiny model after a few steps of Adam on ``texts``."""
    import torch

    model, tokenizer = tiny_model(), tiny_tokenizer()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    model.train()
    for _ in range(STEPS):
        chosen = [texts[k] for k in rng.integers(len(texts), size=BATCH).tolist()]
        batch = tokenizer(chosen, return_tensors="pt", padding=True)
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        optimizer.zero_grad()
        model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels
        ).loss.backward()
        optimizer.step()
    return model.eval()
