"""Peak memory of a selection in a process of its own: ours, the bare engine's, the plain one's.

Run as a script it is such a process: it opens what is ready, works, and prints its peak in bytes.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from bench.speed.traffic import Call

ENGINE_BATCH = 100
SCRIPTS = Path(__file__).parents[2]


def peak_of(kind: str, order: dict[str, Any]) -> int:
    """Peak of a fresh process in bytes.

    Args:
        kind: ``ours``, ``engine`` or ``plain``.
        order: what it shall do; see the functions of that name below.

    Raises:
        RuntimeError: it failed; the message is its own.
    """
    command = [sys.executable, "-m", "bench.speed.memory", kind]
    path = os.pathsep.join(filter(None, (str(SCRIPTS), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        command,
        input=json.dumps(order),
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    if done.returncode:
        raise RuntimeError(f"the process for '{kind}' failed: {done.stderr}")
    return int(done.stdout)


def order_for(
    directory: Path, location: Path, name: str, queries: int, calls: Sequence[Call], **task: Any
) -> dict[str, Any]:
    """What the processes shall do: ``task`` holds alpha, cost_scale and bandwidth."""
    place = {"directory": str(directory), "location": str(location), "name": name}
    return {**place, "queries": queries, "task": task, "calls": [asdict(call) for call in calls]}


def ours(order: dict[str, Any]) -> None:
    """Open the ready collection and select."""
    from tsds_qdrant import SelectionSettings, open_collection, select

    collection = open_collection(order["location"], order["name"])
    select(collection, _queries(order), SelectionSettings.of(**order["task"]))
    collection.close()


def engine(order: dict[str, Any]) -> None:
    """Ask the engine itself the same number of searches, with the same limits."""
    import qdrant_edge as edge

    shard = edge.EdgeShard.load(f"{order['location']}/{order['name']}")
    examples = _queries(order)
    for call in order["calls"]:
        rows = np.resize(examples, (call["rows"], examples.shape[1]))
        radius = call["max_distance"]
        for start in range(0, len(rows), ENGINE_BATCH):
            requests = [
                edge.QueryRequest(
                    limit=call["limit"],
                    query=edge.Query.Nearest(row),
                    score_threshold=None if radius is None else 1.0 - radius**2 / 2.0,
                    params=edge.SearchParams(hnsw_ef=call["ef"], exact=call["exact"]),
                    with_payload=False,
                    with_vector=False,
                )
                for row in rows[start : start + ENGINE_BATCH].tolist()
            ]
            shard.query_batch(edge.QueryBatchRequest(requests))
    shard.close()


def plain(order: dict[str, Any]) -> None:
    """Read the pool and the saved index, and run the plain pipeline."""
    from bench.speed.store import plain_over

    directory = Path(order["directory"])
    vectors = np.load(directory / "pool.npy")
    plain_over(directory, vectors).select(_queries(order), **order["task"])


def peak() -> int:
    """Peak resident memory of this process in bytes.

    *subtle*: where Linux starts a process from a large one, ``ru_maxrss`` is that of the large
    one; the high-water mark of the address space begins again.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM:"))
        return 1024 * int(line.split()[1])
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def _queries(order: dict[str, Any]) -> Any:
    return np.load(Path(order["directory"]) / "queries.npy")[: order["queries"]]


if __name__ == "__main__":
    {"ours": ours, "engine": engine, "plain": plain}[sys.argv[1]](json.load(sys.stdin))
    print(peak())
