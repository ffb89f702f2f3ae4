"""Collections of a Qdrant server, or of qdrant-client's local mode."""
