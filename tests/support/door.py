"""A door before a real engine: Qdrant's REST API on the loopback, over qdrant-client's local mode.

Every answer is the engine's, except refusals and failures, which a test asks for and which have
the words of Qdrant 1.18: strict mode, API keys, custom sharding, replicas that differ.

    with open_door() as door:
        door.client.create_collection("texts", ...)             # the engine itself
        door.limit("texts", max_query_limit=100)                # strict mode
        door.keys = {"k": "manage", "t": {"texts": "r"}}        # what each API key may do
        door.hook = lambda request: None                        # may answer instead
        run("select", "--qdrant", door.url, "--collection", "texts", ...)
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from door_engine import (
    READS,
    WRITES,
    Facts,
    Node,
    engine_errors,
    names_nothing,
    operations_of,
    parsed,
)
from door_keys import Access, access_of, check_collection, check_global
from door_limits import Limits, RefusedError
from playback import Reply, listening
from pydantic_core import to_jsonable_python
from qdrant_client import QdrantClient, models
from recordings import recorded

PEER = 5039892235645498


@dataclass
class Request:
    """A request; ``apply`` carries it out, on the replicas given, and returns the answer."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    apply: Callable[..., Reply] = field(init=False, repr=False)

    @property
    def writes(self) -> bool:
        """Whether it writes points."""
        tail = self.path.partition("/collections/")[2].partition("/")[2]
        return tail == "points/batch" or (self.method, tail) in WRITES


Hook = Callable[[Request], Reply | None]


