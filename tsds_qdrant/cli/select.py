"""``tsds-qdrant select``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tsds_qdrant.cli.by_strategy import ByStrategy, strategy_options
from tsds_qdrant.cli.commands import ConfigOption, FlagCommand, command_of
from tsds_qdrant.cli.flags import filled, taking
from tsds_qdrant.cli.graph_words import slow_scans
from tsds_qdrant.cli.groups import Examples, note_filter
from tsds_qdrant.cli.mirrored import WhereOrMirror
from tsds_qdrant.cli.outputs import (
    FORMAT_HELP,
    FORMATS,
    check_outputs,
    check_sizes,
    check_stdout,
    spread,
    write_kept_out,
)
from tsds_qdrant.cli.summary import summary
from tsds_qdrant.cli.terminal import naming, print_json, progress_bars, say, wrote
from tsds_qdrant.cli.verdict import judged
from tsds_qdrant.cli.write_back import in_words, pruned, warned, written_back
from tsds_qdrant.errors import ContaminationError, SettingsError
from tsds_qdrant.guards.settings import GuardSettings
from tsds_qdrant.runs.settings import RunSettings
from tsds_qdrant.selection.settings import SelectionSettings
from tsds_qdrant.settings.fields import setting
from tsds_qdrant.strategies.catalog import DEFAULT, rule_of

if TYPE_CHECKING:
    from tsds_qdrant.selection.selection import Selection

USUAL = ("qdrant", "collection", "queries", "size", "out")
RARE = (
    *("sampler", "cost_scale", "regularizer", "scans", "recall", "token_field", "mirror", "grpc"),
    *("near_copies", "group_field", "exclude_radius", "exclude_report", "template", "max_length"),
)


@dataclass(frozen=True)
class Outputs:
    """Outputs

    Attributes:
        out: the selection.
        probabilities: every candidate that could be drawn.
        form: the format where no suffix says it.
        report: an HTML page.
        by: payload field whose shares the page compares.
        as_json: print the figures for a machine.
    """

    out: Path | None = setting(
        None,
        "The selection: .jsonl, .csv (also .gz, .zst), .parquet; .ids or .txt for ids alone, one "
        "a line; - for stdout, without a manifest.",
        metavar="FILE|-",
    )
    probabilities: Path | None = setting(
        None, "Every candidate with p > 0, same formats.", metavar="FILE"
    )
    form: str | None = setting(None, FORMAT_HELP, "--format", metavar=FORMATS, hidden=True)
    report: Path | None = setting(None, "Also write the page of 'report'.", metavar="R.html")
    by: str | None = setting(
        None, "Payload field whose shares the report compares.", metavar="FIELD", hidden=True
    )
    as_json: bool = setting(
        False, "Print the figures as JSON on stdout, and no messages.", "--json"
    )

    def __post_init__(self) -> None:
        if self.out is None and self.probabilities is None:
            raise SettingsError("there is nowhere to write; give --out or --probabilities")
        if self.report is None and self.by is not None:
            raise SettingsError(f"--by {self.by} needs a report; give --report R.html")

    def check(
        self,
        sources: Sequence[str],
        settings: SelectionSettings,
        guard: GuardSettings,
        run: RunSettings,
    ) -> None:
        """Check, before long work, that all can be written, and none over another file.

        Raises:
            TsdsError: one cannot.
        """
        from tsds_qdrant.files.streams import is_stream
        from tsds_qdrant.selection.results import manifest_path, sample_paths, with_manifest

        strategy = settings.strategy
        if self.probabilities is not None and not strategy.has_chances:
            raise SettingsError(
                f"the strategy '{strategy.name}' gives an order and no probabilities; leave "
                f"--probabilities out"
            )
        if self.report is not None:
            from tsds_qdrant.report.write import check_report

            check_report(self.report)
        named = {"--out": self.out, "--probabilities": self.probabilities}
        named |= {"--report": self.report, "--exclude-report": guard.report}
        check_stdout(named, as_json=self.as_json)
        if run.state is not None and is_stream(run.state):
            raise SettingsError(f"--state {run.state} is no file that a run can be kept in")
        sizes = settings.wanted_sizes(1) or (1,)
        check_sizes(self.out, sizes)
        samples = sample_paths(self.out, sizes).values() if self.out else []
        tables = [*samples, *filter(None, (self.probabilities, guard.report))]
        beside = with_manifest(self.out, self.probabilities)
        manifest = None if beside is None else manifest_path(beside)
        pages = [*filter(None, (manifest, self.report, run.state))]
        check_outputs(tables, pages, sources, guard.sources, self.form)


def select(
    where: WhereOrMirror,
    examples: Examples,
    settings: SelectionSettings,
    guard: GuardSettings,
    run: RunSettings,
    outputs: Outputs,
) -> None:
    """Select candidates for the task that the examples show.

    Set a size and an output file; everything else has a default that follows from the data. The
    collection is only read, unless --write-back asks for more. A manifest with all settings and
    figures goes beside the output; --config takes one to select in the same way again.

    \b
    Example:
        tsds-qdrant select --qdrant ./store --collection pool --queries task.jsonl \\
          --size 1000 --out selected.jsonl
        tsds-qdrant select --qdrant http://localhost:6333 --collection pool --queries Q.npy \\
          --ratio 0.01 --alpha 0.5 --out selected.parquet --probabilities p.parquet
        tsds-qdrant select --qdrant http://localhost:6333 --collection pool --mirror ./mirror \\
          --queries task.jsonl --size 1000 --exact --out selected.jsonl --state task.run
    """
    from tsds_qdrant.collections.places import FOLDER_HINT
    from tsds_qdrant.pool.fields import check_fields
    from tsds_qdrant.runs.begin import Keeping, new_run
    from tsds_qdrant.runs.run import check_stored
    from tsds_qdrant.runs.tagging import Tagging
    from tsds_qdrant.selection.possible import check_possible
    from tsds_qdrant.selection.results import manifest, with_manifest, write_results

    _check_size(settings, run, outputs)
    outputs.check(examples.sources, settings, guard, run)
    written, as_text = list[Path](), list[str]()
    source, quiet, connection = examples.facts(), outputs.as_json, where.connection

    with where.open_for(settings.strategy, quiet=quiet) as opened, naming(written):

        def deliver(done: Selection) -> None:
            paths = (outputs.out, outputs.probabilities)
            files = write_results(
                opened, done, *paths, queries=source, form=outputs.form, as_text=as_text
            )
            written.extend(files)

        try:
            with progress_bars(quiet=quiet) as progress:
                check_possible(opened, settings)
                if run.state is not None:
                    check_stored(run.state, settings)
                info = examples.described(opened, quiet=quiet, guard=guard)
                check_fields(opened, {outputs.by: "--by"} if outputs.by else {})
                note_filter(settings.search.where, opened, quiet=quiet)
                way = settings.strategy.way
                task = examples.read(opened, info, connection, progress, way)
                tagging = None
                if run.write_back:
                    of_task = (info, settings, task.vectors, task.weights)
                    tagging = Tagging.of(run.write_back, *of_task, place=run.write_back_key)
                made = new_run(
                    opened,
                    task,
                    settings,
                    guard=examples.guard(guard, opened, info, connection, progress),
                    keeping=Keeping(
                        query_facts=source,
                        since_field=run.since_field,
                        detect_updates=run.detect_updates,
                        tagging=None if run.dry_run else tagging,
                        count_tokens=examples.reading.counter(),
                        deliver=deliver,
                    ),
                    state=run.state,
                    progress=progress,
                )
                own = examples.texts_of(opened) if outputs.report or not quiet else None
        except ContaminationError as error:
            write_kept_out(error.found, guard.report, outputs.form)
            raise
        selection, tagging = made.selection, tagging or made.tagging
        facts = manifest(selection, queries=source)
        if outputs.report:
            from tsds_qdrant.report.write import write_report

            write_report(outputs.report, opened, made, facts=facts, template=own, by=outputs.by)
            written.append(outputs.report)
        written += write_kept_out(selection.contamination, guard.report, outputs.form)
        tagged = written_back(opened, selection, tagging, run, quiet=quiet)
        tagged |= pruned(opened, selection, run, quiet=quiet)
        slow = "" if quiet else slow_scans(opened, selection)
        seen = [] if quiet else judged(opened, selection, own)
    if outputs.as_json:
        print_json({**facts, **tagged})
        return
    read_only = "" if info.limits.writes else FOLDER_HINT
    parts = [task.note, made.note, summary(selection, seen), slow, read_only, spread(as_text)]
    say("\n".join(filter(None, [*parts, wrote(written)])))
    if with_manifest(outputs.out, outputs.probabilities) is None:
        say("no manifest was written, as there is no file for it to lie beside")
    say("\n".join([in_words(tagged), *warned(tagged)]) if tagged else "")


def select_by(name: str) -> Callable[..., None]:
    """``select`` with the flags of the strategy ``name``, or of what the name is short for.

    Raises:
        SettingsError: there is no such strategy.
    """
    return taking(
        filled(SelectionSettings, strategy=rule_of(name)),
        GuardSettings,
        RunSettings,
        Outputs,
        Examples,
        WhereOrMirror,
        usual=USUAL,
        rare=RARE,
        also={**strategy_options(name), "config": ConfigOption},
    )(select)


class SelectCommand(ByStrategy):
    """``select``, whose flags depend on ``--strategy``."""

    variant = staticmethod(select_by)


def command() -> FlagCommand:
    """The command ``select``, with the flags of the default strategy until it reads others."""
    return command_of("select", select_by(DEFAULT), SelectCommand)


def _check_size(settings: SelectionSettings, run: RunSettings, outputs: Outputs) -> None:
    wanted, budget = settings.wanted, settings.bounds.token_budget
    sized = wanted.sizes or wanted.ratio is not None or budget is not None or settings.own_size
    drawn = outputs.out or run.state or run.write_back or settings.strategy.follows_size
    if drawn and not sized:
        raise SettingsError("no size is given; set --size 1000 or --ratio 0.01")
