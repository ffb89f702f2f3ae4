"""Profiles of the test run, what it says at its end, and fixtures of Qdrant collections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from backends import BACKENDS, NO_SERVER, Backend, make_backend, running_server
from hypothesis import HealthCheck, settings
from numpy.typing import ArrayLike
from profiles import THOROUGH

from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import Metric, PointId

MakeCollection = Callable[..., Collection]
LEFT_OUT = pytest.StashKey[int]()
"""How many tests this run leaves out."""
MANY, ONE_IN = 8, 6
WORKER_OUTPUT = "left_out"
"""Where a process that runs part of the tests says so."""

UNHURRIED = [HealthCheck.too_slow]
"""On a machine with other work to do the first examples take their time."""
settings.register_profile("quick", max_examples=10, suppress_health_check=UNHURRIED)
settings.register_profile("thorough", max_examples=THOROUGH, suppress_health_check=UNHURRIED)
pytest.register_assert_rewrite("commands", "pool_oracle")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--thorough", action="store_true", help="run the slow tests, and all property tests in full"
    )


def pytest_configure(config: pytest.Config) -> None:
    # Before any test module is imported: its settings take the numbers of the profile then.
    settings.load_profile("thorough" if config.getoption("thorough") else "quick")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("thorough"):
        return
    kept = [item for item in items if not item.get_closest_marker("slow")]
    kept = [*some_of_many(kept)]
    left_out = {*items} - {*kept}
    items[:] = kept
    config.hook.pytest_deselected(items=[*left_out])
    config.stash[LEFT_OUT] = len(left_out)
    if hasattr(config, "workeroutput"):
        config.workeroutput[WORKER_OUTPUT] = len(left_out)


def some_of_many(items: Sequence[pytest.Item]) -> Iterator[pytest.Item]:
    """Of a test with ``MANY`` cases or more the first, and of the others one in ``ONE_IN``."""
    cases = Counter(map(function_of, items))
    seen = set()
    for item in items:
        name = function_of(item)
        first = name not in seen
        seen.add(name)
        if first or cases[name] < MANY or crc32(item.nodeid.encode()) % ONE_IN == 0:
            yield item


def function_of(item: pytest.Item) -> str:
    """The test that an item is a case of."""
    return item.nodeid.split("[", 1)[0]


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Vectors of task examples are remembered for this run alone, not for the user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Each of the processes of pytest-xdist collects all tests, and knows what is left out."""
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get(WORKER_OUTPUT, 0)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> Iterator[None]:
    """Say last, but for pytest's own line, what this run did not test."""
    yield
    skipped = terminalreporter.getreports("skipped")
    if count := sum(NO_SERVER in str(report.longrepr) for report in skipped):
        terminalreporter.write_line(f"{count} server cases were skipped: {NO_SERVER}")
    if not config.getoption("thorough"):
        count = config.stash.get(LEFT_OUT, 0)
        terminalreporter.write_line(
            f"quick profile: {count} slow tests, and cases of tests with many, left out; property "
            "tests draw few examples (--thorough runs everything)"
        )


@pytest.fixture(scope="session")
def qdrant_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    with running_server(tmp_path_factory.mktemp("qdrant")) as address:
        yield address


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    engine = make_backend(request.param, tmp_path, request)
    yield engine
    engine.close()


@pytest.fixture
def make_collection(backend: Backend) -> Iterator[MakeCollection]:
    """``make_collection(dimension, metric, vectors=.., ids=.., payloads=.., metadata=..)``."""
    numbers = count()
    with ExitStack() as stack:

        def make(
            dimension: int = 4,
            metric: Metric = "Cosine",
            *,
            vectors: ArrayLike | None = None,
            ids: Sequence[PointId] | None = None,
            payloads: Sequence[dict[str, Any]] | None = None,
            metadata: Mapping[str, Any] | None = None,
            name: str | None = None,
        ) -> Collection:
            rows = None if vectors is None else np.asarray(vectors, dtype=np.float32)
            made = backend.create(
                name or f"c{next(numbers)}",
                dimension=dimension if rows is None else rows.shape[1],
                metric=metric,
                metadata=metadata,
            )
            stack.callback(made.close)
            if rows is not None:
                made.upsert(range(len(rows)) if ids is None else ids, rows, payloads)
            return made

        yield make
