"""The last layers of a language model, trained on kept states of the layers below."""

from __future__ import annotations

import copy
import hashlib
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench.training.gradients import ProjectedGradients
from torch.nn import functional

from tsds_qdrant.files.outputs import atomic_write
from tsds_qdrant.representations.language.model import LanguageModel

BATCH = 8
"""Windows of a step, and of a pass of the layers below."""


def kept_model(name: str, cache: Path, device: str | None) -> LanguageModel:
    """The model ``name``; one of a GGUF file is dequantised once, into ``cache``."""
    given = LanguageModel(name, device=device)
    if not name.startswith("package:"):
        return given
    kept = cache / "model"
    if not kept.exists():
        draft = cache / "model.draft"
        given.model.save_pretrained(draft)
        given.tokenizer.save_pretrained(draft)
        draft.rename(kept)
    return LanguageModel(str(kept), device=device)


@dataclass(frozen=True)
class Trained:
    """What a training came to.

    Attributes:
        losses: passes over the tokens -> nats a token on the validation, and on the held-out texts.
        tokens: of one pass.
    """

    losses: dict[float, tuple[float, float]]
    tokens: int


class LastLayers:
    """The last layers of a model, and states of all below.

    Args:
        model: as it is loaded.
        layers: how many are trained; None for all.
        cache: states of texts are kept here, a file each.
    """

    def __init__(self, model: LanguageModel, layers: int | None, cache: Path) -> None:
        self.device = model.device
        self._decoder = model.model.get_decoder()
        if not hasattr(self._decoder, "layers") or not hasattr(self._decoder, "norm"):
            sys.exit(f"{model.name} has no layers and norm as Llama has; give another --model")
        self._head = model.model.get_output_embeddings()
        below = len(self._decoder.layers) - (layers or len(self._decoder.layers))
        self.layers = len(self._decoder.layers) - below
        self._below = self._decoder.layers[:below]
        self._upper = self._decoder.layers[below:]
        self._norm = self._decoder.norm
        self._start = model.start
        self._states = cache / f"states-{below}"
        self._states.mkdir(parents=True, exist_ok=True)
        self._first = copy.deepcopy(self._upper.state_dict())
        self._base: dict[bytes, float] = {}

    @cached_property
    def _output(self) -> torch.Tensor:
        return self._head.weight.detach().to(torch.bfloat16)

    def states(self, texts: Sequence[list[int]]) -> list[torch.Tensor]:
        """(L + 1, D) states below the trained layers, of each text of L tokens."""
        places = [self._place(ids) for ids in texts]
        lacking = {
            place: ids for place, ids in zip(places, texts, strict=True) if not place.exists()
        }
        order = sorted(lacking.items(), key=lambda one: len(one[1]))
        for start in range(0, len(order), BATCH):
            some = order[start : start + BATCH]
            inputs = self._padded([torch.tensor([self._start, *ids]) for _, ids in some])
            with torch.no_grad(), self._only(self._below, torch.nn.Identity()), self._fast():
                found = self._decoder(input_ids=inputs, use_cache=False).last_hidden_state
            for (place, ids), rows in zip(some, found.float().cpu().numpy(), strict=True):
                with atomic_write(place) as stream:
                    np.save(stream, rows[: len(ids) + 1])
        return [torch.from_numpy(np.load(place)) for place in places]

    def losses(self, texts: Sequence[list[int]]) -> np.ndarray:
        """(n,) mean loss of each text, in nats a token, by the model as it came."""
        self._upper.load_state_dict(self._first)
        return np.array([self._loss([ids]) for ids in texts])

    def pooled(self, texts: Sequence[list[int]]) -> np.ndarray:
        """(n, D) last states, weighted by their places, as RDS+ does; of unit length."""
        self._upper.load_state_dict(self._first)
        found = []
        with torch.no_grad():
            for start in range(0, len(texts), BATCH):
                some = texts[start : start + BATCH]
                for ids, rows in zip(some, self._last(self.states(some)), strict=True):
                    kept = rows[1 : len(ids) + 1].float()
                    weights = torch.arange(1.0, len(kept) + 1, device=kept.device)
                    found.append(functional.normalize(weights @ kept, dim=0).cpu().numpy())
        return np.array(found)

    def gradients(self, texts: Sequence[list[int]]) -> np.ndarray:
        """(n, F) projected gradients of the trained layers, before any training; of unit length."""
        self._upper.load_state_dict(self._first)
        collected, found = ProjectedGradients(self._upper), []
        for start in range(0, len(texts), BATCH):
            some = texts[start : start + BATCH]
            states = [one.requires_grad_(True) for one in self.states(some)]
            with collected.watching():
                loss, _ = self._summed(some, states)
                loss.backward()
            found.append(functional.normalize(collected.taken(), dim=1).cpu().numpy())
        return np.concatenate(found)

    def train(
        self,
        texts: Sequence[list[int]],
        *,
        rate: float,
        passes: Sequence[float],
        validation: Sequence[list[int]],
        held_out: Sequence[list[int]],
        seed: int,
    ) -> Trained:
        """Train on ``texts``, from the model as it came; losses are those after each of ``passes``.

        A step takes about as many tokens as a full batch, so that equal tokens are equal steps.
        """
        torch.manual_seed(seed)
        self._upper.load_state_dict(self._first)
        self._upper.requires_grad_(True)
        optimizer = torch.optim.AdamW(self._upper.parameters(), lr=rate, weight_decay=0.01)
        states = self.states(texts)
        steps = list(self._steps(texts, max(passes), seed))
        each = len(steps) / max(passes)
        looks = {max(1, round(each * one)): one for one in passes}
        found = {}
        for number, step in enumerate(steps, 1):
            loss, count = self._summed([texts[k] for k in step], [states[k] for k in step])
            (loss / count).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if number in looks:
                found[looks[number]] = (self._loss(validation), self._loss(held_out))
        self._upper.requires_grad_(False)
        return Trained(found, sum(map(len, texts)))

    @staticmethod
    def _steps(texts: Sequence[list[int]], passes: float, seed: int) -> Iterator[list[int]]:
        rng = np.random.default_rng(seed)
        lengths = np.array([len(ids) for ids in texts])
        count = max(1, round(lengths.sum() / (BATCH * 96)))
        wanted = round(count * passes)
        while wanted > 0:
            order = rng.permutation(len(texts))
            middles = np.cumsum(lengths[order]) - lengths[order] / 2
            at = np.minimum((middles * count / lengths.sum()).astype(int), count - 1)
            for k in range(min(count, wanted)):
                yield order[at == k].tolist()
            wanted -= count

    def _loss(self, texts: Sequence[list[int]]) -> float:
        total, tokens = 0.0, 0
        with torch.no_grad():
            for start in range(0, len(texts), BATCH):
                some = texts[start : start + BATCH]
                loss, count = self._summed(some, self.states(some))
                total, tokens = total + float(loss), tokens + count
        return total / tokens if tokens else math.nan

    def _summed(self, texts: Sequence[list[int]], states: list[torch.Tensor]) -> tuple[Any, int]:
        """Sum of the losses of all tokens, and how many they are."""
        last = self._last(states)
        at = [(row, place) for row, ids in enumerate(texts) for place in range(len(ids))]
        rows, places = torch.tensor(at, device=self.device).T
        with self._fast():
            logits = functional.linear(last[rows, places], self._output)
        wanted = torch.tensor([token for ids in texts for token in ids], device=self.device)
        return functional.cross_entropy(logits.float(), wanted, reduction="sum"), len(at)

    def _last(self, states: list[torch.Tensor]) -> torch.Tensor:
        with self._only(self._upper, self._norm), self._fast():
            inputs = self._padded(states)
            return self._decoder(inputs_embeds=inputs, use_cache=False).last_hidden_state

    def _padded(self, rows: list[torch.Tensor]) -> torch.Tensor:
        """Behind a text nothing is looked at, so that any padding will do."""
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(self.device)

    def _fast(self) -> Any:
        return torch.autocast(self.device.split(":")[0], dtype=torch.bfloat16)

    def _place(self, ids: list[int]) -> Path:
        return self._states / f"{hashlib.sha256(repr(ids).encode()).hexdigest()[:24]}.npy"

    @contextmanager
    def _only(self, layers: Any, norm: Any) -> Iterator[None]:
        """The model with these layers alone."""
        kept, self._decoder.layers = self._decoder.layers, layers
        self._decoder.norm = norm
        yield
        self._decoder.layers, self._decoder.norm = kept, self._norm
