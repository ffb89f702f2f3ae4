"""``tsds-qdrant path``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tsds_qdrant.cli.options import (
    AskKeyOption,
    BandwidthOption,
    BatchOption,
    CollectionOption,
    CostScaleOption,
    DeviceOption,
    ExactOption,
    FilterOption,
    GrpcOption,
    GrpcPortOption,
    JsonOption,
    ModelOption,
    NoScansOption,
    QdrantOption,
    QueriesOption,
    TemplateOption,
    TextFieldOption,
    VectorOption,
    WeightFieldOption,
    alphas_of,
    api_key,
    filter_of,
    number_or_auto,
)
from tsds_qdrant.cli.terminal import print_json, print_table, progress_bars, say


def path(
    qdrant: QdrantOption,
    collection: CollectionOption,
    queries: QueriesOption,
    alphas: Annotated[
        str | None,
        typer.Option("--alphas", metavar="A,A..", help="Which alphas; 0.95 to 0.1 by default."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE.png|.svg", help="Draw it (needs matplotlib)."),
    ] = None,
    cost_scale: CostScaleOption = "auto",
    bandwidth: BandwidthOption = "auto",
    exact: ExactOption = False,
    no_scans: NoScansOption = False,
    filter_json: FilterOption = None,
    vector: VectorOption = None,
    text_field: TextFieldOption = None,
    template: TemplateOption = None,
    weight_field: WeightFieldOption = None,
    model: ModelOption = None,
    device: DeviceOption = None,
    batch_size: BatchOption = 64,
    grpc: GrpcOption = False,
    grpc_port: GrpcPortOption = 6334,
    ask_api_key: AskKeyOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show what every alpha would select, to choose one by what you understand.

    Columns: neighbours used per task example, candidates with p > 0 (support), effective sample
    size, mean distance from a task example to what it chose.

    \b
    Example:
        tsds-qdrant path --qdrant ./store --collection pool --queries task.jsonl
    """
    from tsds_qdrant.collections import open_collection
    from tsds_qdrant.report.path_plot import check_plot, plot_path
    from tsds_qdrant.selection.settings import SelectionSettings
    from tsds_qdrant.strategies.tsds.trace import DEFAULT_ALPHAS, trace_path
    from tsds_qdrant.task.reading import task_examples

    settings = SelectionSettings(
        cost_scale=number_or_auto(cost_scale, "--cost-scale"),
        bandwidth=number_or_auto(bandwidth, "--bandwidth"),
        exact=exact,
        scans=not no_scans,
        where=filter_of(filter_json),
    )
    wanted = alphas_of(alphas) or DEFAULT_ALPHAS
    if plot:
        check_plot(plot)
    key = api_key(ask_api_key)
    opened = open_collection(
        qdrant, collection, vector=vector, api_key=key, grpc=grpc, grpc_port=grpc_port
    )
    try:
        with progress_bars(quiet=as_json) as progress:
            examples = task_examples(
                queries,
                opened.info(),
                text_field=text_field,
                template=template,
                weight_field=weight_field,
                model=model,
                device=device,
                batch_size=batch_size,
                api_key=key,
                progress=progress,
            )
            traced = trace_path(
                opened,
                examples.vectors,
                settings,
                alphas=wanted,
                query_weights=examples.weights,
                progress=progress,
            )
    finally:
        opened.close()
    if plot:
        plot_path(traced.points, traced.candidates, plot)
        say(f"wrote {plot}", quiet=as_json)
    if as_json:
        print_json({**vars(traced), "points": [vars(point) for point in traced.points]})
        return
    say(
        f"{traced.candidates} candidates, cost scale {traced.cost_scale:.4g}, "
        f"bandwidth {traced.bandwidth:.4g}"
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
            f"the task has little say"
        )
