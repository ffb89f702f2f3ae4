"""What keeps candidates out of a selection: test items, quotas, a token budget, groups."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tsds_qdrant.errors import SettingsError

if TYPE_CHECKING:
    from tsds_qdrant.collections.values import CollectionInfo
    from tsds_qdrant.guards.contamination import Contamination
    from tsds_qdrant.guards.guard import Guard
    from tsds_qdrant.progress import Progress

ExcludeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude",
        metavar="FILE|X.npy|collection:NAME",
        help="Test items: no selected candidate may be a copy of one. May be repeated.",
    ),
]
RadiusOption = Annotated[
    float | None,
    typer.Option(
        "--exclude-radius",
        metavar="R",
        help="Vectors so near make a copy; 0 compares none. 0.25 by default under Cosine.",
    ),
]
NgramsOption = Annotated[
    int,
    typer.Option(
        "--exclude-ngrams", metavar="N", help="So many shared words in a row make a copy; 0: none."
    ),
]
OverlapOption = Annotated[
    float,
    typer.Option(
        "--exclude-overlap",
        metavar="SHARE",
        help="Shared runs of words must cover that share of a test item; 0: one is enough.",
    ),
]
ExcludeTemplateOption = Annotated[
    str | None,
    typer.Option(
        "--exclude-template",
        metavar="TEXT",
        help="How a test item's text is made, \"{question}\" say; the collection's way if unset.",
    ),
]
ExcludeReportOption = Annotated[
    Path | None,
    typer.Option(
        "--exclude-report", metavar="FILE", help="What was kept out, and why; formats as --out."
    ),
]
FailOption = Annotated[
    bool,
    typer.Option(
        "--fail-on-contamination",
        help="Fail where a copy would be selected; only the report is written then.",
    ),
]
QuotaOption = Annotated[
    list[str] | None,
    typer.Option(
        "--quota",
        metavar="FIELD[=VALUE]:SHARE",
        help="At most that share from one value, or from each value, of a field. Repeatable.",
    ),
]
BudgetOption = Annotated[
    int | None,
    typer.Option(
        "--budget-tokens",
        metavar="T",
        help="At most T tokens in all, beside --size or in its place.",
    ),
]
TokenFieldOption = Annotated[
    str | None,
    typer.Option(
        "--token-field", metavar="FIELD", help="Field that holds them; else the model counts."
    ),
]
MaxPerGroupOption = Annotated[
    int | None,
    typer.Option("--max-per-group", metavar="K", help="At most K candidates of one group."),
]
GroupFieldOption = Annotated[
    str | None,
    typer.Option(
        "--group-field", metavar="FIELD", help="Field that names it; else near-duplicates are one."
    ),
]


def bounds(
    quotas: list[str] | None,
    token_budget: int | None,
    token_field: str | None,
    max_per_group: int | None,
    group_field: str | None,
) -> dict[str, Any]:
    """The settings that these options make.

    Raises:
        SettingsError: a quota that cannot be read.
    """
    from tsds_qdrant.selection.quotas import Quota

    return {
        "quotas": tuple(map(Quota.parse, quotas or ())),
        "token_budget": token_budget,
        "token_field": token_field,
        "max_per_group": max_per_group,
        "group_field": group_field,
    }


def check_guard_options(
    exclude: list[str] | None,
    radius: float | None,
    template: str | None,
    report: Path | None,
    fail: bool,
) -> None:
    """Check that options about test items come with ``--exclude``.

    Raises:
        SettingsError: one does not.
    """
    given = {
        "--exclude-radius": radius is not None,
        "--exclude-template": template is not None,
        "--exclude-report": report is not None,
        "--fail-on-contamination": fail,
    }
    for option, stands in given.items():
        if stands and not exclude:
            raise SettingsError(f"{option} is about test items; name them with --exclude")


def guard_of(
    sources: list[str] | None,
    info: CollectionInfo,
    radius: float | None,
    ngrams: int,
    overlap: float,
    item_template: str | None,
    strict: bool,
    *,
    text_field: str | None,
    template: str | None,
    model: str | None,
    device: str | None,
    batch_size: int,
    api_key: str | None,
    progress: Progress,
) -> Guard | None:
    """The guard that these options make; None without ``--exclude``.

    Raises:
        TsdsError: see :func:`~tsds_qdrant.guards.sources.guard_against`.
    """
    if not sources:
        return None
    from tsds_qdrant.guards.sources import guard_against
    from tsds_qdrant.records import TextTemplate
    from tsds_qdrant.representations.text import SentenceTransformerEmbedder

    return guard_against(
        sources,
        info,
        ngram=ngrams,
        radius=radius,
        overlap=overlap,
        template=TextTemplate.parse(None, item_template),
        candidate_template=TextTemplate.parse(text_field, template),
        embedder=lambda name: SentenceTransformerEmbedder(
            name, device=device, batch_size=batch_size
        ),
        model=model,
        api_key=api_key,
        strict=strict,
        progress=progress,
    )


def write_report(found: Contamination | None, report: Path | None) -> list[Path]:
    """Write what was kept out, if that is wanted, and return where.

    Raises:
        OutputError: the file cannot be written.
    """
    if report is None or found is None:
        return []
    from tsds_qdrant.files.outputs import write_rows
    from tsds_qdrant.guards.contamination import REPORT_COLUMNS

    write_rows(report, found.rows(), columns=REPORT_COLUMNS)
    return [report]
