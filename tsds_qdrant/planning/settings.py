"""What a comparison can be asked for."""

from __future__ import annotations

from dataclasses import dataclass

from tsds_qdrant.errors import SettingsError
from tsds_qdrant.planning.contestants import METHODS
from tsds_qdrant.settings.fields import setting
from tsds_qdrant.settings.texts import names


@dataclass(frozen=True)
class CompareSettings:
    """Comparison

    Attributes:
        methods: strategies and variants, of ``METHODS``; None for all that can be used here.
        seeds: strategies that leave something to chance select once with each of this many
            seeds, from the seed of the selection on.
        by: payload field whose values are counted in every selection; ``tags.*`` counts the items
            of a list.
        target: the value of that field that the task is about.
    """

    methods: tuple[str, ...] | None = setting(
        None,
        f"Which strategies: {', '.join(METHODS)}; all that can be used if unset.",
        metavar="NAME,..",
        parse=names,
    )
    seeds: int = setting(
        5, "With how many seeds strategies select that know chance.", metavar="N", least=1
    )
    by: str | None = setting(None, "Count the values of this payload field.", metavar="FIELD")
    target: str | None = setting(None, "Count this value of --by alone.", metavar="VALUE")

    def __post_init__(self) -> None:
        if self.methods is not None:
            object.__setattr__(self, "methods", tuple(dict.fromkeys(self.methods)))
        for method in self.methods or ():
            if method not in METHODS:
                raise SettingsError(f"'{method}' is no strategy; choose among {', '.join(METHODS)}")
        if self.methods == () or self.seeds < 1:
            raise SettingsError(
                "there is nothing to compare; give at least one strategy and one seed"
            )
        if self.target is not None and self.by is None:
            raise SettingsError(
                f"the target '{self.target}' is a value of a field; name it with --by"
            )
