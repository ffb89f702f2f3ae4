"""Settings of an export."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from tsds_qdrant.errors import SettingsError
from tsds_qdrant.records.recognising import checked_field_map, field_map_of
from tsds_qdrant.settings.fields import setting
from tsds_qdrant.training.forms import DATAFLEX, FORMS, PLAIN

WEIGHTS = ("column", "repeats")


@dataclass(frozen=True)
class ExportSettings:
    """Form of the rows

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
        fields: part of an example -> field, see :mod:`tsds_qdrant.records.recognising`; ``plain``
            then writes these parts alone, with the values that they have.
        skip_unfit: leave out records that do not fit the form instead of refusing them.
    """

    form: str = setting(
        PLAIN,
        "plain, chat, instruction, trl, axolotl, llamafactory or dataflex.",
        "--format",
        metavar="NAME",
    )
    size: int | None = setting(None, "The first N draws; all if unset.", metavar="N")
    weights: str | None = setting(
        None,
        "Rows drawn more than once: a column (plain), or written as often (else).",
        metavar="column|repeats",
    )
    shuffle: int | None = setting(None, "Mix the rows; best rank first if unset.", metavar="SEED")
    validation: float | None = setting(
        None,
        "Put that share beside it, in FILE-validation; near-duplicates stay together.",
        metavar="SHARE",
    )
    radius: float | None = setting(
        None, "How near a near-duplicate is; the run's h (of tsds) if unset.", metavar="R"
    )
    seed: int = setting(0, "Same seed, same validation rows.", least=0)
    fields: Mapping[str, str] = setting(
        {},
        "Fields that hold prompt, completion, input, system, messages or text.",
        "--map",
        metavar="PART=FIELD,..",
        parse=field_map_of,
    )
    skip_unfit: bool = setting(False, "Leave out records that do not fit the format.")

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
        if self.form == DATAFLEX and replace(self, form=PLAIN) != ExportSettings():
            raise SettingsError(
                "the dataflex format is one p for each row of the pool; it takes no other setting"
            )

    @property
    def repeats(self) -> bool:
        """Whether a row comes as often as it was drawn."""
        return (self.weights or ("column" if self.form == PLAIN else "repeats")) == "repeats"
