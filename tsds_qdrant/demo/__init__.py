"""The demonstration: a pool of real text found on any machine, and a selection from it."""
