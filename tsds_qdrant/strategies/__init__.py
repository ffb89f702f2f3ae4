"""Rules that say which candidates a task prefers."""
