"""Servers that cannot be trusted or do not answer, and addresses where nobody listens."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def silent_server() -> Iterator[str]:
    """The URL of a stopped server: the system takes its connections, and nothing is answered."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def unencrypted(port: int) -> Iterator[None]:
    """Whatever is said at ``port`` of the loopback is answered in plain text, and hung up on."""
    with socket.create_server(("127.0.0.1", port)) as listener:

        def answer() -> None:
            with suppress(OSError):
                while True:
                    line, _ = listener.accept()
                    with line:
                        line.recv(1024)
                        line.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        yield


def openssl(*words: str) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make certificates with")
    subprocess.run(["openssl", *words], check=True, capture_output=True)


def certified(folder: Path, names: str = "IP:127.0.0.1,DNS:localhost") -> tuple[Path, Path, Path]:
    """An authority's certificate, and key and certificate of a server of ``names`` it signed."""
    root, root_key = folder / "root.pem", folder / "root.key"
    key, request, chain = folder / "server.key", folder / "server.csr", folder / "server.pem"
    fresh = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl(
        *("req", "-x509", *fresh, "-keyout", str(root_key), "-out", str(root), "-days", "2"),
        *("-subj", "/CN=root", "-addext", "keyUsage=critical,keyCertSign,cRLSign"),
    )
    openssl("req", *fresh, "-keyout", str(key), "-out", str(request), "-subj", "/CN=server")
    extensions = folder / "server.ext"
    extensions.write_text(f"subjectAltName={names}\n")
    openssl(
        *("x509", "-req", "-in", str(request), "-CA", str(root), "-CAkey", str(root_key)),
        *("-CAcreateserial", "-out", str(chain), "-days", "2", "-extfile", str(extensions)),
    )
    return root, key, chain
