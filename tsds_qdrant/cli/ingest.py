"""``tsds-qdrant ingest``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from tsds_qdrant.cli.commands import ConfigOption
from tsds_qdrant.cli.flags import only, taking
from tsds_qdrant.cli.groups import Where
from tsds_qdrant.cli.options import JsonOption
from tsds_qdrant.cli.terminal import print_json, progress_bars, say
from tsds_qdrant.collections.cluster import Layout
from tsds_qdrant.collections.values import METRICS, Metric
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.records.settings import RecordSettings
from tsds_qdrant.settings.fields import setting
from tsds_qdrant.task.settings import EMBEDDING, Reading


def metric_of(text: str, flag: str) -> Metric:
    """The metric of that name, in any case of letters.

    Raises:
        SettingsError: there is none.
    """
    for name in METRICS:
        if name.lower() == text.lower():
            return name
    raise SettingsError(f"{flag} is '{text}'; choose one of {', '.join(METRICS)}")


@dataclass(frozen=True)
class Points:
    """Points

    Attributes:
        vectors: ready vectors, one for each record.
        first_id: of vectors without records.
        metric: of a new collection.
        overwrite: change points that something else made, where the ids are theirs.
        index: build the graph of an embedded collection, or wait for a server's.
        wait_index: the same, by an older name.
        shards: of a new collection.
        replicas: of each of its shards.
        write_consistency: replicas that must confirm a write.
    """

    vectors: Path | None = setting(None, "Ready vectors, one row for each record.", metavar="X.npy")
    first_id: int = setting(0, "Id of the first row, of vectors without records.", least=0)
    metric: Metric | None = setting(
        None,
        "Metric of a new collection: Cosine (if unset), Euclid, Manhattan, Dot.",
        metavar="NAME",
        parse=metric_of,
    )
    overwrite: bool = setting(
        False, "Change points of equal ids that something else made: vector and fields alone."
    )
    index: bool = setting(
        False, "Build the HNSW graph of a directory, or wait until a server has built its own."
    )
    wait_index: bool = setting(False, "The same as --index.", hidden=True)
    shards: int | None = setting(None, "Shards of a new collection on a server.", least=1)
    replicas: int | None = setting(None, "Replicas of each shard of a new collection.", least=1)
    write_consistency: int | None = setting(
        None, "How many replicas must confirm a write to a new collection.", least=1
    )

    @property
    def layout(self) -> Layout:
        """How a server is to keep a new collection."""
        return Layout(self.shards, self.replicas, self.write_consistency)


@taking(
    Where,
    only(Reading, "text_field", "template", "model", *EMBEDDING),
    RecordSettings,
    Points,
    also={"config": ConfigOption},
)
def ingest(
    where: Where,
    reading: Reading,
    records: RecordSettings,
    points: Points,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE..",
            help="JSONL, JSON, CSV, TSV (also .gz, .zst), Parquet, Arrow, a folder of them, "
            "a saved dataset, hf:NAME[:CONFIG][:SPLIT], or - for stdin.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Put candidates into a collection; run it again to go on after an interruption.

    Texts are embedded by a sentence-transformers model. Ids follow from the content, so points
    that are stored already are neither embedded nor written again. Vectors alone (no FILE) get
    their row numbers as ids.

    \b
    Example:
        tsds-qdrant ingest pool.jsonl --qdrant ./store --collection pool --text-field text
        tsds-qdrant ingest --vectors X.npy --qdrant http://localhost:6333 --collection pool
    """
    from tsds_qdrant.ingestion.destination import Destination
    from tsds_qdrant.ingestion.ingest import ingest_records, ingest_vectors
    from tsds_qdrant.records import load_vectors
    from tsds_qdrant.records.template import written
    from tsds_qdrant.representations.text import DEFAULT_MODEL

    if not files and points.vectors is None:
        raise SettingsError("there is nothing to ingest; give files of records, or --vectors X.npy")
    destination = Destination(
        where.location,
        where.collection,
        points.metric,
        where.vector,
        where.connection,
        overwrite=points.overwrite,
        index=points.index or points.wait_index,
        layout=points.layout,
    )
    rows, field = None, records.form.vector_field
    if points.vectors is not None:
        rows = load_vectors(points.vectors)
    is_ready = rows is not None or field is not None
    said = [name for name in EMBEDDING[:2] if getattr(reading, name) is not None]
    if is_ready and said:
        raise SettingsError(
            f"--{said[0].replace('_', '-')} is for texts that a model embeds, and these vectors "
            f"are ready; leave it out"
        )
    if field is not None and not (files and rows is None):
        raise SettingsError(
            f"--vector-field {field} is for vectors in records; give files of them, without "
            f"--vectors"
        )
    with progress_bars(quiet=as_json) as progress:
        if not files:
            assert rows is not None
            report = ingest_vectors(
                destination,
                rows,
                model=reading.model,
                first_id=points.first_id,
                part=records.part,
                progress=progress,
            )
        else:
            stored = {} if is_ready else destination.metadata()
            name = reading.model or stored.get("model") or DEFAULT_MODEL
            report = ingest_records(
                destination,
                files,
                template=reading.text_template(),
                embedder=None if is_ready else reading.embedder(name, stored),
                vectors=rows,
                model=reading.model,
                settings=records,
                progress=progress,
            )
    if as_json:
        print_json(vars(report))
    rate = report.read / max(report.seconds["store"], 1e-9)
    index = report.seconds["index"]
    indexed = f", index {index:.1f} s" if index else ""
    if report.text:
        say(f"embedded '{written(report.text)}' of each record", quiet=as_json)
    say(
        f"{where.collection}: read {report.read}, added {report.added}, updated {report.updated}, "
        f"unchanged {report.unchanged}; {report.count} points "
        f"({report.seconds['store']:.1f} s at {rate:.0f}/s{indexed})",
        quiet=as_json,
    )
    if report.rejected:
        listed = f", listed in {records.rejects}" if records.rejects else ""
        say(f"left out {report.rejected} that cannot be used{listed}", quiet=as_json)
    for note in report.notes:
        say(note, quiet=as_json)
