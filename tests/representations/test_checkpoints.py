"""Checkpoints: those of a real Trainer, their learning rates, and what is none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import tiny_model

from tsds_qdrant.errors import EmbeddingError
from tsds_qdrant.representations.checkpoints.checkpoints import (
    Checkpoint,
    checkpoints_at,
    rate_weights,
)
from tsds_qdrant.representations.checkpoints.optimizer_state import bare, read_numbered, write_named


def tiny_gpt2() -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=64, n_positions=32, n_embd=16, n_layer=2, n_head=2)
    return GPT2LMHeadModel(config)


def with_adapters(model: Any) -> Any:
    from peft import LoraConfig, get_peft_model

    return get_peft_model(model, LoraConfig(r=2, target_modules="all-linear", lora_alpha=4))


def trained_by_trainer(model: Any, out: Path) -> Any:
    """A real Trainer, after its run; its checkpoints are in ``out``."""
    from transformers import Trainer, TrainingArguments

    draws = torch.Generator().manual_seed(1)
    rows = [
        {"input_ids": ids, "labels": ids} for ids in torch.randint(0, 64, (4, 8), generator=draws)
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
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=rows)
    trainer.train()
    return trainer


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["gpt2", "adapters", pytest.param("llama", marks=pytest.mark.slow)]
)
@pytest.mark.filterwarnings("ignore")
def test_checkpoints_of_a_real_trainer(tmp_path: Path, kind: str) -> None:
    model = tiny_gpt2() if kind == "gpt2" else tiny_model()
    model = with_adapters(model) if kind == "adapters" else model
    trainer = trained_by_trainer(model, tmp_path)
    found = checkpoints_at([tmp_path])
    assert [one.step for one in found] == [2, 4, 6]
    logged = [line["learning_rate"] for line in trainer.state.log_history if "loss" in line]
    for number, one in enumerate(found):
        mean = sum(logged[2 * number : 2 * number + 2]) / 2
        assert one.learning_rate == pytest.approx(mean)
    assert len({one.id for one in found}) == len({one.optimizer_id for one in found}) == 3

    last = found[-1]
    loaded = last.adapted(tiny_model()) if kind == "adapters" else model
    state = last.optimizer_state(loaded)
    optimizer = getattr(trainer.optimizer, "optimizer", trainer.optimizer)
    trained = {name: one for name, one in model.named_parameters() if one.requires_grad}
    assert list(state) == list(trained)
    for name, parameter in trained.items():
        held = optimizer.state[parameter]
        assert torch.equal(state[name].exp_avg, held["exp_avg"])
        assert torch.equal(state[name].exp_avg_sq, held["exp_avg_sq"])
        assert (state[name].step, state[name].betas, state[name].eps) == (6, (0.9, 0.999), 1e-8)


def stepped(model: Any, groups: list[list[str]], kind: Any = torch.optim.AdamW, **more: Any) -> Any:
    """An optimizer of the parameters in ``groups``, by name, after a step of random gradients."""
    named = dict(model.named_parameters())
    optimizer = kind([{"params": [named[name] for name in group]} for group in groups], **more)
    torch.manual_seed(0)
    for parameter in named.values():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    return optimizer


def groups_of(model: Any, rule: str) -> list[list[str]]:
    names = [name for name, _ in model.named_parameters()]
    norms = [name for name in names if "norm" in name]
    if rule == "one":
        return [names]
    if rule == "norms apart":
        return [[name for name in names if name not in norms], norms]
    if rule == "a group is empty":
        return [names, []]
    return [norms, [name for name in names if name not in norms]]


@pytest.mark.parametrize("rule", ["one", "norms apart", "a group is empty"])
def test_numbers_are_names_by_the_order_of_groups(tmp_path: Path, rule: str) -> None:
    model = tiny_model()
    optimizer = stepped(model, groups_of(model, rule))
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    state = read_numbered(tmp_path / "optimizer.pt", model)
    for name, parameter in model.named_parameters():
        assert torch.equal(state[name].exp_avg, optimizer.state[parameter]["exp_avg"])


def test_groups_that_name_their_parameters_are_believed(tmp_path: Path) -> None:
    model = tiny_model()
    names = groups_of(model, "others last")
    optimizer = stepped(model, names)
    stored = optimizer.state_dict()
    torch.save(stored, tmp_path / "optimizer.pt")
    with pytest.raises(EmbeddingError, match="so it is not known which is which"):
        read_numbered(tmp_path / "optimizer.pt", model)
    for group, named in zip(stored["param_groups"], names, strict=True):
        group["param_names"] = [f"module.{name}" for name in named]
    torch.save(stored, tmp_path / "optimizer.pt")
    state = read_numbered(tmp_path / "optimizer.pt", model)
    for name, parameter in model.named_parameters():
        assert torch.equal(state[name].exp_avg_sq, optimizer.state[parameter]["exp_avg_sq"])


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (torch.optim.SGD, "of a parameter it holds nothing"),
        (torch.optim.Adagrad, "no state of Adam or AdamW: of a parameter it holds step, sum"),
        (torch.optim.RMSprop, "of a parameter it holds square_avg, step"),
    ],
)
def test_other_optimizers_are_named_with_a_way_out(tmp_path: Path, kind: Any, words: str) -> None:
    model = tiny_model()
    optimizer = stepped(model, groups_of(model, "one"), kind, lr=0.1)
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    with pytest.raises(EmbeddingError, match=words + r".*\(SGD\), or checkpoints of 'tsds-qdrant"):
        read_numbered(tmp_path / "optimizer.pt", model)


def test_state_of_another_model_or_none_is_refused(tmp_path: Path) -> None:
    model, wider = tiny_model(), tiny_model(intermediate_size=64)
    optimizer = stepped(model, groups_of(model, "one"))
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    for other in (wider, tiny_model(layers=1)):
        with pytest.raises(EmbeddingError, match="state of another model"):
            read_numbered(tmp_path / "optimizer.pt", other)
    (tmp_path / "optimizer.pt").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(EmbeddingError, match="no optimizer state that can be read"):
        read_numbered(tmp_path / "optimizer.pt", model)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A model directory, and nothing of a training."""
    tiny_model().save_pretrained(tmp_path / "plain")
    return tmp_path / "plain"


