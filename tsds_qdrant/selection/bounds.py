"""What samples must keep to: quotas, a token budget, groups."""

from __future__ import annotations

from dataclasses import dataclass

from tsds_qdrant.errors import SettingsError
from tsds_qdrant.selection.quotas import Quota
from tsds_qdrant.settings.fields import setting


@dataclass(frozen=True)
class Bounds:
    """Quotas, budgets, groups

    Attributes:
        quotas: maximum share of the sample from each value of a payload field.
        token_budget: maximum number of tokens of the sample; without a size it says how much is
            drawn.
        token_field: payload field that holds them; by default the collection's model counts.
        max_per_group: maximum number of candidates of one group.
        group_field: payload field that names the group; by default near-duplicates are one.
    """

    quotas: tuple[Quota, ...] = setting(
        (),
        "At most that share from one value, or each value, of a field. May be repeated.",
        "--quota",
        metavar="FIELD[=VALUE]:SHARE",
        parse=lambda text, _: Quota.parse(text),
        repeated=True,
    )
    token_budget: int | None = setting(
        None,
        "At most T tokens in all, beside --size or in its place.",
        "--budget-tokens",
        metavar="T",
    )
    token_field: str | None = setting(
        None, "Field that holds the number of tokens; else the model counts.", metavar="FIELD"
    )
    max_per_group: int | None = setting(None, "At most K candidates of one group.", metavar="K")
    group_field: str | None = setting(
        None, "Field that names the group; else near-duplicates are one.", metavar="FIELD"
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "quotas", tuple(self.quotas))
        names = [quota.name for quota in self.quotas]
        for name in names:
            if names.count(name) > 1:
                raise SettingsError(f"'{name}' has two quotas; leave one out")
        if self.token_budget is not None and self.token_budget < 1:
            raise SettingsError(f"the token budget is {self.token_budget}; it must be positive")
        if self.token_field is not None and self.token_budget is None:
            raise SettingsError(f"the token field '{self.token_field}' needs a token budget")
        if self.max_per_group is not None and self.max_per_group < 1:
            raise SettingsError(f"max_per_group is {self.max_per_group}; choose 1 or more")
        if self.group_field is not None and self.max_per_group is None:
            raise SettingsError(f"the group field '{self.group_field}' needs a maximum per group")

    @property
    def any(self) -> bool:
        """Whether samples must keep to quotas, a budget or groups."""
        return bool(self.quotas) or self.token_budget is not None or self.max_per_group is not None

    @property
    def fields(self) -> dict[str, str]:
        """Payload field -> the flag that names it."""
        named = {quota.field: "--quota" for quota in self.quotas}
        others = {"--group-field": self.group_field, "--token-field": self.token_field}
        return named | {name: flag for flag, name in others.items() if name is not None}

    @property
    def near_duplicates(self) -> bool:
        """Whether near-duplicates are one group."""
        return self.max_per_group is not None and self.group_field is None
