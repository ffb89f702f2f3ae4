"""A language model of two small layers and random weights, and a tokenizer whose tokens are bytes.

Both are made on the spot, and saved where loading by directory is to be real.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

BOS, EOS, PAD = "<s>", "</s>", "<pad>"
CHAT = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<' + message['role'] + '>' + message['content'] + eos_token + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
)
"""Messages as ``<user>Hi</s>`` and a line break; each character is a token, as is ``</s>``."""
VOCABULARY = 320
"""More than there are tokens, as models have it."""


def tiny_tokenizer(chat_template: str | None = CHAT, merges: Sequence[tuple[str, str]] = ()) -> Any:
    """A fast tokenizer with a token for each byte, one for each of ``merges``, and three more.

    ``merges`` are written in the alphabet of byte-level BPE: a space is "Ġ", a line break "Ċ".
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = alphabet + [first + second for first, second in merges]
    numbers = {word: number for number, word in enumerate(words)}
    made = Tokenizer(models.BPE(vocab=numbers, merges=list(merges)))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([BOS, EOS, PAD])
    made.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, made.token_to_id(BOS))]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token=BOS, eos_token=EOS, pad_token=PAD
    )
    tokenizer.chat_template = chat_template
    return tokenizer


def tiny_model(
    seed: int = 0, *, dtype: str = "float32", layers: int = 2, positions: int = 512, **config: Any
) -> Any:
    """A Llama of random weights: hidden size 32, four heads, two of keys; on the processor."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    settings = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": positions,
        "initializer_range": 0.2,
        "tie_word_embeddings": False,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(LlamaConfig(**{**settings, **config}))
    return model.to(getattr(torch, dtype)).eval()


def saved_model(directory: Path, model: Any = None, tokenizer: Any = None) -> str:
    """The path of ``directory``, with a model and a tokenizer in it."""
    (tiny_model() if model is None else model).save_pretrained(directory)
    (tiny_tokenizer() if tokenizer is None else tokenizer).save_pretrained(directory)
    return str(directory)
