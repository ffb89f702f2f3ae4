"""From what a strategy prefers to samples, within bounds."""
