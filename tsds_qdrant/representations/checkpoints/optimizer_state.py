"""The state of an Adam optimizer by the names of the parameters, as checkpoints keep it.

Two forms are read: ``optimizer.safetensors``, which names parameters itself, and ``optimizer.pt``
of a Hugging Face Trainer, which numbers them in the order of its parameter groups.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tsds_qdrant.errors import EmbeddingError
from tsds_qdrant.representations.loading import first_line

OURS = "optimizer.safetensors"
TRAINERS = "optimizer.pt"
MOMENTS = ("exp_avg", "exp_avg_sq", "step")
SETTINGS = "adam"
WAY_OUT = "take features of plain gradients (SGD), or checkpoints of 'tsds-qdrant warm-up'"
Betas = tuple[float, float]

NormKinds = tuple[str, ...]
_WITHOUT_DECAY: tuple[tuple[re.Pattern[str], NormKinds], ...] = (
    (
        re.compile(r"bias|layernorm|rmsnorm|(?:^|\.)norm(?:$|\.)|_norm(?:$|\.)", re.IGNORECASE),
        ("LayerNorm",),
    ),
    (re.compile("bias"), ("LayerNorm", "RMSNorm")),
    (re.compile("bias"), ("LayerNorm",)),
)
"""What the Trainer puts into its second group: names, and ends of the classes of modules. The first
is that of transformers 5; older ones knew norms by their classes."""


@dataclass(frozen=True)
class Adam:
    """What Adam knows of one parameter, of any shape.

    Attributes:
        exp_avg: running mean of the gradient; a torch tensor of the parameter's shape.
        exp_avg_sq: running mean of its square.
        step: how many steps were done.
        betas: the decay of the two means.
        eps: added to the root in the denominator.
    """

    exp_avg: Any
    exp_avg_sq: Any
    step: int
    betas: Betas
    eps: float


def bare(name: str) -> str:
    """The name of a parameter without the name of its adapter, as peft writes it into files."""
    name = re.sub(r"^(?:module\.|_orig_mod\.)+", "", name)
    name = re.sub(r"\.(lora_[A-Za-z_]+)\.(?!weight$|bias$)[^.]+", r".\1", name)
    return re.sub(r"\.modules_to_save\.[^.]+\.", ".", name)


class NamedState(Mapping[str, Adam]):
    """The state in an ``optimizer.safetensors``; tensors are read as they are asked for."""

    def __init__(self, path: Path, names: Mapping[str, str]) -> None:
        """Keep the file at ``path``, whose names are those that ``names`` maps a model's to."""
        self._path = path
        self._names = names
        with _opened(path) as file:
            self._settings = _settings_of(file.metadata() or {}, path)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, name: str) -> Adam:
        stored = self._names[name]
        with _opened(self._path) as file:
            first, second, step = (file.get_tensor(f"{stored}.{part}") for part in MOMENTS)
        return Adam(first, second, int(step), *self._settings)


def write_named(path: Path, optimizer: Any, named: Iterable[tuple[str, Any]]) -> None:
    """Write the state of a torch Adam or AdamW of one group as ``optimizer.safetensors``.

    Args:
        path: the file.
        optimizer: after one step at least.
        named: the parameters that it trains, with their names.
    """
    import torch
    from safetensors.torch import save_file

    tensors = {}
    for name, parameter in named:
        state = optimizer.state[parameter]
        for part in MOMENTS:
            value = torch.as_tensor(state[part]).detach().cpu().contiguous()
            tensors[f"{bare(name)}.{part}"] = value.clone()
    group = optimizer.param_groups[0]
    settings = {"betas": list(group["betas"]), "eps": group["eps"]}
    # One entry alone, as the order of several is left to chance.
    save_file(tensors, str(path), metadata={SETTINGS: json.dumps(settings)})


def read_named(path: Path, model: Any) -> NamedState:
    """The state in ``path`` of the parameters that ``model`` trains, by its own names.

    Raises:
        EmbeddingError: the file cannot be read, or lacks a parameter, or has another shape of it.
    """
    trained = trained_parameters(model)
    with _opened(path) as file:
        keys = set(file.keys())
        for name, shape in trained:
            stored = f"{bare(name)}.exp_avg"
            if stored not in keys:
                raise EmbeddingError(
                    f"'{path}' holds nothing of the parameter '{name}'; {_other_model(path)}"
                )
            held = tuple(file.get_slice(stored).get_shape())
            if held != shape:
                raise _misfit(path, name, held, shape)
    return NamedState(path, {name: bare(name) for name, _ in trained})


