"""``tsds-qdrant path``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from tsds_qdrant.cli.commands import ConfigOption, FlagCommand, command_of
from tsds_qdrant.cli.flags import only, taking
from tsds_qdrant.cli.groups import Examples, Where, note_filter
from tsds_qdrant.cli.options import JsonOption, StateArgument
from tsds_qdrant.cli.reached import Moved
from tsds_qdrant.cli.terminal import print_json, print_table, progress_bars, say
from tsds_qdrant.cli.verdict import either_end
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.neighbors.settings import SearchSettings
from tsds_qdrant.settings.fields import setting
from tsds_qdrant.settings.texts import numbers
from tsds_qdrant.strategies.tsds.strategy import Tsds

if TYPE_CHECKING:
    from tsds_qdrant.strategies.tsds.trace import TracedPath


@dataclass(frozen=True)
class Shown:
    """What is shown

    Attributes:
        alphas: which; some from 0.95 to 0.1 by default.
        plot: where it is drawn.
    """

    alphas: tuple[float, ...] = setting(
        (), "Which alphas; 0.95 to 0.1 by default.", metavar="A,A..", parse=numbers
    )
    plot: Path | None = setting(None, "Draw it (needs matplotlib).", metavar="FILE.png|.svg")

    def check(self) -> None:
        """Check, before long work, that it can be drawn.

        Raises:
            TsdsError: it cannot.
        """
        from tsds_qdrant.report.path_plot import check_plot

        if self.plot:
            check_plot(self.plot)


@taking(
    Shown,
    only(Tsds, "cost_scale", "bandwidth"),
    SearchSettings,
    Examples,
    Where,
    usual=("qdrant", "collection", "queries"),
    also={"config": ConfigOption},
)
def path(
    where: Where,
    examples: Examples,
    shown: Shown,
    strategy: Tsds,
    search: SearchSettings,
    state: Annotated[
        Path | None,
        typer.Argument(metavar="RUN", help="A run's state file, in the place of these flags."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what every alpha would select, to choose one by what you understand.

    RUN, the file that 'select --state RUN' made, stands for collection, task examples and settings;
    what it has searched is not searched again, and it stays as it is. Columns: neighbours used per
    task example, candidates with p > 0 (support), effective sample size, mean distance from a task
    example to what it chose.

    \b
    Example:
        tsds-qdrant path --qdrant ./store --collection pool --queries task.jsonl
        tsds-qdrant path task.run
    """
    from tsds_qdrant.strategies.tsds.trace import DEFAULT_ALPHAS, trace_path

    shown.check()
    with where.open() as opened, progress_bars(quiet=as_json) as progress:
        info = examples.described(opened, quiet=as_json)
        note_filter(search.where, opened, quiet=as_json)
        task = examples.read(opened, info, where.connection, progress)
        traced = trace_path(
            opened,
            task,
            strategy,
            search,
            alphas=shown.alphas or DEFAULT_ALPHAS,
            progress=progress,
        )
        seen = []
        if not as_json:
            seen = either_end(opened, traced.ids, traced.distances, examples.texts_of(opened))
    say(task.note, quiet=as_json)
    _tell(traced, seen, shown, as_json=as_json)


@taking(Shown, Moved)
def path_of_run(
    state: StateArgument, shown: Shown, moved: Moved, as_json: JsonOption = False
) -> None:
    """Show what every alpha would select for the task of a run.

    \b
    Example:
        tsds-qdrant path task.run
    """
    from tsds_qdrant.runs.reopen import reopen
    from tsds_qdrant.runs.state import RunState
    from tsds_qdrant.strategies.tsds.trace import DEFAULT_ALPHAS, trace_known

    shown.check()
    kept = RunState(state)
    with (
        kept.held(),
        moved.open(kept) as opened,
        progress_bars(quiet=as_json) as progress,
    ):
        known = reopen(kept, opened, progress=progress).known
        traced = trace_known(known, alphas=shown.alphas or DEFAULT_ALPHAS)
        seen = [] if as_json else either_end(opened, traced.ids, traced.distances)
    _tell(traced, seen, shown, as_json=as_json)


class PathCommand(FlagCommand):
    """``path``, whose flags are fewer where a run stands for them."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        """Read ``args`` as those of a run where they name one.

        Raises:
            SettingsError: a run, and a flag for what it knows.
        """
        named = None if extra.get("resilient_parsing") else self._run_in(args, info_name, parent)
        if named is None:
            return super().make_context(info_name, args, parent, **extra)
        command = command_of(str(self.name), path_of_run)
        try:
            return TyperCommand.make_context(command, info_name, args, parent, **extra)
        except Exception as error:  # Typer's own has no public name
            option = getattr(error, "option_name", "")
            if any(option in parameter.opts for parameter in self.params):
                raise SettingsError(
                    f"run '{named}' knows its collection, task examples and settings; leave "
                    f"{option} out, or the run"
                ) from None
            raise

    def _run_in(self, args: list[str], name: str | None, parent: Any) -> str | None:
        """What ``args`` name beside flags and their values."""
        context = self.context_class(self, info_name=name, parent=parent)
        given, _, _ = self.make_parser(context).parse_args(list(args))
        return given.get("state")


def command() -> FlagCommand:
    """The command ``path``."""
    return command_of("path", path, PathCommand)


def _tell(traced: TracedPath, seen: Sequence[str], shown: Shown, *, as_json: bool) -> None:
    from tsds_qdrant.report.path_plot import plot_path
    from tsds_qdrant.selection.verdict import in_the_pool

    if shown.plot:
        plot_path(traced.points, traced.candidates, shown.plot)
        say(f"wrote {shown.plot}", quiet=as_json)
    if as_json:
        print_json(traced.as_dict())
        return
    scale, nearer = traced.yardstick, traced.nearer
    worth = in_the_pool(scale, nearer, traced.candidates, counted=traced.counted)
    say("\n".join([worth, *seen]))
    say(
        "alpha: 1 keeps to the task, 0 spreads out; neighbours: that a task example uses; support: "
        "candidates with p > 0; effective: as spread as how many even shares; distance: "
        "mean from a task example to what it chose"
    )
    print_table(
        ("alpha", "neighbours", "support", "effective", "distance"),
        [
            (
                f"{point.alpha:g}",
                f"{point.neighbors:.1f}",
                str(point.support),
                f"{point.effective_size:.0f}",
                f"{point.transport_cost:.3f}",
            )
            for point in traced.points
        ],
    )
    if traced.pool_alphas:
        say(
            f"at alpha {max(traced.pool_alphas):g} and below half of the pool or more is in use: "
            f"the task matters little"
        )
