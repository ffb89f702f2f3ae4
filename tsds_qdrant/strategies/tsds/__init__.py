"""TSDS: optimal transport with a density that keeps near-duplicates in check (arXiv 2410.11303)."""
