"""What counts as a copy of a test item."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from contaminated_pool import held_out
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracles import pairwise_distances
from pool_oracle import METRICS
from profiles import examples

from tsds_qdrant.collections.values import Metric
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.guards.fingerprints import run_prints, whole_print, words_of
from tsds_qdrant.guards.held_out import SHORTEST_RUN, HeldOut, Reach, default_radius

SENTENCE = "the quick brown fox jumps over the lazy dog while nobody in the garden looks"
few = settings(
    max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
letters = st.text("abAB ,.!\n", max_size=24)


def reasons(items: Sequence[str], candidates: Sequence[str], ngram: int = 13) -> list[str]:
    """How each candidate copies one of ``items``; "" where it does not."""
    found = held_out(items, ngram).copies(range(len(candidates)), candidates, None, "Cosine")
    by_id = {one.id: one.reason for one in found}
    return [by_id.get(number, "") for number in range(len(candidates))]


@pytest.mark.parametrize(
    "copy",
    [
        SENTENCE.upper(),
        f"  {SENTENCE.title()} ?! ",
        SENTENCE.replace(" ", "\n\t"),
        SENTENCE.replace(" ", ", "),
        SENTENCE.replace("fox", "ｆｏｘ"),
        SENTENCE.replace("quick", "quic\N{KELVIN SIGN}"),
    ],
)
def test_case_spaces_punctuation_and_forms_do_not_count(copy: str) -> None:
    assert reasons([SENTENCE], [copy]) == ["exact"]
    assert reasons(["Straße!"], ["STRASSE"]) == ["exact"]


def test_runs_of_words() -> None:
    words = SENTENCE.split()
    inside = "so he said " + " ".join(words[1:14]) + " and went"
    short = "so he said " + " ".join(words[1:13]) + " and went"
    assert len(words[1:14]) == 13
    assert reasons([SENTENCE], [inside, short]) == ["ngram", ""]
    assert reasons([SENTENCE], [short], ngram=12) == ["ngram"]
    assert reasons([SENTENCE], [inside, SENTENCE], ngram=0) == ["", "exact"]


def test_items_shorter_than_a_run() -> None:
    eight = " ".join(SENTENCE.split()[:SHORTEST_RUN])
    seven = " ".join(SENTENCE.split()[: SHORTEST_RUN - 1])
    assert reasons([eight], [f"well {eight} indeed", eight, seven]) == ["ngram", "exact", ""]
    assert reasons([seven], [f"well {seven} indeed", seven]) == ["", "exact"]
    assert reasons(["?!"], ["!?", "?!", "", " "]) == ["", "exact", "", ""]
    assert reasons(["", "x"], [""]) == [""]


def test_runs_of_one_word_tell_nothing() -> None:
    rule = "o " * 13
    assert reasons([f"{rule} one"], [f"{rule} another"]) == [""]
    assert reasons([rule], [rule]) == ["exact"]


def test_overlap_is_the_share_of_the_item_that_runs_cover() -> None:
    words = [f"w{number}" for number in range(40)]
    item, other = " ".join(words), " ".join(f"v{number}" for number in range(30))
    spread = " ".join([*words[:14], "x", *words[10:25], "y", *words[27:]])
    for overlap, found in ((0.0, True), (0.95, True), (0.951, False)):
        guard = HeldOut.of([other, item], None, Reach(13, 0.0, overlap))
        copies = guard.copies([0], [spread], None, "Cosine")
        assert [one.item for one in copies] == [1] * found
    assert guard.copies([0], [item], None, "Cosine")[0].overlap == 1.0
    assert HeldOut.of([item], None, Reach(13)).copies([0], [spread], None, "Cosine")[
        0
    ].overlap == pytest.approx(38 / 40)


def test_scripts_without_spaces() -> None:
    text = "東京は日本の首都であり世界最大の都市の一つ"
    assert reasons([text], [f"「{text[:13]}」と言う", text[:12]]) == ["ngram", ""]


@few
@given(st.lists(letters, min_size=1, max_size=5), st.lists(letters, max_size=8), st.integers(3, 6))
def test_copies_are_those_of_a_plain_comparison(
    items: list[str], candidates: list[str], ngram: int
) -> None:
    def runs(words: list[str], length: int) -> set[tuple[str, ...]]:
        return {tuple(words[k : k + length]) for k in range(len(words) - length + 1)}

    wanted = []
    for candidate in candidates:
        mine, reason = words_of(candidate), ""
        for item in items:
            theirs = words_of(item)
            if mine and mine == theirs:
                reason = "exact"
            elif any(2 * len(set(run)) >= ngram for run in runs(mine, ngram) & runs(theirs, ngram)):
                reason = reason or "ngram"
        wanted.append(reason)
    assert reasons(items, candidates, ngram) == wanted


@few
@given(st.lists(letters.map(words_of), min_size=2, max_size=6), st.integers(1, 4))
def test_prints_are_equal_where_words_are(texts: list[list[str]], length: int) -> None:
    runs = [tuple(w[k : k + length]) for w in texts for k in range(len(w) - length + 1)]
    prints = [number for words in texts for number in run_prints(words, length).tolist()]
    assert len(set(zip(runs, prints, strict=True))) == len(set(runs)) == len(set(prints))
    wholes = [int(whole_print(words)[0]) for words in texts]
    assert len(set(wholes)) == len({" ".join(words) for words in texts})


@few
@given(st.integers(0, 2**32), st.sampled_from([*METRICS, "Dot"]), st.floats(0.05, 2.0))
def test_a_radius_is_what_all_distances_say(seed: int, metric: Metric, radius: float) -> None:
    rng = np.random.default_rng(seed)
    items, rows = rng.normal(size=(7, 3)), rng.normal(size=(30, 3))
    if metric == "Dot":
        items, rows = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (items, rows))
    distances = pairwise_distances(rows, items, "Cosine" if metric == "Dot" else metric)
    guard = HeldOut.of([""] * 7, items.astype(np.float32), Reach(0, radius))
    found = guard.copies(range(30), [""] * 30, rows.astype(np.float32), metric)
    clear = np.abs(distances.min(axis=1) - radius) > 1e-5
    near = {k for k in np.flatnonzero(distances.min(axis=1) <= radius).tolist() if clear[k]}
    assert {one.id for one in found if clear[int(one.id)]} == near
    for one in found:
        assert one.reason == "radius"
        assert one.distance == pytest.approx(distances[int(one.id)].min(), abs=1e-5)
        assert distances[int(one.id), one.item] == pytest.approx(one.distance, abs=1e-5)


def test_a_finding_tells_where_from() -> None:
    items = HeldOut.of(
        ["a b c", SENTENCE, "x"],
        np.eye(3, dtype=np.float32),
        Reach(13, 0.5),
        sources=["one.jsonl", "two.jsonl"],
        counts=[1, 2],
    )
    rows = np.array([[0, 0.9, 0.1], [0, 0, 1], [0.6, 0.6, 0.6]], dtype=np.float32)
    found = items.copies([5, "u", 7], [SENTENCE * 3, "", "other"], rows, "Cosine")
    assert [(one.id, one.reason, one.item) for one in found] == [
        (5, "ngram", 1),
        ("u", "radius", 2),
    ]
    assert found[0].distance == pytest.approx(np.sqrt(2 - 2 * 0.9 / np.hypot(0.9, 0.1)), abs=1e-6)
    assert (found[0].text.startswith("the quick"), found[0].text[-2:]) == (True, "..")
    assert [items.source_of(k) for k in range(3)] == [
        *[("one.jsonl", 0), ("two.jsonl", 0), ("two.jsonl", 1)]
    ]


def test_what_counts_as_a_copy_is_checked() -> None:
    with pytest.raises(SettingsError, match="n-grams of 2 words"):
        Reach(2)
    for radius in (-0.1, float("nan"), float("inf")):
        with pytest.raises(SettingsError, match="the radius is"):
            Reach(13, radius)
    with pytest.raises(SettingsError, match="the overlap is"):
        Reach(overlap=1.5)
    with pytest.raises(SettingsError, match="needs vectors"):
        HeldOut.of(["a"], None, Reach(13, 0.3))
    assert default_radius("Cosine") == default_radius("Dot") > 0
    assert default_radius("Euclid") == default_radius("Manhattan") == 0
