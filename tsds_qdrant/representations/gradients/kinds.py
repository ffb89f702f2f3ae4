"""Settings of the kinds that are gradients of a language model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from tsds_qdrant.paths import absolute
from tsds_qdrant.representations.base import Representation
from tsds_qdrant.representations.language.kinds import LanguageSettings
from tsds_qdrant.settings.fields import setting


@dataclass(frozen=True, kw_only=True)
class GradientsSettings(LanguageSettings):
    """Gradients

    Attributes:
        checkpoints: directories of adapters or models, or of several; the model itself if none.
        layers: patterns of the names of linear layers.
        dimension: entries of the projection, a multiple of 32.
        seed: of the projection.
    """

    checkpoints: tuple[str, ...] = setting(
        (),
        "Directory of a checkpoint, or of several; the model itself if none. Repeatable.",
        "--checkpoint",
        metavar="DIR",
        repeated=True,
    )
    layers: tuple[str, ...] = setting(
        (),
        "Linear layers, as in '*.mlp.*'; all, or all of the adapters, if unset. Repeatable.",
        metavar="PATTERN",
        repeated=True,
    )
    dimension: int = setting(
        2_048, "Entries of each checkpoint's projection, a multiple of 32.", least=32
    )
    seed: int = setting(0, "Of the projection.", hidden=True)

    def source(self, **more: Any) -> Any:
        """The model at its checkpoints, which are not loaded yet.

        Raises:
            EmbeddingError: a checkpoint cannot be read.
            SettingsError: a setting cannot be right.
        """
        from tsds_qdrant.representations.checkpoints.checkpoints import checkpoints_at
        from tsds_qdrant.representations.gradients.projection import Projection
        from tsds_qdrant.representations.gradients.source import GradientSource

        return GradientSource(
            self.language(),
            tuple(checkpoints_at(self.checkpoints)),
            Projection(self.dimension, self.seed),
            self.layers,
            **more,
        )

    def made_by(self, kind: Any, source: Any) -> Representation:
        """The representation of the class ``kind``."""
        made: Representation = kind(
            source,
            batch_size=self.batch_size,
            batch_tokens=self.batch_tokens,
            name=self.known_as,
        )
        return made

    def remembered(self) -> dict[str, Any]:
        """All settings that values depend on; a path is one from the root on."""
        places = [absolute(path) for path in self.checkpoints]
        return {**super().remembered(), "checkpoints": places}


@dataclass(frozen=True, kw_only=True)
class UnitGradientsSettings(GradientsSettings):
    """Gradients

    Attributes:
        optimizer: ``sgd`` or ``adam``.
        adam_form: ``less`` or ``torch``.
    """

    kind: ClassVar[str] = "gradient"
    summary: ClassVar[str] = "Projected gradients, one unit block per checkpoint (LESS, ROSE)."
    example: ClassVar[str] = "--model HuggingFaceTB/SmolLM2-135M-Instruct --checkpoint warm"

    optimizer: str = setting(
        "sgd",
        "sgd for gradients as they are, adam for the steps of the checkpoints' optimizer.",
        metavar="NAME",
    )
    adam_form: str = setting(
        "less",
        "less: eps inside the root, no bias correction; torch: as torch.optim.Adam steps.",
        metavar="NAME",
        hidden=True,
    )

    def made(self) -> Representation:
        """The representation."""
        from tsds_qdrant.representations.gradients.gradients import UnitGradients

        source = self.source(optimizer=self.optimizer, adam_form=self.adam_form)
        return self.made_by(UnitGradients, source)


@dataclass(frozen=True, kw_only=True)
class LossGradientsSettings(GradientsSettings):
    """Gradients"""

    kind: ClassVar[str] = "loss-gradient"
    summary: ClassVar[str] = "Projected gradients of the loss as they are (TRAK, DsDm)."
    example: ClassVar[str] = "--model HuggingFaceTB/SmolLM2-135M-Instruct"

    def made(self) -> Representation:
        """The representation."""
        from tsds_qdrant.representations.gradients.gradients import LossGradients

        return self.made_by(LossGradients, self.source())


@dataclass(frozen=True, kw_only=True)
class MarginGradientsSettings(GradientsSettings):
    """Gradients"""

    kind: ClassVar[str] = "margin-gradient"
    summary: ClassVar[str] = "Projected gradients of the margin as they are, and it (GradEx)."
    example: ClassVar[str] = "--model HuggingFaceTB/SmolLM2-135M-Instruct --dimension 416"

    def made(self) -> Representation:
        """The representation."""
        from tsds_qdrant.representations.gradients.gradients import MarginGradients

        return self.made_by(MarginGradients, self.source())
