"""How texts are made of records, and embedded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsds_qdrant.settings.fields import setting

if TYPE_CHECKING:
    from tsds_qdrant.records import TextTemplate
    from tsds_qdrant.representations.text import SentenceTransformerEmbedder


@dataclass(frozen=True)
class Reading:
    """Texts and model

    Attributes:
        text_field: the field that is a record's text.
        template: or a text made of several fields.
        weight_field: the field of a task example that is its weight.
        model: a sentence-transformers model; that of the collection by default.
        device: where the model runs; the best there is by default.
        batch_size: texts in one forward pass of the model.
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
    model: str | None = setting(
        None,
        "sentence-transformers model: of the hub, a directory, or package:NAME.",
        metavar="NAME|DIR",
    )
    device: str | None = setting(
        None, "Where the model runs; best by default.", metavar="cpu|cuda|mps", hidden=True
    )
    batch_size: int = setting(64, "Texts in one forward pass of the model.", least=1, hidden=True)

    def text_template(self) -> TextTemplate:
        """How texts are made.

        Raises:
            SettingsError: a field and a template, or a template that cannot be read.
        """
        from tsds_qdrant.records import TextTemplate

        return TextTemplate.parse(self.text_field, self.template)

    def counter(self) -> Callable[[Sequence[str]], list[int]] | None:
        """What counts the tokens of texts, where a model is named."""
        return None if self.model is None else self.embedder(self.model).count_tokens

    def embedder(self, model: str) -> SentenceTransformerEmbedder:
        """The model of that name."""
        from tsds_qdrant.representations.text import SentenceTransformerEmbedder

        return SentenceTransformerEmbedder(model, device=self.device, batch_size=self.batch_size)
