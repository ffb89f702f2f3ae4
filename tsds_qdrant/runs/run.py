"""Runs: a selection with all that it rests on, into a state file, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import FloatArray
from tsds_qdrant.collections.ids import KeyArray, point_ids, point_keys
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.errors import StateError
from tsds_qdrant.guards.guard import Guard
from tsds_qdrant.guards.stored import guard_arrays, guard_facts
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.runs.address import identity_of
from tsds_qdrant.runs.marks import Mark
from tsds_qdrant.runs.state import FINGERPRINT, RunState
from tsds_qdrant.runs.tagging import Tagging
from tsds_qdrant.runs.writers import restored_readings, stored_readings
from tsds_qdrant.selection.quotas import Traits
from tsds_qdrant.selection.searching import searcher_of
from tsds_qdrant.selection.selection import Selection
from tsds_qdrant.selection.settings import SelectionSettings

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Run:
    """A selection and all that it rests on; a state keeps it, or nothing does.

    Attributes:
        selection: the last one.
        known: what the strategy has learned.
        queries: where the task examples came from, and their texts.
        mark: how far changes are known; None where the run is not to be kept.
        guard: what keeps copies of test items out.
        tagging: how selected points are tagged in the collection, if they are.
        history: figures of all selections so far, oldest first.
        note: what became of searches that an interrupted attempt had kept; "" for nothing.
    """

    selection: Selection
    known: Any
    queries: Mapping[str, Any] = field(default_factory=dict)
    mark: Mark | None = None
    guard: Guard | None = None
    tagging: Tagging | None = None
    history: tuple[Mapping[str, Any], ...] = ()
    note: str = ""

    @property
    def texts(self) -> list[str]:
        """M texts of the task examples; empty where none are known."""
        return list(self.queries.get("texts") or ())


@dataclass(frozen=True)
class Drawn:
    """What an earlier run selected.

    Attributes:
        keys: (s, 3) id keys of the candidates that had p > 0, or that were drawn.
        probabilities: (s,) their p; NaN where the strategy left nothing to chance.
        samples: size -> (n,) rows of ``keys`` that were drawn, best rank first.
        evidence: what the evidence stored.
        traits: id -> what quotas, budgets and groups looked at.
        copies: id -> whether it is a near copy of a better one.
    """

    keys: KeyArray
    probabilities: FloatArray
    samples: Mapping[int, npt.NDArray[np.int64]]
    evidence: Mapping[str, Any]
    traits: Mapping[PointId, Traits]
    copies: Mapping[PointId, bool] = field(default_factory=dict)

    @property
    def ids(self) -> list[PointId]:
        """Ids of ``keys``."""
        return point_ids(self.keys)


@dataclass(frozen=True)
class StoredRun:
    """A run as its state file holds it, without the knowledge.

    Attributes:
        settings: as given to the first selection.
        sizes: what was drawn.
        collection: its identity and address, see :mod:`tsds_qdrant.runs.address`.
        queries: where the task examples came from, and their texts.
        mark: how far changes are known.
        drawn: the last selection.
        tagging: how selected points are tagged in the collection, if they are.
        candidates: size of the pool then; None where an older state does not say.
    """

    settings: SelectionSettings
    sizes: tuple[int, ...]
    collection: Mapping[str, Any]
    queries: Mapping[str, Any]
    mark: Mark
    drawn: Drawn
    tagging: Tagging | None = None
    candidates: int | None = None


def keep_run(state: RunState, run: Run, figures: Mapping[str, Any] | None) -> int:
    """Store ``run`` and, for the history, ``figures`` if any; return the history's last number."""
    selection, mark = run.selection, run.mark or Mark("ids")
    p = selection.preference.probabilities
    kept = selection.support
    if selection.preference.ordered:
        parts = [sample.candidates for sample in selection.samples.values()]
        kept = np.unique(np.concatenate([np.empty(0, dtype=np.int64), *parts]))
    row_of = np.full(len(selection.ids), -1, dtype=np.int64)
    row_of[kept] = np.arange(len(kept))
    known_facts, known_arrays = run.known.stored()
    facts = {
        "settings": selection.settings.stored(),
        "sizes": list(selection.samples),
        "candidates": selection.candidates,
        "collection": identity_of(selection.collection),
        "queries": {**run.queries, **selection.tasks.stored()},
        "mark": {
            "way": mark.way,
            "field": mark.field_name,
            "value": mark.value,
            "writers": stored_readings(mark.readings),
            "count": mark.count,
            "stamped": dict(mark.stamped),
        },
        FINGERPRINT: mark.fingerprint,
        "knowledge": known_facts,
        "evidence": selection.evidence.stored(),
        "tagging": None if run.tagging is None else asdict(run.tagging),
        "guard": guard_facts(run.guard),
        "traits": [asdict(one) for one in selection.traits.values()],
    }
    arrays = {
        "mark_keys": mark.keys,
        "mark_prints": mark.prints,
        "drawn_keys": selection.keys[kept],
        "trait_keys": point_keys(list(selection.traits)),
        "copy_keys": point_keys(list(selection.copies)),
        "copies": np.array([*selection.copies.values()], dtype=np.bool_),
        "drawn_probabilities": np.full(len(kept), np.nan) if p is None else p[kept],
        **{
            f"drawn_{size}": row_of[sample.candidates] for size, sample in selection.samples.items()
        },
        **guard_arrays(run.guard),
        **known_arrays,
    }
    return state.save(facts, arrays, figures)


