"""Per-example gradients of language models, projected."""