def test_a_plain_model_is_a_checkpoint_without_optimizer(plain: Path) -> None:
    one = Checkpoint.read(plain)
    assert (one.step, one.learning_rate, one.base_model) == (0, None, "")
    assert not one.is_adapter
    assert not one.has_optimizer
    with pytest.raises(EmbeddingError, match="has no optimizer state; take features of plain"):
        one.optimizer_state(tiny_model())
    (plain / "global_step40").mkdir()
    with pytest.raises(EmbeddingError, match="only 'global_step40', in parts"):
        one.optimizer_state(tiny_model())
    with pytest.raises(EmbeddingError, match="holds a whole model and no adapters"):
        one.adapted(tiny_model())


def test_the_id_is_that_of_content_and_not_of_the_place(plain: Path, tmp_path: Path) -> None:
    known = Checkpoint.read(plain).id
    moved = tmp_path / "moved"
    shutil.copytree(plain, moved)
    config = json.loads((moved / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps({**config, "transformers_version": "9"}))
    assert Checkpoint.read(moved).id == known
    (moved / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 0.1}))
    assert Checkpoint.read(moved).id != known
    (moved / "config.json").write_text(json.dumps(config))
    weights = load_file(moved / "model.safetensors")
    weights["lm_head.weight"][0, 0] += 1
    save_file(weights, moved / "model.safetensors", metadata={"format": "pt"})
    assert Checkpoint.read(moved).id != known


@pytest.mark.filterwarnings("ignore")
def test_adapters_of_another_model_are_refused(tmp_path: Path) -> None:
    made = with_adapters(tiny_model())
    made.save_pretrained(tmp_path / "one")
    with pytest.raises(EmbeddingError, match="cannot be put on the model"):
        Checkpoint.read(tmp_path / "one").adapted(tiny_model(hidden_size=64))


def test_our_state_of_another_model_or_a_torn_one_is_refused(plain: Path) -> None:
    model = tiny_model()
    optimizer = stepped(model, groups_of(model, "one"))
    write_named(plain / "optimizer.safetensors", optimizer, model.named_parameters())
    one = Checkpoint.read(plain)
    assert one.has_optimizer
    state = one.optimizer_state(model)
    name, parameter = next(model.named_parameters())
    assert torch.equal(state[name].exp_avg, optimizer.state[parameter]["exp_avg"])
    with pytest.raises(EmbeddingError, match=r"holds 48 x 32 values of .* which has 64 x 32"):
        one.optimizer_state(tiny_model(intermediate_size=64))
    with pytest.raises(EmbeddingError, match=r"holds nothing of the parameter 'model.layers.2"):
        one.optimizer_state(tiny_model(layers=3))
    with (plain / "optimizer.safetensors").open("r+b") as stream:
        stream.truncate(500)
    with pytest.raises(EmbeddingError, match="cannot be read"):
        one.optimizer_state(model)


def trainers(directory: Path, step: int, rates: dict[int, Any]) -> Path:
    """What a Trainer leaves at ``step``, as far as the learning rate needs it."""
    directory.mkdir(parents=True)
    (directory / "config.json").write_text("{}")
    (directory / "model.safetensors").write_bytes(b"weights")
    lines = [{"step": at, "learning_rate": rate, "loss": 1.0} for at, rate in rates.items()]
    state = {"global_step": step, "log_history": [*lines, {"step": step, "eval_loss": 2.0}]}
    (directory / "trainer_state.json").write_text(json.dumps(state))
    return directory


