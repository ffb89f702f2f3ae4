"""``tsds-qdrant warm-up``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tsds_qdrant.cli.flags import only, taking
from tsds_qdrant.cli.groups import Where, note_filter
from tsds_qdrant.cli.options import JsonOption
from tsds_qdrant.cli.terminal import print_json, progress_bars, say
from tsds_qdrant.neighbors.settings import SearchSettings
from tsds_qdrant.records.recognising import field_map_of
from tsds_qdrant.representations.checkpoints.lora_settings import LoraSettings
from tsds_qdrant.settings.fields import setting
from tsds_qdrant.task.settings import Reading
from tsds_qdrant.training.warm_up_part import PartSettings

if TYPE_CHECKING:
    from tsds_qdrant.training.warm_up import WarmUpReport


@dataclass(frozen=True)
class Learner:
    """The model

    Attributes:
        model: a causal language model.
        out: where the checkpoints go.
        fields: what a payload shows, where no usual shape says it.
        revision: of a model of the hub.
        dtype: what it computes in.
        device: where it runs.
        max_length: tokens that are read of an example.
    """

    model: str = setting(
        MISSING,
        "Causal language model: of the hub, a directory, a GGUF file, or package:NAME.",
        metavar="NAME|DIR",
    )
    out: Path = setting(MISSING, "The directory of the checkpoints.", metavar="DIR")
    fields: Mapping[str, str] = setting(
        {},
        "Fields that hold prompt, completion, input, system, messages or text.",
        "--map",
        metavar="PART=FIELD,..",
        parse=field_map_of,
    )
    revision: str | None = setting(
        None, "Branch, tag or commit of a model of the hub.", metavar="NAME", hidden=True
    )
    dtype: str = setting(
        "float32", "What it computes in: float32, bfloat16, float16, auto.", metavar="NAME"
    )
    device: str | None = setting(
        None, "Where it runs; the best there is if unset.", metavar="cpu|cuda|mps"
    )
    max_length: int | None = setting(
        None, "Tokens that are read of an example; 2,048, or what the model reads, if unset."
    )


@taking(
    Where,
    Learner,
    PartSettings,
    LoraSettings,
    only(Reading, "text_field", "template"),
    only(SearchSettings, "where"),
    usual=("qdrant", "collection", "model", "share", "out"),
)
def warm_up(
    where: Where,
    learner: Learner,
    part: PartSettings,
    training: LoraSettings,
    reading: Reading,
    search: SearchSettings,
    as_json: JsonOption = False,
) -> None:
    """Train a language model on a part of the pool, for gradients at its checkpoints.

    LoRA adapters learn a random part; a checkpoint after each epoch has them, the mean learning
    rate and the optimizer's state, which 'represent gradient' takes. The collection is only read.
    A warm-up that was stopped goes on after its last epoch.

    \b
    Example:
        tsds-qdrant warm-up --qdrant ./store --collection pool --model ./smollm --share 0.05 \\
          --out ./warm
    """
    from tsds_qdrant.pool.fields import check_template
    from tsds_qdrant.pool.texts import point_template
    from tsds_qdrant.records.showing import Showing
    from tsds_qdrant.representations.language.model import LanguageModel
    from tsds_qdrant.training.warm_up import warm_up as trained

    language = LanguageModel(
        learner.model,
        revision=learner.revision,
        dtype=learner.dtype,
        device=learner.device,
        max_length=learner.max_length,
    )
    with where.open() as opened, progress_bars(quiet=as_json) as progress:
        note_filter(search.where, opened, quiet=as_json)
        template = reading.text_template()
        check_template(opened, template)
        template = point_template(opened, template)
        report = trained(
            opened,
            language,
            Showing(template, learner.fields, dialogues=True),
            learner.out,
            part,
            training,
            search.where,
            progress,
        )
    if as_json:
        print_json(asdict(report))
    for line in () if as_json else talk(report):
        say(line)


def talk(report: WarmUpReport) -> list[str]:
    """What was done, for a person."""
    lines = [f"learnt {report.trained} of {report.pool} candidates"]
    if report.without:
        reasons = ", ".join(f"{count}: {why}" for why, count in report.without.items())
        lines.append(f"left out of the part: {reasons}")
    if report.truncated:
        lines.append(f"{report.truncated} are longer than what the model reads (--max-length)")
    lines += [
        f"epoch {epoch['epoch']}: loss {epoch['loss']:.4f}, learning rate "
        f"{epoch['learning_rate']:.3g}, checkpoint-{epoch['step']}"
        + (" (was there)" if epoch["epoch"] <= report.resumed else "")
        for epoch in report.epochs
    ]
    return [*lines, f"wrote {report.directory}"]