def read_numbered(path: Path, model: Any) -> dict[str, Adam]:
    """The state in an ``optimizer.pt`` of the parameters that ``model`` trains, by its own names.

    A group of parameters that names them is believed. Otherwise they are in the order of the
    model, in one group, or in the Trainer's two: those with weight decay first.

    Raises:
        EmbeddingError: it is no state of Adam, or of another model.
    """
    import torch

    try:
        stored = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        states = stored["state"]
        groups = [(group, list(group["params"])) for group in stored["param_groups"]]
        found = [
            [_adam(states.get(number), group, path) for number in numbers]
            for group, numbers in groups
        ]
    except EmbeddingError:
        raise
    except Exception as error:  # whatever unpickling raises
        raise EmbeddingError(
            f"'{path}' is no optimizer state that can be read ({first_line(error)}); {WAY_OUT}"
        ) from error
    shapes = dict(trained_parameters(model))
    for names in _possible_names([group for group, _ in groups], model):
        if [len(listed) for listed in names] == [len(states) for states in found]:
            pairs = [
                pair
                for listed, states in zip(names, found, strict=True)
                for pair in zip(listed, states, strict=True)
            ]
            if all(shapes.get(name) == tuple(state.exp_avg.shape) for name, state in pairs):
                by_name = dict(pairs)
                if by_name.keys() == shapes.keys():
                    return {name: by_name[name] for name in shapes}
    raise EmbeddingError(
        f"'{path}' numbers parameters in groups of {_counted(list(map(len, found)))}, which are "
        f"not the {len(shapes)} that the model trains, so it is not known which is which; "
        f"{_other_model(path)}"
    )


def trained_parameters(model: Any) -> list[tuple[str, tuple[int, ...]]]:
    """Name and shape of each parameter of a torch ``model`` that needs a gradient, in order."""
    return [
        (name, tuple(parameter.shape))
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    ]


def _possible_names(groups: Sequence[Mapping[str, Any]], model: Any) -> Iterator[list[list[str]]]:
    """The names of the parameters of each group, as they may be."""
    trained = [name for name, _ in trained_parameters(model)]
    if all("param_names" in group for group in groups):
        by_bare = {bare(name): name for name in trained}
        yield [[by_bare.get(bare(name), "") for name in group["param_names"]] for group in groups]
        return
    filled = [number for number, group in enumerate(groups) if group["params"]]
    if len(filled) == 1:
        yield [trained if number == filled[0] else [] for number in range(len(groups))]
        return
    modules = [(name, type(module).__name__) for name, module in model.named_modules()]
    for pattern, kinds in _WITHOUT_DECAY:
        inside = {name for name, kind in modules if kind.endswith(kinds)}
        without = {
            name for name in trained if pattern.search(name) or name.rpartition(".")[0] in inside
        }
        yield [
            [name for name in trained if name not in without],
            [name for name in trained if name in without],
        ]


def _adam(state: Any, group: Mapping[str, Any], path: Path) -> Adam:
    try:
        step = math.nan if state is None else float(state["step"])
        return Adam(
            state["exp_avg"], state["exp_avg_sq"], int(step), tuple(group["betas"]), group["eps"]
        )
    except (KeyError, TypeError, ValueError):
        held = ", ".join(sorted(map(str, state))) if isinstance(state, Mapping) else "nothing"
        raise EmbeddingError(
            f"'{path}' is no state of Adam or AdamW: of a parameter it holds {held or 'nothing'}, "
            f"not exp_avg and exp_avg_sq; {WAY_OUT}"
        ) from None


def _settings_of(metadata: Mapping[str, str], path: Path) -> tuple[Betas, float]:
    try:
        found = json.loads(metadata[SETTINGS])
        first, second = found["betas"]
        return (float(first), float(second)), float(found["eps"])
    except (KeyError, ValueError, TypeError):
        raise EmbeddingError(
            f"'{path}' does not say the betas and eps of its optimizer; {WAY_OUT}"
        ) from None


def _opened(path: Path) -> Any:
    from safetensors import safe_open

    try:
        return safe_open(str(path), framework="pt")
    except Exception as error:
        raise EmbeddingError(f"'{path}' cannot be read ({first_line(error)}); {WAY_OUT}") from error


def _misfit(path: Path, name: str, held: tuple[int, ...], shape: tuple[int, ...]) -> EmbeddingError:
    return EmbeddingError(
        f"'{path}' holds {_counted(held, ' x ')} values of the parameter '{name}', which has "
        f"{_counted(shape, ' x ')}; {_other_model(path)}"
    )


def _counted(numbers: Sequence[int], between: str = ", ") -> str:
    return between.join(map(str, numbers))


def _other_model(path: Path) -> str:
    return f"it is the state of another model than that of '{path.parent}', or {WAY_OUT}"
