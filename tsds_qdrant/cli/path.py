"""``tsds-qdrant path``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tsds_qdrant.cli.commands import ConfigOption
from tsds_qdrant.cli.flags import only, taking
from tsds_qdrant.cli.groups import Examples, Where, note_filter
from tsds_qdrant.cli.options import JsonOption
from tsds_qdrant.cli.terminal import print_json, print_table, progress_bars, say
from tsds_qdrant.cli.verdict import either_end
from tsds_qdrant.neighbors.settings import SearchSettings
from tsds_qdrant.settings.fields import setting
from tsds_qdrant.settings.texts import numbers
from tsds_qdrant.strategies.tsds.strategy import Tsds


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
    as_json: JsonOption = False,
) -> None:
    """Show what every alpha would select, to choose one by what you understand.

    Columns: neighbours used per task example, candidates with p > 0 (support), effective sample
    size, mean distance from a task example to what it chose.

    \b
    Example:
        tsds-qdrant path --qdrant ./store --collection pool --queries task.jsonl
    """
    from tsds_qdrant.report.path_plot import check_plot, plot_path
    from tsds_qdrant.selection.verdict import in_the_pool
    from tsds_qdrant.strategies.tsds.trace import DEFAULT_ALPHAS, trace_path

    if shown.plot:
        check_plot(shown.plot)
    with where.open() as opened, progress_bars(quiet=as_json) as progress:
        info = examples.described(opened, quiet=as_json)
        note_filter(search.where, opened, quiet=as_json)
        task = examples.read(opened, info, where.connection, progress)
        traced = trace_path(
            opened,
            task.vectors,
            strategy,
            search,
            alphas=shown.alphas or DEFAULT_ALPHAS,
            query_weights=task.weights,
            progress=progress,
        )
        seen = []
        if not as_json:
            seen = either_end(opened, traced.ids, traced.distances, examples.texts_of(opened))
    say(task.note, quiet=as_json)
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
        "candidates that can be drawn; effective: how many even chances theirs count as; distance: "
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
