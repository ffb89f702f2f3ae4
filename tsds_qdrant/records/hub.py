"""Datasets of Hugging Face: saved in a directory, or streamed by their names."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tsds_qdrant.errors import InputError, MissingPackageError
from tsds_qdrant.records.arrow_rows import BATCH, arrow_errors

HUB = "hf:"
_SPLITS_FILE = "dataset_dict.json"
_STATE_FILE = "state.json"
_MOST_LISTED = 20


def is_hub_name(source: str) -> bool:
    """Whether ``source`` names a dataset as :class:`HubName` does."""
    return source.startswith(HUB) and not source.startswith(f"{HUB}//")


def is_saved(folder: Path) -> bool:
    """Whether a folder was written by ``save_to_disk``."""
    try:
        return (folder / _SPLITS_FILE).is_file() or (folder / _STATE_FILE).is_file()
    except OSError:  # no path at all
        return False


def saved_dataset(folder: Path) -> Any:
    """The dataset that was saved in ``folder``.

    Raises:
        InputError: it has several splits, or cannot be read.
        MissingPackageError: the package ``datasets`` is not installed.
    """
    splits = folder / _SPLITS_FILE
    if splits.is_file():
        with arrow_errors(splits):
            names = [str(name) for name in json.loads(splits.read_bytes())["splits"]]
        if len(names) != 1:
            choices = " or ".join(f"'{folder / name}'" for name in names) or "another directory"
            raise InputError(
                f"'{folder}' holds the {len(names)} splits {', '.join(names)}; give {choices}"
            )
        folder = folder / names[0]
    package = _datasets(f"'{folder}' is a saved dataset")
    with arrow_errors(folder):
        return package.load_from_disk(str(folder))


def batches_of(dataset: Any) -> Iterator[Any]:
    """The rows of a dataset as tables of Arrow."""
    yield from dataset.with_format("arrow").iter(batch_size=BATCH)


@dataclass(frozen=True)
class HubName:
    """``hf:NAME[:CONFIG][:SPLIT]``; a name may be the path of a directory."""

    name: str
    rest: tuple[str, ...]

    @classmethod
    def parse(cls, source: str) -> HubName:
        """Read what follows ``hf:``.

        Raises:
            InputError: no name, or too many parts.
        """
        name, *rest = source.removeprefix(HUB).split(":")
        if not name or len(rest) > 2 or not all(rest):
            raise InputError(
                f"'{source}' names no dataset; write hf:NAME, hf:NAME:SPLIT or hf:NAME:CONFIG:SPLIT"
            )
        return cls(name, tuple(rest))

    def __str__(self) -> str:
        return HUB + ":".join((self.name, *self.rest))

    def batches(self) -> Iterator[Any]:
        """The rows of the dataset, streamed, as tables of Arrow.

        Raises:
            InputError: it cannot be loaded, or has several configurations or splits, and none is
                named.
            MissingPackageError: the package ``datasets`` is not installed.
        """
        package = _datasets(f"'{self}' is a dataset by name")
        with self._errors():
            configs = package.get_dataset_config_names(self.name)
        config, split = self._chosen(configs)
        with self._errors():
            splits = package.load_dataset(self.name, config, streaming=True)
        if split is None and len(splits) > 1:
            raise self._several("splits", splits)
        if split is not None and split not in splits:
            raise InputError(f"'{self}' has no split '{split}'; choose {_listed(splits)}")
        return self._streamed(splits[split or next(iter(splits))])

    def _streamed(self, dataset: Any) -> Iterator[Any]:
        with self._errors():
            yield from batches_of(dataset)

    def _chosen(self, configs: list[str]) -> tuple[str | None, str | None]:
        """Configuration and split; of one word, a configuration if there is one of that name."""
        if len(self.rest) == 2:
            config, split = self.rest
            if config not in configs:
                raise InputError(
                    f"'{self}' has no configuration '{config}'; choose {_listed(configs)}"
                )
            return config, split
        word = self.rest[0] if self.rest else None
        if word in configs:
            return word, None
        if word and "default" not in configs and len(configs) > 1:
            raise InputError(f"'{self}' has no configuration '{word}'; choose {_listed(configs)}")
        if len(configs) > 1 and "default" not in configs:
            raise self._several("configurations", configs)
        return None, word

    def _several(self, what: str, names: Iterable[str]) -> InputError:
        listed = list(names)
        return InputError(
            f"'{self}' has the {len(listed)} {what} {_listed(listed)}; name one, as in "
            f"'{self}:{listed[0]}'"
        )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # whatever the hub, the network or the dataset's files raise
            reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
            raise InputError(
                f"'{self}' cannot be loaded ({reason}); check its name and the network"
            ) from None


def _listed(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _MOST_LISTED} more" if len(listed) > _MOST_LISTED else ""
    return ", ".join(listed[:_MOST_LISTED]) + more


def _datasets(fact: str) -> ModuleType:
    try:
        import datasets
    except ModuleNotFoundError:
        raise MissingPackageError(
            f'{fact}, which needs the package datasets; run: pip install "tsds-qdrant[datasets]"'
        ) from None
    module: ModuleType = datasets
    return module
