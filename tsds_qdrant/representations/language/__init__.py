"""Causal language models: loading, tokens, hidden states and scores."""
