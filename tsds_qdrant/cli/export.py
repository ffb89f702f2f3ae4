"""``tsds-qdrant export``."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tsds_qdrant.cli.flags import taking
from tsds_qdrant.cli.options import JsonOption
from tsds_qdrant.cli.outputs import check_stdout
from tsds_qdrant.cli.reached import Moved
from tsds_qdrant.cli.terminal import print_json, progress_bars, say
from tsds_qdrant.files.streams import shown_output
from tsds_qdrant.settings.fields import setting
from tsds_qdrant.training.settings import ExportSettings

if TYPE_CHECKING:
    from tsds_qdrant.training.export_report import ExportReport

MOST_REASONS = 5


@dataclass(frozen=True)
class Files:
    """Files

    Attributes:
        out: the training file.
        pool: what was ingested, for ``dataflex``.
        id_field: where that has the ids.
    """

    out: Path = setting(
        MISSING,
        "The training file: .jsonl (also .gz, .zst), .parquet; .npy for dataflex; - for stdout.",
        metavar="FILE|-",
    )
    pool: tuple[str, ...] = setting(
        (), "dataflex: what was ingested; may be repeated.", metavar="FILE", repeated=True
    )
    id_field: str | None = setting(
        None, "dataflex: the pool's field with the ids.", metavar="FIELD"
    )


@taking(Files, ExportSettings, Moved)
def export(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="A run's state file, or the file that 'select --out' wrote."
        ),
    ],
    files: Files,
    settings: ExportSettings,
    moved: Moved,
    as_json: JsonOption = False,
) -> None:
    """Write a selection as training files, in the form that trainers read.

    The usual payloads are recognised (messages, conversations, instruction and output, prompt and
    completion, question and answer, text, ..; of preference rows the chosen answer); --map names
    the fields of others. llamafactory adds an entry to the dataset_info.json beside FILE; axolotl
    prints lines for its configuration.

    \b
    Example:
        tsds-qdrant export task.run --format trl --validation 0.1 --out train.jsonl
        tsds-qdrant export task.run --format llamafactory --out data/task.jsonl
        tsds-qdrant export selected.jsonl --format chat --map prompt=q,completion=a \\
          --out train.parquet
        tsds-qdrant export task.run --format dataflex --pool pool.jsonl --out tsds_probs.npy
    """
    from tsds_qdrant.training.export import export as write_training_files

    check_stdout({"--out": files.out}, as_json=as_json)
    opened = moved.open(source) if moved.qdrant else None
    with opened or nullcontext(), progress_bars(quiet=as_json) as progress:
        report = write_training_files(
            source,
            files.out,
            settings,
            collection=opened,
            pool=files.pool,
            id_field=files.id_field,
            connection=moved.where["connection"],
            progress=progress,
        )
    if as_json:
        print_json(report.facts())
        return
    for line in talk(report):
        say(line)
    if report.config:
        typer.echo(report.config, nl=False)


def _left_out(report: ExportReport) -> list[str]:
    """How many records were left out, and for which reasons."""
    if not report.unfit:
        return []
    first = {reason: point_id for point_id, reason in reversed(report.unfit)}
    lines = [f"{len(report.unfit)} records left out:"]
    for reason, count in list(report.reasons.items())[:MOST_REASONS]:
        lines.append(f"  {count} as point {first[reason]}, which {reason}")
    if len(report.reasons) > MOST_REASONS:
        lines.append(f"  and others for {len(report.reasons) - MOST_REASONS} more reasons")
    return lines


def talk(report: ExportReport) -> list[str]:
    """What was done, for a person."""
    lines = []
    if report.shapes:
        shapes = ", ".join(f"{shape} ({count})" for shape, count in report.shapes.items())
        lines.append(f"recognised {shapes}, written as {report.layout}")
    if report.left_out:
        fields = ", ".join(f"{name} ({count})" for name, count in report.left_out.items())
        lines.append(f"fields left out, with how many records have them: {fields}")
    lines += _left_out(report)
    if report.long and report.long.count:
        long = report.long
        lines.append(
            f"about {long.count} are longer than {long.tokens} tokens, at which the trainer cuts "
            f"unless {long.setting} says otherwise"
        )
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
    files = (f"{shown_output(path)} ({count} rows)" for path, count in report.files.items())
    return [*lines, f"wrote {', '.join(files)}"]
