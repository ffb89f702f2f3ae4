"""Checkpoints: ours, those of a real Trainer, and what is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tsds_qdrant.representations.checkpoints import checkpoints_at


def tiny_llama(layers: int = 2) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=32,
    )
    return LlamaForCausalLM(config)


def tiny_gpt2() -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=64, n_positions=32, n_embd=16, n_layer=2, n_head=2)
    )


def with_adapters(model: Any) -> Any:
    from peft import LoraConfig, get_peft_model

    return get_peft_model(model, LoraConfig(r=2, target_modules="all-linear", lora_alpha=4))


def trained_by_trainer(model: Any, out: Path, **settings: Any) -> Any:
    """A real Trainer, after its run; its checkpoints are in ``out``."""
    from transformers import Trainer, TrainingArguments

    generator = torch.Generator().manual_seed(1)
    rows = [
        {"input_ids": ids, "labels": ids}
        for ids in torch.randint(0, 64, (12, 8), generator=generator)
    ]
    arguments = TrainingArguments(
        output_dir=str(out),
        per_device_train_batch_size=2,
        num_train_epochs=3,
        logging_steps=1,
        save_strategy="epoch",
        learning_rate=1e-3,
        weight_decay=0.1,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        **settings,
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=rows)
    trainer.train()
    return trainer


@pytest.mark.parametrize("kind", ["llama", "gpt2", "adapters"])
@pytest.mark.filterwarnings("ignore")
def test_state_of_a_real_trainer_goes_to_the_right_parameters(tmp_path: Path, kind: str) -> None:
    model = tiny_gpt2() if kind == "gpt2" else tiny_llama()
    model = with_adapters(model) if kind == "adapters" else model
    trainer = trained_by_trainer(model, tmp_path)
    last = checkpoints_at([tmp_path])[-1]

    fresh = tiny_llama() if kind == "adapters" else model
    loaded = last.adapted(fresh) if kind == "adapters" else fresh
    state = last.optimizer_state(loaded)

    optimizer = getattr(trainer.optimizer, "optimizer", trainer.optimizer)
    trained = {name: one for name, one in model.named_parameters() if one.requires_grad}
    assert list(state) == list(trained)
    for name, parameter in trained.items():
        held = optimizer.state[parameter]
        assert torch.equal(state[name].exp_avg, held["exp_avg"])
        assert torch.equal(state[name].exp_avg_sq, held["exp_avg_sq"])
        assert state[name].step == 18
        assert (state[name].betas, state[name].eps) == ((0.9, 0.999), 1e-8)
