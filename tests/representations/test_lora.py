"""Training of adapters: against plain torch, resumed, and saved by the names of parameters."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_models import saved_model, tiny_model

from tsds_qdrant.errors import EmbeddingError, MissingPackageError, OutputError, SettingsError
from tsds_qdrant.representations.checkpoints.checkpoints import Checkpoint
from tsds_qdrant.representations.checkpoints.lora import LoraTraining
from tsds_qdrant.representations.checkpoints.lora_settings import LoraSettings
from tsds_qdrant.representations.checkpoints.optimizer_state import bare
from tsds_qdrant.representations.language.model import LanguageModel
from tsds_qdrant.representations.language.tokens import Tokens

SMALL = {"rank": 2, "alpha": 8.0, "learning_rate": 0.01, "batch": 4, "epochs": 3}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> str:
    return saved_model(tmp_path_factory.mktemp("lm"))


def rows_of(count: int = 10) -> list[Tokens]:
    draw = np.random.default_rng(5)
    lengths = draw.integers(4, 20, size=count)
    return [
        Tokens(draw.integers(0, 250, size=n).tolist(), [False] * (n // 2) + [True] * (n - n // 2))
        for n in lengths.tolist()
    ]


def training(directory: str, seed: int = 3, dtype: str = "float32", **changed: Any) -> LoraTraining:
    settings = LoraSettings(**{**SMALL, **changed})
    language = LanguageModel(directory, device="cpu", dtype=dtype)
    return LoraTraining(language, rows_of(), settings, seed)


def weights(one: LoraTraining) -> dict[str, torch.Tensor]:
    trained = one.model.named_parameters()
    return {bare(name): value.detach().clone() for name, value in trained if value.requires_grad}


def nothing(_: int) -> None:
    """Nobody asks how far it is."""


def test_steps_are_those_of_torch_on_each_example_alone(directory: str) -> None:
    changed = {"batch": 10, "dropout": 0.0, "epochs": 2, "warmup_ratio": 0.0, "dtype": "float64"}
    ours, plain = training(directory, **changed), training(directory, **changed)
    named = [(n, p) for n, p in plain.model.named_parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW([p for _, p in named], weight_decay=0.0)
    for number, rate in ((1, 0.01), (2, 0.005)):
        epoch = ours.epoch(number, nothing)
        losses = []
        for row in rows_of():
            ids, labels = torch.tensor([row.ids]), torch.tensor([row.labels])
            logits = plain.model.eval()(input_ids=ids).logits[0, :-1]
            losses.append(torch.nn.functional.cross_entropy(logits, labels[0, 1:]))
        optimizer.zero_grad()
        torch.stack(losses).mean().backward()
        torch.nn.utils.clip_grad_norm_([p for _, p in named], 1.0)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        assert epoch.loss == pytest.approx(sum(one.item() for one in losses) / 10)
        assert (epoch.epoch, epoch.step, epoch.learning_rate) == (number, number, rate)
    trained = weights(ours)
    assert len(trained) == 2 * 4 * 2
    for name, parameter in named:
        torch.testing.assert_close(trained[bare(name)], parameter.detach(), atol=1e-6, rtol=1e-6)


@pytest.mark.slow
def test_memory_changes_nothing_without_dropout_and_the_loss_falls(directory: str) -> None:
    found = []
    for tokens in (1, 30, 10_000):
        one = training(directory, dropout=0.0, batch_tokens=tokens)
        losses = [one.epoch(number, nothing).loss for number in (1, 2, 3)]
        assert losses[2] < losses[1] < losses[0]
        found.append((losses, weights(one)))
    for losses, held in found[1:]:
        assert losses == pytest.approx(found[0][0], rel=1e-4)
        for name, value in held.items():
            torch.testing.assert_close(value, found[0][1][name], atol=1e-3, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("stopped", [1, 2])
def test_a_restored_training_goes_on_to_the_same_bytes(
    directory: str, tmp_path: Path, stopped: int
) -> None:
    whole = training(directory)
    for number in (1, 2, 3):
        whole.epoch(number, nothing)
        whole.save(tmp_path / f"whole-{number}", {"step": 3 * number})
    torch.manual_seed(stopped)
    halved = training(directory)
    halved.restore(tmp_path / f"whole-{stopped}")
    for number in range(stopped + 1, 4):
        halved.epoch(number, nothing)
        halved.save(tmp_path / f"halved-{number}", {"step": 3 * number})
        for file in (tmp_path / f"whole-{number}").iterdir():
            assert file.read_bytes() == (tmp_path / f"halved-{number}" / file.name).read_bytes()


@pytest.mark.slow
def test_chance_follows_from_the_seed_and_is_left_as_it_was(directory: str) -> None:
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    one, two, other = training(directory), training(directory), training(directory, seed=4)
    first, again, changed = (each.epoch(1, nothing).loss for each in (one, two, other))
    assert torch.equal(torch.rand(3), expected)
    assert first == again != changed


def test_state_by_name_is_that_of_the_optimizer(directory: str, tmp_path: Path) -> None:
    one = training(directory)
    one.epoch(1, nothing)
    one.save(tmp_path / "checkpoint-3", {"step": 3, "learning_rate": 0.004})
    read = Checkpoint.read(tmp_path / "checkpoint-3")
    loaded = read.adapted(tiny_model())
    state = read.optimizer_state(loaded)
    held = {
        bare(name): one._optimizer.state[parameter]
        for name, parameter in one.model.named_parameters()
        if parameter.requires_grad
    }
    assert {bare(name) for name in state} == held.keys()
    assert len(state) == 16
    for name, adam in state.items():
        assert torch.equal(adam.exp_avg, held[bare(name)]["exp_avg"])
        assert torch.equal(adam.exp_avg_sq, held[bare(name)]["exp_avg_sq"])
        assert (adam.step, adam.betas, adam.eps) == (3, (0.9, 0.999), 1e-8)
    stored = load_file(tmp_path / "checkpoint-3" / "adapter_model.safetensors")
    for name, value in weights(one).items():
        assert torch.equal(stored[name], value)
    assert (read.step, read.learning_rate, read.base_model) == (3, 0.004, directory)
    ids = torch.tensor([rows_of()[0].ids])
    with torch.no_grad():
        torch.testing.assert_close(loaded(ids).logits, one.model(ids).logits)


def test_layers_are_found_by_their_names(directory: str) -> None:
    names = {bare(name) for name in weights(training(directory))}
    assert {name.split(".")[-3] for name in names} == {"q_proj", "k_proj", "v_proj", "o_proj"}
    some = training(directory, targets=("up_proj",))
    assert {name.split(".")[-3] for name in weights(some)} == {"up_proj"}
    assert len(weights(training(directory, targets=("all-linear",)))) == 2 * 7 * 2


def test_layers_that_are_not_there_are_refused_with_a_way_out(directory: str) -> None:
    with pytest.raises(EmbeddingError, match="name other layers with --targets, all-linear say"):
        training(directory, targets=("c_attn",))


def test_a_loss_that_is_no_number_ends_the_training(directory: str) -> None:
    one = training(directory)
    with torch.no_grad():
        one.model.get_input_embeddings().weight.fill_(float("nan"))
    with pytest.raises(EmbeddingError, match="no number in step 1 of the warm-up; give a lower"):
        one.epoch(1, nothing)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the system bounds no files")
@pytest.mark.parametrize("largest", [100, 2_000, 9_000])
def test_a_full_disk_leaves_no_checkpoint(directory: str, tmp_path: Path, largest: int) -> None:
    import resource

    one = training(directory)
    one.epoch(1, nothing)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, before[1]))
    try:
        with pytest.raises(OutputError, match=r"cannot be written .*make room there"):
            one.save(tmp_path / "checkpoint-3", {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []
    one.save(tmp_path / "checkpoint-3", {})
    assert Checkpoint.read(tmp_path / "checkpoint-3").has_optimizer


def test_without_peft_one_sentence_names_the_extra(
    directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'tsds-qdrant\[gradients\]'"):
        training(directory)


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 1000])
@pytest.mark.parametrize("ratio", [0.0, 0.03, 0.5, 0.99])
def test_rates_rise_and_fall_and_none_is_zero(steps: int, ratio: float) -> None:
    settings = LoraSettings(warmup_ratio=ratio)
    rates = [settings.rate(step, steps) for step in range(steps)]
    top = rates.index(max(rates))
    assert max(rates) == pytest.approx(settings.learning_rate)
    assert min(rates) > 0
    assert top == min(math.ceil(steps * ratio), steps - 1)
    assert all(np.diff(rates[: top + 1]) > 0)
    assert all(np.diff(rates[top:]) < 0)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"rank": 0}, "rank is 0"),
        ({"epochs": -1}, "epochs is -1"),
        ({"batch": 0}, "batch is 0"),
        ({"batch_tokens": 0}, "batch_tokens is 0"),
        ({"alpha": 0.0}, "alpha is 0"),
        ({"alpha": math.inf}, "alpha is inf"),
        ({"learning_rate": -1e-3}, "learning_rate is -0.001"),
        ({"learning_rate": math.nan}, "learning_rate is nan"),
        ({"dropout": 1.0}, "dropout is 1"),
        ({"warmup_ratio": -0.1}, "warmup_ratio is -0.1"),
    ],
)
def test_settings_that_cannot_be_right_are_refused(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        LoraSettings(**changed)
