"""``tsds-qdrant mix``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass
from math import isfinite
from pathlib import Path

from tsds_qdrant.cli.commands import ConfigOption
from tsds_qdrant.cli.flags import taking
from tsds_qdrant.cli.options import JsonOption
from tsds_qdrant.cli.terminal import print_json, print_table, say
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.settings.fields import setting
from tsds_qdrant.training.mixing_rules import MixtureRules

MOST_ROWS = 20
"""Of the table, where nothing says how many."""


def weights_of(text: str, flag: str) -> dict[str, float]:
    """Weights by source from ``web=0.7,code=0.3``.

    Raises:
        SettingsError: a part is none, or a source is named twice.
    """
    found: dict[str, float] = {}
    for part in text.split(","):
        source, _, weight = part.strip().rpartition("=")
        try:
            number = float(weight)
        except ValueError:
            source = ""
        if not source:
            raise SettingsError(f"{flag} has '{part}'; give weights like web=0.7,code=0.3")
        if source in found:
            raise SettingsError(f"{flag} has '{source}' twice; give each source once")
        found[source] = number
    return found


@dataclass(frozen=True)
class Replayed:
    """What is replayed and shown

    Attributes:
        losses: the log.
        initial: first weights.
        every: which steps are shown.
        plot: where they are drawn.
    """

    losses: str = setting(
        MISSING, "Log of losses: lines with step, source and loss.", metavar="LOG.jsonl"
    )
    initial: Mapping[str, float] = setting(
        {},
        "First weights of all sources; equal ones if unset.",
        metavar="SOURCE=W,..",
        parse=weights_of,
    )
    every: int | None = setting(
        None, "Show every Nth step, and the last; 20 rows if unset, in JSON all.", least=1
    )
    plot: Path | None = setting(
        None, "Draw the weights (needs matplotlib).", metavar="FILE.png|.svg"
    )


@taking(Replayed, MixtureRules, usual=("losses", "variant"), also={"config": ConfigOption})
def mix(replayed: Replayed, rules: MixtureRules, as_json: JsonOption = False) -> None:
    """Replay a log of losses, and show the weights that online data mixing gives its sources.

    A source of higher loss gets more weight, or with --reward drop one whose loss falls. In a
    training, tsds_qdrant.training.MixtureCallback writes such a log.

    \b
    Example:
        tsds-qdrant mix --losses losses.jsonl --variant paper --plot weights.svg
    """
    from tsds_qdrant.report.mix_plot import plot_weights
    from tsds_qdrant.report.path_plot import check_plot
    from tsds_qdrant.training.mixing_log import read_steps, replay

    if replayed.plot:
        check_plot(replayed.plot)
    steps = read_steps(replayed.losses)
    done = replay(steps, rules, replayed.initial or None)
    shown_alone = MOST_ROWS if not as_json else len(steps)
    every = replayed.every or -(-len(steps) // shown_alone)
    points = [one for k, one in enumerate(done.points, 1) if not k % every or k == len(steps)]
    if replayed.plot:
        plot_weights(
            [one.step for one in done.points],
            {name: [one.weights[name] for one in done.points] for name in done.sources},
            f"Weights of {len(done.sources)} sources, {rules.variant}",
            replayed.plot,
        )
        say(f"wrote {replayed.plot}", quiet=as_json)
    if as_json:
        rewards = {name: R if isfinite(R) else None for name, R in done.rewards.items()}
        facts = {"sources": done.sources, "steps": len(steps), "rewards": rewards}
        print_json({**asdict(rules), **facts, "points": [vars(one) for one in points]})
        return
    say(f"{len(steps)} steps, {len(done.sources)} sources, variant {rules.variant}")
    print_table(
        ("step", "least", *done.sources),
        [
            (
                str(one.step),
                f"{one.epsilon:.4f}",
                *(f"{one.weights[name]:.4f}" for name in done.sources),
            )
            for one in points
        ],
    )
