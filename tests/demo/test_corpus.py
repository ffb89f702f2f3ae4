"""The demo's corpus: reading source text, sampling it, hiding a task in it."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from tsds_qdrant.demo import corpus
from tsds_qdrant.demo.corpus import Docstring, docstrings, sample, split_task
from tsds_qdrant.errors import InputError, SettingsError

SHOP = '''"""Sells apples, pears and, in a good year, some plums."""
raise RuntimeError("importing this would fail")
import sys


class Shop:
    """A shop with a counter, a till and one old scale."""

    def sell(self, fruit):
        """Hand the fruit over the counter and take the money.

            The rest is indented by more.
        Only this is not.
        """

        def inner():
            """This one is local to a function and never shown."""

    async def deliver(self):
        """Bring the fruit to a house at the other end of town."""

    def close(self):
        """Too short."""


if sys.platform != "win32":
    def weigh():
        """Put the fruit on the scale and read off its weight."""
else:
    try:
        pass
    except OSError:
        def weigh():
            """Guess the weight of the fruit by holding it for a while."""
'''


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    package = tmp_path / "shop"
    (package / "tests").mkdir(parents=True)
    (package / "__init__.py").write_text(SHOP, encoding="utf-8")
    (package / "tests" / "test_shop.py").write_text(SHOP.replace("fruit", "test fruit"))
    return package


def texts(count: int, package: str = "pool", start: int = 0) -> list[Docstring]:
    return [
        {
            "text": f"{package} {i}",
            "name": f"{package}.f{i}",
            "package": package,
            "kind": "function",
        }
        for i in range(start, start + count)
    ]


def test_every_kind_of_definition_is_read_with_its_dotted_name(shop: Path) -> None:
    items = list(docstrings([shop]))
    assert [(item["name"], item["kind"]) for item in items] == [
        ("shop", "module"),
        ("shop.Shop", "class"),
        ("shop.Shop.sell", "function"),
        ("shop.Shop.deliver", "function"),
        ("shop.weigh", "function"),
        ("shop.weigh", "function"),
    ]
    assert {item["package"] for item in items} == {"shop"}


def test_docstrings_are_cleaned(shop: Path) -> None:
    sell = next(item for item in docstrings([shop]) if item["name"] == "shop.Shop.sell")
    assert sell["text"] == (
        "Hand the fruit over the counter and take the money.\n\n"
        "    The rest is indented by more.\nOnly this is not."
    )


def test_min_words_decides_what_is_too_short(shop: Path) -> None:
    names = {item["name"] for item in docstrings([shop], min_words=2)}
    assert "shop.Shop.close" in names


@pytest.mark.parametrize("max_chars", [1, 7, 20, 21, 500])
def test_long_docstrings_are_cut_at_white_space(shop: Path, max_chars: int) -> None:
    whole = {item["text"] for item in docstrings([shop], min_words=1)}
    for item in docstrings([shop], min_words=1, max_chars=max_chars):
        cut = item["text"]
        assert 0 < len(cut) <= max_chars
        origin = next(text for text in sorted(whole) if text.startswith(cut))
        at_space = origin[len(cut) : len(cut) + 1].isspace()
        assert cut == origin or at_space or " " not in cut


def test_the_same_text_is_kept_once_under_its_first_name(tmp_path: Path) -> None:
    body = '"""One and the same sentence, written down in two files."""\n'
    for name in ("zebra", "ant"):
        (tmp_path / f"{name}.py").write_text(body)
    roots = [tmp_path / "zebra.py", tmp_path / "ant.py"]
    assert [item["name"] for item in docstrings(roots)] == ["ant"]


def test_files_that_cannot_be_read_are_passed_over_in_silence(tmp_path: Path) -> None:
    package = tmp_path / "odd"
    package.mkdir()
    (package / "__init__.py").write_text('"""An invalid escape \\d in the one file that counts."""')
    (package / "broken.py").write_text("def (:\n")
    (package / "latin.py").write_bytes(b'"""\xe9\xe8 not declared as anything but UTF-8 at all."""')
    (package / "null.py").write_bytes(b'"""A null byte \0 in the middle of a module docstring."""')
    (package / "deep.py").write_text("x = " + "-" * 200_000 + "1")
    (package / "no-name.py").write_text('"""A script whose file name is no name of a module."""')
    assert [item["name"] for item in docstrings([package])] == ["odd"]


def test_a_lone_surrogate_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "half.py").write_text(
        '"""Half a character \\ud800 that no file could ever hold."""'
    )
    [item] = docstrings([tmp_path / "half.py"])
    assert item["text"] == "Half a character ? that no file could ever hold."


def test_large_packages_are_limited_to_the_same_files_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "FILES_PER_PACKAGE", 5)
    for place in ("here", "there"):
        package = tmp_path / place / "large"
        package.mkdir(parents=True)
        for i in range(12):
            (package / f"m{i}.py").write_text(
                f'"""The module of the number {i} and of no other."""'
            )
    here = list(docstrings([tmp_path / "here" / "large"]))
    assert len(here) == 5
    assert [item["name"] for item in here] == sorted(item["name"] for item in here)
    assert here == list(docstrings([tmp_path / "there" / "large"]))


@pytest.mark.parametrize("limits", [{"min_words": 0}, {"max_chars": 0}])
def test_limits_below_one_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(SettingsError, match="at least 1"):
        next(docstrings([], **limits))


def test_sample_is_seeded_and_keeps_the_order() -> None:
    items = texts(200)
    drawn = sample(items, 50, seed=3)
    assert drawn == sample(iter(items), 50, seed=3) != sample(items, 50, seed=4)
    assert drawn == [item for item in items if item in drawn]
    assert sample(items, 500, seed=3) == items
    assert sample(items, 0, seed=3) == []
    with pytest.raises(SettingsError, match="size=-1"):
        sample(items, -1, seed=3)


def test_sample_changes_little_when_texts_are_added() -> None:
    before = sample(texts(200), 50, seed=0)
    after = sample(texts(204), 50, seed=0)
    gone = [item for item in before if item not in after]
    come = [item for item in after if item not in before]
    assert len(gone) == len(come) <= 4
    assert come == [item for item in come if item in texts(4, start=200)]


def test_split_task_hides_the_rest_of_the_domain_in_the_pool() -> None:
    items = texts(30) + texts(20, "http.client") + texts(20, "httpish")
    split = split_task(items, ["http", "socket"], examples=8, seed=1)
    assert len(split.task_examples) == 8
    assert len(split.hidden) == 12
    assert all(item["package"] == "http.client" for item in split.task_examples + split.hidden)
    assert split.pool == [item for item in items if item not in split.task_examples]
    assert split.hidden == [item for item in split.pool if item["package"] == "http.client"]
    assert split == split_task(items, ["http"], examples=8, seed=1)
    assert split != split_task(items, ["http"], examples=8, seed=2)


def test_split_task_needs_a_domain_larger_than_the_task() -> None:
    with pytest.raises(InputError, match="20 of 50 texts"):
        split_task(texts(30) + texts(20, "http"), examples=20)
    with pytest.raises(SettingsError, match="examples=0"):
        split_task(texts(30), examples=0)


@pytest.mark.slow
def test_this_machine_has_enough_text_for_the_demo() -> None:
    loaded = set(sys.modules)
    started = time.perf_counter()
    items = list(docstrings())
    assert time.perf_counter() - started < 60
    assert not (set(sys.modules) - loaded) & set(corpus.INSTALLED), "a package was imported"
    assert len(items) > 4000
    assert len({item["text"] for item in items}) == len(items)
    assert {"http", "socket", "json", "numpy"} <= {item["package"] for item in items}
    assert not any(".tests." in f"{item['name']}." for item in items)
    split = split_task(sample(items, 5000, seed=0))
    assert 0.02 < len(split.hidden) / len(split.pool) < 0.25
