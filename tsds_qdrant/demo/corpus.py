"""Real text found on any machine: the docstrings of Python's own and of our packages.

The demo needs a pool of some thousand short texts, a task, and the truth about which texts of
the pool belong to the task, without a download. Every installation has them: the standard
library and the packages installed with this one are read as source text with ``ast``; nothing
is imported or run. The task is networking; a docstring belongs to it when it is defined in one
of the modules of ``NETWORKING``.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import sysconfig
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypedDict

from tsds_qdrant.errors import InputError, SettingsError

INSTALLED = (
    "anyio", "certifi", "filelock", "fsspec", "grpc", "h11", "h2", "hpack", "httpcore", "httpx",
    "huggingface_hub", "hyperframe", "idna", "jinja2", "joblib", "markdown_it", "mpmath",
    "networkx", "numpy", "packaging", "portalocker", "pyarrow", "pydantic", "pygments",
    "qdrant_client", "requests", "rich", "safetensors", "scipy", "sentence_transformers",
    "sklearn", "sympy", "tokenizers", "torch", "tqdm", "transformers", "typer", "urllib3",
    "zstandard",
)  # fmt: skip
"""What is read beside the standard library, where installed: our dependencies and theirs."""

NETWORKING = (
    "anyio._core._sockets", "anyio.abc._sockets", "anyio.streams.tls", "asyncio.protocols",
    "asyncio.sslproto", "asyncio.streams", "asyncio.transports", "asyncio.trsock", "ftplib",
    "grpc", "h11", "h2", "hpack", "http", "httpcore", "httpx", "hyperframe", "imaplib",
    "ipaddress", "nntplib", "poplib", "requests", "selectors", "smtpd", "smtplib", "socket",
    "socketserver", "ssl", "telnetlib", "urllib", "urllib3", "wsgiref", "xmlrpc",
)  # fmt: skip
"""The demo's domain: modules about sockets, TLS and the protocols above them."""

FILES_PER_PACKAGE = 40
"""How many files of one package are read; the choice follows a hash of the module's name."""

_LEFT_OUT = frozenset({"test", "tests", "_tests", "testing", "idlelib", "lib2to3"})

Kind = Literal["module", "class", "function"]

_KINDS: dict[type[ast.AST], Kind] = {
    ast.Module: "module",
    ast.ClassDef: "class",
    ast.FunctionDef: "function",
    ast.AsyncFunctionDef: "function",
}


class Docstring(TypedDict):
    """One text of the corpus; ``package`` is the first part of the dotted ``name``."""

    text: str
    name: str
    package: str
    kind: Kind


class TaskSplit(NamedTuple):
    """A task and a pool that hides more of it; ``hidden`` is a part of ``pool``."""

    task_examples: list[Docstring]
    pool: list[Docstring]
    hidden: list[Docstring]


def default_roots() -> list[Path]:
    """Top-level modules and packages of the standard library and of ``INSTALLED``, as paths."""
    library = Path(sysconfig.get_path("stdlib"))
    roots = [path for path in library.iterdir() if _is_root(path)]
    for name in INSTALLED:
        spec = importlib.util.find_spec(name)  # finds the file of a top-level name, runs nothing
        if spec is not None and spec.origin is not None and spec.origin.endswith(".py"):
            origin = Path(spec.origin)
            roots.append(origin.parent if origin.stem == "__init__" else origin)
    return roots


def docstrings(
    roots: Iterable[Path] | None = None, *, min_words: int = 8, max_chars: int = 1000
) -> Iterator[Docstring]:
    """Read the docstrings of modules, classes and functions, in the order of module names.

    Args:
        roots: top-level modules (``.py`` files) and package folders; ``default_roots()`` if None.
        min_words: docstrings of fewer words are left out.
        max_chars: longer docstrings are cut at the last white space before this length.

    Yields:
        Every distinct text once, under the first name that carries it. Files that cannot be
        read, decoded or parsed are passed over, and so are folders of tests.

    Raises:
        SettingsError: if ``min_words`` or ``max_chars`` is below 1.
    """
    if min_words < 1 or max_chars < 1:
        raise SettingsError(
            f"min_words={min_words} and max_chars={max_chars} must both be at least 1; "
            "give positive limits."
        )
    seen: set[str] = set()
    ordered = sorted(default_roots() if roots is None else roots, key=lambda path: path.stem)
    for root in ordered:
        for module, path in _modules(root):
            for item in _read(path, module):
                item["text"] = text = _cut(item["text"], max_chars)
                if text not in seen and len(text.split()) >= min_words:
                    seen.add(text)
                    yield item


