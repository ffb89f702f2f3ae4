"""``tsds-qdrant plan``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from tsds_qdrant.cli.commands import ConfigOption
from tsds_qdrant.cli.flags import only, taking
from tsds_qdrant.cli.groups import note_filter
from tsds_qdrant.cli.options import JsonOption
from tsds_qdrant.cli.strategies import Place
from tsds_qdrant.cli.terminal import print_json, print_table, say
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.neighbors.settings import SearchSettings
from tsds_qdrant.planning.budget_settings import (
    Choosing,
    Compute,
    PoolFigures,
    Training,
    amount,
)
from tsds_qdrant.settings.fields import setting
from tsds_qdrant.settings.texts import names
from tsds_qdrant.strategies.catalog import strategy_class

if TYPE_CHECKING:
    from tsds_qdrant.planning.budget_pool import Pool
    from tsds_qdrant.planning.budget_rows import Budget, Row

MANY_TIMES = 10
"""From this multiple of the budget on, what is spent is given as such, and not in per cent."""


@dataclass(frozen=True)
class Measured:
    """Measured scores

    Attributes:
        measured: a file of them.
        full_score: that of training on everything.
        strategies: which are weighed.
    """

    measured: str | None = setting(
        None,
        "Scores of trainings, to go by: columns method, share or n, score.",
        metavar="FILE",
    )
    full_score: float | None = setting(
        None,
        "Score of training on everything, if no row of --measured is that.",
        metavar="X",
        parse=amount,
    )
    strategies: tuple[str, ...] | None = setting(
        None, "Which strategies; all if unset.", metavar="NAME,..", parse=names
    )

    def __post_init__(self) -> None:
        for name in self.strategies or ():
            strategy_class(name)
        if self.full_score is not None and self.measured is None:
            raise SettingsError(
                f"--full-score is {self.full_score:g}, and no scores are given to compare with "
                f"it; name their file with --measured"
            )


@taking(
    Compute,
    Training,
    Choosing,
    PoolFigures,
    Measured,
    Place,
    only(SearchSettings, "where"),
    usual=("gpu_hours", "flops", "train_params", "train_model", "model_params", "measured"),
    texts={"collection": "The pool, and what is stored of it already."},
    also={"config": ConfigOption},
)
def plan(
    compute: Compute,
    training: Training,
    choosing: Choosing,
    figures: PoolFigures,
    measured: Measured,
    place: Place,
    search: SearchSettings,
    as_json: JsonOption = False,
) -> None:
    """Say which strategy a budget allows, for a training model and a pool; nothing is written.

    Choosing and training share the budget: what a strategy has to make of all candidates first
    (by --model-params) leaves less to train with. What --collection holds already costs nothing.
    Columns: FLOPs of choosing and of training, how many candidates can be trained on (n), the
    share of the budget that goes into choosing, and with --measured the predicted score.

    \b
    Example:
        tsds-qdrant plan --gpu-hours 100 --gpu h100 --train-params 7e9 --model-params 1e9 \\
          --qdrant ./store --collection pool
        tsds-qdrant plan --flops 1e19 --train-params 7e9 --candidates 270679 --tokens 420
    """
    from tsds_qdrant.planning.budget import Planner
    from tsds_qdrant.planning.budget_law import laws_of
    from tsds_qdrant.planning.budget_measured import only_benchmark, read_scores
    from tsds_qdrant.representations.language.parameters import active_parameters

    pool = _pool(place, figures, search, quiet=as_json)
    laws = {}
    if measured.measured is not None:
        scores = read_scores(measured.measured, pool.candidates)
        only_benchmark(scores, measured.measured)
        laws = laws_of(scores, measured.measured, measured.full_score)
    params = training.train_params or float(active_parameters(str(training.train_model)))
    planner = Planner(compute, params, training.epochs, choosing, pool)
    budget = planner.planned(measured.strategies, laws)
    if as_json:
        print_json({"train_params": params, "model_params": planner.reader, **budget.as_dict()})
        return
    _show(budget)
    for note in budget.notes:
        say(note)


def _pool(place: Place, figures: PoolFigures, search: SearchSettings, *, quiet: bool) -> Pool:
    from tsds_qdrant.planning.budget_pool import given_pool, stored_pool

    if not place.named:
        return given_pool(figures)
    with place.open() as opened:
        note_filter(search.where, opened, quiet=quiet)
        return stored_pool(opened, figures, search.where)


def _show(budget: Budget) -> None:
    predicted = bool(budget.laws)
    columns = ["strategy", "choosing", "training", "n", "of budget"]
    columns += ["predicted"] * predicted + ["verdict"]
    rows = []
    for row in budget.rows:
        cells = [row.strategy, f"{row.choosing:.2e}", f"{row.training:.2e}", str(row.size)]
        cells.append(f"{row.spent:.1%}" if row.spent < MANY_TIMES else f"{row.spent:.3g} times")
        cells += ["-" if row.predicted is None else f"{row.predicted:.4g}"] * predicted
        rows.append([*cells, row.verdict])
    print_table(columns, rows)
    typer.echo()
    for reason, named in _reasons(budget.rows).items():
        typer.echo(f"{', '.join(named)}: {reason}")


def _reasons(rows: tuple[Row, ...]) -> dict[str, list[str]]:
    """Reasons, each with the strategies that it is the one of."""
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row.reason, []).append(row.strategy)
    return found
