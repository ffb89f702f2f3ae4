"""Answers of a server to batches of searches, read as plain lists and arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, compress
from typing import Any

import numpy as np
from qdrant_client import grpc as messages

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.collections.values import PointId


@dataclass(frozen=True)
class Answer:
    """Hits of consecutive searches: ids and scores (n,) one after the other, counts (B,).

    ``moved`` bytes of requests and replies went over the wire for them, without headers.
    ``keys`` (n,) are the shard keys of the hits, where they were asked for.
    """

    ids: list[PointId]
    scores: FloatArray
    counts: IntArray
    moved: int = 0
    keys: list[Any] = field(default_factory=list)


def read_rest(reply: Mapping[str, Any], *, keyed: bool = False) -> Answer:
    """Read the parsed JSON of a batch search, with shard keys if ``keyed``; null is NaN.

    Raises:
        ValueError: not the JSON of a batch search.
    """
    try:
        batches = [found["points"] for found in reply["result"]]
        ids = [hit["id"] for hit in chain.from_iterable(batches)]
        scores = [hit["score"] for hit in chain.from_iterable(batches)]
        keys = [hit.get("shard_key") for hit in chain.from_iterable(batches)] if keyed else []
    except (KeyError, TypeError) as error:
        raise ValueError(f"no answer to a batch search: {str(reply)[:80]}") from error
    return Answer(ids, np.array(scores, dtype=np.float64), _lengths(batches), keys=keys)


def read_grpc(reply: messages.QueryBatchResponse, *, keyed: bool = False) -> Answer:
    """Read the message of a batch search, with shard keys if ``keyed``."""
    ids: list[PointId] = []
    scores: list[float] = []
    keys: list[Any] = []
    for found in reply.result:
        for hit in found.result:
            point_id = hit.id
            ids.append(point_id.num or point_id.uuid or 0)
            scores.append(hit.score)
            if keyed:
                kind = hit.shard_key.WhichOneof("key")
                keys.append(kind and getattr(hit.shard_key, kind))
    counts = np.array([len(found.result) for found in reply.result], dtype=np.int64)
    return Answer(ids, np.array(scores, dtype=np.float64), counts, keys=keys)


def read_models(batches: Sequence[Sequence[Any]]) -> Answer:
    """Read the scored points of qdrant-client, search by search."""
    hits = list(chain.from_iterable(batches))
    scores = np.array([hit.score for hit in hits], dtype=np.float64)
    return Answer([hit.id for hit in hits], scores, _lengths(batches))


def joined(answers: Sequence[Answer]) -> Answer:
    """Answers of consecutive batches as one."""
    return Answer(
        list(chain.from_iterable(answer.ids for answer in answers)),
        np.concatenate([np.empty(0), *(answer.scores for answer in answers)]),
        np.concatenate([np.empty(0, np.int64), *(answer.counts for answer in answers)]),
        sum(answer.moved for answer in answers),
        list(chain.from_iterable(answer.keys for answer in answers)),
    )


def without_repeats(answer: Answer) -> Answer:
    """``answer`` without the points that one search found twice.

    *subtle*: while Qdrant reshards, a point may lie on two shards and be found on both; and the
    same id may be stored under two shard keys.
    """
    repeats: list[int] = []
    start = 0
    for count in answer.counts.tolist():
        found = answer.ids[start : start + count]
        if len(set(found)) < count:
            seen: set[PointId] = set()
            for k, point_id in enumerate(found, start):
                if point_id in seen:
                    repeats.append(k)
                seen.add(point_id)
        start += count
    if not repeats:
        return answer
    keep = np.ones(len(answer.ids), dtype=bool)
    keep[repeats] = False
    search = np.repeat(np.arange(len(answer.counts)), answer.counts)
    return replace(
        answer,
        ids=list(compress(answer.ids, keep.tolist())),
        scores=answer.scores[keep],
        counts=np.bincount(search[keep], minlength=len(answer.counts)),
        keys=list(compress(answer.keys, keep.tolist())),
    )


def first(answer: Answer, limit: int) -> Answer:
    """The first ``limit`` hits of each search."""
    place = np.arange(len(answer.ids)) - np.repeat(
        np.cumsum(answer.counts) - answer.counts, answer.counts
    )
    keep = place < limit
    return replace(
        answer,
        ids=list(compress(answer.ids, keep.tolist())),
        scores=answer.scores[keep],
        counts=np.minimum(answer.counts, limit),
        keys=list(compress(answer.keys, keep.tolist())),
    )


def parts(answer: Answer) -> list[Answer]:
    """The answers to its searches, one each."""
    ends = np.cumsum(answer.counts).tolist()
    return [
        Answer(
            answer.ids[end - count : end],
            answer.scores[end - count : end],
            np.array([count]),
            keys=answer.keys[end - count : end],
        )
        for end, count in zip(ends, answer.counts.tolist(), strict=True)
    ]


def _lengths(batches: Sequence[Sequence[Any]]) -> IntArray:
    return np.array([len(hits) for hits in batches], dtype=np.int64)
