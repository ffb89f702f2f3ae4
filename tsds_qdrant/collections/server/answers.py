"""Answers of a server to batches of searches, read as plain lists and arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
    """

    ids: list[PointId]
    scores: FloatArray
    counts: IntArray
    moved: int = 0


def read_rest(reply: Mapping[str, Any]) -> Answer:
    """Read the parsed JSON of a batch search; a score of null is NaN.

    Raises:
        ValueError: not the JSON of a batch search.
    """
    try:
        batches = [found["points"] for found in reply["result"]]
        ids = [hit["id"] for hit in chain.from_iterable(batches)]
        scores = [hit["score"] for hit in chain.from_iterable(batches)]
    except (KeyError, TypeError) as error:
        raise ValueError(f"no answer to a batch search: {str(reply)[:80]}") from error
    return Answer(ids, np.array(scores, dtype=np.float64), _lengths(batches))


def read_grpc(reply: messages.QueryBatchResponse) -> Answer:
    """Read the message of a batch search."""
    ids: list[PointId] = []
    scores: list[float] = []
    for found in reply.result:
        for hit in found.result:
            point_id = hit.id
            ids.append(point_id.num or point_id.uuid or 0)
            scores.append(hit.score)
    counts = [len(found.result) for found in reply.result]
    return Answer(ids, np.array(scores, dtype=np.float64), np.array(counts, dtype=np.int64))


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
    )


def without_repeats(answer: Answer) -> Answer:
    """``answer`` without the points that one search found twice.

    *subtle*: while Qdrant reshards, a point may lie on two shards and be found on both.
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
    )


def _lengths(batches: Sequence[Sequence[Any]]) -> IntArray:
    return np.array([len(hits) for hits in batches], dtype=np.int64)
