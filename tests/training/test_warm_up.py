"""Warm-up on a collection: which part, resumed to the same bytes, and never another one."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import warm_pool
from conftest import MakeCollection
from tiny_models import saved_model
from warm_pool import PAYLOADS, warmed

from tsds_qdrant import open_collection
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.errors import InputError, OutputError, SettingsError, StateError
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.records.showing import Showing
from tsds_qdrant.representations.checkpoints.checkpoints import checkpoints_at, rate_weights
from tsds_qdrant.training.warm_up_part import PartSettings

VECTORS = np.random.default_rng(0).normal(size=(len(PAYLOADS), 3)).astype(np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return saved_model(tmp_path_factory.mktemp("lm"))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A directory with the collection ``pool``."""
    from tsds_qdrant.collections import create_collection

    with create_collection(str(tmp_path / "store"), "pool", dimension=3) as made:
        made.upsert(range(len(PAYLOADS)), VECTORS, PAYLOADS)
    return tmp_path / "store"


@pytest.fixture
def pool(store: Path) -> Iterator[Collection]:
    with open_collection(str(store), "pool") as opened:
        yield opened


def contents(directory: Path) -> dict[str, bytes]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def changed(collection: Collection) -> Any:
    ids = list(chain.from_iterable(collection.scroll_ids()))
    return [(one.id, one.payload) for one in collection.retrieve(ids)], collection.info().metadata


@pytest.mark.slow
def test_every_engine_is_only_read_and_gives_the_same(
    make_collection: MakeCollection, model: str, tmp_path: Path
) -> None:
    made = make_collection(vectors=VECTORS, payloads=PAYLOADS)
    before = changed(made)
    report = warmed(made, model, tmp_path / "warm", epochs=1)
    assert changed(made) == before
    assert (report.pool, report.trained, report.resumed) == (40, 10, 0)
    (epoch,) = report.epochs
    assert (epoch["epoch"], epoch["step"]) == (1, 3)
    plan = json.loads((tmp_path / "warm" / "warm-up.json").read_text())
    assert plan["ids"] == PartSettings(0.25, 1).of(range(40))
    known = json.loads((tmp_path / "warm" / "checkpoint-3" / "checkpoint.json").read_text())
    assert (known["pool"], known["trained"], known["part"]["seed"]) == (40, 10, 0)


@pytest.mark.slow
def test_the_loss_falls_and_checkpoints_weigh_by_their_rates(
    pool: Collection, model: str, tmp_path: Path
) -> None:
    report = warmed(pool, model, tmp_path / "warm")
    losses = [epoch["loss"] for epoch in report.epochs]
    assert losses[2] < losses[1] < losses[0]
    found = checkpoints_at([tmp_path / "warm"])
    assert [one.step for one in found] == [3, 6, 9]
    rates = [epoch["learning_rate"] for epoch in report.epochs]
    assert [one.learning_rate for one in found] == rates
    assert rate_weights(found) == pytest.approx([rate / sum(rates) for rate in rates])
    assert all(one.has_optimizer and one.base_model == model for one in found)
    again = warmed(pool, model, tmp_path / "warm")
    assert (again.resumed, again.epochs) == (3, report.epochs)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.5, 1.0])
def test_a_part_is_by_chance_of_seed_and_id(share: float) -> None:
    ids = list(range(1000))
    part = PartSettings(share, 20)
    chosen = part.of(ids)
    assert len(chosen) == max(20, int(share * 1000))
    assert chosen == sorted(chosen)
    mixed = np.random.default_rng(1).permutation(1000).tolist()
    assert sorted(part.of(mixed)) == chosen
    assert PartSettings(share, 20, seed=1).of(ids) != chosen or share == 1
    assert set(PartSettings(share / 2, 1).of(ids)) <= set(chosen)
    kept = set(part.of(ids[:900]))
    assert set(chosen) & set(ids[:900]) <= kept
    assert PartSettings(share, 5000).of(ids) == ids


@pytest.mark.slow
def test_stopped_in_every_epoch_it_ends_the_same(
    pool: Collection, model: str, tmp_path: Path
) -> None:
    warmed(pool, model, tmp_path / "whole")

    class StoppedError(Exception):
        """Something happens."""

    for done, stop in enumerate((4, 14, 14)):

        def progress(stage: str, learnt: int, total: int, stop: int = stop) -> None:
            if stage == "warm-up" and learnt >= stop:
                raise StoppedError

        with pytest.raises(StoppedError):
            warmed(pool, model, tmp_path / "often", progress=progress)
        assert len(list((tmp_path / "often").glob("checkpoint-*"))) == done
    assert warmed(pool, model, tmp_path / "often").resumed == 2
    assert contents(tmp_path / "often") == contents(tmp_path / "whole")


@pytest.mark.slow
def test_killed_in_every_epoch_it_ends_the_same(store: Path, model: str, tmp_path: Path) -> None:
    def run(out: str, *dying: int) -> int:
        words = [warm_pool.__file__, str(store), model, str(tmp_path / out), *map(str, dying)]
        return subprocess.run([sys.executable, *words], check=False).returncode

    assert run("whole") == 0
    for examples in (4, 14, 14):
        assert run("killed", examples) == -signal.SIGKILL
    assert len(checkpoints_at([tmp_path / "killed"])) == 2
    assert run("killed") == 0
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


