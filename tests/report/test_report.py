"""The report: a page that says what the manifest says, and that no text can break out of."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import run
from marked import marks
from plain_strategies import PLAIN
from pool_oracle import clustered_rows, near_queries

from tsds_qdrant import (
    Keeping,
    Quota,
    SelectionSettings,
    TaskExamples,
    begin_run,
    create_collection,
    new_run,
    open_collection,
    reopen,
    report_run,
    write_report,
)
from tsds_qdrant.errors import OutputError
from tsds_qdrant.files.json_values import json_safe
from tsds_qdrant.pool.texts import shortened
from tsds_qdrant.report import plots
from tsds_qdrant.report.markup import Html, tag
from tsds_qdrant.report.page import SCRIPTS
from tsds_qdrant.selection.results import manifest, write_manifest
from tsds_qdrant.strategies.catalog import strategy_class

POOL, QUERIES, SIZE = 400, 12, 20
SECTIONS = (
    *("texts", "selection", "coverage", "shares", "distances", "map"),
    *("path", "duplicates", "selected", "misses", "figures"),
)
UNSHARED = tuple(name for name in SECTIONS if name != "shares")
PLOTS = ("coverage", "shares", "distances", "map", "path-sizes", "path-cost")
HOSTILE = (
    "</script><script>document.title = 'broken'</script>",
    "<img src=x onerror=\"document.title = 'broken'\">",
    "<a href=\"javascript:document.title='broken'\">click</a> <b>bold</b> &lt;i&gt;",
    "<!--<script> ]]> --> \u2028 \u202e ${document.title='broken'} %{x} $x$ 'quoted' \"twice\"",
    "</td></table></style><svg onload=document.title='broken'>",
)
NOTICE = Path(plots.__file__).parent / "vendored" / "NOTICE.md"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class Page(HTMLParser):
    """What a page holds, element by element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.sections: list[str] = []
        self.figures: dict[str, Any] = {}
        self.scripts: list[str] = []
        self._figure = ""
        self.feed(text)

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.elements.append((name, found))
        if name == "section":
            self.sections.append(found["id"] or "")
        if name == "td" and "data-figure" in found:
            self._figure = found["data-figure"] or ""
        if name == "data":
            self.figures[self._figure] = json.loads(found["value"] or "")
        if name == "script":
            self.scripts.append("")

    def handle_data(self, text: str) -> None:
        if self.elements and self.elements[-1][0] == "script":
            self.scripts[-1] += text


