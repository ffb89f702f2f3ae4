"""Names of models: of the Hugging Face hub, of a directory, or of a package that carries one.

A name means a directory where there is one of that name, or where it can mean nothing else: it
begins with ``.``, ``/`` or ``~``. A URL means a model behind an endpoint. All other names are the
hub's.
"""

from __future__ import annotations

import importlib.util
import json
import re
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from tsds_qdrant.errors import EmbeddingError, MissingPackageError, SettingsError, TsdsError
from tsds_qdrant.paths import absolute, expanded

PACKAGE_PREFIX = "package:"
FASTEMBED_PREFIX = "fastembed:"
WEIGHTS = (".safetensors", ".bin", ".onnx", ".xml", ".pt", ".msgpack", ".h5")
ADDRESS = re.compile(r"[\w.-]+:\d+(/[^#]*)?(#.+)?|(localhost|[\w-]+(\.[\w-]+)+)(/[^#]*)?#.+")
"""A host with a port, or another one before the name of a model."""
LFS_POINTER = b"version https://git-lfs"


def means_path(name: str) -> bool:
    """Whether ``name`` can be nothing but a path: a name of the hub has one slash at most."""
    if is_endpoint(name) or name.startswith(FASTEMBED_PREFIX) or ADDRESS.fullmatch(name):
        return False
    return name.startswith((".", "/", "~")) or Path(name).is_absolute() or name.count("/") > 1


def remembered_model(name: str) -> str:
    """``name`` as a collection remembers it: a directory by its absolute path."""
    if name.startswith(PACKAGE_PREFIX) or not name.strip():
        return name
    if is_gguf(name):
        return str(_gguf_path(name))
    return absolute(name) if means_path(name) or expanded(name).is_dir() else name


def is_endpoint(name: str) -> bool:
    """Whether ``name`` is that of a model behind an endpoint: ``http://host/v1#NAME``."""
    return name.lower().startswith(("http://", "https://"))


def endpoint_of(name: str) -> tuple[str, str]:
    """The URL of an endpoint, and the model's name there.

    Raises:
        SettingsError: it names no model, or holds what is to stay secret.
    """
    parts = urlsplit(name)
    if parts.username or parts.password or parts.query:
        bare = f"{parts.scheme}://{parts.hostname}{parts.path}#{parts.fragment or 'NAME'}"
        raise SettingsError(
            f"--model holds a key or a query beside '{bare}', and models are remembered by name; "
            f"give that alone, and the key in TSDS_QDRANT_MODEL_KEY"
        )
    if not (parts.hostname and parts.fragment):
        raise SettingsError(
            f"'{name}' names no model of an endpoint; write http://host/v1#NAME, and quote it"
        )
    return name.partition("#")[0].rstrip("/"), parts.fragment


def is_gguf(name: str) -> bool:
    """Whether ``name`` is that of a file of llama.cpp's format, which holds a language model."""
    return name.lower().endswith(".gguf")


def directory_of(name: str) -> Path | None:
    """The directory that ``name`` means here and now; None where that is none."""
    if name.startswith(PACKAGE_PREFIX):
        with suppress(TsdsError):
            return Path(absolute(_package_directory(name)))
        return None
    return Path(absolute(name)) if name.strip() and expanded(name).is_dir() else None


def is_gone(name: str) -> bool:
    """Whether ``name`` is a path to a directory that is not there."""
    return means_path(name) and directory_of(name) is None


def same_model(one: str, other: str) -> bool:
    """Whether two names mean the same model: they are equal, or lead to the same directory."""
    if one == other:
        return True
    place = directory_of(one)
    return place is not None and place == directory_of(other)


def loadable(name: str, flag: str = "--model", then: str = ", which ingest remembers") -> str:
    """What sentence-transformers is to load for ``name``, which the user gave by ``flag``.

    Raises:
        EmbeddingError: a path to no directory, or a package without one.
        MissingPackageError: the package is not installed.
        SettingsError: an endpoint whose ``http://`` was forgotten.
    """
    if name.startswith(PACKAGE_PREFIX):
        return str(_package_directory(name))
    path = expanded(name)
    if path.is_dir():
        return str(path)
    if ADDRESS.fullmatch(name):
        meant = f"http://{name}" + ("" if "#" in name else "#NAME")
        raise SettingsError(f"model '{name}' is an address without http://; did you mean {meant}?")
    if path.is_file():
        raise EmbeddingError(
            f"'{absolute(name)}' is a file and no model; give {flag} the directory that holds it"
        )
    if means_path(name):
        raise EmbeddingError(
            f"the directory '{absolute(name)}' of the model does not exist; check the path, or "
            f"give the place where it is now with {flag}{then}"
        )
    return name


