"""What comes back: the caller's own rows, with columns of the selection, and a page."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from commands import rows_of
from letter_counts import counted, made_up

from tsds_qdrant import Selected, select_from
from tsds_qdrant.errors import MissingPackageError, OutputError, SettingsError

TEXTS = made_up(40)
OURS = ["rank", "probability", "weight", "query", "distance"]


def of(pool: Any, size: Any = 8, **more: Any) -> Selected:
    return select_from(pool, TEXTS[:4], size, model=counted, keep_task_examples=True, **more)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {"text": TEXTS, "rank": range(40), "when": pd.Timestamp("2024-02-29")},
        index=pd.Index([f"r{k}" for k in range(40)], name="key"),
    )


def test_a_frame_comes_back_as_it_was_with_new_columns(frame: pd.DataFrame) -> None:
    before = frame.copy()
    found = of(frame)
    back = found.to_pandas()
    own = back[["text", "rank", "when"]]
    pd.testing.assert_frame_equal(own, frame.iloc[found.indices])
    assert back["tsds_rank"].tolist() == list(range(8))
    assert back["id"].tolist() == found.ids
    for name in ("probability", "query", "distance"):
        assert back[name].tolist() == [row[name] for row in found.rows]
    assert [row["index"] for row in found.rows] == back.index.tolist()
    assert frame.loc[[row["index"] for row in found.rows], "text"].tolist() == own["text"].tolist()
    pd.testing.assert_frame_equal(frame, before)


def test_an_index_may_repeat_or_have_levels(frame: pd.DataFrame) -> None:
    for index in (["same"] * 40, pd.MultiIndex.from_product([range(8), range(5)])):
        found = of(frame.set_axis(index, axis=0))
        back = found.to_pandas()
        assert back["text"].tolist() == [TEXTS[row] for row in found.indices]
        assert [row["index"] for row in found.rows] == back.index.tolist()


@pytest.mark.slow
def test_every_pool_becomes_a_frame_of_each_package() -> None:
    polars, datasets = pytest.importorskip("polars"), pytest.importorskip("datasets")
    rows = [{"text": text, "deep": {"n": k}} for k, text in enumerate(TEXTS)]
    pools = {
        "texts": TEXTS,
        "records": rows,
        "series": pd.Series(TEXTS, name="text"),
        "pandas": pd.DataFrame(rows),
        "polars": polars.DataFrame(rows),
        "arrow": pa.Table.from_pylist(rows),
        "dataset": datasets.Dataset.from_list(rows),
        "streaming": datasets.Dataset.from_list(rows).to_iterable_dataset(),
    }
    for name, pool in pools.items():
        found = of(pool)
        texts = [TEXTS[row] for row in found.indices]
        deep = [{"n": row} for row in found.indices.tolist()]
        frames = found.to_pandas(), found.to_polars().to_dicts(), found.to_dataset().to_list()
        for back in (frames[0].to_dict("records"), *frames[1:]):
            assert [row["text"] for row in back] == texts, name
            assert [row["rank"] for row in back] == list(range(8))
            assert [row["distance"] for row in back] == [row["distance"] for row in found.rows]
            if name not in ("texts", "series"):
                assert [row["deep"] for row in back] == deep, name
        assert frames[0].index.tolist() == found.indices.tolist()
        for back in frames[1:]:
            assert [row["index"] for row in back] == found.indices.tolist()


def test_features_of_a_dataset_stay() -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])}
    )
    rows = {"text": TEXTS, "label": [k % 2 for k in range(40)]}
    back = of(datasets.Dataset.from_dict(rows, features=features)).to_dataset()
    assert back.features["label"].names == ["no", "yes"]


def test_vectors_alone_come_back_as_numbers_of_rows() -> None:
    pool = np.random.default_rng(0).normal(size=(50, 4))
    found = select_from(pool, pool[:3], 6, strategy="similarity-mean")
    back = found.to_pandas()
    assert back.index.tolist() == back["id"].tolist() == found.indices.tolist()
    assert back["probability"].isna().all()
    assert list(back.columns) == ["id", *OURS]
    assert found.to_dataset().column_names == ["index", "id", *OURS]


def test_samples_of_several_sizes() -> None:
    found = of(TEXTS, (3, 9))
    assert len(found) == len(found.rows) == 9
    smaller = found.of_size(3)
    assert len(smaller) == 3
    assert set(smaller.ids) <= set(found.ids)
    with pytest.raises(SettingsError, match=r"no sample of size 4; those drawn are 3, 9"):
        found.of_size(4)
    assert len(of(TEXTS, None, ratio=0.1)) == 4


class Cells(HTMLParser):
    """The texts and the elements of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_a_notebook_shows_the_first_rows_and_escapes_them() -> None:
    evil = [f"<script>alert({k})</script> & {text}" for k, text in enumerate(TEXTS)]
    pool = pd.DataFrame({"text": evil}, index=[f"<b>{k}</b>" for k in range(40)])
    found = of(pool, 12)
    shown = Cells(found._repr_html_())
    assert not {"script", "b"} & set(shown.tags)
    assert shown.tags.count("tr") == 11
    for row in found.rows[:10]:
        assert row["index"] in shown.texts
        assert row["payload"]["text"] in shown.texts
    assert "and 2 more" in shown.texts
    assert repr(found) == f"Selected({shown.texts[0]})"
    assert repr(found).startswith("Selected(12 of 40 for 4 task examples, by tsds; mean distance")


