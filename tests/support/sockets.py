"""Connections of this process that are still open."""

from __future__ import annotations

import gc
import socket
import threading
from urllib.parse import urlsplit


def left_open(url: str) -> list[socket.socket]:
    """Sockets connected to the server at ``url``, once the threads of clients have ended."""
    for thread in threading.enumerate():
        if thread.name == "tsds-qdrant":
            thread.join()
    port = urlsplit(url).port
    # Not by isinstance, which asks objects of others for their class: some warn then.
    found = [one for one in gc.get_objects() if issubclass(type(one), socket.socket)]
    return [one for one in found if one.fileno() >= 0 and _peer(one) == port]


def _peer(one: socket.socket) -> int | None:
    try:
        address = one.getpeername()
    except OSError:  # it listens, or the other side is gone
        return None
    return address[1] if isinstance(address, tuple) else None
