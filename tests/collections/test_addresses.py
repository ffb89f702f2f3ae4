"""Addresses: secrets in them are refused unseen, and messages name ports and proxies."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from backends import free_port
from door import Door, open_door
from hypothesis import given
from hypothesis import strategies as st
from playback import listening
from qdrant_client import models
from standby import certified, unencrypted

from tsds_qdrant import errors
from tsds_qdrant.collections import collection_exists, create_collection, open_collection
from tsds_qdrant.collections.addresses import checked_location, is_server, proxy_of, way_to
from tsds_qdrant.collections.connection import Connection

SECRETS = st.text("abcdefXYZ0123456789@:/?#&=%.-_", min_size=6)
SHAPES = (
    "http://h:6333?api-key={}",
    "https://h/?key={}",
    "http://h:6333/prefix?api_key={}&x=1",
    "http://user:{}@h:6333",
    "https://{}@h",
    "http://h:6333#{}",
    "http://h/a?b#{}",
    "localhost:6333?api-key={}",
    "h:6333/?k={}",
)
VARIABLES = [
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("grpc_proxy", "no_grpc_proxy", "SSL_CERT_FILE"),
]


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@given(st.sampled_from(SHAPES), SECRETS)
def test_a_secret_in_an_address_is_refused_unseen(shape: str, secret: str) -> None:
    with pytest.raises(errors.SettingsError) as caught:
        checked_location(shape.format(secret), "--qdrant")
    assert secret not in str(caught.value)
    assert "http" in str(caught.value)


@pytest.mark.parametrize("shape", SHAPES[:7])
def test_functions_refuse_it_too(shape: str) -> None:
    for reach in (open_collection, collection_exists):
        with pytest.raises(errors.SettingsError, match="TSDS_QDRANT_API_KEY") as caught:
            reach(shape.format("s3cret"), "c")
        assert "s3cret" not in str(caught.value)
    other = Connection(others=(shape.format("s3cret"),))
    with pytest.raises(errors.SettingsError, match="TSDS_QDRANT_API_KEY") as caught:
        open_collection("http://127.0.0.1:9", "c", connection=other)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("location", ["http://h", "https://h:1/a/b", "http://[::1]:6333"])
def test_usual_addresses_pass(location: str) -> None:
    assert is_server(location)
    assert checked_location(location) == location


WAYS: list[tuple[str, int | None, dict[str, str], str]] = [
    ("http://h:6333", None, {}, ""),
    ("http://h", None, {}, "port 6333"),
    ("https://h/prefix", None, {}, "port 6333"),
    ("http://[::1]", None, {}, "port 6333"),
    ("http://[::1]:1", None, {}, ""),
    ("http://h:1", 6334, {}, "gRPC port 6334"),
    ("http://h:1", None, {"HTTP_PROXY": "http://p:1"}, "through the proxy http://p:1"),
    ("http://h:1", None, {"http_proxy": "p:1"}, "through the proxy p:1"),
    ("https://h:1", None, {"HTTP_PROXY": "http://p:1"}, ""),
    ("https://h:1", None, {"ALL_PROXY": "socks5://u:pw@p:1"}, "through the proxy socks5://p:1"),
    ("http://h:1", None, {"HTTP_PROXY": "http://p:1", "NO_PROXY": "x,h"}, ""),
    ("http://a.h:1", None, {"HTTP_PROXY": "http://p:1", "NO_PROXY": ".h"}, ""),
    ("http://h:1", None, {"HTTP_PROXY": "http://p:1", "NO_PROXY": "*"}, ""),
    ("http://h:1", 7, {"HTTP_PROXY": "http://p:1"}, "gRPC port 7"),
    ("http://h:1", 7, {"grpc_proxy": "http://p:1"}, "gRPC port 7, through the proxy http://p:1"),
    ("http://h:1", 7, {"http_proxy": "http://p:1", "no_grpc_proxy": "h"}, "gRPC port 7"),
    ("./store", None, {"HTTP_PROXY": "http://p:1"}, ""),
    (":memory:", None, {}, ""),
]


@pytest.mark.parametrize(("location", "port", "variables", "way"), WAYS)
def test_the_way_to_a_server(
    location: str,
    port: int | None,
    variables: dict[str, str],
    way: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert way_to(location, port) == way


def test_a_proxy_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = f"http://user:s3cret@127.0.0.1:{free_port()}"
    monkeypatch.setenv("HTTP_PROXY", proxy)
    shown = proxy.replace("user:s3cret@", "")
    with pytest.raises(errors.UnreachableError) as caught:
        open_collection("http://qdrant.example:6333", "c")
    assert f"http://qdrant.example:6333 (through the proxy {shown})" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_requests_go_where_the_message_says(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_door() as door:
        monkeypatch.setenv("HTTP_PROXY", door.url)
        door.client.create_collection(
            "c", vectors_config=models.VectorParams(size=2, distance="Dot")
        )
        assert proxy_of("http://qdrant.invalid:6333", grpc=False) == door.url
        with open_collection("http://qdrant.invalid:6333", "c") as collection:
            assert collection.count() == 0
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(errors.UnreachableError) as caught:
        open_collection(f"http://127.0.0.1:{free_port()}", "c")
    assert "proxy" not in str(caught.value)


@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        ("socks5://127.0.0.1:1", r"'httpx\[socks\]', or set NO_PROXY=127.0.0.1"),
        ("socks5h://u:s3cret@127.0.0.1:1", r"proxy socks5h://127.0.0.1:1 .*NO_PROXY=127.0.0.1"),
        ("ftp://127.0.0.1:1", "cannot be used.*NO_PROXY=127.0.0.1"),
        ("nonsense://x", "cannot be used.*NO_PROXY=127.0.0.1"),
    ],
)
def test_a_proxy_of_another_kind(proxy: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with open_door() as door:
        with pytest.raises(errors.SettingsError, match=words) as caught:
            create_collection(door.url, "c", dimension=2)
        assert "s3cret" not in str(caught.value)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")  # as the message advises
        create_collection(door.url, "c", dimension=2).close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    return certified(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def encrypted(certificates: tuple[Path, Path, Path]) -> Iterator[str]:
    _, key, chain = certificates
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    door = Door()
    params = models.VectorParams(size=2, distance=models.Distance.DOT)
    door.client.create_collection("c", vectors_config=params)
    with listening(door.answer, context) as url:
        yield url


def count(location: str, **reached: Any) -> int:
    with open_collection(location, "c", connection=Connection(**reached)) as collection:
        return collection.count()


def test_an_encrypted_line(
    encrypted: str, certificates: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = str(certificates[0])
    with pytest.raises(errors.UnreachableError, match=r"cannot be trusted \(.*\); .*--ca-cert$"):
        count(encrypted)
    assert count(encrypted, ca_cert=root) == 0  # as the message advises
    assert count(encrypted.replace("127.0.0.1", "localhost"), ca_cert=root) == 0
    monkeypatch.setenv("SSL_CERT_FILE", root)
    assert count(encrypted) == 0


def test_an_encrypted_line_to_another_name(tmp_path: Path) -> None:
    root, key, chain = certified(tmp_path, "DNS:qdrant.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    with (
        listening(Door().answer, context) as url,
        pytest.raises(errors.UnreachableError, match="a name of the server that its certificate"),
    ):
        count(url, ca_cert=str(root))


def test_a_line_that_is_not_encrypted(
    encrypted: str, certificates: tuple[Path, Path, Path]
) -> None:
    root, port = str(certificates[0]), free_port()
    with (
        unencrypted(port),
        pytest.raises(errors.UnreachableError, match="write http://, or check the port"),
    ):
        count(f"https://127.0.0.1:{port}", ca_cert=root)
    with pytest.raises(errors.SettingsError, match="write https://, or leave --ca-cert out"):
        count(encrypted.replace("https", "http"), ca_cert=root)
    with pytest.raises(errors.UnreachableError):
        count(encrypted.replace("https", "http"))


@pytest.mark.parametrize("content", [b"", b"\x00\x01", b"-----BEGIN CERTIFICATE-----\nAA\n"])
def test_certificates_that_are_none(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(content)
    with pytest.raises(errors.SettingsError, match="holds no certificates that can be read"):
        count("https://127.0.0.1:9", ca_cert=str(file))
    with pytest.raises(errors.SettingsError, match="holds no certificates that can be read"):
        count("https://127.0.0.1:9", ca_cert=str(tmp_path / "missing.pem"))