def language_model_place(name: str, flag: str = "--model") -> tuple[str, str]:
    """Where transformers finds a language model: a directory or a name of the hub, and its file.

    The file is the name of a GGUF file in that directory; "" for weights of transformers' own form.

    Raises:
        EmbeddingError: a path to nothing, or one of several GGUF files is to be chosen.
        MissingPackageError: the package is not installed.
    """
    if name.startswith(PACKAGE_PREFIX):
        package = package_root(name)
        directory = package if any(map(is_gguf, _names_in(package))) else _package_directory(name)
    elif is_gguf(name):
        path = _gguf_path(name)
        if not path.is_file():
            raise EmbeddingError(f"the model file '{path}' does not exist; check the path")
        return str(path.parent), path.name
    else:
        place = loadable(name, flag, "")
        if not Path(place).is_dir():
            return place, ""
        directory = Path(place)
    names = _names_in(directory)
    files = sorted(filter(is_gguf, names))
    if "config.json" in names or not files:
        return str(directory), ""
    if len(files) > 1:
        raise EmbeddingError(
            f"'{directory}' holds {len(files)} models ({', '.join(files)}); give {flag} the path "
            f"of one, as in {directory / files[0]}"
        )
    return str(directory), files[0]


def _gguf_path(name: str) -> Path:
    """The file from the root on, by its own name: the hub's cache links names to names of sums."""
    path = expanded(name)
    return Path(absolute(path.parent)) / path.name


def _names_in(directory: Path) -> list[str]:
    with suppress(OSError):
        return [path.name for path in directory.iterdir()]
    return []


def lacking(directory: Path) -> str:
    """What keeps ``directory`` from being a model, in words; "" where nothing is seen."""
    try:
        names = {path.name for path in directory.iterdir()}
        if not names & {"modules.json", "config.json"}:
            return "it holds neither modules.json nor config.json"
        for part in _parts(directory):
            if not (directory / part).is_dir():
                return f"it lacks the directory '{part}', which its modules.json names"
        weights = [path for path in directory.rglob("*") if path.suffix.lower() in WEIGHTS]
        if not weights:
            return "it lacks the weights, model.safetensors say"
        for path in weights:
            with path.open("rb") as stream:
                if stream.read(len(LFS_POINTER)) == LFS_POINTER:
                    return f"'{path.name}' is a pointer of Git LFS and no weights: git lfs pull"
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    return ""


def _parts(directory: Path) -> list[str]:
    """The directories below that modules.json names, but those of modules that keep nothing."""
    with suppress(OSError, ValueError, AttributeError, KeyError, TypeError):
        listed = json.loads((directory / "modules.json").read_text(encoding="utf-8"))
        kept = (part for part in listed if not part["type"].endswith(".Normalize"))
        return [str(part["path"]) for part in kept if part.get("path")]
    return []


def package_root(name: str) -> Path:
    """The directory of the package that ``package:NAME`` names.

    Raises:
        EmbeddingError: it names none.
        MissingPackageError: it is not installed.
    """
    package = name.removeprefix(PACKAGE_PREFIX).replace("-", "_")
    if not package:
        raise EmbeddingError(f"model '{name}' names no package; write package:NAME")
    try:
        found = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        found = None
    if found is None or found.origin is None:
        raise MissingPackageError(
            f"model '{name}' needs the package {package}, which is not installed; "
            f"run: pip install {package.replace('_', '-')}"
        )
    return Path(found.origin).parent


def _package_directory(name: str) -> Path:
    """The directory behind ``package:NAME``."""
    root = package_root(name)
    directory = root / "model"
    if not directory.is_dir():
        raise EmbeddingError(
            f"package {root.name} carries no directory 'model'; give another --model"
        )
    return directory
