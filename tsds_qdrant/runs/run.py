"""Runs: a task and its selection into a state file, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import FloatArray
from tsds_qdrant.collections.ids import KeyArray, checked_ids, point_ids
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import CollectionInfo, PointId
from tsds_qdrant.errors import CollectionMismatchError, InputError, StateError
from tsds_qdrant.guards.guard import Guard
from tsds_qdrant.guards.stored import guard_arrays, guard_facts
from tsds_qdrant.neighbors.stored import from_arrays, to_arrays
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.runs.changes import Mark
from tsds_qdrant.runs.state import RunState
from tsds_qdrant.runs.write_back import Tagging
from tsds_qdrant.selection.quotas import Traits
from tsds_qdrant.selection.selection import Selection
from tsds_qdrant.selection.settings import SelectionSettings
from tsds_qdrant.strategies.tsds.accuracy import Accuracy
from tsds_qdrant.strategies.tsds.problem import Task, searcher_for

IDENTITY = ("location", "name", "vector", "dimension", "metric")


@dataclass(frozen=True)
class Drawn:
    """What an earlier run selected.

    Attributes:
        keys: (s, 3) id keys of the candidates with p > 0.
        probabilities: (s,) their p.
        samples: size -> (n,) rows of ``keys`` that were drawn, best rank first.
        accuracy: what was measured.
        traits: id -> what quotas, budgets and groups looked at.
    """

    keys: KeyArray
    probabilities: FloatArray
    samples: Mapping[int, npt.NDArray[np.int64]]
    accuracy: Accuracy
    traits: Mapping[PointId, Traits]

    @property
    def ids(self) -> list[PointId]:
        """Ids of ``keys``."""
        return point_ids(self.keys)


@dataclass(frozen=True)
class StoredRun:
    """A run as its state file holds it, without the neighbourhoods.

    Attributes:
        settings: as given to the first selection.
        sizes: what was drawn.
        cost_scale: C, settled by the first selection.
        collection: identity of the collection, see ``IDENTITY``, its model and its own mark.
        queries: where the task examples came from, and their texts.
        mark: how far changes are known.
        drawn: the last selection.
        tagging: how selected points are tagged in the collection, if they are.
    """

    settings: SelectionSettings
    sizes: tuple[int, ...]
    cost_scale: float
    collection: Mapping[str, Any]
    queries: Mapping[str, Any]
    mark: Mark
    drawn: Drawn
    tagging: Tagging | None = None


def save_run(
    state: RunState,
    task: Task,
    selection: Selection,
    mark: Mark,
    *,
    queries: Mapping[str, Any],
    run: Mapping[str, Any],
    tagging: Tagging | None = None,
    guard: Guard | None = None,
) -> int:
    """Store everything in one transaction and return the number of the run."""
    neighborhoods = task.neighborhoods
    info = selection.collection
    support = np.flatnonzero(selection.probabilities)
    row_of = np.full(len(selection.probabilities), -1, dtype=np.int64)
    row_of[support] = np.arange(len(support))
    facts = {
        "settings": asdict(task.settings),
        "sizes": list(selection.samples),
        "cost_scale": task.cost_scale,
        "bandwidth": neighborhoods.bandwidth,
        "collection": identity_of(info),
        "queries": dict(queries),
        "mark": {"way": mark.way, "field": mark.field_name, "value": mark.value},
        "ef": neighborhoods.searcher.ef,
        "scanner": neighborhoods.searcher.info.scanner,
        "accuracy": vars(selection.accuracy),
        "tagging": None if tagging is None else asdict(tagging),
        "guard": guard_facts(guard),
        "traits": [asdict(one) for one in selection.traits.values()],
    }
    arrays = {
        "query_weights": task.query_weights,
        "mark_keys": mark.keys,
        "mark_prints": mark.prints,
        "drawn_keys": selection.keys[support],
        "drawn_probabilities": selection.probabilities[support],
        **{
            f"drawn_{size}": row_of[sample.candidates] for size, sample in selection.samples.items()
        },
        "excluded_keys": neighborhoods.index.keys[neighborhoods.excluded],
        **guard_arrays(guard),
        **to_arrays(neighborhoods),
    }
    return state.save(facts, arrays, run)


def load_run(state: RunState) -> tuple[StoredRun, dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """The stored run, all arrays, and all facts.

    Raises:
        StateError: the state holds no run, or one that cannot be read.
    """
    facts, arrays = state.facts(), state.arrays()
    if not facts:
        raise StateError(f"run state '{state.path}' is empty; select anew with --state")
    try:
        settings = SelectionSettings.stored(facts["settings"])
        run = StoredRun(
            settings,
            tuple(facts["sizes"]),
            facts["cost_scale"],
            facts["collection"],
            facts["queries"],
            Mark(
                facts["mark"]["way"],
                facts["mark"]["field"],
                facts["mark"]["value"],
                arrays["mark_keys"],
                arrays["mark_prints"],
            ),
            Drawn(
                arrays["drawn_keys"],
                arrays["drawn_probabilities"],
                {size: arrays[f"drawn_{size}"] for size in facts["sizes"]},
                Accuracy(**facts["accuracy"]),
                dict(
                    zip(
                        point_ids(arrays["drawn_keys"]),
                        [Traits.stored(one) for one in facts.get("traits", [])],
                        strict=False,
                    )
                ),
            ),
            Tagging(**facts["tagging"]) if facts.get("tagging") else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StateError(
            f"run state '{state.path}' lacks {error}; restore it from a copy, or select anew"
        ) from error
    return run, arrays, facts


def resume_task(
    collection: Collection,
    run: StoredRun,
    arrays: Mapping[str, npt.NDArray[Any]],
    facts: Mapping[str, Any],
    progress: Progress = silent,
) -> Task:
    """The task as it was left, over the collection as it is now."""
    settings = run.settings
    searcher = searcher_for(collection, settings, progress)
    searcher.ef = facts["ef"]
    neighborhoods = from_arrays(searcher, arrays, density_limit=settings.density_limit)
    if searcher.info.scanner != facts.get("scanner", "qdrant"):
        neighborhoods.forget()  # distances of two scanners must not be mixed
    excluded = point_ids(arrays.get("excluded_keys", np.empty((0, 3), dtype=np.uint64)))
    if excluded:
        neighborhoods.set_excluded(neighborhoods.index.numbers(excluded))
    return Task(settings, neighborhoods, run.cost_scale, arrays["query_weights"])


def identity_of(info: CollectionInfo) -> dict[str, Any]:
    """What must stay the same for a run to go on."""
    return {
        **{name: getattr(info, name) for name in IDENTITY},
        "model": info.metadata.get("model"),
        "identity": info.metadata.get("identity"),
    }


def check_identity(info: CollectionInfo, stored: Mapping[str, Any]) -> None:
    """Check that ``info`` is the collection of the run.

    Raises:
        CollectionMismatchError: the message says what differs.
    """
    now = identity_of(info)
    for name, value in stored.items():
        if name == "location" or now[name] == value:
            continue
        if name == "identity":
            raise CollectionMismatchError(
                f"collection '{info.name}' was made anew since the run; select anew with --state"
            )
        raise CollectionMismatchError(
            f"{name} of collection '{info.name}' is '{now[name]}', in the run it was '{value}'; "
            f"select anew with --state"
        )


def check_settings(path: object, stored: SelectionSettings, wanted: SelectionSettings) -> None:
    """Check that a selection into an existing state asks for the same.

    Raises:
        StateError: the message says what differs.
    """
    mine, theirs = asdict(wanted), asdict(stored)
    for name, value in mine.items():
        before = theirs[name]
        if (tuple(value) if isinstance(value, list) else value) != (
            tuple(before) if isinstance(before, list) else before
        ):
            raise StateError(
                f"run state '{path}' was made with {name} {before}, not {value}; "
                f"use 'tsds-qdrant reselect', or another --state"
            )


def ids_of_file(path: Path) -> list[PointId]:
    """Point ids from a text file, one a line; blank lines are skipped.

    Raises:
        InputError: no such file, or a line that is no point id.
    """
    try:
        lines = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"'{path}' cannot be read ({error}); give one id a line") from error
    return checked_ids([int(line) if line.isdecimal() else line for line in lines])
