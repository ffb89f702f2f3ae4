"""Settings of an export."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tsds_qdrant.errors import SettingsError
from tsds_qdrant.training.forms import DATAFLEX, FORMS, PLAIN
from tsds_qdrant.training.shapes import checked_field_map

WEIGHTS = ("column", "repeats")


@dataclass(frozen=True)
class ExportSettings:
    """Settings of one export.

    Attributes:
        form: one of :data:`~tsds_qdrant.training.forms.FORMS`.
        size: write the first ``size`` draws; all of the largest sample by default.
        weights: a row that was drawn more than once comes once with its weight in a ``column``,
            or as often as it was drawn (``repeats``). By default a column in ``plain`` and
            repeats elsewhere, as trainers read no weights.
        shuffle: a seed to mix the rows with; best rank first by default.
        validation: share of the draws for a validation file; none by default.
        radius: how near two rows must be to stay on one side of the split; the run's bandwidth h
            by default.
        seed: of the split.
        fields: part of an example -> field, see :mod:`tsds_qdrant.training.shapes`.
        skip_unfit: leave out records that do not fit the form instead of refusing them.
    """

    form: str = PLAIN
    size: int | None = None
    weights: str | None = None
    shuffle: int | None = None
    validation: float | None = None
    radius: float | None = None
    seed: int = 0
    fields: Mapping[str, str] = field(default_factory=dict)
    skip_unfit: bool = False

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise SettingsError(f"'{self.form}' is no format; choose one of {', '.join(FORMS)}")
        if self.weights is not None and self.weights not in WEIGHTS:
            raise SettingsError(f"weights are '{self.weights}'; choose {' or '.join(WEIGHTS)}")
        if self.size is not None and self.size < 1:
            raise SettingsError(f"size is {self.size}; ask for at least one candidate")
        if self.validation is not None and not 0.0 < self.validation < 1.0:
            raise SettingsError(
                f"validation is {self.validation:g}; choose a share between 0 and 1"
            )
        if self.radius is not None and not 0.0 <= self.radius < math.inf:
            raise SettingsError(f"radius is {self.radius:g}; it must be 0 or more")
        if self.radius is not None and self.validation is None:
            raise SettingsError("a radius is given, but no validation share; set one, 0.1 say")
        for name in ("seed", "shuffle"):
            if (getattr(self, name) or 0) < 0:
                raise SettingsError(f"{name} is {getattr(self, name)}; choose 0 or more")
        checked_field_map(self.fields)
        if self.form == PLAIN and self.fields:
            raise SettingsError("the plain format writes all fields as they are; map none")
        if self.form == DATAFLEX and replace(self, form=PLAIN) != ExportSettings():
            raise SettingsError(
                "the dataflex format is one p for each row of the pool; it takes no other setting"
            )

    @property
    def repeats(self) -> bool:
        """Whether a row comes as often as it was drawn."""
        return (self.weights or ("column" if self.form == PLAIN else "repeats")) == "repeats"
