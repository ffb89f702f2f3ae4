"""Settings of the kinds that a language model makes."""

from __future__ import annotations

from dataclasses import MISSING, dataclass
from typing import Any, ClassVar

from tsds_qdrant.representations.base import Representation
from tsds_qdrant.representations.kinds import KindSettings, Reads
from tsds_qdrant.representations.model_names import remembered_model
from tsds_qdrant.settings.fields import setting


@dataclass(frozen=True, kw_only=True)
class LanguageSettings(KindSettings):
    """Language model

    Attributes:
        model: a model of the hub, a directory, a GGUF file, or ``package:NAME``.
        revision: branch, tag or commit of a model of the hub.
        dtype: what it computes in.
        max_length: tokens that are read of an example.
        device: where it runs.
        batch_size: most examples of a pass.
        batch_tokens: most tokens of a pass.
    """

    reads: ClassVar[Reads] = "dialogues"

    model: str = setting(
        MISSING,
        "Causal language model: of the hub, a directory, a GGUF file, or package:NAME.",
        metavar="NAME",
    )
    revision: str | None = setting(
        None, "Branch, tag or commit of a model of the hub.", metavar="REV"
    )
    dtype: str = setting(
        "float32", "float32, bfloat16, float16, or auto for that of the weights.", metavar="NAME"
    )
    max_length: int | None = setting(
        None, "Tokens that are read of an example; at most 2,048 if unset.", least=2
    )
    device: str | None = setting(
        None, "cpu, cuda, cuda:1, mps; the best there is if unset.", metavar="NAME"
    )
    batch_size: int = setting(64, "Most examples of a pass.", least=1)
    batch_tokens: int | None = setting(
        None, "Most tokens of a pass; 4,096 on a processor, 16,384 elsewhere if unset.", least=1
    )

    def language(self) -> Any:
        """The model, which is not loaded yet.

        Raises:
            SettingsError: a setting cannot be right.
        """
        from tsds_qdrant.representations.language.model import LanguageModel

        return LanguageModel(
            self.model,
            revision=self.revision,
            dtype=self.dtype,
            device=self.device,
            max_length=self.max_length,
        )

    def remembered(self) -> dict[str, Any]:
        """All settings that values depend on; a path is one from the root on."""
        return {**super().remembered(), "model": remembered_model(self.model)}


@dataclass(frozen=True, kw_only=True)
class HiddenSettings(LanguageSettings):
    """Hidden states

    Attributes:
        without_prompt: read the answers once more, alone.
    """

    kind: ClassVar[str] = "hidden"
    summary: ClassVar[str] = "Mean hidden states of a language model (RDS+), with scores."
    example: ClassVar[str] = "--model HuggingFaceTB/SmolLM2-135M-Instruct"

    without_prompt: bool = setting(
        False, "Read answers once more without their prompts, for loss_without_prompt and ifd."
    )

    def made(self) -> Representation:
        """The representation."""
        from tsds_qdrant.representations.language.hidden import Hidden

        return Hidden(
            self.language(),
            batch_size=self.batch_size,
            batch_tokens=self.batch_tokens,
            without_prompt=self.without_prompt,
            name=self.known_as,
        )
