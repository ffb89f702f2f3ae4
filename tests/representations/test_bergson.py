"""Gradient stores of bergson: what it writes is read, and what is written here it reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bergson_store import create_index, load_gradients

from tsds_qdrant.errors import InputError, OutputError
from tsds_qdrant.representations.stores.bergson import BergsonStore, write_store

SIZES = {"layers.0.q_proj": 3, "layers.0.mlp": 4, "layers.1.q_proj": 2}


def rows_of(count: int = 7, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 9)).astype(np.float32)


def bergsons(path: Path, rows: np.ndarray, dtype: str = "float32") -> Path:
    mapped = create_index(path, len(rows), SIZES, dtype)
    mapped[:] = rows
    mapped.flush()
    return path


@pytest.mark.parametrize(("dtype", "error"), [("float32", 0), ("float16", 2e-3), ("float64", 0)])
def test_what_bergson_writes_is_read_block_by_block(
    tmp_path: Path, dtype: str, error: float
) -> None:
    rows = rows_of()
    store = BergsonStore.open(bergsons(tmp_path / "store", rows, dtype))
    read = np.concatenate([store.rows(0, 3), store.rows(3, 5), store.rows(5, 100)])
    assert (len(store), store.dimension, store.modules) == (7, 9, tuple(SIZES.items()))
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, rows, atol=error)
    assert store.rows(7, 9).shape == (0, 9)


def test_bfloat16_is_the_upper_half_of_float32(tmp_path: Path) -> None:
    rows = rows_of()
    halves = (rows.view(np.uint32) >> 16).astype(np.uint16)
    path = bergsons(tmp_path / "store", halves, "uint16")
    info = json.loads((path / "info.json").read_text())
    (path / "info.json").write_text(json.dumps({**info, "base_dtype": "bfloat16"}))
    exact = (halves.astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_array_equal(BergsonStore.open(path).rows(0, 7), exact)
    np.testing.assert_allclose(exact, rows, rtol=2**-7)


def test_stores_of_older_versions_and_in_shards_are_read(tmp_path: Path) -> None:
    rows = rows_of(10)
    for number, block in enumerate((rows[:4], rows[4:6], rows[6:])):
        path = bergsons(tmp_path / "store" / f"shard_{number}", block)
        info = json.loads((path / "info.json").read_text())
        del info["base_dtype"]
        formats = [f"({size},)<f4" for size in SIZES.values()]
        info["dtype"] = {"names": list(SIZES), "formats": formats, "itemsize": 36}
        (path / "info.json").write_text(json.dumps(info))
        np.testing.assert_array_equal(load_gradients(path), block)
    store = BergsonStore.open(tmp_path / "store")
    assert len(store) == 10
    for start in range(10):
        for stop in range(start, 12):
            np.testing.assert_array_equal(store.rows(start, stop), rows[start:stop])


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_bergson_reads_what_is_written(tmp_path: Path, dtype: str) -> None:
    rows = rows_of(11)
    manifest = {"kind": "gradient", "seed": 3, "checkpoints": [{"id": "a", "weight": 0.5}]}
    blocks = (rows[start : start + 4] for start in range(0, 11, 4))
    assert write_store(tmp_path / "out", blocks, manifest, SIZES, dtype) == 11  # type: ignore[arg-type]
    read = load_gradients(tmp_path / "out")
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, rows.astype(dtype))
    again = BergsonStore.open(tmp_path / "out")
    assert again.manifest() == manifest
    assert again.modules == tuple(SIZES.items())
    np.testing.assert_array_equal(again.encoded(0, 11).rows, rows.astype(dtype))


def test_rows_are_scaled_and_faulty_ones_have_a_status(tmp_path: Path) -> None:
    rows = rows_of()
    rows[1] *= 1e-30
    rows[2], rows[4, 0], rows[5, 3] = 0, np.nan, -np.inf
    path = bergsons(tmp_path / "store", rows)
    encoded = BergsonStore.open(path).encoded(0, 7)
    faults = {2: "zero_gradient", 4: "nonfinite", 5: "nonfinite"}
    assert list(encoded.status) == [faults.get(number, "ok") for number in range(7)]
    for number in (0, 1, 3, 6):
        wanted = rows[number].astype(np.float64)
        wanted /= np.linalg.norm(wanted)
        np.testing.assert_allclose(encoded.rows[number], wanted, atol=1e-6)
    plain = BergsonStore.open(path, unit=False)
    np.testing.assert_array_equal(plain.encoded(0, 7).rows, rows)
    assert [store.manifest()["kind"] for store in (BergsonStore.open(path), plain)] == [
        "gradient",
        "loss-gradient",
    ]


def test_manifest_has_what_the_values_depend_on_and_not_where_they_were_made(
    tmp_path: Path,
) -> None:
    import yaml

    def described(name: str, **changed: object) -> dict[str, object]:
        path = bergsons(tmp_path / name, rows_of())
        index = {
            "model": "EleutherAI/pythia-14m",
            "projection_dim": 16,
            "run_path": name,
            **changed,
        }
        steps = [{"build": {"index_cfg": index, "preprocess_cfg": {"unit_normalize": True}}}]
        (path / "config.yaml").write_text(yaml.safe_dump({"steps": steps, "metadata": {"x": name}}))
        processor = {"projection_dim": 16, "projection_type": "rademacher"}
        (path / "processor_config.yaml").write_text(yaml.safe_dump(processor))
        return BergsonStore.open(path).manifest()

    one = described("one")
    assert one == described("two", token_batch_size=9, fsdp=True)
    assert one != described("three", loss_reduction="mean")
    assert one != described("four", revision="step1000")
    assert one["processor"] == {"projection_dim": 16, "projection_type": "rademacher"}
    assert one["preprocess"] == {"unit_normalize": True}


def cut(path: Path) -> None:
    with (path / "gradients.bin").open("r+b") as stream:
        stream.truncate(100)


def without(key: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        info = json.loads((path / "info.json").read_text())
        info.pop(key)
        (path / "info.json").write_text(json.dumps(info))

    return change


def saying(**changed: object) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        info = json.loads((path / "info.json").read_text())
        (path / "info.json").write_text(json.dumps({**info, **changed}))

    return change


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (cut, "has 100 bytes, and 7 rows of 9 values of type float32 have 252"),
        (lambda path: (path / "gradients.bin").unlink(), "has 0 bytes"),
        (lambda path: (path / "info.json").unlink(), "holds no info.json"),
        (lambda path: (path / "info.json").write_text('{"num_gr'), "cannot be read"),
        (lambda path: (path / "info.json").write_text("[]"), "it holds no object"),
        (without("num_grads"), "does not say num_grads"),
        (without("base_dtype"), "does not say num_grads"),
        (saying(grad_sizes=[3, 4]), "does not say num_grads"),
        (saying(grad_sizes={}), "has 7 rows of 0 values"),
        (saying(grad_sizes={"a": 10, "b": -1}), "give one that holds some"),
        (saying(num_grads=0), "has 0 rows"),
        (saying(base_dtype="int8"), "values of type int8"),
        (saying(attribute_tokens=True), "a row for each token"),
        (lambda path: (path / "config.yaml").write_text("a: [1"), "config.yaml' cannot be read"),
    ],
)
def test_a_store_that_cannot_be_used_says_why(
    tmp_path: Path, damage: Callable[[Path], None], words: str
) -> None:
    path = bergsons(tmp_path / "store", rows_of())
    damage(path)
    with pytest.raises(InputError, match=words):
        BergsonStore.open(path).manifest()


def test_an_unfinished_store_and_other_places_are_no_stores(tmp_path: Path) -> None:
    bergsons(tmp_path / "store.part", rows_of())
    with pytest.raises(InputError, match="being built; wait until it has its name 'store'"):
        BergsonStore.open(tmp_path / "store.part")
    with pytest.raises(InputError, match="is no directory with an"):
        BergsonStore.open(tmp_path / "store")


def test_a_store_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    rows = rows_of()
    for blocks, words in (
        ([rows, rows[:, :4]], "after rows of 9 values"),
        ([rows[0]], "shape"),
        ([], "no gradients"),
    ):
        with pytest.raises(InputError, match=words):
            write_store(tmp_path / "out", blocks, {})
    with pytest.raises(InputError, match="5 columns in all, and the rows 9"):
        write_store(tmp_path / "out", [rows], {}, {"a": 5})
    assert list(tmp_path.iterdir()) == []
    assert write_store(tmp_path / "out", [rows], {}) == 7
    with pytest.raises(OutputError, match="exists already"):
        write_store(tmp_path / "out", [rows], {})
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
