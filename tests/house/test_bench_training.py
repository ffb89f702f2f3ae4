"""The benchmark of trainings: a killed run goes on to the same losses, and tables say no more."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench.training.gradients import ProjectedGradients
from bench.training.methods import METHODS, NAMES, pool_of
from bench.training.tables import Results, against, by_copies, by_task
from bench.training.texts import TASKS, VALIDATION, Sizes, Text, copied, drawn
from tiny_models import saved_model, tiny_model, tiny_tokenizer

SIZES = Sizes(per_class=12, task=6, held_out=6, budget=300)
CLASSES = [label for task in TASKS for label in task.labels] + ["other"]
OPTIONS = (
    *("--per-class", "12", "--task-examples", "6", "--held-out", "6", "--budget", "300"),
    *("--seeds", "2", "--copies", "3", "--rates", "1e-3", "3e-3", "--passes", "1", "2"),
    *("--layers", "1", "--device", "cpu", "--tasks", "medicine", "mixture", "--methods", *NAMES),
)


def made_texts() -> list[Text]:
    """Texts of letters, another for each class, as the tiny tokenizer reads them."""
    rng = np.random.default_rng(0)
    tokenizer = tiny_tokenizer()
    texts = []
    for number, label in enumerate(CLASSES):
        for _ in range(SIZES.per_class + SIZES.apart):
            words = [
                "".join(chr(97 + number + int(k)) for k in rng.integers(0, 4, 3)) for _ in "12345"
            ]
            said = " ".join(words)
            texts.append(Text(said, label, tokenizer(said, add_special_tokens=False)["input_ids"]))
    return texts


def made_vectors(texts: list[Text]) -> Any:
    """(n, 12) around a centre for each class."""
    rng = np.random.default_rng(1)
    rows = 0.3 * rng.normal(size=(len(texts), 12))
    rows[np.arange(len(texts)), [CLASSES.index(one.label) for one in texts]] += 1
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts, their vectors and a model of random weights."""
    place = tmp_path_factory.mktemp("bench")
    texts = made_texts()
    kept = place / f"windows-{SIZES.window}-{SIZES.per_class}-{SIZES.apart}.json"
    kept.write_text(json.dumps([vars(one) for one in texts]), encoding="utf-8")
    np.save(place / "vectors.npy", made_vectors(texts))
    saved_model(place / "model", tiny_model(layers=2), tiny_tokenizer())
    return place


