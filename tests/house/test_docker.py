"""The container files: what they promise is read from them, and the health check is run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest itself needs it there

ROOT = Path(__file__).parents[2]
COMPOSE_FILES = ["compose.yaml", "compose.cluster.yaml"]
NODES = ["qdrant_node_1", "qdrant_node_2", "qdrant_node_3"]


def compose(name: str) -> dict[str, Any]:
    text = (ROOT / "docker" / name).read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content


def qdrant_services(name: str) -> dict[str, dict[str, Any]]:
    services = compose(name)["services"]
    return {key: value for key, value in services.items() if "qdrant/" in value["image"]}


def health_script(service: dict[str, Any]) -> str:
    """The bash script of a health check, as compose hands it to the container."""
    command, shell, option, script = service["healthcheck"]["test"]
    assert (command, shell, option) == ("CMD", "bash", "-c")
    assert "$" not in script.replace("$$", ""), "compose would replace a single $"
    return str(script.replace("$$", "$"))


def dockerfile() -> list[tuple[str, str]]:
    """Instructions and arguments of the Dockerfile, with continued lines joined."""
    text = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines]


def arguments(instruction: str) -> list[str]:
    return [rest for name, rest in dockerfile() if name == instruction]


@pytest.fixture(params=[200, 503])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[int, int, list[str]]]:
    """A server that answers every path with one status: (status, port, paths asked for)."""
    paths: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(request.param)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    with HTTPServer(("127.0.0.1", 0), Answer) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield request.param, running.server_port, paths
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_every_qdrant_is_pinned_guarded_and_on_loopback_only(name: str) -> None:
    services = qdrant_services(name)
    assert services
    for service in services.values():
        assert re.fullmatch(r"qdrant/qdrant:v\d+\.\d+\.\d+", service["image"])
        assert service["environment"]["QDRANT__SERVICE__API_KEY"].startswith("${QDRANT_API_KEY:?")
        assert {"interval", "timeout", "retries"} <= set(service["healthcheck"])
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        assert {port.rpartition(":")[2] for port in service["ports"]} == {"6333", "6334"}


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_host_ports_and_volumes_are_not_shared(name: str) -> None:
    services = qdrant_services(name).values()
    ports = [port.rpartition(":")[0] for service in services for port in service["ports"]]
    assert len(set(ports)) == len(ports)
    mounts = [mount.split(":") for service in services for mount in service["volumes"]]
    sources = [source for source, _ in mounts]
    assert len(set(sources)) == len(sources)
    assert set(sources) <= set(compose(name)["volumes"])
    assert [target for _, target in mounts].count("/qdrant/storage") == len(services)


def test_the_same_qdrant_version_everywhere() -> None:
    images = {s["image"] for name in COMPOSE_FILES for s in qdrant_services(name).values()}
    assert len(images) == 1


def test_three_nodes_start_from_the_first() -> None:
    services = qdrant_services("compose.cluster.yaml")
    assert list(services) == NODES
    for name, service in services.items():
        words = service["command"].split()
        assert words[words.index("--uri") + 1] == f"http://{name}:6335"
        assert service["environment"]["QDRANT__CLUSTER__ENABLED"] == "true"
        assert service["environment"]["QDRANT__CLUSTER__P2P__PORT"] == "6335"
        if name == NODES[0]:
            assert "--bootstrap" not in words
            assert "depends_on" not in service
        else:
            assert words[words.index("--bootstrap") + 1] == f"http://{NODES[0]}:6335"
            assert service["depends_on"] == {NODES[0]: {"condition": "service_healthy"}}


def test_a_stopped_cluster_can_start_again() -> None:
    """Node 1 is ready only with a second node, and the others wait for its health check."""
    script = health_script(qdrant_services("compose.cluster.yaml")[NODES[0]])
    assert "/healthz" in script
    assert "/readyz" not in script


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("name", "path"), [("compose.yaml", "/readyz"), ("compose.cluster.yaml", "/healthz")]
)
def test_the_health_check_tells_a_healthy_server(
    name: str, path: str, server: tuple[int, int, list[str]]
) -> None:
    status, port, paths = server
    for service in qdrant_services(name).values():
        script = health_script(service).replace("/6333", f"/{port}")
        ran = subprocess.run(["bash", "-c", script], capture_output=True, timeout=20, check=False)
        assert (ran.returncode == 0) == (status == 200)
    assert set(paths) == {path}


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_the_health_check_fails_where_nobody_listens(name: str) -> None:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as closed:
        port = closed.server_port
    for service in qdrant_services(name).values():
        script = health_script(service).replace("/6333", f"/{port}")
        ran = subprocess.run(["bash", "-c", script], capture_output=True, timeout=20, check=False)
        assert ran.returncode != 0


def test_the_command_line_is_a_profile_that_waits_for_qdrant() -> None:
    services = compose("compose.yaml")["services"]
    cli = services["cli"]
    assert cli["profiles"] == ["cli"]
    assert cli["depends_on"] == {"qdrant": {"condition": "service_healthy"}}
    context = ROOT / "docker" / cli["build"]["context"]
    assert (context / cli["build"]["dockerfile"]).is_file()
    key = services["qdrant"]["environment"]["QDRANT__SERVICE__API_KEY"]
    assert cli["environment"] == {
        "TSDS_QDRANT": "http://qdrant:6333",
        "TSDS_QDRANT_API_KEY": key,
    }


def test_the_image_has_a_pinned_base_and_an_ordinary_user() -> None:
    for base in arguments("FROM"):
        assert re.match(r"python:3\.\d+-slim", base)
    *_, user = arguments("USER")
    assert user not in {"root", "0"}
    assert any(re.search(rf"useradd .*\b{user}\b", run) for run in arguments("RUN"))
    assert arguments("VOLUME") == ["/work"]
    assert any(arg.startswith("TORCH_INDEX=https://") for arg in arguments("ARG"))


def test_the_entry_point_is_the_console_script() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    [entry] = arguments("ENTRYPOINT")
    [script] = yaml.safe_load(entry)
    assert script in project["scripts"]
    [extras] = [arg.partition("=")[2] for arg in arguments("ARG") if arg.startswith("EXTRAS=")]
    assert set(extras.split(",")) <= set(project["optional-dependencies"])


def test_the_build_context_holds_what_the_wheel_needs_and_no_more() -> None:
    ignore = (ROOT / "docker" / "Dockerfile.dockerignore").read_text(encoding="utf-8")
    rules = [line for line in ignore.splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"
    admitted = {rule[1:] for rule in rules if rule.startswith("!")}
    copied: set[str] = set()
    for copy in arguments("COPY"):
        words = copy.split()
        if not words[0].startswith("--from"):
            copied.update(words[:-1])
    assert copied == admitted
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    needed = {"pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]}
    assert copied == needed | set(wheel)


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_compose_itself_accepts_the_file(name: str) -> None:
    command = ["docker", "compose"]
    found = shutil.which("docker") is not None and (
        subprocess.run([*command, "version"], capture_output=True, check=False).returncode == 0
    )
    if not found:
        pytest.skip("docker compose is not installed")
    command += ["-f", str(ROOT / "docker" / name), "config", "--quiet"]
    environment = {key: value for key, value in os.environ.items() if key != "QDRANT_API_KEY"}
    without = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert without.returncode != 0
    assert "QDRANT_API_KEY" in without.stderr
    environment["QDRANT_API_KEY"] = "a-key"
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
