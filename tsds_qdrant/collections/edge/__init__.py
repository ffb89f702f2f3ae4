"""The embedded engine: a collection is a directory."""