class Door:
    """What a door does; all attributes may be changed while it is open.

    Attributes:
        keys: what each API key gives; where there are none, none is needed.
        hook: is given each request that the keys allow, and may answer it instead.
        reading: the replica that answers reads.
        clock: the time for rate limits, in seconds.
        requests: all requests that came, in order.
    """

    def __init__(self, replicas: int = 1, version: str = "1.18.3") -> None:
        self.url = ""
        self.version = version
        self.nodes = [Node() for _ in range(replicas)]
        self.keys: dict[str, Access] = {}
        self.hook: Hook = lambda request: None
        self.reading = 0
        self.clock: Callable[[], float] = time.monotonic
        self.requests: list[Request] = []
        self._facts: dict[str, Facts] = {}
        self._lock = threading.RLock()

    @property
    def client(self) -> QdrantClient:
        """The engine of the first replica."""
        return self.nodes[0].client

    def facts(self, name: str) -> Facts:
        """What the engine does not keep of a collection, or alias."""
        for alias in self.client.get_aliases().aliases:
            if alias.alias_name == name:
                name = alias.collection_name
        return self._facts.setdefault(name, Facts())

    def limit(self, name: str, **strict: Any) -> None:
        """Put the strict mode ``strict`` on a collection; it is enabled unless that says no."""
        config = models.StrictModeConfig(**{"enabled": True, **strict})
        self.facts(name).limits = Limits(config, lambda: self.clock())

    def shard(self, name: str, *keys: models.ShardKey) -> None:
        """Give a collection custom sharding; points that it has get the first of ``keys``."""
        facts = self.facts(name)
        facts.shard_keys = list(keys)
        facts.key_of = {point.id: keys[0] for point in self.client.scroll(name, limit=10**9)[0]}
        facts.params["sharding_method"] = "custom"

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Answer one request over HTTP."""
        url = urlsplit(path)
        query = dict(parse_qsl(url.query))
        try:
            access = access_of(self.keys, url.path, headers)
            content = json.loads(body) if body else None
            request = Request(method, unquote(url.path), query, content)
            request.apply = lambda replicas=None: self._applied(request, access, replicas)
            self.requests.append(request)
            return self.hook(request) or request.apply()
        except RefusedError as refused:
            return reply_of(refused)

    def _applied(self, request: Request, access: Access, replicas: Sequence[int] | None) -> Reply:
        try:
            with self._lock, engine_errors():
                result = self._result(request, access, self._chosen(replicas))
        except RefusedError as refused:
            return reply_of(refused)
        if isinstance(result, bytes) or request.path == "/":
            return 200, {}, result
        return 200, {}, {"result": plain(result), "status": "ok", "time": 0.0}

    def _chosen(self, replicas: Sequence[int] | None) -> list[Node]:
        return [self.nodes[k] for k in (range(len(self.nodes)) if replicas is None else replicas)]

    def _result(self, request: Request, access: Access, nodes: list[Node]) -> Any:
        found = re.fullmatch(r"/collections/([^/]+)(?:/(.*))?", request.path)
        if found is None or found[1] == "aliases":
            return self._of_all(request, access, nodes)
        name, tail = found[1], found[2] or ""
        if (request.method, tail) in (("PUT", ""), ("PATCH", ""), ("DELETE", "")):
            check_global(access, write=True)
            return self._on_collection(request, name, nodes)
        reads = (tail in READS and request.method == "POST") or request.method == "GET"
        check_collection(access, name, write=not reads)
        if tail == "exists":
            return {"exists": self.client.collection_exists(name)}
        if not self.client.collection_exists(name):
            raise RefusedError(404, f"Not found: Collection `{name}` doesn't exist!")
        facts = self.facts(name)
        facts.limits.check_timeout(request.query)
        if request.method == "GET":
            return self._described(name, tail, facts)
        if reads:
            return self._read(name, facts, parsed(READS[tail], request.body), request.query)
        if request.writes:
            operations = operations_of(request.method, tail, request.body)
            done = self._write(name, facts, operations, nodes)
            return done if tail == "points/batch" else done[0]
        return self._on_layout(request, name, tail, nodes)

    def _of_all(self, request: Request, access: Access, nodes: list[Node]) -> Any:
        """Requests that concern no single collection."""
        match request.method, request.path:
            case "GET", "/":
                return {"title": "qdrant - vector search engine", "version": self.version}
            case "GET", "/healthz" | "/readyz" | "/livez":
                return b"all shards are ready"
            case "GET", "/collections":
                known = self.client.get_collections().collections
                return {"collections": [c for c in known if seen(access, c.name)]}
            case "GET", "/aliases":
                aliases = self.client.get_aliases().aliases
                return {"aliases": [a for a in aliases if seen(access, a.collection_name)]}
            case "GET", "/cluster":
                check_global(access, write=False)
                return cluster_of(len(self.nodes))
            case "POST", "/collections/aliases":
                check_global(access, write=True)
                changes = parsed(models.ChangeAliasesOperation, request.body).actions
                for node in nodes:
                    node.client.update_collection_aliases(changes)
                return True
        raise RefusedError(404, "", plain=True)

    def _on_collection(self, request: Request, name: str, nodes: list[Node]) -> bool:
        """Make, change or delete a collection."""
        exists = self.client.collection_exists(name)
        if request.method == "PUT":
            if exists:
                raise RefusedError(409, f"Wrong input: Collection `{name}` already exists!")
            made = parsed(models.CreateCollection, request.body)
            for node in nodes:
                node.client.create_collection(
                    name,
                    vectors_config=made.vectors,
                    sparse_vectors_config=made.sparse_vectors,
                    metadata=made.metadata,
                )
            facts = self.facts(name)
            for param in ("shard_number", "replication_factor", "write_consistency_factor"):
                facts.params[param] = getattr(made, param) or 1
            if made.sharding_method == models.ShardingMethod.CUSTOM:
                self.shard(name)
            if made.strict_mode_config:
                self.limit(name, **made.strict_mode_config.model_dump())
        elif request.method == "PATCH":
            if not exists:
                raise RefusedError(404, f"Not found: Collection `{name}` doesn't exist!")
            changes = parsed(models.UpdateCollection, request.body)
            for node in nodes:
                node.client.update_collection(name, metadata=changes.metadata)
            if changes.strict_mode_config:
                self.limit(name, **changes.strict_mode_config.model_dump())
        else:
            for node in nodes:
                node.client.delete_collection(name)
            self._facts.pop(name, None)
        return True

    def _on_layout(self, request: Request, name: str, tail: str, nodes: list[Node]) -> Any:
        """Add or remove payload indexes, named vectors and shard keys."""
        facts, body = self.facts(name), request.body
        part, _, rest = tail.partition("/")
        match request.method, part:
            case "PUT", "index":
                facts.limits.check_index(facts.indexes)
                schema = parsed(models.CreateFieldIndex, body).field_schema
                kind = getattr(schema, "type", schema)
                facts.indexes[body["field_name"]] = str(getattr(kind, "value", kind))
            case "DELETE", "index":
                facts.indexes.pop(rest, None)
            case "PUT", "vectors":
                config = parsed(models.VectorNameConfig, body)
                for node in nodes:
                    node.client.create_vector_name(name, rest, config)
            case "DELETE", "vectors":
                for node in nodes:
                    node.client.delete_vector_name(name, rest)
            case "PUT", "shards":
                (facts.shard_keys or []).append(parsed(models.CreateShardingKey, body).shard_key)
                return True
            case _:
                raise RefusedError(404, "", plain=True)
        return {"operation_id": 0, "status": "completed"}

    def _described(self, name: str, tail: str, facts: Facts) -> Any:
        """What is said of a collection."""
        if tail == "cluster":
            return self._shards(name, facts)
        if tail == "aliases":
            return self.client.get_collection_aliases(name)
        if tail:
            raise RefusedError(404, "", plain=True)
        found: Any = plain(self.client.get_collection(name))
        found["config"]["params"] |= {"shard_number": 1, **facts.params}
        strict = plain(facts.limits.strict)
        found["config"] |= {"strict_mode_config": strict} if strict else {}
        found["payload_schema"] = {
            field: {"data_type": kind, "points": found["points_count"]}
            for field, kind in facts.indexes.items()
        }
        return found

    def _shards(self, name: str, facts: Facts) -> Any:
        """Where the shards of a collection are, and in which state."""
        shards = [None] * facts.params.get("shard_number", 1)
        keys = shards if facts.shard_keys is None else facts.shard_keys
        local, remote = [], []
        for shard, key in enumerate(keys):
            own = {"shard_id": shard} if key is None else {"shard_id": shard, "shard_key": key}
            count = self.client.count(name).count // len(keys)
            if key is not None:
                count = sum(1 for one in facts.key_of.values() if one == key)
            local.append({**own, "points_count": count, "state": facts.states.get(0, "Active")})
            remote += [
                {**own, "peer_id": PEER + k, "state": facts.states.get(k, "Active")}
                for k in range(1, len(self.nodes))
            ]
        return {
            "peer_id": PEER,
            "shard_count": len(keys),
            "local_shards": local,
            "remote_shards": remote,
            "shard_transfers": [],
        }

    def _read(self, name: str, facts: Facts, asked: Any, query: Mapping[str, str]) -> Any:
        searches = getattr(asked, "searches", [asked])
        if isinstance(asked, models.QueryRequestBatch):
            facts.limits.check_batch(len(searches))
        cost = sum(facts.limits.check_read(search, facts.indexes) for search in searches)
        if facts.limits.reads:
            facts.limits.reads.take(cost)
        if query.get("consistency", "1") == "1":
            return self.nodes[self.reading].read(name, facts, asked)
        answers = [plain(node.read(name, facts, asked)) for node in self.nodes]
        if isinstance(asked, models.CountRequest):
            counts = sorted(answer["count"] for answer in answers)
            return {"count": counts[0 if query["consistency"] == "all" else len(counts) // 2]}
        return common(answers)

    def _write(self, name: str, facts: Facts, operations: list[Any], nodes: list[Node]) -> Any:
        for operation in operations:
            if names_nothing(operation):
                raise RefusedError(400, "Bad request: Empty update request")
            cost = facts.limits.check_write(operation, facts.indexes)
            if facts.limits.writes:
                facts.limits.writes.take(cost)
            for node in nodes:
                node.write(name, facts, operation)
        return [{"operation_id": 0, "status": "completed"} for _ in operations]


def cluster_of(count: int) -> dict[str, Any]:
    """What the first of ``count`` nodes says of all."""
    if count == 1:
        return {"status": "disabled"}
    peers = {str(PEER + k): {"uri": f"http://node-{k}:6335/"} for k in range(count)}
    found = recorded("cluster", "cluster, one node dead")[2]["result"]
    return {**found, "peer_id": PEER, "peers": peers, "message_send_failures": {}}


def seen(access: Access, name: str) -> bool:
    return not isinstance(access, Mapping) or name in access


def plain(value: Any) -> Any:
    """``value`` as JSON has it, without what is not given."""
    return to_jsonable_python(value, exclude_none=True)


def common(answers: Sequence[Any]) -> Any:
    """What all replicas answer: the points that are the same on each."""
    first = answers[0]
    if isinstance(first, dict):
        points = common([answer["points"] for answer in answers]) if "points" in first else None
        return first if points is None else {**first, "points": points}
    if first and "points" in first[0]:
        return [common(found) for found in zip(*answers, strict=True)]
    return [point for point in first if all(point in other for other in answers)]


def reply_of(refused: RefusedError) -> Reply:
    if refused.plain:
        return refused.status, refused.headers, refused.text.encode()
    return refused.status, refused.headers, {"status": {"error": refused.text}, "time": 0.0}


@contextmanager
def open_door(replicas: int = 1, version: str = "1.18.3") -> Iterator[Door]:
    """A door that listens at ``door.url``."""
    door = Door(replicas, version)
    with listening(door.answer) as door.url:
        yield door


class FailingWrites:
    """A hook that answers the writes of points of the numbers ``which`` (from 0) with ``reply``.

    ``applied`` says on which replicas they are carried out all the same.
    """

    def __init__(self, reply: Reply, *which: int, applied: Sequence[int] = ()) -> None:
        self.reply, self.which, self.applied = reply, which, applied
        self.writes = 0

    def __call__(self, request: Request) -> Reply | None:
        if not request.writes:
            return None
        number, self.writes = self.writes, self.writes + 1
        if number not in self.which:
            return None
        if self.applied:
            request.apply(self.applied)
        return self.reply
