"""Checkpoints of a training: read, and made by a warm-up."""
