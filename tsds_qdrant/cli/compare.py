"""``tsds-qdrant compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tsds_qdrant.cli.options import (
    AskKeyOption,
    BandwidthOption,
    BatchOption,
    CollectionOption,
    DeviceOption,
    ExactOption,
    FilterOption,
    GrpcOption,
    JsonOption,
    ModelOption,
    QdrantOption,
    QueriesOption,
    SeedOption,
    TemplateOption,
    TextFieldOption,
    VectorOption,
    WeightFieldOption,
    api_key,
    filter_of,
    number_or_auto,
)
from tsds_qdrant.cli.select_options import AlphaOption, RatioOption, check_distinct
from tsds_qdrant.cli.terminal import print_json, print_table, progress_bars, say
from tsds_qdrant.errors import SettingsError

if TYPE_CHECKING:
    from tsds_qdrant.planning.comparison import Comparison, Figure

MOST_VALUES = 12


def compare(
    qdrant: QdrantOption,
    collection: CollectionOption,
    queries: QueriesOption,
    size: Annotated[
        int | None, typer.Option("--size", metavar="N", help="How many every method selects.")
    ] = None,
    ratio: RatioOption = None,
    methods: Annotated[
        str | None,
        typer.Option(
            "--methods",
            metavar="NAME,..",
            help="tsds, tsds-uniform, random, similarity-max, similarity-mean, round-robin, dsir; "
            "all that can be used if unset.",
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="How often methods with chance select.")
    ] = 5,
    seed: SeedOption = 0,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="FIELD", help="Count the values of this payload field."),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option("--target", metavar="VALUE", help="Count this value of --by alone."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="A row for each run: .jsonl, .csv, .parquet."),
    ] = None,
    alpha: AlphaOption = None,
    bandwidth: BandwidthOption = "auto",
    exact: ExactOption = False,
    filter_json: FilterOption = None,
    vector: VectorOption = None,
    text_field: TextFieldOption = None,
    template: TemplateOption = None,
    weight_field: WeightFieldOption = None,
    model: ModelOption = None,
    device: DeviceOption = None,
    batch_size: BatchOption = 64,
    grpc: GrpcOption = False,
    ask_api_key: AskKeyOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare what simpler methods select from the same pool; nothing is written to it.

    Columns: mean distance from a task example to the nearest selected candidate (coverage),
    share of task examples that have one within the typical distance (covered), mean distance
    from a selected candidate to the nearest task example (distance), share of the selected with
    another selected one within the bandwidth (near-dup), effective sample size of the
    probabilities (effective), candidates shared with tsds as a share of both (overlap), and with
    --target the share of the selected that have that value. Where chance matters: mean over the
    seeds +- standard deviation. 'select --method NAME' writes the selection of any of them.

    \b
    Example:
        tsds-qdrant compare --qdrant ./store --collection pool --queries task.jsonl --size 1000
        tsds-qdrant compare --qdrant ./store --collection pool --queries task.jsonl --size 1000 \\
          --methods tsds,random,dsir --by source --target wiki --out comparison.csv
    """
    from tsds_qdrant.collections import open_collection
    from tsds_qdrant.files.compression import split_suffix
    from tsds_qdrant.files.outputs import check_rows_path, write_rows
    from tsds_qdrant.planning.compare import check_comparison
    from tsds_qdrant.planning.compare import compare as compare_methods
    from tsds_qdrant.planning.comparison import RUN_COLUMNS
    from tsds_qdrant.records import TextTemplate
    from tsds_qdrant.selection.settings import SelectionSettings
    from tsds_qdrant.task.reading import task_examples

    settings = SelectionSettings(
        sizes=() if size is None else (size,),
        ratio=ratio,
        alpha=alpha,
        bandwidth=number_or_auto(bandwidth, "--bandwidth"),
        exact=exact,
        seed=seed,
        where=filter_of(filter_json),
    )
    wanted = None if methods is None else [name.strip() for name in methods.split(",")]
    drawn = range(seed, seed + seeds)
    check_comparison(settings, wanted, drawn, by, target)
    if out:
        check_rows_path(out)
        if split_suffix(out)[1].lower() in (".ids", ".txt"):
            raise SettingsError(f"'{out}' would hold ids; end it in .jsonl, .csv or .parquet")
        check_distinct([out], queries)
    key = api_key(ask_api_key)
    opened = open_collection(qdrant, collection, vector=vector, api_key=key, grpc=grpc)
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
            found = compare_methods(
                opened,
                examples.vectors,
                settings,
                methods=wanted,
                seeds=drawn,
                query_weights=examples.weights,
                texts=examples.texts,
                template=TextTemplate.parse(text_field, template),
                by=by,
                target=target,
                progress=progress,
            )
    finally:
        opened.close()
    if out:
        write_rows(out, found.rows(), columns=RUN_COLUMNS)
    if as_json:
        print_json(found.as_dict())
        return
    say(
        f"{found.size} of {found.candidates} candidates for {found.queries} task examples; "
        f"typical distance {found.typical:.4g}, bandwidth {found.bandwidth:.4g}"
    )
    for method, reason in found.left_out.items():
        say(f"left out {method}: {reason}")
    _print_figures(found, target)
    if by is not None and target is None:
        _print_shares(found, by)
    if out:
        say(f"wrote {out}")


def _print_figures(found: Comparison, target: str | None) -> None:
    columns = {
        "coverage": "coverage",
        "covered": "covered",
        "distance": "distance",
        "near-dup": "near_duplicates",
        "effective": "effective_size",
        "overlap": "overlap",
        **({f"share {target}": "target_share"} if target is not None else {}),
    }
    print_table(
        ("method", *columns),
        [
            (method, *(_shown(found.figure(method, name), name) for name in columns.values()))
            for method in found.methods
        ],
    )


def _print_shares(found: Comparison, by: str) -> None:
    values = found.values()
    typer.echo()
    say(f"shares of the values of '{by}' in each selection")
    print_table(
        (by, *found.methods),
        [
            (value, *(_shown(found.share(method, value)) for method in found.methods))
            for value in values[:MOST_VALUES]
        ],
    )
    if len(values) > MOST_VALUES:
        say(f"and {len(values) - MOST_VALUES} more values; --json has them all")


def _shown(figure: Figure | None, name: str = "") -> str:
    if figure is None:
        return "-"
    if name == "effective_size":  # of the probabilities, which no seed changes
        return f"{figure.mean:.0f}"
    spread = "" if figure.spread is None else f" +- {figure.spread:.3f}"
    return f"{figure.mean:.3f}{spread}"