def sample(items: Iterable[Docstring], size: int, seed: int) -> list[Docstring]:
    """Draw ``size`` items at random (all, where there are fewer), in their own order.

    An item is kept when the hash of (seed, text) is among the ``size`` smallest, so that a text
    which appears or disappears changes at most one other place of the sample.

    Raises:
        SettingsError: if ``size`` is negative.
    """
    if size < 0:
        raise SettingsError(f"size={size} is negative; ask for 0 items or more.")
    everything = list(items)
    ranked = sorted(range(len(everything)), key=lambda i: _rank("sample", seed, everything[i]))
    return [everything[i] for i in sorted(ranked[:size])]


def split_task(
    items: Iterable[Docstring],
    packages: Sequence[str] = NETWORKING,
    *,
    examples: int = 60,
    seed: int = 0,
) -> TaskSplit:
    """Split a corpus into examples of a task and a pool in which the rest of it is hidden.

    Args:
        items: the corpus.
        packages: dotted names; an item is of the domain when it is defined in one of them.
        examples: how many items of the domain become task examples, drawn by ``seed``.
        seed: of the draw.

    Returns:
        The task examples, every other item (the pool), and those of the pool that are of the
        domain: the share of a selection that is hidden there, against
        ``len(hidden) / len(pool)``, says how well the selection hits.

    Raises:
        SettingsError: if ``examples`` is below 1.
        InputError: if the domain has not more than ``examples`` items.
    """
    if examples < 1:
        raise SettingsError(f"examples={examples} is too few; a task needs 1 example or more.")
    everything = list(items)
    prefixes = tuple(f"{package}." for package in packages)
    domain = [i for i, x in enumerate(everything) if f"{x['name']}.".startswith(prefixes)]
    if len(domain) <= examples:
        raise InputError(
            f"{len(domain)} of {len(everything)} texts are of the domain, too few for "
            f"{examples} task examples and a hidden rest; ask for fewer examples or read more."
        )
    domain.sort(key=lambda i: _rank("task", seed, everything[i]))
    drawn, hidden = set(domain[:examples]), domain[examples:]
    return TaskSplit(
        task_examples=[everything[i] for i in sorted(drawn)],
        pool=[x for i, x in enumerate(everything) if i not in drawn],
        hidden=[everything[i] for i in sorted(hidden)],
    )


def _is_root(path: Path) -> bool:
    """Say whether a path of the standard library is a module or a package to be read."""
    if path.stem in _LEFT_OUT or not path.stem.isidentifier():
        return False
    return path.suffix == ".py" or (path / "__init__.py").is_file()


def _modules(root: Path) -> list[tuple[str, Path]]:
    """Dotted names and files of a root, sorted by name, at most ``FILES_PER_PACKAGE`` of them."""
    files = [root] if root.suffix == ".py" else root.rglob("*.py")
    found: list[tuple[str, Path]] = []
    for path in files:
        parts = path.relative_to(root.parent).with_suffix("").parts
        if _LEFT_OUT.isdisjoint(parts[1:]) and all(part.isidentifier() for part in parts):
            found.append((".".join(parts).removesuffix(".__init__"), path))
    found.sort(key=lambda entry: _digest(entry[0]))
    return sorted(found[:FILES_PER_PACKAGE])


def _read(path: Path, module: str) -> list[Docstring]:
    """All docstrings of one file, cleaned and uncut; none if it cannot be read or parsed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's source
            tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):  # the last: nesting
        return []
    return list(_walk(tree, module, module.partition(".")[0]))


def _walk(node: ast.AST, name: str, package: str) -> Iterator[Docstring]:
    """Docstrings of a node and of the definitions in it, not of those local to a function."""
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        text = ast.get_docstring(node, clean=False)
        if text is not None:
            kind = _KINDS[type(node)]
            text = inspect.cleandoc(text).encode("utf-8", "replace").decode()  # no lone surrogate
            yield {"text": text, "name": name, "package": package, "kind": kind}
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            return
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _walk(child, f"{name}.{child.name}", package)
        elif isinstance(child, (ast.If, ast.Try, ast.ExceptHandler, ast.With)):
            yield from _walk(child, name, package)


def _cut(text: str, max_chars: int) -> str:
    """Shorten a text to ``max_chars``, at white space where there is any."""
    if len(text) <= max_chars:
        return text
    head = text[: max_chars + 1]
    words = head.rsplit(None, 1)
    return (words[0] if len(words) == 2 else head[:max_chars]).rstrip()


def _rank(purpose: str, seed: int, item: Docstring) -> bytes:
    """Sort key of an item, as good as random, for one purpose and seed."""
    return _digest(f"{purpose}\0{seed}\0{item['text']}")


def _digest(text: str) -> bytes:
    """16 bytes that depend on the text alone, the same on every machine."""
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
