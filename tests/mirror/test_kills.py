"""A mirroring that is killed at any step leaves the old mirror or the new one, and goes on."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import run
from door import open_door
from mirrored import NAME, client_source, contents, edge_source, points, reopened

from tsds_qdrant import open_collection
from tsds_qdrant.collections.spaces import ANY_SPACE
from tsds_qdrant.collections.whole import Shape
from tsds_qdrant.mirror import MirrorSettings, mirror, swapping
from tsds_qdrant.mirror.draft import Draft

DRIVER = """
import os, signal, sys
from pathlib import Path
from tsds_qdrant import open_collection
from tsds_qdrant.collections.edge import collection  # imported once, for all children
from tsds_qdrant.collections.whole import Shape
from tsds_qdrant.mirror import MirrorSettings, copying, mirror

copying.NOTED_S = 0.0
Shape.page = property(lambda self: 40)
source, to, by, event = sys.argv[1:]
HOOKED = ("os.rename", "shutil.rmtree", "shutil.copytree")

def work(last):
    seen = 0

    def step(*_):
        nonlocal seen
        seen += 1
        if seen == last:
            os.kill(os.getpid(), signal.SIGKILL)

    if event == "audit":
        removed = 0

        def hook(name, _):
            nonlocal removed
            removed += name == "os.remove"
            if name in HOOKED or (name == "os.remove" and removed % 25 == 0):
                step()

        sys.addaudithook(hook)
    settings = MirrorSettings(to=Path(to), by=by, index=True)
    with open_collection(source, "pool", vector="dense") as opened:
        mirror(opened, settings, progress=step if event == "progress" else lambda *_: None)

for line in sys.stdin:
    child = os.fork()
    if not child:
        work(int(line))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Killer:
    """Mirrors in children, each of which is killed at the step that it is given."""

    def __init__(self, source: Path, to: Path, by: str, event: str) -> None:
        words = [sys.executable, "-c", DRIVER, str(source), str(to), by, event]
        pipe = subprocess.PIPE
        self._driver = subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True)

    def kill_at(self, step: int) -> bool:
        """Mirror, and kill that at ``step``; False where it had ended before."""
        assert self._driver.stdin is not None
        assert self._driver.stdout is not None
        self._driver.stdin.write(f"{step}\n")
        self._driver.stdin.flush()
        code = int(self._driver.stdout.readline())
        assert code in (0, -signal.SIGKILL)
        return code != 0

    def __enter__(self) -> Killer:
        return self

    def __exit__(self, *_: object) -> None:
        self._driver.communicate()


def copied(source: Path, target: Path) -> None:
    """Copy files with their times, and with the holes in them."""
    subprocess.run(["cp", "-a", source, target], check=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("by", "event"),
    [
        ("scroll", "progress"),
        ("auto", "progress"),
        pytest.param("scroll", "audit", marks=pytest.mark.slow),
        pytest.param("auto", "audit", marks=pytest.mark.slow),
    ],
)
def test_killed_at_each_step(tmp_path: Path, by: str, event: str) -> None:
    source, to = tmp_path / "source", tmp_path / "mirror"
    edge_source(source, points(range(100))).close()
    with open_collection(source, NAME, vector="dense") as opened:
        mirror(opened, MirrorSettings(to=to, by="scroll"))
        old = contents(opened)
        opened.delete(range(10))
        opened.put_whole([*points(range(20, 30), seed=3), *points(range(200, 230))])  # type: ignore[attr-defined]
        new = contents(opened)
    kept = tmp_path / "kept"
    copied(to, kept)
    with Killer(source, to, by, event) as killer:
        step = 1
        while killer.kill_at(step):
            with reopened(to) as ours:
                assert contents(ours) in (old, new)
            step += 1
            if event == "audit":  # each step from the beginning, those behind the exchange too
                assert not killer.kill_at(0)
                with reopened(to) as ours:
                    assert contents(ours) == new
                shutil.rmtree(to)
                copied(kept, to)
    assert step > 3
    with reopened(to) as ours:
        assert contents(ours) == new
    assert [entry.name for entry in to.iterdir()] == [NAME]


@pytest.mark.slow
def test_a_first_mirror_is_there_only_when_it_is_whole(tmp_path: Path) -> None:
    source, to = tmp_path / "source", tmp_path / "mirror"
    edge_source(source, points(range(100))).close()
    resumed = 0
    with Killer(source, to, "scroll", "progress") as killer:
        step = 1
        while killer.kill_at(step):
            if (to / NAME).exists():
                with reopened(to) as ours:
                    assert ours.count() == 100
            resumed = max(resumed, Draft(to, NAME).progress().get("done", 0))
            step += 1
    assert resumed == 100
    with reopened(to) as ours, open_collection(source, NAME, vector="dense") as theirs:
        assert contents(ours) == contents(theirs)


def test_an_interrupted_one_goes_on_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Shape, "page", property(lambda _: 40))

    def interrupting(_: str, done: int, total: int) -> None:
        if 0 < done < total:
            raise KeyboardInterrupt

    with open_door() as door:
        client_source(door.client, points(range(100)))
        with (
            open_collection(door.url, NAME, vector=ANY_SPACE) as source,
            pytest.raises(KeyboardInterrupt),
        ):
            mirror(source, MirrorSettings(to=tmp_path), progress=interrupting)
        since = Draft(tmp_path, NAME).progress()["since"]
        place = ("--qdrant", door.url, "--collection", NAME, "--to", tmp_path)
        said = run("mirror", *place).stderr
    assert "added 100, " in said
    found = re.search(r"went on behind the first 40 points, .* as of (\S+); run it again", said)
    assert found
    assert found[1] == since


def test_without_an_exchange_the_old_one_steps_aside_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swapping, "exchanged", lambda *_: False)
    source, to = tmp_path / "source", tmp_path / "mirror"
    edge_source(source, points(range(50))).close()
    with open_collection(source, NAME, vector="dense") as opened:
        mirror(opened, MirrorSettings(to=to))
        opened.delete([1])
        renamed: list[Path] = []
        rename = Path.rename

        def failing(path: Path, target: Path) -> Path:
            renamed.append(path)
            if len(renamed) == 2:
                raise KeyboardInterrupt
            return rename(path, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", failing)
            with pytest.raises(KeyboardInterrupt):
                mirror(opened, MirrorSettings(to=to))
        assert not (to / NAME).exists()
        Draft(to, NAME).recovered()
        with reopened(to) as ours:
            assert ours.count() == 50
        mirror(opened, MirrorSettings(to=to))
    with reopened(to) as ours:
        assert ours.count() == 49
    assert [entry.name for entry in to.iterdir()] == [NAME]
