"""What a budget is given by: computing power, the training, the choosing, and the pool."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from tsds_qdrant.errors import SettingsError
from tsds_qdrant.settings.fields import setting

PEAKS: Mapping[str, float] = {
    "a10": 125e12,
    "a100": 312e12,
    "a6000": 155e12,
    "b200": 2250e12,
    "h100": 989e12,
    "h100-pcie": 756e12,
    "h200": 989e12,
    "l4": 121e12,
    "l40s": 362e12,
    "mi300x": 1307e12,
    "rtx3090": 71e12,
    "rtx4090": 165e12,
    "t4": 65e12,
    "v100": 125e12,
}
"""FLOP/s that the makers name: dense matrices of 16-bit floats, no sparsity."""
UNITS: Mapping[str, float] = {"k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12, "p": 1e15}
LEAST_PEAK = 1e9
"""FLOP/s below which a peak was given in another unit."""
DEFAULT_GPU = "a100"


def amount(text: str, flag: str) -> float:
    """A positive number from ``7e9``, ``7B``, ``135M`` or ``1.5k``.

    Raises:
        SettingsError: something else.
    """
    number, unit = (
        (text[:-1], UNITS.get(text[-1:].lower(), 0.0)) if text[-1:].isalpha() else (text, 1.0)
    )
    try:
        found = float(number) * unit
    except ValueError:
        found = 0.0
    if not 0 < found < math.inf:
        raise SettingsError(f"{flag} is '{text}'; give a positive number like 7e9, 7B or 135M")
    return found


def share(text: str, flag: str) -> float:
    """A share in (0, 1] from ``0.35`` or ``35%``.

    Raises:
        SettingsError: something else.
    """
    try:
        found = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        found = 0.0
    if not 0 < found <= 1:
        raise SettingsError(f"{flag} is '{text}'; give a share like 0.35 or 35%")
    return found


def gpu_name(text: str, flag: str) -> str:
    """A name of ``PEAKS``, whatever its case, hyphens and maker.

    Raises:
        SettingsError: there is none.
    """
    plain = text.lower().replace("nvidia", "").replace("amd", "").strip(" -_").replace(" ", "-")
    known = {name.replace("-", ""): name for name in PEAKS}
    if plain.replace("-", "") not in known:
        raise SettingsError(
            f"{flag} is '{text}', whose peak is not known; give it as --peak 312e12, in FLOP/s, "
            f"or one of {', '.join(PEAKS)}"
        )
    return known[plain.replace("-", "")]


@dataclass(frozen=True)
class Compute:
    """Budget

    Attributes:
        flops: F, for choosing and training together.
        gpu_hours: the same as hours of one GPU, all GPUs added up.
        gpu: one of ``PEAKS``.
        peak: FLOP/s of a GPU; that of ``gpu`` if None.
        utilisation: which share of the peak is reached.
    """

    flops: float | None = setting(None, "The same in FLOPs.", metavar="F", parse=amount)
    gpu_hours: float | None = setting(
        None,
        "Hours of a GPU for choosing and training together, all GPUs added up.",
        metavar="H",
        parse=amount,
    )
    gpu: str = setting(
        DEFAULT_GPU,
        f"Which GPU: {', '.join(PEAKS)}; {DEFAULT_GPU} if unset.",
        metavar="NAME",
        parse=gpu_name,
    )
    peak: float | None = setting(
        None, "FLOP/s of the GPU at its best; known for those of --gpu.", metavar="X", parse=amount
    )
    utilisation: float = setting(
        0.35,
        "Share of the peak that is reached, 0.3 to 0.4 as a rule; 0.35 if unset.",
        metavar="X",
        parse=share,
    )

    def __post_init__(self) -> None:
        if (self.flops is None) == (self.gpu_hours is None):
            many = "neither --gpu-hours nor --flops is" if self.flops is None else "both are"
            raise SettingsError(
                f"{many} given; say the budget once: --gpu-hours 100, or --flops 1e19"
            )
        if self.gpu not in PEAKS:
            gpu_name(self.gpu, "gpu")
        if self.peak is not None and self.peak < LEAST_PEAK:
            raise SettingsError(
                f"--peak is {self.peak:g} FLOP/s, which no GPU is as slow as; give FLOP/s, as in "
                f"312e12 or 312T"
            )
        _check_positive(flops=self.flops, gpu_hours=self.gpu_hours, utilisation=self.utilisation)

    @property
    def total(self) -> float:
        """F, in FLOPs."""
        if self.flops is not None:
            return self.flops
        assert self.gpu_hours is not None
        return self.gpu_hours * 3600 * self.speed * self.utilisation

    @property
    def speed(self) -> float:
        """FLOP/s of the GPU at its best."""
        return PEAKS[self.gpu] if self.peak is None else self.peak

    @property
    def assumption(self) -> str:
        """How hours became FLOPs; "" where they did not have to."""
        if self.gpu_hours is None:
            return ""
        what = "a GPU" if self.peak is not None else f"one {self.gpu.upper()}"
        return (
            f"{self.gpu_hours:g} GPU-hours are {self.total:.3g} FLOPs: {what} of "
            f"{self.speed / 1e12:g} TFLOP/s, {self.utilisation:.0%} of it used (--gpu, --peak, "
            f"--utilisation)"
        )


@dataclass(frozen=True)
class Training:
    """Training

    Attributes:
        train_params: parameters of the model that is trained.
        train_model: a model whose configuration says that number.
        epochs: over the selected candidates.
    """

    train_params: float | None = setting(
        None, "Parameters of the model to be trained.", metavar="P", parse=amount
    )
    train_model: str | None = setting(
        None, "That model itself: its configuration says how many.", metavar="NAME|DIR"
    )
    epochs: int = setting(1, "Epochs over what is selected.", metavar="E", least=1)

    def __post_init__(self) -> None:
        if (self.train_params is None) == (self.train_model is None):
            many = "no model is" if self.train_params is None else "two models are"
            raise SettingsError(
                f"{many} given; say once what is trained: --train-params 7e9, or --train-model DIR"
            )
        _check_positive(train_params=self.train_params, epochs=self.epochs)


@dataclass(frozen=True)
class Choosing:
    """Choosing

    Attributes:
        model_params: parameters of the model that reads all candidates; those of the model that
            is trained if None.
        tasks: K tasks that share its pass.
        checkpoints: T of gradients; None for the cost that was published.
        embedder_params: parameters of the model that embeds texts.
    """

    model_params: float | None = setting(
        None,
        "Parameters of the model that reads all candidates; as of the one trained if unset.",
        metavar="P",
        parse=amount,
    )
    tasks: int = setting(
        1, "Tasks that share what is made of the pool; each pays its part.", metavar="K", least=1
    )
    checkpoints: int | None = setting(
        None,
        "Checkpoints at which gradients are taken, each counted in full; the published cost of "
        "LESS if unset.",
        metavar="T",
        least=1,
    )
    embedder_params: float = setting(
        22.7e6, "Parameters of the model that embeds texts.", metavar="P", parse=amount, hidden=True
    )

    def __post_init__(self) -> None:
        _check_positive(
            model_params=self.model_params,
            tasks=self.tasks,
            checkpoints=self.checkpoints,
            embedder_params=self.embedder_params,
        )


@dataclass(frozen=True)
class PoolFigures:
    """Pool

    Attributes:
        candidates: N, where no collection says it.
        tokens: mean of a candidate, where no collection says it.
    """

    candidates: float | None = setting(
        None, "How many candidates there are, without --collection.", metavar="N", parse=amount
    )
    tokens: float | None = setting(
        None, "Mean tokens of a candidate, if not those of --collection.", metavar="X", parse=amount
    )

    def __post_init__(self) -> None:
        _check_positive(candidates=self.candidates, tokens=self.tokens)
        if self.candidates is not None and self.candidates < 1:
            raise SettingsError(f"--candidates is {self.candidates:g}; give at least 1")


def _check_positive(**values: float | None) -> None:
    for name, value in values.items():
        if value is not None and not 0 < value < math.inf:
            raise SettingsError(f"--{name.replace('_', '-')} is {value:g}; give a positive number")
