"""``tsds-qdrant ingest``."""

from __future__ import annotations

from typing import Annotated

import typer

from tsds_qdrant.cli.commands import ConfigOption
from tsds_qdrant.cli.flags import only, taking
from tsds_qdrant.cli.groups import Where
from tsds_qdrant.cli.options import JsonOption
from tsds_qdrant.cli.terminal import print_json, progress_bars, say
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.ingestion.settings import Points
from tsds_qdrant.records.settings import RecordSettings
from tsds_qdrant.task.settings import EMBEDDING, Reading


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
