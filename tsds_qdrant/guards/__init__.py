"""Copies of test items are kept out of a selection."""