def started(place: Path, name: str, *more: str) -> subprocess.Popen[str]:
    words = ("--cache", str(place), "--vectors", str(place / "vectors.npy"), *OPTIONS, *more)
    given = ("--model", str(place / "model"), "--results", str(place / name))
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-m", "bench.training.run", *words, *given],
        env={**os.environ, "PYTHONPATH": f"{root / 'scripts'}:{root}", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def losses(place: Path) -> dict[Any, Any]:
    rows = Results.read(place).rows
    return {(r["task"], r["seed"], r["copies"], r["method"]): r["loss"] for r in rows}


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_losses(place: Path) -> None:
    whole = started(place, "whole")
    shown, said = whole.communicate()
    assert whole.returncode == 0, said
    kills = 0
    while kills < 3:
        running = started(place, "killed")
        before = len([*(place / "killed").glob("*-*.json")])
        while running.poll() is None and len([*(place / "killed").glob("*-*.json")]) < before + 4:
            time.sleep(0.02)
        if running.poll() is None:
            running.send_signal(signal.SIGKILL)
            kills += 1
        running.communicate()
    partly = losses(place / "killed")
    assert 0 < len(partly) < len(losses(place / "whole"))
    reported = started(place, "killed", "--report")
    assert "| tsds |" in reported.communicate()[0]
    again = started(place, "killed", "--json", str(place / "all.json"))
    _, said = again.communicate()
    assert again.returncode == 0, said
    assert losses(place / "killed") == losses(place / "whole")
    assert losses(place / "killed").items() >= partly.items()
    rows = json.loads((place / "all.json").read_text(encoding="utf-8"))["trainings"]
    assert {row["method"] for row in rows} >= {*METHODS, "base", "class", "task examples alone"}
    assert all(row["tokens"] <= SIZES.budget for row in rows if "tokens" in row)
    trained = [row for row in rows if row["method"] == "class"]
    base = {(row["task"], row["seed"]): row["loss"] for row in rows if row["method"] == "base"}
    assert all(row["loss"] < base[row["task"], row["seed"]] for row in trained)
    assert "no difference" in shown or "higher" in shown or "lower" in shown


def test_what_is_trained_on_is_apart_from_what_is_measured_on() -> None:
    texts = made_texts()
    for task in TASKS:
        first, second = (drawn(texts, task, SIZES, seed) for seed in (0, 1))
        parts = [first.task, first.validation, first.held_out, first.pool]
        rows = [row for part in parts for row in part]
        assert len(rows) == len(set(rows))
        assert [len(part) for part in parts[:3]] == [SIZES.task, VALIDATION, SIZES.held_out]
        assert {texts[row].label for row in first.held_out} == set(task.labels)
        assert {*first.others} <= {*first.pool}
        assert first.validation == second.validation
        assert not {*first.validation} & {*second.task, *second.held_out, *second.pool}
        assert first.task != second.task


def test_gradients_are_those_of_each_text_projected_from_both_sides(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from bench.training.model import LastLayers

    from tsds_qdrant.representations.language.model import LanguageModel

    saved_model(tmp_path / "model", tiny_model(layers=2), tiny_tokenizer())
    model = LastLayers(LanguageModel(str(tmp_path / "model"), device="cpu"), 1, tmp_path)
    texts = [one.ids for one in made_texts()[:5]]
    found = model.gradients(texts)
    linears = [one for one in model._upper.modules() if isinstance(one, torch.nn.Linear)]
    matrices = ProjectedGradients(model._upper)._matrices
    model._upper.requires_grad_(True)
    for text, features in zip(texts, found, strict=True):
        model._upper.zero_grad()
        model._summed([text], model.states([text]))[0].backward()
        parts = [
            rows.T @ one.weight.grad @ columns
            for one, (rows, columns) in zip(linears, matrices, strict=True)
        ]
        truth = torch.cat([part.flatten() for part in parts]).numpy()
        np.testing.assert_allclose(features, truth / np.linalg.norm(truth), atol=0.01)
        assert abs(features @ truth) / np.linalg.norm(truth) > 0.99
    assert (found @ found.T)[0, 1] < 0.99


def test_copies_lie_near_their_originals_and_are_counted() -> None:
    texts = made_texts()
    vectors, drawing = made_vectors(texts), drawn(made_texts(), TASKS[0], SIZES, 0)
    originals = copied(drawing, 20, 0)
    assert len({*originals} & {*drawing.others}) == 10
    pool = pool_of(texts, vectors, drawing, originals=originals, copies=5, seed=0)
    assert len(pool.ids) == len(drawing.pool) + 100 == len(pool.vectors) == len(pool.payloads)
    for number, point in enumerate(pool.ids[len(drawing.pool) :]):
        away = np.linalg.norm(
            pool.vectors[len(drawing.pool) + number] - vectors[originals[number // 5]]
        )
        assert 0.0 < away <= 0.3
        assert point in pool.copied
    found = pool.selected(METHODS["similarity-max"], vectors[drawing.task], 200, 0)
    assert found.mass == pytest.approx(np.mean([one in pool.copied for one in found.ids]))


def rows_of(method: str, losses: list[float], **facts: Any) -> list[dict[str, Any]]:
    common = {"share": 0.5, "mass": 0.1, "texts": 9, "distinct": 9, "select_seconds": 0.1}
    return [
        {"method": method, "task": "medicine", "seed": seed, "copies": 0, "loss": loss, **common}
        | {"train_seconds": 20.0, **facts}
        for seed, loss in enumerate(losses)
    ]


def test_nothing_is_better_within_the_spread() -> None:
    ours = rows_of("tsds", [4.0, 4.2, 4.4])
    near = rows_of("round-robin", [3.9, 4.3, 4.3])
    far = rows_of("random", [5.0, 5.2, 5.3])
    under = rows_of("class", [3.8, 4.0, 4.1])
    results = Results(ours + near + far + under + rows_of("tsds", [4.1, 4.3, 4.5], copies=10))
    reference = results.of("tsds", copies=0)
    said = [
        against(results.of(one, copies=0), reference) for one in ("round-robin", "random", "class")
    ]
    assert said[0] == "-0.033 ± 0.115, no difference (2 of 3)"
    assert said[1] == "+0.967 ± 0.058, higher (0 of 3)"
    assert said[2] == "-0.233 ± 0.058, lower (3 of 3)"
    assert against(dict([*results.of("random", copies=0).items()][:1]), reference) == ""
    assert "| tsds | 4.200 ± 0.200 |" in "\n".join(by_task(results))
    assert "| tsds | 10 | 4.300 ± 0.200 |  | 9 | 9 | 10% | 0.1 | 20 |" in "\n".join(
        by_copies(results)
    )
