"""Datasets by name: a local directory goes the way that a dataset of the hub goes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from record_files import refusal, written

from tsds_qdrant.errors import InputError, MissingPackageError
from tsds_qdrant.records import count_records, read_records

pytest.importorskip("datasets")
pytestmark = pytest.mark.filterwarnings("default")
CONFIGS = """---
configs:
- config_name: en
  data_files: [{split: train, path: en.jsonl}, {split: test, path: en2.jsonl}]
- config_name: fr
  data_files: fr.jsonl
---
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("datasets.config.HF_MODULES_CACHE", str(tmp_path / "modules"))


def lines(path: Path, *texts: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    written(path, "".join(json.dumps({"text": text, "n": 1}) + "\n" for text in texts))


def texts_of(source: str) -> list[str]:
    return [record["text"] for record in read_records(source)]


def test_splits(tmp_path: Path) -> None:
    lines(tmp_path / "one" / "train.jsonl", "a", "b")
    lines(tmp_path / "two" / "train.jsonl", "a")
    lines(tmp_path / "two" / "test.jsonl", "b")
    one, two = f"hf:{tmp_path}/one", f"hf:{tmp_path}/two"
    assert texts_of(one) == texts_of(f"{one}:train") == ["a", "b"]
    message = refusal(two)
    assert "has the 2 splits train, test; name one" in message
    assert texts_of(message.partition("as in '")[2].rstrip("'")) == ["a"]
    assert texts_of(f"{two}:test") == ["b"]
    assert "has no split 'tset'; choose train, test" in refusal(f"{two}:tset")
    assert count_records(one) is None


def test_configurations(tmp_path: Path) -> None:
    for name in ("en", "en2", "fr"):
        lines(tmp_path / "c" / f"{name}.jsonl", name)
    written(tmp_path / "c" / "README.md", CONFIGS)
    source = f"hf:{tmp_path}/c"
    message = refusal(source)
    assert "has the 2 configurations en, fr; name one" in message
    assert "splits train, test" in refusal(f"{source}:en")
    assert texts_of(f"{source}:en:test") == ["en2"]
    assert texts_of(f"{source}:fr") == texts_of(f"{source}:fr:train") == ["fr"]
    assert "has no configuration 'de'; choose en, fr" in refusal(f"{source}:de")
    assert "has no configuration 'de'; choose en, fr" in refusal(f"{source}:de:train")


def test_parquet_shards_and_rows_that_break(tmp_path: Path) -> None:
    for number in range(2):
        path = tmp_path / "p" / "data" / f"train-0000{number}-of-00002.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"text": [f"t{number}"], "when": [[number]]}), path)
    assert list(read_records(f"hf:{tmp_path}/p")) == [
        {"text": "t0", "when": [0]},
        {"text": "t1", "when": [1]},
    ]
    path.write_bytes(b"PAR1 garbage PAR1")
    assert "cannot be loaded (" in refusal(f"hf:{tmp_path}/p:train")


def test_names_that_lead_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for source in ("hf:", "hf::train", "hf:a:b:c:d", "hf:a:"):
        with pytest.raises(InputError, match="names no dataset; write hf:NAME"):
            read_records(source)
    assert "cannot be loaded (" in refusal(f"hf:{tmp_path}/none")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingPackageError, match=r'pip install "tsds-qdrant\[datasets\]"'):
        read_records("hf:a/b")


@pytest.mark.slow
def test_without_a_network_one_sentence_says_so(tmp_path: Path) -> None:
    code = (
        "from tsds_qdrant.records import read_records\n"
        "from tsds_qdrant.errors import InputError\n"
        "try:\n    list(read_records('hf:nobody/nothing:train'))\n"
        "except InputError as error:\n    print(error)"
    )
    env = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PATH": ""}
    path = ":".join(sys.path)
    command = [sys.executable, "-c", code]
    answer = subprocess.run(
        command, env={**env, "PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    assert answer.stdout.startswith("'hf:nobody/nothing:train' cannot be loaded (")
    assert answer.stdout.endswith("); check its name and the network\n")
    assert answer.stdout.count("\n") == 1
