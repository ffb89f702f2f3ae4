"""``python -m tsds_qdrant``."""

from tsds_qdrant.cli import main

main()
