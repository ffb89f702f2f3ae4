"""What is derived from a dense space, without a model."""
