"""A mixture in a training by torch and by transformers' Trainer, on a tiny language model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import rows_of, run
from tiny_models import tiny_model
from torch.utils.data import DataLoader

from tsds_qdrant import create_collection
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.errors import InputError, OutputError, SettingsError, StateError
from tsds_qdrant.training import MixedDataset, MixedStream, MixtureCallback, OnlineMixture
from tsds_qdrant.training.mixing_torch import ROW, STATE_FILE

LETTERS = 12


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Models so small are slower on several."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    """Two sources: one letter again and again, and random walks that take long to learn."""
    directory = tmp_path_factory.mktemp("store")
    chance = np.random.default_rng(0)
    following = chance.permutation(24)
    payloads = []
    for _ in range(40):
        walk = [int(chance.integers(24))]
        while len(walk) < LETTERS:
            walk.append(int(following[walk[-1]]) if chance.random() < 0.8 else walk[0])
        payloads.append({"source": "walks", "tokens": walk})
    payloads += [{"source": "same", "tokens": [30] * LETTERS} for _ in range(20)]
    with create_collection(str(directory), "pool", dimension=2, metric="Cosine") as made:
        made.upsert(range(60), np.ones((60, 2), dtype=np.float32), payloads)
        yield made


def example(payload: dict[str, Any]) -> dict[str, Any]:
    return {"input_ids": payload["tokens"], "labels": payload["tokens"]}


def dataset(collection: Collection, minibatch: int = 1, **rules: Any) -> MixedDataset:
    mixture = OnlineMixture(["same", "walks"], **rules)
    return MixedDataset(MixedStream(collection, "source", mixture, minibatch=minibatch), example)


def collated(examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    return {name: torch.tensor([one[name] for one in examples]) for name in examples[0]}


def test_a_loop_of_torch_shifts_weight_to_the_source_that_still_learns(
    collection: Collection,
) -> None:
    """Without a Trainer: one minibatch of one source a step, its loss fed back."""
    mixed = dataset(collection, minibatch=4, variant="official", alpha=0.5, seed=1)
    mixture, model = mixed.stream.mixture, tiny_model(layers=1).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
    for batch in islice(DataLoader(mixed, batch_size=4, collate_fn=collated), 40):
        rows = batch.pop(ROW)
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        source = "same" if batch["labels"][0, 0] == 30 else "walks"
        mixture.update(source, float(loss.detach()))
    assert rows.tolist() == [156, 157, 158, 159]
    assert mixture.weights["walks"] > 0.62


def test_the_dataset_goes_on_where_it_was(collection: Collection) -> None:
    whole = [one[ROW] for one in islice(dataset(collection), 20)]
    assert whole == [*range(20)]
    first = dataset(collection)
    expected = [*islice(dataset(collection), 20)]
    assert [*islice(first, 5), *islice(first, 2)] == expected[:7]
    second = dataset(collection)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert [*islice(second, 13)] == expected[7:]


def test_payloads_are_the_examples_where_nothing_else_is_asked(collection: Collection) -> None:
    mixed = MixedDataset(MixedStream(collection, "source", OnlineMixture(["same"])))
    assert next(iter(mixed)) == {"source": "same", "tokens": [30] * LETTERS, ROW: 0}
    mixed = MixedDataset(mixed.stream, lambda payload: payload["source"])  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"makes str of point \d+; make a mapping"):
        next(iter(mixed))


@pytest.mark.slow
def test_workers_are_refused(collection: Collection) -> None:
    loader = DataLoader(dataset(collection), num_workers=1, multiprocessing_context="fork")
    with pytest.raises(SettingsError, match="num_workers"):
        next(iter(loader))


def trainer(mixed: Any, callback: MixtureCallback, out: Path, steps: int, **arguments: Any) -> Any:
    from transformers import Trainer, TrainingArguments

    given = {
        "output_dir": str(out),
        "max_steps": steps,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "learning_rate": 0.02,
        "lr_scheduler_type": "constant",
        "remove_unused_columns": False,
        "save_strategy": "no",
        "logging_strategy": "no",
        "use_cpu": True,
        "report_to": [],
        "disable_tqdm": True,
    }
    return Trainer(
        model=tiny_model(layers=1),
        args=TrainingArguments(**{**given, **arguments}),
        train_dataset=mixed,
        eval_dataset=[{"input_ids": [1, 2, 3], "labels": [1, 2, 3]}] * 3,
        data_collator=collated,
        callbacks=[callback],
    )


@pytest.mark.filterwarnings("ignore")
def test_a_trainer_shifts_weight_to_the_source_that_still_learns(
    collection: Collection, tmp_path: Path
) -> None:
    mixed = dataset(collection, variant="official", alpha=0.5, warm_up=3, seed=1)
    log = tmp_path / "losses.jsonl"
    made = trainer(mixed, MixtureCallback(mixed, log), tmp_path, 30)
    made.train()
    mixture = mixed.stream.mixture
    assert mixture.step == 30
    assert mixture.weights["walks"] > 0.62
    lines = rows_of(log)
    assert {line["step"] for line in lines} == {*range(1, 31)}
    # 30 steps of 2 batches of 4 examples, each of LETTERS - 1 tokens to predict
    assert sum(line["tokens"] for line in lines) == 30 * 2 * 4 * (LETTERS - 1)
    replayed = run(
        *("mix", "--losses", log, "--variant", "official", "--alpha", 0.5, "--warm-up", 3, "--json")
    )
    assert json.loads(replayed.stdout)["points"][-1]["weights"] == mixture.weights


@pytest.mark.filterwarnings("ignore")
def test_losses_by_source_are_those_of_the_model(collection: Collection, tmp_path: Path) -> None:
    """In batches of mixed sources, with labels that do not count, at a learning rate of 0."""
    mixed = dataset(collection, seed=1)
    log = tmp_path / "losses.jsonl"

    def half(payload: dict[str, Any]) -> dict[str, Any]:
        tokens = payload["tokens"]
        return {
            "input_ids": tokens,
            "labels": [-100 if token < tokens[0] else token for token in tokens],
        }

    mixed._form = half
    made = trainer(mixed, MixtureCallback(mixed, log), tmp_path, 3, learning_rate=0.0)
    made.train()
    model = tiny_model(layers=1)
    fresh = iter(MixedDataset(dataset(collection, seed=1).stream, half))
    # rows of a step drawn before the mixture learnt: those of its first two steps
    for step in (1, 2):
        sums: dict[str, tuple[float, int]] = {}
        for one in islice(fresh, 8):
            batch = collated([{name: one[name] for name in ("input_ids", "labels")}])
            count = int((batch["labels"][0, 1:] != -100).sum())
            if count:
                name = "same" if one["input_ids"][0] == 30 else "walks"
                loss = float(model(**batch).loss.detach())
                before = sums.get(name, (0.0, 0))
                sums[name] = (before[0] + loss * count, before[1] + count)
        found = {
            line["source"]: (line["loss"], line["tokens"])
            for line in rows_of(log)
            if line["step"] == step
        }
        assert found.keys() == sums.keys()
        for name, (loss, count) in sums.items():
            assert found[name] == (pytest.approx(loss / count, rel=1e-4), count)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_trainer_resumed_from_a_checkpoint_has_the_same_stream(
    collection: Collection, tmp_path: Path
) -> None:
    def begun(name: str, **arguments: Any) -> tuple[MixtureCallback, Any]:
        mixed = dataset(collection, minibatch=3, variant="paper", seed=7)
        callback = MixtureCallback(mixed, tmp_path / f"{name}.jsonl")
        saving = {"save_strategy": "steps", "save_steps": 4, "seed": 5}
        return callback, trainer(mixed, callback, tmp_path / name, 8, **saving, **arguments)

    begun("whole")[1].train()
    _, stopped = begun("parts")
    stopped.train()
    # As if it had been killed behind step 6: the log is further than the checkpoint.
    log = tmp_path / "parts.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole[: whole.index(b'{"step": 7')] + b'{"step": 7, "sou')
    callback, again = begun("parts", ignore_data_skip=True)
    checkpoint = tmp_path / "parts" / "checkpoint-4"
    callback.restore(checkpoint)
    again.train(resume_from_checkpoint=str(checkpoint))

    states = [
        json.loads((tmp_path / name / "checkpoint-8" / STATE_FILE).read_text())
        for name in ("whole", "parts")
    ]
    assert states[0] == states[1]
    assert states[0]["rows"] == 8 * 2 * 4
    assert rows_of(log) == rows_of(tmp_path / "whole.jsonl")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"remove_unused_columns": True}, "needs remove_unused_columns=False"),
        ({"dataloader_num_workers": 2}, "needs dataloader_num_workers=0"),
        ({"label_smoothing_factor": 0.1}, "needs label_smoothing_factor=0.0"),
    ],
)
def test_training_arguments_that_leave_no_way_are_named(
    collection: Collection, tmp_path: Path, arguments: Any, words: str
) -> None:
    mixed = dataset(collection)
    with pytest.raises(SettingsError, match=words):
        trainer(mixed, MixtureCallback(mixed), tmp_path, 1, **arguments).train()


def test_what_a_callback_cannot_use_is_named(collection: Collection, tmp_path: Path) -> None:
    mixed = dataset(collection)
    callback = MixtureCallback(mixed)
    with pytest.raises(StateError, match=r"checkpoint-7/mixture.json' cannot be read"):
        callback.restore(tmp_path / "checkpoint-7")
    (tmp_path / STATE_FILE).write_text("{")
    with pytest.raises(StateError, match="name a checkpoint that was saved with"):
        callback.restore(tmp_path)
    (tmp_path / "log.jsonl").write_text("")
    with pytest.raises(OutputError, match="exists already"):
        MixtureCallback(mixed, tmp_path / "log.jsonl")._begin_log(0)


@pytest.mark.filterwarnings("ignore")
def test_a_loss_that_is_no_number_is_left_out_and_said(
    collection: Collection, tmp_path: Path
) -> None:
    mixed, log = dataset(collection, seed=1), tmp_path / "losses.jsonl"
    made = trainer(mixed, MixtureCallback(mixed, log), tmp_path, 2)
    with torch.no_grad():
        made.model.get_input_embeddings().weight[30] = torch.nan  # the token of one source
    with pytest.warns(RuntimeWarning, match="the loss of source 'same' in step 1 is nan"):
        made.train()
    assert {line["source"] for line in rows_of(log) if line["step"] == 1} == {"walks"}
    assert mixed.stream.mixture.step == 2


@pytest.mark.filterwarnings("ignore")
def test_evaluation_teaches_nothing_and_batches_without_rows_are_refused(
    collection: Collection, tmp_path: Path
) -> None:
    mixed, log = dataset(collection, seed=1), tmp_path / "losses.jsonl"
    evaluating = {"eval_strategy": "steps", "eval_steps": 1}
    trainer(mixed, MixtureCallback(mixed, log), tmp_path, 2, **evaluating).train()
    assert sum(line["tokens"] for line in rows_of(log)) == 2 * 2 * 4 * (LETTERS - 1)

    plain = [{"input_ids": [1, 2, 3], "labels": [1, 2, 3]}] * 16
    with pytest.raises(InputError, match=f"a batch has no '{ROW}'"):
        trainer(plain, MixtureCallback(mixed), tmp_path, 1).train()


def shared_step(rank: int, size: int, place: str, out: str) -> None:
    """One of several processes that learnt different examples of a step."""
    import torch.distributed as together

    from tsds_qdrant.training.mixing_torch import _gathered

    together.init_process_group("gloo", init_method=f"file://{place}", rank=rank, world_size=size)
    found = _gathered({2 * k + rank: (float(k + rank), 3 + k) for k in range(3)})
    Path(out, f"{rank}.json").write_text(json.dumps(sorted(found.items())))
    together.destroy_process_group()


@pytest.mark.slow
def test_all_processes_of_a_training_learn_from_all_losses(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(shared_step, (2, str(tmp_path / "meet"), str(tmp_path)), nprocs=2)
    expected = [[2 * k + rank, [float(k + rank), 3 + k]] for k in range(3) for rank in range(2)]
    for rank in range(2):
        assert json.loads((tmp_path / f"{rank}.json").read_text()) == expected
