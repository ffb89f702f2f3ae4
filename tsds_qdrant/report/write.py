"""Report: one HTML page of what was selected, why, and what it was chosen from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.errors import OutputError
from tsds_qdrant.files.json_values import json_safe
from tsds_qdrant.files.outputs import atomic_write, check_writable
from tsds_qdrant.files.streams import is_stream
from tsds_qdrant.paths import Location
from tsds_qdrant.pool.fields import check_fields, check_template
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.report.figures import figures_of
from tsds_qdrant.report.page import page_of
from tsds_qdrant.runs.reopen import reopen
from tsds_qdrant.runs.run import Run
from tsds_qdrant.runs.state import RunState
from tsds_qdrant.selection.results import manifest


def check_report(path: Location) -> None:
    """Check, before long work, that :func:`write_report` can write to ``path``.

    Raises:
        OutputError: the file cannot be written, or is not named as a page.
    """
    if Path(path).suffix.lower() not in (".html", ".htm") and not is_stream(path):
        raise OutputError(f"'{path}' is no name of a page; let it end in .html")
    check_writable(path)


def write_report(
    path: Location,
    collection: Collection,
    run: Run,
    *,
    facts: Mapping[str, Any] | None = None,
    template: TextTemplate | None = None,
    by: str | None = None,
) -> None:
    """Write a page on the selection of ``run`` that opens without a network; atomic.

    The pool is looked at through a seeded sample of some thousand points, so the cost hardly
    grows with it.

    Args:
        path: the HTML file.
        collection: the open collection; it is only read.
        run: a selection and what it rests on, kept or not.
        facts: the selection's manifest; by default made here.
        template: how the payload of a candidate becomes a text; by default the collection's way.
        by: also compare the shares of the values of this payload field.

    Raises:
        InputError: no point has the field ``by``, or one that ``template`` needs.
        OutputError: the file cannot be written.
    """
    check_report(path)
    check_template(collection, template or TextTemplate())
    check_fields(collection, {} if by is None else {by: "--by"})
    if facts is None:
        facts = manifest(run.selection, queries={"source": run.queries.get("source")})
    figures = figures_of(collection, run, manifest=json_safe(facts), template=template, by=by)
    page = page_of(figures)
    with atomic_write(path) as stream:
        stream.write(page.encode("utf-8"))


def report_run(
    path: Location,
    state: RunState | str | Path,
    collection: Collection,
    *,
    facts: Mapping[str, Any] | None = None,
    template: TextTemplate | None = None,
    by: str | None = None,
) -> None:
    """Write a page on the last selection of the run in ``state``, without a search.

    Args:
        path: the HTML file.
        state: the run.
        collection: its open collection; it is only read.
        facts: the manifest of that selection; by default that of the run taken up again, which
            counts no searches.
        template: see :func:`write_report`.
        by: see :func:`write_report`.

    Raises:
        StateError: the state cannot be used.
        CollectionMismatchError: ``collection`` is not that of the run.
        TsdsError: as :func:`write_report`.
    """
    check_report(path)
    state = state if isinstance(state, RunState) else RunState(state)
    write_report(path, collection, reopen(state, collection), facts=facts, template=template, by=by)
