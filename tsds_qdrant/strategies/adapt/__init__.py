"""Adapt-infinity: clusters in turn, each by the score that says most, and pruning for good."""
