"""``tsds-qdrant select``."""

from __future__ import annotations

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
    QdrantOption,
    QueriesOption,
    RecallOption,
    SeedOption,
    TemplateOption,
    TextFieldOption,
    VectorOption,
    WeightFieldOption,
    api_key,
    filter_of,
    number_or_auto,
    sizes_of,
)
from tsds_qdrant.cli.select_options import (
    AlphaOption,
    DetectUpdatesOption,
    OutOption,
    ProbabilitiesOption,
    RatioOption,
    RegularizerOption,
    SamplerOption,
    SinceFieldOption,
    SizeOption,
    StateOption,
    SupportOption,
    check_distinct,
)
from tsds_qdrant.cli.summary import summary
from tsds_qdrant.cli.terminal import print_json, progress_bars, say
from tsds_qdrant.errors import SettingsError


def select(
    qdrant: QdrantOption,
    collection: CollectionOption,
    queries: QueriesOption,
    out: OutOption = None,
    size: SizeOption = None,
    ratio: RatioOption = None,
    probabilities: ProbabilitiesOption = None,
    alpha: AlphaOption = None,
    support: SupportOption = None,
    cost_scale: CostScaleOption = "auto",
    bandwidth: BandwidthOption = "auto",
    regularizer: RegularizerOption = "kde",
    sampler: SamplerOption = "stable",
    exact: ExactOption = False,
    recall: RecallOption = 0.98,
    seed: SeedOption = 0,
    filter_json: FilterOption = None,
    state: StateOption = None,
    since_field: SinceFieldOption = None,
    detect_updates: DetectUpdatesOption = False,
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
    """Select candidates for the task that the examples show.

    Set a size and an output file; everything else has a default that follows from the data. The
    collection is only read. A manifest with all settings and figures goes beside the output.

    \b
    Example:
        tsds-qdrant select --qdrant ./store --collection pool --queries task.jsonl \\
          --size 1000 --out selected.jsonl
        tsds-qdrant select --qdrant http://localhost:6333 --collection pool --queries Q.npy \\
          --ratio 0.01 --alpha 0.5 --out selected.parquet --probabilities p.parquet
    """
    from tsds_qdrant.cli.examples import task_examples
    from tsds_qdrant.collections import open_collection
    from tsds_qdrant.outputs import check_rows_path, check_writable
    from tsds_qdrant.settings import SelectionSettings
    from tsds_qdrant.workflow.reselect import begin_run
    from tsds_qdrant.workflow.results import (
        manifest,
        manifest_path,
        sample_paths,
        write_manifest,
        write_probabilities,
        write_samples,
    )
    from tsds_qdrant.workflow.select import select as select_candidates

    settings = SelectionSettings(
        sizes=sizes_of(size),
        ratio=ratio,
        alpha=alpha,
        support=support,
        cost_scale=number_or_auto(cost_scale, "--cost-scale"),
        bandwidth=number_or_auto(bandwidth, "--bandwidth"),
        regularizer=regularizer,  # type: ignore[arg-type]  # checked by SelectionSettings
        sampler=sampler,  # type: ignore[arg-type]
        exact=exact,
        recall=recall,
        seed=seed,
        where=filter_of(filter_json),
    )
    if out is None and probabilities is None:
        raise SettingsError("there is nowhere to write; give --out or --probabilities")
    if state is None and (since_field is not None or detect_updates):
        raise SettingsError("--since-field and --detect-updates need a run; give --state RUN")
    if size is None and ratio is None and (out or state or (alpha is None and support is None)):
        raise SettingsError("no size is given; set --size 1000 or --ratio 0.01")
    outputs = list(sample_paths(out, settings.wanted_sizes(1)).values()) if out else []
    outputs += [probabilities] if probabilities else []
    for place in outputs:
        check_rows_path(place)
    check_writable(manifest_path(out or probabilities or ""))
    check_distinct(outputs, queries)
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
            source = {"source": queries}
            if state is None:
                selection = select_candidates(
                    opened,
                    examples.vectors,
                    settings,
                    query_weights=examples.weights,
                    progress=progress,
                )
            else:
                _, selection = begin_run(
                    state,
                    opened,
                    examples.vectors,
                    settings,
                    query_weights=examples.weights,
                    query_facts={**source, "texts": examples.texts},
                    since_field=since_field,
                    detect_updates=detect_updates,
                    progress=progress,
                )
        written = write_samples(opened, selection, out) if out else []
        if probabilities:
            write_probabilities(selection, probabilities)
            written.append(probabilities)
        written.append(write_manifest(selection, out or probabilities or "", queries=source))
    finally:
        opened.close()
    if as_json:
        print_json(manifest(selection, queries=source))
    else:
        say(summary(selection))
        say("wrote " + ", ".join(map(str, written)))
