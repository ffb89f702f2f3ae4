"""``tsds-qdrant reselect``."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tsds_qdrant.cli.commands import ConfigOption
from tsds_qdrant.cli.described import described_for
from tsds_qdrant.cli.flags import filled, only, taking
from tsds_qdrant.cli.mirrored import MovedOrMirror
from tsds_qdrant.cli.options import JsonOption, StateArgument
from tsds_qdrant.cli.outputs import (
    FORMAT_HELP,
    FORMATS,
    check_distinct,
    check_outputs,
    check_sizes,
    check_stdout,
    spread,
    write_kept_out,
)
from tsds_qdrant.cli.terminal import naming, print_json, progress_bars, say, wrote
from tsds_qdrant.cli.write_back import in_words, warned
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.settings.fields import setting
from tsds_qdrant.settings.texts import whole_numbers
from tsds_qdrant.task.given import GivenTasks, TaskRules
from tsds_qdrant.task.settings import EMBEDDING, Reading

if TYPE_CHECKING:
    from tsds_qdrant.runs.reselect import Reselection
    from tsds_qdrant.task.given import InPool


@dataclass(frozen=True)
class Repaired:
    """Outputs

    Attributes:
        out: the new selection.
        diff: what was added, removed and kept.
        exclude_report: what was kept out, and why.
        form: the format where no suffix says it.
    """

    out: Path | None = setting(
        None,
        "The new selection; formats as in select, - for stdout without a manifest.",
        metavar="FILE|-",
    )
    diff: Path | None = setting(
        None, "What was added, removed and kept, with the old and new p.", metavar="FILE"
    )
    exclude_report: Path | None = setting(
        None, "What was kept out, and why; formats as --out.", metavar="FILE"
    )
    form: str | None = setting(None, FORMAT_HELP, "--format", metavar=FORMATS, hidden=True)


@dataclass(frozen=True)
class Changed:
    """What has changed

    Attributes:
        queries: new task examples, of one task or more.
        changed_ids: points to look at; by default changes are looked for.
        sizes: how many to select from now on.
        rules: weights of several tasks.
        reading: how the texts of new task examples are made and embedded.
    """

    queries: tuple[str, ...] = setting(
        (),
        "New task examples; those that the run knows cost nothing.",
        metavar="[NAME=]FILE|X.npy|collection:NAME",
        repeated=True,
    )
    changed_ids: Path | None = setting(None, "Look at these ids only, one a line.", metavar="FILE")
    sizes: tuple[int, ...] = setting(
        (),
        "Select that many from now on; several give nested samples.",
        "--size",
        metavar="N[,N..]",
        parse=whole_numbers,
    )
    rules: TaskRules = field(default_factory=TaskRules)
    reading: Reading = field(default_factory=Reading)

    @property
    def given(self) -> GivenTasks | None:
        """The new task examples; None where they stay.

        Raises:
            SettingsError: two tasks of one name.
        """
        if not self.queries:
            return None
        return GivenTasks(queries=self.queries, task_weight=self.rules.task_weight)


CHANGEABLE = (
    *("text_field", "template", "weight_field", "subtask_field", "model", *EMBEDDING),
    *("delimiter", "no_header", "json_field"),
)
"""What may be said of the reading of new task examples."""


@taking(
    Repaired,
    filled(
        Changed,
        rules=only(TaskRules, "task_weight"),
        reading=only(Reading, *CHANGEABLE),
    ),
    MovedOrMirror,
    also={"config": ConfigOption},
)
def reselect(
    state: StateArgument,
    outputs: Repaired,
    changed: Changed,
    moved: MovedOrMirror,
    as_json: JsonOption = False,
) -> None:
    """Repair a selection after its collection has changed, at a cost that follows the change.

    RUN is the file that 'select --state RUN' made. The result is the same as that of a selection
    from scratch with the run's settings.

    \b
    Example:
        tsds-qdrant reselect task.run --out selected.jsonl --diff changes.jsonl
        tsds-qdrant reselect task.run --size 500 --out selected.jsonl
        tsds-qdrant reselect task.run --mirror ./mirror --out selected.jsonl
    """
    from tsds_qdrant.collections.ids import ids_of_file
    from tsds_qdrant.files.outputs import write_rows
    from tsds_qdrant.neighbors.task_points import TaskPoints
    from tsds_qdrant.runs.difference import DIFFERENCE_COLUMNS
    from tsds_qdrant.runs.reselect import reselect as repair_selection
    from tsds_qdrant.runs.state import RunState
    from tsds_qdrant.selection.results import write_results
    from tsds_qdrant.selection.settings import SelectionSettings
    from tsds_qdrant.task.examples import is_text_source
    from tsds_qdrant.task.several import read_given

    named_for = {"--out": outputs.out, "--diff": outputs.diff}
    named_for["--exclude-report"] = outputs.exclude_report
    check_stdout(named_for, as_json=as_json)
    tables = [path for path in named_for.values() if path]
    given = changed.given
    check_outputs(tables, [], () if given is None else given.sources, (), outputs.form)
    if changed.changed_ids is not None:
        check_distinct(tables, str(changed.changed_ids), "the ids to look at")
    named = None if changed.changed_ids is None else ids_of_file(changed.changed_ids)
    written: list[Path] = []
    texts: list[str] = []
    run_state = RunState(state)
    with run_state.held(), naming(written):
        check_sizes(outputs.out, changed.sizes or run_state.fact("sizes") or ())
        if outputs.exclude_report and not run_state.fact("guard"):
            raise SettingsError(
                f"run '{state}' keeps no test items out; leave --exclude-report out"
            )
        before = run_state.fact("queries") or {}
        source = before.get("source") if given is None else given.facts()["source"]
        with (
            moved.open_searched(run_state, quiet=as_json) as opened,
            progress_bars(quiet=as_json) as progress,
        ):

            def deliver(found: Reselection) -> None:
                chosen, facts = found.selection, {"source": source}
                files = write_results(
                    opened, chosen, outputs.out, queries=facts, form=outputs.form, as_text=texts
                )
                written.extend(files)
                if outputs.diff:
                    rows = found.difference.rows()
                    write_rows(outputs.diff, rows, columns=DIFFERENCE_COLUMNS, form=outputs.form)
                    written.append(outputs.diff)
                kept_out = found.selection.contamination
                written.extend(write_kept_out(kept_out, outputs.exclude_report, outputs.form))

            examples = None
            made = given is not None and any(map(is_text_source, given.named.values()))
            info = described_for(changed.reading, opened, quiet=as_json, texts=made)
            if given is not None:
                examples = read_given(
                    given,
                    info,
                    changed.reading,
                    collection=opened,
                    connection=moved.connection(run_state),
                    progress=progress,
                    way=SelectionSettings.restored(run_state.fact("settings")).strategy.way,
                )
                points = TaskPoints.restored(before.get("task_points"))
                in_pool: InPool = "" if points is None else "out" if points.left_out else "kept"
                examples = replace(examples, source=source or "", in_pool=in_pool)
            done = repair_selection(
                run_state,
                collection=opened,
                queries=examples,
                named=named,
                sizes=changed.sizes,
                count_tokens=changed.reading.counter(),
                deliver=deliver,
                progress=progress,
            )
    if as_json:
        print_json({"run": done.number, **done.run})
        return
    if examples is not None:
        say(examples.note)
    say(done.note)
    say(
        f"{len(done.changes.came)} points came or changed, {len(done.changes.gone)} in use left "
        f"(found by {done.changes.mark.way}; blind to {done.changes.mark.blind_to})"
    )
    if done.changes.unmarked:
        say(
            f"{done.changes.unmarked} points or more came by other means, so all of them count "
            f"as changed"
        )
    if done.repaired.from_scratch:
        say("nothing was repaired: everything was learned from scratch, which costs less here")
    difference = done.difference
    forced = "" if difference.ordered else f" ({difference.forced:.1f} changes were forced by p)"
    say(
        f"{done.run['searches']} searches; sample: {len(difference.added)} added, "
        f"{len(difference.removed)} removed, {len(difference.kept)} kept{forced}"
    )
    say(spread(texts))
    if "kept_out" in done.run:
        say(f"kept out {done.run['kept_out']} copies of test items")
    for line in warned(done.run):
        say(line)
    if {"write_back", "prune"} & done.run.keys():
        say(in_words(done.run))
    if written:
        say(wrote(written))
