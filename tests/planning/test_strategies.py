"""The catalogue of strategies, by the library and by the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qdrant_edge as edge
from commands import run
from marked import marks
from plain_strategies import OF_KINDS, UNMARKED
from pool_oracle import clustered_rows, edge_pool, near_queries

from tsds_qdrant import (
    SelectionSettings,
    TaskExamples,
    catalogue,
    create_collection,
    open_collection,
    select,
)
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import Metric
from tsds_qdrant.errors import TsdsError
from tsds_qdrant.planning.strategies import Listing
from tsds_qdrant.strategies.catalog import CATALOG, strategy_class

ROWS = clustered_rows(60, 6, 4)
QUERIES = near_queries(ROWS, 4)
TEXTS = [{"text": f"word{k % 9} and more"} for k in range(60)]
LIGHT = """
import sys
from typer.testing import CliRunner
from tsds_qdrant.cli import app
done = CliRunner().invoke(app, ["strategies"])
assert done.exit_code == 0, done.output
heavy = {"torch", "sentence_transformers", "qdrant_client", "qdrant_edge", "grpc", "httpx"}
assert not heavy & {name.split(".")[0] for name in sys.modules}
"""


def by_name(collection: Collection) -> dict[str, Listing]:
    return {listing.name: listing for listing in catalogue(collection)}


def test_every_strategy_is_listed() -> None:
    listings = catalogue()
    assert [listing.name for listing in listings] == list(CATALOG)
    for listing in listings:
        card = strategy_class(listing.name).card
        assert listing.card is card
        assert listing.usable is None
        assert all([card.idea, card.cost, card.features, card.criterion, card.passes])
    needs = {listing.name: listing.needs for listing in listings}
    assert needs["tsds"] == ("vectors",)
    assert needs["random"] == ()
    assert needs["dsir"] == ("texts of candidates and task examples",)
    assert needs["similarity-mean"] == ("vectors", "one of the metrics Cosine, Euclid, Dot")


@pytest.mark.parametrize("metric", ["Cosine", "Manhattan"])
@pytest.mark.parametrize("payloads", [TEXTS, [{"n": k} for k in range(60)]])
def test_what_is_said_to_be_usable_is(metric: Metric, payloads: list[dict[str, Any]]) -> None:
    task = TaskExamples(QUERIES.astype(np.float32), ["word1", "word2", "more", "and"], np.ones(4))
    with edge_pool(ROWS, metric, payloads=payloads) as pool:
        for name, listing in by_name(pool).items():
            try:
                select(pool, task, SelectionSettings.of(name, sizes=(5,)))
                worked = True
            except TsdsError:
                worked = False
            usable = worked and name not in OF_KINDS  # which a function gives any vectors
            assert listing.usable == usable, name
            assert bool(listing.lacking) != usable


def test_reasons_say_what_is_lacking() -> None:
    with edge_pool(ROWS, "Manhattan", payloads=[{"n": k} for k in range(60)]) as pool:
        listings = by_name(pool)
    assert listings["similarity-mean"].lacking == (
        "the metric is Manhattan; it works with Cosine, Euclid, Dot",
    )
    assert "point 0 has no field that is known to hold its text" in str(listings["dsir"].lacking)
    assert listings["random"].lacking == ()


def test_the_texts_that_the_collection_names_are_tried(tmp_path: Path) -> None:
    stored = {"text": {"text_field": "body"}}
    with create_collection(
        str(tmp_path), "pool", dimension=6, metric="Cosine", metadata=stored
    ) as pool:
        assert by_name(pool)["random"].lacking == ("collection 'pool' holds no point; ingest some",)
        pool.upsert([0, 1], ROWS[:2].astype(np.float32), [{"body": "some words"}, {"text": "no"}])
        assert "point 1 has no field 'body'" in str(by_name(pool)["dsir"].lacking)
        pool.delete([1])
        assert all(one.usable == (one.name in UNMARKED) for one in catalogue(pool))


def test_points_without_the_vector_are_noticed(tmp_path: Path) -> None:
    kinds = {name: edge.EdgeVectorParams(6, edge.Distance.Cosine) for name in ("text", "image")}
    shard = edge.EdgeShard.create(str(tmp_path / "pool"), edge.EdgeConfig(vectors=kinds))
    points = [edge.Point(k, {"text": ROWS[k].tolist()}, TEXTS[k]) for k in range(60)]
    shard.update(edge.UpdateOperation.upsert_points(points))
    shard.close()
    with open_collection(str(tmp_path), "pool", vector="image") as pool:
        listings = by_name(pool)
        assert "none of 60 points looked at has a vector 'image'" in str(listings["tsds"].lacking)
        assert listings["dsir"].usable
    with open_collection(str(tmp_path), "pool", vector="text") as pool:
        assert all(one.usable == (one.name in UNMARKED) for one in catalogue(pool))


def test_the_command_lists_the_catalogue() -> None:
    done = run("strategies", COLUMNS="250")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["strategy", "needs", "cost", "paper"]
    assert [line.split()[0] for line in lines[1:]] == list(CATALOG)
    assert "arXiv 2410.11303" in lines[1]
    assert "name a collection" in done.stderr
    long = run("strategies", "--long", COLUMNS="250").stdout
    assert long.startswith(done.stdout)
    for listing in catalogue():
        assert listing.card.criterion in long


def test_json_holds_all_of_it() -> None:
    done = run("strategies", "--json")
    assert done.stderr == ""
    assert json.loads(done.stdout) == [listing.as_dict() for listing in catalogue()]
    first = json.loads(done.stdout)[0]
    assert first["survey"]["task_aware"]
    assert first["survey"]["trained_models"] == 0
    assert first["usable"] is first["lacking"] is None


def test_the_command_says_what_a_collection_has(tmp_path: Path) -> None:
    place = ("--qdrant", tmp_path, "--collection", "pool")
    with create_collection(str(tmp_path), "pool", dimension=6, metric="Manhattan") as pool:
        pool.upsert(range(60), ROWS.astype(np.float32), TEXTS)
    done = run("strategies", *place, COLUMNS="250")
    assert done.stderr == ""
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert "the metric is Manhattan" in lines["similarity-mean"]
    assert " yes " in lines["dsir"]
    shown = json.loads(run("strategies", *place, "--json").stdout)
    usable = {one["name"]: one["usable"] for one in shown}
    manhattan = {"similarity-mean"}
    assert usable == {name: name in UNMARKED and name not in manhattan for name in CATALOG}
    told = {one["name"]: " ".join(one["lacking"]) for one in shown}
    for name, kind in {"less": "gradient", "rose": "gradient", "rds": "hidden"}.items():
        assert f"'represent {kind}' has not been run for it" in told[name]
    assert "has _tsds_made.hidden.loss: 'represent' makes it" in told["window"]
    with open_collection(str(tmp_path), "pool") as pool:
        pool.set_payload("_tsds_made", range(60), [marks(k)["_tsds_made"] for k in range(60)])
        assert all(by_name(pool)[name].usable for name in ("window", "adapt"))


def test_a_collection_needs_a_place() -> None:
    done = run("strategies", "--collection", "pool", code=2, TSDS_QDRANT="")
    assert "it is not said where collection 'pool' is; give --qdrant too" in done.stderr


def test_the_plain_table_loads_no_model_and_no_engine() -> None:
    subprocess.run([sys.executable, "-c", LIGHT], check=True)
