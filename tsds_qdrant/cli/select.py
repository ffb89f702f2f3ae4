"""``tsds-qdrant select``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import tsds_qdrant.cli.guard_options as guards
import tsds_qdrant.cli.select_options as own
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
from tsds_qdrant.cli.report import ByOption, ReportOption, check_report_options, report_selection
from tsds_qdrant.cli.select_method import MethodOption, choice_path, regularizer_of, select_simply
from tsds_qdrant.cli.summary import summary
from tsds_qdrant.cli.terminal import print_json, progress_bars, say, telling
from tsds_qdrant.cli.write_back import check_write_back, told, written_back
from tsds_qdrant.errors import ContaminationError, SettingsError

if TYPE_CHECKING:
    from tsds_qdrant.selection.selection import Selection


def select(
    qdrant: QdrantOption,
    collection: CollectionOption,
    queries: QueriesOption,
    out: own.OutOption = None,
    size: own.SizeOption = None,
    ratio: own.RatioOption = None,
    probabilities: own.ProbabilitiesOption = None,
    method: MethodOption = "tsds",
    alpha: own.AlphaOption = None,
    support: own.SupportOption = None,
    cost_scale: CostScaleOption = "auto",
    bandwidth: BandwidthOption = "auto",
    regularizer: own.RegularizerOption = "kde",
    sampler: own.SamplerOption = "stable",
    exact: ExactOption = False,
    no_scans: NoScansOption = False,
    recall: RecallOption = 0.98,
    seed: SeedOption = 0,
    filter_json: FilterOption = None,
    quota: guards.QuotaOption = None,
    budget_tokens: guards.BudgetOption = None,
    token_field: guards.TokenFieldOption = None,
    max_per_group: guards.MaxPerGroupOption = None,
    group_field: guards.GroupFieldOption = None,
    exclude: guards.ExcludeOption = None,
    exclude_radius: guards.RadiusOption = None,
    exclude_ngrams: guards.NgramsOption = 13,
    exclude_overlap: guards.OverlapOption = 0.0,
    exclude_template: guards.ExcludeTemplateOption = None,
    exclude_report: guards.ExcludeReportOption = None,
    fail_on_contamination: guards.FailOption = False,
    state: own.StateOption = None,
    since_field: own.SinceFieldOption = None,
    detect_updates: own.DetectUpdatesOption = False,
    write_back: own.WriteBackOption = None,
    dry_run: own.DryRunOption = False,
    report: ReportOption = None,
    by: ByOption = None,
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
    collection is only read, unless --write-back asks for more. A manifest with all settings and
    figures goes beside the output.

    \b
    Example:
        tsds-qdrant select --qdrant ./store --collection pool --queries task.jsonl \\
          --size 1000 --out selected.jsonl
        tsds-qdrant select --qdrant http://localhost:6333 --collection pool --queries Q.npy \\
          --ratio 0.01 --alpha 0.5 --out selected.parquet --probabilities p.parquet
    """
    from tsds_qdrant.collections import open_collection
    from tsds_qdrant.records import TextTemplate
    from tsds_qdrant.runs.reselect import begin_run
    from tsds_qdrant.runs.run import load_run
    from tsds_qdrant.runs.write_back import Tagging
    from tsds_qdrant.selection.results import manifest, manifest_path, sample_paths, write_results
    from tsds_qdrant.selection.select import begin_task, select_for
    from tsds_qdrant.selection.settings import SelectionSettings
    from tsds_qdrant.task.reading import task_examples

    settings = SelectionSettings(
        sizes=sizes_of(size),
        ratio=ratio,
        alpha=alpha,
        support=support,
        cost_scale=number_or_auto(cost_scale, "--cost-scale"),
        bandwidth=number_or_auto(bandwidth, "--bandwidth"),
        regularizer=regularizer_of(method, regularizer),  # type: ignore[arg-type]
        sampler=sampler,  # type: ignore[arg-type]
        exact=exact,
        scans=not no_scans,
        recall=recall,
        seed=seed,
        where=filter_of(filter_json),
        **guards.bounds(quota, budget_tokens, token_field, max_per_group, group_field),
    )
    choice_out = choice_path(
        method,
        settings,
        out,
        {
            "--state": state,
            "--probabilities": probabilities,
            "--write-back": write_back,
            "--report": report,
            "--exclude": exclude,
        },
    )
    if out is None and probabilities is None:
        raise SettingsError("there is nowhere to write; give --out or --probabilities")
    if state is None and (since_field is not None or detect_updates):
        raise SettingsError("--since-field and --detect-updates need a run; give --state RUN")
    check_write_back(write_back, dry_run)
    check_report_options(report, by)
    guards.check_guard_options(
        exclude, exclude_radius, exclude_template, exclude_report, fail_on_contamination
    )
    needed = out or state or write_back or (alpha is None and support is None)
    if size is None and ratio is None and budget_tokens is None and needed:
        raise SettingsError("no size is given; set --size 1000 or --ratio 0.01")
    samples = sample_paths(out, settings.wanted_sizes(1) or (1,)).values() if out else []
    tables = [*samples, *filter(None, (probabilities, exclude_report))]
    pages = [manifest_path(out or probabilities or ""), *filter(None, (report, state))]
    own.check_outputs(tables, pages, queries, exclude or ())
    key = api_key(ask_api_key)
    opened = open_collection(
        qdrant, collection, vector=vector, api_key=key, grpc=grpc, grpc_port=grpc_port
    )
    written: list[Path] = []
    source = {"source": queries}

    def deliver(done: Selection) -> None:
        written.extend(write_results(opened, done, out, probabilities, queries=source))

    try:
        with telling(written), progress_bars(quiet=as_json) as progress:
            reading: dict[str, Any] = {
                "text_field": text_field,
                "template": template,
                "model": model,
                "device": device,
                "batch_size": batch_size,
                "api_key": key,
                "progress": progress,
            }
            info = opened.info()
            examples = task_examples(queries, info, weight_field=weight_field, **reading)
            copies = exclude_radius, exclude_ngrams, exclude_overlap, exclude_template
            guard = guards.guard_of(exclude, info, *copies, fail_on_contamination, **reading)
            if choice_out:
                select_simply(
                    opened,
                    examples,
                    settings,
                    method,
                    template=TextTemplate.parse(text_field, template),
                    out=choice_out,
                    queries=queries,
                    as_json=as_json,
                    progress=progress,
                )
                return
            tagging = None
            if write_back:
                tagging = Tagging.of(write_back, info, settings, examples.vectors, examples.weights)
            if state is None:
                task = begin_task(
                    opened, examples.vectors, settings, examples.weights, guard, progress
                )
                pool = task.neighborhoods.searcher.candidates
                selection = select_for(task, settings.wanted_sizes(pool), guard=guard)
                deliver(selection)
            else:
                run_state, selection = begin_run(
                    state,
                    opened,
                    examples.vectors,
                    settings,
                    query_weights=examples.weights,
                    query_facts={**source, "texts": examples.texts},
                    since_field=since_field,
                    detect_updates=detect_updates,
                    tagging=None if dry_run else tagging,
                    guard=guard,
                    deliver=deliver,
                    progress=progress,
                )
                tagging = tagging or load_run(run_state)[0].tagging
        if report:
            report_selection(
                report,
                opened,
                task if state is None else run_state,
                selection,
                queries=source,
                texts=examples.texts,
                by=by,
            )
            written.append(report)
        written += guards.write_report(selection.contamination, exclude_report)
        with telling(written):
            tagged = written_back(opened, selection, tagging, dry_run=dry_run, quiet=as_json)
    except ContaminationError as error:
        guards.write_report(error.found, exclude_report)
        raise
    finally:
        opened.close()
    if as_json:
        print_json({**manifest(selection, queries=source), **tagged})
    else:
        say(summary(selection))
        say("wrote " + ", ".join(map(str, written)))
        if tagged:
            say(told(tagged))
