"""What the commands do: ingest, select, trace the path, check."""
