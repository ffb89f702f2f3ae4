"""``tsds-qdrant reselect``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tsds_qdrant.cli.guard_options import ExcludeReportOption, write_report
from tsds_qdrant.cli.options import (
    AskKeyOption,
    BatchOption,
    DeviceOption,
    JsonOption,
    TemplateOption,
    TextFieldOption,
    WeightFieldOption,
    api_key,
)
from tsds_qdrant.cli.runs import StateArgument
from tsds_qdrant.cli.terminal import print_json, progress_bars, say, telling
from tsds_qdrant.cli.write_back import told
from tsds_qdrant.errors import SettingsError

if TYPE_CHECKING:
    from tsds_qdrant.runs.reselect import Reselection


def reselect(
    state: StateArgument,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="The new selection; formats as in select."),
    ] = None,
    diff: Annotated[
        Path | None,
        typer.Option(
            "--diff", metavar="FILE", help="What was added, removed and kept, with both p."
        ),
    ] = None,
    queries: Annotated[
        str | None,
        typer.Option(
            "--queries",
            metavar="FILE|X.npy|collection:NAME",
            help="New task examples; those that the run knows cost nothing.",
        ),
    ] = None,
    changed_ids: Annotated[
        Path | None,
        typer.Option("--changed-ids", metavar="FILE", help="Look at these ids only, one a line."),
    ] = None,
    exclude_report: ExcludeReportOption = None,
    text_field: TextFieldOption = None,
    template: TemplateOption = None,
    weight_field: WeightFieldOption = None,
    device: DeviceOption = None,
    batch_size: BatchOption = 64,
    ask_api_key: AskKeyOption = False,
    as_json: JsonOption = False,
) -> None:
    """Repair a selection after its collection has changed, at a cost that follows the change.

    RUN is the file that 'select --state RUN' made. The result is the same as that of a selection
    from scratch with the run's settings.

    \b
    Example:
        tsds-qdrant reselect task.run --out selected.jsonl --diff changes.jsonl
    """
    from tsds_qdrant.collections import open_collection
    from tsds_qdrant.files.outputs import check_rows_path, write_rows
    from tsds_qdrant.runs.difference import DIFFERENCE_COLUMNS
    from tsds_qdrant.runs.reselect import reselect as repair_selection
    from tsds_qdrant.runs.run import ids_of_file, load_run
    from tsds_qdrant.runs.state import RunState
    from tsds_qdrant.selection.results import write_results
    from tsds_qdrant.task.reading import task_examples

    for path in (out, diff, exclude_report):
        if path:
            check_rows_path(path)
    named = None if changed_ids is None else ids_of_file(changed_ids)
    written: list[Path] = []
    run_state = RunState(state)
    with run_state.held(), telling(written):
        run, _, facts = load_run(run_state)
        if exclude_report and not facts.get("guard"):
            raise SettingsError(
                f"run '{state}' keeps no test items out; leave --exclude-report out"
            )
        key = api_key(ask_api_key)
        place = run.collection
        opened = open_collection(
            place["location"], place["name"], vector=place["vector"], api_key=key
        )

        def deliver(found: Reselection) -> None:
            source = {"source": queries or run.queries.get("source")}
            written.extend(write_results(opened, found.selection, out, queries=source))
            if diff:
                write_rows(diff, found.difference.rows(), columns=DIFFERENCE_COLUMNS)
                written.append(diff)
            written.extend(write_report(found.selection.contamination, exclude_report))

        try:
            with progress_bars(quiet=as_json) as progress:
                examples = None
                if queries is not None:
                    examples = task_examples(
                        queries,
                        opened.info(),
                        text_field=text_field,
                        template=template,
                        weight_field=weight_field,
                        model=None,
                        device=device,
                        batch_size=batch_size,
                        api_key=key,
                        progress=progress,
                    )
                done = repair_selection(
                    run_state,
                    collection=opened,
                    queries=None if examples is None else examples.vectors,
                    query_weights=None if examples is None else examples.weights,
                    query_facts=None
                    if examples is None
                    else {"source": queries, "texts": examples.texts},
                    named=named,
                    deliver=deliver,
                    progress=progress,
                )
        finally:
            opened.close()
    if as_json:
        print_json({"run": done.number, **done.run})
        return
    say(
        f"{len(done.changes.came)} points came or changed, {len(done.changes.gone)} in use left "
        f"(found by {done.changes.mark.way}; blind to {done.changes.mark.blind_to})"
    )
    if done.repaired.anew:
        say("so much has come that everything was asked anew, which takes fewer searches")
    say(
        f"{done.run['searches']} searches; sample: {len(done.difference.added)} added, "
        f"{len(done.difference.removed)} removed, {len(done.difference.kept)} kept "
        f"({done.difference.forced:.1f} changes were forced by p)"
    )
    if "kept_out" in done.run:
        say(f"kept out {done.run['kept_out']} copies of test items")
    if "write_back" in done.run:
        say(told(done.run))
