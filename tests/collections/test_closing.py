"""Whatever is under way when a collection is closed, no connection stays open."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest
from playback import Reply, http_server
from sockets import left_open

from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.server.session import Session
from tsds_qdrant.errors import CollectionError

ANSWER: Reply = (200, {}, {"title": "qdrant", "version": "1.19.0"})


@pytest.mark.slow
@pytest.mark.parametrize("connected", [True, False])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_request_that_connects_while_the_session_is_closed(
    connected: bool, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is closed just before, or just after, the connections of all threads are there."""
    connect = socket.create_connection
    together = threading.Barrier(threads)
    raised: list[BaseException] = []
    with http_server(lambda method, path, body: ANSWER) as url:
        session = Session(url, "texts", Connection())

        def closing(*args: Any, **options: Any) -> socket.socket:
            made = connect(*args, **options) if connected else None
            together.wait()
            session.close()
            return made or connect(*args, **options)

        monkeypatch.setattr(socket, "create_connection", closing)

        def ask() -> None:
            try:
                session.send(lambda client: client.info())
            except CollectionError as error:
                raised.append(error)

        asking = [threading.Thread(target=ask) for _ in range(threads)]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
        assert not left_open(url)
    assert len(raised) == threads
    assert all("is closed; open it again" in str(error) for error in raised)
