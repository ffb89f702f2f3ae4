"""What a selection leaves on disk: the sample, the probabilities, the manifest."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

from tsds_qdrant.collections import remembered_location
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import FLOAT32, CollectionInfo
from tsds_qdrant.files.outputs import sized_path, write_json, write_rows
from tsds_qdrant.files.streams import is_stream
from tsds_qdrant.represented.marks import all_kept
from tsds_qdrant.selection.by_task import shares_by_task
from tsds_qdrant.selection.selection import PROBABILITY_COLUMNS, Selection

PAYLOAD_PAGE = 1_000


def sample_paths(out: str | Path, sizes: tuple[int, ...]) -> dict[int, Path]:
    """Where the sample of each size goes: ``out`` itself, or ``out`` with the size in its name.

    A stream takes them all.
    """
    if len(sizes) == 1 or is_stream(out):
        return dict.fromkeys(sizes, Path(out))
    return {size: sized_path(out, size) for size in sizes}


def manifest_path(out: str | Path) -> Path:
    """The manifest beside ``out``."""
    return Path(f"{out}.manifest.json")


def with_manifest(*outputs: str | Path | None) -> Path | None:
    """The first of ``outputs`` that a manifest can lie beside; None where all are streams."""
    return next((Path(out) for out in outputs if out and not is_stream(out)), None)


def sample_rows(
    collection: Collection, selection: Selection, size: int
) -> Iterator[dict[str, Any]]:
    """Rows of the sample with their payloads, fetched page by page."""
    rows = selection.sample_rows(size)
    while page := list(islice(rows, PAYLOAD_PAGE)):
        stored = collection.retrieve([row["id"] for row in page])
        payloads = {record.id: record.content for record in stored}
        for row in page:
            yield {**row, "payload": payloads.get(row["id"])}


def write_samples(
    collection: Collection,
    selection: Selection,
    out: str | Path,
    form: str | None = None,
    as_text: list[str] | None = None,
) -> list[Path]:
    """Write every sample, and return where; each file is there whole or not at all.

    ``form`` is the format where no suffix says it; ``as_text`` is given the columns of a table that
    hold JSON text.

    Raises:
        OutputError: a file cannot be written.
    """
    paths = sample_paths(out, tuple(selection.samples))
    for size, path in paths.items():
        rows = sample_rows(collection, selection, size)
        write_rows(path, rows, columns=selection.columns, form=form, as_text=as_text)
    return list(paths.values())


def write_probabilities(selection: Selection, out: str | Path, form: str | None = None) -> None:
    """Write every candidate with p > 0, most probable first.

    Raises:
        OutputError: the file cannot be written.
    """
    write_rows(out, selection.probability_rows(), columns=PROBABILITY_COLUMNS, form=form)


def write_results(
    collection: Collection,
    selection: Selection,
    out: str | Path | None,
    probabilities: str | Path | None = None,
    *,
    queries: Mapping[str, Any],
    form: str | None = None,
    as_text: list[str] | None = None,
) -> Iterator[Path]:
    """Write samples, probabilities and the manifest, and yield each file once it is there.

    The manifest lies beside the first that is a file; streams alone have none.

    Args:
        collection: an open collection, for the payloads.
        selection: what to write.
        out: where samples go; None for none.
        probabilities: where every candidate with p > 0 goes; None for nowhere.
        queries: what is known of the task examples.
        form: the format where no suffix says it.
        as_text: is given the columns of a table that hold JSON text of payloads.

    Raises:
        OutputError: a file cannot be written.
    """
    if out:
        yield from write_samples(collection, selection, out, form, as_text)
    if probabilities:
        write_probabilities(selection, probabilities, form)
        yield Path(probabilities)
    beside = with_manifest(out, probabilities)
    if beside is not None:
        yield write_manifest(selection, beside, queries=queries)


def provenance(info: CollectionInfo) -> dict[str, Any]:
    """Versions and collection, as every manifest has them."""
    return {
        "versions": {
            "tsds-qdrant": version("tsds-qdrant"),
            "engine": info.engine,
            "numpy": version("numpy"),
            "python": sys.version.split()[0],
        },
        "collection": {
            "location": remembered_location(info.location),
            **({"reached": dict(info.reached)} if info.reached else {}),
            **({"mirror": remembered_location(info.mirror)} if info.mirror else {}),
            "name": info.name,
            "vector": info.vector,
            "dimension": info.dimension,
            "metric": info.metric,
            **({} if info.datatype == FLOAT32 else {"datatype": info.datatype}),
            "points": info.count,
            "model": info.model,
            **_representation(info),
        },
    }


def _representation(info: CollectionInfo) -> dict[str, Any]:
    """What made the searched vectors, where ``represent`` did."""
    kept = all_kept(info).get(info.vector)
    if kept is None:
        return {}
    return {"representation": {"kind": kept.kind, "fingerprint": kept.fingerprint}}


def manifest(selection: Selection, *, queries: Mapping[str, Any]) -> dict[str, Any]:
    """Settings, versions and figures of a selection, for :func:`write_json`.

    Args:
        selection: what to describe.
        queries: what is known of the task examples (source, model, ..).
    """
    found, facts = selection.contamination, selection.evidence.facts()
    search = facts.pop("search", {})
    return {
        "strategy": selection.strategy,
        **provenance(selection.collection),
        "queries": dict(queries) | {"count": selection.queries},
        "settings": selection.settings.stored(),
        "contamination": None if found is None else found.figures(),
        "near_copies": selection.near_copies,
        "candidates": selection.candidates,
        "yardstick": _yardstick(selection),
        **_of_tasks(selection),
        **facts,
        "samples": {
            str(size): {
                "distinct": len(sample.candidates),
                "draws": int(sample.weights.sum()),
                **({} if sample.tokens is None else {"tokens": sample.tokens}),
                **({"bounds_met": list(map(vars, sample.met))} if sample.met else {}),
                **selection.evidence.of_sample(sample.candidates),
            }
            for size, sample in selection.samples.items()
        },
        "search": {
            "exact": bool(selection.scan_reason),
            "why": selection.scan_reason,
            "ef": selection.ef,
            **vars(selection.counts),
            **search,
        },
        "seconds": selection.seconds,
    }


def _yardstick(selection: Selection) -> dict[str, Any] | None:
    """How near task examples lie to each other, and how many of each sample lie nearer to them."""
    scale, distances = selection.yardstick, selection.nearest_distance
    if scale is None:
        return None
    nearer = {
        str(size): scale.nearer(distances[sample.candidates])
        for size, sample in selection.samples.items()
    }
    return {**scale.facts(), **({"nearer": nearer} if scale.distance is not None else {})}


def _of_tasks(selection: Selection) -> dict[str, Any]:
    """Which task examples are in the pool, and what each of several tasks got, by size."""
    tasks, found = selection.tasks, {}
    if tasks.points is not None:
        found["task_examples"] = tasks.points.facts()
    if tasks.names:
        found["tasks"] = {
            str(size): [one.facts() for one in shares_by_task(selection, sample.candidates)]
            for size, sample in selection.samples.items()
        }
    return found


def write_manifest(selection: Selection, out: str | Path, *, queries: Mapping[str, Any]) -> Path:
    """Write the manifest beside ``out`` and return where.

    Raises:
        OutputError: the file cannot be written.
    """
    path = manifest_path(out)
    write_json(path, manifest(selection, queries=queries))
    return path
