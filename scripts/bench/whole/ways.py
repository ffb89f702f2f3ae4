"""Ways from vectors on disk to a selection on disk: ours by scan and by a graph, and plain ones."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv as arrow
from bench.pools import Pool
from bench.speed.plain import FloatArray
from bench.speed.store import COLLECTION
from bench.whole.processes import Ended, ran

COST_SCALE = 1.0
OURS = ("-m", "tsds_qdrant")
PLAIN = ("-m", "bench.whole.plain")


@dataclass(frozen=True)
class Job:
    """What is selected.

    Attributes:
        pool: from what; its files are what each way begins with.
        examples: how many of its task examples.
        alpha: of the selection; C is 1 and h that of the pool.
        size: candidates to draw.
    """

    pool: Pool
    examples: int
    alpha: float
    size: int

    @property
    def task(self) -> dict[str, float]:
        """Alpha, C and h."""
        bandwidth = self.pool.bandwidth
        return {"alpha": self.alpha, "cost_scale": COST_SCALE, "bandwidth": bandwidth}

    @property
    def words(self) -> tuple[str, ...]:
        """The same and the size, as all command lines have them."""
        pairs = [("--" + name.replace("_", "-"), f"{value:g}") for name, value in self.task.items()]
        return (*(word for pair in pairs for word in pair), "--size", str(self.size))


@dataclass(frozen=True)
class Walked:
    """A way gone to its end.

    Attributes:
        stages: seconds of each of its processes.
        peak: bytes at the highest, in any of them.
        own: the same without mapped pages of files.
        probabilities: (N,) p.
        share: of the densities that were computed; less than 1 where seconds are scaled up.
    """

    stages: dict[str, float]
    peak: int
    own: int
    probabilities: FloatArray
    share: float = 1.0

    @property
    def seconds(self) -> float:
        return sum(self.stages.values())


Way = Callable[[Job, Path], Walked]


def ours(job: Job, place: Path, *, graph: bool) -> Walked:
    """``ingest`` and ``select``, in directory ``place``."""
    where = ("--qdrant", str(place / "store"), "--collection", COLLECTION)
    vectors = ("--vectors", str(job.pool.directory / "pool.npy"))
    ingest = ran((*OURS, "ingest", *vectors, *where, *(("--index",) if graph else ()), "--json"))
    queries, out, p = _queries(job, place), place / "selected.jsonl", place / "p.csv"
    asked = ("--queries", str(queries), *job.words, "--out", str(out), "--probabilities", str(p))
    select = ran((*OURS, "select", *where, *asked, "--json"))
    table = arrow.read_csv(p)
    probabilities = np.zeros(len(job.pool.vectors))
    probabilities[table["id"].to_numpy()] = table["probability"].to_numpy()
    index = float(json.loads(ingest.stdout)["seconds"]["index"])
    stages = {"ingest": ingest.seconds - index}
    if graph:
        stages["index"] = index
    stages["select"] = select.seconds
    return Walked(stages, *_most(ingest, select), probabilities)


def plain(job: Job, place: Path, *, kind: str) -> Walked:
    """The plain pipeline over a faiss index of ``kind``."""
    out = place / "selected.ids"
    files = (str(job.pool.directory / "pool.npy"), str(_queries(job, place)), str(out))
    done = ran((*PLAIN, kind, *files, *job.words))
    told: dict[str, Any] = json.loads(done.stdout)
    stages = {"all": done.seconds + told["beyond"]}
    return Walked(stages, *_most(done), np.load(out.with_suffix(".npy")), told["share"])


WAYS: dict[str, Way] = {
    "by scan": lambda job, place: ours(job, place, graph=False),
    "with a graph": lambda job, place: ours(job, place, graph=True),
    "plain pipeline": lambda job, place: plain(job, place, kind="ivf"),
    "plain pipeline, flat index": lambda job, place: plain(job, place, kind="flat"),
}
BY_FAISS = ("plain pipeline", "plain pipeline, flat index")


def go(name: str, job: Job, store: Path) -> tuple[float, Walked]:
    """Go a way in a fresh directory; its seconds, and what it came to."""
    with tempfile.TemporaryDirectory(prefix="way-", dir=store) as place:
        done = WAYS[name](job, Path(place))
    return done.seconds, done


def _queries(job: Job, place: Path) -> Path:
    """The task examples as a file of their own."""
    file = place / "queries.npy"
    np.save(file, job.pool.queries[: job.examples])
    return file


def _most(*ended: Ended) -> tuple[int, int]:
    return max(one.peak for one in ended), max(one.own for one in ended)
