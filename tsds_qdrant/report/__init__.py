"""The report of a selection: figures from what is known of it, plots and tables in one page."""

from __future__ import annotations
