"""``tsds-qdrant select --method NAME``: a selection by a simpler method than TSDS."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tsds_qdrant.cli.terminal import print_json, say
from tsds_qdrant.errors import SettingsError

if TYPE_CHECKING:
    from tsds_qdrant.collections.protocol import Collection
    from tsds_qdrant.progress import Progress
    from tsds_qdrant.records import TextTemplate
    from tsds_qdrant.selection.choose import Choice
    from tsds_qdrant.selection.settings import SelectionSettings
    from tsds_qdrant.task.examples import TaskExamples

TSDS, TSDS_UNIFORM = "tsds", "tsds-uniform"

MethodOption = Annotated[
    str,
    typer.Option(
        "--method",
        metavar="NAME",
        help="tsds, or to compare with it: tsds-uniform, random, similarity-max, "
        "similarity-mean, round-robin, dsir.",
    ),
]


def regularizer_of(method: str, regularizer: str) -> str:
    """The regularizer that TSDS uses: 'tsds-uniform' is short for one of them.

    Raises:
        SettingsError: 'tsds-uniform' with a regularizer that contradicts it.
    """
    if method != TSDS_UNIFORM:
        return regularizer
    if regularizer == "tv":
        raise SettingsError(
            f"--method {method} means --regularizer uniform, not '{regularizer}'; leave one out"
        )
    return "uniform"


def choice_path(
    method: str, settings: SelectionSettings, out: Path | None, for_tsds: Mapping[str, object]
) -> Path | None:
    """Where the selection of a simpler method goes; None if ``method`` is TSDS.

    Args:
        method: as given.
        settings: those of the selection.
        out: as given.
        for_tsds: options that only TSDS knows -> what was given for them.

    Raises:
        SettingsError: an unknown method, no output, or what the method does not know.
    """
    if method in (TSDS, TSDS_UNIFORM):
        return None
    from tsds_qdrant.selection.choose import check_settings, checked_method

    check_settings(settings, checked_method(method))
    for option, given in for_tsds.items():
        if given:
            raise SettingsError(
                f"{option} works with the method tsds, not with '{method}'; leave it out"
            )
    if out is None:
        raise SettingsError("there is nowhere to write; give --out")
    return out


def select_simply(
    collection: Collection,
    examples: TaskExamples,
    settings: SelectionSettings,
    method: str,
    *,
    template: TextTemplate,
    out: Path,
    queries: str,
    as_json: bool,
    progress: Progress,
) -> None:
    """Choose by ``method`` and write the sample and its manifest."""
    from tsds_qdrant.files.outputs import write_json
    from tsds_qdrant.selection.choose import checked_method, choice_manifest, choose
    from tsds_qdrant.selection.results import manifest_path, write_samples

    choice = choose(
        collection,
        examples.vectors,
        settings,
        checked_method(method),
        query_weights=examples.weights,
        texts=examples.texts,
        template=template,
        progress=progress,
    )
    facts = choice_manifest(choice, queries={"source": queries})
    written = [*write_samples(collection, choice, out), manifest_path(out)]
    write_json(written[-1], facts)
    if as_json:
        print_json(facts)
        return
    say(_summary(choice))
    say("wrote " + ", ".join(map(str, written)))


def _summary(choice: Choice) -> str:
    drawn = ", ".join(map(str, choice.samples))
    mean = float(choice.nearest_distance.mean())
    return (
        f"selected {drawn} of {choice.candidates} candidates for {choice.queries} task examples "
        f"by {choice.method}\nmean distance to the nearest task example {mean:.3f}"
    )
