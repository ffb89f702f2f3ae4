"""A guard in a run's state: its test items as numbers, and what it has looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tsds_qdrant.collections.ids import point_ids, point_keys
from tsds_qdrant.errors import StateError
from tsds_qdrant.guards.fingerprints import Prints
from tsds_qdrant.guards.guard import Guard
from tsds_qdrant.guards.held_out import Finding, HeldOut, Reach
from tsds_qdrant.records import TextTemplate

LEARNED = ("guard_clean", "guard_without_text", "guard_without_vector")
"""Arrays that say what was looked at; the others say what the test items are."""
Arrays = dict[str, npt.NDArray[Any]]


def guard_facts(guard: Guard | None) -> dict[str, Any] | None:
    """What :func:`stored_guard` needs beside the arrays; None for no guard."""
    if guard is None:
        return None
    held_out = guard.held_out
    assumed = {"assumed": True} if guard.template.loose else {}
    return {
        **assumed,
        "reach": asdict(held_out.reach),
        "sources": list(held_out.sources),
        "counts": list(held_out.counts),
        "excerpts": list(held_out.excerpts),
        "text": guard.template.to_dict(),
        "findings": [vars(found) for found in guard.looked.values() if found is not None],
    }


def guard_arrays(guard: Guard | None) -> Arrays:
    """The arrays of a guard, by the names they have in a state."""
    if guard is None:
        return {}
    held_out = guard.held_out
    return {
        "guard_vectors": held_out.vectors,
        "guard_wholes": held_out.wholes.values,
        "guard_whole_items": held_out.wholes.items,
        "guard_whole_places": held_out.wholes.places,
        "guard_runs": held_out.runs.values,
        "guard_run_items": held_out.runs.items,
        "guard_run_places": held_out.runs.places,
        "guard_run_lengths": held_out.run_lengths,
        "guard_lengths": held_out.lengths,
        "guard_clean": point_keys([i for i, found in guard.looked.items() if found is None]),
        "guard_without_text": point_keys(sorted(guard.without_text, key=str)),
        "guard_without_vector": point_keys(sorted(guard.without_vector, key=str)),
    }


def stored_guard(facts: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> Guard | None:
    """The guard that a state holds, or None.

    Raises:
        KeyError: the state lacks a part of it.
    """
    stored = facts.get("guard")
    if stored is None:
        return None
    held_out = HeldOut(
        Reach(**stored["reach"]),
        tuple(stored["sources"]),
        tuple(stored["counts"]),
        tuple(stored["excerpts"]),
        arrays["guard_vectors"],
        Prints(arrays["guard_wholes"], arrays["guard_whole_items"], arrays["guard_whole_places"]),
        Prints(arrays["guard_runs"], arrays["guard_run_items"], arrays["guard_run_places"]),
        arrays["guard_run_lengths"],
        arrays["guard_lengths"],
    )
    findings = [Finding(**found) for found in stored["findings"]]
    looked: dict[Any, Finding | None] = dict.fromkeys(point_ids(arrays["guard_clean"]))
    looked.update({found.id: found for found in findings})
    return Guard(
        held_out,
        replace(TextTemplate.from_dict(stored["text"]), loose=bool(stored.get("assumed"))),
        looked=looked,
        without_text=point_ids(arrays["guard_without_text"]),
        without_vector=point_ids(arrays.get("guard_without_vector", np.empty((0, 3), np.uint64))),
    )


def check_guard(path: object, stored: Guard | None, wanted: Guard | None) -> None:
    """Check that a selection into an existing state keeps the same test items out.

    Raises:
        StateError: it does not.
    """
    mine, theirs = guard_facts(wanted), guard_facts(stored)
    for one in (mine, theirs):
        if one is not None:
            del one["findings"], one["sources"]  # the same items may come from another file
            one.pop("assumed", None)
    if mine and theirs and not mine["text"]:
        mine["text"] = theirs["text"]  # it would be decided again
    same = mine == theirs and all(
        name in LEARNED or np.array_equal(array, known)
        for (name, array), known in zip(
            guard_arrays(wanted).items(), guard_arrays(stored).values(), strict=True
        )
    )
    if not same:
        raise StateError(
            f"run state '{path}' keeps other test items out than --exclude names; "
            f"use 'tsds-qdrant reselect', or another --state"
        )