def page_at(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if isinstance(item, dict):
            yield from leaves(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", item


@pytest.fixture(scope="module")
def rows() -> Any:
    return clustered_rows(POOL, 8, 12)


@pytest.fixture(scope="module")
def queries(rows: Any) -> Any:
    return near_queries(rows, QUERIES)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, rows: Any, queries: Any) -> Path:
    """A collection of hostile texts; a run over it, its manifest and its report."""
    directory = tmp_path_factory.mktemp("report")
    collection = create_collection(str(directory / "store"), "pool", dimension=8)
    payloads = [
        {"text": f"{k} {HOSTILE[k % len(HOSTILE)]}", "source": HOSTILE[k % 3], **marks(k)}
        for k in range(POOL)
    ]
    collection.upsert(range(POOL), rows, payloads)
    np.save(directory / "Q.npy", queries)
    source = {"source": str(directory / "Q.npy")}
    made = new_run(
        collection,
        queries,
        SelectionSettings.of(sizes=(SIZE,)),
        keeping=Keeping(query_facts=source),
        state=directory / "task.run",
    )
    write_manifest(made.selection, directory / "s.jsonl", queries=source)
    write_report(directory / "R.html", collection, made, by="source")
    collection.close()
    return directory


def test_every_section_is_there_in_order(store: Path) -> None:
    page = page_at(store / "R.html")
    assert tuple(page.sections) == SECTIONS
    links = [found["href"] for name, found in page.elements if name == "a"]
    assert links == [f"#{name}" for name in SECTIONS]
    ids = [found["id"] for name, found in page.elements if name == "canvas"]
    assert ids == [f"plot-{name}" for name in PLOTS]
    drawn = json.loads(page.scripts[0])
    assert list(drawn) == ids


def test_the_figures_are_those_of_the_manifest(store: Path) -> None:
    told = json.loads((store / "s.jsonl.manifest.json").read_text())
    truth = dict(leaves(told))
    shown = page_at(store / "R.html").figures
    assert shown == {path: truth[path] for path in shown}
    left = {path for path in truth if path not in shown}
    assert not left, left
    for path in ("solution.alpha", "solution.dual_objective", "search.density_searches"):
        assert isinstance(shown[path], float | int)


def test_the_plots_show_the_selection(store: Path) -> None:
    page = page_at(store / "R.html")
    drawn = json.loads(page.scripts[0])
    marked = drawn["plot-path-sizes"]["series"][-2:]
    assert [one["x"] for one in marked] == [[page.figures["solution.alpha"]]] * 2
    assert [one["y"][0] for one in marked] == pytest.approx(
        [page.figures["solution.support"], page.figures["solution.effective_sample_size"]]
    )
    (mark,) = drawn["plot-path-cost"]["marks"]
    assert mark["x"] == page.figures["solution.alpha"]
    (mark,) = drawn["plot-distances"]["marks"]
    assert mark["x"] == page.figures["yardstick.distance"]
    layers = {series["name"]: len(series["labels"]) for series in drawn["plot-map"]["series"]}
    assert layers == {
        f"pool ({POOL})": POOL,
        f"selected ({SIZE})": SIZE,
        f"task examples ({QUERIES})": QUERIES,
    }
    assert len(drawn["plot-coverage"]["series"][0]["labels"]) == QUERIES


def test_the_table_holds_the_whole_selection(store: Path) -> None:
    with open_collection(str(store / "store"), "pool") as collection:
        selection = reopen(store / "task.run", collection).selection
    told = json.loads(page_at(store / "R.html").scripts[1])
    names = [column["name"] for column in told["columns"]]
    assert names == ["rank", "text", "distance", "p", "source", "task example", "id"]
    cells = {column["name"]: column["cells"] for column in told["columns"]}
    rows = list(selection.sample_rows(SIZE))
    assert cells["id"] == [str(row["id"]) for row in rows]
    assert cells["rank"] == list(range(SIZE))
    assert cells["task example"] == [row["query"] for row in rows]
    assert cells["distance"] == pytest.approx([row["distance"] for row in rows], rel=1e-3)
    assert cells["p"] == pytest.approx([row["probability"] for row in rows], rel=1e-2)
    assert [text.split()[0] for text in cells["text"]] == cells["id"]
    assert cells["source"] == [shortened(HOSTILE[int(one) % 3]) for one in cells["id"]]
    assert selection.yardstick is not None
    assert told["near"] == pytest.approx(selection.yardstick.distance)


def test_the_verdict_is_that_of_the_terminal(store: Path) -> None:
    page, text = page_at(store / "R.html"), (store / "R.html").read_text(encoding="utf-8")
    nearer = page.figures[f"yardstick.nearer.{SIZE}"]
    head = unescape(text.split("<header>")[1].split("</header>")[0])
    scale = page.figures["yardstick.distance"]
    assert (
        f"{nearer} of {SIZE} lie nearer to the task than its examples lie to each other "
        f"({scale:.4g}, the median)" in head
    )
    assert f'style="width:{nearer / SIZE:.1%}"' in head
    shown = text.split('id="texts"')[1].split("</section>")[0]
    distances = [float(one) for one in re.findall(r"<span[^>]*>(\d+\.\d{3})</span>", shown)]
    assert len(distances) == 10
    assert distances == sorted(distances)
    told = json.loads(page.scripts[1])["columns"][2]["cells"]
    assert (distances[0], distances[-1]) == pytest.approx((min(told), max(told)), abs=1e-3)
    marked = re.findall(r'<span class="near">([\d.]+)</span>', shown)
    assert [float(one) for one in marked] == [one for one in distances if one <= scale]


def test_a_page_is_small(store: Path) -> None:
    """Libraries and all: the pages of older versions began at 5 MB."""
    assert (store / "R.html").stat().st_size < 600_000


def test_the_page_loads_nothing(store: Path) -> None:
    text = (store / "R.html").read_text(encoding="utf-8")
    page = page_at(store / "R.html")
    for name, found in page.elements:
        assert name not in ("link", "img", "iframe", "object", "embed", "base", "form", "svg")
        assert "src" not in found
        assert not [key for key in found if key.startswith("on")]
    assert len(page.scripts) == 5
    assert text.count("Chart.js v") == 1
    assert "sourceMappingURL" not in text
    style = text.split("<style>")[1].split("</style>")[0]
    assert not re.search(r"url\(|@import", style)
    policy = next(f["content"] for _, f in page.elements if "http-equiv" in f)
    assert policy
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline" not in policy.split("style-src")[0]
    assert "http" not in policy


def test_texts_stand_in_the_page_as_texts(store: Path) -> None:
    text = (store / "R.html").read_text(encoding="utf-8")
    body = text.split("<main>")[1].split('<script type="application/json"')[0]
    assert not re.search(r"<(script|img|svg|a|b>bold|style)\b", body)
    plain = unescape(re.sub(r"<[^>]*>", "", body))
    for hostile in HOSTILE:
        assert " ".join(hostile.replace("\u202e", " ").split()) in plain
    assert re.findall(r"</?script[^>]*>", text) == [
        '<script type="application/json" id="plots">',
        "</script>",
        '<script type="application/json" id="rows">',
        "</script>",
        *("<script>", "</script>") * 3,
    ]


def browser() -> str:
    for name in BROWSERS:
        if found := shutil.which(name):
            return found
    pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is on PATH")


def dumped(page: Path) -> str:
    """The document after its scripts have run."""
    command = [browser(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += [f"--user-data-dir={page.parent / 'profile'}", "--window-size=1280,2000"]
    command += ["--virtual-time-budget=20000", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)
    return done.stdout.decode("utf-8")


def test_a_browser_draws_the_plots_and_runs_nothing_else(store: Path, tmp_path: Path) -> None:
    page = shutil.copy(store / "R.html", tmp_path)
    found = dumped(Path(page))
    assert "<title>Selection from pool</title>" in found
    main = found.split("<main>")[1].split('<script type="application/json"')[0]
    for name in PLOTS:
        drawn = re.search(rf'<canvas id="plot-{name}"[^>]* width="(\d+)" height="(\d+)"', main)
        assert drawn, name
        assert min(map(int, drawn.groups())) > 100
    assert main.count("<tr><td") >= SIZE
    for element, attributes in Page(main).elements:
        assert element not in ("script", "img", "image", "iframe")
        assert not [key for key in attributes if key.startswith("on")]
        assert "javascript:" not in (attributes.get("href") or "")


def answer(page: Path, script: str, width: int = 400) -> Any:
    """What ``script`` (an async function's body, in the page without its policy) returns."""
    text = page.read_text(encoding="utf-8")
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    text = text.replace("</body>", f"<script>{ASK.replace('BODY', script)}</script></body>")
    place = page.parent / "asked"
    place.mkdir(exist_ok=True)
    (place / "open.html").write_text(text, encoding="utf-8")
    (place / "frame.html").write_text(FRAME.replace("WIDTH", str(width)), encoding="utf-8")
    found = dumped(place / "frame.html")
    return json.loads(unescape(found.split("<p>")[1].split("</p>")[0]))


ASK = """
addEventListener("load", async () => {
  const pause = () => new Promise((resolve) => setTimeout(resolve, 100));
  try {
    parent.postMessage(await (async () => { BODY })(), "*");
  } catch (error) {
    parent.postMessage(String(error), "*");
  }
});
"""
FRAME = """<!DOCTYPE html><title>waiting</title><iframe src="open.html" width="WIDTH" height="900">
</iframe><p></p><script>
addEventListener("message", (event) => {
  document.querySelector("p").textContent = JSON.stringify(event.data);
});
</script>"""
HOVER = """
  const said = [];
  const map = Chart.getChart("plot-map");
  for (const datasetIndex of [0, 1]) {
    for (let index = 0; index < 10; index += 1) {
      map.tooltip.setActiveElements([{ datasetIndex, index }], { x: 0, y: 0 });
      map.update();
      await pause();
      if (map.tooltip.opacity !== 1 || map.tooltip.width > map.width) said.push("UNSEEN");
      said.push(map.tooltip.body.flatMap((part) => part.lines).join(" "));
    }
  }
  const page = document.documentElement;
  return [document.title, page.scrollWidth, innerWidth, said.join("|")];
"""


def test_escaping_holds_without_the_policy_and_a_narrow_page_fits(
    store: Path, tmp_path: Path
) -> None:
    """The page without its policy, at 400 pixels, while the pointer goes over the map."""
    page = Path(shutil.copy(store / "R.html", tmp_path))
    title, width, window, said = answer(page, HOVER)
    assert title == "Selection from pool"
    assert width <= window == 400
    assert "UNSEEN" not in said
    for part in ("</script>", "<img src=x", '<a href="javascript:', "<b>bold</b>", "&lt;i&gt;"):
        assert part in said
    assert len(said.split("|")) == 20


TABLE = """
  const find = document.getElementById("find");
  const [previous, next] = ["previous", "next"].map((id) => document.getElementById(id));
  const body = document.querySelector("#selection-table tbody");
  const heads = [...document.querySelectorAll("#selection-table th")];
  const column = (name) => {
    const at = heads.findIndex((head) => head.textContent === name);
    return [...body.rows].map((row) => row.cells[at].textContent);
  };
  const sort = (name) => heads.find((head) => head.textContent === name).firstChild.click();
  const look = (text) => {
    find.value = text;
    find.dispatchEvent(new Event("input"));
    return column("id");
  };
  const found = { first: column("id"), ways: [] };
  for (const name of ["distance", "distance", "id", "text", "source", "rank"]) {
    sort(name);
    found.ways.push([name, column("id"), heads.map((head) => head.getAttribute("aria-sort"))]);
  }
  const ids = column("id");
  found.one = look(`${ids[7]} `).includes(ids[7]);
  found.some = look("<IMG src=x");
  found.none = [look("no such words"), document.getElementById("page").textContent];
  found.all = look("").length;
  found.shut = [previous.disabled, next.disabled];
  return found;
"""


def test_the_table_sorts_and_finds(store: Path, tmp_path: Path) -> None:
    page = Path(shutil.copy(store / "R.html", tmp_path))
    told = json.loads(page_at(page).scripts[1])
    cells = {column["name"]: column["cells"] for column in told["columns"]}
    found = answer(page, TABLE, width=1280)
    assert found["first"] == cells["id"]
    ranks = range(SIZE)

    def ordered(name: str, *, falling: bool = False) -> list[str]:
        sign = -1 if falling else 1
        return [cells["id"][k] for k in sorted(ranks, key=lambda k: (sign * cells[name][k], k))]

    ways = [(name, ids) for name, ids, _ in found["ways"]]
    assert ways[0] == ("distance", ordered("distance"))
    assert ways[1] == ("distance", ordered("distance", falling=True))
    assert ways[2] == ("id", sorted(cells["id"], key=int))
    assert ways[3] == ("text", sorted(cells["id"], key=int))
    assert [sorted(ids) for _, ids in ways] == [sorted(cells["id"])] * 6
    assert ways[5] == ("rank", cells["id"])
    assert found["ways"][1][2].count("descending") == 1
    assert found["ways"][2][2].count("ascending") == 1
    assert found["one"]
    wanted = [k for k in ranks if "<img src=x" in (cells["text"][k] + cells["source"][k]).lower()]
    assert found["some"] == [cells["id"][k] for k in wanted]
    assert found["none"] == [[], "none"]
    assert found["all"] == SIZE
    assert found["shut"] == [True, True]


def test_many_rows_come_page_by_page(rows: Any, queries: Any, tmp_path: Path) -> None:
    size = 230
    with create_collection(str(tmp_path / "store"), "pool", dimension=8) as collection:
        payloads = [{"text": f"text {k} {'long ' * 200}"} for k in range(POOL)]
        collection.upsert(range(POOL), rows, payloads)
        made = new_run(collection, queries, SelectionSettings.of("round-robin", sizes=(size,)))
        write_report(tmp_path / "R.html", collection, made)
    ids = [str(one) for one in made.selection.selected_ids]
    walk = """
      const body = document.querySelector("#selection-table tbody");
      const ids = [], counts = [];
      for (;;) {
        counts.push(document.getElementById("page").textContent);
        ids.push(...[...body.rows].map((row) => row.cells[row.cells.length - 1].textContent));
        if (body.rows.length > 50) return "too many rows at once";
        if (document.getElementById("next").disabled) break;
        document.getElementById("next").click();
      }
      document.getElementById("previous").click();
      counts.push(document.getElementById("page").textContent);
      const folded = body.querySelector("details");
      return [ids, counts, folded.open, folded.querySelector("span").textContent.length];
    """
    found, counts, opened, length = answer(tmp_path / "R.html", walk)
    assert found == ids
    assert counts == [
        *("1 to 50 of 230", "51 to 100 of 230", "101 to 150 of 230", "151 to 200 of 230"),
        *("201 to 230 of 230", "151 to 200 of 230"),
    ]
    assert not opened
    assert length > 1_000


def test_of_very_many_rows_the_first_are_listed(
    store: Path, queries: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tsds_qdrant.report.rows.LISTED", 7)
    monkeypatch.setattr("tsds_qdrant.report.rows.READ_AT_ONCE", 3)
    with open_collection(str(store / "store"), "pool") as collection:
        made = new_run(collection, queries, SelectionSettings.of(sizes=(SIZE,)))
        write_report(tmp_path / "R.html", collection, made)
    page, text = page_at(tmp_path / "R.html"), (tmp_path / "R.html").read_text(encoding="utf-8")
    assert f"The first 7 of {SIZE} candidates selected; all are in the files" in text
    ids = json.loads(page.scripts[1])["columns"][-1]["cells"]
    assert ids == [str(one) for one in made.selection.selected_ids[:7]]


def test_files_of_others_are_as_published() -> None:
    folder = Path(plots.__file__).parent / "vendored"
    rows = re.findall(r"^\| (\S+\.js) \|.*\| MIT, (\S+) \| (\w+) \|$", NOTICE.read_text(), re.M)
    assert sorted(name for name, _, _ in rows) == sorted(
        one.name for one in folder.iterdir() if one.suffix == ".js"
    )
    for name, licence, digest in rows:
        assert sha256((folder / name).read_bytes()).hexdigest() == digest
        assert "Permission is hereby granted" in (folder / licence).read_text()
    assert {f"vendored/{name}" for name, _, _ in rows} < set(SCRIPTS)


def test_select_writes_the_same_page(store: Path, tmp_path: Path) -> None:
    run(
        *("select", "--qdrant", store / "store", "--collection", "pool", "--size", SIZE),
        *("--queries", store / "Q.npy", "--state", tmp_path / "task.run"),
        *("--out", tmp_path / "s.jsonl", "--report", tmp_path / "R.html", "--by", "source"),
    )
    page, first = page_at(tmp_path / "R.html"), page_at(store / "R.html")
    assert page.sections == first.sections
    assert page.figures == dict(
        leaves(json.loads((tmp_path / "s.jsonl.manifest.json").read_text()))
    )
    for path, value in first.figures.items():
        if path.startswith(("solution.", "samples.", "settings.")):
            assert page.figures[path] == value


def test_the_run_says_the_same(store: Path) -> None:
    spoken = run("report", store / "task.run", "--out", store / "again.html", "--by", "source")
    assert spoken.stdout == ""
    assert spoken.stderr == f"wrote {store / 'again.html'}\n"
    first, again = page_at(store / "R.html"), page_at(store / "again.html")
    assert again.sections == first.sections
    for path, value in first.figures.items():
        if path.startswith(("solution.", "samples.", "settings.", "queries.", "accuracy.")):
            assert again.figures[path] == (
                pytest.approx(value, rel=1e-12) if isinstance(value, float) else value
            )
    assert again.figures["search.density_searches"] == 0
    text = (store / "again.html").read_text(encoding="utf-8")
    assert "History of this run" in text
    plain = store / "plain.html"
    run("report", store / "task.run", "--out", plain)
    assert tuple(page_at(plain).sections) == UNSHARED


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"regularizer": "tv", "alpha": 0.9, "sizes": (10,)},
        {"regularizer": "uniform", "sizes": (SIZE,)},
        {"bandwidth": 0.0, "sizes": (SIZE,)},
        {"sampler": "multinomial", "sizes": (100,)},
        {"sampler": "top", "sizes": (5, SIZE)},
        {"alpha": 0.5},
        {"alpha": 1e-6},
    ],
    ids=str,
)
def test_every_kind_of_selection_has_a_report(
    settings: Any, store: Path, queries: Any, tmp_path: Path
) -> None:
    wanted = SelectionSettings.of(**settings)
    collection = open_collection(str(store / "store"), "pool")
    try:
        made = new_run(collection, queries, wanted)
        for name in ("a.html", "b.html"):
            write_report(tmp_path / name, collection, made)
    finally:
        collection.close()
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    page = page_at(tmp_path / "a.html")
    assert tuple(page.sections) == UNSHARED
    truth = dict(leaves(json_safe(manifest(made.selection, queries={"source": None}))))
    assert page.figures == truth
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    evidence = made.selection.transport
    assert ("regulariser tv has no path" in text) == (settings.get("regularizer") == "tv")
    assert ("Densities were not in use" in text) == (evidence.bandwidth == 0)
    assert ("The task has no influence here" in text) == (evidence.solution.regime == "pool")


@pytest.mark.slow
@pytest.mark.parametrize("by", [None, "source"])
@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("strategy", PLAIN)
def test_every_strategy_has_a_page(
    strategy: str, kept: bool, by: str | None, store: Path, queries: Any, tmp_path: Path
) -> None:
    texts = [f"example {k} {HOSTILE[k % len(HOSTILE)]}" for k in range(QUERIES)]
    state, place = tmp_path / "task.run" if kept else None, tmp_path / "R.html"
    collection = open_collection(str(store / "store"), "pool")
    try:
        made = new_run(
            collection,
            TaskExamples(queries, texts, np.ones(QUERIES)),
            SelectionSettings.of(strategy, sizes=(5, SIZE)),
            keeping=Keeping(query_facts={"source": "here", "texts": texts}),
            state=state,
        )
        if state is not None:
            report_run(place, state, collection, by=by)
        else:
            write_report(place, collection, made, by=by)
    finally:
        collection.close()
    page, text = page_at(place), place.read_text(encoding="utf-8")
    solved = strategy == "tsds"
    rest = ("path", "duplicates", "selected", "misses") if solved else ("selected",)
    if strategy == "window":
        rest = ("windows", *rest)
    if strategy in ("tarot", "uot"):  # whose orders go on behind the sample
        rest = (*rest, "misses")
    sections = (*(SECTIONS if by else UNSHARED)[: 6 if by else 5], *rest, "figures")
    assert tuple(page.sections) == sections
    drawn = {name.removeprefix("plot-") for name in json.loads(page.scripts[0])}
    always = {"distances", "map", "coverage", *(["shares"] if by else [])}
    always |= {"windows"} & set(sections)
    assert drawn == always | ({"path-sizes", "path-cost"} if solved else set())
    truth = dict(leaves(json_safe(manifest(made.selection, queries={"source": "here"}))))
    assert page.figures.keys() == truth.keys()
    fresh = () if not kept else ("search.", "seconds.", "accuracy.")
    for path, value in truth.items():
        if not path.startswith(fresh):
            known = pytest.approx(value, rel=1e-12) if isinstance(value, float) else value
            assert page.figures[path] == known, path
    assert page.figures["strategy"] == page.figures["settings.strategy.name"] == strategy
    body = text.split("<body>")[1].split('<script type="application/json"')[0]
    assert f"Strategy <b>{strategy}</b>" in body
    assert ("History of this run" in body) == kept
    assert ("alpha" in body) == solved
    assert ("play no part" in body) == (not strategy_class(strategy).card.task_aware)
    assert f"<h1>{SIZE} of {POOL} candidates selected</h1>" in body
    assert "the largest of 2 samples" in body
    assert not re.search(r"<(script|img|svg|a h|b>bold|style)", body.split("<main>")[1])
    if by:
        heads = body.split('id="shares"')[1]
        assert (">p</th>" in heads) == (strategy_class(strategy).has_chances)


@pytest.mark.parametrize("strategy", PLAIN)
def test_what_bounds_kept_out_is_named(
    strategy: str, store: Path, queries: Any, tmp_path: Path
) -> None:
    collection = open_collection(str(store / "store"), "pool")
    task = TaskExamples(queries, ["a word"] * QUERIES, np.ones(QUERIES))
    quotas = (Quota("source", 0.2, HOSTILE[0]), Quota("source", 0.4, HOSTILE[1]))
    wanted = SelectionSettings.of(strategy, sizes=(SIZE,), quotas=quotas)
    try:
        write_report(tmp_path / "R.html", collection, new_run(collection, task, wanted))
    finally:
        collection.close()
    assert page_at(tmp_path / "R.html").sections[-2:] == ["misses", "figures"]
    text = (tmp_path / "R.html").read_text(encoding="utf-8")
    assert ("a bound on the sample kept them out" in text) == (strategy != "tsds")


@pytest.mark.slow
@pytest.mark.parametrize("gone", [5, SIZE])
@pytest.mark.parametrize("strategy", PLAIN)
def test_a_page_after_points_have_left(
    strategy: str, gone: int, rows: Any, queries: Any, tmp_path: Path
) -> None:
    collection = create_collection(str(tmp_path / "store"), "pool", dimension=8)
    collection.upsert(range(POOL), rows, [{"text": f"text {k}", **marks(k)} for k in range(POOL)])
    task = TaskExamples(queries, ["text 5"] * QUERIES, np.ones(QUERIES))
    wanted = SelectionSettings.of(strategy, sizes=(SIZE,))
    state, selection = begin_run(tmp_path / "task.run", collection, task, wanted)
    collection.delete(selection.selected_ids[:gone])
    report_run(tmp_path / "R.html", state, collection)
    collection.close()
    text = (tmp_path / "R.html").read_text(encoding="utf-8")
    assert f"selected ({SIZE - gone} of {SIZE})" in text
    if strategy != "tsds":
        assert f"{gone} more are no longer stored" in text
        assert (f"None of the {SIZE} candidates selected is still stored" in text) == (gone == SIZE)


def test_points_that_are_gone_are_named_as_gone(rows: Any, queries: Any, tmp_path: Path) -> None:
    collection = create_collection(str(tmp_path / "store"), "pool", dimension=8)
    collection.upsert(range(POOL), rows, [{"text": f"text {k}", **marks(k)} for k in range(POOL)])
    settings = SelectionSettings.of(sizes=(SIZE,))
    texts = [f"example {k}" for k in range(QUERIES)]
    state, selection = begin_run(
        tmp_path / "task.run",
        collection,
        queries,
        settings,
        keeping=Keeping(query_facts={"source": "here", "texts": texts}),
    )
    report_run(tmp_path / "before.html", state, collection)
    collection.delete(selection.selected_ids[:5])
    report_run(tmp_path / "after.html", state, collection)
    collection.close()
    before, after = (
        (tmp_path / f"{name}.html").read_text().split("<script>")[0] for name in ("before", "after")
    )
    assert "(no longer stored)" not in before
    assert "(no longer stored)" in after
    assert f"selected ({SIZE - 5} of {SIZE})" in after
    assert "example 0" in before


def test_what_cannot_work_is_said_before_the_work(store: Path, tmp_path: Path) -> None:
    select = ("select", "--qdrant", store / "store", "--collection", "pool", "--size", SIZE)
    select += ("--queries", store / "Q.npy", "--out", tmp_path / "s.jsonl")
    lost = tmp_path / "nowhere" / "R.html"
    for words in ((*select, "--report", lost), ("report", store / "task.run", "--out", lost)):
        assert "does not exist; create it first" in run(*words, code=1).stderr
    assert "--by source needs a report" in run(*select, "--by", "source", code=2).stderr
    twice = run(*select, "--report", tmp_path / "s.jsonl", code=1).stderr
    assert "let it end in .html" in twice
    assert "no run state" in run("report", "none.run", "--out", tmp_path / "R.html", code=1).stderr
    asked = ("report", store / "task.run", "--out", tmp_path / "R.html", "--by", "sauce")
    assert "field 'sauce' that --by names (its fields: text, source)" in run(*asked, code=1).stderr
    assert not list(tmp_path.iterdir())


def test_a_report_takes_no_place_of_a_directory(store: Path, tmp_path: Path) -> None:
    collection = open_collection(str(store / "store"), "pool")
    place = tmp_path / "R.html"
    place.mkdir()
    try:
        with pytest.raises(OutputError, match="is a directory"):
            report_run(place, store / "task.run", collection)
    finally:
        collection.close()


def test_markup_escapes_every_text() -> None:
    made = tag("p", "a < b", tag("b", "&"), class_='x"y', data_label="<>", hidden=True, id=None)
    assert made == '<p class="x&quot;y" data-label="&lt;&gt;" hidden>a &lt; b<b>&amp;</b></p>'
    assert isinstance(made, Html)
    assert tag("meta", charset="utf-8") == '<meta charset="utf-8">'
