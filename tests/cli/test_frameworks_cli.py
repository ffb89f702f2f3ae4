"""Collections as frameworks make them: every command reads their texts without a flag."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from commands import rows_of, run
from embeddings_api import Api, serving
from framework_payloads import FRAMEWORKS, made_by
from hashed_words import HashedWords

from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.records.fields import field_values
from tsds_qdrant.representations.endpoint import KEY_VARIABLE

WORDS = ("bread", "court", "rain", "socket", "sea", "wheel")
TEXTS = [
    f"number {n} is about {WORDS[n % 6]} and {WORDS[(n * 5) % 6]} as far as anybody knows"
    for n in range(60)
]
TASK = [f"all about {WORDS[0]} and {WORDS[n % 3]}" for n in range(6)]


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with serving() as served:
        yield served


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", KEY_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    Path("task.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in TASK))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_from_check_to_training_file(name: str, place: Path, api: Api) -> None:
    made = FRAMEWORKS[name]
    made_by(name, place / "store", "c", HashedWords().encode(TEXTS), TEXTS).close()
    pool = ["--qdrant", "store", "--collection", "c"]
    told = json.loads(run("check", *pool, "--json").stdout)
    assert told["texts"]["examples"] == [text[:70].strip() for text in TEXTS[:3]]
    assert told["texts"]["points_with_text"] == 60
    assert (told["model_suggestion"] or {}).get("model", "") == made.model
    assert f"text: {made.text} (by the usual names" in run("check", *pool).stdout

    copied = TEXTS[6]
    Path("exam.jsonl").write_text(json.dumps({"text": copied}))
    asked = [*pool, "--queries", "task.jsonl", "--model", api.model, "--out", "o.jsonl"]
    done = run(
        *("select", *asked, "--size", 12, "--state", "r.run", "--report", "r.html"),
        *("--filter", f"{made.source}=news,mail", "--quota", f"{made.source}:0.5"),
        *("--exclude", "exam.jsonl", "--exclude-radius", 0, "--by", made.source),
    )
    assert "kept out 1 copies" in done.stderr or "1 equal in text" in done.stderr
    assert "cosine 1.000 to what is stored" in done.stderr
    said = [line for line in done.stderr.splitlines() if "does not say what the text" in line]
    assert len(said) == (made.text != "text")
    rows = rows_of("o.jsonl")
    sources = [field_values(row["payload"], made.source)[0] for row in rows]
    assert sources.count("news") == sources.count("mail") == 6
    assert 6 not in [row["id"] for row in rows]
    near = rows[0]["id"]
    assert f"  nearest   {rows[0]['distance']:.3f}  {TEXTS[near]}" in done.stderr

    assert f'"{TEXTS[near]}"' in run("explain", "r.run", "--rank", 0).stdout
    found = run("explain", "r.run", "--text", f"number {near} is about", "--json").stdout
    assert json.loads(found)["points"][0]["text"] == TEXTS[near]
    run("report", "r.run", "--out", "again.html", "--by", made.source)
    assert TEXTS[near] in Path("again.html").read_text()
    assert TEXTS[near] in Path("r.html").read_text()
    run("export", "r.run", "--format", "trl", "--out", "t.jsonl")
    assert [row["text"] for row in rows_of("t.jsonl")] == [TEXTS[row["id"]] for row in rows]
    run("export", "o.jsonl", "--format", "trl", "--out", "f.jsonl")
    assert rows_of("f.jsonl") == rows_of("t.jsonl")

    wanted = ["select", *asked, "--strategy", "dsir", "--size", 5]
    run(*wanted)
    assert sum("bread" in TEXTS[row["id"]] for row in rows_of("o.jsonl")) >= 3
    listed = run("strategies", *pool).stdout
    assert "no field that is known to hold its text" not in listed


@pytest.mark.slow
def test_a_field_that_nobody_has_is_named_before_anything_is_searched(
    place: Path, api: Api
) -> None:
    made_by("langchain", place / "store", "c", HashedWords().encode(TEXTS), TEXTS).close()
    asked = [
        *("select", "--qdrant", "store", "--collection", "c", "--size", 5, "--out", "o.jsonl"),
        *("--queries", "task.jsonl", "--model", api.model, "--state", "r.run"),
    ]
    fields = "its fields: page_content, metadata.source, metadata.page"
    meant = "did you mean 'metadata.source'?"
    for more in (
        ("--quota", "metadata.sauce:0.5"),
        ("--report", "r.html", "--by", "metadata.sauce"),
        ("--filter", "metadata.sauce=news"),
    ):
        failed = run(*asked, *more, code=1).stderr
        assert f"has the field 'metadata.sauce' that {more[-2]} names ({fields})" in failed
        assert meant in failed
        assert not Path("o.jsonl").exists()
    done = run(*asked, "--filter", "metadata.sauce!=news").stderr
    assert done.index("'metadata.sauce' that --filter names") < done.index("selected 5 of 60")
    for command in (("explain", "r.run", "--rank", 0), ("report", "r.run", "--out", "x.html")):
        failed = run(*command, "--text-field", "page_contents", code=1).stderr
        assert f"has the field 'page_contents' that --text-field names ({fields})" in failed
    told = run("explain", "r.run", "--rank", 0, "--text-field", "metadata.source").stdout
    assert '"news"' in told or '"mail"' in told


def test_fields_inside_json_text_are_named(place: Path, api: Api) -> None:
    """Where texts are read, and not where Qdrant filters, which does not look into them."""
    made_by("llama-index", place / "store", "c", HashedWords().encode(TEXTS), TEXTS).close()
    pool = ["--qdrant", "store", "--collection", "c"]
    np.save("q.npy", HashedWords().encode(TASK))
    asked = ["select", *pool, "--queries", "q.npy", "--size", 5, "--out", "o.jsonl"]
    failed = run(*asked, "--text-field", "_node_content.txt", code=1).stderr
    assert "has the field '_node_content.txt' that --text-field names" in failed
    assert "_node_content.metadata.source, _node_content.metadata.file_name" in failed
    assert "did you mean '_node_content.text'?" in failed
    failed = run(*asked, "--filter", "_node_content.text=news", code=1).stderr
    assert "(its fields: source, _node_content, _node_type, doc_id, ref_doc_id)" in failed


def test_the_field_of_task_examples_need_not_be_that_of_points(place: Path, api: Api) -> None:
    made_by("mcp", place / "store", "c", HashedWords().encode(TEXTS), TEXTS).close()
    Path("task.jsonl").write_text("\n".join(json.dumps({"question": text}) for text in TASK))
    done = run(
        *("select", "--qdrant", "store", "--collection", "c", "--size", 5, "--out", "o.jsonl"),
        *("--queries", "task.jsonl", "--text-field", "question", "--model", api.model),
    ).stderr
    assert "'document' is taken" in done
    assert f"  {TEXTS[rows_of('o.jsonl')[0]['id']]}" in done


def test_a_run_remembers_the_field_that_was_named(place: Path, api: Api) -> None:
    """What nobody could guess is read by all that take the run up, and exported."""
    with EdgeCollection.create("store", "c", dimension=32, metric="Cosine") as pool:
        payloads = [{"story": text, "title": f"title {n}"} for n, text in enumerate(TEXTS)]
        pool.upsert(range(len(TEXTS)), HashedWords().encode(TEXTS), payloads)
    Path("task.jsonl").write_text("\n".join(json.dumps({"story": text}) for text in TASK))
    task = ["--queries", "task.jsonl", "--model", api.model, "--out", "o.jsonl", "--size", 5]
    note = "no field is known to hold the texts of points (its fields: story, title)"
    assert note in run("check", "--qdrant", "store", "--collection", "c").stdout
    done = run(
        *("select", "--qdrant", "store", "--collection", "c", *task),
        *("--text-field", "story", "--state", "r.run"),
    ).stderr
    assert "does not say what the text" not in done
    first = TEXTS[rows_of("o.jsonl")[0]["id"]]
    assert f"  {first}" in done
    assert f'"{first}"' in run("explain", "r.run", "--rank", 0).stdout
    assert '"title ' in run("explain", "r.run", "--rank", 0, "--text-field", "title").stdout
    run("report", "r.run", "--out", "r.html")
    assert first in Path("r.html").read_text()
    run("export", "r.run", "--format", "trl", "--out", "t.jsonl")
    assert rows_of("t.jsonl")[0]["text"] == first


def test_a_pool_of_templates_is_exported_by_its_own(place: Path, api: Api) -> None:
    rows = [{"title": f"title {n}", "story": text, "text": "x"} for n, text in enumerate(TEXTS)]
    Path("pool.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pool = ["--qdrant", "store", "--collection", "c"]
    run("ingest", "pool.jsonl", *pool, "--template", "{title}: {story}", "--model", api.model)
    task = ["--queries", "task.jsonl", "--template", "{text}", "--size", 4, "--out", "o.jsonl"]
    run("select", *pool, *task, "--state", "r.run")
    run("export", "r.run", "--format", "trl", "--out", "t.jsonl")
    written = [row["text"] for row in rows_of("t.jsonl")]
    shown = [row["payload"] for row in rows_of("o.jsonl")]
    assert written == [f"{row['title']}: {row['story']}" for row in shown]
