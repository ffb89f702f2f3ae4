"""Candidates without the values that a strategy goes by: what is said of them, and refused."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_spaces import add_made, plain_pool, represent_words

from tsds_qdrant import SelectionSettings, begin_run, reselect, select
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.errors import InputError, SupportError
from tsds_qdrant.progress import notices_to
from tsds_qdrant.represented.marks import Kept
from tsds_qdrant.task.examples import TaskExamples

TASK = np.ones((1, 2), dtype=np.float32)
COUNT = 24
MODEL = {"model": "./lm", "without_prompt": False}


def hidden(**settings: Any) -> Kept:
    return Kept("hidden", "f00d", {"kind": "hidden"}, {**MODEL, **settings})


def values_of(rng: np.random.Generator, count: int) -> list[dict[str, float]]:
    names = ("loss", "entropy", "el2n", "perplexity")
    return [dict(zip(names, row, strict=True)) for row in rng.random((count, 4)).tolist()]


@contextmanager
def scored_pool(clusters: int = COUNT, scores: int = COUNT) -> Iterator[Collection]:
    """24 points, of which the first ones have clusters and scores of ``represent``."""
    with plain_pool(COUNT) as pool:
        own = values_of(np.random.default_rng(0), scores)
        add_made(pool, hidden(), range(scores), np.ones((scores, 2), np.float32), values=own)
        of = Kept("clusters", "f00d", {}, {"of": "hidden"}, source="hidden", has_vectors=False)
        add_made(pool, of, [], values=[])
        marks = [{"hidden": {"fp": "f00d", **one}} for one in own] + [{}] * (COUNT - scores)
        for k in range(clusters):
            marks[k] = {**marks[k], "clusters": {"fp": "f00d", "cluster": k % 3}}
        pool.set_payload("_tsds_made", range(COUNT), marks)
        yield pool


def said_by(work: Any) -> tuple[Any, str]:
    said: list[str] = []
    with notices_to(said.append):
        found = work()
    return found, "\n".join(said)


def asked(strategy: str, size: int = 6, **more: Any) -> SelectionSettings:
    return SelectionSettings.of(strategy, sizes=(size,), **more)


def arrive(pool: Collection, ids: range) -> None:
    """New records, of which nothing has been represented."""
    rows = np.random.default_rng(9).normal(size=(len(ids), 2)).astype(np.float32)
    pool.upsert(ids, rows, [{"text": f"new {k}"} for k in ids])


@pytest.mark.parametrize(
    ("clusters", "scores", "told"),
    [
        (
            COUNT - 2,
            COUNT,
            "2 of 24 candidates have no cluster in '_tsds_made.clusters.cluster', and",
        ),
        (COUNT, COUNT - 1, "1 of 24 candidates have no number in '_tsds_made.hidden.loss' or "),
        (COUNT - 3, COUNT - 3, "3 of 24 candidates have no cluster in .* and 3 no number in "),
    ],
)
def test_nothing_is_pruned_while_candidates_are_not_known(
    clusters: int, scores: int, told: str
) -> None:
    with scored_pool(clusters, scores) as pool:
        with pytest.raises(InputError, match=told) as refused:
            select(pool, TASK, asked("adapt", prune=10))
        message = str(refused.value)
        assert ("represent clusters" in message) == (clusters < COUNT)
        assert ("represent hidden" in message) == (scores < COUNT)
        flag = shlex.split(message.partition("leave them out with ")[2].partition(", or")[0])
        found = select(pool, TASK, asked("adapt", prune=10).altered(where=json.loads(flag[1])))
        assert len(found.evidence.dropped()) == min(clusters, scores) - 10
        # Where nothing is pruned, or all stay, it is said alone.
        for more in ({}, {"prune": COUNT}):
            found, said = said_by(lambda more=more: select(pool, TASK, asked("adapt", **more)))
            assert len(found.selected_ids) == 6
            assert said.count("make them and select again: tsds-qdrant represent ") == 1


def test_a_repair_prunes_nothing_before_arrivals_are_represented(tmp_path: Path) -> None:
    with scored_pool() as pool:
        state, first = begin_run(tmp_path / "a.run", pool, TASK, asked("adapt", prune=12))
        gone = dict(first.evidence.dropped())
        arrive(pool, range(100, 103))
        before = (tmp_path / "a.run").read_bytes()
        for _ in range(2):
            with pytest.raises(InputError, match="3 of 15 candidates have no cluster"):
                reselect(state, collection=pool)
            assert (tmp_path / "a.run").read_bytes() == before
        made = [
            {"hidden": {"fp": "f00d", **one}, "clusters": {"fp": "f00d", "cluster": 1}}
            for one in values_of(np.random.default_rng(3), 3)
        ]
        pool.set_payload("_tsds_made", range(100, 103), made)
        done, said = said_by(lambda: reselect(state, collection=pool))
        assert said == ""
        assert len(done.selection.evidence.dropped()) == len(gone) + 3
        assert gone.items() <= dict(done.selection.evidence.dropped()).items()


@pytest.mark.parametrize("strategy", ["adapt", "window", "perplexity"])
def test_repairs_tell_of_arrivals_without_values(strategy: str, tmp_path: Path) -> None:
    with scored_pool() as pool:
        (state, _), said = said_by(
            lambda: begin_run(tmp_path / "a.run", pool, TASK, asked(strategy))
        )
        assert said == ""
        arrive(pool, range(100, 102))
        for _ in range(2):
            done, said = said_by(lambda: reselect(state, collection=pool))
            assert "2 of 26 candidates have no " in said
            assert said.count("make them and select again: tsds-qdrant represent hidden") == 1
        new = {100, 101}
        assert strategy == "adapt" or not new & set(done.selection.selected_ids)


def test_a_rank_is_not_called_the_last() -> None:
    """A cluster of candidates without any score takes turns like the others."""
    from tsds_qdrant.strategies.adapt.reasons import ByCluster

    first = ByCluster(rank=0, cluster="", scorer="loss", stratum=0, strata=50)
    assert first.in_words() == [
        "no cluster, which goes by 'loss'; it has no number there, as all of it"
    ]
    late = ByCluster(rank=9, cluster="a", scorer="loss", stratum=None, strata=50)
    assert late.in_words()[0].endswith("no number there and comes last")


@pytest.mark.parametrize(
    ("strategy", "kept", "told"),
    [
        ("ifd", None, "represent hidden --model MODEL --without-prompt --qdrant"),
        ("ifd", hidden(), "represent hidden .*--model ./lm --without-prompt --again$"),
        ("ifd", hidden(without_prompt=True), "--model ./lm --without-prompt$"),
        ("perplexity", None, "represent hidden --model MODEL --qdrant"),
        ("perplexity", hidden(), "represent hidden .*--model ./lm$"),
        ("window", None, "represent hidden --model MODEL --qdrant"),
        ("adapt", None, "represent clusters --of NAME --qdrant"),
    ],
)
def test_what_nobody_has_is_made_by_a_whole_command(
    strategy: str, kept: Kept | None, told: str
) -> None:
    with plain_pool(4) as pool:
        if kept is not None:  # of all but one, and without values
            add_made(pool, kept, range(3), np.ones((3, 2), np.float32))
        with pytest.raises(InputError, match=f"or make it: tsds-qdrant .*{told}") as refused:
            select(pool, TASK, asked(strategy, size=2))
    command = shlex.split(str(refused.value).partition("or make it: ")[2])
    assert command[:2] == ["tsds-qdrant", "represent"]


@pytest.mark.parametrize(
    ("strategy", "more"),
    [
        ("perplexity", {"score": "source"}),
        ("ifd", {"score": "source"}),
        ("window", {"difficulty": "source"}),
        ("adapt", {"clusters": "source", "scores": ("none",)}),
    ],
)
def test_a_field_that_is_no_number_is_answered_by_the_fields(
    strategy: str, more: dict[str, Any]
) -> None:
    payloads = [{"text": "a", "source": "web"}] * 4
    with (
        plain_pool(4, payloads) as pool,
        pytest.raises(InputError, match=r"name another field with --.*its fields: text, source\)"),
    ):
        select(pool, TASK, asked(strategy, size=2, **more))


@pytest.mark.parametrize(
    ("strategy", "what"),
    [
        ("window", "a number in '_tsds_made.hidden.loss'"),
        ("perplexity", "a number in '_tsds_made.hidden.perplexity'"),
        ("bm25", "a vector 'bm25'"),
    ],
)
def test_a_size_beyond_those_that_have_it_says_what_is_lacking(strategy: str, what: str) -> None:
    task = TaskExamples(TASK, ["t1 t2"], np.ones(1))
    with scored_pool(COUNT, COUNT - 3) as pool:
        represent_words(pool, range(COUNT - 3), [{"text": f"t{k}"} for k in range(COUNT - 3)])
        told = f"only 21 have {what}; ask for at most 21, or give the others one"
        for size in (22, COUNT, 500):
            with pytest.raises(SupportError, match=f"{size} candidates are wanted but {told}"):
                select(pool, task, asked(strategy, size))
        found = select(pool, task, asked(strategy, 21, near_copies="keep"))  # as advised
        assert len(found.selected_ids) == 21
        assert strategy == "window" or found.candidates == 21


def test_repairs_tell_of_arrivals_without_words(tmp_path: Path) -> None:
    task = TaskExamples(TASK, ["t1 t2"], np.ones(1))
    with plain_pool(8) as pool:
        represent_words(pool, range(8), [{"text": f"t{k}"} for k in range(8)])
        (state, _), said = said_by(lambda: begin_run(tmp_path / "a.run", pool, task, asked("bm25")))
        assert said == ""
        arrive(pool, range(100, 102))
        done, said = said_by(lambda: reselect(state, collection=pool))
        assert "2 of 10 candidates have no vector 'bm25' yet" in said
        assert done.selection.candidates == 8
