"""Settings of a datamodel."""

from __future__ import annotations

from dataclasses import dataclass

from tsds_qdrant.errors import SettingsError
from tsds_qdrant.settings.fields import setting
from tsds_qdrant.strategies.dsdm.margins import OUTPUTS

RIDGE = 1e-3
REFIT = 0.1


@dataclass(frozen=True)
class DatamodelSettings:
    """Settings of a datamodel.

    Attributes:
        output: ``loss`` or ``margin``: what the vectors are gradients of; as ``represent`` made
            them by default.
        ridge: lambda, as a share of the mean diagonal entry of the kernel.
        refit: share of the candidates that may come, change or leave before the kernel is summed
            again.
        kernel_rows: candidates that are summed, by chance; 0 for all.
        kernel_seed: of that chance.
        margin_field: payload field of a candidate's margin; where ``represent margin-gradient``
            keeps it by default.
    """

    output: str | None = setting(
        None,
        "What the vectors are gradients of: loss or margin; as represent made them if unset.",
        metavar="NAME",
    )
    ridge: float = setting(
        RIDGE,
        "Lambda, as a share of the kernel's mean diagonal entry.",
        metavar="SHARE",
    )
    refit: float = setting(
        REFIT,
        "Share of the pool that may change before the kernel is summed again.",
        metavar="SHARE",
    )
    kernel_rows: int = setting(
        0, "Candidates that the kernel is the sum of, by chance; 0 for all.", least=0, hidden=True
    )
    kernel_seed: int = setting(0, "Of that chance.", hidden=True)
    margin_field: str | None = setting(
        None,
        "Payload field of a candidate's margin; that of represent if unset.",
        metavar="FIELD",
        hidden=True,
    )

    def __post_init__(self) -> None:
        if self.output is not None and self.output not in OUTPUTS:
            raise SettingsError(f"output is '{self.output}'; choose one of {', '.join(OUTPUTS)}")
        if not 0 < self.ridge < float("inf"):
            raise SettingsError(
                f"ridge is {self.ridge:g}, and a kernel without one may have no inverse; give a "
                f"number above 0, {RIDGE:g} say"
            )
        if not 0 <= self.refit <= 1:
            raise SettingsError(f"refit is {self.refit:g}; give a share from 0 to 1, {REFIT} say")
        if self.kernel_rows < 0:
            raise SettingsError(f"kernel_rows is {self.kernel_rows}; give 0 for all, or a number")
