"""Checkpoints of a training: which weights, at which learning rate, with which optimizer state.

Three kinds of directory are read: one of ``warm-up``, one of a Hugging Face Trainer (adapters or a
whole model), and a plain model or adapter.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tsds_qdrant.errors import EmbeddingError
from tsds_qdrant.paths import absolute, expanded
from tsds_qdrant.representations.checkpoints.adapters import adapted
from tsds_qdrant.representations.checkpoints.model_files import (
    ADAPTER_CONFIG,
    CONFIG,
    content_id,
    digest,
    is_adapter,
    read_object,
    weight_files,
)
from tsds_qdrant.representations.checkpoints.optimizer_state import (
    OURS,
    TRAINERS,
    WAY_OUT,
    Adam,
    read_named,
    read_numbered,
)

FACTS = "checkpoint.json"
TRAINER_STATE = "trainer_state.json"
FOLDER = re.compile(r"checkpoint-(\d+)")
_MEND = "mend it, or give another checkpoint"


@dataclass(frozen=True)
class Checkpoint:
    """A directory with the weights of one moment of a training.

    Attributes:
        directory: where it is.
        step: how many optimizer steps were done; 0 where nothing says.
        learning_rate: the mean over the steps since the checkpoint before; None where nothing
            says.
        base_model: the model that adapters are put on, as their configuration names it; "" of a
            whole model.
    """

    directory: Path
    step: int = 0
    learning_rate: float | None = None
    base_model: str = ""

    @classmethod
    def read(cls, path: str | Path) -> Checkpoint:
        """The checkpoint in the directory at ``path``.

        Raises:
            EmbeddingError: it is none, or a file of it cannot be read.
        """
        directory = Path(absolute(path))
        if not directory.is_dir():
            fault = "is a file" if directory.exists() else "does not exist"
            raise EmbeddingError(
                f"the checkpoint '{path}' {fault}; give the directory of a checkpoint, or make "
                "some with 'tsds-qdrant warm-up'"
            )
        if not is_adapter(directory) and not (directory / CONFIG).exists():
            inside = _folders(directory)
            hint = f"it holds {inside[0].name}, so give that" if inside else "give another"
            raise EmbeddingError(
                f"'{directory}' is no checkpoint: it holds neither {ADAPTER_CONFIG} nor {CONFIG}; "
                f"{hint}"
            )
        weight_files(directory)
        base = ""
        if is_adapter(directory):
            config = read_object(directory / ADAPTER_CONFIG)
            base = str(config.get("base_model_name_or_path") or "")
        return cls(directory, *_history(directory), base)

    @property
    def is_adapter(self) -> bool:
        """Whether it holds adapters, and no whole model."""
        return is_adapter(self.directory)

    @cached_property
    def id(self) -> str:
        """16 hexadecimal digits that differ wherever weights or configuration do."""
        return content_id(self.directory)

    @property
    def has_optimizer(self) -> bool:
        """Whether a file holds the state of its optimizer."""
        return self._optimizer() is not None

    @cached_property
    def optimizer_id(self) -> str:
        """16 hexadecimal digits that differ wherever the optimizer's state does; "" without."""
        path = self._optimizer()
        return "" if path is None else digest(path)[:16]

    def optimizer_state(self, model: Any) -> Mapping[str, Adam]:
        """The optimizer's state by the names of the parameters that ``model`` trains.

        Args:
            model: the torch model as this checkpoint is loaded, adapters to be trained.

        Raises:
            EmbeddingError: there is none, or it is of another optimizer or another model.
        """
        path = self._optimizer()
        if path is None:
            parts = [*self.directory.glob("global_step*"), *self.directory.glob("optimizer_*")]
            parts += self.directory.glob("rank*-optimizer.pt")
            kept = f" in one file (only '{parts[0].name}', in parts)" if parts else ""
            raise EmbeddingError(
                f"the checkpoint '{self.directory}' has no optimizer state{kept}; {WAY_OUT}"
            )
        return read_named(path, model) if path.name == OURS else read_numbered(path, model)

    def adapted(self, model: Any) -> Any:
        """``model`` with these adapters on it, which need gradients; a peft model in eval mode.

        Raises:
            EmbeddingError: they are a whole model, or do not fit ``model``.
            MissingPackageError: peft is not installed.
        """
        if not self.is_adapter:
            raise EmbeddingError(
                f"'{self.directory}' holds a whole model and no adapters; load it in place of the "
                "model"
            )
        return adapted(model, self.directory, self.base_model)

    def facts(self) -> dict[str, Any]:
        """What features that are made with it depend on, as JSON values."""
        return {"id": self.id, "step": self.step, "learning_rate": self.learning_rate}

    def _optimizer(self) -> Path | None:
        paths = (self.directory / name for name in (OURS, TRAINERS))
        return next((path for path in paths if path.is_file()), None)


