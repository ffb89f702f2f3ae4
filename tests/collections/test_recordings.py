"""Every recorded answer of a real server, played back: a true sentence with the next step."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from playback import PLACE, Reply, grpc_server, http_server
from pydantic import TypeAdapter
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as messages
from qdrant_client.http.models import QueryResponse
from recordings import NAMES, recorded, recordings

from tsds_qdrant import errors
from tsds_qdrant.collections.server.failures import OversizedError, explain

Expected = tuple[type[errors.TsdsError], str, str]
"""The error, its course, and words of its sentence."""

REJECTED, DENIED = errors.RequestRejectedError, errors.AccessDeniedError
AWAY, PARTLY = errors.UnreachableError, errors.UnconfirmedWriteError
MISFIT, ABSENT = errors.CollectionMismatchError, errors.CollectionNotFoundError
DEAD = "is not available"
NODE = r"no connection to 127\.0\.0\.1:173[23]3\); check that all its nodes run"
UNINDEXED = r"by 'lang' without a payload index .*\[keyword\]\); create that index, or leave the"
EXPECTED: dict[str, dict[str, Expected]] = {
    "refusals": {
        "info of a collection that is not there": (ABSENT, "final", "check --qdrant and --coll"),
        "search in a collection that is not there": (ABSENT, "final", "does not exist"),
        "wrong dimension": (MISFIT, "final", "expected dim: 8, got 2.*use the model"),
        "unknown vector name": (ABSENT, "final", "error: x.*choose one with --vector"),
        "upsert with wrong dimension": (MISFIT, "final", "expected dim: 8, got 1"),
        "upsert of an unknown vector name": (ABSENT, "final", "error: x.*--vector"),
        "bad id": (REJECTED, "final", "abc.*change that id"),
        "create again": (errors.CollectionExistsError, "final", "choose another name"),
        "bad filter": (REJECTED, "final", "MatchInterface.*check the filter"),
        "order_by without index": (REJECTED, "final", "on 'n'.*create an integer or float index"),
        "strict: max_query_limit 5": (REJECTED, "final", "max_query_limit raised to 10"),
        "strict: scroll above max_query_limit": (REJECTED, "final", "limit raised to 100"),
        "strict: scroll above max_query_limit 5": (REJECTED, "final", "at most 5 .*asked for 100"),
        "strict: max_timeout 2": (REJECTED, "final", "have max_timeout raised to 30"),
        "strict: max_timeout 2, count": (REJECTED, "final", "have max_timeout raised to 30"),
        "strict: filter without index": (REJECTED, "final", UNINDEXED),
        "strict: scroll with filter without index": (REJECTED, "final", UNINDEXED),
        "strict: count with filter without index": (REJECTED, "final", UNINDEXED),
        "strict: range filter without index": (REJECTED, "final", r"by 'n' .*\[float, integer\]"),
        "strict: set payload by filter without index": (REJECTED, "final", UNINDEXED),
        "strict: search_max_hnsw_ef 16": (REJECTED, "final", "search_max_hnsw_ef raised to 64"),
        "strict: search_allow_exact false": (REJECTED, "final", "leave --exact out"),
        "strict: search_max_oversampling 1": (REJECTED, "final", "oversampling raised to 3"),
        "strict: search_max_batchsize 4": (OversizedError, "split", "batchsize raised to 9"),
        "strict: upsert_max_batchsize 4": (OversizedError, "split", "batchsize raised to 9"),
        "strict: filter_max_conditions 1": (REJECTED, "final", "to 1, .* has 3 .*shorten it"),
        "strict: condition_max_size 3 (any)": (REJECTED, "final", "to 3, .* has 5 .*shorten it"),
        "strict: condition_max_size 3 (has_id)": (REJECTED, "final", "condition_max_size raised"),
        "strict: max_payload_index_count 0": (REJECTED, "final", "delete one, or have max_payload"),
        **{
            f"strict: read_rate_limit 3, request {k}": (AWAY, "retry", "try again in 20 s")
            for k in range(1, 8)
        },
        "strict: read_rate_limit 3": (AWAY, "retry", "requires 3 tokens.*try again in 40 s"),
        "strict: read_rate_limit 3, batch larger than the limit": (
            OversizedError, "split", "for one request .*have that limit raised"
        ),
        "strict: read_rate_limit, count": (AWAY, "retry", "try again in 20 s"),
        "strict: write_rate_limit 2, request 2": (PARTLY, "retry", "Write rate.*again in 30 s"),
        "strict: write_rate_limit 2, request 3": (PARTLY, "retry", "try again in 30 s"),
    },
    "access": {
        "no key": (DENIED, "final", "asks for an API key .*; set TSDS_QDRANT_API_KEY$"),
        "wrong key": (DENIED, "final", "refuses the API key .*to one that it knows"),
        "read-only key: upsert": (DENIED, "final", "lets this API key only read .*may write"),
        "read-only key: set payload": (DENIED, "final", "only read"),
        "read-only key: create": (DENIED, "final", "only read"),
        "read-only key: update collection metadata": (DENIED, "final", "only read"),
        "read-only key: batch update": (DENIED, "final", "only read"),
        "token for a (r): info of b": (DENIED, "final", "is closed to this .*to one for 'b', or"),
        "token for a (r): search b": (DENIED, "final", "is closed to this .*to one for 'b', or"),
        "token for a (r): upsert": (DENIED, "final", "only read .*may write"),
        "token for a (rw): update collection metadata": (DENIED, "final", "for all collections"),
        "token for a (rw): create collection a2": (DENIED, "final", "for all collections"),
        "global r token: upsert": (DENIED, "final", "only read"),
        "expired token": (DENIED, "final", "has expired .*to a new one"),
        "token for a (r): cluster info": (DENIED, "final", "for all collections"),
    },
    "cluster": {
        "custom sharding: upsert without a shard key": (REJECTED, "final", "name the key"),
        "custom sharding: upsert with an unknown shard key": (REJECTED, "final", 'no shard .*"zz"'),
        "custom sharding: set payload without a shard key": (REJECTED, "final", "name the key"),
        "one of three nodes dead, replication 1: search": (AWAY, "retry", f"{DEAD} .*{NODE}"),
        "one dead, replication 1: scroll": (AWAY, "retry", f"{DEAD} .*{NODE}"),
        "one dead, replication 1: count": (AWAY, "retry", f"{DEAD} .*{NODE}"),
        "one dead, replication 1: retrieve": (AWAY, "retry", f"{DEAD} .*{NODE}"),
        "one dead, replication 1: upsert": (PARTLY, "retry", "1 out of 3 shards .*same command"),
        "one dead, replication 2: search with consistency all": (AWAY, "retry", "1 of 2 read"),
        "one dead, replication 2: search with consistency majority": (AWAY, "retry", "1 of 2 read"),
        "one dead, replication 2, write consistency 2: upsert": (PARTLY, "retry", "2 out of 3"),
        "one dead, write consistency 2: set payload": (PARTLY, "retry", "once its nodes run"),
        "two of three dead, replication 3, write consistency 2: upsert": (
            PARTLY, "retry", "so that a write may be stored in part"
        ),
        "two of three dead, replication 2: search": (AWAY, "retry", f"{DEAD} .*{NODE}"),
        "two of three dead: update collection metadata (no quorum)": (AWAY, "slow", "cannot agree"),
        "two of three dead: create": (AWAY, "slow", "run the same command again once they run"),
    },
}  # fmt: skip
WRITES = ("upsert", "set payload", "write_rate", "batch update")
GRPC = " (gRPC)"


def is_write(what: str) -> bool:
    return any(word in what for word in WRITES) and "without index" not in what


@pytest.fixture(scope="module")
def played() -> Iterator[Any]:
    """Has qdrant-client meet one answer over REST, and returns what it raises."""
    replies: list[Reply] = []
    with http_server(lambda *_: replies[0]) as url:
        client = QdrantClient(url=url, check_compatibility=False)

        def play(reply: Reply) -> Exception:
            replies[:] = [reply]
            with pytest.raises(Exception) as caught:  # noqa: PT011  (which one, is what is tested)
                client.get_collection("texts")
            return caught.value

        yield play
        client.close()


def over_grpc(answer: dict[str, Any]) -> Exception:
    def abort(request: Any, context: grpc.ServicerContext) -> None:
        if "retry_after" in answer:
            context.set_trailing_metadata((("retry-after", answer["retry_after"]),))
        context.abort(grpc.StatusCode[answer["code"]], answer["details"])

    with grpc_server(abort) as client, pytest.raises(Exception) as caught:  # noqa: PT011
        client.grpc_points.QueryBatch(messages.QueryBatchPoints(), timeout=10)
    return caught.value


def refusals_of(name: str) -> list[str]:
    return [what for what, answer in recordings(name).items() if answer.get("status") != 200]


def test_every_recorded_refusal_is_expected() -> None:
    for name in NAMES:
        assert {what.removesuffix(GRPC) for what in refusals_of(name)} == EXPECTED[name].keys()


@pytest.mark.parametrize("name", NAMES)
def test_every_refusal_is_one_sentence_with_the_next_step(name: str, played: Any) -> None:
    for what in refusals_of(name):
        answer = recordings(name)[what]
        raised = over_grpc(answer) if "code" in answer else played(recorded(name, what))
        failure = explain(raised, PLACE, write=is_write(what))
        assert failure is not None, what
        kind, course, words = EXPECTED[name][what.removesuffix(GRPC)]
        assert (type(failure.error), failure.course) == (kind, course), what
        check_sentence(str(failure.error), words)
        assert failure.error.exit_code == (3 if issubclass(kind, AWAY) else 1)
        if "retry-after" in answer.get("headers", {}):
            assert failure.wait == float(answer["headers"]["retry-after"])


def check_sentence(sentence: str, words: str) -> None:
    assert sentence.startswith("collection 'texts' at http://qdrant.example:6333 ")
    fault, _, remedy = sentence.rpartition("; ")
    assert fault
    assert re.search(words, sentence), sentence
    assert len(remedy.split()) >= 2
    assert not re.search(r"\n|\.$|Tonic|source:|Os \{|Help:|internal error", sentence), sentence
    assert len(sentence) < 400


RESULTS: list[tuple[str, str, Any]] = [
    ("GET", r"/collections/\w+", models.CollectionInfo),
    ("GET", r"/collections", models.CollectionsResponse),
    ("GET", r"/aliases", models.CollectionsAliasesResponse),
    ("GET", r"/cluster", models.ClusterStatus),
    ("GET", r"/collections/\w+/cluster", models.CollectionClusterInfo),
    ("PUT", r"/collections/\w+/(points|index)", models.UpdateResult),
    ("PUT|PATCH", r"/collections/\w+", bool),
    ("POST", r"/collections/\w+/points/scroll", models.ScrollResult),
    ("POST", r"/collections/\w+/points/query", QueryResponse),
    ("POST", r"/collections/\w+/points/query/batch", list[QueryResponse]),
]
NOT_READ = ("/", "/readyz", "/telemetry")


def test_every_other_answer_is_understood() -> None:
    read = set()
    for name in NAMES:
        for what, answer in recordings(name).items():
            path = answer.get("path", "").partition("?")[0]
            if answer.get("status") != 200 or path in NOT_READ or "body" not in answer:
                continue
            (kind,) = (
                kind
                for method, pattern, kind in RESULTS
                if re.fullmatch(method, answer["method"]) and re.fullmatch(pattern, path)
            )
            result = TypeAdapter(kind).validate_python(answer["body"]["result"])
            if isinstance(result, models.UpdateResult):
                assert result.status == models.UpdateStatus.COMPLETED, what
            read.add(str(kind))
    assert len(read) == len(RESULTS)
