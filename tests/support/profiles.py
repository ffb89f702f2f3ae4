"""Settings of property tests that follow the profile in use: quick or thorough."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

THOROUGH = 40
"""Examples of a property test that asks for no number, in the thorough profile."""


def examples(number: int) -> int:
    """``number`` in the thorough profile; in a smaller one no more than that one draws."""
    most = settings.default.max_examples
    return number if most >= THOROUGH else min(number, most)


reuses_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
"""For tests whose examples all write to one folder."""
