"""The results as Markdown tables and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from bench.speed.clock import Timing, shown

Result = dict[str, Any]


def report(found: Result) -> Iterator[str]:
    """Lines of the report: the machine, then one table for each question."""
    machine = found["machine"]
    versions = ", ".join(f"{name} {v}" for name, v in machine["versions"].items())
    loads = ", ".join(map(str, machine["load"]))
    yield (
        f"{machine['cores']} cores ({machine['processor']}), load average {loads} at the start, "
        f"Python {machine['python']}, {versions}. Seconds are medians of alternating runs, with "
        f"the least and the most; trust the ratios."
    )
    cases = found["cases"]
    yield from section("Selection, index ready", _selection(cases))
    yield from section("Store, index and select", _total(cases))
    yield from section("Bytes between client and server", _traffic(cases))
    measured = [case for case in cases if "memory" in case]
    yield from section("Peak memory", _memory(measured))
    yield from section("Searches as the pool grows", _growth(found["growth"]))
    if found["ingest"]:
        yield from section("Ingest of ready vectors", _ingest(found["ingest"]))
    yield from section("After 1 % of new candidates", _reselect(found["reselect"]))


def to_json(found: Result) -> str:
    """``found`` as JSON; a timing is its runs and their median."""
    return json.dumps(found, indent=2, default=_plain) + "\n"


def section(title: str, rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A heading and a table, the first of ``rows`` being its head; nothing without other rows."""
    if len(rows) < 2:
        return
    yield f"\n### {title}\n"
    head, *body = rows
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    yield from (f"| {' | '.join(row)} |" for row in body)


def _plain(value: Any) -> Any:
    if isinstance(value, Timing):
        return {"runs": value.seconds, "median": value.median}
    return value.item()


STAGES = ("look", "repair", "measure")
CASE = ("candidates", "task examples", "alpha")


def _case(case: Result) -> tuple[str, str, str]:
    return case["pool"], str(case["examples"]), f"{case['alpha']:g}"


def _selection(cases: Sequence[Result]) -> list[tuple[str, ...]]:
    head = (*CASE, "what", "seconds", "times as fast as plain", "total variation to the truth")
    rows = [(*head, "limit stated", "neighbours", "densities", "densities / needed")]
    rows += [
        (
            *_case(case),
            row["what"],
            str(row["timing"]),
            f"{row['times']:.1f}",
            f"{row['variation']:.1e}",
            "" if row.get("bound") is None else f"{row['bound']:.1e}",
            f"{row['neighbors']:,}",
            f"{row['densities']:,}",
            f"{row['densities'] / max(1, row['needed']):.2f}",
        )
        for case in cases
        for row in case["rows"]
    ]
    return rows


def _total(cases: Sequence[Result]) -> list[tuple[str, ...]]:
    rows = [(*CASE, "ours", "plain", "times as fast", "of which built (ours, plain)")]
    first = {case["pool"]: case for case in reversed(cases)}
    for case in reversed(first.values()):
        total = case["total"]
        stages = ", ".join(f"{name} {shown(s)} s" for name, s in total["stages"].items())
        if total["earlier"]:
            stages += ", in an earlier run"
        ratio = f"{total['plain'] / total['ours']:.1f}"
        ours, plain = shown(total["ours"]), shown(total["plain"])
        rows.append((*_case(case), f"{ours} s", f"{plain} s", ratio, stages))
    return rows


def _traffic(cases: Sequence[Result]) -> list[tuple[str, ...]]:
    rows = [(*CASE, "over", "ours", "plain", "plain / ours", "requests (ours, plain)")]
    for case in cases:
        mine, theirs = case["traffic"]["ours"], case["traffic"]["plain"]
        requests = f"{mine['requests']:,.0f}, {theirs['requests']:,.0f}"
        for over in ("rest", "grpc"):
            ratio = f"{theirs[over] / mine[over]:.0f}"
            shares = (size_text(mine[over]), size_text(theirs[over]), ratio, requests)
            rows.append((*_case(case), {"rest": "REST", "grpc": "gRPC"}[over], *shares))
    return rows


def _memory(cases: Sequence[Result]) -> list[tuple[str, ...]]:
    rows = [(*CASE, "ours", "bare engine", "plain", "ours / engine", "plain / ours")]
    for case in cases:
        peaks = case["memory"]
        ours, engine, plain = peaks["ours"], peaks["engine"], peaks["plain"]
        ratios = f"{ours / engine:.2f}", f"{plain / ours:.1f}"
        rows.append((*_case(case), *map(size_text, (ours, engine, plain)), *ratios))
    return rows


def _growth(rows: Sequence[Result]) -> list[tuple[str, ...]]:
    head = ("candidates", "for neighbours", "for densities", "searches", "against the first")
    return [
        head,
        *(
            (
                f"{row['candidates']:,}",
                f"{row['neighbor_searches']:,}",
                f"{row['density_searches']:,}",
                f"{row['searches']:,}",
                f"{row['ratio'] - 1:+.0%}",
            )
            for row in rows
        ),
    ]


def _ingest(row: Result) -> list[tuple[str, ...]]:
    return [
        ("vectors", "ingest", "bare engine", "ratio"),
        (f"{row['candidates']:,}", str(row["ours"]), str(row["engine"]), f"{row['ratio']:.2f}"),
    ]


def _reselect(cases: Sequence[Result]) -> list[tuple[str, ...]]:
    head = (*CASE, "came", "found by", "reselect", "from scratch", "times as fast", "searches")
    more = ("look, repair, measure", "times fewer", "gRPC", "replaced (forced by p)")
    rows = [(*head, *more, "total variation to scratch")]
    for case in cases:
        mine, theirs = case["reselect"], case["scratch"]
        sizes = size_text(mine["traffic"]["grpc"]), size_text(theirs["traffic"]["grpc"])
        rows.append(
            (
                *_case(case),
                f"{case['came']:,}",
                case["way"],
                str(mine["timing"]),
                str(theirs["timing"]),
                f"{case['times']:.1f}",
                f"{mine['searches']:,} / {theirs['searches']:,}",
                ", ".join(f"{shown(mine['stages'][stage])} s" for stage in STAGES),
                f"{case['fewer']:.1f}",
                " / ".join(sizes),
                f"{case['replaced']} ({case['forced']:.1f})",
                f"{case['variation']:.1e}",
            )
        )
    return rows


def size_text(size: float) -> str:
    """``size`` in bytes as text."""
    return f"{shown(size / 1e9)} GB" if size >= 1e9 else f"{shown(size / 1e6)} MB"