@pytest.mark.slow
def test_a_draft_and_a_gap_are_made_good(pool: Collection, model: str, tmp_path: Path) -> None:
    warmed(pool, model, tmp_path / "whole")
    out = tmp_path / "again"
    shutil.copytree(tmp_path / "whole", out)
    shutil.rmtree(out / "checkpoint-6")
    (out / "checkpoint-6.part").mkdir()
    (out / "checkpoint-6.part" / "adapter_model.safetensors").write_bytes(b"half")
    assert warmed(pool, model, out).resumed == 1
    assert contents(out) == contents(tmp_path / "whole")


@pytest.mark.slow
def test_a_damaged_checkpoint_is_made_again_when_it_is_removed(
    pool: Collection, model: str, tmp_path: Path
) -> None:
    warmed(pool, model, tmp_path / "whole")
    out = tmp_path / "again"
    shutil.copytree(tmp_path / "whole", out)
    shutil.rmtree(out / "checkpoint-9")
    with (out / "checkpoint-6" / "adapter_model.safetensors").open("r+b") as stream:
        stream.truncate(99)
    with pytest.raises(Exception, match="remove that checkpoint, and it is made again"):
        warmed(pool, model, out)
    shutil.rmtree(out / "checkpoint-6")
    warmed(pool, model, out)
    assert contents(out) == contents(tmp_path / "whole")


@pytest.mark.slow
def test_what_is_ingested_meanwhile_is_no_matter(
    pool: Collection, model: str, tmp_path: Path
) -> None:
    warmed(pool, model, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "again")
    shutil.rmtree(tmp_path / "again" / "checkpoint-9")
    pool.upsert(range(100, 140), VECTORS, PAYLOADS)
    report = warmed(pool, model, tmp_path / "again")
    assert (report.pool, report.resumed) == (40, 2)
    assert contents(tmp_path / "again") == contents(tmp_path / "whole")


@pytest.mark.slow
def test_another_warm_up_is_never_continued(pool: Collection, model: str, tmp_path: Path) -> None:
    out = tmp_path / "warm"
    warmed(pool, model, out, epochs=1)
    before = contents(out)
    part = PartSettings(share=0.25, at_least=1, seed=2)
    field = Showing(TextTemplate(text_field="output"), dialogues=True)
    tries: list[tuple[dict[str, Any], str]] = [
        ({"rank": 3}, "training.rank"),
        ({"epochs": 2}, "training.epochs"),
        ({"epochs": 1, "part": part}, "part.seed"),
        ({"epochs": 1, "showing": field}, "text.text_field"),
        ({"epochs": 1, "where": {"must": [{"has_id": [1]}]}}, "part.filter"),
    ]
    for given, words in tries:
        with pytest.raises(StateError, match=rf"begun otherwise \({words}.*another --out"):
            warmed(pool, model, out, **{"epochs": 1, **given})
    for ids, rows in (([json.loads(before["warm-up.json"])["ids"][0]], PAYLOADS[-1:]),):
        pool.upsert(ids, VECTORS[:1], rows)
        with pytest.raises(StateError, match="were changed or deleted since it began"):
            warmed(pool, model, out, epochs=1)
        pool.delete(ids)
        with pytest.raises(StateError, match="were changed or deleted since it began"):
            warmed(pool, model, out, epochs=1)
    assert contents(out) == before
    (out / "warm-up.json").write_text("{")
    with pytest.raises(StateError, match="cannot be read"):
        warmed(pool, model, out, epochs=1)


def test_directories_of_others_are_left_alone(pool: Collection, model: str, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "thesis.tex").write_text("x")
    with pytest.raises(OutputError, match=r"holds other files \(thesis.tex\)"):
        warmed(pool, model, tmp_path / "theirs")
    for path in (tmp_path / "theirs" / "thesis.tex", tmp_path / "theirs" / "thesis.tex" / "deeper"):
        with pytest.raises(OutputError, match="cannot be a directory of checkpoints"):
            warmed(pool, model, path)
    assert contents(tmp_path / "theirs") == {"thesis.tex": b"x"}


def test_examples_without_an_answer_are_counted_and_left_out(
    pool: Collection, model: str, tmp_path: Path
) -> None:
    pool.upsert(range(100, 103), VECTORS[:3], [{"n": 1}, {"text": "plain text"}, {"text": ""}])
    where = {"must": [{"has_id": [1, 2, 100, 101, 102]}]}
    whole = PartSettings(share=1.0)
    report = warmed(pool, model, tmp_path / "warm", whole, where, epochs=1)
    assert (report.pool, report.trained, dict(report.without)) == (5, 3, {"no_text": 2})
    for ids, words in (
        ([100, 102], r"none of 2 candidates shows an answer to learn \(2: no_text\)"),
        ([77], "no candidate is there to be learnt"),
    ):
        where = {"must": [{"has_id": ids}]}
        with pytest.raises(InputError, match=words):
            warmed(pool, model, tmp_path / f"none-{ids[0]}", whole, where)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"share": 0.0}, "share is 0"),
        ({"share": 1.5}, "share is 1.5"),
        ({"share": float("nan")}, "share is nan"),
        ({"at_least": 0}, "at_least is 0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_parts_that_cannot_be_are_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        PartSettings(**given)
