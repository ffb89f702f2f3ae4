"""What a run is, in a few facts for a person."""

from __future__ import annotations

from typing import Any

from tsds_qdrant.runs.run import load_run
from tsds_qdrant.runs.state import RunState


def facts_of(state: RunState) -> dict[str, Any]:
    """Collection, task, settings and size of the run in ``state``, and how it finds changes.

    Raises:
        StateError: the state holds no run.
    """
    run, arrays, stored = load_run(state)
    strategy, mark = run.settings.strategy, run.mark
    facts: dict[str, Any] = {
        "collection": f"{run.collection['name']} in {run.collection['location']}",
        "queries": f"{len(arrays['query_weights'])} from "
        f"{run.queries.get('source', 'the library')}",
        "strategy": strategy.name,
        "sizes": ", ".join(map(str, run.sizes)),
    }
    facts |= strategy.settled(stored.get("knowledge", stored), arrays)
    if given := run.settings.given():
        facts["settings"] = ", ".join(f"{name} {value}" for name, value in given.items())
    if guard := stored.get("guard"):
        facts["test_items"] = f"{sum(guard['counts'])} from {', '.join(guard['sources'])}"
    facts |= {
        "support": len(run.drawn.keys),
        "changes": f"by {mark.way}"
        + (f" {mark.field_name}" if mark.way == "field" else "")
        + f", blind to {mark.blind_to}",
        "runs": len(state.runs()),
    }
    if run.tagging:
        place = f" and at {run.tagging.place}" if run.tagging.place else ""
        facts["write_back"] = f"as tsds.{run.tagging.name}{place}, run {run.tagging.run}"
    return facts
