"""Files that are written whole or not at all, compressed or not, and values as JSON."""
