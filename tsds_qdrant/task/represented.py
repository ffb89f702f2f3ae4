"""Task examples as vectors of a space that ``represent`` made."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import CollectionInfo
from tsds_qdrant.errors import BadRecordError, CollectionMismatchError, SettingsError
from tsds_qdrant.progress import Progress, notice, silent
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.records.entries import Entry
from tsds_qdrant.records.examples import UnfitError
from tsds_qdrant.records.showing import Showing, preference_of
from tsds_qdrant.representations.base import (
    NO_SUPERVISED_TOKENS,
    NONFINITE,
    OK,
    REFUSED,
    ZERO_GRADIENT,
    ZERO_VECTOR,
    Shown,
    Way,
    differences,
)
from tsds_qdrant.representations.model_names import remembered_model
from tsds_qdrant.represented.marks import Kept, all_kept
from tsds_qdrant.represented.opening import Here, Opened, opened
from tsds_qdrant.represented.queries import key_of, recalled, remember
from tsds_qdrant.settings.fields import changed
from tsds_qdrant.task.settings import Reading

REASONS = {
    NO_SUPERVISED_TOKENS: "has nothing that is to be learnt",
    ZERO_GRADIENT: "has a gradient of zero",
    NONFINITE: "gives numbers that are not finite",
    REFUSED: "holds messages that the model's chat template does not take",
    ZERO_VECTOR: "gives a vector of zeros, which has no direction",
}
"""Status of an example without a vector -> what is wrong with it."""


def opened_for(collection: Collection, reading: Reading) -> Opened | None:
    """What makes the searched vectors, used as ``reading`` says; None for other spaces.

    Raises:
        TsdsError: see :func:`~tsds_qdrant.represented.opening.opened`.
    """
    said = changed(reading)
    given: dict[str, Any] = {
        key: said[key] for key in ("model", "max_length", "backend") if key in said
    }
    if "model" in given:
        given["model"] = remembered_model(given["model"])
    return opened(collection, Here(reading.device, said.get("batch_size"), given))


def vectors_of_records(
    entries: Sequence[Entry],
    made: Opened,
    template: TextTemplate,
    progress: Progress = silent,
    way: Way = "targets",
) -> tuple[Float32Array, list[str]]:
    """(n, D) query vectors of ``entries``, and n texts; no model is loaded a second time.

    Rows of preferences whose two answers are the same to the model are zero.

    Args:
        entries: the task examples.
        made: what made the vectors of the candidates.
        template: how the text is made; if undecided, as that of the candidates was.
        progress: stage ``task examples``.
        way: how vectors are made of them.

    Raises:
        BadRecordError: one of them has no vector; the message says why.
        SettingsError: what made the candidates' vectors does not know the ``way``.
        TsdsError: see :meth:`~tsds_qdrant.represented.opening.Opened.queries`.
    """
    if way == "with_margins" and (made.kept.source is not None or not made.knows(way)):
        way = "targets"
    if not made.knows(way):
        what = "of preferences" if way == "contrasts" else "with the lengths of gradients"
        raise SettingsError(
            f"'represent {made.kept.kind}' made the vectors '{made.name}' of collection "
            f"'{made.info.name}', and query vectors {what} belong to those of 'represent "
            f"gradient' alone; name such with --vector"
        )
    if way == "contrasts":
        examples = [_preferred(entry) for entry in entries]
    else:
        showing = _showing(made, template)
        examples = [_shown(entry, showing) for entry in entries]
        _tell_of_preferences(entries, examples)
    key = key_of(made.made_by if way == "targets" else [way, *made.made_by], examples)
    rows = recalled(key, len(examples))
    if rows is None:
        rows = _made(entries, examples, made, progress, way)
        remember(key, rows)
    return rows, [one.text for one in examples]


def _preferred(entry: Entry) -> Shown:
    try:
        return preference_of(entry.record)
    except UnfitError as error:
        raise BadRecordError(
            entry.place, str(error), "give preferences: prompt, chosen and rejected"
        ) from None


def _tell_of_preferences(entries: Sequence[Entry], examples: Sequence[Shown]) -> None:
    """Say how many task examples are preferences, of which the chosen answer alone is shown."""
    count = 0
    for entry, example in zip(entries, examples, strict=True):
        with suppress(UnfitError):
            known = preference_of(entry.record)
            same = bool(known.messages) and known.messages == example.messages
            count += same or known.text == example.text
    if count:
        notice(
            "preferences",
            f"{count} of {len(entries)} task examples are preferences, and count by their chosen "
            f"answer; the strategy 'rose' goes by both answers",
        )


def check_alike(info: CollectionInfo, like: CollectionInfo) -> None:
    """Check that the searched vectors of ``info`` were made as those of ``like``.

    Raises:
        CollectionMismatchError: they were not; the message says what differs.
    """
    mine, theirs = all_kept(info).get(info.vector), all_kept(like).get(like.vector)
    if theirs is None or (mine is not None and mine.fingerprint == theirs.fingerprint):
        return
    if mine is None:
        how = "were made by something else than represent"
    else:
        how = f"were made otherwise ({_listed(theirs, mine)})"
    raise CollectionMismatchError(
        f"the task's vectors {info.named} in collection '{info.name}' {how} than those of the "
        f"candidates in collection '{like.name}'; represent both in the same way, or give the "
        f"task examples as records"
    )


def _listed(theirs: Kept, mine: Kept) -> str:
    return ", ".join(differences(theirs.manifest, mine.manifest)) or "kind"


def _showing(made: Opened, template: TextTemplate) -> Showing:
    text = dict(made.text)
    fields = text.pop("fields", {})
    own = template if template.to_dict() else TextTemplate.from_dict(text)
    return Showing(own, fields, made.dialogues)


def _shown(entry: Entry, showing: Showing) -> Shown:
    shown = showing.of(entry.record)
    if shown is None:
        # It has no text, and the template says why.
        return Shown(showing.template.render(entry.record, entry.place))
    return shown


def _made(
    entries: Sequence[Entry],
    examples: Sequence[Shown],
    made: Opened,
    progress: Progress,
    way: Way,
) -> Float32Array:
    done, total = 0, len(examples) * (2 if way == "contrasts" else 1)

    def on_batch(count: int) -> None:
        nonlocal done
        done += count
        progress("task examples", done, total)

    encoded = made.queries(examples, on_batch, way)
    for entry, status in zip(entries, encoded.status, strict=True):
        if status != OK and (way, status) != ("contrasts", ZERO_GRADIENT):
            raise BadRecordError(
                entry.place,
                f"{REASONS.get(status, f'cannot be represented ({status})')}, so it has no vector "
                f"'{made.name}'",
                "leave it out, or choose another vector with --vector",
            )
    rows = encoded.rows
    if rows is None or not hasattr(rows, "astype"):
        raise SettingsError(
            f"'{made.name}' makes no dense vectors; choose another vector with --vector"
        )
    return rows.astype("float32", copy=False)
