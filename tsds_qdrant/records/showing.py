"""What a representation is shown of a candidate or of a task example: a text, and its dialogue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tsds_qdrant.errors import InputError
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.records.examples import UnfitError
from tsds_qdrant.records.recognising import recognised
from tsds_qdrant.records.shapes import PREFERENCE, held_records
from tsds_qdrant.representations.base import Shown


@dataclass(frozen=True)
class Showing:
    """How payloads are shown.

    Attributes:
        template: how the text is made; undecided, each payload decides by the usual shapes.
        fields: part of an example -> the field that holds it, as ``export`` takes them.
        dialogues: whether the representation reads dialogues; else the text alone is made.
        assumed: nobody said the template: it follows from the payloads, and task examples, which
            may have another shape, are shown by theirs.
    """

    template: TextTemplate = field(default_factory=TextTemplate)
    fields: Mapping[str, str] = field(default_factory=dict)
    dialogues: bool = False
    assumed: bool = False

    def facts(self) -> dict[str, Any]:
        """What a representation depends on of it, as JSON values."""
        fields = {"fields": dict(self.fields)} if self.dialogues and self.fields else {}
        return {**({} if self.assumed else self.template.to_dict()), **fields}

    def of(self, payload: Mapping[str, Any]) -> Shown | None:
        """What ``payload`` shows; None where it has no text."""
        if self.dialogues:
            try:
                example = recognised(payload, self.fields)
            except UnfitError:
                pass
            else:
                if not example.is_text:
                    text = "\n".join(str(message["content"]) for message in example.messages)
                    return Shown(text, example.messages, example.asked, example.tools)
        try:
            return Shown(self.template.render(payload))
        except InputError:
            return None


def preference_of(payload: Mapping[str, Any]) -> Shown:
    """The chosen answer that ``payload`` shows, with the one that was rejected.

    Raises:
        UnfitError: it is no preference: prompt, chosen and rejected, or two dialogues.
    """
    for _, inside in held_records(payload):
        if inside.get("chosen") is not None and inside.get("rejected") is not None:
            turned = {**inside, "chosen": inside["rejected"], "rejected": inside["chosen"]}
            return replace(_side(inside), rejected=_side(turned))
    raise UnfitError("has no 'chosen' and 'rejected' answer")


def _side(payload: Mapping[str, Any]) -> Shown:
    example = recognised(payload)
    if example.shape != PREFERENCE:
        raise UnfitError("holds 'chosen' and 'rejected', but no prompt and answers of known forms")
    if example.is_text:
        return Shown(example.text)
    text = "\n".join(str(message["content"]) for message in example.messages)
    return Shown(text, example.messages, example.asked, example.tools)
