"""TAROT: candidates near the task in the sense of optimal transport."""
