"""Selections that are kept, repaired, followed, explained and written back."""
