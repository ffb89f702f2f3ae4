"""Selections, trainings and what they come to; everything that is finished is kept."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from bench.speed.clock import machine, say
from bench.training.methods import CEILINGS, METHODS, Picked, pool_of, without_selecting
from bench.training.texts import TASKS, Drawn, Sizes, Task, Text, copied, drawn, near_copy

from tsds_qdrant.files.outputs import atomic_write, write_json
from tsds_qdrant.representations.language.model import LanguageModel

if TYPE_CHECKING:
    from bench.training.model import LastLayers

ORIGINALS = 20
"""Texts that are copied."""
TUNED_ON = ("random", "similarity-max")
"""Selections by which learning rate and passes are chosen: one far from the task, one near."""
TUNING_SEED = 1_000
CLOSE = 0.01
"""Nats a token that fewer passes may cost on the validation texts."""


@dataclass(frozen=True)
class Cell:
    """Where methods are compared."""

    task: Task
    seed: int
    copies: int

    def __str__(self) -> str:
        return f"{self.task.name}-{self.seed}-{self.copies}"


@dataclass
class Trials:
    """All that trainings share.

    Attributes:
        place: of trainings that are finished.
        cache: of states of texts.
        language: the model.
        layers: how many of its layers are trained; None for all.
        texts: all windows.
        vectors: (n, D) theirs.
        sizes: of everything.
        grid: learning rates, and passes.
    """

    place: Path
    cache: Path
    language: LanguageModel
    layers: int | None
    texts: list[Text]
    vectors: Any
    sizes: Sizes
    grid: tuple[tuple[float, ...], tuple[float, ...]]

    @cached_property
    def model(self) -> LastLayers:
        from bench.training.model import LastLayers

        return LastLayers(self.language, self.layers, self.cache)

    @cached_property
    def hidden(self) -> tuple[Any, Any]:
        """(n, D) hidden states of all texts, and (n,) their losses; kept."""
        kept = self.cache / f"hidden-{len(self.texts)}.npz"
        if not kept.exists():
            say(f"hidden states of {len(self.texts):,} texts")
            ids = [one.ids for one in self.texts]
            self.model.states(ids)
            draft = kept.with_suffix(".part.npz")
            np.savez(draft, states=self.model.pooled(ids), losses=self.model.losses(ids))
            draft.replace(kept)
        found = np.load(kept)
        return found["states"], found["losses"]

    @cached_property
    def gradients(self) -> Any:
        """(n, F) projected gradients of all texts, for the layers that are trained; kept."""
        kept = self.cache / f"gradients-{len(self.texts)}-{self.model.layers}.npy"
        if not kept.exists():
            say(f"gradients of {len(self.texts):,} texts")
            found = self.model.gradients([one.ids for one in self.texts])
            with atomic_write(kept) as stream:
                np.save(stream, found)
        return np.load(kept)

    def trained(self, cell: Cell, drawing: Drawn, ids: Sequence[list[int]], tuning: bool) -> Any:
        """Losses after each number of passes; the same texts are trained on once."""
        rates, passes = self.grid if tuning else ((self.chosen["rate"],), (self.chosen["passes"],))
        key = repr((cell.task.name, cell.seed, list(ids), rates, passes)).encode()
        kept = self.place / "trainings" / f"{hashlib.sha256(key).hexdigest()[:20]}.json"
        if not kept.exists():
            kept.parent.mkdir(exist_ok=True)
            validation = [self.texts[row].ids for row in drawing.validation]
            held_out = [self.texts[row].ids for row in drawing.held_out]
            clock = time.process_time if self.model.device == "cpu" else time.perf_counter
            started, runs = clock(), []
            for rate in rates:
                found = self.model.train(
                    ids,
                    rate=rate,
                    passes=passes,
                    validation=validation if tuning else [],
                    held_out=[] if tuning else held_out,
                    seed=cell.seed,
                )
                runs += [
                    {"rate": rate, "passes": one, "validation": pair[0], "held_out": pair[1]}
                    for one, pair in found.losses.items()
                ]
            write_json(kept, {"runs": runs, "seconds": clock() - started})
        return json.loads(kept.read_text(encoding="utf-8"))

    @cached_property
    def chosen(self) -> dict[str, float]:
        """Of those with about the least mean loss on validation texts, the fewest passes."""
        kept = self.place / "chosen.json"
        if not kept.exists():
            cell = Cell(TASKS[0], TUNING_SEED, 0)
            drawing = drawn(self.texts, cell.task, self.sizes, cell.seed)
            tried: dict[tuple[float, float], list[float]] = {}
            for name in TUNED_ON:
                say(f"choosing learning rate and passes: {name}")
                ids = self.tokens(cell, self.picked(cell, drawing, name))
                for run in self.trained(cell, drawing, ids, tuning=True)["runs"]:
                    tried.setdefault((run["rate"], run["passes"]), []).append(run["validation"])
            means = {pair: float(np.mean(losses)) for pair, losses in tried.items()}
            least = min(means.values())
            close = (pair for pair, loss in means.items() if loss <= least + CLOSE)
            rate, passes = min(close, key=lambda pair: (pair[1], means[pair]))
            rows = [{"rate": r, "passes": p, "validation": loss} for (r, p), loss in means.items()]
            write_json(kept, {"rate": rate, "passes": passes, "tried": rows})
        return json.loads(kept.read_text(encoding="utf-8"))

    def picked(self, cell: Cell, drawing: Drawn, name: str) -> Picked:
        """What the method ``name`` selects."""
        if name in CEILINGS:
            return without_selecting(name, drawing, self.texts, self.sizes.budget)
        method = METHODS[name]
        vectors, losses = self.vectors, None
        if method.over == "hidden":
            vectors, losses = self.hidden
        elif method.over == "gradients":
            vectors = self.gradients
        pool = pool_of(
            self.texts,
            vectors,
            drawing,
            originals=self.originals(cell, drawing),
            copies=cell.copies,
            seed=cell.seed,
            losses=losses,
        )
        return pool.selected(method, vectors[drawing.task], self.sizes.budget, cell.seed)

    @staticmethod
    def originals(cell: Cell, drawing: Drawn) -> list[int]:
        """Texts that are copied, or would be."""
        return copied(drawing, ORIGINALS, cell.seed)

    def tokens(self, cell: Cell, picked: Picked, originals: Sequence[int] = ()) -> list[list[int]]:
        """Tokens of the selected texts, best first, as far as the budget goes."""
        left, found = self.sizes.budget, []
        for one in picked.ids:
            ids = self._text(cell, one, originals).ids[:left]
            left -= len(ids)
            found += [ids] if ids else []
        return found

    def _source(self, cell: Cell, one: int, originals: Sequence[int]) -> int:
        copy = one - len(self.texts)
        return one if copy < 0 else originals[copy // cell.copies]

    def _text(self, cell: Cell, one: int, originals: Sequence[int]) -> Text:
        text = self.texts[self._source(cell, one, originals)]
        if one < len(self.texts):
            return text
        return near_copy(text, self.language.tokenizer, self.sizes.window, [cell.seed, one])

    def records(self, cell: Cell, names: Sequence[str]) -> Iterator[dict[str, Any]]:
        """What each method comes to, written as soon as it is known."""
        drawing = drawn(self.texts, cell.task, self.sizes, cell.seed)
        originals = self.originals(cell, drawing)
        members = set(cell.task.labels)
        for name in names:
            kept = self.place / f"{cell}-{name.replace(' ', '_')}.json"
            if not kept.exists():
                picked = self.picked(cell, drawing, name)
                ids = self.tokens(cell, picked, originals)
                training = self.trained(cell, drawing, ids, tuning=False)
                sources = [self._source(cell, one, originals) for one in picked.ids]
                write_json(
                    kept,
                    {
                        "task": cell.task.name,
                        "seed": cell.seed,
                        "copies": cell.copies,
                        "method": name,
                        "loss": training["runs"][-1]["held_out"],
                        "tokens": sum(map(len, ids)),
                        "texts": len(sources),
                        "distinct": len(set(sources)),
                        "share": float(np.mean([self.texts[k].label in members for k in sources])),
                        "mass": picked.mass,
                        "select_seconds": picked.seconds,
                        "train_seconds": training["seconds"],
                        "rate": self.chosen["rate"],
                        "passes": self.chosen["passes"],
                        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                        "machine": machine(),
                    },
                )
            yield json.loads(kept.read_text(encoding="utf-8"))

    def base(self, cell: Cell) -> dict[str, Any]:
        """The loss of the model as it came."""
        kept = self.place / f"{cell}-base.json"
        if not kept.exists():
            drawing = drawn(self.texts, cell.task, self.sizes, cell.seed)
            ids = [self.texts[row].ids for row in drawing.held_out]
            losses = self.model.losses(ids)
            loss = float(np.average(losses, weights=[len(one) for one in ids]))
            facts = {"task": cell.task.name, "seed": cell.seed, "copies": cell.copies}
            write_json(kept, {**facts, "method": "base", "loss": loss})
        return json.loads(kept.read_text(encoding="utf-8"))
