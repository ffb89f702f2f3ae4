"""Strategies by name, and the settings that each of them knows."""

from __future__ import annotations

import pytest
from pool_oracle import clustered_rows, edge_pool, near_queries

from tsds_qdrant import SelectionSettings, select
from tsds_qdrant.errors import SettingsError


def test_settings_that_a_strategy_does_not_know_are_refused() -> None:
    for given, told in (
        ({"alpha": 0.5}, "'alpha' is no setting"),
        ({"sampler": "top"}, "sampler is top, which the strategy 'random' does not know"),
        ({"bandwidth": 0.0}, "'bandwidth' is no setting"),
        ({"max_per_group": 1}, "the strategy 'random' does not know near-duplicates; name"),
    ):
        with pytest.raises(SettingsError, match=told):
            SelectionSettings.of("random", sizes=(2,), **given)
    with pytest.raises(SettingsError, match="'best' is no strategy; choose one of tsds, "):
        SelectionSettings.of("best", sizes=(2,))
    rows = clustered_rows(8, 3, 2)
    with edge_pool(rows) as pool, pytest.raises(SettingsError, match="no size is given"):
        select(pool, near_queries(rows, 2), SelectionSettings.of("random"))
