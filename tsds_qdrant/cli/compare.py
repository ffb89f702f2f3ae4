"""``tsds-qdrant compare``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from tsds_qdrant.cli.commands import ConfigOption
from tsds_qdrant.cli.flags import only, taking
from tsds_qdrant.cli.groups import Examples, Where, note_filter
from tsds_qdrant.cli.options import JsonOption
from tsds_qdrant.cli.outputs import FORMAT_HELP, FORMATS, check_distinct, check_stdout
from tsds_qdrant.cli.terminal import print_json, print_table, progress_bars, say, wrote
from tsds_qdrant.cli.verdict import either_end
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.neighbors.settings import SearchSettings
from tsds_qdrant.planning.settings import CompareSettings
from tsds_qdrant.progress import notices_to
from tsds_qdrant.selection.settings import SelectionSettings, Wanted
from tsds_qdrant.settings.fields import setting
from tsds_qdrant.strategies.base import Strategy
from tsds_qdrant.strategies.catalog import DEFAULT, strategy_class

if TYPE_CHECKING:
    from tsds_qdrant.collections.protocol import Collection
    from tsds_qdrant.planning.comparison import Comparison, Figure
    from tsds_qdrant.planning.contestants import View, Viewing
    from tsds_qdrant.progress import Progress
    from tsds_qdrant.records import TextTemplate
    from tsds_qdrant.representations.base import Way
    from tsds_qdrant.task.examples import TaskExamples

MOST_VALUES = 12


@dataclass(frozen=True)
class Rows:
    """Rows

    Attributes:
        out: a row for each run.
        form: the format where no suffix says it.
    """

    out: Path | None = setting(
        None, "A row for each run: .jsonl, .csv, .parquet; - for stdout.", metavar="FILE|-"
    )
    form: str | None = setting(None, FORMAT_HELP, "--format", metavar=FORMATS, hidden=True)

    def check(self, queries: Sequence[str], *, as_json: bool) -> None:
        """Check that ``out`` can be written, and not over the task examples.

        Raises:
            OutputError, SettingsError: it cannot.
        """
        from tsds_qdrant.files.outputs import check_rows_path, row_format

        if self.out is None:
            return
        check_stdout({"--out": self.out}, as_json=as_json)
        check_rows_path(self.out, self.form)
        if row_format(self.out, self.form)[0] in (".ids", ".txt"):
            raise SettingsError(f"'{self.out}' would hold ids; end it in .jsonl, .csv or .parquet")
        for source in queries:
            check_distinct([self.out], source)


@taking(
    CompareSettings,
    Rows,
    only(Wanted, "sizes", "ratio", "seed"),
    only(strategy_class(DEFAULT), "alpha", "bandwidth"),
    SearchSettings,
    Examples,
    Where,
    usual=("qdrant", "collection", "queries", "size", "methods"),
    texts={"size": "How many each strategy selects.", "ratio": "The same as a share of the pool."},
    also={"config": ConfigOption},
)
def compare(
    where: Where,
    examples: Examples,
    wanted: Wanted,
    compared: CompareSettings,
    strategy: Strategy,
    search: SearchSettings,
    rows: Rows,
    as_json: JsonOption = False,
) -> None:
    """Compare what several strategies select from the same pool; nothing is written to it.

    Columns: mean distance from a task example to the nearest selected candidate (coverage),
    share of task examples that have one within the typical distance (covered), mean distance
    from a selected candidate to the nearest task example (distance), share of the selected that
    lie nearer to the task than its examples lie to each other (nearer), share of the selected with
    another selected one within the bandwidth (near-dup), effective sample size of the
    probabilities (effective), candidates shared with tsds as a share of both (overlap), and with
    --target the share of the selected that have that value; last the seconds of searching and
    choosing, without making vectors. Where chance matters: mean over the seeds +- standard
    deviation. A strategy that is made for a kind of 'represent' searches such vectors;
    all are measured in those of --vector. 'select --strategy NAME' writes the selection of any.

    \b
    Example:
        tsds-qdrant compare --qdrant ./store --collection pool --queries task.jsonl --size 1000
        tsds-qdrant compare --qdrant ./store --collection pool --queries task.jsonl --size 1000 \\
          --methods tsds,random,dsir --by source --target wiki --out comparison.csv
    """
    from tsds_qdrant.files.outputs import write_rows
    from tsds_qdrant.files.streams import is_stdout
    from tsds_qdrant.planning.compare import check_comparison
    from tsds_qdrant.planning.compare import compare as compare_strategies
    from tsds_qdrant.planning.comparison import RUN_COLUMNS
    from tsds_qdrant.selection.possible import check_possible

    settings = SelectionSettings(wanted=wanted, search=search, strategy=strategy)
    check_comparison(settings)
    rows.check(examples.sources, as_json=as_json)
    with where.open() as opened, progress_bars(quiet=as_json) as progress:
        check_possible(opened, settings)
        info = examples.described(opened, quiet=as_json)
        note_filter(search.where, opened, quiet=as_json)
        task = examples.read(opened, info, where.connection, progress)
        views = _views(where, examples, opened, progress)
        with notices_to(partial(say, quiet=as_json)):
            found = compare_strategies(
                opened, task, settings, compared, views=views, progress=progress
            )
        judged = [] if as_json else _judged(opened, found, examples.texts_of(opened))
    out, target = rows.out, compared.target
    if out:
        write_rows(out, found.rows(), columns=RUN_COLUMNS, form=rows.form)
    if as_json:
        print_json(found.as_dict())
        return
    say(task.note)
    nearer, scale = "", found.yardstick.distance
    if scale is not None:
        nearer = f"; nearer: to the task than its examples lie to each other ({scale:.4g})"
    say(
        f"{found.size} of {found.candidates} candidates for {found.queries} task examples; "
        f"covered: one within {found.typical:.4g}; "
        f"near-dup: another within {found.bandwidth:.4g}{nearer}"
    )
    for method, reason in found.left_out.items():
        say(f"left out {method}: {reason}")
    taken = out is not None and is_stdout(out)
    _print_figures(found, target, err=taken)
    if found.tasks:
        _print_tasks(found, err=taken)
    if compared.by is not None and target is None:
        _print_shares(found, compared.by, err=taken)
    say("\n".join(judged))
    if out:
        say(wrote([out]))


def _judged(opened: Collection, found: Comparison, texts: TextTemplate) -> list[str]:
    """The verdict on the first strategy, and texts of either end of what it selects."""
    from tsds_qdrant.planning.contestants import strategy_name
    from tsds_qdrant.selection.verdict import Verdict

    run = found.runs[0]
    nearer = found.yardstick.nearer(run.distances)
    aware = bool(strategy_class(strategy_name(run.method)).card.task_aware)
    verdict = Verdict(len(run.ids), nearer, 0, found.yardstick, aware)
    return [f"{run.method}: {verdict.in_words}", *either_end(opened, run.ids, run.distances, texts)]


def _views(where: Where, examples: Examples, opened: Collection, progress: Progress) -> Viewing:
    """Where each strategy searches; task examples are made once for each kind of vectors."""
    from tsds_qdrant.planning.contestants import View
    from tsds_qdrant.strategies.searched import view_for

    base = opened.info().vector

    @cache
    def read(vector: str, way: Way) -> TaskExamples:
        at = opened.at(vector)
        info = examples.described(at, quiet=True)
        return examples.read(at, info, where.connection, progress, way)

    def view_of(strategy: Strategy) -> View:
        at = view_for(opened, strategy, named=where.vector is not None, beside=True)
        vector = at.info().vector
        if (vector, strategy.way) == (base, "targets"):
            return View(at)
        return View(at, read(vector, strategy.way))

    return view_of


def _print_figures(found: Comparison, target: str | None, *, err: bool) -> None:
    columns = {
        "coverage": "coverage",
        "covered": "covered",
        "distance": "distance",
        "nearer": "nearer",
        "near-dup": "near_duplicates",
        "effective": "effective_size",
        "overlap": "overlap",
        **({f"share {target}": "target_share"} if target is not None else {}),
        "seconds": "seconds",
    }
    print_table(
        ("method", *columns),
        [
            (method, *(_shown(found.figure(method, name), name) for name in columns.values()))
            for method in found.methods
        ],
        err=err,
    )


def _print_tasks(found: Comparison, *, err: bool) -> None:
    typer.echo(err=err)
    say("coverage of each task: mean distance from its examples to the nearest selected candidate")
    print_table(
        ("method", *found.tasks),
        [
            (method, *(_shown(found.coverage_of(method, task)) for task in found.tasks))
            for method in found.methods
        ],
        err=err,
    )


def _print_shares(found: Comparison, by: str, *, err: bool) -> None:
    values = found.values()
    typer.echo(err=err)
    say(f"shares of the values of '{by}' in each selection")
    print_table(
        (by, *found.methods),
        [
            (value, *(_shown(found.share(method, value)) for method in found.methods))
            for value in values[:MOST_VALUES]
        ],
        err=err,
    )
    if len(values) > MOST_VALUES:
        say(f"and {len(values) - MOST_VALUES} more values; --json has them all")


def _shown(figure: Figure | None, name: str = "") -> str:
    if figure is None:
        return "-"
    if name == "effective_size":  # of the probabilities, which no seed changes
        return f"{figure.mean:.0f}"
    if name == "seconds":  # of all seeds together
        return f"{figure.mean:.2f}"
    spread = "" if figure.spread is None else f" +- {figure.spread:.3f}"
    return f"{figure.mean:.3f}{spread}"
