"""Three domains and a task of one, seen by a tiny trained model: who finds it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from commands import rows_of, run
from planted import COUNTS, SOURCES, WANTED, Planted, planted_pool

from tsds_qdrant import SelectionSettings, select
from tsds_qdrant.selection.results import manifest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planted]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        with planted_pool(tmp_path_factory.mktemp("planted")) as made:
            yield made


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planted]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        place = tmp_path_factory.mktemp("answers")
        with planted_pool(place, ["gradient"], dialogues=True) as made:
            yield made


@pytest.mark.parametrize(
    ("space", "settings"),
    [
        ("loss-gradient", {}),
        ("loss-gradient", {"ridge": 1.0}),
        ("margin-gradient", {}),
        ("gradient", {}),
    ],
)
def test_dsdm_finds_the_wanted_domain(
    planted: Planted, space: str, settings: dict[str, float]
) -> None:
    with planted.open(space) as pool:
        wanted = SelectionSettings.of("dsdm", sizes=(100,), **settings)
        found = select(pool, planted.task(pool, wanted.strategy.way), wanted)
    assert planted.precision(found.selected_ids) >= 3 * planted.base_rate


@pytest.mark.parametrize("space", ["gradient", "whitened"])
@pytest.mark.parametrize("strategy", ["less", "rds", "tarot", "tsds"])
def test_strategies_on_gradients_find_the_wanted_domain(
    planted: Planted, strategy: str, space: str
) -> None:
    wanted = SelectionSettings.of(strategy, sizes=(100,))
    with planted.open(space) as pool:
        found = select(pool, planted.task(pool, wanted.strategy.way), wanted)
    assert len(found.selected_ids) == 100
    assert planted.precision(found.selected_ids) >= 3 * planted.base_rate


def test_chance_does_not_find_it(planted: Planted) -> None:
    with planted.open("gradient") as pool:
        found = select(pool, planted.task(pool), SelectionSettings.of("random", sizes=(100,)))
    assert planted.precision(found.selected_ids) < 2 * planted.base_rate


@pytest.mark.parametrize("other", ["tales", "code"])
def test_rose_goes_towards_the_chosen_style_and_away_from_the_rejected(
    answers: Planted, other: str
) -> None:
    """Of a third style the pairs say nothing, and it fills what the wanted one leaves."""
    asked, rate = SelectionSettings.of("rose", sizes=(100,)), COUNTS[other] / len(answers.domains)
    with answers.open("gradient") as pool:
        found = select(pool, answers.preferences(pool, WANTED, other), asked).selected_ids
        turned = select(pool, answers.preferences(pool, other, WANTED), asked).selected_ids
    assert answers.precision(found) >= 3 * answers.base_rate
    assert answers.precision(found, other) <= rate / 2
    assert answers.precision(turned) < answers.base_rate


@pytest.mark.parametrize("choice", ["greedy", "ensemble"])
def test_gradex_ranks_the_wanted_source_first_of_eight(planted: Planted, choice: str) -> None:
    space = "margin-gradient"
    with planted.open(space) as pool:
        wanted = SelectionSettings.of("gradex", sizes=(60,), source="source", choice=choice)
        found = select(pool, planted.task(pool, wanted.strategy.way), wanted)
    table = manifest(found, queries={})["sources"]["table"]
    assert len(table) == SOURCES
    assert table[0]["source"] == "s0"
    assert planted.precision(found.selected_ids) == 1.0


def test_margins_of_the_task_come_with_its_records(planted: Planted) -> None:
    """A record of the pool has as a task example the margin that it has as a candidate."""
    space = "margin-gradient"
    with planted.open(space) as pool:
        ids = [*range(5)]
        stored = pool.retrieve(ids)
        marks = [one.payload["_tsds_made"][space]["margin"] for one in stored]
        texts = [one.payload["text"] for one in stored]
    before = (planted.place / "task.jsonl").read_text()
    try:
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        (planted.place / "task.jsonl").write_text(lines)
        task = planted.task(space, way="with_margins")
    finally:
        (planted.place / "task.jsonl").write_text(before)
    assert task.margins == pytest.approx(np.array(marks), abs=1e-4)
    assert planted.task(space).margins is None
    assert planted.task("loss-gradient", way="with_margins").margins is None


def test_the_commands_choose_the_vectors_and_say_what_they_found(
    planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(planted.place)
    place = ("--qdrant", "store", "--collection", "pool", "--queries", "task.jsonl", "--size", 60)
    chosen = ("--vector", "loss-gradient")
    said = run("select", *place, *chosen, "--strategy", "dsdm", "--out", "d.jsonl").stderr
    assert "datamodel of the loss: kernel" in said
    facts = json.loads(Path("d.jsonl.manifest.json").read_text())
    assert facts["datamodel"]["kernel"]["points"] == len(planted.domains)
    assert facts["samples"]["60"]["predicted_loss_change"] < 0
    run("select", *place, "--strategy", "gradex", "--source", "source", "--out", "g.jsonl")
    facts = json.loads(Path("g.jsonl.manifest.json").read_text())
    assert facts["collection"]["vector"] == "margin-gradient"
    assert facts["sources"]["margins"] == "known"
    assert planted.precision([row["id"] for row in rows_of("g.jsonl")]) == 1.0
