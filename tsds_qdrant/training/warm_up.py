"""Warm-up: a language model learns a part of the pool by adapters, and leaves checkpoints.

Per-example gradients say more at checkpoints of such a training than at the base model (LESS, arXiv
2402.04333). The collection is only read. What is to be learnt is written down first, so that a
warm-up that was stopped goes on after its last epoch, whatever was ingested since.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import Filter, PointId
from tsds_qdrant.errors import InputError, OutputError, StateError
from tsds_qdrant.files.json_values import json_safe, parse_json
from tsds_qdrant.files.outputs import write_json
from tsds_qdrant.ingestion.candidates import Candidates
from tsds_qdrant.ingestion.represent import NO_TEXT
from tsds_qdrant.paths import absolute
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.records.showing import Showing
from tsds_qdrant.representations.base import OK, differences
from tsds_qdrant.representations.checkpoints.checkpoints import FACTS
from tsds_qdrant.representations.checkpoints.lora import Epoch, LoraTraining
from tsds_qdrant.representations.checkpoints.lora_settings import LoraSettings
from tsds_qdrant.representations.checkpoints.model_files import read_object
from tsds_qdrant.representations.language.model import LanguageModel
from tsds_qdrant.representations.language.tokens import Tokens, tokenized
from tsds_qdrant.training.warm_up_part import PartSettings

PLAN = "warm-up.json"
PAGE = 256
"""Candidates that are read at once."""
OTHER_OUT = "give another --out, or remove that directory to begin again"


@dataclass
class WarmUpReport:
    """What a warm-up has done.

    Attributes:
        directory: where the checkpoints are.
        pool: candidates.
        trained: examples that were learnt.
        without: why others of the part were not -> how many.
        truncated: examples longer than what the model reads.
        epochs: of each checkpoint its ``epoch``, ``step``, ``learning_rate`` and ``loss``.
        resumed: epochs that were there already.
    """

    directory: str
    pool: int = 0
    trained: int = 0
    without: Counter[str] = field(default_factory=Counter)
    truncated: int = 0
    epochs: list[dict[str, Any]] = field(default_factory=list)
    resumed: int = 0


def warm_up(
    collection: Collection,
    language: LanguageModel,
    showing: Showing,
    directory: str | Path,
    part: PartSettings,
    training: LoraSettings,
    where: Filter | None = None,
    progress: Progress = silent,
) -> WarmUpReport:
    """Train adapters of ``language`` on a part of ``collection``, a checkpoint after each epoch.

    Args:
        collection: only read.
        language: stays as it is.
        showing: what payloads show it.
        directory: of the checkpoints; the same one again goes on after the last epoch in it.
        part: which candidates.
        training: of the adapters.
        where: the candidates.
        progress: of the stages ``read`` and ``warm-up``, in examples.

    Raises:
        InputError: nothing is to be learnt.
        OutputError: ``directory`` cannot be written, or holds other things.
        StateError: it holds a warm-up by other settings, or of points that have changed.
        EmbeddingError, MissingPackageError: the model cannot be loaded or trained.
    """
    out = _directory(directory)
    facts = json_safe(
        {
            "model": language.manifest(),
            "text": showing.facts(),
            "part": {**asdict(part), "filter": where},
            "training": training.facts(),
        }
    )
    plan = _plan(out, facts)
    report = WarmUpReport(str(out))
    if plan is None:
        ids = [one for page in collection.scroll_ids(where) for one in page]
        report.pool, ids = len(ids), part.of(ids)
    else:
        report.pool, ids = int(plan["pool"]), plan["ids"]
    rows = _examples(collection, language, showing, ids, report, progress)
    examples = _hash(rows)
    if plan is None:
        write_json(out / PLAN, {**facts, "pool": report.pool, "examples": examples, "ids": ids})
    elif plan["examples"] != examples:
        raise StateError(
            f"points that the warm-up in '{out}' learns were changed or deleted since it began; "
            f"{OTHER_OUT}"
        )
    known = {**facts, "pool": report.pool, "trained": len(rows), "examples": examples}
    _train(
        LoraTraining(language, rows, training, part.seed), training.epochs, known, report, progress
    )
    return report


def _train(
    training: LoraTraining,
    epochs: int,
    facts: Mapping[str, Any],
    report: WarmUpReport,
    progress: Progress,
) -> None:
    """Do the epochs that are not there yet."""
    out = Path(report.directory)
    places = [
        out / f"checkpoint-{number * training.steps_of_an_epoch}" for number in range(1, epochs + 1)
    ]
    there = next((k for k, place in enumerate(places) if not place.is_dir()), epochs)
    if 0 < there < epochs:
        training.restore(places[there - 1])
    report.resumed, total, done = there, (epochs - there) * report.trained, 0

    def on_examples(count: int) -> None:
        nonlocal done
        done += count
        progress("warm-up", done, total)

    for number, place in enumerate(places, start=1):
        if number > there:
            epoch = training.epoch(number, on_examples)
            if not place.is_dir():
                training.save(place, {**asdict(epoch), **facts})
        found = read_object(place / FACTS)
        report.epochs.append({one.name: found.get(one.name) for one in fields(Epoch)})


def _directory(path: str | Path) -> Path:
    """The directory at ``path``, made where there is none.

    Raises:
        OutputError: it cannot be made, or holds what no warm-up wrote.
    """
    out = Path(absolute(path))
    try:
        out.mkdir(parents=True, exist_ok=True)
        names = {one.name for one in out.iterdir() if not one.name.startswith(".")}
    except OSError as error:
        raise OutputError(
            f"'{path}' cannot be a directory of checkpoints ({error.strerror}); give another --out"
        ) from error
    if names and PLAN not in names:
        raise OutputError(
            f"'{path}' holds other files ({min(names)}) and no {PLAN}; give --out a new directory"
        )
    return out


def _plan(directory: Path, facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the warm-up in ``directory`` is to do; None where none has begun.

    Raises:
        StateError: it cannot be read, or is to be done by other settings.
    """
    path = directory / PLAN
    if not path.exists():
        return None
    try:
        plan = parse_json(path.read_text(encoding="utf-8"))
        theirs = {key: plan[key] for key in facts}
        whole = {key: plan[key] for key in ("pool", "examples", "ids")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StateError(f"'{path}' cannot be read ({error}); {OTHER_OUT}") from error
    if unlike := differences(theirs, facts):
        raise StateError(
            f"'{directory}' holds a warm-up that was begun otherwise ({', '.join(unlike)}); take "
            f"the same settings, or {OTHER_OUT}"
        )
    return whole


def _examples(
    collection: Collection,
    language: LanguageModel,
    showing: Showing,
    ids: Sequence[PointId],
    report: WarmUpReport,
    progress: Progress,
) -> list[Tokens]:
    """What is learnt of the candidates ``ids``, in their order.

    Raises:
        InputError: nothing.
    """
    candidates, rows = Candidates(collection, None, showing), list[Tokens]()
    for start in range(0, len(ids), PAGE):
        batch = candidates.of(ids[start : start + PAGE])
        report.without[NO_TEXT] += len(batch.textless)
        assert not isinstance(batch.examples, np.ndarray)
        for row in tokenized(language, batch.examples):
            report.truncated += row.truncated
            if row.status == OK:
                rows.append(row)
            else:
                report.without[row.status] += 1
        progress("read", min(start + PAGE, len(ids)), len(ids))
    report.without, report.trained = +report.without, len(rows)
    if not ids:
        raise InputError("no candidate is there to be learnt; ingest some, or change --filter")
    if not rows:
        reasons = ", ".join(f"{count}: {why}" for why, count in report.without.items())
        raise InputError(
            f"none of {len(ids)} candidates shows an answer to learn "
            f"({reasons or 'all are gone'}); name their fields with --map, or read more of them "
            "with --max-length"
        )
    return rows


def _hash(rows: Sequence[Tokens]) -> str:
    """16 hexadecimal digits that differ wherever what is learnt does."""
    found = hashlib.sha256()
    for row in rows:
        found.update(f"{list(row.ids)}{[int(one) for one in row.learnt]};".encode())
    return found.hexdigest()[:16]
