"""Training of LoRA adapters (arXiv 2106.09685) on examples, resumable epoch by epoch.

Each example weighs the same in a step: the loss is the mean over the batch of the mean over an
example's answer tokens. Order and dropout of an epoch follow from the seed and its number alone, so
that training that was stopped goes on after its last checkpoint as if it had not been.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tsds_qdrant.errors import EmbeddingError, OutputError
from tsds_qdrant.representations.checkpoints.adapters import (
    fresh_adapters,
    restore_adapters,
    save_adapters,
)
from tsds_qdrant.representations.checkpoints.checkpoints import FACTS
from tsds_qdrant.representations.checkpoints.drafts import whole_directory
from tsds_qdrant.representations.checkpoints.lora_settings import LoraSettings
from tsds_qdrant.representations.checkpoints.optimizer_state import (
    OURS,
    read_named,
    trained_parameters,
    write_named,
)
from tsds_qdrant.representations.language.model import LanguageModel
from tsds_qdrant.representations.language.tokens import NOT_LEARNT, TokenBatch, Tokens, batches
from tsds_qdrant.representations.loading import first_line

BETAS = (0.9, 0.999)
EPS = 1e-8
LONGEST_GRADIENT = 1.0
"""Gradients of a step that are longer are scaled to this norm, as the Trainer of transformers does,
which LESS uses."""


@dataclass(frozen=True)
class Epoch:
    """What an epoch was.

    Attributes:
        epoch: its number, counted from 1.
        step: steps that were done at its end.
        loss: the mean over its examples, with dropout, each before its step.
        learning_rate: the mean over its steps.
    """

    epoch: int
    step: int
    loss: float
    learning_rate: float


class LoraTraining:
    """Adapters on a language model, their optimizer, and the examples that they learn."""

    def __init__(
        self, language: LanguageModel, rows: Sequence[Tokens], settings: LoraSettings, seed: int
    ) -> None:
        """Put new adapters on the model.

        Args:
            language: its weights stay as they are.
            rows: each with at least one token to learn.
            settings: of adapters and training.
            seed: of the adapters' first weights, of the order, and of dropout.

        Raises:
            EmbeddingError: the model has no such layers, or cannot be loaded.
            MissingPackageError: peft is not installed.
        """
        import torch

        self._language = language
        self._rows = rows
        self._settings = settings
        self._seed = seed
        with _chance(seed, 0):
            self.model = fresh_adapters(language.model, language.name, settings)
        named = dict(self.model.named_parameters())
        self._named = [(name, named[name]) for name, _ in trained_parameters(self.model)]
        self._optimizer = torch.optim.AdamW(
            [parameter for _, parameter in self._named],
            lr=settings.learning_rate,
            betas=BETAS,
            eps=EPS,
            weight_decay=0.0,
        )

    @property
    def steps_of_an_epoch(self) -> int:
        """How many steps of the optimizer an epoch has."""
        return math.ceil(len(self._rows) / self._settings.batch)

    def restore(self, directory: Path) -> None:
        """Take weights and optimizer of the checkpoint in ``directory``.

        Raises:
            EmbeddingError: they cannot be read, or do not fit.
        """
        import torch

        restore_adapters(self.model, directory)
        state = read_named(directory / OURS, self.model)
        for name, parameter in self._named:
            held = state[name]
            self._optimizer.state[parameter] = {
                "step": torch.tensor(float(held.step)),
                "exp_avg": held.exp_avg.to(parameter),
                "exp_avg_sq": held.exp_avg_sq.to(parameter),
            }

    def epoch(self, number: int, on_examples: Callable[[int], None]) -> Epoch:
        """Learn each example once.

        Args:
            number: of the epoch, counted from 1.
            on_examples: called with the number of examples learnt, step by step.

        Raises:
            EmbeddingError: the model fails, or the loss is no number.
        """
        size, steps = self._settings.batch, self.steps_of_an_epoch
        order = np.random.default_rng([self._seed, number]).permutation(len(self._rows)).tolist()
        losses, rates = [], []
        self.model.train()
        with _chance(self._seed, number):
            for step in range(steps):
                done = (number - 1) * steps + step
                rate = self._settings.rate(done, self._settings.epochs * steps)
                batch = [self._rows[row] for row in order[step * size : (step + 1) * size]]
                losses += self._step(batch, rate, done + 1)
                rates.append(rate)
                on_examples(len(batch))
        self.model.eval()
        return Epoch(
            number, number * steps, math.fsum(losses) / len(losses), math.fsum(rates) / steps
        )

    def save(self, directory: Path, facts: Mapping[str, Any]) -> None:
        """Write a checkpoint, whole or not at all.

        Raises:
            OutputError: something is at ``directory``, or it cannot be written.
        """
        from safetensors import SafetensorError

        text = json.dumps(facts, indent=2, ensure_ascii=False)
        with whole_directory(directory) as draft:
            try:
                save_adapters(self.model, draft)
                write_named(draft / OURS, self._optimizer, self._named)
            except SafetensorError as error:
                raise OutputError(
                    f"the checkpoint '{directory}' cannot be written ({first_line(error)}); make "
                    "room there, and the same command goes on"
                ) from error
            (draft / FACTS).write_text(f"{text}\n", encoding="utf-8")

    def _step(self, batch: Sequence[Tokens], rate: float, number: int) -> list[float]:
        """The losses of the examples of one step of the optimizer, which is then done."""
        import torch

        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.zero_grad(set_to_none=True)
        losses: list[float] = []
        tokens = self._settings.batch_tokens
        for part in batches(batch, self._language, batch_size=len(batch), batch_tokens=tokens):
            with self._language.running(*part.ids.shape):
                each = self._losses(part)
                (each.sum() / len(batch)).backward()
            losses += each.detach().tolist()
        length = torch.nn.utils.clip_grad_norm_(
            [parameter for _, parameter in self._named], LONGEST_GRADIENT
        )
        if not (math.isfinite(math.fsum(losses)) and math.isfinite(float(length))):
            raise EmbeddingError(
                f"the loss or its gradient is no number in step {number} of the warm-up; give a "
                "lower --learning-rate, or --dtype float32"
            )
        self._optimizer.step()
        return losses

    def _losses(self, batch: TokenBatch) -> Any:
        """(B,) the mean loss over the answer tokens of each example."""
        import torch

        logits = self.model(**self._language.inputs(batch.ids, batch.attention)).logits
        labels = batch.labels[:, 1:].to(logits.device)
        wanted = labels != NOT_LEARNT
        chosen = logits[:, :-1][wanted]
        precise = torch.promote_types(chosen.dtype, torch.float32)
        each = torch.nn.functional.cross_entropy(
            chosen.to(precise), labels[wanted], reduction="none"
        )
        sums = each.new_zeros(len(labels)).index_add(0, wanted.nonzero()[:, 0], each)
        return sums / wanted.sum(dim=1)


@contextmanager
def _chance(seed: int, number: int) -> Iterator[None]:
    """Draw by ``seed`` and ``number`` alone, and leave the chance of torch as it was."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(int(np.random.default_rng([seed, number]).integers(2**63)))
        yield
