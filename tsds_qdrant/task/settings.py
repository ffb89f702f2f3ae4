"""How texts are made of records, and embedded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tsds_qdrant.errors import SettingsError
from tsds_qdrant.records.form import FileForm, delimiter_of
from tsds_qdrant.representations.backends import Backend, backend_of
from tsds_qdrant.settings.fields import changed, setting

if TYPE_CHECKING:
    from tsds_qdrant.records import TextTemplate
    from tsds_qdrant.representations.text import Embedder

EMBEDDING = ("max_length", "backend", "device", "batch_size")
"""Settings of how a model is used."""


@dataclass(frozen=True)
class Reading:
    """Texts and model

    Attributes:
        text_field: the field that is a record's text.
        template: or a text made of several fields.
        weight_field: the field of a task example that is its weight.
        subtask_field: the field of a task example that names its sub-task; one for all by default.
        model: a sentence-transformers model, one of fastembed, or one behind an endpoint; that of
            the collection by default.
        max_length: tokens that the model reads of a text; as the collection's were read, or the
            model's own limit, by default.
        backend: what computes; as for the collection, or torch, by default.
        device: where the model runs; the best there is by default. Several, between commas, share
            the texts.
        batch_size: texts in one forward pass of the model.
        delimiter: what separates the fields of a table of task examples.
        no_header: the first row of such a table is a task example.
        json_field: where the task examples are in a JSON document.
    """

    text_field: str | None = setting(None, "Field that holds a record's text.", metavar="FIELD")
    template: str | None = setting(
        None,
        r'Text made of fields: "{instruction}\n{output}"; {input?} may be missing.',
        metavar="TEXT",
    )
    weight_field: str | None = setting(
        None, "Field of a task example that holds its weight.", metavar="FIELD", hidden=True
    )
    subtask_field: str | None = setting(
        None,
        "Field of a task example that names its sub-task (less, rose, rds, bm25).",
        metavar="FIELD",
        hidden=True,
    )
    model: str | None = setting(
        None,
        "Model: of the hub, a directory, package:NAME, fastembed:NAME, http://host/v1#NAME.",
        metavar="NAME|DIR",
    )
    max_length: int | None = setting(
        None, "Tokens that the model reads of a text; its own limit by default.", least=8
    )
    backend: Backend | None = setting(
        None,
        "What computes the model: torch (if unset), onnx, openvino.",
        metavar="NAME",
        parse=backend_of,
        hidden=True,
    )
    device: str | None = setting(
        None,
        "Where the model runs, best by default; several share the texts: cuda:0,cuda:1.",
        metavar="cpu|cuda|mps",
        hidden=True,
    )
    batch_size: int = setting(64, "Texts in one forward pass of the model.", least=1, hidden=True)

    delimiter: str | None = setting(
        None,
        "What separates the fields of a table of task examples: a character, or tab.",
        metavar="CHAR",
        parse=delimiter_of,
        hidden=True,
    )
    no_header: bool = setting(
        False, "The first row of such a table is a task example; columns are 0, 1, ..", hidden=True
    )
    json_field: str | None = setting(
        None, "The list of task examples in a JSON document.", metavar="FIELD", hidden=True
    )

    @property
    def form(self) -> FileForm:
        """What the file of task examples is like."""
        return FileForm(self.delimiter, self.no_header, json_field=self.json_field)

    def check_none_of_records(self, source: str) -> None:
        """Check that nothing is said of records, which ``source`` does not hold.

        Raises:
            SettingsError: something is.
        """
        fields = {"weight_field": self.weight_field, "subtask_field": self.subtask_field}
        said: dict[str, Any] = {**fields, **changed(self.form)}
        flags = ", ".join(
            f"--{name.replace('_', '-')}" + ("" if value is True else f" {value}")
            for name, value in said.items()
            if value
        )
        if flags:
            raise SettingsError(
                f"{flags} needs task examples that are records, and '{source}' holds vectors; "
                "leave it out"
            )

    def text_template(self) -> TextTemplate:
        """How texts are made.

        Raises:
            SettingsError: a field and a template, or a template that cannot be read.
        """
        from tsds_qdrant.records import TextTemplate

        return TextTemplate.parse(self.text_field, self.template)

    def counter(self) -> Callable[[Sequence[str]], list[int]] | None:
        """What counts the tokens of texts, where a model is named that can."""
        if self.model is None:
            return None
        count: Callable[[Sequence[str]], list[int]] | None
        count = getattr(self.embedder(self.model), "count_tokens", None)
        return count

    def embedder(self, model: str, stored: Mapping[str, Any] | None = None) -> Embedder:
        """The model of that name, used as ``stored`` vectors were made where nothing is said.

        An equal one that was used last comes again, with its model loaded.

        Args:
            model: its name.
            stored: metadata of the collection.
        """
        from tsds_qdrant.representations.in_use import used_last
        from tsds_qdrant.representations.named import embedder_named

        kept = stored or {}
        made = embedder_named(
            model,
            device=self.device,
            batch_size=self.batch_size,
            backend=self.backend or kept.get("backend", "torch"),
            max_length=kept.get("max_length") if self.max_length is None else self.max_length,
            prompt=kept.get("prompt"),
        )
        return used_last(made)
