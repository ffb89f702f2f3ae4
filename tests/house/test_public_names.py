"""The names that users import."""

from __future__ import annotations

import pytest

import tsds_qdrant


def test_public_names_are_sorted_and_all_importable() -> None:
    assert tsds_qdrant.__all__ == sorted(tsds_qdrant._HOMES)
    for name in tsds_qdrant.__all__:
        home = tsds_qdrant._HOMES[name]
        named = getattr(tsds_qdrant, name)
        assert getattr(named, "__module__", home).startswith(home)
        assert named.__doc__


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'selekt'"):
        _ = tsds_qdrant.selekt
