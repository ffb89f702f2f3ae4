"""Errors of Qdrant's packages: all mapped to ours, never with the API key."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import qdrant_edge as edge
from playback import KEY, PLACE, answered, grpc_server
from qdrant_client import grpc as messages
from qdrant_client.common import client_exceptions
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http import exceptions
from qdrant_client.http.exceptions import (
    ApiException,
    ResponseHandlingException,
    UnexpectedResponse,
)

from tsds_qdrant import errors
from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.edge.failures import edge_failures
from tsds_qdrant.collections.refusals import Place
from tsds_qdrant.collections.server.collection import ServerCollection
from tsds_qdrant.collections.server.failures import OversizedError, explain, server_failures

SAMPLES: dict[type[Exception], Exception] = {
    ApiException: ApiException("odd"),
    UnexpectedResponse: answered(400, "Wrong input"),
    ResponseHandlingException: ResponseHandlingException(httpx.ConnectError("refused")),
    QdrantException: QdrantException("Retry-After header value is not a valid integer: soon"),
    ResourceExhaustedResponse: ResourceExhaustedResponse("too many requests", 3),
}


@pytest.mark.parametrize("module", [exceptions, client_exceptions])
def test_every_error_of_the_client_is_mapped(module: Any) -> None:
    classes = [
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Exception) and kind.__module__ == module.__name__
    ]
    assert classes
    for kind in classes:
        failure = explain(SAMPLES[kind], PLACE)
        assert failure is not None
        assert isinstance(failure.error, errors.CollectionError)
        with pytest.raises(errors.CollectionError), server_failures(PLACE):
            raise SAMPLES[kind]


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for _, kind in inspect.getmembers(httpx, inspect.isclass)
        if issubclass(kind, httpx.TransportError | httpx.InvalidURL | httpx.DecodingError)
    ],
)
def test_every_transport_error_is_mapped(kind: type[Exception]) -> None:
    for raised in (kind("gone"), ResponseHandlingException(kind("gone"))):
        failure = explain(raised, PLACE)
        assert failure is not None
        assert isinstance(failure.error, errors.CollectionError)
        assert "texts" in str(failure.error)
    if issubclass(kind, httpx.TransportError):
        assert isinstance(failure.error, errors.UnreachableError)


STATUSES: list[tuple[int, str, type[errors.TsdsError], str]] = [
    (400, "Format error in JSON body: x", errors.RequestRejectedError, "final"),
    (400, "Not existing vector name error: v", errors.CollectionNotFoundError, "final"),
    (
        400,
        "Wrong input: Vector dimension error: expected dim: 384, got 3",
        errors.CollectionMismatchError,
        "final",
    ),
    (400, 'Index required but not found for "a"', errors.RequestRejectedError, "final"),
    (
        400,
        'Bad request: Limit exceeded 200 > 100 for "limit". Help: Reduce the "limit" parameter',
        errors.RequestRejectedError,
        "final",
    ),
    (400, 'Limit exceeded 500 > 64 for "batch size"', OversizedError, "split"),
    (400, 'Limit exceeded 500 > 64 for "upsert limit"', OversizedError, "split"),
    (400, 'Limit exceeded 60 > 30 for "timeout"', errors.RequestRejectedError, "final"),
    (400, "JSON payload (33554433 bytes) is larger than allowed (limit: 33554432 bytes).",
     OversizedError, "split"),
    (401, "Must provide an API key", errors.AccessDeniedError, "final"),
    (403, "Forbidden: Write access is required", errors.AccessDeniedError, "final"),
    (404, "Not found: Collection `texts` doesn't exist!", errors.CollectionNotFoundError, "final"),
    (404, "", errors.RequestRejectedError, "final"),
    (408, "Operation 'Search' timed out after 60 seconds", errors.UnreachableError, "slow"),
    (409, "Wrong input: Collection `texts` already exists!", errors.CollectionExistsError, "final"),
    (413, "Payload Too Large", OversizedError, "split"),
    (429, "Too Many Requests", errors.UnreachableError, "retry"),
    (
        429,
        "Rate limiting exceeded: Read rate limit exceeded, request larger than rate limiter "
        "capacity, please try to split your request",
        OversizedError,
        "split",
    ),
    (429, "No space left on device: WAL buffer size exceeds available disk space",
     errors.RequestRejectedError, "final"),
    (500, "1 of 3 read operations failed", errors.UnreachableError, "retry"),
    (500, "Service internal error: The replica set does not have enough active replicas",
     errors.UnreachableError, "retry"),
    (500, "Service internal error: task panicked", errors.RequestRejectedError, "final"),
    (502, "Bad Gateway", errors.UnreachableError, "retry"),
    (503, "Service Unavailable", errors.UnreachableError, "retry"),
    (504, "Gateway Timeout", errors.UnreachableError, "retry"),
    (507, "Not enough space available for update operation!", errors.RequestRejectedError, "final"),
    (301, "", errors.RequestRejectedError, "final"),
]  # fmt: skip


TONIC = (
    'Service internal error: Tonic status error: status: Unavailable, message: "gone away", '
    "details: [], metadata: MetadataMap { headers: {} }"
)
DEADLINE = (
    "Service internal error: Tonic status error: code: 'Deadline expired before operation could "
    'complete\', message: "Timeout expired"'
)
PARTLY_FAILED = "2 out of 3 shards failed to apply operation. First error captured: "
STATUSES += [
    (401, "Internal API requires the read-write API key", errors.AccessDeniedError, "final"),
    (403, "InvalidSignature", errors.AccessDeniedError, "final"),
    (403, "Forbidden: Manage access for this operation is required", errors.AccessDeniedError,
     "final"),
    (403, 'Forbidden: This operation is not allowed when "payload" restriction is present for '
     "collection texts", errors.AccessDeniedError, "final"),
    (403, "Storage locked: Write operations are forbidden", errors.UnreachableError, "final"),
    (400, "Wrong input: " + PARTLY_FAILED + "Wrong input: Vector dimension error: expected dim: "
     "4, got 3", errors.CollectionMismatchError, "final"),
    (404, "Not found: " + PARTLY_FAILED + "No point with id 7 found", errors.RequestRejectedError,
     "final"),
    (400, "Bad request: Max vector storage size limit of 0.01MB reached!",
     errors.RequestRejectedError, "final"),
    (400, 'Bad request: Limit exceeded 9 > 2 for "update limit"', OversizedError, "split"),
    (400, "Wrong input: No appropriate index for faceting: `w`. Please create one to facet on this "
     "field. Check https://qdrant.tech/documentation", errors.RequestRejectedError, "final"),
    (422, "Validation error in JSON body: [limit: value 0 invalid, must be 1 or larger]",
     errors.RequestRejectedError, "final"),
    (408, "Timeout: " + PARTLY_FAILED + "Timeout error: Operation 'update' timed out after 5s",
     errors.UnconfirmedWriteError, "slow"),
    (429, "Rate limiting exceeded: " + PARTLY_FAILED + "Rate limiting exceeded: Write rate limit "
     "exceeded: Operation requires 1 tokens but only 0.0 were available. Retry after 30s",
     errors.UnreachableError, "retry"),
    (500, f"Service internal error: {PARTLY_FAILED}{TONIC}", errors.UnconfirmedWriteError,
     "retry"),
    (500, f"Service internal error: {PARTLY_FAILED}{DEADLINE}", errors.UnconfirmedWriteError,
     "slow"),
    (500, "Service internal error: Failed to apply operation to at least one `Active` replica. "
     "Consistency of this update is not guaranteed. Please retry. ", errors.UnconfirmedWriteError,
     "retry"),
    (500, "Service internal error: Failed to apply operation PointOperation(UpsertPoints("
     + "0.125, " * 400 + ")) after 3 attempts, all attempts were rejected",
     errors.UnconfirmedWriteError, "retry"),
    (500, "Service internal error: The replica set for shard 0 on peer 7 has no active replica",
     errors.UnreachableError, "retry"),
    (500, f"Service internal error: 2 of 2 read operations failed:\n  {TONIC}\n  {TONIC}",
     errors.UnreachableError, "retry"),
    (500, f"Service internal error: 1 of 1 read operations failed:\n  {DEADLINE}",
     errors.UnreachableError, "slow"),
    (500, "Service internal error: Failed to propose operation: leader is not established within "
     "10s", errors.UnreachableError, "slow"),
    (503, "Shard temporarily unavailable: resharding", errors.UnreachableError, "retry"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "text", "kind", "course"), STATUSES)
def test_every_status_has_its_course(
    status: int, text: str, kind: type[errors.TsdsError], course: str
) -> None:
    failure = explain(answered(status, text), PLACE)
    assert failure is not None
    assert type(failure.error) is kind
    assert failure.course == course
    message = str(failure.error)
    assert message.startswith("collection 'texts' at http://qdrant.example:6333 ")
    assert "; " in message
    assert "\n" not in message
    assert KEY not in message
    assert not re.search("Tonic|Metadata|captured", message)
    assert len(message) < 450


def failed_write(error: Exception) -> errors.TsdsError:
    failure = explain(error, PLACE, write=True)
    assert failure is not None
    return failure.error


@pytest.mark.parametrize(
    "error",
    [
        *(ResponseHandlingException(kind("gone")) for kind in (
            httpx.ReadTimeout, httpx.WriteTimeout, httpx.ReadError, httpx.WriteError,
            httpx.RemoteProtocolError,
        )),
        *(answered(status, "Gateway") for status in (408, 502, 503, 504)),
        answered(500, f"Service internal error: {TONIC}"),
        answered(500, "Service internal error: task panicked"),
        ResourceExhaustedResponse("Write rate limit exceeded: Operation requires 9 tokens", 3),
    ],
)  # fmt: skip
def test_a_write_may_be_stored_in_part(error: Exception) -> None:
    failed = failed_write(error)
    assert type(failed) is errors.UnconfirmedWriteError
    assert failed.exit_code == 3
    assert re.search("so that a write may be stored in part; .*again", str(failed))
    failure = explain(error, PLACE)
    assert failure is not None
    assert not isinstance(failure.error, errors.UnconfirmedWriteError)


@pytest.mark.parametrize(
    "error",
    [
        ResponseHandlingException(httpx.ConnectError("refused")),
        ResponseHandlingException(httpx.ConnectTimeout("late")),
        answered(401, "Invalid API key or JWT"),
        answered(400, "Wrong input: Shard key not specified"),
        answered(413, "Payload Too Large"),
        answered(500, "1 of 1 read operations failed"),
        answered(507, "Not enough space available for update operation!"),
        ResourceExhaustedResponse("Read rate limit exceeded", 3),
    ],
)
def test_what_was_not_stored_says_nothing_of_parts(error: Exception) -> None:
    failed = failed_write(error)
    assert not isinstance(failed, errors.UnconfirmedWriteError)
    assert "in part" not in str(failed)


@pytest.mark.parametrize(("asked", "wait"), [("7", 7.0), ("soon", None), (None, None)])
def test_a_proxy_may_ask_for_a_wait(asked: str | None, wait: float | None) -> None:
    for status in (429, 503):
        failure = explain(answered(status, "", retry_after=asked), PLACE)
        assert failure is not None
        assert (failure.course, failure.wait) == ("retry", wait)


def test_a_page_that_is_not_qdrants() -> None:
    failure = explain(answered(404, "", body=b"<html>\n<h1>Not here</h1>"), PLACE)
    assert failure is not None
    assert "<html> <h1>Not here</h1>" in str(failure.error)
    assert "check that the address is Qdrant's" in str(failure.error)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("Collection texts not found"), errors.CollectionNotFoundError),
        (ValueError("Collection texts already exists"), errors.CollectionExistsError),
        (
            ValueError("Dense vector v is not found in the collection"),
            errors.CollectionNotFoundError,
        ),
        (
            RuntimeError("Storage folder x is already accessed by another instance"),
            errors.CollectionLockedError,
        ),
        (RuntimeError("QdrantLocal instance is closed."), errors.CollectionError),
        (NotImplementedError("not in local mode"), errors.RequestRejectedError),
        (ValueError("Failed to parse: http://a:b:c"), errors.SettingsError),
    ],
)
def test_errors_of_local_mode_are_mapped(error: Exception, kind: type[errors.TsdsError]) -> None:
    failure = explain(error, PLACE)
    assert failure is not None
    assert type(failure.error) is kind
    assert failure.course == "final"


def test_what_is_not_theirs_passes() -> None:
    assert explain(errors.InputError("ours"), PLACE) is None
    assert explain(KeyError("a bug"), PLACE) is None
    for context in (server_failures(PLACE), edge_failures("/data", "texts")):
        with pytest.raises(KeyError), context:
            raise KeyError("a bug")


GRPC_CODES: list[tuple[grpc.StatusCode, str, type[errors.TsdsError], str]] = [
    (grpc.StatusCode.UNAVAILABLE, "no replica", errors.UnreachableError, "retry"),
    (grpc.StatusCode.DEADLINE_EXCEEDED, "late", errors.UnreachableError, "slow"),
    (grpc.StatusCode.UNAUTHENTICATED, "Must provide an API key", errors.AccessDeniedError, "final"),
    (grpc.StatusCode.PERMISSION_DENIED, "read only", errors.AccessDeniedError, "final"),
    (
        grpc.StatusCode.NOT_FOUND,
        "Collection `texts` doesn't exist!",
        errors.CollectionNotFoundError,
        "final",
    ),
    (
        grpc.StatusCode.INVALID_ARGUMENT,
        "Vector dimension error: expected dim: 4, got 3",
        errors.CollectionMismatchError,
        "final",
    ),
    (grpc.StatusCode.INVALID_ARGUMENT, "Payload reached size limit", OversizedError, "split"),
    (grpc.StatusCode.ALREADY_EXISTS, "already exists", errors.CollectionExistsError, "final"),
    (grpc.StatusCode.RESOURCE_EXHAUSTED, "please try to split", OversizedError, "split"),
    (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "Sent message larger than max (9 vs. 4)",
        OversizedError,
        "split",
    ),
    (grpc.StatusCode.RESOURCE_EXHAUSTED, "quota", errors.UnreachableError, "retry"),
    (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "No space left on device",
        errors.RequestRejectedError,
        "final",
    ),
    (grpc.StatusCode.INTERNAL, "2 of 3 read operations failed", errors.UnreachableError, "retry"),
    (grpc.StatusCode.INTERNAL, "panic", errors.RequestRejectedError, "final"),
    (grpc.StatusCode.UNIMPLEMENTED, "unknown service", errors.RequestRejectedError, "final"),
]


@pytest.mark.parametrize(("code", "text", "kind", "course"), GRPC_CODES)
def test_every_grpc_code_has_its_course(
    code: grpc.StatusCode, text: str, kind: type[errors.TsdsError], course: str
) -> None:
    with (
        grpc_server(lambda _, context: context.abort(code, text)) as client,
        pytest.raises(grpc.RpcError) as caught,
    ):
        client.grpc_points.QueryBatch(messages.QueryBatchPoints(), timeout=10)
    failure = explain(caught.value, PLACE)
    assert failure is not None
    assert (type(failure.error), failure.course) == (kind, course)
    assert text in str(failure.error)


def test_grpc_may_ask_for_a_wait() -> None:
    def busy(request: messages.QueryBatchPoints, context: grpc.ServicerContext) -> None:
        context.set_trailing_metadata((("retry-after", "7"),))
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "slow down")

    with grpc_server(busy) as client, pytest.raises(ResourceExhaustedResponse) as caught:
        client.grpc_points.QueryBatch(messages.QueryBatchPoints(), timeout=10)
    failure = explain(caught.value, PLACE)
    assert failure is not None
    assert (failure.course, failure.wait) == ("retry", 7)


LEAKS = [
    ResponseHandlingException(httpx.LocalProtocolError(f"Illegal header value {KEY.encode()!r}")),
    ResponseHandlingException(httpx.ConnectError(f"failed: {KEY}")),
    ResourceExhaustedResponse(f"quota of {KEY}", 1),
    QdrantException(f"{KEY} ?"),
    answered(403, f"unknown key {KEY}"),
    answered(400, f"bad {KEY}"),
    answered(500, "", body=KEY.encode()),
    ValueError(f"metadata was invalid: [('api-key', {KEY!r})]"),
]


@pytest.mark.parametrize("error", LEAKS)
def test_the_key_is_in_no_message(error: Exception) -> None:
    failure = explain(error, PLACE)
    assert failure is not None
    assert "s3cret" not in str(failure.error)
    assert "***" in str(failure.error)
    assert "s3cret" not in repr(PLACE)


@pytest.mark.parametrize("key", ["r", "a", "e"])
def test_a_short_key_is_hidden_and_hides_no_meaning(key: str) -> None:
    place = Place("http://qdrant.example:6333", "texts", key)
    failure = explain(answered(403, "Forbidden: Global manage access is required"), place)
    assert failure is not None
    assert "lets this API key only read" in str(failure.error)
    (said,) = re.findall(r"\((403: .*)\)", str(failure.error))
    assert key not in said


@pytest.mark.parametrize("key", ["", "with space", "line\n", "tab\t", "schlüssel"])
def test_a_key_that_cannot_be_sent_is_refused(key: str) -> None:
    with pytest.raises(errors.AccessDeniedError, match="TSDS_QDRANT_API_KEY") as caught:
        ServerCollection.open("http://127.0.0.1:1", "texts", connection=Connection(api_key=key))
    assert not key or key not in str(caught.value)


def test_errors_of_the_embedded_engine(tmp_path: Path) -> None:
    path = str(tmp_path / "texts")
    config = edge.EdgeConfig(vectors=edge.EdgeVectorParams(size=3, distance=edge.Distance.Cosine))
    shard = edge.EdgeShard.create(path, config)
    point = edge.Point(1, [1.0, 2.0], {})
    query = edge.QueryRequest(query=edge.Query.Nearest([1.0, 0, 0], using="v"), limit=1)
    larger = edge.EdgeConfig(vectors=edge.EdgeVectorParams(size=4, distance=edge.Distance.Cosine))
    cases: list[tuple[Callable[[], Any], type[errors.TsdsError]]] = [
        (lambda: edge.EdgeShard.load(path), errors.CollectionLockedError),
        (lambda: edge.EdgeShard.create(path, config), errors.CollectionExistsError),
        (lambda: edge.EdgeShard.load(str(tmp_path / "none")), errors.CollectionNotFoundError),
        (
            lambda: shard.update(edge.UpdateOperation.upsert_points([point])),
            errors.CollectionMismatchError,
        ),
        (lambda: shard.query(query), errors.CollectionNotFoundError),
        (lambda: edge.Point("abc", [1.0], {}), errors.RequestRejectedError),
    ]
    for call, kind in cases:
        check_edge_failure(tmp_path, call, kind)
    shard.close()
    check_edge_failure(tmp_path, lambda: shard.count(edge.CountRequest()), errors.CollectionError)
    check_edge_failure(
        tmp_path, lambda: edge.EdgeShard.load(path, larger), errors.CollectionMismatchError
    )


def check_edge_failure(
    directory: Path, call: Callable[[], Any], kind: type[errors.TsdsError]
) -> None:
    with pytest.raises(errors.TsdsError) as caught, edge_failures(str(directory), "texts"):
        call()
    assert type(caught.value) is kind
    assert str(caught.value).startswith(f"collection 'texts' at {directory} ")
    assert "; " in str(caught.value)
