"""Whether two checkouts write the same bytes: real command lines on seeded pools.

Every case of `same_cases.py` runs with the code of either checkout, in a directory and a store of
its own; then the files in its directory `out` are compared. Manifests are left aside.

    python scripts/bench/same.py BEFORE [AFTER]
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from same_cases import CASES, SHARED, SHORTHANDS, make_pools

SIDES = ("before", "after")
MANIFEST = ".manifest.json"
EXCERPT = 120


def lines_of(case: str) -> list[str]:
    """The commands of a case, one for each choice in braces."""

    def expanded(line: str) -> Iterator[str]:
        parts = re.split(r"\{([^{}]+,[^{}]+)\}", line)
        choices = (part.split(",") if k % 2 else [part] for k, part in enumerate(parts))
        yield from ("".join(chosen) for chosen in itertools.product(*choices))

    joined = case.replace("\\\n", " ").splitlines()
    return [line for one in joined for line in expanded(one.strip())]


def complete(line: str, number: int, pools: Path) -> list[str]:
    """The words of a command, with the collection, the task and all outputs it can write."""
    for short, long in SHORTHANDS.items():
        line = re.sub(rf"\b{short}\b", lambda _, long=long: long, line)
    words = shlex.split(line)

    def add(option: str, value: str, also: bool = True) -> None:
        if also and option not in words:
            words.extend([option, value])

    kind = words[0]
    simple = "--method" in words and "tsds-uniform" not in words
    add("--qdrant", "store", kind != "reselect")
    add("--collection", "pool", kind != "reselect")
    add("--queries", "@task.npy", kind == "select")
    add("--out", "out/%.jsonl", kind != "ingest")
    add("--probabilities", "out/%p.jsonl", kind == "select" and not simple)
    add("--exclude-report", "out/%r.jsonl", "--exclude" in words)
    add("--diff", "out/%d.jsonl", kind == "reselect")
    return [re.sub("^@", f"{pools}/", word).replace("%", f"{number:02}") for word in words]


class FailedError(Exception):
    """A case does not show that both sides are the same; the message says why."""


def run(checkout: Path, place: Path, pools: Path, lines: list[tuple[int, str]]) -> None:
    """Run numbered lines with the code of ``checkout``, in ``place``."""
    (place / "out").mkdir(parents=True, exist_ok=True)
    for number, line in lines:
        words = complete(line.removeprefix("! "), number, pools)
        done = python(checkout, place, "-m", "tsds_qdrant", *words)
        if done.returncode != line.startswith("! "):
            said = (done.stderr.strip().splitlines() or ["nothing said"])[-1]
            raise FailedError(f"'{line}' ends with {done.returncode}: {said}")


def python(checkout: Path, place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python in ``place`` with the package of ``checkout``."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def compare_case(name: str, checkouts: list[Path], places: list[Path], pools: Path) -> int:
    """Run a case on both sides at once and count the files, which are the same.

    Raises:
        FailedError: a command fails, or a file differs; the message says which.
    """
    lines = [*enumerate(lines_of(CASES[name]))]
    shared = [number for number, line in lines if line == SHARED]
    if shared:
        run(checkouts[0], places[0], pools, lines[: shared[0]])
        shutil.copytree(places[0] / "store", places[1] / "store")
        lines = lines[shared[0] + 1 :]
    with ThreadPoolExecutor(2) as both:
        sides = [
            both.submit(run, checkout, place, pools, lines)
            for checkout, place in zip(checkouts, places, strict=True)
        ]
    for side, done in zip(SIDES, sides, strict=True):
        if error := done.exception():
            raise FailedError(f"{side}: {error}")
    if "graph" in name and not all(any(place.rglob("graph.bin")) for place in places):
        raise FailedError("a store has no graph, so the case shows nothing")
    found = [
        {path.name for path in (place / "out").iterdir() if not path.name.endswith(MANIFEST)}
        for place in places
    ]
    if odd := found[0] ^ found[1]:
        raise FailedError(f"only one side wrote {', '.join(sorted(odd))}")
    for file in sorted(found[0]):
        if apart := difference(*((place / "out" / file).read_bytes() for place in places)):
            raise FailedError(f"{file} differs {apart}")
    return len(found[0])


def difference(before: bytes, after: bytes) -> str:
    """Where two files begin to differ; empty if they do not.

    Raises:
        FailedError: both are empty, which shows nothing.
    """
    if before == after:
        if not before:
            raise FailedError("a file is empty on both sides, so the case shows nothing")
        return ""
    pairs = zip(before, after, strict=False)
    first = next((k for k, (a, b) in enumerate(pairs) if a != b), min(len(before), len(after)))
    try:
        before.decode(), after.decode()
    except UnicodeDecodeError:
        return f"from byte {first} of {len(before)} and {len(after)}"
    number = before.count(b"\n", 0, first) + 1
    shown = f"\n  before: {excerpt(before, first)}\n  after:  {excerpt(after, first)}"
    return f"from line {number}:{shown}"


def excerpt(text: bytes, first: int) -> str:
    """The line of ``text`` that holds byte ``first``, cut where it is long."""
    start, end = text.rfind(b"\n", 0, first) + 1, (text + b"\n").find(b"\n", first)
    left, right = max(start, first - EXCERPT), min(end, first + EXCERPT)
    line = text[left:right].decode(errors="replace")
    return f"{'..' * (left > start)}{line}{'..' * (right < end)}" or "(nothing)"


def check_checkout(checkout: Path, place: Path) -> None:
    """End here unless Python finds the package in ``checkout``."""
    found = python(checkout, place, "-c", "import tsds_qdrant as t; print(t.__file__)")
    if not Path(found.stdout.strip() or "/").is_relative_to(checkout):
        raise SystemExit(f"'{checkout}' does not give the package: {found.stdout}{found.stderr}")


def main() -> int:
    """Run all cases; 0 if they are the same on both sides."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("before", type=Path, help="a checkout")
    home = Path(__file__).parents[2]
    parser.add_argument("after", type=Path, nargs="?", default=home, help="by default this one")
    parser.add_argument("--case", action="append", choices=CASES, help="only this; repeatable")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave everything here, to look")
    given = parser.parse_args()
    checkouts = [given.before.resolve(), given.after.resolve()]
    same, names = 0, given.case or list(CASES)
    with tempfile.TemporaryDirectory(prefix="same-") as temporary:
        place = (given.keep or Path(temporary)).resolve()
        (place / "pools").mkdir(parents=True)
        for checkout in checkouts:
            check_checkout(checkout, place)
        make_pools(place / "pools")
        for name in names:
            places = [place / side / name for side in SIDES]
            try:
                count = compare_case(name, checkouts, places, place / "pools")
                same, result = same + 1, f"{count:3} files  same"
            except FailedError as error:
                result = str(error)
            print(f"{name:32}  {result}", flush=True)
            if not given.keep:
                for side in places:
                    shutil.rmtree(side, ignore_errors=True)
    print(f"{same} of {len(names)} cases the same")
    return 0 if same == len(names) else 1


if __name__ == "__main__":
    sys.exit(main())
