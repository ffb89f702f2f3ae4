"""A mixture inside a training by torch: a dataset to read, and a callback that feeds losses back.

Only who trains imports this module, as it imports torch and transformers.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import IterableDataset, get_worker_info
from transformers import TrainerCallback

from tsds_qdrant.collections.values import Payload
from tsds_qdrant.errors import InputError, OutputError, SettingsError, StateError
from tsds_qdrant.files.outputs import atomic_write
from tsds_qdrant.training.mixing_log import Sums
from tsds_qdrant.training.mixing_stream import MixedStream

ROW = "mixture_row"
"""The key of an example under which its number in the stream is."""
STATE_FILE = "mixture.json"
"""Inside a checkpoint of a Trainer: the state of the dataset."""
IGNORED = -100
"""The label of tokens that count for no loss."""


class MixedDataset(IterableDataset):  # type: ignore[misc]
    """The examples of a :class:`MixedStream`, for a ``DataLoader`` without workers.

    An example is what ``form`` makes of its payload, a mapping, with the number of its row under
    ``mixture_row``. Iterating again goes on with the stream.
    """

    def __init__(
        self, stream: MixedStream, form: Callable[[Payload], Mapping[str, Any]] = dict
    ) -> None:
        """Read ``stream``; nothing is read yet.

        Args:
            stream: the examples.
            form: makes an example of a payload, of which what this package keeps there is left out.
        """
        super().__init__()
        self.stream = stream
        self._form = form

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The examples from here on.

        Raises:
            SettingsError: in a worker, where the mixture would learn nothing.
            InputError: see :meth:`MixedStream.next`; or ``form`` makes no mapping.
        """
        if get_worker_info() is not None:
            raise SettingsError(
                "a mixed dataset cannot be read by workers, which would not learn from losses; set "
                "num_workers (dataloader_num_workers) to 0"
            )
        for drawn in self.stream:
            example = self._form(drawn.record.content)
            if not isinstance(example, Mapping):
                raise InputError(
                    f"'form' makes {type(example).__name__} of point {drawn.record.id}; make a "
                    f"mapping, such as input_ids and labels"
                )
            yield {**example, ROW: drawn.row}

    def state_dict(self) -> dict[str, Any]:
        """The state of the stream, see :meth:`MixedStream.state_dict`."""
        return self.stream.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, see :meth:`MixedStream.load_state_dict`."""
        self.stream.load_state_dict(state)


class MixtureCallback(TrainerCallback):  # type: ignore[misc]
    """Lets the mixture of a dataset learn from a Trainer of a causal language model.

    The loss of each example is computed from the logits of its own forward pass, so a batch may mix
    sources. After each step of the optimizer the mixture learns the mean loss by token of each
    source, over all batches and processes of the step. Each checkpoint gets the dataset's state.
    """

    def __init__(self, dataset: MixedDataset, log: str | Path | None = None) -> None:
        """Feed the losses of ``dataset`` back.

        Args:
            dataset: what the Trainer trains on.
            log: file of JSON lines that gets step, source, loss, tokens and chance, for the
                command ``mix``.
        """
        self._stream = dataset.stream
        self._stream.await_acknowledgement()
        self._log = None if log is None else Path(log)
        self._losses: dict[int, tuple[float, int]] = {}
        self._rows: list[int] = []
        self._hooks: list[Any] = []

    def restore(self, checkpoint: str | Path) -> None:
        """Go on from ``checkpoint``, a directory that a Trainer saved with this callback.

        Call it before ``trainer.train(resume_from_checkpoint=checkpoint)``, with
        ``ignore_data_skip=True`` among the training arguments.

        Raises:
            StateError: it holds no state of such a dataset.
        """
        path = Path(checkpoint) / STATE_FILE
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StateError(
                f"'{path}' cannot be read ({error}); name a checkpoint that was saved with the "
                f"mixture's callback"
            ) from None
        self._stream.load_state_dict(state)

    def on_train_begin(
        self, args: Any, state: Any, control: Any, model: Any = None, **_: Any
    ) -> None:
        """Watch the forward passes of ``model``.

        Raises:
            SettingsError: training arguments that leave no way to do so.
            OutputError: the log exists already, from another training.
        """
        for name, right in (
            ("remove_unused_columns", False),
            ("dataloader_num_workers", 0),
            ("label_smoothing_factor", 0.0),
            *([("ignore_data_skip", True)] if state.global_step else []),
        ):
            if (given := getattr(args, name)) != right:
                raise SettingsError(
                    f"{name} is {given} among the training arguments, and a mixture needs "
                    f"{name}={right}"
                )
        self._begin_log(state.global_step)
        self.on_train_end(args, state, control)
        self._hooks = [
            model.register_forward_pre_hook(self._before, with_kwargs=True),
            model.register_forward_hook(self._after, with_kwargs=True),
        ]

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Let the mixture learn from a step; losses that are no finite numbers are left out."""
        step = _gathered(self._losses)
        self._losses = {}
        known = {
            row: self._stream.waiting[row] for row in sorted(step) if row in self._stream.waiting
        }
        if not known:  # another process reads for this one
            return
        sums: dict[str, Sums] = {}
        for row, one in known.items():
            loss, tokens = step[row]
            if tokens:
                sums.setdefault(one.source, Sums()).add(loss / tokens, one.chance, tokens)
        losses = {source: one.loss / one.tokens for source, one in sums.items()}
        for source in [source for source, loss in losses.items() if not math.isfinite(loss)]:
            warnings.warn(
                f"the loss of source '{source}' in step {state.global_step} is {losses[source]}; "
                f"the mixture leaves it out",
                RuntimeWarning,
                stacklevel=2,
            )
            del losses[source]
        chances = {source: sums[source].chance / sums[source].tokens for source in losses}
        self._stream.mixture.observe(losses, chances)
        self._stream.acknowledge(max(step))
        if self._log is not None and state.is_world_process_zero:
            lines = [
                json.dumps(
                    {
                        "step": state.global_step,
                        "source": source,
                        "loss": loss,
                        "tokens": int(sums[source].tokens),
                        "chance": chances[source],
                    },
                    ensure_ascii=False,
                )
                for source, loss in losses.items()
            ]
            with self._log.open("a", encoding="utf-8") as stream:
                stream.write("".join(f"{line}\n" for line in lines))

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Put the dataset's state into the checkpoint that was just saved."""
        directory = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if state.is_world_process_zero and directory.is_dir():
            with atomic_write(directory / STATE_FILE) as stream:
                stream.write(json.dumps(self._stream.state_dict()).encode())

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Watch no longer."""
        while self._hooks:
            self._hooks.pop().remove()

    def _before(self, model: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        rows = kwargs.pop(ROW, None)
        self._rows = [] if rows is None else rows.tolist()
        if model.training and rows is None:
            raise InputError(
                f"a batch has no '{ROW}'; train on the mixed dataset, with a collator that keeps it"
            )
        return args, kwargs

    def _after(self, model: Any, args: Any, kwargs: Mapping[str, Any], output: Any) -> None:
        labels, logits = kwargs.get("labels"), getattr(output, "logits", None)
        if not model.training:
            return
        if labels is None or logits is None:
            raise InputError(
                "a forward pass of the model has no labels or no logits, which the loss of a "
                "source is computed from; train a causal language model on labels"
            )
        for row, own, target in zip(self._rows, logits.detach(), labels, strict=True):
            self._losses[row] = _summed(own[:-1], target[1:])

    def _begin_log(self, step: int) -> None:
        """Leave the steps up to ``step`` alone in the log."""
        if self._log is None or not self._log.exists():
            return
        if not step:
            raise OutputError(f"'{self._log}' exists already; name another file, or move it away")
        whole = self._log.read_bytes().split(b"\n")[:-1]
        kept = [line for line in whole if json.loads(line)["step"] <= step]
        with atomic_write(self._log) as stream:
            stream.write(b"".join(line + b"\n" for line in kept))


def _summed(logits: Any, labels: Any) -> tuple[float, int]:
    """The summed loss of the labels of one example, and how many count."""
    count = int((labels != IGNORED).sum())
    if not count:
        return 0.0, 0
    loss = torch.nn.functional.cross_entropy(
        logits.float(), labels, ignore_index=IGNORED, reduction="sum"
    )
    return float(loss), count


def _gathered(losses: dict[int, tuple[float, int]]) -> dict[int, tuple[float, int]]:
    """``losses`` by row, those of all processes."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return losses
    parts: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, losses)
    return {row: one for part in parts for row, one in part.items()}
