"""``tsds-qdrant ingest``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tsds_qdrant.cli.options import (
    AskKeyOption,
    BatchOption,
    CollectionOption,
    DeviceOption,
    JsonOption,
    ModelOption,
    QdrantOption,
    TemplateOption,
    TextFieldOption,
    VectorOption,
    api_key,
)
from tsds_qdrant.cli.terminal import print_json, progress_bars, say
from tsds_qdrant.errors import SettingsError


def ingest(
    qdrant: QdrantOption,
    collection: CollectionOption,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE..",
            help="JSONL, JSON, CSV (also .gz, .zst), Parquet, a dataset directory, or - for stdin.",
        ),
    ] = None,
    text_field: TextFieldOption = None,
    template: TemplateOption = None,
    vectors: Annotated[
        Path | None,
        typer.Option("--vectors", metavar="X.npy", help="Ready vectors, one row for each record."),
    ] = None,
    id_field: Annotated[
        str | None,
        typer.Option("--id-field", metavar="FIELD", help="Take ids from here, not the content."),
    ] = None,
    first_id: Annotated[
        int, typer.Option("--first-id", min=0, help="Id of the first row of vectors alone.")
    ] = 0,
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric",
            metavar="NAME",
            help="Cosine (if unset), Euclid, Manhattan or Dot, of a new collection.",
        ),
    ] = None,
    vector: VectorOption = None,
    model: ModelOption = None,
    device: DeviceOption = None,
    batch_size: BatchOption = 64,
    ask_api_key: AskKeyOption = False,
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
    from tsds_qdrant.collections.values import METRICS
    from tsds_qdrant.ingest.destination import Destination
    from tsds_qdrant.ingest.ingest import ingest_records, ingest_vectors
    from tsds_qdrant.records import TextTemplate, load_vectors
    from tsds_qdrant.representations.text import DEFAULT_MODEL, SentenceTransformerEmbedder

    if not files and vectors is None:
        raise SettingsError("there is nothing to ingest; give files of records, or --vectors X.npy")
    known = next((name for name in METRICS if name.lower() == (metric or "").lower()), None)
    if metric is not None and known is None:
        raise SettingsError(f"--metric is '{metric}'; choose one of {', '.join(METRICS)}")
    destination = Destination(qdrant, collection, known, vector, api_key(ask_api_key))
    rows = None if vectors is None else load_vectors(vectors)
    with progress_bars(quiet=as_json) as progress:
        if not files:
            assert rows is not None
            report = ingest_vectors(
                destination, rows, model=model, first_id=first_id, progress=progress
            )
        else:
            embedder = None
            if rows is None:
                name = model or destination.model() or DEFAULT_MODEL
                embedder = SentenceTransformerEmbedder(name, device=device, batch_size=batch_size)
            report = ingest_records(
                destination,
                files,
                template=TextTemplate.parse(text_field, template),
                embedder=embedder,
                vectors=rows,
                model=model,
                id_field=id_field,
                progress=progress,
            )
    if as_json:
        print_json(vars(report))
    rate = report.read / max(report.seconds["store"], 1e-9)
    if report.text:
        say(f"embedded '{report.text}' of each record", quiet=as_json)
    say(
        f"{collection}: read {report.read}, added {report.added}, updated {report.updated}, "
        f"unchanged {report.unchanged}; {report.count} points "
        f"({report.seconds['store']:.1f} s at {rate:.0f}/s, index {report.seconds['index']:.1f} s)",
        quiet=as_json,
    )
