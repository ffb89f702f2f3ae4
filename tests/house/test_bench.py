"""The benchmark measures what it says: its truth, its plain pipeline, its bytes, its tables."""

from __future__ import annotations

import json
import warnings
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench.pools import clustered_pool, synthetic, taken_from
from bench.speed.clock import Timing, alternate
from bench.speed.plain import PlainPipeline, fill_by_heap, ivf_over
from bench.speed.run import cases_of, main, options_of
from bench.speed.tables import report
from bench.speed.traffic import MeteredCollection
from bench.speed.truth import brute_force
from bench.speed.wire import grpc_hits, grpc_points, rest_hits, rest_points
from oracles import brute_force_probabilities
from pool_oracle import edge_pool

from tsds_qdrant.collections.server.answers import read_grpc, read_rest
from tsds_qdrant.collections.values import Record

TASK = {"alpha": 0.5, "cost_scale": 1.0, "bandwidth": 0.6}
EVERYTHING = 1_000


@pytest.fixture(scope="module")
def pool() -> tuple[Any, Any]:
    return clustered_pool(600, 12, dimension=16)


@pytest.fixture(scope="module")
def faiss() -> None:
    if find_spec("faiss") is None:
        pytest.skip("faiss is not installed; pip install '.[bench]'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of SWIG, at the first import
        import faiss
    faiss.omp_set_num_threads(1)  # threads that wait for a busy core cost more than they bring


def test_the_truth_is_that_of_the_other_oracle(pool: tuple[Any, Any]) -> None:
    truth = brute_force(*pool, **TASK, depth=8)
    assert truth.depth > 8
    theirs = brute_force_probabilities(*pool, *TASK.values(), "Cosine")
    assert truth.probabilities == pytest.approx(theirs, abs=1e-12)


def test_an_alpha_without_truth_is_refused(pool: tuple[Any, Any]) -> None:
    with pytest.raises(ValueError, match=r"alpha 0\.001 is too small for 600 candidates"):
        brute_force(*pool, alpha=0.001, cost_scale=1.0, bandwidth=0.6)


@pytest.mark.usefixtures("faiss")
def test_the_plain_pipeline_is_the_truth_where_it_sees_everything(pool: tuple[Any, Any]) -> None:
    vectors, queries = pool
    index = ivf_over(vectors, probes=EVERYTHING)
    seeing = {"depth": len(vectors), "neighbors": len(vectors), "probes": EVERYTHING}
    found = PlainPipeline(vectors, index, **seeing).select(queries, **TASK)
    truth = brute_force(vectors, queries, **TASK).probabilities
    assert np.abs(found.probabilities - truth).sum() / 2 < 1e-6
    assert (len(found.union), found.neighbors, found.share) == (600, 7_200, 1.0)


@pytest.mark.usefixtures("faiss")
def test_a_sample_of_its_densities_changes_nothing_but_the_clock(pool: tuple[Any, Any]) -> None:
    vectors, queries = pool
    plain = PlainPipeline(vectors, ivf_over(vectors), sampled=50, whole=0)
    part, whole = (plain.select(queries, complete=complete, **TASK) for complete in (False, True))
    assert part.share == 50 / len(part.union)
    assert whole.share == 1.0
    assert part.probabilities.tolist() == whole.probabilities.tolist()


def test_a_list_that_ends_early_gives_its_rest_to_its_last() -> None:
    lists = np.array([[0, 1, -1], [1, 2, 3]])
    distances = np.array([[0.1, 0.2, np.inf], [0.1, 0.2, 0.9]])
    filled = fill_by_heap(lists, distances, np.ones(4), 0.6)
    # s = 1 costs 0.1 + 0.1, s = 2 costs 1.4 more; the first row has no third candidate.
    assert filled.dry
    assert filled.threshold == 2.0
    assert filled.probabilities.tolist() == [0.25, 0.5, 0.25, 0.0]
    assert not fill_by_heap(lists, distances, np.ones(4), 0.15).dry


def test_bytes_are_those_counted_by_hand() -> None:
    with edge_pool([[3.0, 4.0], [0.0, 1.0], [1.0, 0.0]], ids=[1, 2, 3]) as collection:
        metered = MeteredCollection(collection)
        metered.search(np.array([[0.0, 1.0], [1.0, 0.0]], dtype=np.float32), limit=2, exact=True)
        sent = (
            '{"searches":[{"query":[0.0,1.0],"limit":2,"with_payload":false,"with_vector":false,'
            '"params":{"exact":true,"quantization":{"rescore":true}}},'
            '{"query":[1.0,0.0],"limit":2,"with_payload":false,"with_vector":false,'
            '"params":{"exact":true,"quantization":{"rescore":true}}}]}'
        )
        received = (
            '{"result":[{"points":[{"id":2,"version":100,"score":0.0},'
            '{"id":3,"version":100,"score":1.4142135}]},'
            '{"points":[{"id":3,"version":100,"score":0.0},'
            '{"id":2,"version":100,"score":1.4142135}]}],"status":"ok","time":0.00123}'
        )
        assert metered.traffic.rest_sent == len(sent)
        assert metered.traffic.rest_received == len(received)
        # A hit: id 2 + 2, score 1 + 4 unless 0, version 1 + 1, all in 2; two of them in 2; time 9.
        assert metered.traffic.grpc_received == 2 * (2 + (2 + 6) + (2 + 11)) + 9
        searched = metered.traffic.grpc_received
        metered.retrieve([1, 2, 4], payloads=False, vectors=True)
        read = '{"ids":[1,2,4],"with_payload":false,"with_vector":true}'
        found = (
            '{"result":[{"id":1,"vector":[3.0,4.0]},{"id":2,"vector":[0.0,1.0]}],'
            '"status":"ok","time":0.00123}'
        )
        assert metered.traffic.rest_sent == len(sent) + len(read)
        assert metered.traffic.rest_received == len(received) + len(found)
        # Two floats 2 + 8, in a dense vector 3, a vector 2 and a field 2; the id 4; all in 2.
        assert metered.traffic.grpc_received - searched == 2 * (2 + 4 + 2 + 2 + 3 + 10) + 9
        assert metered.traffic.requests == 2
        assert metered.calls[0].rows == 2


def test_written_answers_are_read_as_what_they_were() -> None:
    uuid = "0d0e9c7e-41f4-8a2c-9d0b-2f6b3f7a1c55"
    hits = [[(7, 0.123456789), (uuid, 1e-3)], [], [(2**63, -0.5)]]
    for answer in (read_rest(json.loads(rest_hits(hits))), read_grpc(grpc_hits(hits))):
        assert answer.ids == [7, uuid, 2**63]
        assert answer.counts.tolist() == [2, 0, 1]
        assert answer.scores == pytest.approx([0.123456789, 1e-3, -0.5])
    vector = np.array([0.1, 0.2], dtype=np.float32)
    points = json.loads(rest_points([Record(7, {}, vector), Record(uuid, {})]))["result"]
    assert np.float32(points[0]["vector"]).tolist() == vector.tolist()
    assert points[1] == {"id": uuid}
    message = grpc_points([Record(7, {}, vector)]).result[0]
    assert list(message.vectors.vector.dense.data) == vector.tolist()


def test_contenders_take_turns_until_patience_ends() -> None:
    turns: list[str] = []

    def runner(name: str, seconds: float) -> Any:
        def run() -> tuple[float, int]:
            turns.append(name)
            return seconds, len(turns)

        return run

    done = alternate({"a": runner("a", 1.0), "b": runner("b", 2.0)}, 3, 60.0)
    assert turns == ["a", "b"] * 3
    assert done["b"] == (Timing((2.0, 2.0, 2.0)), 6)
    turns.clear()
    alternate({"a": runner("a", 1.0)}, 3, patience=0.0)
    assert turns == ["a"]
    assert str(Timing((2.0, 1.0, 4.0))) == "2.00 s (1.00-4.00)"
    assert str(Timing((123.4,))) == "123 s (1 run)"


def test_task_examples_are_taken_out_of_ready_vectors(tmp_path: Path) -> None:
    rows, _ = clustered_pool(500, 1, dimension=16)
    np.save(tmp_path / "ready.npy", 3 * rows)
    ready = taken_from(tmp_path / "store", tmp_path / "ready.npy")
    again = taken_from(tmp_path / "store", tmp_path / "ready.npy")
    assert len(ready.vectors) + len(ready.queries) == 500
    both = np.concatenate([ready.vectors, ready.queries])
    assert both[np.lexsort(both.T)] == pytest.approx(rows[np.lexsort(rows.T)], abs=1e-6)
    assert again.directory == ready.directory
    assert again.queries.tolist() == ready.queries.tolist()


def test_the_full_form_varies_one_thing_at_a_time(tmp_path: Path) -> None:
    pools = [synthetic(tmp_path, size, 8) for size in (200, 300)]
    cases = cases_of(pools, full=True)
    found = [(len(case.pool.vectors), case.examples, case.alpha) for case in cases]
    assert found[:2] == [(200, 200, 0.5), (300, 200, 0.5)]
    assert found[2:] == [(300, 10, 0.5), (300, 2_000, 0.5), (300, 200, 0.1), (300, 200, 0.95)]
    assert options_of(["--full"]).sizes == (10_000, 100_000, 1_000_000)
    assert options_of([]).sizes == (10_000, 100_000)


@pytest.mark.slow
@pytest.mark.usefixtures("faiss")
def test_one_run_from_end_to_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    file, store = tmp_path / "found.json", tmp_path / "store"
    words = ["--sizes", "600", "--dimension", "16", "--repeats", "1", "--store", str(store)]
    main([*words, "--json", str(file)])
    shown = capsys.readouterr().out
    found = json.loads(file.read_text(encoding="utf-8"))
    (case,) = found["cases"]
    assert [row["what"].split(" (")[0] for row in case["rows"]] == [
        "select",
        "select --exact",
        "plain pipeline",
    ]
    assert case["rows"][1]["variation"] < 1e-6
    assert case["rows"][2]["times"] == 1.0
    assert all(size > 2**20 for size in case["memory"].values())
    assert 0 < case["traffic"]["ours"]["grpc"] < case["traffic"]["ours"]["rest"]
    assert found["growth"][0]["ratio"] == 1.0
    assert found["ingest"]["ratio"] > 0
    assert found["reselect"][0]["came"] == 6
    assert found["reselect"][0]["variation"] < 1e-6
    for title in ("Selection, index ready", "Peak memory", "Ingest of ready vectors"):
        assert f"\n### {title}\n\n| " in shown
    widths = {len(line.split(" | ")) for line in shown.splitlines() if " scan, " in line}
    assert len(widths) <= 1
    assert (store / "clusters-600x16" / "qdrant" / "seconds.json").is_file()


def test_an_empty_section_is_left_out() -> None:
    nothing = {"machine": {"cores": 2, "processor": "", "load": [], "python": "", "versions": {}}}
    lines = report({**nothing, "cases": [], "growth": [], "ingest": None, "reselect": []})
    assert len(list(lines)) == 1


def modules_of_benchmarks() -> list[str]:
    scripts = Path(__file__).parents[2] / "scripts"
    paths = (scripts / "bench").rglob("*.py")
    return sorted(".".join(path.relative_to(scripts).with_suffix("").parts) for path in paths)


@pytest.mark.parametrize("module", modules_of_benchmarks())
def test_every_benchmark_can_be_imported(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if module.startswith("bench.same"):  # they are run by their path
        module = module.removeprefix("bench.")
        monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "scripts" / "bench"))
    assert import_module(module).__doc__
