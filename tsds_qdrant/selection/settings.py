"""What a selection can be asked for; every default suits a user who sets nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tsds_qdrant.errors import SettingsError
from tsds_qdrant.neighbors.settings import SearchSettings
from tsds_qdrant.selection.bounds import Bounds
from tsds_qdrant.selection.quotas import Quota
from tsds_qdrant.selection.sampling import BY_CHANCE, DEFAULT_SAMPLER, SAMPLERS, Sampler
from tsds_qdrant.settings.fields import changed, names_of, parted, setting
from tsds_qdrant.settings.texts import whole_numbers
from tsds_qdrant.strategies.base import Strategy
from tsds_qdrant.strategies.catalog import DEFAULT, strategy_class

GROUPS = ("wanted", "bounds", "search", "strategy")
"""The groups of :class:`SelectionSettings`, by the names that manifests and states know."""


@dataclass(frozen=True)
class Wanted:
    """How many, and how they are drawn

    Attributes:
        sizes: numbers of candidates to draw; the smaller are inside the larger, but for
            ``multinomial``.
        ratio: draw that share of the pool instead.
        sampler: one of :data:`~tsds_qdrant.selection.sampling.SAMPLERS`.
        seed: same seed, same sample.
    """

    sizes: tuple[int, ...] = setting(
        (),
        "How many to select; several give nested samples.",
        "--size",
        metavar="N[,N..]",
        parse=whole_numbers,
    )
    ratio: float | None = setting(None, "How many, as a share of the pool.", metavar="R")
    sampler: Sampler = setting(
        DEFAULT_SAMPLER,
        "How the sample is drawn from probabilities.",
        metavar="|".join(SAMPLERS),
    )
    seed: int = setting(0, "Same seed, same selection.", least=0)

    def __post_init__(self) -> None:
        if not isinstance(self.sizes, (tuple, list)):
            raise SettingsError(f"sizes is {self.sizes!r}; give a tuple like (1000,)")
        object.__setattr__(self, "sizes", tuple(self.sizes))
        if self.sizes and self.ratio is not None:
            raise SettingsError("both a size and a ratio are given; leave one out")
        for size in self.sizes:
            if size < 1:
                raise SettingsError(f"size is {size}; ask for at least one candidate")
        if self.ratio is not None and not 0.0 < self.ratio <= 1.0:
            raise SettingsError(f"ratio is {self.ratio:g}; choose it above 0 and at most 1")
        if self.sampler not in SAMPLERS:
            raise SettingsError(
                f"'{self.sampler}' is no sampler; choose one of {', '.join(SAMPLERS)}"
            )
        if self.seed < 0:
            raise SettingsError(f"seed is {self.seed}; choose 0 or more")


@dataclass(frozen=True)
class SelectionSettings:
    """Settings of one selection, by concern.

    Attributes:
        wanted: how many, and how they are drawn.
        bounds: quotas, a token budget, groups.
        search: which points are candidates, and how they are searched.
        strategy: the rule, with settings of its own.
    """

    wanted: Wanted = field(default_factory=Wanted)
    bounds: Bounds = field(default_factory=Bounds)
    search: SearchSettings = field(default_factory=SearchSettings)
    strategy: Strategy = field(default_factory=lambda: strategy_class(DEFAULT)())

    def __post_init__(self) -> None:
        if self.bounds.near_duplicates:
            self.strategy.check_near_duplicates()
        if self.strategy.sizes_itself and not self.own_size:
            self.strategy.check_sized()
        check_copies_can_wait(self)
        check_counted_once(self)
        if self.wanted.sampler != DEFAULT_SAMPLER and not self.strategy.samples:
            raise SettingsError(
                f"sampler is {self.wanted.sampler}, which the strategy '{self.strategy.name}' does "
                f"not know, as it gives an order of its own; leave it out"
            )

    @classmethod
    def of(cls, strategy: str = DEFAULT, /, **flat: Any) -> SelectionSettings:
        """Settings by the names of their fields, whichever group has them.

        Args:
            strategy: name of one of the catalogue.
            flat: ``sizes=(1000,)``, ``alpha=0.5``, ``exact=True``, ..

        Raises:
            SettingsError: no such strategy, a name that no group has, or a value that cannot be.
        """
        rule = strategy_class(strategy)
        groups = {"wanted": Wanted, "bounds": Bounds, "search": SearchSettings, "strategy": rule}
        found = parted(flat, groups)
        return cls(**{name: group(**found[name]) for name, group in groups.items()})

    def altered(self, **flat: Any) -> SelectionSettings:
        """The same settings but for some, by the names of their fields; see :meth:`of`."""
        return type(self).of(self.strategy.name, **{**self.flat(), **flat})

    def stored(self) -> dict[str, Any]:
        """Plain values by group, for a manifest, a state, and :meth:`restored`."""
        groups = {name: asdict(getattr(self, name)) for name in GROUPS}
        groups["strategy"] = {"name": self.strategy.name, **groups["strategy"]}
        return groups

    @classmethod
    def restored(cls, given: Mapping[str, Any]) -> SelectionSettings:
        """What :meth:`stored` and JSON made of settings; also the flat form of older states.

        Raises:
            KeyError: a group is missing.
        """
        flat: dict[str, Any] = {}
        for name in GROUPS if "wanted" in given else ():
            flat |= given[name]
        flat = flat or dict(given)
        rule = flat.pop("name", DEFAULT)
        if "near_copies" not in flat and strategy_class(rule).card.ranks:
            flat["near_copies"] = "keep"  # as versions that knew no near copies did
        if not strategy_class(rule).samples:
            flat.pop("sampler", None)  # whose default was another one
        if any(flat.get(name) for name in ("sizes", "ratio", "token_budget")):
            for name in ("folds", "fold_seed"):  # which went unheard beside these
                flat.pop(name, None)
        quotas = tuple(Quota(**quota) for quota in flat.get("quotas", ()))
        return cls.of(rule, **flat | {"sizes": tuple(flat["sizes"]), "quotas": quotas})

    def flat(self) -> dict[str, Any]:
        """All settings by the names of their fields."""
        return {
            name: getattr(group, name) for group in self._groups for name in names_of(type(group))
        }

    def given(self) -> dict[str, Any]:
        """Settings other than the defaults, by the names of their fields; sizes left out."""
        found = {name: value for group in self._groups for name, value in changed(group).items()}
        found.pop("sizes", None)
        quotas = [f"{quota.name}:{quota.share:g}" for quota in self.bounds.quotas]
        return found | ({"quotas": " ".join(quotas)} if quotas else {})

    @property
    def _groups(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in GROUPS)

    @property
    def by_chance(self) -> bool:
        """Whether another seed may give another selection."""
        sampled = not self.strategy.samples or self.wanted.sampler in BY_CHANCE
        return self.strategy.has_chances and sampled

    @property
    def skips_copies(self) -> bool:
        """Whether near copies of a taken candidate come last."""
        rule = self.bounds.near_copies
        return self.strategy.card.ranks if rule is None else rule == "skip"

    @property
    def by_budget(self) -> bool:
        """Whether the token budget alone says how much is drawn."""
        sized = self.wanted.sizes or self.wanted.ratio is not None
        return self.bounds.token_budget is not None and not sized

    @property
    def own_size(self) -> bool:
        """Whether the strategy says how much is drawn."""
        sized = self.wanted.sizes or self.wanted.ratio is not None
        return self.strategy.sizes_itself and not (sized or self.bounds.token_budget)

    @property
    def exact_size(self) -> bool:
        """Whether a size needs as many candidates: none comes again, and no budget comes first."""
        return self.wanted.sampler != "multinomial" and self.bounds.token_budget is None

    def fits(self, size: int, found: int) -> int:
        """``size``, or ``found`` if that is less and a share of what there is was asked for."""
        shared = self.wanted.ratio is not None and self.wanted.sampler != "multinomial"
        return min(size, found) if shared and self.strategy.follows_size else size

    def wanted_sizes(self, candidates: int) -> tuple[int, ...]:
        """The sizes to draw from a pool of ``candidates``, ascending.

        None is needed where the strategy's own settings say how far it goes (then only
        probabilities are computed), and where it or a token budget says how much is drawn.

        Raises:
            SettingsError: neither a size nor a ratio is set, and the strategy goes by them.
        """
        sizes, ratio = self.wanted.sizes, self.wanted.ratio
        if self.by_budget or self.own_size:
            return ()
        if not (sizes or ratio or self.strategy.follows_size):
            return ()
        if ratio is not None:
            return (max(1, math.ceil(ratio * candidates - 1e-9)),)
        if not sizes:
            raise SettingsError("no size is given; set a size (1000, say) or a ratio (0.01)")
        return tuple(sorted(set(sizes)))


def check_counted_once(settings: SelectionSettings) -> None:
    """Check that bounds and what counts rows several times do not meet.

    Raises:
        SettingsError: they do.
    """
    if settings.bounds.any and settings.wanted.sampler == "multinomial":
        raise SettingsError(
            "the sampler 'multinomial' draws candidates again and again and knows no quotas, "
            "budgets or groups; choose another"
        )
    if settings.bounds.any and settings.strategy.repeats_rows:
        raise SettingsError(
            f"rows that the strategy '{settings.strategy.name}' lets count several times know no "
            f"quotas, budgets or groups; leave these or the repeats out"
        )


def check_copies_can_wait(settings: SelectionSettings) -> None:
    """Check that near copies can come last, where they are to.

    Raises:
        SettingsError: they cannot.
    """
    if settings.bounds.near_copies != "skip":
        return
    name = settings.strategy.name
    if settings.strategy.has_chances:
        raise SettingsError(
            f"the strategy '{name}' draws by chance and ranks nothing, so near copies cannot come "
            f"last; leave near_copies out"
        )
    if settings.strategy.repeats_rows:
        raise SettingsError(
            f"rows that the strategy '{name}' lets count several times keep their places, so near "
            f"copies cannot come last; leave near_copies or the repeats out"
        )
