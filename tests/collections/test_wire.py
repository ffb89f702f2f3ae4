"""Searches on the wire: what is sent, and how answers are read."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from playback import GrpcPlayback, grpc_server
from qdrant_client import grpc as messages
from qdrant_client import models
from qdrant_client.conversions.conversion import RestToGrpc

from tsds_qdrant.collections.ids import checked_ids
from tsds_qdrant.collections.server.answers import (
    Answer,
    joined,
    read_grpc,
    read_rest,
    without_repeats,
)
from tsds_qdrant.collections.server.wire import Search, ask_grpc, grpc_message, rest_body, shortened
from tsds_qdrant.errors import InputError

UUID_ID = "5b1d9a1c-0000-4000-8000-000000000000"
WHERE = {"must": [{"key": "source", "match": {"value": "wiki"}}]}
FULL = Search("texts", "text", 7, False, 64, 0.25, WHERE, 60, oversampling=64 / 7)
BARE = Search("texts", "", 7, True, None, None, None, 60)
ROWS = np.array([[1, 2], [0.1, -3]], np.float32)


def test_the_json_is_what_the_client_would_send() -> None:
    body = json.loads(rest_body(FULL, ROWS))
    batch = models.QueryRequestBatch.model_validate(body)
    for row, request in zip(ROWS, batch.searches, strict=True):
        assert np.array_equal(np.float32(request.query), row)
        assert request.using == "text"
        assert request.limit == 7
        assert request.score_threshold == 0.25
        assert request.with_payload is False
        assert request.with_vector is False
        assert request.params == models.SearchParams(
            exact=False,
            hnsw_ef=64,
            quantization=models.QuantizationSearchParams(rescore=True, oversampling=64 / 7),
        )
        assert request.filter == models.Filter.model_validate(WHERE)


def test_what_is_not_wanted_is_not_sent() -> None:
    (search, _) = json.loads(rest_body(BARE, ROWS))["searches"]
    assert sorted(search) == ["limit", "params", "query", "with_payload", "with_vector"]
    assert search["params"] == {"exact": True, "quantization": {"rescore": True}}


@given(
    arrays(np.float32, (2, 5), elements=st.floats(allow_nan=False, allow_infinity=False, width=32))
)
def test_short_numbers_say_the_same(rows: np.ndarray) -> None:
    text = rest_body(BARE, rows)
    for row, search in zip(rows, json.loads(text)["searches"], strict=True):
        sent = np.array(search["query"], dtype=np.float32)
        assert sent.tobytes() == row.tobytes()


def test_short_numbers_are_short() -> None:
    rows = np.random.default_rng(0).normal(size=(20, 64)).astype(np.float32)
    digits = [
        len(f"{x!r}".lstrip("-0.").replace(".", "")) for x in shortened(rows).ravel().tolist()
    ]
    assert max(digits) <= 9
    assert len(rest_body(BARE, rows)) < 0.7 * len(json.dumps(rows.tolist()))


def test_the_message_says_the_same() -> None:
    message = grpc_message(FULL, ROWS)
    assert (message.collection_name, message.timeout) == ("texts", 60)
    for row, request in zip(ROWS, message.query_points, strict=True):
        assert np.array_equal(np.float32(request.query.nearest.dense.data), row)
        assert (request.using, request.limit, request.score_threshold) == ("text", 7, 0.25)
        assert (request.params.exact, request.params.hnsw_ef) == (False, 64)
        assert request.params.quantization.rescore is True
        assert request.params.quantization.oversampling == 64 / 7
        assert request.with_payload.enable is False
        assert request.with_vectors.enable is False
        assert request.filter.must[0].field.match.keyword == "wiki"
    bare = grpc_message(BARE, ROWS).query_points[0]
    for name in ("using", "filter", "score_threshold"):
        assert not bare.HasField(name)
    assert not bare.params.HasField("hnsw_ef")


def test_every_search_may_have_a_filter_of_its_own() -> None:
    own = [{"must_not": [{"has_id": [3, 4]}]}, {"must": [WHERE], "must_not": [{"has_id": [5]}]}]
    searches = json.loads(rest_body(FULL, ROWS, own))["searches"]
    assert [search["filter"] for search in searches] == own
    sent = grpc_message(FULL, ROWS, own).query_points
    wanted = [RestToGrpc.convert_filter(models.Filter.model_validate(one)) for one in own]
    assert [search.filter for search in sent] == wanted
    assert json.loads(rest_body(BARE, ROWS, own))["searches"][1]["filter"] == own[1]


def test_json_answers() -> None:
    text = f"""{{"result": [
        {{"points": [{{"id": 18446744073709551615, "version": 3, "score": 0.6369617}},
                     {{"id": "{UUID_ID}", "version": 3, "score": null}}]}},
        {{"points": []}},
        {{"points": [{{"id": 0, "version": 0, "score": 1}}]}}], "status": "ok"}}"""
    answer = read_rest(json.loads(text))
    assert answer.ids == [2**64 - 1, UUID_ID, 0]
    np.testing.assert_array_equal(answer.scores, [0.6369617, np.nan, 1.0])
    assert answer.scores.dtype == np.float64
    assert answer.counts.tolist() == [2, 0, 1]
    assert read_rest({"result": []}).counts.tolist() == []


@pytest.mark.parametrize("reply", [{}, {"result": None}, {"result": [{"points": [{"id": 1}]}]}])
def test_json_that_is_no_answer(reply: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="no answer to a batch search"):
        read_rest(reply)


def test_grpc_answers() -> None:
    def hit(score: float, **point_id: object) -> messages.ScoredPoint:
        return messages.ScoredPoint(id=messages.PointId(**point_id), score=score, version=1)

    reply = messages.QueryBatchResponse(
        result=[
            messages.BatchResult(
                result=[hit(0.6369617, num=2**64 - 1), hit(float("nan"), uuid=UUID_ID)]
            ),
            messages.BatchResult(),
            messages.BatchResult(result=[hit(1.0, num=0)]),
        ]
    )
    answer = read_grpc(messages.QueryBatchResponse.FromString(reply.SerializeToString()))
    assert answer.ids == [2**64 - 1, UUID_ID, 0]
    np.testing.assert_array_equal(
        answer.scores.astype(np.float32), np.float32([0.6369617, np.nan, 1])
    )
    assert answer.counts.tolist() == [2, 0, 1]
    assert read_grpc(messages.QueryBatchResponse()).ids == []


@given(st.lists(st.lists(st.integers(0, 5), max_size=6), max_size=6), st.integers(1, 3))
def test_answers_are_joined_and_repeats_dropped(found: list[list[int]], at: int) -> None:
    def answer(batch: list[list[int]]) -> Answer:
        ids = [point_id for hits in batch for point_id in hits]
        counts = np.array(list(map(len, batch)), np.int64)
        return Answer(list(ids), np.arange(len(ids)) / 8, counts, moved=len(batch))

    whole = joined([answer(found[:at]), answer(found[at:])])
    assert whole.ids == [point_id for hits in found for point_id in hits]
    assert whole.counts.tolist() == [len(hits) for hits in found]
    assert whole.moved == len(found)
    once = without_repeats(whole)
    assert once.counts.tolist() == [len(set(hits)) for hits in found]
    assert once.ids == [point_id for hits in found for point_id in dict.fromkeys(hits)]
    firsts = [hits.index(point_id) for hits in found for point_id in dict.fromkeys(hits)]
    starts = np.repeat(np.cumsum([0, *map(len, found)])[:-1], once.counts)
    assert once.scores.tolist() == whole.scores[starts + np.array(firsts, np.int64)].tolist()
    assert once.moved == whole.moved


def test_messages_are_weighed() -> None:
    playback = GrpcPlayback()
    with grpc_server(playback) as client:
        answer = ask_grpc(client, BARE, ROWS)
    assert answer.ids == [1, 0]
    assert answer.moved == playback.moved > 0


def test_nothing_joined_is_empty() -> None:
    empty = joined([])
    assert (empty.ids, empty.scores.tolist(), empty.counts.tolist()) == ([], [], [])


def test_ids_take_their_plain_form() -> None:
    assert checked_ids([1, UUID_ID.upper(), UUID_ID.replace("-", "")]) == [1, UUID_ID, UUID_ID]
    assert checked_ids([np.uint64(2**64 - 1), np.int32(5)]) == [2**64 - 1, 5]
    for wrong in (True, -1, 2**64, 1.5, None, "x"):
        with pytest.raises(InputError, match="is no point id"):
            checked_ids([wrong])
