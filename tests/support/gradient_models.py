"""Explicit gradients of examples, one at a time by autograd, and checkpoints of tiny models."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tiny_models import saved_model, tiny_model

from tsds_qdrant.representations.base import Shown
from tsds_qdrant.representations.checkpoints.optimizer_state import bare
from tsds_qdrant.representations.gradients.projection import Projection
from tsds_qdrant.representations.gradients.signs import key_of, signs
from tsds_qdrant.representations.language.model import LanguageModel
from tsds_qdrant.representations.language.tokens import TokenBatch, padded, tokenized

Gradient = Mapping[str, NDArray[np.float64]]
CALL = {"role": "user", "content": "2+3"}
DIALOGUES = [
    Shown("", (CALL, {"role": "assistant", "content": "5"}), 1),
    Shown("", ({"role": "user", "content": "Who?"}, {"role": "assistant", "content": "I, Ada"}), 1),
    Shown("a plain text of some length"),
    Shown("zzz"),
    Shown("", ({"role": "user", "content": "x" * 20}, {"role": "assistant", "content": "yes!"}), 1),
]


def language(directory: Path, dtype: str = "float64", **config: Any) -> LanguageModel:
    """A tiny model in ``directory``."""
    path = saved_model(directory, tiny_model(**config))
    return LanguageModel(path, dtype=dtype, device="cpu")


def one_batch(model: LanguageModel, examples: Sequence[Shown], side: Any = "right") -> TokenBatch:
    tokens = tokenized(model, examples)
    return padded(tokens, [*range(len(tokens))], model.padding, side)


def explicit(
    model: Any, batch: TokenBatch, names: Sequence[str], objective: str = "loss"
) -> list[Gradient]:
    """The gradient of each example of ``batch`` in the parameters ``names``, alone in its pass."""
    model = copy.deepcopy(model).requires_grad_(True)
    parameters = dict(model.named_parameters())
    found = []
    for ids, attention, labels in zip(batch.ids, batch.attention, batch.labels, strict=True):
        real = attention == 1
        model.zero_grad()
        logits = model(input_ids=ids[real][None]).logits[0, :-1].log_softmax(-1)
        wanted = labels[real][1:]
        logp = logits[wanted >= 0].gather(1, wanted[wanted >= 0][:, None])[:, 0]
        margin = logp - torch.log1p(-logp.exp())
        (-logp if objective == "loss" else margin).mean().backward()
        found.append({name: parameters[name].grad.numpy().copy() for name in names})
    return found


def dot(one: Gradient, other: Gradient) -> float:
    return float(sum((one[name] * other[name]).sum() for name in one))


def projected(gradient: Gradient, projection: Projection) -> NDArray[np.float64]:
    """The projection written out: whole gradients, signs of numpy, entry by entry."""
    P, Q, d = projection.outputs, projection.inputs, projection.dimension
    total = np.zeros((P, Q))
    for name, value in gradient.items():
        layer = bare(name)
        left = signs(key_of(projection.seed, layer, "out"), value.shape[0], P)
        right = signs(key_of(projection.seed, layer, "in"), value.shape[1], Q)
        total += left.T @ value @ right
    block = np.zeros((d // Q, Q))
    for row in range(P):
        for column in range(Q):
            turn = row // len(block)
            block[row % len(block), (column + turn) % Q] += total[row, column]
    return block.reshape(d) / (P * Q) ** 0.5


def adapters(
    directory: Path, model: LanguageModel, seed: int = 0, *, steps: int = 3, lr: float = 1e-2
) -> Path:
    """A checkpoint of LoRA adapters in ``directory``, after ``steps`` of AdamW with its state."""
    from tsds_qdrant.representations.checkpoints.adapters import fresh_adapters, save_adapters
    from tsds_qdrant.representations.checkpoints.lora_settings import LoraSettings
    from tsds_qdrant.representations.checkpoints.optimizer_state import OURS, write_named

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        base = copy.deepcopy(model.model)
        adapted = fresh_adapters(base, model.name, LoraSettings(rank=4, alpha=8, dropout=0.0))
        trained = [(n, p) for n, p in adapted.named_parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW([p for _, p in trained], lr=lr, weight_decay=0.0)
        for _ in range(steps):
            optimizer.zero_grad()
            ids = torch.randint(0, 250, (4, 12))
            adapted(input_ids=ids, labels=ids).loss.backward()
            optimizer.step()
    directory.mkdir()
    save_adapters(adapted, directory)
    if steps:
        write_named(directory / OURS, optimizer, trained)
    return directory
