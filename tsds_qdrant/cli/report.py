"""``tsds-qdrant report``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tsds_qdrant.cli.options import AskKeyOption, TemplateOption, TextFieldOption, api_key
from tsds_qdrant.cli.runs import StateArgument
from tsds_qdrant.cli.terminal import say
from tsds_qdrant.errors import SettingsError

if TYPE_CHECKING:
    from tsds_qdrant.collections.protocol import Collection
    from tsds_qdrant.runs.state import RunState
    from tsds_qdrant.selection.selection import Selection
    from tsds_qdrant.strategies.tsds.problem import Task

ByOption = Annotated[
    str | None,
    typer.Option("--by", metavar="FIELD", help="In the report, compare shares of its values."),
]
ReportOption = Annotated[
    Path | None,
    typer.Option(
        "--report", metavar="R.html", help="Also write the page of 'report' (needs plotly)."
    ),
]


def report(
    state: StateArgument,
    out: Annotated[Path, typer.Option("--out", metavar="R.html", help="The page.")],
    by: ByOption = None,
    text_field: TextFieldOption = None,
    template: TemplateOption = None,
    ask_api_key: AskKeyOption = False,
) -> None:
    """Show what a run selected, and why, in one HTML page that opens offline (needs plotly).

    RUN is the file that 'select --state RUN' made. Nothing is searched or changed. The page has
    the figures, the path, distances, a map, coverage of the task examples, near-duplicates, near
    misses and, with --by, the shares of a payload field.

    \b
    Example:
        tsds-qdrant report task.run --out report.html --by source
    """
    from tsds_qdrant.collections import open_collection
    from tsds_qdrant.records import TextTemplate
    from tsds_qdrant.report.write import check_report, report_run
    from tsds_qdrant.runs.run import load_run
    from tsds_qdrant.runs.state import RunState

    check_report(out)
    texts = TextTemplate.parse(text_field, template)
    run_state = RunState(state)
    with run_state.held():
        place = load_run(run_state)[0].collection
        opened = open_collection(
            place["location"], place["name"], vector=place["vector"], api_key=api_key(ask_api_key)
        )
        try:
            report_run(out, run_state, opened, template=texts, by=by)
        finally:
            opened.close()
    say(f"wrote {out}")


def check_report_options(report: Path | None, by: str | None) -> None:
    """Check, before long work, what 'select' was told about its report.

    Raises:
        SettingsError: a field to compare by, but no report.
        TsdsError: the report cannot be made.
    """
    if report is None:
        if by is not None:
            raise SettingsError(f"--by {by} needs a report; give --report R.html")
        return
    from tsds_qdrant.report.write import check_report

    check_report(report)


def report_selection(
    path: Path,
    collection: Collection,
    solved: Task | RunState,
    selection: Selection,
    *,
    queries: Mapping[str, Any],
    texts: Sequence[str],
    by: str | None,
) -> None:
    """Write the page of a selection just made, by itself or as a run."""
    from tsds_qdrant.report.write import report_run, write_report
    from tsds_qdrant.selection.results import manifest
    from tsds_qdrant.strategies.tsds.problem import Task

    facts = manifest(selection, queries=queries)
    if isinstance(solved, Task):
        write_report(path, collection, solved, selection, facts=facts, example_texts=texts, by=by)
    else:
        report_run(path, solved, collection, facts=facts, by=by)