def load_run(state: RunState) -> tuple[StoredRun, dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """The stored run, all arrays, and all facts.

    Raises:
        StateError: the state holds no run, or one that cannot be read.
    """
    facts, arrays = state.facts(), state.arrays()
    if not facts:
        raise StateError(f"run state '{state.path}' is empty; select again with --state")
    try:
        looked_at = point_ids(arrays.get("trait_keys", arrays["drawn_keys"]))
        traits = [Traits.stored(one) for one in facts.get("traits", [])]
        mark = facts["mark"]
        run = StoredRun(
            SelectionSettings.restored(facts["settings"]),
            tuple(facts["sizes"]),
            facts["collection"],
            facts["queries"],
            Mark(
                mark["way"],
                mark["field"],
                mark["value"],
                arrays["mark_keys"],
                arrays["mark_prints"],
                restored_readings(mark.get("writers", {})),
                mark.get("count"),
                mark.get("stamped", {}),
                facts.get(FINGERPRINT),
            ),
            Drawn(
                arrays["drawn_keys"],
                arrays["drawn_probabilities"],
                {size: arrays[f"drawn_{size}"] for size in facts["sizes"]},
                # Facts of states that version 0.1 made stand one storey higher.
                facts["evidence"] if "evidence" in facts else {"accuracy": facts["accuracy"]},
                dict(zip(looked_at, traits, strict=False)),
                _copies(arrays),
            ),
            Tagging(**facts["tagging"]) if facts.get("tagging") else None,
            facts.get("candidates"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StateError(
            f"run state '{state.path}' lacks {error}; restore it from a copy, or select again"
        ) from error
    return run, arrays, facts


def _copies(arrays: Arrays) -> dict[PointId, bool]:
    """What was found of near copies; nothing in states of versions that looked for none."""
    if "copies" not in arrays:
        return {}
    return dict(zip(point_ids(arrays["copy_keys"]), arrays["copies"].tolist(), strict=True))


def resume_knowledge(
    collection: Collection,
    run: StoredRun,
    arrays: Arrays,
    facts: Mapping[str, Any],
    progress: Progress = silent,
) -> Any:
    """What the strategy knew, over the collection as it is now."""
    settings = run.settings
    searcher = searcher_of(collection, settings, progress)
    searcher.wanted = max(run.sizes, default=0)
    return settings.strategy.resume(searcher, facts.get("knowledge", facts), arrays)


def check_stored(path: str | Path, wanted: SelectionSettings) -> None:
    """Check the same of the state file ``path``, if there is one; little of it is read.

    Raises:
        StateError: it asks for something else, or is no state.
    """
    stored = RunState(path).fact("settings") if Path(path).exists() else None
    if stored is not None:
        check_settings(path, SelectionSettings.restored(stored), wanted)


def check_settings(path: object, stored: SelectionSettings, wanted: SelectionSettings) -> None:
    """Check that a selection into an existing state asks for the same.

    Raises:
        StateError: the message says what differs.
    """
    mine, theirs = ({"strategy": one.strategy.name, **one.flat()} for one in (wanted, stored))
    for name, value in mine.items():
        before = theirs.get(name)
        if value != before:
            raise StateError(
                f"run state '{path}' was made with {name} {before}, not {value}; "
                f"use 'tsds-qdrant reselect', or another --state"
            )