def test_rates_are_means_since_the_checkpoint_before(tmp_path: Path) -> None:
    rates = {10: 1e-4, 20: 3e-4, 30: 2e-4, 40: 1e-4, 100: 5e-5}
    for step in (20, 40, 100, 120):
        kept = {at: rate for at, rate in rates.items() if at <= step}
        trainers(tmp_path / f"checkpoint-{step}", step, kept)
    found = checkpoints_at([tmp_path])
    assert [one.step for one in found] == [20, 40, 100, 120]
    assert [one.learning_rate for one in found] == pytest.approx([2e-4, 1.5e-4, 5e-5, None])
    weights = rate_weights(found[:3])
    assert weights == pytest.approx([0.5, 0.375, 0.125])
    with pytest.raises(EmbeddingError, match=r"checkpoint-120' does not say its learning rate"):
        rate_weights(found)
    (tmp_path / "checkpoint-120" / "checkpoint.json").write_text('{"learning_rate": 5e-5}')
    assert rate_weights(checkpoints_at([tmp_path])) == pytest.approx([4 / 9, 3 / 9, 1 / 9, 1 / 9])


def test_weights_without_rates_are_the_same_and_none_of_zero(plain: Path, tmp_path: Path) -> None:
    one = Checkpoint.read(plain)
    assert rate_weights([one, one]) == [0.5, 0.5]
    zero = Checkpoint.read(trainers(tmp_path / "checkpoint-1", 1, {1: 0.0}))
    with pytest.raises(EmbeddingError, match="say a learning rate of 0"):
        rate_weights([zero, zero])


def test_checkpoints_are_taken_in_the_order_given_or_by_their_steps(tmp_path: Path) -> None:
    for step in (9, 10, 100):
        trainers(tmp_path / f"checkpoint-{step}", step, {step: 1e-4})
    (tmp_path / "checkpoint-last").mkdir()
    assert [one.step for one in checkpoints_at([tmp_path])] == [9, 10, 100]
    named = [tmp_path / "checkpoint-100", tmp_path / "checkpoint-9"]
    assert [one.step for one in checkpoints_at(named)] == [100, 9]
    with pytest.raises(EmbeddingError, match="is given twice"):
        checkpoints_at([tmp_path, tmp_path / "checkpoint-9"])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: shutil.rmtree(path), "does not exist"),
        (lambda path: (path / "config.json").unlink(), "holds neither adapter_config.json nor"),
        (lambda path: (path / "model.safetensors").unlink(), "lacks its weights"),
        (
            lambda path: (path / "model.safetensors").write_bytes(
                b"version https://git-lfs.github.com/spec/v1\n"
            ),
            "run: git lfs pull",
        ),
        (lambda path: (path / "trainer_state.json").write_text("{"), "cannot be read"),
        (lambda path: (path / "trainer_state.json").write_text("[]"), "it holds no object"),
        (
            lambda path: (path / "trainer_state.json").write_text('{"global_step": "x"}'),
            "a step of 'x', which is no number",
        ),
        (
            lambda path: (path / "trainer_state.json").write_text(
                '{"global_step": 5, "log_history": [{"step": 5, "learning_rate": "big"}]}'
            ),
            "a learning rate of 'big'",
        ),
        (
            lambda path: (path / "checkpoint.json").write_text('{"learning_rate": NaN}'),
            "a learning rate of nan",
        ),
    ],
)
def test_what_is_no_checkpoint_says_why(
    tmp_path: Path, damage: Callable[[Path], None], words: str
) -> None:
    path = trainers(tmp_path / "checkpoint-5", 5, {5: 1e-4})
    damage(path)
    with pytest.raises(EmbeddingError, match=words):
        Checkpoint.read(path)


def test_a_directory_of_checkpoints_is_none_itself(tmp_path: Path) -> None:
    path = trainers(tmp_path / "run" / "checkpoint-5", 5, {5: 1e-4})
    with pytest.raises(EmbeddingError, match="it holds checkpoint-5, so give that"):
        Checkpoint.read(tmp_path / "run")
    assert Checkpoint.read(path).step == 5
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddingError, match="is a file"):
        Checkpoint.read(tmp_path / "file")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("m.q_proj.lora_A.default.weight", "m.q_proj.lora_A.weight"),
        ("m.q_proj.lora_B.weight", "m.q_proj.lora_B.weight"),
        ("m.wte.lora_embedding_A.mine", "m.wte.lora_embedding_A"),
        ("m.wte.lora_embedding_A", "m.wte.lora_embedding_A"),
        ("module._orig_mod.model.norm.weight", "model.norm.weight"),
        ("m.score.modules_to_save.default.weight", "m.score.weight"),
    ],
)
def test_bare_names_are_those_in_files(name: str, wanted: str) -> None:
    assert bare(name) == wanted