def test_a_long_text_is_cut_where_it_is_shown() -> None:
    found = of([*TEXTS, "abc " * 500], 41, alpha=1e-6)
    assert max(map(len, Cells(found._repr_html_()).texts)) < 170


def test_what_was_left_out_is_said() -> None:
    found = of([*TEXTS, "", None], on_bad_record="skip")
    assert "left out 2 rows that cannot be used" in found.notes
    assert found.notes[0] in Cells(found._repr_html_()).texts
    assert of(TEXTS).notes == ()


def test_the_page_and_the_files_are_those_of_the_command_line(tmp_path: Path) -> None:
    found = of(pd.DataFrame({"text": TEXTS, "half": [k % 2 for k in range(40)]}))
    found.report(tmp_path / "r.html", by="half")
    assert found.rows[0]["payload"]["text"] in (tmp_path / "r.html").read_text("utf-8")
    with pytest.raises(OutputError, match=r"let it end in \.html"):
        found.report(tmp_path / "r.txt")
    written = found.write(tmp_path / "out.jsonl", tmp_path / "p.csv")
    assert [path.name for path in written] == ["out.jsonl", "p.csv", "out.jsonl.manifest.json"]
    mine = [{k: v for k, v in row.items() if k != "index"} for row in found.rows]
    assert rows_of(tmp_path / "out.jsonl") == mine
    kept = json.loads((tmp_path / "out.jsonl.manifest.json").read_text())
    assert kept["settings"] == json.loads(json.dumps(found.manifest["settings"]))
    assert kept["queries"]["source"] == "a list"


@pytest.mark.parametrize("package", ["pandas", "polars", "datasets"])
def test_a_package_that_is_missing_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = of(TEXTS)
    monkeypatch.setitem(__import__("sys").modules, package, None)
    method = {"datasets": "dataset"}.get(package, package)
    with pytest.raises(MissingPackageError, match=f"run: pip install {package}"):
        getattr(found, f"to_{method}")()


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["round-robin", "similarity-max", "random", "tarot", "uot"])
def test_every_strategy_gives_rows_and_a_page(strategy: str, tmp_path: Path) -> None:
    found = of(TEXTS, 5, strategy=strategy)
    assert len(found.to_pandas()) == 5
    found.report(tmp_path / "r.html")
    assert (tmp_path / "r.html").stat().st_size > 1000
