"""Settings of property tests that follow the profile in use: quick or thorough."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

THOROUGH = 18
"""Examples of a property test that asks for no number, in the thorough profile."""
MOST = 25
"""Maximum number of examples of any property test there, so that all ends in half an hour."""


def examples(number: int) -> int:
    """``number`` in the thorough profile, or ``MOST``; in a smaller one as many as that draws."""
    drawn = settings.default.max_examples
    return min(number, MOST if drawn >= THOROUGH else drawn)


reuses_folder = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
"""For tests whose examples all write to one folder."""
