"""``tsds-qdrant export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tsds_qdrant.cli.options import AskKeyOption, JsonOption, api_key
from tsds_qdrant.cli.terminal import print_json, progress_bars, say
from tsds_qdrant.errors import SettingsError

if TYPE_CHECKING:
    from tsds_qdrant.training.export_report import ExportReport


def export(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="A run's state file, or the file that 'select --out' wrote."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="FILE",
            help="The training file: .jsonl (also .gz, .zst), .parquet; .npy for dataflex.",
        ),
    ],
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="NAME",
            help="plain, chat, instruction, trl, axolotl, llamafactory or dataflex.",
        ),
    ] = "plain",
    size: Annotated[
        int | None,
        typer.Option("--size", metavar="N", help="The first N draws; all if unset."),
    ] = None,
    validation: Annotated[
        float | None,
        typer.Option(
            "--validation",
            metavar="SHARE",
            help="Put that share beside it, in FILE-validation; near-duplicates stay together.",
        ),
    ] = None,
    radius: Annotated[
        float | None,
        typer.Option(
            "--radius", metavar="R", help="How near a near-duplicate is; the run's h if unset."
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Same seed, same validation rows.")
    ] = 0,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            metavar="column|repeats",
            help="Rows drawn more than once: a column (plain), or written as often (else).",
        ),
    ] = None,
    shuffle: Annotated[
        int | None,
        typer.Option("--shuffle", metavar="SEED", help="Mix the rows; best rank first if unset."),
    ] = None,
    fields: Annotated[
        str | None,
        typer.Option(
            "--map",
            metavar="PART=FIELD,..",
            help="Fields that hold prompt, completion, input, system, messages or text.",
        ),
    ] = None,
    skip_unfit: Annotated[
        bool, typer.Option("--skip-unfit", help="Leave out records that do not fit the format.")
    ] = False,
    pool: Annotated[
        list[str] | None,
        typer.Option(
            "--pool", metavar="FILE", help="dataflex: what was ingested; may be repeated."
        ),
    ] = None,
    id_field: Annotated[
        str | None,
        typer.Option(
            "--id-field", metavar="FIELD", help="dataflex: the pool's field with the ids."
        ),
    ] = None,
    ask_api_key: AskKeyOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write a selection as training files, in the form that trainers read.

    The usual payloads are recognised (messages, conversations, instruction and output, prompt and
    completion, question and answer, text); --map names the fields of others. llamafactory adds an
    entry to the dataset_info.json beside FILE; axolotl prints lines for its configuration.

    \b
    Example:
        tsds-qdrant export task.run --format trl --validation 0.1 --out train.jsonl
        tsds-qdrant export task.run --format llamafactory --out data/task.jsonl
        tsds-qdrant export selected.jsonl --format chat --map prompt=q,completion=a \\
          --out train.parquet
        tsds-qdrant export task.run --format dataflex --pool pool.jsonl --out tsds_probs.npy
    """
    from tsds_qdrant.training.export import export as write_training_files
    from tsds_qdrant.training.settings import ExportSettings

    settings = ExportSettings(
        form=form,
        size=size,
        weights=weights,
        shuffle=shuffle,
        validation=validation,
        radius=radius,
        seed=seed,
        fields=field_map_of(fields),
        skip_unfit=skip_unfit,
    )
    with progress_bars(quiet=as_json) as progress:
        report = write_training_files(
            source,
            out,
            settings,
            pool=pool or (),
            id_field=id_field,
            api_key=api_key(ask_api_key),
            progress=progress,
        )
    if as_json:
        print_json(report.facts())
        return
    for line in talk(report):
        say(line)
    if report.config:
        typer.echo(report.config, nl=False)


def field_map_of(text: str | None) -> dict[str, str]:
    """A field map from ``prompt=question,completion=answer.text``.

    Raises:
        SettingsError: a part without a field, or one that comes twice.
    """
    fields: dict[str, str] = {}
    for item in text.split(",") if text else []:
        part, equals, name = (piece.strip() for piece in item.partition("="))
        if not equals:
            raise SettingsError(f"--map has '{item}'; write PART=FIELD, prompt=question say")
        if part in fields:
            raise SettingsError(f"--map names {part} twice; keep one of them")
        fields[part] = name
    return fields


def talk(report: ExportReport) -> list[str]:
    """What was done, for a person."""
    lines = []
    if report.shapes:
        shapes = ", ".join(f"{shape} ({count})" for shape, count in report.shapes.items())
        unused = f"; fields left out: {', '.join(report.left_out)}" if report.left_out else ""
        lines.append(f"recognised {shapes}, written as {report.layout}{unused}")
    if report.unfit:
        point_id, reason = report.unfit[0]
        lines.append(f"{len(report.unfit)} records left out (first: point {point_id} {reason})")
    for name, column in report.renamed.items():
        lines.append(f"the field '{name}' is in the column '{column}', as its own name is taken")
    if report.as_text:
        lines.append(f"columns of several types, held as JSON text: {', '.join(report.as_text)}")
    if report.split:
        split = report.split
        lines.append(
            f"{split.groups} groups of near-duplicates within {split.radius:.4g} (the largest: "
            f"{split.largest}), none of them split; {split.share:.1%} of the draws for validation"
        )
    if report.form == "dataflex":
        lines.append(
            f"{report.positive} rows have p > 0: DataFlex, which draws without replacement, can "
            "take that many at once"
        )
    if report.datasets:
        lines.append(f"dataset_info.json has {' and '.join(report.datasets)}")
    if report.stale:
        lines.append(f"'{report.stale}' is of an earlier export and may hold rows of this one")
    files = (f"{path} ({count} rows)" for path, count in report.files.items())
    return [*lines, f"wrote {', '.join(files)}"]
