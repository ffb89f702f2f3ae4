"""Where gradients come from: a language model at its checkpoints, and how they are projected."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from tsds_qdrant.errors import SettingsError
from tsds_qdrant.progress import notice
from tsds_qdrant.representations.checkpoints.adapters import shaped
from tsds_qdrant.representations.checkpoints.checkpoints import Checkpoint
from tsds_qdrant.representations.gradients.adam import ADAM_FORMS, AdamForm, AdamStep
from tsds_qdrant.representations.gradients.differentiated import Differentiated
from tsds_qdrant.representations.gradients.linear_layers import linear_layers
from tsds_qdrant.representations.gradients.projection import UNIT, Projection
from tsds_qdrant.representations.language.model import LanguageModel
from tsds_qdrant.representations.language.output_layer import OutputLayer
from tsds_qdrant.representations.language.tokens import TokenBatch

if TYPE_CHECKING:
    from tsds_qdrant.representations.gradients.objectives import Objective, Reduction, Values
    from tsds_qdrant.representations.gradients.per_example import Taken

Optimizer = Literal["sgd", "adam"]
OPTIMIZERS: tuple[Optimizer, ...] = ("sgd", "adam")
MOST_ENTRIES = 65_535
"""Of a dense vector in Qdrant."""


@dataclass(frozen=True)
class Moment:
    """A model at one moment of its training.

    Attributes:
        model: that is differentiated.
        step: turns gradients of candidates into steps of Adam; None for plain gradients.
    """

    model: Differentiated
    step: AdamStep | None


@dataclass(frozen=True)
class GradientSource:
    """A language model at its checkpoints.

    Attributes:
        language: the model; that which adapters are put on.
        checkpoints: adapters on it, or whole models with its tokenizer; the model itself without
            any. Whole models are all held in memory; adapters share the model's weights.
        projection: of each checkpoint's gradients.
        layers: patterns of the names of linear layers; all of the model's if empty, or of its
            adapters'.
        optimizer: ``sgd`` takes gradients of candidates as they are, ``adam`` the steps of Adam
            with the checkpoint's state. Task examples always have plain gradients.
        adam_form: of the steps, see
            :class:`~tsds_qdrant.representations.gradients.adam.AdamStep`.

    Raises:
        SettingsError: an optimizer or form that does not exist, or without a checkpoint; half
            precision of small range; more entries than a vector may have.
    """

    language: LanguageModel
    checkpoints: tuple[Checkpoint, ...] = ()
    projection: Projection = field(default_factory=Projection)
    layers: tuple[str, ...] = ()
    optimizer: Optimizer = "sgd"
    adam_form: AdamForm = "less"

    def __post_init__(self) -> None:
        _one_of(self.optimizer, OPTIMIZERS, "--optimizer")
        _one_of(self.adam_form, ADAM_FORMS, "--adam-form")
        if self.optimizer == "adam" and not self.checkpoints:
            raise SettingsError(
                "--optimizer adam needs checkpoints with the state of their optimizer, and none "
                "are given; give --checkpoint, or --optimizer sgd"
            )
        if self.dimension > MOST_ENTRIES:
            most = MOST_ENTRIES // self.moment_count // UNIT * UNIT
            smaller = f"--dimension {most} or less" if most else "fewer checkpoints"
            raise SettingsError(
                f"{self.moment_count} checkpoints of {self.projection.dimension} entries make "
                f"vectors of {self.dimension}, and Qdrant takes at most {MOST_ENTRIES:,}; "
                f"give {smaller}"
            )

    @property
    def moment_count(self) -> int:
        """C: how many moments there are, 1 without checkpoints."""
        return max(1, len(self.checkpoints))

    @property
    def dimension(self) -> int:
        """C d: of the blocks of all moments."""
        return self.moment_count * self.projection.dimension

    @cached_property
    def moments(self) -> list[Moment]:
        """The model at each moment, loaded.

        Raises:
            EmbeddingError: a model, adapters or the state of an optimizer cannot be loaded.
            MissingPackageError: peft is not installed.
            SettingsError: a pattern of layers fits none; float16.
        """
        self._check_precision()
        if not self.checkpoints:
            notice(
                "gradients of the base model",
                f"without --checkpoint, gradients are those of the base model "
                f"'{self.language.name}'; 'tsds-qdrant warm-up' makes checkpoints",
            )
            output = OutputLayer(self.language)
            return [Moment(Differentiated(self.language.model, output, self.layers), None)]
        return [self._moment(checkpoint) for checkpoint in self.checkpoints]

    def manifest(self) -> dict[str, Any]:
        """All that the gradients depend on; weights are hashed and not loaded.

        Raises:
            EmbeddingError: a checkpoint, configuration or tokenizer cannot be read.
        """
        adam = self.optimizer == "adam"
        return {
            **self.language.manifest(),
            "checkpoints": [
                {**one.facts(), **({"optimizer": one.optimizer_id} if adam else {})}
                for one in self.checkpoints
            ],
            "parameters": self._parameters,
            "projection": self.projection.manifest(),
            "optimizer": self.optimizer,
            "adam_form": self.adam_form if adam else None,
        }

    def take(
        self,
        moment: Moment,
        batch: TokenBatch,
        objective: Objective,
        reduction: Reduction,
        *,
        plain: bool,
    ) -> tuple[Taken, Values]:
        """The projected gradients of a batch at one moment, and what was differentiated.

        Args:
            moment: one of :attr:`moments`.
            batch: B examples.
            objective: what is differentiated.
            reduction: of the supervised tokens.
            plain: whether gradients stay as they are though there are steps of Adam.
        """
        with self.language.running(*batch.ids.shape):
            return moment.model.take(
                self.language.inputs(batch.ids, batch.attention),
                batch.labels,
                self.projection,
                objective=objective,
                reduction=reduction,
                change=None if plain else moment.step,
            )

    def _moment(self, checkpoint: Checkpoint) -> Moment:
        if checkpoint.is_adapter:
            output = OutputLayer(self.language)
            model = checkpoint.adapted(_sharing_weights(self.language.model))
            _warn_of_untrained(model, checkpoint)
        else:
            whole = LanguageModel(
                str(checkpoint.directory), dtype=self.language.dtype, device=self.language.device
            )
            output, model = OutputLayer(whole), whole.model
        step = None
        if self.optimizer == "adam":
            # Before the model is frozen: the state is that of the parameters that it trains.
            step = AdamStep(checkpoint.optimizer_state(model), self.adam_form)
        return Moment(Differentiated(model, output, self.layers), step)

    def _check_precision(self) -> None:
        if self.language.dtype == "float16":
            raise SettingsError(
                "--dtype float16 loses small gradients, which become 0; give bfloat16 or float32"
            )

    @cached_property
    def _parameters(self) -> str:
        """A hash of the names of the differentiated parameters at all moments."""
        names = [[*self._skeleton(one)] for one in self.checkpoints or (None,)]
        return hashlib.sha256(json.dumps(names).encode()).hexdigest()[:16]

    def _skeleton(self, checkpoint: Checkpoint | None) -> Mapping[str, Any]:
        """The differentiated layers of a checkpoint, without their weights."""
        import torch
        import transformers

        adapters = checkpoint if checkpoint is not None and checkpoint.is_adapter else None
        language = self.language
        if checkpoint is not None and adapters is None:
            language = LanguageModel(str(checkpoint.directory))
        with torch.device("meta"):
            model = transformers.AutoModelForCausalLM.from_config(language.config)
            if adapters is not None:
                model = shaped(model, adapters.directory)
        return linear_layers(model, self.layers)


def _sharing_weights(model: Any) -> Any:
    """A copy of a torch model that holds the same tensors."""
    tensors = [*model.parameters(), *model.buffers()]
    return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})


def _warn_of_untrained(model: Any, checkpoint: Checkpoint) -> None:
    seconds = [weight for name, weight in model.named_parameters() if "lora_B" in name]
    if seconds and not any(bool(weight.any()) for weight in seconds):
        notice(
            f"untrained adapters {checkpoint.directory}",
            f"the adapters in '{checkpoint.directory}' were never trained (all of B is 0), so the "
            "gradients of A are 0 and features hold those of B alone; give a later checkpoint",
        )


def _one_of(value: str, known: tuple[str, ...], flag: str) -> None:
    if value not in known:
        raise SettingsError(f"{flag} is '{value}'; choose {' or '.join(known)}")
