"""``tsds-qdrant report``."""

from __future__ import annotations

from dataclasses import MISSING, dataclass
from pathlib import Path

from tsds_qdrant.cli.flags import only, taking
from tsds_qdrant.cli.options import StateArgument
from tsds_qdrant.cli.reached import Moved
from tsds_qdrant.cli.terminal import say, wrote
from tsds_qdrant.progress import notices_to
from tsds_qdrant.settings.fields import setting
from tsds_qdrant.task.settings import Reading


@dataclass(frozen=True)
class Page:
    """The page

    Attributes:
        out: where it goes.
        by: payload field whose shares are compared.
    """

    out: Path = setting(MISSING, "The page; - for stdout.", metavar="R.html|-")
    by: str | None = setting(
        None, "Payload field whose shares the report compares.", metavar="FIELD"
    )


@taking(Page, only(Reading, "text_field", "template"), Moved)
def report(
    state: StateArgument,
    page: Page,
    reading: Reading,
    moved: Moved,
) -> None:
    """Show what a run selected, and why, in one HTML page that opens offline.

    RUN is the file that 'select --state RUN' made. Nothing is searched or changed. The page
    says how near the selection is to the task, lists all of it in a table, and has the worst served
    task examples, distances, a map and near misses; for tsds also the path and near-duplicates, and
    with --by the shares of a payload field.

    \b
    Example:
        tsds-qdrant report task.run --out report.html --by source
    """
    from tsds_qdrant.report.write import check_report, report_run
    from tsds_qdrant.runs.state import RunState

    check_report(page.out)
    template = reading.text_template()
    run_state = RunState(state)
    with run_state.held(), notices_to(say), moved.open(run_state) as opened:
        report_run(page.out, run_state, opened, template=template, by=page.by)
    say(wrote([page.out]))
