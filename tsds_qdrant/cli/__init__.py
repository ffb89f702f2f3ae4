"""The command ``tsds-qdrant``: a thin skin over the library."""

from __future__ import annotations

from tsds_qdrant.cli.app import app, main

__all__ = ["app", "main"]