def checkpoints_at(paths: Sequence[str | Path]) -> list[Checkpoint]:
    """The checkpoints at ``paths``, in order; those inside a directory of them by their steps.

    Raises:
        EmbeddingError: as :meth:`Checkpoint.read`; or the same one twice.
    """
    found: list[Checkpoint] = []
    for path in paths:
        inside = _folders(expanded(path))
        is_one = (expanded(path) / FACTS).exists() or not inside
        found += [Checkpoint.read(one) for one in ([path] if is_one else inside)]
    places = [one.directory for one in found]
    again = next((place for place in places if places.count(place) > 1), None)
    if again is not None:
        raise EmbeddingError(f"the checkpoint '{again}' is given twice; name each one once")
    return found


def rate_weights(checkpoints: Sequence[Checkpoint]) -> list[float]:
    """The weight of each checkpoint: its learning rate, scaled to sum 1.

    All the same where no checkpoint has one.

    Raises:
        EmbeddingError: some have a learning rate and some have none, or all are zero.
    """
    rates = [one.learning_rate for one in checkpoints]
    known = [rate for rate in rates if rate is not None]
    if not known:
        return [1 / len(rates) for _ in rates]
    if len(known) < len(rates):
        without = checkpoints[rates.index(None)]
        raise EmbeddingError(
            f"the checkpoint '{without.directory}' does not say its learning rate, and others do; "
            f'leave it out, or put "learning_rate" into its {FACTS}'
        )
    total = math.fsum(known)
    if total <= 0:
        raise EmbeddingError(
            f"all {len(rates)} checkpoints say a learning rate of 0, so none of them weighs "
            "anything; give others"
        )
    return [rate / total for rate in known]


def _folders(directory: Path) -> list[Path]:
    """The directories of checkpoints in ``directory``, by their steps."""
    if not directory.is_dir():
        return []
    found = [
        (int(match[1]), path)
        for path in directory.iterdir()
        if (match := FOLDER.fullmatch(path.name)) and path.is_dir()
    ]
    return [path for _, path in sorted(found)]


def _history(directory: Path) -> tuple[int, float | None]:
    """The step of a checkpoint, and the mean learning rate since the one before."""
    ours, trainers = directory / FACTS, directory / TRAINER_STATE
    if ours.exists():
        facts = read_object(ours)
        return _step(facts.get("step", 0), ours), _rate(facts.get("learning_rate"), ours)
    if not trainers.exists():
        return 0, None
    state = read_object(trainers)
    step = _step(state.get("global_step", 0), trainers)
    numbers = (int(folder.name.rpartition("-")[2]) for folder in _folders(directory.parent))
    before = max((number for number in numbers if number < step), default=0)
    lines = state.get("log_history")
    rates = [
        _rate(line.get("learning_rate"), trainers)
        for line in (lines if isinstance(lines, list) else ())
        if isinstance(line, dict) and before < _step(line.get("step", 0), trainers) <= step
    ]
    known = [rate for rate in rates if rate is not None]
    return step, math.fsum(known) / len(known) if known else None


def _step(value: Any, path: Path) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise EmbeddingError(f"'{path}' says a step of {value!r}, which is no number; {_MEND}")


def _rate(value: Any, path: Path) -> float | None:
    if value is None:
        return None
    if isinstance(value, int | float) and math.isfinite(value) and value >= 0:
        return float(value)
    raise EmbeddingError(f"'{path}' says a learning rate of {value!r}, which is none; {_MEND}")
