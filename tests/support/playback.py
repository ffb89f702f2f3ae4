"""Failures to play back: errors as qdrant-client raises them, and a server on the loopback."""

from __future__ import annotations

import gzip
import json
import random
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import httpx
from pydantic_core import to_json
from qdrant_client import QdrantClient
from qdrant_client import grpc as messages
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.refusals import Place
from tsds_qdrant.collections.server.line import Line, Node
from tsds_qdrant.collections.server.retries import Patience

KEY = "s3cret-\\key"
PLACE = Place("http://qdrant.example:6333", "texts", KEY)


def answered(
    status: int, text: str, *, body: bytes | None = None, retry_after: str | None = None
) -> UnexpectedResponse:
    content = json.dumps({"status": {"error": text}, "time": 0.0}).encode()
    headers = {"api-key": KEY, **({"Retry-After": retry_after} if retry_after else {})}
    return UnexpectedResponse(status, "", content if body is None else body, httpx.Headers(headers))


class Clock:
    """A time of its own, which only passes while somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    def patience(self, **changes: Any) -> Patience:
        return Patience(rng=random.Random(1), sleep=self.sleep, clock=self, **changes)

    def line(self, **changes: Any) -> Line:
        """A line to one node that waits by this clock."""
        return Line([Node(PLACE)], self.patience(**changes))

    def reach(self, **changes: Any) -> Connection:
        """A connection that waits by this clock."""
        return Connection(patience=self.patience(), **changes)


class Flaky:
    """Raises its errors one after the other, then returns 'done'."""

    def __init__(self, *raised: Exception) -> None:
        self.raised = list(raised)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.raised:
            raise self.raised.pop(0)
        return "done"


DOWN = answered(503, "Service Unavailable")
LATE = ResponseHandlingException(httpx.ReadTimeout("timed out"))


Reply = tuple[int, dict[str, str], Any]


@contextmanager
def http_server(answer: Callable[[str, str, bytes], Reply]) -> Iterator[str]:
    """A server on the loopback interface that plays back what ``answer`` says."""
    with listening(lambda method, path, headers, body: answer(method, path, body)) as url:
        yield url


@contextmanager
def listening(
    answer: Callable[[str, str, Mapping[str, str], bytes], Reply],
    tls: ssl.SSLContext | None = None,
) -> Iterator[str]:
    """A server on the loopback interface; ``answer`` is given method, path, headers and body.

    Where it raises ConnectionAbortedError, the server hangs up without an answer.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # headers and body in one packet

        def reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                status, headers, content = answer(self.command, self.path, self.headers, body)
            except ConnectionAbortedError:
                self.close_connection = True
                return
            encoded = content if isinstance(content, bytes) else to_json(content)
            if headers.get("Content-Encoding") == "gzip":
                encoded = gzip.compress(encoded, mtime=0)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            kind = "text/plain" if isinstance(content, bytes) else "application/json"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = reply  # noqa: N815

        def log_message(self, *args: Any) -> None:
            """Keep the output of the tests clean."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *args: Any) -> None:
            """A client that no longer waits for its answer is no trouble."""

    server = Server(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def failed(status: int, text: str, **headers: str) -> Reply:
    return status, headers, {"status": {"error": text}, "time": 0.0}


class Playback:
    """Describes a collection, and answers each query [x, y] with the one hit x at distance y."""

    def __init__(self, description: dict[str, Any], *first: Reply, most: int = 10**9) -> None:
        self.description = description
        self.first = list(first)
        self.most = most
        self.sizes: list[int] = []
        self.moved = 0
        self.lock = threading.Lock()

    def __call__(self, method: str, path: str, body: bytes) -> Reply:
        if path == "/":
            return 200, {}, {"title": "qdrant", "version": "1.19.0"}
        if path == "/aliases":
            return 200, {}, {"result": {"aliases": []}, "status": "ok", "time": 0.0}
        if path == "/collections/texts":
            return 200, {}, {"result": self.description, "status": "ok", "time": 0.0}
        with self.lock:
            if self.first:
                return self.first.pop(0)
        assert path.startswith("/collections/texts/points/query/batch?timeout=")
        searches = json.loads(body)["searches"]
        if len(searches) > self.most:
            return failed(413, "Payload too large")
        found = [
            {"points": [{"id": int(x), "version": 1, "score": y}]}
            for x, y in (search["query"] for search in searches)
        ]
        answer = {"result": found, "status": "ok", "time": 0.0}
        with self.lock:
            self.sizes.append(len(searches))
            self.moved += len(body) + len(to_json(answer))
        return 200, {}, answer


Call = Callable[[Any, grpc.ServicerContext], Any]


GrpcMethod = tuple[str, str, Call, Any]
"""Service, method, what answers, and the message that it is asked with."""


@contextmanager
def grpc_listening(
    *methods: GrpcMethod, port: int = 0, credentials: grpc.ServerCredentials | None = None
) -> Iterator[int]:
    """The port of a server on the loopback interface that plays back what ``methods`` say."""
    server = grpc.server(futures.ThreadPoolExecutor(4))
    for service, method, call, asked in methods:
        rpc = grpc.unary_unary_rpc_method_handler(
            call,
            request_deserializer=asked.FromString,
            response_serializer=lambda reply: reply.SerializeToString(),
        )
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, {method: rpc}),)
        )
    address = f"127.0.0.1:{port}"
    if credentials:
        port = server.add_secure_port(address, credentials)
    else:
        port = server.add_insecure_port(address)
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


def described_by(description: Any) -> tuple[GrpcMethod, ...]:
    """What opens a collection over gRPC."""

    def described(request: Any, context: grpc.ServicerContext) -> Any:
        return messages.GetCollectionInfoResponse(result=description)

    def checked(request: Any, context: grpc.ServicerContext) -> Any:
        return messages.HealthCheckReply(title="qdrant", version="1.19.0")

    return (
        ("qdrant.Collections", "Get", described, messages.GetCollectionInfoRequest),
        ("qdrant.Qdrant", "HealthCheck", checked, messages.HealthCheckRequest),
    )


@contextmanager
def grpc_server(query_batch: Call, description: Any = None) -> Iterator[QdrantClient]:
    """A client of a server on the loopback interface that plays back what ``query_batch`` says."""
    searched = ("qdrant.Points", "QueryBatch", query_batch, messages.QueryBatchPoints)
    with grpc_listening(searched, *described_by(description)) as port:
        client = QdrantClient(
            url="http://127.0.0.1:1", grpc_port=port, prefer_grpc=True, check_compatibility=False
        )
        try:
            yield client
        finally:
            client.close()


class GrpcPlayback:
    """Answers each query [x, y] with the one hit x at distance y, as :class:`Playback` does."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.moved = 0
        self.lock = threading.Lock()

    def __call__(self, request: Any, context: grpc.ServicerContext) -> Any:
        rows = [list(search.query.nearest.dense.data) for search in request.query_points]
        found = [messages.ScoredPoint(id=messages.PointId(num=int(x)), score=y) for x, y in rows]
        reply = messages.QueryBatchResponse(
            result=[messages.BatchResult(result=[hit]) for hit in found]
        )
        with self.lock:
            self.sizes.append(len(rows))
            self.moved += len(request.SerializeToString()) + len(reply.SerializeToString())
        return reply
