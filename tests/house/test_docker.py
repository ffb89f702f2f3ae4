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
from typer.main import get_command

from tsds_qdrant import errors
from tsds_qdrant.cli import app
from tsds_qdrant.runs.watch import LONGEST_PAUSE_S

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


def test_writes_go_on_while_one_of_three_nodes_is_down() -> None:
    """Two replicas of every shard, of which one confirms a write."""
    for service in qdrant_services("compose.cluster.yaml").values():
        new = "QDRANT__STORAGE__COLLECTION__"
        assert service["environment"][f"{new}REPLICATION_FACTOR"] == "2"
        assert service["environment"][f"{new}WRITE_CONSISTENCY_FACTOR"] == "1"


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_a_second_start_fits_into_the_start_period(name: str) -> None:
    """Nodes of one machine were ready 4 to 12 s after one."""
    for service in qdrant_services(name).values():
        health = service["healthcheck"]
        assert 2 * 12 <= int(health["start_period"].removesuffix("s")) <= 60
        assert int(health["retries"]) * int(health["interval"].removesuffix("s")) >= 12


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


def parsed(words: list[str]) -> dict[str, Any]:
    """What a command of an image makes of its words, by the command line's own parser."""
    name, *rest = words
    command = get_command(app).get_command(None, name)  # type: ignore[attr-defined]
    values: dict[str, Any] = command.make_context(name, list(rest)).params
    return values


def test_a_watch_in_a_container_is_probed_by_the_age_of_its_file() -> None:
    services = compose("compose.yaml")["services"]
    watch, cli = services["watch"], services["cli"]
    assert watch["profiles"] == ["watch"]
    assert {key: watch[key] for key in ("image", "environment", "volumes", "user", "build")} == {
        key: cli[key] for key in ("image", "environment", "volumes", "user", "build")
    }
    given = parsed(watch["command"])
    assert given["state"] == Path("task.run")
    assert given["health"] == Path("health.json")
    command, shell, option, script = watch["healthcheck"]["test"]
    assert (command, shell, option) == ("CMD", "sh", "-c")
    minutes = re.search(r"find /work/health\.json -mmin -(\d+)\)", script.replace("$$", "$"))
    assert minutes
    assert int(minutes[1]) * 60 > LONGEST_PAUSE_S + given["every"].value


JOBS = list(yaml.safe_load_all((ROOT / "docker" / "cronjob.yaml").read_text(encoding="utf-8")))


def jobs() -> dict[str, dict[str, Any]]:
    """Specs of the jobs, by name."""
    found = {}
    for document in JOBS:
        assert document["apiVersion"] in ("v1", "batch/v1")
        if document["kind"] == "Job":
            found[document["metadata"]["name"]] = document["spec"]
        elif document["kind"] == "CronJob":
            found[document["metadata"]["name"]] = document["spec"]["jobTemplate"]["spec"]
    assert list(found) == ["tsds-select", "tsds-reselect"]
    return found


@pytest.mark.parametrize("name", ["tsds-select", "tsds-reselect"])
def test_commands_of_the_jobs_can_be_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (container,) = jobs()[name]["template"]["spec"]["containers"]
    given = {one["name"]: one.get("value") for one in container["env"]}
    monkeypatch.setenv("TSDS_QDRANT", given.get("TSDS_QDRANT") or "")
    values = parsed(container["args"])
    assert values.get("state") in ("task.run", Path("task.run"))
    assert values["out"] == Path("selected.jsonl")
    assert values.get("json") or values.get("as_json")
    assert values["ask_api_key"] is False
    assert container["name"] == "tsds-qdrant"
    assert container["workingDir"] == "/work"


def outcome(spec: dict[str, Any], code: int, conditions: tuple[str, ...] = ()) -> str:
    """What becomes of a pod that ends with ``code``: the first rule that fits says so.

    A rule about exit codes fits if the code is (not) in its values; 0 fits none. Where no rule fits
    a failure counts (reference of the API, PodFailurePolicy).
    """
    if not code:
        return "done"
    for rule in spec["podFailurePolicy"]["rules"]:
        assert len(rule.keys() & {"onExitCodes", "onPodConditions"}) == 1
        if "onPodConditions" in rule:
            for pattern in rule["onPodConditions"]:
                assert pattern["status"] == "True"
                if pattern["type"] in conditions:
                    return str(rule["action"])
            continue
        wanted = rule["onExitCodes"]
        assert wanted["containerName"] == "tsds-qdrant"
        assert wanted["values"] == sorted({*wanted["values"]})
        assert wanted["operator"] == "NotIn" or 0 not in wanted["values"]
        if (code in wanted["values"]) == (wanted["operator"] == "In"):
            return str(rule["action"])
    return "Count"


def test_exit_code_3_alone_is_retried() -> None:
    retried = {
        kind.exit_code
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.TsdsError) and kind.exit_code > 2
    }
    assert retried == {errors.UnreachableError.exit_code} == {3}
    for spec in jobs().values():
        assert spec["backoffLimit"] >= 3
        assert spec["template"]["spec"]["restartPolicy"] == "Never"  # which the policy needs
        found = {code: outcome(spec, code) for code in range(256)}
        assert {code for code, action in found.items() if action == "Count"} == retried
        assert {code for code, action in found.items() if action == "done"} == {0}
        assert {found[code] for code in range(1, 256) if code != 3} == {"FailJob"}
        for code in (3, 130, 137, 143):  # a node that is drained
            assert outcome(spec, code, ("DisruptionTarget",)) == "Ignore"


def test_jobs_do_not_overlap_and_keep_their_run() -> None:
    claim, _, cron = JOBS
    assert cron["spec"]["concurrencyPolicy"] == "Forbid"
    assert len(cron["spec"]["schedule"].split()) == 5
    assert claim["spec"]["accessModes"] == ["ReadWriteOncePod"]
    for spec in jobs().values():
        pod = spec["template"]["spec"]
        (container,) = pod["containers"]
        mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert {mount["name"] for mount in mounts.values()} == volumes.keys()
        run = volumes[mounts["/work"]["name"]]
        assert run["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        assert volumes[mounts["/tmp"]["name"]]["emptyDir"] == {}


def test_pods_may_do_nothing_but_read_and_their_key_is_secret() -> None:
    text = (ROOT / "docker" / "cronjob.yaml").read_text(encoding="utf-8")
    created = re.findall(r"create secret generic ([\w-]+) --from-literal=([\w-]+)=", text)
    for spec in jobs().values():
        pod = spec["template"]["spec"]
        (container,) = pod["containers"]
        given = {one["name"]: one for one in container["env"]}
        key = given["TSDS_QDRANT_API_KEY"]
        assert "value" not in key
        named = key["valueFrom"]["secretKeyRef"]
        assert [(named["name"], named["key"])] == created
        assert "read-only" in named["key"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"]
        limits = container["securityContext"]
        assert limits["readOnlyRootFilesystem"] is True
        assert limits["allowPrivilegeEscalation"] is False
        assert limits["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]
        # All that is written lies on a volume.
        assert given["HOME"]["value"] == "/tmp"
        assert given["HF_HOME"]["value"].startswith("/work/")


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
